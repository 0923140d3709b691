//! What is always to be true, checked by code that shares nothing with what it checks.

mod bounds;
mod isolation;
mod liveness;
mod reach;
mod stream;
mod tcp;
mod time;

pub use bounds::Baseline;
pub use isolation::{Isolation, NoRule};
pub use liveness::Liveness;
pub use stream::StreamPrefix;
pub use tcp::TcpRules;
pub use time::{BusyLoop, PastTimer};

use core::fmt;

use nexus_types::{Instant, InterfaceAddress};

use crate::limits;
use crate::machine::{MachineId, Note, Vitals};

/// What happened at a machine.
#[derive(Clone, Copy, Debug)]
pub enum Seen<'a> {
    /// It was started.
    Booted {
        /// For the how manieth time.
        boot: u32,
        /// With these addresses.
        addresses: &'a [InterfaceAddress],
    },
    /// It is gone.
    Ended,
    /// A frame left it, and is still before whatever the link does.
    Sent {
        /// Whether it has an Ethernet header.
        ethernet: bool,
        /// It.
        frame: &'a [u8],
    },
    /// A frame reached it.
    Arrived {
        /// Whether it has an Ethernet header.
        ethernet: bool,
        /// It.
        frame: &'a [u8],
    },
    /// It has noted something.
    Noted(Note<'a>),
    /// It had a turn.
    Turned {
        /// On its clock.
        now: Instant,
        /// What it says is due next, on its clock.
        due: Option<Instant>,
        /// Turns at this instant, this one counted, in a row without a frame in or out.
        idle: u32,
        /// Turns at this instant.
        turns: u32,
    },
    /// How it is; asked for by [`crate::World::look`].
    Looked(Vitals),
}

/// Something that is always to be true.
pub trait Checker {
    /// Its name, in a violation; always the same.
    fn name(&self) -> &'static str;

    /// Whether it looks at frames: those are many.
    fn looks_at_frames(&self) -> bool {
        true
    }

    /// Looks at what happened at `machine` at `at`, of the world's time.
    fn see(&mut self, at: Instant, machine: MachineId, seen: &Seen<'_>, found: &mut Found<'_>);
}

/// What was to be true and was not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Violation {
    /// Who found it: [`Checker::name`].
    pub checker: &'static str,
    /// When, of the world's time.
    pub at: Instant,
    /// Where.
    pub machine: MachineId,
    /// What.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            checker,
            at,
            machine,
            text,
        } = self;
        write!(f, "{at} machine {}: {checker}: {text}", machine.0)
    }
}

/// Takes what a checker finds.
pub struct Found<'a> {
    pub(crate) violations: &'a mut Violations,
    pub(crate) checker: &'static str,
    pub(crate) at: Instant,
    pub(crate) machine: MachineId,
}

impl Found<'_> {
    /// It is not true.
    pub fn violation(&mut self, text: impl FnOnce() -> String) {
        self.violations.count += 1;
        if self.violations.kept.len() < limits::VIOLATIONS {
            self.violations.kept.push(Violation {
                checker: self.checker,
                at: self.at,
                machine: self.machine,
                text: text(),
            });
        }
    }
}

/// What was found so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Violations {
    pub(crate) kept: Vec<Violation>,
    pub(crate) count: u64,
}

struct Entry {
    name: &'static str,
    looks_at_frames: bool,
    checker: Box<dyn Checker>,
}

/// The checkers of a world.
#[derive(Default)]
pub(crate) struct Checkers {
    list: Vec<Entry>,
    pub(crate) violations: Violations,
}

impl Checkers {
    pub(crate) fn add(&mut self, checker: Box<dyn Checker>) {
        self.list.push(Entry {
            name: checker.name(),
            looks_at_frames: checker.looks_at_frames(),
            checker,
        });
    }

    pub(crate) fn see(&mut self, at: Instant, machine: MachineId, seen: &Seen<'_>) {
        let frame = matches!(seen, Seen::Sent { .. } | Seen::Arrived { .. });
        for entry in &mut self.list {
            if frame && !entry.looks_at_frames {
                continue;
            }
            let mut found = Found {
                violations: &mut self.violations,
                checker: entry.name,
                at,
                machine,
            };
            entry.checker.see(at, machine, seen, &mut found);
        }
    }
}

#[cfg(test)]
pub(crate) fn show(checker: &mut dyn Checker, seen: &[(u64, u32, Seen<'_>)]) -> Vec<String> {
    let mut violations = Violations::default();
    for (millis, machine, seen) in seen {
        let (at, machine) = (Instant::from_millis(*millis), MachineId(*machine));
        let mut found = Found {
            violations: &mut violations,
            checker: checker.name(),
            at,
            machine,
        };
        checker.see(at, machine, seen, &mut found);
    }
    violations.kept.into_iter().map(|one| one.text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn violations_at_and_over_the_limit() {
        let mut violations = Violations::default();
        for _ in 0..=limits::VIOLATIONS {
            let mut found = Found {
                violations: &mut violations,
                checker: "test",
                at: Instant::ZERO,
                machine: MachineId(0),
            };
            found.violation(|| "wrong".to_owned());
        }
        assert_eq!(violations.kept.len(), limits::VIOLATIONS);
        assert_eq!(violations.count, limits::VIOLATIONS as u64 + 1);
        let first = violations.kept[0].to_string();
        assert_eq!(first, "0.000000000s machine 0: test: wrong");
    }
}
