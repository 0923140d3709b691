//! Why a run was no success, in words for the person who reads the test's output.

use core::fmt;

/// What was not as it should be, and how to see it again.
///
/// Its `Debug` is its `Display`, so that `unwrap` shows it as it is meant.
#[derive(Clone, PartialEq, Eq)]
pub struct Failure {
    pub(super) problems: Vec<String>,
    pub(super) replay: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.problems {
            writeln!(f, "{problem}")?;
        }
        f.write_str(&self.replay)
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Failure {}
