//! Bounds: when all is done, tables are as if nothing had been.

use nexus_types::Instant;

use super::{Checker, Found, Seen};
use crate::machine::{MachineId, Tables};

/// See the module. It goes by [`crate::World::look`].
#[derive(Clone, Copy, Debug)]
pub struct Baseline {
    rest: Instant,
    empty: Instant,
}

impl Baseline {
    /// From `rest` on nobody has a connection, and apps hold what they listen and receive with, no more; from
    /// `empty` on, when the apps have ended, nothing is left.
    pub fn new(rest: Instant, empty: Instant) -> Self {
        Self { rest, empty }
    }
}

impl Checker for Baseline {
    fn name(&self) -> &'static str {
        "baseline"
    }

    fn looks_at_frames(&self) -> bool {
        false
    }

    fn see(&mut self, at: Instant, _: MachineId, seen: &Seen<'_>, found: &mut Found<'_>) {
        let Seen::Looked(vitals) = seen else { return };
        let tables = vitals.tables;
        if at >= self.empty {
            if tables != Tables::default() {
                found.violation(|| format!("the apps have ended and this is left: {tables:?}"));
            }
        } else if at >= self.rest {
            let standing = tables.listeners + tables.udp_sockets;
            let at_rest = tables.flows == 0 && tables.half_open == 0 && tables.time_wait == 0;
            if !at_rest || tables.sockets != standing {
                found.violation(|| format!("all is done and this is open: {tables:?}"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::show;
    use crate::machine::Vitals;

    #[test]
    fn reject_what_is_left() {
        let tables = |flows, listeners, sockets| {
            let tables = Tables {
                flows,
                listeners,
                sockets,
                ..Tables::default()
            };
            Seen::Looked(Vitals {
                tables,
                ..Vitals::default()
            })
        };
        let mut checker = Baseline::new(Instant::from_secs(10), Instant::from_secs(20));
        let fine = [
            (9_000, 0, tables(3, 1, 3)),
            (10_000, 0, tables(0, 1, 1)),
            (20_000, 0, tables(0, 0, 0)),
        ];
        assert_eq!(show(&mut checker, &fine), [""; 0]);
        for wrong in [
            (10_000, 0, tables(1, 1, 1)),
            (10_000, 0, tables(0, 1, 2)),
            (20_000, 0, tables(0, 1, 1)),
            (20_000, 0, tables(1, 0, 0)),
        ] {
            assert_eq!(show(&mut checker, &[wrong]).len(), 1);
        }
    }
}
