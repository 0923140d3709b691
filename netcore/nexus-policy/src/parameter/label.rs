//! Names that are nobody's address: services, purposes, datasets, providers.
//!
//! A name has 1 to 64 bytes: parts of lower-case letters, digits, `-` and `_`, joined by dots, as in
//! `acme.thermo`. A rule is a name, `acme.*` for every name below one (not itself), or `*` for all.
//!
//! Not supported, each refused: upper case (names are compared byte by byte, so there is one case),
//! other characters, `*` anywhere else, empty parts.

use core::fmt;

use super::plain;
use crate::explain::escape;
use crate::rule::RuleError;

/// The longest name: what one of the fabric has room for.
pub const LABEL_BYTES_MAX: usize = 64;

/// What a name is a name of, for texts: an article and a noun, and one that could be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Noun {
    /// `a service`
    pub is: &'static str,
    /// `acme.thermo`
    pub example: &'static str,
}

/// `dsoftbus.discover`
pub const SERVICE: Noun = Noun {
    is: "a service",
    example: "acme.thermo",
};
/// `dsoftbus.stream.open`
pub const PURPOSE: Noun = Noun {
    is: "a purpose",
    example: "acme.chat",
};
/// `cloud.sync`
pub const DATASET: Noun = Noun {
    is: "a dataset",
    example: "notes",
};
/// `account.*`, `cloud.oauth2.*`
pub const PROVIDER: Noun = Noun {
    is: "a provider",
    example: "com.example.mail",
};

/// A name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Label(String);

impl Label {
    /// Reads a name of `noun`.
    pub fn parse(noun: Noun, text: &str) -> Result<Self, RuleError> {
        let shown = escape(text);
        let Noun { is, example } = noun;
        if text.is_empty() {
            return Err(RuleError::plain(format!(
                "the name is empty; {is} is written `{example}`"
            )));
        }
        if text.len() > LABEL_BYTES_MAX {
            return Err(RuleError::plain(format!(
                "the name of {is} has at most {LABEL_BYTES_MAX} bytes, and this has {}",
                text.len()
            )));
        }
        let lower = text.to_ascii_lowercase();
        let good = |part: &str| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-_".contains(&b))
        };
        if !lower.split('.').all(good) {
            return Err(RuleError::plain(format!(
                "`{shown}` is no name of {is}: lower-case letters, digits, `-` and `_`, in parts joined by dots, as in `{example}`"
            )));
        }
        if lower != text {
            return Err(RuleError::new(
                format!("`{shown}`: the name of {is} is in lower case"),
                lower,
            ));
        }
        Ok(Self(lower))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Which names.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum LabelPattern {
    /// `*`
    Any,
    /// `acme.*`: every name that has more parts after this one.
    Below(Label),
    /// `acme.thermo`
    One(Label),
}

impl LabelPattern {
    /// Reads a name of `noun`, `acme.*` or `*`.
    pub fn parse(noun: Noun, text: &str) -> Result<Self, RuleError> {
        plain(text, &format!("{}, `{}`", noun.is, noun.example), false)?;
        if text == "*" {
            return Ok(Self::Any);
        }
        if let Some(parent) = text.strip_suffix(".*")
            && !parent.contains('*')
        {
            let parent = Label::parse(noun, parent).map_err(|error| RuleError {
                meant: error.meant.map(|meant| format!("{meant}.*")),
                ..error
            })?;
            return Ok(Self::Below(parent));
        }
        if text.contains('*') {
            return Err(RuleError::plain(format!(
                "`{}`: a wildcard is the whole last part, `acme.*`, or the whole name, `*`",
                escape(text)
            )));
        }
        Label::parse(noun, text).map(Self::One)
    }
}

impl fmt::Display for LabelPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Below(parent) => write!(f, "{parent}.*"),
            Self::One(label) => fmt::Display::fmt(label, f),
        }
    }
}
