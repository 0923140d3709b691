//! Liveness: once nothing goes wrong any more, everybody who has something to do comes nearer to its end.

use std::collections::BTreeMap;

use nexus_types::{Duration, Instant};

use super::{Checker, Found, Seen};
use crate::machine::MachineId;

/// See the module. It goes by [`crate::World::look`].
#[derive(Clone, Debug)]
pub struct Liveness {
    from: Instant,
    within: Duration,
    /// What each machine had done when it last had done more, and when; none: reported.
    last: BTreeMap<MachineId, Option<(u64, Instant)>>,
}

impl Liveness {
    /// From `from` on, nobody with something to do may do none of it for longer than `within`.
    pub fn new(from: Instant, within: Duration) -> Self {
        Self {
            from,
            within,
            last: BTreeMap::new(),
        }
    }
}

impl Checker for Liveness {
    fn name(&self) -> &'static str {
        "liveness"
    }

    fn looks_at_frames(&self) -> bool {
        false
    }

    fn see(&mut self, at: Instant, machine: MachineId, seen: &Seen<'_>, found: &mut Found<'_>) {
        let Seen::Looked(vitals) = seen else { return };
        if at < self.from {
            return;
        }
        let last = self
            .last
            .entry(machine)
            .or_insert(Some((vitals.work, self.from)));
        let Some((work, since)) = *last else { return };
        if vitals.unfinished == 0 || vitals.work != work {
            *last = Some((vitals.work, at));
        } else if at - since > self.within {
            *last = None;
            let unfinished = vitals.unfinished;
            let still = at - since;
            found.violation(|| {
                format!("{unfinished} unfinished, and nothing was done for {still:?}")
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::show;
    use crate::machine::Vitals;

    #[test]
    fn reject_who_stands_still_with_something_to_do() {
        let looked = |unfinished, work| {
            Seen::Looked(Vitals {
                unfinished,
                work,
                ..Vitals::default()
            })
        };
        let mut checker = Liveness::new(Instant::from_secs(10), Duration::from_secs(5));
        let fine = [
            (1_000, 0, looked(1, 1)),
            (9_000, 0, looked(1, 1)),
            (15_000, 0, looked(1, 1)),
            (15_000, 1, looked(0, 0)),
            (16_000, 0, looked(1, 2)),
            (21_000, 0, looked(1, 2)),
            (30_000, 1, looked(0, 0)),
        ];
        assert_eq!(show(&mut checker, &fine), [""; 0]);
        let stuck = [(21_001, 0, looked(1, 2)), (40_000, 0, looked(1, 2))];
        assert_eq!(show(&mut checker, &stuck).len(), 1);
    }
}
