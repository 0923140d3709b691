//! The name of a new app: of its folder, its crate, its file.

use std::fmt;
use std::str::FromStr;

/// Most of a crate's name (the registry's bound, so that it can be published later).
const CHARS_MAX: usize = 64;

/// Names a library cannot have beside the crates it is made of, or that mean something to the compiler.
const TAKEN: [&str; 11] = [
    "alloc",
    "core",
    "nexus_sdk",
    "nexus_types",
    "proc_macro",
    "serde",
    "serde_json",
    "std",
    "test",
    "wasip2",
    "wit_bindgen",
];

/// The Rust Reference, "Keywords": strict and reserved, of the edition 2024.
const KEYWORDS: [&str; 52] = [
    "abstract",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "struct",
    "super",
    "trait",
    "true",
    "try",
    "type",
    "typeof",
    "unsafe",
    "unsized",
    "use",
    "virtual",
    "where",
    "while",
    "yield",
    "macro_rules",
];

/// A name that is right for a folder, a crate, a file and an app's id, without quoting in any of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Name(String);

impl Name {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// What cargo calls the file it makes, without `.wasm`.
    pub(super) fn file(&self) -> String {
        self.0.replace('-', "_")
    }
}

/// Why a name is none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum NameError {
    Form,
    TooLong,
    Taken,
}

impl fmt::Display for NameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => f.write_str(
                "a name begins with a small letter, goes on with small letters, digits, `-` or `_`, and ends with \
                 none of these two",
            ),
            Self::TooLong => write!(f, "a name has {CHARS_MAX} characters at most"),
            Self::Taken => f.write_str("this name is a word of Rust, or of a crate that apps are made of"),
        }
    }
}

impl std::error::Error for NameError {}

impl FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let is_in_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let right = text.starts_with(|c: char| c.is_ascii_lowercase())
            && text.ends_with(is_in_word)
            && text.chars().all(|c| is_in_word(c) || "-_".contains(c));
        if !right {
            return Err(NameError::Form);
        }
        if text.len() > CHARS_MAX {
            return Err(NameError::TooLong);
        }
        let name = Self(text.to_owned());
        let file = name.file();
        if TAKEN.contains(&file.as_str()) || KEYWORDS.contains(&file.as_str()) {
            return Err(NameError::Taken);
        }
        Ok(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_crates() {
        for name in ["a", "weather", "my-app", "my_app2", &"a".repeat(CHARS_MAX)] {
            assert_eq!(name.parse::<Name>().map(|name| name.0), Ok(name.to_owned()));
        }
        assert_eq!(
            "my-app".parse::<Name>().map(|name| name.file()),
            Ok("my_app".to_owned())
        );
    }

    #[test]
    fn reject_names_that_are_none() {
        for name in [
            "", "2nd", "-a", "_a", "a-", "a_", "A", "a b", "a/b", "../a", ".", "a.b", "ä", "a\n",
            "a\"b",
        ] {
            assert_eq!(name.parse::<Name>(), Err(NameError::Form), "{name:?}");
        }
        let long = "a".repeat(CHARS_MAX + 1);
        assert_eq!(long.parse::<Name>(), Err(NameError::TooLong));
        for name in [
            "async",
            "gen",
            "std",
            "nexus-sdk",
            "nexus_sdk",
            "serde-json",
        ] {
            assert_eq!(name.parse::<Name>(), Err(NameError::Taken), "{name}");
        }
    }
}
