//! What of a run is not as its scenario expects.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use nexus_policy::Capability;
use nexus_policy::explain::escape;
use nexus_sim::{MachineId, World};

use super::diff;
use super::place::Place;
use super::plan::{Planned, Prepared};
use super::run::Fate;
use super::scenario::Exit;
use crate::cli::Kind::Refused;
use crate::runtime::instance::Outcome;

/// Bytes of an app's output that are shown where they are not as expected.
const SHOWN: usize = 400;

/// In what way something is not as expected.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(in crate::cli) enum Kind {
    /// An app ended otherwise; or it did not end, or not in time.
    Exit,
    Hang,
    Time,
    /// What it wrote.
    Output,
    Golden,
    Denied,
    Counter,
    Peer,
    Checker,
    Blessed,
}

/// Something that is not as expected.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::cli) struct Failure {
    /// Of whom: an app, a node, a checker.
    pub(in crate::cli) who: String,
    pub(in crate::cli) kind: Kind,
    pub(in crate::cli) text: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.who, self.text)
    }
}

/// How it was when apps were looked at.
pub(super) struct Looked<'a> {
    /// When the last app had ended, or the world's time was over.
    pub(super) ended: Duration,
    /// Nothing more would have happened.
    pub(super) stuck: bool,
    /// Which machines are not running.
    pub(super) down: &'a [bool],
}

/// What the apps did.
pub(super) fn of_apps(scene: &Prepared, fates: &[Fate], looked: &Looked<'_>) -> Vec<Failure> {
    let mut failures = Vec::new();
    for (app, fate) in scene.apps.iter().zip(fates) {
        let mut found = Vec::new();
        found.extend(end(scene, app, fate, looked));
        found.extend(late(scene, app, fate).map(|text| (Kind::Time, text)));
        found.extend(written(scene, app, fate));
        found.extend(denied(scene, app, fate).map(|text| (Kind::Denied, text)));
        let of = |(kind, text)| Failure {
            who: app.name.clone(),
            kind,
            text,
        };
        failures.extend(found.into_iter().map(of));
    }
    failures
}

/// Said of an app in the background that is not there any more.
const STAYS: &str = "; it is in the background, and was to stay (exit = \"any\" lets it end)";

/// How it ended.
fn end(
    scene: &Prepared,
    app: &Planned,
    fate: &Fate,
    looked: &Looked<'_>,
) -> Option<(Kind, String)> {
    let given = scene.given(app);
    let down = looked.down[app.node];
    let found = match (&fate.refused, &fate.outcome) {
        (Some(_), _) => Some(Refused.exit_code()),
        (None, outcome) => outcome.as_ref().map(Outcome::code),
    };
    let wanted = match (given.expect.exit, found) {
        (Exit::Code(wanted), found) if found != Some(wanted) => format!("; expected is {wanted}"),
        (Exit::WithWorld, Some(code)) if code != 0 || fate.refused.is_some() => STAYS.to_owned(),
        (Exit::WithWorld, None) if down || !fate.has_begun() => STAYS.to_owned(),
        // However it ends, it is to end.
        (Exit::Any, None) if !given.background => String::new(),
        _ => return None,
    };
    let (kind, what) = match (&fate.refused, &fate.outcome) {
        (Some(text), _) => (Kind::Exit, format!("refused with 77\n{}", text.trim_end())),
        (None, None) if down => (Kind::Hang, "its machine is down".to_owned()),
        (None, None) => (
            Kind::Hang,
            match looked.ended {
                _ if !fate.has_begun() => "was not started".to_owned(),
                since if looked.stuck => {
                    format!("waits for ever: nothing happened after {since:?}")
                }
                ended => format!("still running after {ended:?}"),
            },
        ),
        (None, Some(outcome @ (Outcome::Trap(text) | Outcome::Failed(text)))) => {
            (Kind::Exit, format!("{}: {text}", outcome.word()))
        }
        (None, Some(outcome)) => (Kind::Exit, format!("ended with {}", outcome.code())),
    };
    let said = fate.stderr.text();
    let said = said
        .lines()
        .last()
        .map_or_else(String::new, |line| format!("\n  it said: {}", escape(line)));
    Some((kind, format!("{what}{wanted}{said}")))
}

/// How long it took.
fn late(scene: &Prepared, app: &Planned, fate: &Fate) -> Option<String> {
    let within = scene.given(app).expect.within?;
    let took = fate.took().filter(|took| *took > within)?;
    Some(format!("took {took:?}; expected is {within:?} at most"))
}

/// What it wrote.
fn written(scene: &Prepared, app: &Planned, fate: &Fate) -> Vec<(Kind, String)> {
    let expect = &scene.given(app).expect;
    let mut texts = Vec::new();
    for (sink, name, wanted) in [
        (&fate.stdout, "stdout", &expect.stdout),
        (&fate.stderr, "stderr", &expect.stderr),
        (&fate.access, "its access log", &expect.access),
    ] {
        let text = sink.text();
        for wanted in wanted.iter().filter(|wanted| !text.contains(*wanted)) {
            let shown: String = text.chars().take(SHOWN).collect();
            let text = format!("wrote no {wanted:?} to {name}; it wrote {shown:?}");
            texts.push((Kind::Output, text));
        }
    }
    if let Some(golden) = &app.golden {
        let found = fate.stdout.bytes();
        let path = escape(&golden.path.display().to_string());
        let text = match &golden.bytes {
            None => Some(format!(
                "{path} is not there yet; `nexus-host test --update` writes it"
            )),
            Some(wanted) if *wanted != found => {
                let diff = diff::lines(
                    &String::from_utf8_lossy(wanted),
                    &String::from_utf8_lossy(&found),
                );
                Some(format!(
                    "its stdout is not {path} (- expected, + found; `nexus-host test --update` takes it over)\n{diff}"
                ))
            }
            Some(_) => None,
        };
        texts.extend(text.map(|text| (Kind::Golden, text)));
        if fate.stdout.lost() > 0 {
            let lost = fate.stdout.lost();
            let text = format!("wrote {lost} bytes more than are kept and can be compared");
            texts.push((Kind::Output, text));
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
                kind: Kind::Counter,
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
            kind: Kind::Checker,
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
            kind: Kind::Checker,
            text: format!("and {} more", count - violations.len() as u64),
        });
    }
    let refused = world.counts().faults_refused;
    if refused > 0 {
        failures.push(Failure {
            who: "the world".to_owned(),
            kind: Kind::Checker,
            text: format!("{refused} faults did not happen: too many were in force"),
        });
    }
    failures
}
