//! Ports of a rule: `443`, `80,443,8000-8010` (ranges include both ends), `*`.

use core::fmt;

use crate::rule::RuleError;

/// The dynamic ports, RFC 6335 section 6. A rule that covers them all lets an app listen on
/// port 0, that is on a free port of the host's choosing.
pub const DYNAMIC_PORTS: (u16, u16) = (49_152, 65_535);

/// Ranges in one rule. Stops a rule from being a table of its own.
const RANGES_MAX: usize = 256;

/// A set of ports: never 0, sorted, disjoint.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PortSet(Vec<(u16, u16)>);

impl PortSet {
    /// Every port there is.
    pub fn any() -> Self {
        Self(vec![(1, u16::MAX)])
    }

    /// One port; `None` for 0.
    pub fn one(port: u16) -> Option<Self> {
        (port != 0).then(|| Self(vec![(port, port)]))
    }

    /// Reads the text after the last colon of a rule.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        if text == "*" {
            return Ok(Self::any());
        }
        let mut ranges: Vec<(u16, u16)> = Vec::new();
        for item in text.split(',') {
            let range = match item.split_once('-') {
                Some((first, last)) => (port(first)?, port(last)?),
                None => (port(item)?, port(item)?),
            };
            if range.0 > range.1 {
                return Err(RuleError::new(
                    format!("the range {}-{} is upside down", range.0, range.1),
                    format!("{}-{}", range.1, range.0),
                ));
            }
            if let Some(twice) = ranges
                .iter()
                .find(|other| range.0 <= other.1 && other.0 <= range.1)
            {
                return Err(RuleError::plain(format!(
                    "port {} is named twice in `{text}`",
                    range.0.max(twice.0)
                )));
            }
            if ranges.len() == RANGES_MAX {
                return Err(RuleError::plain(format!(
                    "more than {RANGES_MAX} ports and ranges in one rule"
                )));
            }
            ranges.push(range);
        }
        ranges.sort_unstable();
        // 80-81,82 is 80-82: one form for one meaning.
        let mut merged: Vec<(u16, u16)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match merged.last_mut() {
                Some(before) if before.1 + 1 == first => before.1 = last,
                _ => merged.push((first, last)),
            }
        }
        Ok(Self(merged))
    }

    /// The ranges, sorted and disjoint, both ends included.
    pub fn ranges(&self) -> &[(u16, u16)] {
        &self.0
    }

    /// Whether `port` is in it.
    pub fn contains(&self, port: u16) -> bool {
        self.0
            .iter()
            .any(|(first, last)| (*first..=*last).contains(&port))
    }

    /// Whether all of `other` is in it.
    pub fn covers(&self, other: &Self) -> bool {
        other.0.iter().all(|(a, b)| {
            // Sorted and disjoint: only the last that begins in time can reach as far.
            let at = self.0.partition_point(|(first, _)| first <= a);
            at > 0 && *b <= self.0[at - 1].1
        })
    }

    /// Whether some port is in both.
    pub fn meets(&self, other: &Self) -> bool {
        other.0.iter().any(|(a, b)| {
            let at = self.0.partition_point(|(first, _)| first <= b);
            at > 0 && *a <= self.0[at - 1].1
        })
    }
}

fn port(text: &str) -> Result<u16, RuleError> {
    if text.is_empty() {
        return Err(RuleError::plain("a port is missing"));
    }
    if !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(RuleError::plain(format!(
            "`{}` is no port; ports are numbers, `80,443,8000-8010`, or `*` for any",
            crate::explain::escape(text)
        )));
    }
    if text.len() > 1 && text.starts_with('0') {
        return Err(RuleError::plain(format!(
            "`{text}` begins with a zero; write the port as a decimal number"
        )));
    }
    match text.parse::<u32>() {
        Ok(0) => Err(RuleError::plain(
            "port 0 is no port a packet can go to; for any port write `*`",
        )),
        Ok(number) if number <= u32::from(u16::MAX) => Ok(number as u16),
        _ => Err(RuleError::plain(format!(
            "port {text} is too large; the last port is 65535"
        ))),
    }
}

impl fmt::Display for PortSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == [(1, u16::MAX)] {
            return f.write_str("*");
        }
        for (index, (first, last)) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            if first == last {
                write!(f, "{first}")?;
            } else {
                write!(f, "{first}-{last}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_inclusive_ranges() {
        let ports = PortSet::parse("443,80,8000-8010").unwrap();
        assert_eq!(ports.to_string(), "80,443,8000-8010");
        for (port, inside) in [
            (79, false),
            (80, true),
            (443, true),
            (7999, false),
            (8000, true),
            (8010, true),
            (8011, false),
        ] {
            assert_eq!(ports.contains(port), inside, "{port}");
        }
        assert_eq!(PortSet::parse("80-81,82").unwrap().to_string(), "80-82");
        assert!(
            PortSet::any().contains(1)
                && PortSet::any().contains(65_535)
                && !PortSet::any().contains(0)
        );
    }

    #[test]
    fn reject_what_is_no_port() {
        for (text, says) in [
            ("0", "port 0"),
            ("0-10", "port 0"),
            ("65536", "last port is 65535"),
            ("99999999999999999999", "too large"),
            ("", "missing"),
            ("80,", "missing"),
            ("http", "is no port"),
            ("+80", "is no port"),
            ("-", "missing"),
            ("080", "begins with a zero"),
            ("90-80", "upside down"),
            ("80,80", "twice"),
            ("80,70-90", "twice"),
            ("1-2-3", "is no port"),
            ("8*", "is no port"),
        ] {
            let error = PortSet::parse(text).unwrap_err();
            assert!(error.message.contains(says), "{text}: {}", error.message);
        }
    }

    #[test]
    fn ranges_at_and_over_the_limit() {
        let list = |n: u16| {
            (0..n)
                .map(|i| (1 + 2 * i).to_string())
                .collect::<Vec<_>>()
                .join(",")
        };
        assert_eq!(PortSet::parse(&list(256)).unwrap().ranges().len(), 256);
        assert!(PortSet::parse(&list(257)).is_err());
    }
}
