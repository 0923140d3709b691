//! The clocks: one for timeouts, one for dates in policies.

use std::time::Instant;

use nexus_policy::WallTime;

use super::finding::{Finding, Level};
use crate::cli::policies::wall_time;

/// No clock that is right shows a time before this one. Renewed with the year.
const BUILT: WallTime = WallTime(1_767_225_600); // 2026-01-01T00:00:00Z
/// 100 years later.
const FAR: WallTime = WallTime(BUILT.0 + 36_525 * 86_400);

/// How often the clock is read until it goes on. Its steps are nanoseconds, a reading takes tens.
const READINGS: usize = 1_000_000;

pub(super) fn look(findings: &mut Vec<Finding>) {
    let begin = Instant::now();
    let goes_on = (0..READINGS).any(|_| Instant::now() > begin);
    findings.push(monotonic(goes_on));
    findings.push(wall(wall_time()));
}

fn monotonic(goes_on: bool) -> Finding {
    const WHY: &str = "timeouts, retransmissions and expiries are measured by it";
    if goes_on {
        Finding::new("clock", Level::Ok, "the monotonic clock goes on", WHY)
    } else {
        let what = "the monotonic clock stands still";
        Finding::new("clock", Level::Error, what, WHY)
            .advise("this is the machine's to mend: choose another clock source, or another virtual machine monitor")
    }
}

fn wall(now: WallTime) -> Finding {
    const WHY: &str =
        "`expires` of a policy's rules is compared with it, and the audit log shows it";
    let what = if now < BUILT {
        "the wall clock shows a time before this host was built"
    } else if now > FAR {
        "the wall clock shows a time more than 100 years ahead"
    } else {
        return Finding::new("clock", Level::Ok, "the wall clock is plausible", WHY);
    };
    Finding::new("clock", Level::Error, what, WHY)
        .advise("set it, as with `timedatectl set-ntp true`")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a clock nobody has set is told. Method: times at and past each border.
    #[test]
    fn reject_a_clock_that_nobody_has_set() {
        for (now, level) in [
            (WallTime(0), Level::Error),
            (WallTime(-1), Level::Error),
            (WallTime(BUILT.0 - 1), Level::Error),
            (BUILT, Level::Ok),
            (FAR, Level::Ok),
            (WallTime(FAR.0 + 1), Level::Error),
        ] {
            assert_eq!(wall(now).level, level, "{now:?}");
        }
        assert_eq!(WallTime::parse("2026-01-01T00:00:00Z"), Some(BUILT));
    }

    #[test]
    fn reject_a_clock_that_stands_still() {
        assert_eq!(monotonic(false).level, Level::Error);
        assert_eq!(monotonic(true).level, Level::Ok);
    }
}
