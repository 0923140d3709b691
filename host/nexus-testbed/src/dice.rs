//! Chance by a seed, so that it can be had again.

use std::thread;

/// Names the seed of a run that is to be had again.
const VARIABLE: &str = "NEXUS_TEST_SEED";

/// Numbers that look random; the same seed gives the same. Says the seed when the test fails.
#[derive(Debug)]
pub struct Dice {
    seed: u64,
    state: u64,
}

impl Dice {
    /// Of this seed, or of the one that the environment names.
    ///
    /// # Panics
    /// When what it names is no number.
    pub fn new(seed: u64) -> Self {
        let seed = std::env::var(VARIABLE).map_or(seed, |text| text.parse().expect("a number"));
        Self::exactly(seed)
    }

    fn exactly(seed: u64) -> Self {
        Self { seed, state: seed }
    }

    /// Dice of a seed that follows from this one's.
    #[must_use]
    pub fn split(&self, number: u64) -> Self {
        Self {
            seed: self.seed,
            state: self.seed ^ (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15),
        }
    }

    /// The next number: splitmix64 (Steele, Lea, Flood, 2014).
    pub fn roll(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Whether something happens that does so `of_1000` times in a thousand.
    pub fn happens(&mut self, of_1000: u64) -> bool {
        self.roll() % 1_000 < of_1000
    }

    /// How to have the run of the calling test again.
    pub fn replay(&self) -> String {
        let thread = thread::current();
        let test = thread.name().unwrap_or_default();
        let seed = self.seed;
        format!("{VARIABLE}={seed} cargo xtask test --real --only {test}")
    }
}

impl Drop for Dice {
    fn drop(&mut self) {
        if thread::panicking() && thread::current().name().is_some() {
            eprintln!("seed {}; again: {}", self.seed, self.replay());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a seed is a run. Method: the numbers of the paper's reference code for seed 0.
    #[test]
    fn numbers_follow_from_the_seed() {
        let mut dice = Dice::exactly(0);
        assert_eq!(dice.roll(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(dice.roll(), 0x6e78_9e6a_a1b9_65f4);
        assert_ne!(dice.split(0).roll(), dice.split(1).roll());
    }

    #[test]
    fn what_happens_one_time_in_a_hundred_does_about_that() {
        let mut dice = Dice::exactly(1);
        let times = (0..100_000).filter(|_| dice.happens(10)).count();
        assert!((900..1_100).contains(&times), "{times}");
    }
}
