//! On whose word an act was allowed, and how that is recorded.

use core::fmt;

use nexus_types::{InstanceId, Instant, Reason};

use crate::audit::{Entry, Recorded, Unrecorded};
use crate::decide::Act;
use crate::denial::{Denial, RefusedBy};
use crate::gate::{Gate, Instance};
use crate::index::RuleIndex;

/// On whose word an act was allowed, beside the manifest that asks for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Grounds {
    /// A rule the operator wrote.
    Operator(RuleIndex),
    /// A person's answer, by its place in [`crate::Consent::answers`].
    Answer(u32),
    /// `--allow-manifest`
    AllowManifest,
    /// `--allow`
    Allow,
    /// The binding of the socket that was heard by.
    Binding,
    /// Nobody's: it would be refused for this reason, and `--mode` lets it pass.
    Observed(Reason),
}

/// Whose word it was, as a record says it.
pub(crate) enum Source<'a> {
    /// `policy.toml:3`
    Line(&'a str, u32),
    Word(&'a str),
}

impl fmt::Display for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(file, line) => write!(f, "{file}:{line}"),
            Self::Word(word) => f.write_str(word),
        }
    }
}

impl Gate {
    /// Which rule or answer that is, and where it is written.
    fn words<'a>(
        &'a self,
        instance: &'a Instance,
        grounds: Grounds,
    ) -> (Option<&'a str>, Source<'a>) {
        match grounds {
            Grounds::Operator(index) => match self.written.get(index as usize) {
                Some(written) => (
                    Some(&written.rule.id),
                    Source::Line(&written.file, written.rule.line),
                ),
                None => (None, Source::Word("host")),
            },
            Grounds::Answer(index) => {
                let answer = instance.app.consent.answers.get(index as usize);
                (answer.map(|a| a.id.as_str()), Source::Word("consent"))
            }
            Grounds::AllowManifest => (None, Source::Word("--allow-manifest")),
            Grounds::Allow => (None, Source::Word("--allow")),
            Grounds::Binding => (None, Source::Word("binding")),
            Grounds::Observed(_) => (None, Source::Word("--mode")),
        }
    }

    /// Has an allowed act recorded, before it is answered. With nobody who keeps records that succeeds.
    pub(crate) fn record_allowed(
        &mut self,
        now: Instant,
        id: InstanceId,
        act: &Act<'_>,
        grounds: Grounds,
    ) -> Result<(), Unrecorded> {
        let Some(mut auditor) = self.auditor.take() else {
            return Ok(());
        };
        let mut kept = Ok(());
        if let Some(instance) = self.instance(id) {
            let (rule, source) = self.words(instance, grounds);
            kept = auditor.record(
                now,
                &Entry {
                    app: Some(&instance.app.identity),
                    instance: Some(id),
                    capability: Some(act.capability()),
                    target: Some(act),
                    verdict: Recorded::Allow,
                    reason: match grounds {
                        Grounds::Observed(reason) => reason.as_str(),
                        _ => "",
                    },
                    rule,
                    source: &source,
                },
            );
        }
        self.auditor = Some(auditor);
        kept
    }

    /// Has a refusal recorded, or an end.
    pub(crate) fn record_refused(&mut self, now: Instant, denial: &Denial, verdict: Recorded) {
        let Some(mut auditor) = self.auditor.take() else {
            return;
        };
        let (rule, source) = match &denial.refused_by {
            RefusedBy::Operator { file, line, rule } => {
                (Some(rule.as_str()), Source::Line(file, *line))
            }
            RefusedBy::Person { answer } => (Some(answer.as_str()), Source::Word("consent")),
            RefusedBy::Manifest { .. } => (None, Source::Word("manifest")),
            RefusedBy::Default => (None, Source::Word("default")),
            RefusedBy::Host => (None, Source::Word("host")),
        };
        // What cannot be kept is counted by who keeps it; the answer is no in any case.
        let _ = auditor.record(
            now,
            &Entry {
                app: self.app(denial.instance),
                instance: Some(denial.instance),
                capability: Some(denial.capability),
                target: Some(&denial.target),
                verdict,
                reason: denial.reason.as_str(),
                rule,
                source: &source,
            },
        );
        self.auditor = Some(auditor);
    }

    /// Has something recorded that is no decision: an app that starts or ends, a policy that was read.
    ///
    /// # Errors
    /// It could not be kept.
    pub fn record(&mut self, now: Instant, entry: &Entry<'_>) -> Result<(), Unrecorded> {
        match &mut self.auditor {
            Some(auditor) => auditor.record(now, entry),
            None => Ok(()),
        }
    }
}
