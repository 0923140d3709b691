//! Names of chains and of their files.

use std::fmt;

use super::{hex, time};

/// The longest name of a chain: a time, a process id and 16 hexadecimal digits.
const CHAIN_BYTES_MAX: usize = 64;

/// Segments of one chain: six digits, so that names sort.
pub(super) const SEGMENT_MAX: u32 = 999_999;

/// A name for a chain that begins: when, which process, and at random.
pub(super) fn new_chain(millis: u64) -> Result<String, getrandom::Error> {
    let mut random = [0; 8];
    getrandom::fill(&mut random)?;
    Ok(format!(
        "{}-{}-{}",
        time::compact(millis),
        std::process::id(),
        hex(&random)
    ))
}

/// Which segment of which chain.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SegmentName {
    /// `20261127T113856123Z-4711-9f3c0a1b2c3d4e5f`: when it began, which process, and at random, so that
    /// no two are the same when a clock is set back.
    pub chain: String,
    /// From 1.
    pub number: u32,
}

impl SegmentName {
    /// What a file of the log is called.
    pub fn log_file(&self) -> String {
        format!("{self}.jsonl")
    }

    /// What the file of its heads is called.
    pub(super) fn heads_file(&self) -> String {
        format!("{self}.heads")
    }

    /// Reads a name of a file of the log; none: it is no such file.
    pub fn of_log(file: &str) -> Option<Self> {
        Self::parse(file.strip_suffix(".jsonl")?)
    }

    pub(super) fn of_heads(file: &str) -> Option<Self> {
        Self::parse(file.strip_suffix(".heads")?)
    }

    fn parse(stem: &str) -> Option<Self> {
        let (chain, number) = stem.split_once('.')?;
        let all_digits = number.len() == 6 && number.bytes().all(|b| b.is_ascii_digit());
        if !is_chain(chain) || !all_digits {
            return None;
        }
        let number = number.parse().ok().filter(|number| *number > 0)?;
        Some(Self {
            chain: chain.to_owned(),
            number,
        })
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.chain, self.number)
    }
}

/// Whether a text can be a chain's name: nothing that leads to another folder.
pub(super) fn is_chain(text: &str) -> bool {
    (1..=CHAIN_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

/// What the file is called that says how much of a chain was given up.
pub(super) fn dropped_file(chain: &str) -> String {
    format!("{chain}.dropped")
}

/// Reads such a name.
pub(super) fn of_dropped(file: &str) -> Option<&str> {
    file.strip_suffix(".dropped")
        .filter(|chain| is_chain(chain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        let name = SegmentName {
            chain: "20261127T113856123Z-1-ab".into(),
            number: 7,
        };
        assert_eq!(name.log_file(), "20261127T113856123Z-1-ab.000007.jsonl");
        assert_eq!(SegmentName::of_log(&name.log_file()), Some(name.clone()));
        assert_eq!(
            SegmentName::of_heads(&name.heads_file()),
            Some(name.clone())
        );
        assert_eq!(
            of_dropped(&dropped_file(&name.chain)),
            Some("20261127T113856123Z-1-ab")
        );
    }

    #[test]
    fn reject_names_of_another_shape() {
        for file in [
            "",
            ".jsonl",
            "a.jsonl",
            "a.1.jsonl",
            "a.000000.jsonl",
            "a.0000001.jsonl",
            "a.+00001.jsonl",
            "../a.000001.jsonl",
            "a b.000001.jsonl",
            "a.000001.jsonl.gz",
            ".000001.jsonl",
            "a.b.000001.jsonl",
        ] {
            assert_eq!(SegmentName::of_log(file), None, "{file}");
        }
        let long = "a".repeat(CHAIN_BYTES_MAX);
        assert!(is_chain(&long));
        assert!(!is_chain(&(long + "a")));
    }
}
