//! A bound on how many packets a second we send to people who sent us something that matched nothing.

use nexus_types::Instant;

/// Tokens, one a packet; a tenth of a second's worth may be saved up.
#[derive(Debug)]
pub(crate) struct Bucket {
    per_second: u64,
    /// In billionths of a token.
    level: u64,
    at: Instant,
}

const TOKEN: u64 = 1_000_000_000;

impl Bucket {
    pub(crate) fn new(per_second: u32, now: Instant) -> Self {
        let per_second = u64::from(per_second);
        Self {
            per_second,
            level: Self::full(per_second),
            at: now,
        }
    }

    fn full(per_second: u64) -> u64 {
        (per_second * TOKEN / 10).max(TOKEN)
    }

    /// Takes one, if there is one.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let passed = (now - self.at).as_nanos().min(u128::from(TOKEN)) as u64;
        self.at = self.at.max(now);
        self.level = (self.level + passed * self.per_second).min(Self::full(self.per_second));
        match self.level.checked_sub(TOKEN) {
            Some(rest) if self.per_second > 0 => {
                self.level = rest;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_the_rate_all_pass_and_over_it_not() {
        let mut bucket = Bucket::new(1_000, Instant::ZERO);
        let passed = (0..100_000_u64)
            .filter(|step| bucket.take(Instant::from_micros(step * 10)))
            .count();
        assert!((1_000..=1_101).contains(&passed), "{passed}");
        let passed = (0..1_000_u64)
            .filter(|step| {
                bucket.take(Instant::from_secs(10) + core::time::Duration::from_millis(*step))
            })
            .count();
        assert_eq!(passed, 1_000);
    }

    #[test]
    fn reject_all_at_a_rate_of_none() {
        assert!(!Bucket::new(0, Instant::ZERO).take(Instant::from_secs(100)));
    }
}
