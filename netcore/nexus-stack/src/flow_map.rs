//! The one hash table netcore needs: keyed from the seed, so that nobody outside can choose
//! colliding addresses and ports, and without any way to iterate, so that its order is nobody's.
//!
//! Open addressing, linear probing, deletion by shifting back: no tombstones that pile up.

use nexus_types::Seed;

/// What can be looked up: it is five words.
pub(crate) trait MapKey: Copy + Eq {
    fn words(&self) -> [u64; 5];
}

/// See the module.
pub(crate) struct FlowMap<K, V> {
    k0: u64,
    k1: u64,
    slots: Vec<Option<Slot<K, V>>>,
    len: usize,
}

#[derive(Clone, Copy)]
struct Slot<K, V> {
    hash: u64,
    key: K,
    value: V,
}

impl<K: MapKey, V: Copy> FlowMap<K, V> {
    const SMALLEST: usize = 64;

    pub(crate) fn new(seed: &Seed) -> Self {
        let bytes = seed.bytes();
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(word)
        };
        Self {
            k0: word(0) ^ word(16),
            k1: word(8) ^ word(24),
            slots: vec![None; Self::SMALLEST],
            len: 0,
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn get(&self, key: &K) -> Option<V> {
        let hash = self.hash(key);
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        while let Some(slot) = &self.slots[at] {
            if slot.hash == hash && slot.key == *key {
                return Some(slot.value);
            }
            at = (at + 1) & mask;
        }
        None
    }

    /// Puts `value` under `key`; what was there before comes back.
    pub(crate) fn insert(&mut self, key: K, value: V) -> Option<V> {
        if (self.len + 1) * 2 > self.slots.len() {
            self.grow();
        }
        let slot = Slot {
            hash: self.hash(&key),
            key,
            value,
        };
        let old = Self::place(&mut self.slots, slot);
        self.len += usize::from(old.is_none());
        old
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let hash = self.hash(key);
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            match &self.slots[at] {
                None => return None,
                Some(slot) if slot.hash == hash && slot.key == *key => break,
                Some(_) => at = (at + 1) & mask,
            }
        }
        let removed = self.slots[at].take().map(|slot| slot.value);
        self.len -= 1;
        // Whatever was pushed past the hole moves back into it (Knuth 6.4, algorithm R).
        let mut hole = at;
        let mut next = (at + 1) & mask;
        while let Some(slot) = self.slots[next] {
            let home = slot.hash as usize & mask;
            if (next.wrapping_sub(home) & mask) >= (next.wrapping_sub(hole) & mask) {
                self.slots[hole] = self.slots[next].take();
                hole = next;
            }
            next = (next + 1) & mask;
        }
        removed
    }

    fn place(slots: &mut [Option<Slot<K, V>>], slot: Slot<K, V>) -> Option<V> {
        let mask = slots.len() - 1;
        let mut at = slot.hash as usize & mask;
        loop {
            match &mut slots[at] {
                Some(there) if there.hash == slot.hash && there.key == slot.key => {
                    return Some(core::mem::replace(&mut there.value, slot.value));
                }
                Some(_) => at = (at + 1) & mask,
                empty @ None => {
                    *empty = Some(slot);
                    return None;
                }
            }
        }
    }

    fn grow(&mut self) {
        let mut slots = vec![None; self.slots.len() * 2];
        for slot in self.slots.drain(..).flatten() {
            Self::place(&mut slots, slot);
        }
        self.slots = slots;
    }

    #[inline]
    fn hash(&self, key: &K) -> u64 {
        siphash(self.k0, self.k1, &key.words())
    }
}

/// SipHash-1-3 (Aumasson, Bernstein: "SipHash: a fast short-input PRF") of five words.
#[inline]
pub(crate) fn siphash(k0: u64, k1: u64, words: &[u64; 5]) -> u64 {
    let mut v = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    let round = |v: &mut [u64; 4]| {
        v[0] = v[0].wrapping_add(v[1]);
        v[2] = v[2].wrapping_add(v[3]);
        v[1] = v[1].rotate_left(13) ^ v[0];
        v[3] = v[3].rotate_left(16) ^ v[2];
        v[0] = v[0].rotate_left(32);
        v[2] = v[2].wrapping_add(v[1]);
        v[0] = v[0].wrapping_add(v[3]);
        v[1] = v[1].rotate_left(17) ^ v[2];
        v[3] = v[3].rotate_left(21) ^ v[0];
        v[2] = v[2].rotate_left(32);
    };
    for word in words {
        v[3] ^= word;
        round(&mut v);
        v[0] ^= word;
    }
    // The last block of the original holds the length in its top byte and no bytes of ours.
    let last = 40 << 56;
    v[3] ^= last;
    round(&mut v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for _ in 0..3 {
        round(&mut v);
    }
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    struct Number(u64);

    impl MapKey for Number {
        fn words(&self) -> [u64; 5] {
            [self.0; 5]
        }
    }

    /// Goal: the map agrees with an ordered map over a long random walk of inserts and removals,
    /// deep enough that clusters form, shift back and wrap around the end.
    #[test]
    fn agrees_with_an_ordered_map() {
        let mut map = FlowMap::new(&Seed::from_number(1));
        let mut model = BTreeMap::new();
        let mut state = 1_u64;
        for step in 0..200_000_u64 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let key = (state >> 33) % 3_000;
            if state >> 62 < 2 {
                assert_eq!(map.insert(Number(key), step), model.insert(key, step));
            } else {
                assert_eq!(map.remove(&Number(key)), model.remove(&key));
            }
            let probe = (state >> 40) % 3_000;
            assert_eq!(map.get(&Number(probe)), model.get(&probe).copied());
            assert_eq!(map.len(), model.len());
        }
    }

    /// The order of slots depends on the seed: nobody can aim at one bucket from outside.
    #[test]
    fn another_seed_is_another_hash() {
        let one = FlowMap::<Number, ()>::new(&Seed::from_number(1));
        let two = FlowMap::<Number, ()>::new(&Seed::from_number(2));
        assert_ne!(one.hash(&Number(7)), two.hash(&Number(7)));
    }

    /// Neighbouring addresses and ports land far apart.
    #[test]
    fn hashes_spread() {
        let mut buckets = [0_u32; 64];
        for number in 0..64_000_u64 {
            buckets[(siphash(1, 2, &[number, 0, 0, 0, 0]) & 63) as usize] += 1;
        }
        assert!(buckets.iter().all(|count| (800..1_200).contains(count)));
    }
}
