//! An error of the command line: what kind (which decides the exit code), what, and what to do.

use std::fmt;

use serde_json::json;

use super::Output;
use crate::runtime::signals::Signal;
use crate::runtime::stdio::say_last;

/// Who has to act.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// The host or the machine: a file, a port, memory.
    Host,
    /// Who typed the command.
    Usage,
    /// Whoever grants: the app was refused before it started.
    Refused,
    /// Who wrote the manifest, policy or world file.
    Config,
    /// Nobody: a signal ended the run before any app started.
    Interrupted(Signal),
}

impl Kind {
    /// DESIGN section 10.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Host => 1,
            Self::Usage => 2,
            Self::Refused => 77,
            Self::Config => 78,
            Self::Interrupted(signal) => signal.exit_code(),
        }
    }

    /// The stable word of JSON output and reports.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Usage => "usage",
            Self::Refused => "refused",
            Self::Config => "config",
            Self::Interrupted(_) => "interrupted",
        }
    }
}

/// An error that ends the command.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CliError {
    /// Who has to act.
    pub kind: Kind,
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl CliError {
    /// An error without a hint.
    pub fn new(kind: Kind, message: impl fmt::Display) -> Self {
        Self {
            kind,
            message: message.to_string(),
            hint: None,
        }
    }

    /// The same, with what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    pub(super) fn json(&self) -> serde_json::Value {
        json!({"code": self.kind.word(), "message": self.message, "hint": self.hint})
    }

    pub(super) fn say(&self, output: Output) {
        match output {
            Output::Text => {
                let mut text = match self.kind {
                    // A report says by its own first line what it is.
                    Kind::Refused | Kind::Interrupted(_) => {
                        format!("{}\n", self.message.trim_end())
                    }
                    _ => format!("error: {}\n", self.message.trim_end()),
                };
                if let Some(hint) = &self.hint {
                    text.push_str(&format!("  fix: {hint}\n"));
                }
                say_last(&text);
            }
            Output::Json => say_last(&format!(
                "{}\n",
                json!({"ok": false, "data": null, "error": self.json()})
            )),
        }
    }
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CliError {}
