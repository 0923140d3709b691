//! A host name in the one form everything compares: lower-case ASCII, no trailing dot.
//!
//! Unicode names are turned into their ASCII form (IDNA) by whoever reads them from a
//! person; here only the result is checked, against RFC 1035 section 2.3.4 (lengths) and
//! RFC 1123 section 2.1 (letters, digits, hyphen), with the underscore that service names use.

use core::fmt;

/// A checked host name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(String);

/// Why a text is not a host name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HostNameError {
    /// Nothing there.
    Empty,
    /// Over 253 characters.
    TooLong,
    /// A label is empty or over 63 characters, or begins or ends with a hyphen.
    BadLabel,
    /// A character that no host name has; Unicode names must come in their ASCII form.
    BadCharacter(char),
    /// It reads as an IPv4 address, in whole or in the numeric forms some resolvers accept.
    Numeric,
}

impl fmt::Display for HostNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the name is empty"),
            Self::TooLong => f.write_str("the name is longer than 253 characters"),
            Self::BadLabel => f.write_str(
                "a label is empty, longer than 63 characters, or begins or ends with a hyphen",
            ),
            Self::BadCharacter(c) => write!(f, "{:?} cannot be in a host name", c),
            Self::Numeric => {
                f.write_str("the name is a number; write an address in its usual form")
            }
        }
    }
}

impl core::error::Error for HostNameError {}

impl HostName {
    /// The longest name, RFC 1035 section 2.3.4 without the root label.
    pub const BYTES_MAX: usize = 253;

    /// Checks `text`, lowers its case and drops one trailing dot.
    ///
    /// A name whose last label is a number (`127.1`, `0x7f000001`, `2130706433`) is refused:
    /// some resolvers read it as an address, and a rule for a name must never be one.
    pub fn parse(text: &str) -> Result<Self, HostNameError> {
        let text = text.strip_suffix('.').unwrap_or(text);
        if text.is_empty() {
            return Err(HostNameError::Empty);
        }
        if text.len() > Self::BYTES_MAX {
            return Err(HostNameError::TooLong);
        }
        for c in text.chars() {
            if !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) {
                return Err(HostNameError::BadCharacter(c));
            }
        }
        for label in text.split('.') {
            if label.is_empty()
                || label.len() > 63
                || label.starts_with('-')
                || label.ends_with('-')
            {
                return Err(HostNameError::BadLabel);
            }
        }
        let last = text.rsplit('.').next().unwrap_or(text);
        let hex = last.strip_prefix("0x").or_else(|| last.strip_prefix("0X"));
        let numeric = last.bytes().all(|b| b.is_ascii_digit())
            || hex.is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()));
        if numeric {
            return Err(HostNameError::Numeric);
        }
        Ok(Self(text.to_ascii_lowercase()))
    }

    /// The name, lower-case, without a trailing dot.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is a name *below* `parent`: `a.example.com` is below `example.com`,
    /// `example.com` and `evilexample.com` are not.
    pub fn is_below(&self, parent: &Self) -> bool {
        self.0
            .strip_suffix(parent.as_str())
            .is_some_and(|head| head.ends_with('.'))
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_form_for_every_spelling() {
        assert_eq!(
            HostName::parse("API.Example.COM.").unwrap().as_str(),
            "api.example.com"
        );
        assert_eq!(
            HostName::parse("host.internal").unwrap().as_str(),
            "host.internal"
        );
    }

    #[test]
    fn reject_what_is_no_name() {
        for (text, error) in [
            ("", HostNameError::Empty),
            (".", HostNameError::Empty),
            ("a..b", HostNameError::BadLabel),
            ("-a.b", HostNameError::BadLabel),
            ("bücher.example", HostNameError::BadCharacter('ü')),
            ("a b", HostNameError::BadCharacter(' ')),
            ("127.1", HostNameError::Numeric),
            ("0x7f000001", HostNameError::Numeric),
            ("2130706433", HostNameError::Numeric),
            ("0177.0.0.1", HostNameError::Numeric),
        ] {
            assert_eq!(HostName::parse(text), Err(error), "{text}");
        }
    }

    #[test]
    fn lengths_at_and_over_the_limit() {
        let label = "a".repeat(63);
        let at = format!("{label}.{label}.{label}.{}", "b".repeat(61));
        assert_eq!(at.len(), HostName::BYTES_MAX);
        assert!(HostName::parse(&at).is_ok());
        assert_eq!(
            HostName::parse(&format!("{at}b")),
            Err(HostNameError::TooLong)
        );
        assert_eq!(
            HostName::parse(&"a".repeat(64)),
            Err(HostNameError::BadLabel)
        );
    }

    #[test]
    fn below_is_by_label() {
        let parent = HostName::parse("example.com").unwrap();
        assert!(HostName::parse("a.example.com").unwrap().is_below(&parent));
        assert!(!HostName::parse("example.com").unwrap().is_below(&parent));
        assert!(
            !HostName::parse("evilexample.com")
                .unwrap()
                .is_below(&parent)
        );
    }
}
