//! One thing that was looked at: what is so, why it matters, what to do.

use nexus_policy::explain::escape;
use serde::Serialize;

use super::fix::Fix;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// Good to know; nothing is wrong.
    Note,
    /// It works, and should not be left so.
    Warning,
    /// It does not work.
    Error,
}

impl Level {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub(super) struct Finding {
    /// A stable word for scripts.
    pub(super) check: &'static str,
    pub(super) level: Level,
    /// What is so.
    pub(super) what: String,
    /// Why it matters.
    pub(super) why: &'static str,
    /// What to do; none where nothing needs to be done.
    #[serde(rename = "do")]
    pub(super) advice: Option<String>,
    /// What `--fix` would do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) fix: Option<Fix>,
}

impl Finding {
    pub(super) fn new(
        check: &'static str,
        level: Level,
        what: impl Into<String>,
        why: &'static str,
    ) -> Self {
        Self {
            check,
            level,
            what: what.into(),
            why,
            advice: None,
            fix: None,
        }
    }

    /// The same, with what to do.
    pub(super) fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// The same, with what to do, which we can do.
    pub(super) fn mend(mut self, fix: Fix) -> Self {
        self.advice = Some(fix.to_string());
        self.fix = Some(fix);
        self
    }

    /// For people: a line, and below what is not as it should be two more.
    pub(super) fn text(&self) -> String {
        let what = indented(&self.what);
        let mut text = format!("{:<8} {:<9} {what}\n", self.level.as_str(), self.check);
        if self.level >= Level::Warning {
            text += &format!("{:19}why: {}\n", "", self.why);
        }
        if let Some(advice) = &self.advice {
            text += &format!("{:19}do:  {}\n", "", indented(advice));
        }
        text
    }
}

/// Lines after the first, below the first; what a file's name could do to a terminal, undone.
fn indented(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(escape).collect();
    lines.join(&format!("\n{:19}", ""))
}
