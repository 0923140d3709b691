//! Time: no timer in the past, no busy loop.

use nexus_types::Instant;

use super::{Checker, Found, Seen};
use crate::limits;
use crate::machine::MachineId;

/// No machine leaves undone what was due before its turn.
#[derive(Clone, Copy, Debug, Default)]
pub struct PastTimer;

impl Checker for PastTimer {
    fn name(&self) -> &'static str {
        "past-timer"
    }

    fn looks_at_frames(&self) -> bool {
        false
    }

    fn see(&mut self, _: Instant, _: MachineId, seen: &Seen<'_>, found: &mut Found<'_>) {
        if let Seen::Turned {
            now,
            due: Some(due),
            ..
        } = *seen
            && due != Instant::ZERO
            && due < now
        {
            found.violation(|| format!("after its turn at {now} it says that {due} is still due"));
        }
    }
}

/// No machine goes on at one instant without getting anywhere, nor for ever.
#[derive(Clone, Copy, Debug, Default)]
pub struct BusyLoop;

impl Checker for BusyLoop {
    fn name(&self) -> &'static str {
        "busy-loop"
    }

    fn looks_at_frames(&self) -> bool {
        false
    }

    fn see(&mut self, _: Instant, _: MachineId, seen: &Seen<'_>, found: &mut Found<'_>) {
        if let Seen::Turned { idle, turns, .. } = *seen {
            if idle == limits::IDLE_TURNS {
                found.violation(|| format!("{idle} turns at one instant, and no frame in or out"));
            } else if turns == limits::TURNS {
                found.violation(|| format!("{turns} turns at one instant"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::show;

    fn turned(now: u64, due: Option<u64>, idle: u32, turns: u32) -> Seen<'static> {
        Seen::Turned {
            now: Instant::from_millis(now),
            due: due.map(Instant::from_millis),
            idle,
            turns,
        }
    }

    #[test]
    fn reject_a_timer_in_the_past() {
        let sound = [Some(5), Some(6), Some(0), None];
        let sound = sound.map(|due| (5, 0, turned(5, due, 1, 1)));
        assert_eq!(show(&mut PastTimer, &sound), [""; 0]);
        assert_eq!(
            show(&mut PastTimer, &[(5, 0, turned(5, Some(4), 1, 1))]).len(),
            1
        );
    }

    #[test]
    fn reject_a_busy_loop() {
        let mut checker = BusyLoop;
        let under = turned(5, None, limits::IDLE_TURNS - 1, limits::TURNS - 1);
        assert_eq!(show(&mut checker, &[(5, 0, under)]), [""; 0]);
        let idle = turned(5, None, limits::IDLE_TURNS, 100);
        let turns = turned(5, None, 0, limits::TURNS);
        assert_eq!(show(&mut checker, &[(5, 0, idle), (5, 0, turns)]).len(), 2);
    }
}
