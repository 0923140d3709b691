//! A retry schedule that ends: a pure function of (configuration, seed, attempt).

use core::time::Duration;

use crate::Seed;

/// The shape of a schedule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BackoffConfig {
    /// The wait before the first retry.
    pub first: Duration,
    /// No wait is longer.
    pub longest: Duration,
    /// How many retries there are; then the schedule is over.
    pub retries: u32,
}

impl Default for BackoffConfig {
    /// ```
    /// # use nexus_types::{BackoffConfig, Duration};
    /// let default = BackoffConfig::default();
    /// assert_eq!(default.first, Duration::from_millis(100));
    /// assert_eq!(default.longest, Duration::from_secs(5));
    /// assert_eq!(default.retries, 6);
    /// ```
    fn default() -> Self {
        Self {
            first: Duration::from_millis(100),
            longest: Duration::from_secs(5),
            retries: 6,
        }
    }
}

/// The waits of one schedule: doubling from `first` to `longest`, each shortened by up to
/// half by the seed, so that many clients of one server do not come back at once.
///
/// ```
/// # use nexus_types::{Backoff, BackoffConfig, Seed};
/// let waits: Vec<_> = Backoff::new(BackoffConfig::default(), &Seed::from_number(1)).collect();
/// assert_eq!(waits.len(), 6);
/// ```
#[derive(Clone, Debug)]
pub struct Backoff {
    config: BackoffConfig,
    salt: u64,
    attempt: u32,
}

impl Backoff {
    /// A schedule at its beginning.
    pub fn new(config: BackoffConfig, seed: &Seed) -> Self {
        let bytes = seed.split("backoff").bytes();
        let mut first = [0; 8];
        first.copy_from_slice(&bytes[..8]);
        Self {
            config,
            salt: u64::from_le_bytes(first),
            attempt: 0,
        }
    }
}

impl Iterator for Backoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        if self.attempt >= self.config.retries {
            return None;
        }
        let doubled = self
            .config
            .first
            .saturating_mul(1_u32.checked_shl(self.attempt).unwrap_or(u32::MAX));
        let whole = doubled.min(self.config.longest);
        // A Weyl step per attempt; 16 bits of it pick how much of the second half is kept.
        self.salt = self.salt.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let kept = ((self.salt ^ (self.salt >> 29)) >> 40) as u32 & 0xffff;
        self.attempt += 1;
        Some(whole / 2 + (whole / 2).mul_f64(f64::from(kept) / 65_536.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_waits() {
        let waits =
            |n| Backoff::new(BackoffConfig::default(), &Seed::from_number(n)).collect::<Vec<_>>();
        assert_eq!(waits(7), waits(7));
        assert_ne!(waits(7), waits(8));
    }

    #[test]
    fn waits_stay_between_half_and_whole_and_end() {
        let config = BackoffConfig {
            retries: 80,
            ..Default::default()
        };
        let waits: Vec<_> = Backoff::new(config, &Seed::from_number(3)).collect();
        assert_eq!(waits.len(), 80);
        for (attempt, wait) in waits.iter().enumerate() {
            let whole = config
                .first
                .saturating_mul(1 << attempt.min(20))
                .min(config.longest);
            assert!(
                *wait >= whole / 2 && *wait <= whole,
                "attempt {attempt}: {wait:?}"
            );
        }
    }

    #[test]
    fn no_retries_means_none() {
        let config = BackoffConfig {
            retries: 0,
            ..Default::default()
        };
        assert_eq!(Backoff::new(config, &Seed::from_number(0)).next(), None);
    }
}
