//! What persons have said: for one run on the command line, and in answer to questions.
//!
//! Consent answers `ask` and nothing else. It never widens a rule of the manifest, and it never reaches past a
//! `forbid`. A no is remembered as a yes is.

use core::fmt;

use serde::Serialize;

use crate::capability::Capability;
use crate::rule::Rule;
use crate::wall::WallTime;

/// What the persons who run an app have said.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Consent {
    /// `--allow-manifest`: yes to whatever the manifest asks and the operator leaves to a person.
    /// Said for this run, it holds against a no that was remembered.
    pub allow_manifest: bool,
    /// `--allow CAP=RULE`: both keys for these, short of a written forbid.
    pub allow: Vec<(Capability, Rule)>,
    /// Answers to questions. Where a yes and a no are about the same target, the no holds.
    pub answers: Vec<Answer>,
}

/// One answer to one question: may the app have this rule of its manifest?
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// What the audit log and `consent list` call it.
    pub id: String,
    /// Of which capability.
    pub capability: Capability,
    /// The rule that was asked about.
    pub rule: Rule,
    /// Yes or no.
    pub yes: bool,
    /// How long it holds.
    pub lifetime: Lifetime,
    /// When it ends to hold in any case.
    pub expires: Option<WallTime>,
    /// Who answered.
    pub by: AnsweredBy,
}

/// How long an answer holds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lifetime {
    /// For this run of the app.
    Once,
    /// Until the machine starts anew.
    Session,
    /// Until it is revoked.
    Always,
}

impl Lifetime {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Once, Self::Session, Self::Always];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::Session => "session",
            Self::Always => "always",
        }
    }
}

impl fmt::Display for Lifetime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Who answered.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum AnsweredBy {
    /// A person, at a terminal.
    Terminal,
    /// No person: what a scenario of a simulated world says a person would.
    Script,
}

impl AnsweredBy {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::Terminal, Self::Script];

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Terminal => "terminal",
            Self::Script => "script",
        }
    }
}

impl fmt::Display for AnsweredBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
