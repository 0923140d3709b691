//! Values of flags: sizes, durations, NICs.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// `64MiB`, `512KiB`, `1GiB`, or a number of bytes.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let units: [(&str, u64); 4] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("B", 1),
    ];
    let (number, unit) = units
        .iter()
        .find_map(|(name, bytes)| text.strip_suffix(name).map(|number| (number, *bytes)))
        .unwrap_or((text, 1));
    let number: u64 = number
        .trim()
        .parse()
        .map_err(|_| "a size, such as 64MiB, 512KiB, 1GiB or a number of bytes".to_owned())?;
    match number.checked_mul(unit) {
        Some(0) | None => Err("a size above 0 that fits 64 bits".into()),
        Some(bytes) => Ok(bytes),
    }
}

/// `500ms`, `30s`, `5m`, `1h`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
    let millis = units
        .iter()
        .find_map(|(name, millis)| text.strip_suffix(name).map(|number| (number, *millis)))
        .and_then(|(number, unit)| number.trim().parse::<u64>().ok()?.checked_mul(unit));
    match millis {
        Some(millis) if millis > 0 => Ok(Duration::from_millis(millis)),
        _ => Err("a duration above 0 with its unit, such as 500ms, 30s, 5m or 1h".into()),
    }
}

/// What the node's stack is connected to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Net {
    /// Kernel sockets at the far end; no privileges.
    User,
    /// Nothing: the app's own loopback only.
    None,
}

impl FromStr for Net {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "user" => Ok(Self::User),
            "none" => Ok(Self::None),
            _ => {
                let kind = text.split(':').next().unwrap_or(text);
                Err(match kind {
                    "tap" | "packet" | "sim" => {
                        format!("`{kind}` is not built yet; this nexus-host has: user, none")
                    }
                    _ => "one of: user (kernel sockets at the far end), none".into(),
                })
            }
        }
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::None => "none",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_size("64MiB"), Ok(64 << 20));
        assert_eq!(parse_size("1 GiB"), Ok(1 << 30));
        assert_eq!(parse_size("4096"), Ok(4096));
    }

    #[test]
    fn reject_sizes_of_another_shape() {
        for text in ["", "MiB", "-1", "64MB", "1.5GiB", "0", "99999999999GiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
    }

    #[test]
    fn reject_durations_of_another_shape() {
        for text in [
            "",
            "5",
            "0s",
            "s",
            "-1s",
            "1.5s",
            "99999999999999999999h",
            "1d",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn reject_nics_that_are_not_there() {
        assert!(
            "tap:tap0"
                .parse::<Net>()
                .is_err_and(|e| e.contains("not built yet"))
        );
        assert!("usr".parse::<Net>().is_err_and(|e| e.contains("user")));
    }
}
