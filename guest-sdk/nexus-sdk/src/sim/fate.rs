//! What becomes of an app: kept while it runs, to be looked at by the test.

use super::limits::{DENIALS_MAX, OUTPUT_BYTES_MAX};
use crate::host::Output;

/// What an app wrote to one of its outputs.
#[derive(Debug, Default)]
pub(super) struct Kept {
    bytes: Vec<u8>,
    lost: u64,
}

impl Kept {
    fn put(&mut self, bytes: &[u8]) {
        let room = OUTPUT_BYTES_MAX - self.bytes.len();
        let kept = &bytes[..bytes.len().min(room)];
        self.bytes.extend_from_slice(kept);
        self.lost += (bytes.len() - kept.len()) as u64;
    }

    /// As far as it was kept; what is no UTF-8 is replaced.
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost
    }
}

/// How an app ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Ended {
    /// By itself, with this code.
    Exit(u8),
    /// The gate refused it before it started: the report.
    Refused(String),
    /// Its `timeout` in the manifest's limits was over.
    Deadline,
    /// It panicked, and the test with it.
    Panicked,
}

impl Ended {
    /// The exit code of `nexus-host run`.
    pub(super) fn code(&self) -> u8 {
        match self {
            Self::Exit(code) => *code,
            Self::Refused(_) => 77,
            Self::Deadline => 124,
            Self::Panicked => 134,
        }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Fate {
    /// For people: the node's name and the app's.
    pub(super) name: String,
    /// It is not waited for.
    pub(super) background: bool,
    pub(super) ended: Option<Ended>,
    pub(super) stdout: Kept,
    pub(super) stderr: Kept,
    pub(super) denials: Vec<String>,
}

impl Fate {
    pub(super) fn put(&mut self, output: Output, bytes: &[u8]) {
        match output {
            Output::Stdout => self.stdout.put(bytes),
            Output::Stderr => self.stderr.put(bytes),
        }
    }

    pub(super) fn deny(&mut self, denial: String) {
        if self.denials.len() < DENIALS_MAX {
            self.denials.push(denial);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_kept_at_and_over_the_limit() {
        let mut kept = Kept::default();
        kept.put(&vec![b'x'; OUTPUT_BYTES_MAX]);
        assert_eq!((kept.text().len(), kept.lost()), (OUTPUT_BYTES_MAX, 0));
        kept.put(b"more");
        assert_eq!((kept.text().len(), kept.lost()), (OUTPUT_BYTES_MAX, 4));
    }

    #[test]
    fn denials_are_kept_at_and_over_the_limit() {
        let mut fate = Fate::default();
        for number in 0..=DENIALS_MAX {
            fate.deny(number.to_string());
        }
        assert_eq!(fate.denials.len(), DENIALS_MAX);
        assert_eq!(fate.denials[0], "0");
    }
}
