//! What a gate decides by, in tables: the operator's rules of each capability, and what one app has of it.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use nexus_types::{AppDigest, Instant};

use crate::capability::{Capability, Status};
use crate::consent::Consent;
use crate::gate::AppIdentity;
use crate::index::{self, RuleIndex, RuleTable};
use crate::manifest::Manifest;
use crate::networks::Borders;
use crate::policy::{PolicyRule, Subject, Verdict};
use crate::ports::PortSet;
use crate::publisher::PublisherKey;
use crate::rule::{Destination, Rule};
use crate::wall::{WallTime, until};

/// Number of capabilities, those of base WASI included.
const CAPABILITIES: usize = Capability::ALL.len() + Capability::WASI.len();

/// One thing per capability.
pub(crate) type PerCapability<T> = [Option<Box<T>>; CAPABILITIES];

/// How many of the operator's tables can concern one app: everyone's, its own, its publisher's.
pub(crate) const CONCERNS: usize = 3;

/// Rules on their way into tables, each with its place in `Gate::written`.
type Group<'a> = BTreeMap<Capability, Vec<(RuleIndex, &'a PolicyRule)>>;

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
    /// `asked` at every port, made when a refusal first wants to say that it is only the port.
    any_port: OnceLock<RuleTable>,
}

impl Grant {
    /// The rules asked for, whatever their ports. `rules` are those of the manifest.
    pub(crate) fn any_port(&self, rules: &[Rule]) -> &RuleTable {
        self.any_port.get_or_init(|| {
            let rules = rules.iter().map(|rule| match rule {
                Rule::Destination(rule) => Rule::Destination(Destination {
                    host: rule.host.clone(),
                    ports: PortSet::any(),
                }),
                other => other.clone(),
            });
            let rules: Vec<_> = rules.collect();
            RuleTable::build(&self.borders, (0..).zip(rules.iter().map(Some)))
        })
    }
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
            any_port: OnceLock::new(),
            borders,
        })
    })
}

/// Rules of the operator in tables: for every app, for one, and for all of one publisher.
#[derive(Default)]
pub(crate) struct Rulebook {
    everyone: PerCapability<OperatorTables>,
    one: BTreeMap<AppDigest, PerCapability<OperatorTables>>,
    published: BTreeMap<PublisherKey, PerCapability<OperatorTables>>,
}

impl Rulebook {
    pub(crate) fn of<'a>(rules: impl Iterator<Item = (RuleIndex, &'a PolicyRule)>) -> Self {
        // Grouped by app first: a policy may have as many apps as rules.
        let mut groups: BTreeMap<Subject, Group<'a>> = BTreeMap::new();
        for (index, rule) in rules {
            let group = groups.entry(rule.app).or_default();
            let list = group.entry(rule.capability).or_default();
            list.push((index, rule));
        }
        let mut book = Self::default();
        for (subject, group) in &groups {
            let tables = operator_tables(group);
            match *subject {
                Subject::Everyone => book.everyone = tables,
                Subject::App(digest) => {
                    book.one.insert(digest, tables);
                }
                Subject::Publisher(key) => {
                    book.published.insert(key, tables);
                }
            }
        }
        book
    }

    /// The tables that concern an app: [`CONCERNS`] at most.
    pub(crate) fn concerning(
        &self,
        app: &AppIdentity,
        capability: Capability,
    ) -> impl Iterator<Item = &OperatorTables> + Clone {
        let one = if self.one.is_empty() {
            None
        } else {
            self.one.get(&app.digest)
        };
        let published = app.publisher.and_then(|key| self.published.get(&key));
        let at = capability as usize;
        self.everyone[at]
            .as_deref()
            .into_iter()
            .chain(one.and_then(|one| one[at].as_deref()))
            .chain(published.and_then(|published| published[at].as_deref()))
    }
}

fn operator_tables(group: &Group<'_>) -> PerCapability<OperatorTables> {
    per_capability(|capability| {
        let rules = group.get(&capability)?;
        let to = rules.iter().filter_map(|(_, rule)| rule.to.as_deref());
        let borders = index::borders(to.flatten());
        Some(OperatorTables {
            forbid: table(&borders, rules, Verdict::Forbid),
            ask: table(&borders, rules, Verdict::Ask),
            allow: table(&borders, rules, Verdict::Allow),
            borders,
        })
    })
}

/// The table of the rules of one verdict.
fn table(borders: &Borders, rules: &[(RuleIndex, &PolicyRule)], verdict: Verdict) -> RuleTable {
    let mut list = Vec::new();
    for (index, rule) in rules.iter().filter(|(_, rule)| rule.verdict == verdict) {
        match &rule.to {
            None => list.push((*index, None)),
            Some(to) => list.extend(to.iter().map(|text| (*index, Some(text)))),
        }
    }
    RuleTable::build(borders, list)
}

fn per_capability<T>(mut make: impl FnMut(Capability) -> Option<T>) -> PerCapability<T> {
    let mut all: PerCapability<T> = core::array::from_fn(|_| None);
    for capability in Capability::ALL.into_iter().chain(Capability::WASI) {
        all[capability as usize] = make(capability).map(Box::new);
    }
    all
}
