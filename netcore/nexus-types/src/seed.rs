//! A seed: where all the randomness of a netcore object comes from.
//!
//! The host draws it from the OS once; the simulator from its scenario. Parts get seeds
//! of their own by label, so that drawing more in one part does not shift the others.

/// 256 bits of seed. The secret of a host's ephemeral ports and DNS ids, hence no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Seed([u8; 32]);

impl Seed {
    /// Takes the bytes as they are.
    pub const fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A seed for tests and scenarios, spread from one number.
    pub fn from_number(number: u64) -> Self {
        Self([0; 32]).mixed(number)
    }

    /// The bytes, to key a generator with.
    pub const fn bytes(&self) -> [u8; 32] {
        self.0
    }

    /// The seed of the part called `label`.
    ///
    /// Each 64-bit lane goes through a bijection, so no entropy is lost. Not a hash: what is
    /// seeded must be a generator whose output does not show its key (we use ChaCha).
    #[must_use]
    pub fn split(&self, label: &str) -> Self {
        // FNV-1a, 64 bit: labels are ours and few, a collision would show in any trace.
        let hash = label.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
        self.mixed(hash)
    }

    fn mixed(&self, number: u64) -> Self {
        let mut out = [0; 32];
        for (lane, (to, from)) in out
            .chunks_exact_mut(8)
            .zip(self.0.chunks_exact(8))
            .enumerate()
        {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(from);
            let salt = number
                .rotate_left(16 * lane as u32)
                .wrapping_add(lane as u64);
            to.copy_from_slice(&splitmix(u64::from_le_bytes(bytes) ^ salt).to_le_bytes());
        }
        Self(out)
    }
}

/// The finaliser of SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators").
fn splitmix(mut z: u64) -> u64 {
    z = z.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_differ_by_label_and_by_seed() {
        let one = Seed::from_number(1);
        assert!(one.split("ports") == one.split("ports"));
        assert!(one.split("ports") != one.split("dns"));
        assert!(one.split("ports") != Seed::from_number(2).split("ports"));
    }

    #[test]
    fn all_lanes_are_used() {
        let bytes = Seed::from_number(0).bytes();
        for (index, lane) in bytes.chunks_exact(8).enumerate() {
            assert!(lane.iter().any(|byte| *byte != 0), "lane {index}");
            assert!(bytes.chunks_exact(8).filter(|other| *other == lane).count() == 1);
        }
    }
}
