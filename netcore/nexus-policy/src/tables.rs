//! What a gate decides by, in tables: the operator's rules of each capability, and what one app has of it.

use std::collections::BTreeMap;

use nexus_types::Instant;

use crate::capability::{Capability, Status};
use crate::consent::Consent;
use crate::index::{self, RuleIndex, RuleTable};
use crate::manifest::Manifest;
use crate::networks::Borders;
use crate::policy::{PolicyRule, Verdict};
use crate::rule::Rule;
use crate::wall::{WallTime, until};

/// Number of capabilities, those of base WASI included.
const CAPABILITIES: usize = Capability::ALL.len() + Capability::WASI.len();

/// One thing per capability.
pub(crate) type PerCapability<T> = [Option<Box<T>>; CAPABILITIES];

/// How many of the operator's tables can concern one app: everyone's, its own, its publisher's.
pub(crate) const CONCERNS: usize = 3;

/// Rules on their way into tables, each with its place in `Gate::written`.
pub(crate) type Group<'a> = BTreeMap<Capability, Vec<(RuleIndex, &'a PolicyRule)>>;

/// The operator's rules of one capability.
#[derive(Default)]
pub(crate) struct OperatorTables {
    pub(crate) borders: Borders,
    pub(crate) forbid: RuleTable,
    pub(crate) ask: RuleTable,
    pub(crate) allow: RuleTable,
}

/// What one instance has of one capability: by its manifest, and by `--allow`.
pub(crate) struct Grant {
    pub(crate) borders: Borders,
    pub(crate) asked: RuleTable,
    pub(crate) given: RuleTable,
    /// Of the rules asked for, those a person has said yes to, and no; by the answer's place.
    pub(crate) consented: RuleTable,
    pub(crate) declined: RuleTable,
}

/// What an app has of each capability.
pub(crate) fn grants(
    manifest: &Manifest,
    consent: &Consent,
    now: Instant,
    wall: (Instant, WallTime),
) -> PerCapability<Grant> {
    per_capability(|capability| {
        let asked = manifest.asked(capability);
        let given = consent.allow.iter().filter(|(c, _)| *c == capability);
        if capability.status() == Status::Absent {
            return None;
        }
        let wasi = match capability {
            Capability::WasiDirs => !manifest.directories().is_empty(),
            Capability::WasiEnv => !manifest.variables().is_empty(),
            _ => false,
        };
        if asked.is_none() && !wasi && given.clone().next().is_none() {
            return None;
        }
        let asked: Vec<Rule> = match capability {
            Capability::WasiDirs => manifest
                .directories()
                .iter()
                .filter_map(|d| {
                    Some(Rule::Directory(crate::wasi::DirectoryRule::new(
                        d.path.as_deref()?,
                        d.mode,
                    )?))
                })
                .collect(),
            Capability::WasiEnv => manifest
                .variables()
                .iter()
                .map(|(name, _)| Rule::Variable(name.clone()))
                .collect(),
            _ => asked.map(|asked| asked.rules.clone()).unwrap_or_default(),
        };
        let given = given.map(|(_, rule)| rule);
        let borders = index::borders(asked.iter().chain(given.clone()));
        // An answer is about a rule the manifest asks for: to another it is no answer.
        let answers = |yes: bool| {
            let asked = &asked;
            let answers = (0..).zip(&consent.answers).filter(move |(_, answer)| {
                answer.capability == capability
                    && answer.yes == yes
                    && answer.expires.is_none_or(|at| until(wall, at) > now)
                    && asked.contains(&answer.rule)
            });
            RuleTable::build(
                &borders,
                answers.map(|(at, answer)| (at, Some(&answer.rule))),
            )
        };
        Some(Grant {
            asked: RuleTable::build(&borders, (0..).zip(asked.iter().map(Some))),
            given: RuleTable::build(&borders, (0..).zip(given.map(Some))),
            consented: answers(true),
            declined: answers(false),
            borders,
        })
    })
}

/// The table of the rules of one verdict.
pub(crate) fn table(
    borders: &Borders,
    rules: &[(RuleIndex, &PolicyRule)],
    verdict: Verdict,
) -> RuleTable {
    let mut list = Vec::new();
    for (index, rule) in rules.iter().filter(|(_, rule)| rule.verdict == verdict) {
        match &rule.to {
            None => list.push((*index, None)),
            Some(to) => list.extend(to.iter().map(|text| (*index, Some(text)))),
        }
    }
    RuleTable::build(borders, list)
}

pub(crate) fn per_capability<T>(mut make: impl FnMut(Capability) -> Option<T>) -> PerCapability<T> {
    let mut all: PerCapability<T> = core::array::from_fn(|_| None);
    for capability in Capability::ALL.into_iter().chain(Capability::WASI) {
        all[capability as usize] = make(capability).map(Box::new);
    }
    all
}
