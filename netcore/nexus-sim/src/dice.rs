//! What decides chances: a small generator for each place that draws, seeded by label.
//!
//! Drawing more in one place shifts no other. SplitMix64 is enough: nobody guards against faults.

use nexus_types::{Duration, Seed};

/// A chance in a million. Decisions are made of integers, so that every machine makes the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Ppm(u32);

impl Ppm {
    /// It never happens.
    pub const NEVER: Self = Self(0);
    /// It always happens.
    pub const ALWAYS: Self = Self(1_000_000);

    /// So many in a million; more is [`Ppm::ALWAYS`].
    pub const fn new(parts: u32) -> Self {
        if parts > Self::ALWAYS.0 {
            Self::ALWAYS
        } else {
            Self(parts)
        }
    }

    /// So many in a thousand.
    pub const fn per_mille(parts: u32) -> Self {
        Self::new(parts.saturating_mul(1_000))
    }

    /// Parts of a million.
    pub const fn parts(self) -> u32 {
        self.0
    }
}

/// A generator (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators").
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// The generator of a seed. Split the seed by label first.
    pub fn new(seed: &Seed) -> Self {
        let bytes = seed.bytes();
        let mut first = [0; 8];
        first.copy_from_slice(&bytes[..8]);
        Self(u64::from_le_bytes(first))
    }

    /// 64 bits.
    pub fn word(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `bound`; 0 if that is 0. (Multiplied and shifted: a bias of 2^-64 a value does not matter here.)
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.word()) * u128::from(bound)) >> 64) as u64
    }

    /// From `least` to `most`, both included.
    pub fn within(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most.saturating_sub(least).saturating_add(1))
    }

    /// From nothing to `most`, both included. Nothing is drawn for nothing.
    pub fn up_to(&mut self, most: Duration) -> Duration {
        if most.is_zero() {
            return most;
        }
        let nanos = u64::try_from(most.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.within(0, nanos))
    }

    /// Whether something with this chance happens. Nothing is drawn for what never does.
    pub fn chance(&mut self, chance: Ppm) -> bool {
        chance != Ppm::NEVER && self.below(1_000_000) < u64::from(chance.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_hold_and_both_ends_are_reached() {
        let mut dice = Dice::new(&Seed::from_number(1));
        let drawn: Vec<_> = (0..1_000).map(|_| dice.within(3, 9)).collect();
        assert_eq!(drawn.iter().min(), Some(&3));
        assert_eq!(drawn.iter().max(), Some(&9));
        assert_eq!(dice.below(0), 0);
        assert_eq!(dice.up_to(Duration::ZERO), Duration::ZERO);
    }

    #[test]
    fn a_chance_is_as_likely_as_it_says() {
        let mut dice = Dice::new(&Seed::from_number(2));
        let hits = (0..100_000)
            .filter(|_| dice.chance(Ppm::per_mille(30)))
            .count();
        assert!((2_700..3_300).contains(&hits), "{hits}");
        assert!(!(0..100).any(|_| dice.chance(Ppm::NEVER)));
        assert!((0..100).all(|_| dice.chance(Ppm::ALWAYS)));
    }

    #[test]
    fn what_never_happens_draws_nothing() {
        let mut dice = Dice::new(&Seed::from_number(3));
        let mut other = dice.clone();
        dice.chance(Ppm::NEVER);
        assert_eq!(dice.word(), other.word());
    }
}
