//! What a run does with a refusal: keeps to it, or only tells of it.

use core::fmt;

/// How refusals are taken.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub enum Mode {
    /// What is refused does not happen.
    #[default]
    Enforce,
    /// What is missing of either key is told and let pass. Never past what the operator has written (`forbid`),
    /// what a person has declined, what no rule can name, a port of the host's or a metadata service; and
    /// `[wasi]` folders and variables are not opened by it.
    Observe,
    /// As `Observe`, and what the run used is kept, to write a manifest from it.
    Learn,
}

impl Mode {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Enforce, Self::Observe, Self::Learn];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Observe => "observe",
            Self::Learn => "learn",
        }
    }

    /// Whether what is missing is let pass.
    pub const fn lets_pass(self) -> bool {
        !matches!(self, Self::Enforce)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
