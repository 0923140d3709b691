//! Why a rule is granted in part, and whose word each limit is: what `check` says beside the verdicts.

use crate::admission::LimitReport;
use crate::capability::Capability;
use crate::examine::Examiner;
use crate::gate::Gate;
use crate::limits::KEYS;
use crate::policy::Verdict;
use crate::rule::Rule;
use crate::standing::{allows_all, may_concern};

/// Rules named. A policy may have thousands that touch `public:*`; the rest is counted.
const NAMED_MAX: usize = 16;

impl Examiner<'_> {
    /// The operator's rules that take some of `asked`, leave it to a person, or allow only some of it.
    pub(crate) fn narrowed_by(&self, capability: Capability, asked: &Rule) -> Vec<String> {
        let mut named = Vec::new();
        let mut more = 0_usize;
        for written in &self.gate.written {
            let rule = &written.rule;
            let concerns = rule.capability == capability
                && rule.app.concerns(self.app)
                && Gate::holds(written, self.now);
            if !concerns {
                continue;
            }
            let texts: Vec<Option<&Rule>> = match &rule.to {
                None => vec![None],
                Some(to) => to.iter().map(Some).collect(),
            };
            for text in texts {
                let in_part = may_concern(self.gate.topology(), rule.verdict, text, asked)
                    && (rule.verdict != Verdict::Allow
                        || !text.is_some_and(|allow| allows_all(allow, asked)));
                if !in_part {
                    continue;
                }
                if named.len() == NAMED_MAX {
                    more += 1;
                    continue;
                }
                let what = text.map_or_else(|| "everything".to_owned(), Rule::to_string);
                let verb = match rule.verdict {
                    Verdict::Forbid => "forbids",
                    Verdict::Ask => "asks about",
                    Verdict::Allow => "allows no more than",
                };
                let (file, line, id) = (&written.file, rule.line, &rule.id);
                named.push(format!("{file}:{line} ({id}) {verb} {what}"));
            }
        }
        if more > 0 {
            named.push(format!("{more} more"));
        }
        named
    }

    /// Each limit, whose word it is, and whose bound.
    pub(crate) fn limits_by(&self) -> Vec<LimitReport> {
        let reports = KEYS.into_iter().map(|key| {
            let written = self
                .gate
                .policies()
                .iter()
                .filter_map(|policy| Some(((key.asked)(policy.limits())?, policy.source()?)))
                .min();
            let (cap, cap_by) = match written {
                Some((cap, file)) => (Some(cap), file),
                None => (key.most, "the host"),
            };
            let manifest = self.manifest.source().unwrap_or("the manifest");
            let (value, by) = match ((key.asked)(self.manifest.limits()), key.default) {
                (Some(asked), _) if cap.is_none_or(|cap| asked <= cap) => (Some(asked), manifest),
                (None, Some(default)) if cap.is_none_or(|cap| default <= cap) => {
                    (Some(default), "the host's default")
                }
                (None, None) if cap.is_none() => (None, "nobody"),
                _ => (cap, cap_by),
            };
            let shown = |value: Option<u64>| value.map(|value| key.show(value));
            LimitReport {
                key: key.name,
                value: shown(value).unwrap_or_else(|| "none".to_owned()),
                by: by.to_owned(),
                cap: shown(cap),
                cap_by: cap_by.to_owned(),
            }
        });
        reports.collect()
    }
}
