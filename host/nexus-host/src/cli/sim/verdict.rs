//! What of a run is not as its scenario expects.

use std::collections::BTreeSet;
use std::fmt;

use nexus_policy::Capability;
use nexus_policy::explain::escape;
use nexus_sim::{MachineId, World};
use nexus_types::Instant;

use super::diff;
use super::place::Place;
use super::plan::{Planned, Prepared};
use super::run::Fate;
use crate::cli::Kind;
use crate::runtime::instance::Outcome;

/// Bytes of an app's output that are shown where they are not as expected.
const SHOWN: usize = 400;

/// Something that is not as expected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::cli) struct Failure {
    /// Of whom: an app, a node, a checker.
    pub(in crate::cli) who: String,
    pub(in crate::cli) text: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.who, self.text)
    }
}

/// What the apps did; `stuck`: since when nothing more happened.
pub(super) fn of_apps(scene: &Prepared, fates: &[Fate], stuck: Option<Instant>) -> Vec<Failure> {
    let mut failures = Vec::new();
    for (app, fate) in scene.apps.iter().zip(fates) {
        let mut texts = Vec::new();
        texts.extend(end(scene, app, fate, stuck));
        texts.extend(written(scene, app, fate));
        texts.extend(denied(scene, app, fate));
        let of = |text| Failure {
            who: app.name.clone(),
            text,
        };
        failures.extend(texts.into_iter().map(of));
    }
    failures
}

/// How it ended.
fn end(scene: &Prepared, app: &Planned, fate: &Fate, stuck: Option<Instant>) -> Vec<String> {
    let expect = &scene.given(app).expect;
    let mut texts = Vec::new();
    let found = match (&fate.refused, &fate.outcome) {
        (Some(_), _) => Some(Kind::Refused.exit_code()),
        (None, outcome) => outcome.as_ref().map(Outcome::code),
    };
    let background = scene.given(app).background;
    let wrong = match (expect.exit, found) {
        (Some(wanted), found) => found != Some(wanted),
        // However it ends, it is to end.
        (None, found) => found.is_none() && !background,
    };
    if wrong {
        let what = match (&fate.refused, &fate.outcome) {
            (Some(text), _) => format!("refused with 77\n{}", text.trim_end()),
            (None, None) => match stuck {
                Some(since) => format!("waits for ever: nothing happened after {since}"),
                None => format!("still running after {:?}", scene.scenario.until),
            },
            (None, Some(outcome @ (Outcome::Trap(text) | Outcome::Failed(text)))) => {
                format!("{}: {text}", outcome.word())
            }
            (None, Some(outcome)) => format!("ended with {}", outcome.code()),
        };
        let wanted = match expect.exit {
            Some(exit) => format!("; expected is {exit}"),
            None => String::new(),
        };
        let said = fate.stderr.text();
        let said = said
            .lines()
            .last()
            .map_or_else(String::new, |line| format!("\n  it said: {}", escape(line)));
        texts.push(format!("{what}{wanted}{said}"));
    }
    if let Some(within) = expect.within
        && fate.outcome.is_some()
        && fate.took > within
    {
        texts.push(format!(
            "took {:?}; expected is {within:?} at most",
            fate.took
        ));
    }
    texts
}

/// What it wrote.
fn written(scene: &Prepared, app: &Planned, fate: &Fate) -> Vec<String> {
    let expect = &scene.given(app).expect;
    let mut texts = Vec::new();
    for (sink, name, wanted) in [
        (&fate.stdout, "stdout", &expect.stdout),
        (&fate.stderr, "stderr", &expect.stderr),
    ] {
        let text = sink.text();
        for wanted in wanted.iter().filter(|wanted| !text.contains(*wanted)) {
            let shown: String = text.chars().take(SHOWN).collect();
            texts.push(format!("wrote no {wanted:?} to {name}; it wrote {shown:?}"));
        }
    }
    if let Some(golden) = &app.golden {
        let found = fate.stdout.bytes();
        let path = golden.path.display();
        match &golden.bytes {
            None => texts.push(format!(
                "{path} is not there yet; `nexus-host test --update` writes it"
            )),
            Some(wanted) if *wanted != found => {
                let diff = diff::lines(
                    &String::from_utf8_lossy(wanted),
                    &String::from_utf8_lossy(&found),
                );
                texts.push(format!(
                    "its stdout is not {path} (- expected, + found; `nexus-host test --update` takes it over)\n{diff}"
                ));
            }
            Some(_) => {}
        }
        if fate.stdout.lost() > 0 {
            texts.push(format!(
                "wrote {} bytes more than are kept and can be compared",
                fate.stdout.lost()
            ));
        }
    }
    texts
}

/// What it was refused.
fn denied(scene: &Prepared, app: &Planned, fate: &Fate) -> Option<String> {
    let wanted = scene.given(app).expect.denied.as_ref()?;
    let names = |set: &BTreeSet<Capability>| {
        let names: Vec<_> = set.iter().map(|one| one.as_str()).collect();
        names.join(", ")
    };
    (*wanted != fate.denied).then(|| {
        let (found, wanted) = (names(&fate.denied), names(wanted));
        format!("was denied [{found}]; expected is [{wanted}]")
    })
}

/// What the nodes counted.
pub(super) fn of_nodes(scene: &Prepared, world: &World<Place>) -> Vec<Failure> {
    let mut failures = Vec::new();
    for (number, node) in (0..).zip(&scene.scenario.nodes) {
        let mut fail = |text| {
            failures.push(Failure {
                who: node.name.as_str().to_owned(),
                text,
            });
        };
        if node.counters.is_empty() {
            continue;
        }
        let Some(machine) = world.machine(MachineId(number)) else {
            fail("is down at the end: it has no counters".to_owned());
            continue;
        };
        let stats = machine.stats();
        for (counter, expected) in &node.counters {
            let found = (counter.read)(&stats);
            if !expected.holds(found) {
                fail(format!(
                    "{} is {found}; expected is {expected}",
                    counter.name
                ));
            }
        }
    }
    failures
}

/// What must never be.
pub(super) fn of_checkers(world: &World<Place>) -> Vec<Failure> {
    let (violations, count) = world.violations();
    let mut failures: Vec<_> = violations
        .iter()
        .map(|violation| Failure {
            who: format!("checker {}", violation.checker),
            text: format!(
                "{} on {}: {}",
                violation.at,
                world.name(violation.machine),
                violation.text
            ),
        })
        .collect();
    if count > violations.len() as u64 {
        failures.push(Failure {
            who: "checkers".to_owned(),
            text: format!("and {} more", count - violations.len() as u64),
        });
    }
    failures
}
