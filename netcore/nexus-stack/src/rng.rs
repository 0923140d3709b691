//! Random numbers from the seed, and sequence numbers smoltcp would not choose itself.

use nexus_types::Seed;
use rand_chacha::ChaCha12Rng;
use rand_core::{Rng as _, SeedableRng as _};

/// A generator whose output does not show its key.
pub(crate) struct Random(ChaCha12Rng);

impl Random {
    pub(crate) fn new(seed: &Seed) -> Self {
        Self(ChaCha12Rng::from_seed(seed.bytes()))
    }

    pub(crate) fn word(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// Evenly below `bound` (by rejection; Lemire, "Fast Random Integer Generation in an Interval").
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        debug_assert!(bound > 0);
        loop {
            let product = u64::from(self.word()) * u64::from(bound);
            if product as u32 >= bound.wrapping_neg() % bound {
                return (product >> 32) as u32;
            }
        }
    }
}

/// The seed with which smoltcp 0.14's generator gives `wanted` as the first number after the
/// one its `Interface::new` draws (an IPv4 identification, drawn again while it is 0).
///
/// smoltcp takes initial sequence numbers from a 64-bit PCG, whose state a few observed numbers
/// give away (so RFC 6528 is not met), and offers no other way. The generator can be run
/// backwards, so we choose: `rng::tests` and an assertion at every handshake check it.
pub(crate) fn interface_seed(wanted: u32) -> u64 {
    const M: u64 = 0xbb2e_fcec_3c39_611d;
    const A: u64 = 0x7590_ef39;
    const INVERSE: u64 = inverse(M);
    let back = |state: u64| state.wrapping_sub(A).wrapping_mul(INVERSE);
    // A state below 2^61 gives its bits 29 to 60; the low 29 are free.
    let mut state = u64::from(wanted) << 29;
    loop {
        let before = back(state);
        let drawn = (before >> (29 - (before >> 61))) as u32;
        if (drawn ^ (drawn >> 16)) as u16 != 0 {
            return back(before);
        }
        state += 1;
    }
}

/// The inverse of an odd number modulo 2^64 (Newton: each step doubles the right bits).
const fn inverse(odd: u64) -> u64 {
    let mut inverse = odd;
    let mut step = 0;
    while step < 5 {
        inverse = inverse.wrapping_mul(2_u64.wrapping_sub(odd.wrapping_mul(inverse)));
        step += 1;
    }
    inverse
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_is_below_and_reaches_both_ends() {
        let mut random = Random::new(&Seed::from_number(3));
        let drawn: Vec<_> = (0..1_000).map(|_| random.below(7)).collect();
        assert!((0..7).all(|number| drawn.contains(&number)));
        assert!(drawn.iter().all(|number| *number < 7));
    }

    #[test]
    fn the_inverse_inverts() {
        assert_eq!(
            inverse(0xbb2e_fcec_3c39_611d).wrapping_mul(0xbb2e_fcec_3c39_611d),
            1
        );
    }
}
