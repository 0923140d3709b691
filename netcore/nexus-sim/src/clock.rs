//! A machine's own clock: it starts where it likes, runs fast or slow, and is stepped. It never goes back: what
//! netcore is given is monotonic in every host.

use nexus_types::Instant;

/// What a million nanoseconds of the world are, at most, too many or too few on a clock. Real ones drift by
/// 0.02 % at most; a tenth finds what a year would.
pub const DRIFT_MAX: i32 = 100_000;

const MILLION: i128 = 1_000_000;

/// See the module.
#[derive(Clone, Copy, Debug)]
pub struct LocalClock {
    /// In the world's time.
    since: Instant,
    /// What it showed then; below `floor` while it is held.
    shown: Instant,
    /// It shows this until it would show more.
    floor: Instant,
    /// Parts of a million it is fast by.
    drift: i32,
}

impl LocalClock {
    /// A clock that shows `shown` when the world begins.
    pub const fn new(shown: Instant) -> Self {
        Self {
            since: Instant::ZERO,
            shown,
            floor: shown,
            drift: 0,
        }
    }

    /// What it shows.
    pub fn read(&self, at: Instant) -> Instant {
        self.line(at).max(self.floor)
    }

    /// What it would show were it never held.
    fn line(&self, at: Instant) -> Instant {
        let passed = at.as_nanos().saturating_sub(self.since.as_nanos());
        let passed = if self.drift == 0 {
            passed
        } else {
            let scaled = i128::from(passed) * (MILLION + i128::from(self.drift)) / MILLION;
            u64::try_from(scaled).unwrap_or(u64::MAX)
        };
        Instant::from_nanos(self.shown.as_nanos().saturating_add(passed))
    }

    /// The first time of the world at which it shows `local` or more.
    pub fn when(&self, local: Instant) -> Instant {
        if local == Instant::FAR_FUTURE {
            return local;
        }
        if local <= self.floor.max(self.shown) {
            return self.since;
        }
        let ahead = local.as_nanos() - self.shown.as_nanos();
        let passed = if self.drift == 0 {
            ahead
        } else {
            let rate = MILLION + i128::from(self.drift);
            let scaled = (i128::from(ahead) * MILLION + rate - 1) / rate;
            u64::try_from(scaled).unwrap_or(u64::MAX)
        };
        Instant::from_nanos(self.since.as_nanos().saturating_add(passed))
    }

    /// Sets how fast it is from now on, within [`DRIFT_MAX`].
    pub fn set_drift(&mut self, at: Instant, drift: i32) {
        self.settle(at);
        self.drift = drift.clamp(-DRIFT_MAX, DRIFT_MAX);
    }

    /// Steps it by so many nanoseconds. Backwards, it stands still until time has caught up.
    pub fn step(&mut self, at: Instant, nanos: i64) {
        self.settle(at);
        let shown = self.shown.as_nanos();
        self.shown = Instant::from_nanos(shown.saturating_add_signed(nanos));
        self.floor = self.floor.max(self.shown);
    }

    /// From here on it is measured from `at`.
    fn settle(&mut self, at: Instant) {
        let (line, shown) = (self.line(at), self.read(at));
        self.since = at;
        self.shown = line;
        self.floor = shown;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Dice;
    use nexus_types::Seed;

    #[test]
    fn a_clock_without_faults_is_the_worlds_with_another_origin() {
        let clock = LocalClock::new(Instant::from_secs(5));
        assert_eq!(clock.read(Instant::from_secs(2)), Instant::from_secs(7));
        assert_eq!(clock.when(Instant::from_secs(7)), Instant::from_secs(2));
        assert_eq!(clock.when(Instant::FAR_FUTURE), Instant::FAR_FUTURE);
    }

    /// Goal: it never goes back, and `when` is the first time it shows that much. Method: random steps and
    /// drifts.
    #[test]
    fn it_never_goes_back_and_when_inverts_read() {
        let mut dice = Dice::new(&Seed::from_number(4));
        let mut clock = LocalClock::new(Instant::from_secs(1));
        let (mut at, mut last) = (0, Instant::ZERO);
        for _ in 0..10_000 {
            at += dice.below(1_000_000_000);
            let now = Instant::from_nanos(at);
            match dice.below(4) {
                0 => clock.step(now, dice.below(2_000_000_000).cast_signed() - 1_000_000_000),
                1 => clock.set_drift(now, dice.below(300_000) as i32 - 150_000),
                _ => {}
            }
            let shown = clock.read(now);
            assert!(shown >= last);
            last = shown;
            let wanted = Instant::from_nanos(shown.as_nanos() + 1 + dice.below(5_000_000_000));
            let when = clock.when(wanted);
            assert!(clock.read(when) >= wanted);
            let before = Instant::from_nanos(when.as_nanos() - 1);
            assert!(clock.read(before) < wanted, "{wanted} at {before}");
        }
    }

    #[test]
    fn stepped_back_it_stands_still() {
        let mut clock = LocalClock::new(Instant::ZERO);
        clock.step(Instant::from_secs(10), -4_000_000_000);
        assert_eq!(clock.read(Instant::from_secs(13)), Instant::from_secs(10));
        assert_eq!(clock.read(Instant::from_secs(15)), Instant::from_secs(11));
    }
}
