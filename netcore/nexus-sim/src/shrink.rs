//! Makes a plan that fails smaller while it still fails: what is left is what matters.

use crate::fault::{Plan, Planned};
use nexus_types::{Duration, Instant};

/// Runs a plan is tried with at most.
pub const TRIES: u32 = 2_000;

/// A fault that lasts no longer is not made shorter.
const SHORTEST: Duration = Duration::from_millis(1);

/// Drops faults one at a time, then makes those that are left shorter and earlier by halves, as long as `fails`
/// says that the plan still fails. The outcome fails whenever `plan` does.
pub fn shrink(plan: &Plan, fails: &mut dyn FnMut(&Plan) -> bool) -> Plan {
    let mut shrinking = Shrinking {
        plan: plan.clone(),
        fails,
        left: TRIES,
    };
    while shrinking.drop_each() {}
    shrinking.halve(|fault| {
        let shorter = fault.lasts / 2;
        (shorter >= SHORTEST).then_some(Planned {
            lasts: shorter,
            ..fault
        })
    });
    shrinking.halve(|fault| {
        let earlier = Instant::from_nanos(fault.at.as_nanos() / 2);
        (fault.at > Instant::from_millis(1)).then_some(Planned {
            at: earlier,
            ..fault
        })
    });
    shrinking.plan
}

struct Shrinking<'a> {
    plan: Plan,
    fails: &'a mut dyn FnMut(&Plan) -> bool,
    left: u32,
}

impl Shrinking<'_> {
    /// Takes over a smaller plan if it fails.
    fn accept(&mut self, smaller: Plan) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        let fails = (self.fails)(&smaller);
        if fails {
            self.plan = smaller;
        }
        fails
    }

    /// Whether one could be dropped. What was needed by one that is gone may be dropped the next time.
    fn drop_each(&mut self) -> bool {
        let before = self.plan.faults.len();
        // From the end: what comes later needs what was before, not the other way round.
        for at in (0..before).rev() {
            let mut smaller = self.plan.clone();
            smaller.faults.remove(at);
            self.accept(smaller);
        }
        self.plan.faults.len() < before
    }

    fn halve(&mut self, change: impl Fn(Planned) -> Option<Planned>) {
        for at in 0..self.plan.faults.len() {
            while let Some(changed) = change(self.plan.faults[at].clone()) {
                let mut smaller = self.plan.clone();
                smaller.faults[at] = changed;
                if !self.accept(smaller) {
                    break;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Fault, LinkFault, Span};

    fn planned(at: u64, lasts: u64, fault: LinkFault) -> Planned {
        Planned {
            at: Instant::from_secs(at),
            lasts: Duration::from_secs(lasts),
            fault: Fault::Link(Span::ALL, fault),
        }
    }

    /// Goal: what fails because of two faults that overlap is shrunk to these, and they are short and early.
    #[test]
    fn only_what_matters_is_left() {
        let plan = Plan {
            faults: vec![
                planned(1, 50, LinkFault::Clog),
                planned(10, 40, LinkFault::Cut),
                planned(12, 8, LinkFault::Mtu(600)),
                planned(16, 64, LinkFault::Latency(Duration::from_secs(1))),
            ],
        };
        let overlap = |plan: &Plan| {
            let find = |wanted: &dyn Fn(&LinkFault) -> bool| {
                plan.faults.iter().find(|planned| match &planned.fault {
                    Fault::Link(_, fault) => wanted(fault),
                    Fault::Machine(..) => false,
                })
            };
            let cut = find(&|fault| *fault == LinkFault::Cut);
            let late = find(&|fault| matches!(fault, LinkFault::Latency(_)));
            cut.zip(late).is_some_and(|(cut, late)| {
                cut.at < late.at + late.lasts && late.at < cut.at + cut.lasts
            })
        };
        let mut tries = 0;
        let small = shrink(&plan, &mut |plan| {
            tries += 1;
            overlap(plan)
        });
        assert!(overlap(&small) && small.faults.len() == 2 && tries < 100);
        let time = |plan: &Plan| plan.over().as_nanos();
        assert!(time(&small) < time(&plan) / 2, "{small:?}");
    }

    #[test]
    fn what_fails_without_faults_has_none_left_and_what_never_fails_stays() {
        let plan = Plan {
            faults: vec![
                planned(1, 2, LinkFault::Cut),
                planned(2, 3, LinkFault::Clog),
            ],
        };
        assert_eq!(shrink(&plan, &mut |_| true), Plan::default());
        assert_eq!(shrink(&plan, &mut |_| false), plan);
    }
}
