//! Why a script is none.

use core::fmt;

/// Why a script is refused, for whoever wrote it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScriptError(String);

impl ScriptError {
    pub(super) fn new(why: impl Into<String>) -> Self {
        Self(why.into())
    }
}

impl fmt::Display for ScriptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for ScriptError {}
