//! What `[wasi]` can name: folders of the host, and environment variables.
//!
//! Paths are compared as texts here, by whole components; there is no file system in this crate.
//! Whoever opens a folder resolves its links first and has the real path judged.

use core::fmt;

use serde::Serialize;

use crate::explain::escape;
use crate::rule::RuleError;

/// How a folder is given.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DirectoryMode {
    /// Read only.
    Ro,
    /// Read and write.
    Rw,
}

impl DirectoryMode {
    /// `ro` or `rw`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "ro" => Some(Self::Ro),
            "rw" => Some(Self::Rw),
            _ => None,
        }
    }

    /// `ro` or `rw`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ro => "ro",
            Self::Rw => "rw",
        }
    }
}

/// `/srv/data:ro`: this folder and everything below it. `rw` includes `ro`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct DirectoryRule {
    path: String,
    mode: DirectoryMode,
}

impl DirectoryRule {
    /// Reads `PATH:ro` or `PATH:rw`; the path is absolute and has no `.` or `..` in it.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let shown = escape(text);
        let Some((path, mode)) = text
            .rsplit_once(':')
            .and_then(|(path, mode)| Some((path, DirectoryMode::parse(mode)?)))
        else {
            return Err(RuleError::plain(format!(
                "`{shown}` does not say how: write `{shown}:ro` or `{shown}:rw`"
            )));
        };
        let Some(path) = absolute_path(path) else {
            return Err(RuleError::plain(format!(
                "`{}` is no absolute path without `.` and `..`: a policy must mean one folder, wherever it is read",
                escape(path)
            )));
        };
        Ok(Self { path, mode })
    }

    /// The folder, absolute.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// How.
    pub fn mode(&self) -> DirectoryMode {
        self.mode
    }

    /// The rule that gives exactly this; `None` if the path is not absolute and plain.
    pub fn new(path: &str, mode: DirectoryMode) -> Option<Self> {
        Some(Self {
            path: absolute_path(path)?,
            mode,
        })
    }

    /// Whether it gives `path` (absolute) in `mode`.
    pub fn gives(&self, path: &str, mode: DirectoryMode) -> bool {
        let within = path
            .strip_prefix(self.path.as_str())
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || self.path == "/");
        within && mode <= self.mode
    }

    /// Whether giving `path` in `mode` would give some of what this rule speaks of. A rule for
    /// `rw` speaks of writing alone.
    pub fn touches(&self, path: &str, mode: DirectoryMode) -> bool {
        let other = Self {
            path: path.to_owned(),
            mode: DirectoryMode::Rw,
        };
        let overlap = self.gives(path, self.mode) || other.gives(&self.path, DirectoryMode::Ro);
        overlap && mode >= self.mode
    }
}

impl fmt::Display for DirectoryRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", escape(&self.path), self.mode.as_str())
    }
}

/// `path` without a trailing slash and with single slashes, if it is absolute and free of `.`,
/// `..` and control characters.
pub fn absolute_path(path: &str) -> Option<String> {
    if !path.starts_with('/') || path.chars().any(char::is_control) {
        return None;
    }
    let mut clean = String::with_capacity(path.len());
    for part in path.split('/').filter(|part| !part.is_empty()) {
        if part == "." || part == ".." {
            return None;
        }
        clean.push('/');
        clean.push_str(part);
    }
    if clean.is_empty() {
        clean.push('/');
    }
    Some(clean)
}

/// `base` (absolute) and a path relative to it without `..`, as one absolute path.
pub fn join_path(base: &str, relative: &str) -> Option<String> {
    let parts: Vec<_> = relative
        .split('/')
        .filter(|part| !matches!(*part, "" | "."))
        .collect();
    if relative.starts_with('/') || parts.contains(&"..") {
        return None;
    }
    absolute_path(&format!("{base}/{}", parts.join("/")))
}

/// The name of an environment variable.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct VariableName(String);

impl VariableName {
    /// Names that every system agrees on: letters, digits and `_`, not beginning with a digit (POSIX).
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        let good = text.len() <= 128
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
            && text.bytes().next().is_some_and(|b| !b.is_ascii_digit());
        if good {
            Ok(Self(text.to_owned()))
        } else {
            Err(RuleError::plain(format!(
                "`{}` is no name of a variable: letters, digits and `_`, at most 128",
                escape(text)
            )))
        }
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl core::borrow::Borrow<str> for VariableName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VariableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_covers_what_is_below_it_by_whole_components() {
        let rule = DirectoryRule::parse("/srv/data/:ro").unwrap();
        assert_eq!(rule.to_string(), "/srv/data:ro");
        for (path, mode, given) in [
            ("/srv/data", DirectoryMode::Ro, true),
            ("/srv/data/x", DirectoryMode::Ro, true),
            ("/srv/data", DirectoryMode::Rw, false),
            ("/srv/database", DirectoryMode::Ro, false),
            ("/srv", DirectoryMode::Ro, false),
        ] {
            assert_eq!(rule.gives(path, mode), given, "{path}");
        }
        assert!(
            DirectoryRule::parse("/:rw")
                .unwrap()
                .gives("/etc", DirectoryMode::Ro)
        );
    }

    #[test]
    fn reject_paths_that_could_be_another() {
        for text in [
            "data:ro",
            "./data:ro",
            "/srv/../etc:ro",
            "/srv/./x:ro",
            "/srv",
            "/srv:wo",
            "",
            ":ro",
            "/a\u{1b}b:ro",
        ] {
            assert!(DirectoryRule::parse(text).is_err(), "{text}");
        }
        assert_eq!(join_path("/app", "../etc"), None);
        assert_eq!(join_path("/app", "/etc"), None);
        assert_eq!(join_path("/app", "./data/").as_deref(), Some("/app/data"));
        assert_eq!(join_path("/", ".").as_deref(), Some("/"));
    }

    #[test]
    fn reject_names_of_variables_with_anything_else_in_them() {
        for text in ["", "1A", "A=B", "A B", "Ä", &"A".repeat(129)] {
            assert!(VariableName::parse(text).is_err(), "{text}");
        }
        assert!(VariableName::parse(&"A".repeat(128)).is_ok());
    }
}
