//! Names to what is said of them, in one probe a name.

use nexus_types::HostName;

/// Names to what is said of each. Open addressing with linear probes over a power of two at least twice the
/// number of names; the salt is the first that keeps every probe short, so that a manifest
/// cannot choose its names to collide.
#[derive(Clone, Debug, Default)]
pub(crate) struct NameTable<T> {
    slots: Vec<Slot>,
    entries: Vec<(HostName, T)>,
    salt: u64,
}

/// Upper half of the hash, and the entry's place plus one; zero is free.
type Slot = (u32, u32);

/// A probe longer than this rejects a salt, for the first [`SALTS`] of them.
const PROBES_MAX: usize = 12;
const SALTS: u64 = 64;

impl<T> NameTable<T> {
    /// No name is in `names` twice.
    pub(crate) fn build(names: impl Iterator<Item = (HostName, T)>) -> Self {
        let entries: Vec<_> = names.collect();
        if entries.is_empty() {
            return Self {
                slots: Vec::new(),
                entries,
                salt: 0,
            };
        }
        let size = (entries.len() * 2).next_power_of_two().max(8);
        let mut best: Option<(usize, u64, Vec<Slot>)> = None;
        for salt in 0..SALTS {
            let (probes, slots) = fill(&entries, size, salt);
            if best.as_ref().is_none_or(|(least, ..)| probes < *least) {
                best = Some((probes, salt, slots));
            }
            if probes <= PROBES_MAX {
                break;
            }
        }
        let (_, salt, slots) = best.unwrap_or_default();
        Self {
            slots,
            entries,
            salt,
        }
    }

    /// What is said of this very name.
    pub(crate) fn exact(&self, name: &QueryName<'_>) -> Option<&T> {
        self.get(name.whole, name.text)
    }

    /// What is said of each of its parents that is here, the longest parent last.
    pub(crate) fn parents<'a>(&'a self, name: &'a QueryName<'_>) -> impl Iterator<Item = &'a T> {
        let count = if self.entries.is_empty() {
            0
        } else {
            name.count
        };
        (0..count)
            .filter_map(|n| self.get(name.hashes[n], &name.text[usize::from(name.begins[n])..]))
    }

    fn get(&self, hash: u64, name: &str) -> Option<&T> {
        let mask = self.slots.len().checked_sub(1)?;
        let hash = finish(hash, self.salt);
        let tag = (hash >> 32) as u32;
        let mut at = hash as usize & mask;
        // At most half of the slots are used, so a free one ends every probe.
        loop {
            let (found, entry) = self.slots[at];
            let place = entry.checked_sub(1)? as usize;
            if found == tag && self.entries[place].0.as_str() == name {
                return Some(&self.entries[place].1);
            }
            at = (at + 1) & mask;
        }
    }
}

fn fill<T>(entries: &[(HostName, T)], size: usize, salt: u64) -> (usize, Vec<Slot>) {
    let mask = size - 1;
    let mut slots = vec![(0, 0); size];
    let mut longest = 0;
    for (place, (name, _)) in entries.iter().enumerate() {
        let hash = finish(name.as_str().bytes().rev().fold(BASIS, step), salt);
        let mut at = hash as usize & mask;
        let mut probes = 1;
        while slots[at].1 != 0 {
            at = (at + 1) & mask;
            probes += 1;
        }
        slots[at] = ((hash >> 32) as u32, place as u32 + 1);
        longest = longest.max(probes);
    }
    (longest, slots)
}

/// A name to be looked up in many tables: hashed once, and each of its parents on the way.
pub(crate) struct QueryName<'a> {
    text: &'a str,
    whole: u64,
    /// Where each parent begins, and its hash. A name of 253 characters has at most 126 dots.
    begins: [u8; LABELS_MAX],
    hashes: [u64; LABELS_MAX],
    count: usize,
}

const LABELS_MAX: usize = HostName::BYTES_MAX / 2;

impl<'a> QueryName<'a> {
    /// `text` is a host name in its one form.
    pub(crate) fn new(text: &'a str) -> Self {
        let mut query = Self {
            text,
            whole: 0,
            begins: [0; LABELS_MAX],
            hashes: [0; LABELS_MAX],
            count: 0,
        };
        let mut hash = BASIS;
        for (at, byte) in text.bytes().enumerate().rev() {
            if byte == b'.' && query.count < LABELS_MAX {
                // A host name is shorter than 256 bytes: what is after a dot of it begins below that.
                query.begins[query.count] = (at + 1) as u8;
                query.hashes[query.count] = hash;
                query.count += 1;
            }
            hash = step(hash, byte);
        }
        query.whole = hash;
        query
    }

    pub(crate) fn as_str(&self) -> &'a str {
        self.text
    }
}

// FNV-1a from the last byte to the first: one pass over a name gives the hash of each parent on
// its way. The salted finaliser spreads it over the bits that pick a slot.
const BASIS: u64 = 0xcbf2_9ce4_8422_2325;

fn step(hash: u64, byte: u8) -> u64 {
    (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
}

fn finish(hash: u64, salt: u64) -> u64 {
    let hash = hash ^ salt.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let hash = (hash ^ (hash >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parent_is_found_and_nothing_else() {
        let name = |text: &str| HostName::parse(text).unwrap();
        let table = NameTable::build(
            ["example.com", "a.example.com", "com.example"]
                .iter()
                .map(|text| (name(text), ())),
        );
        for (text, exact, parents) in [
            ("example.com", true, 0),
            ("a.example.com", true, 1),
            ("x.y.a.example.com", false, 2),
            ("evilexample.com", false, 0),
            ("com", false, 0),
        ] {
            let query = QueryName::new(text);
            assert_eq!(
                (table.exact(&query).is_some(), table.parents(&query).count()),
                (exact, parents),
                "{text}"
            );
        }
    }

    #[test]
    fn the_name_with_the_most_labels_has_all_its_parents() {
        let text = ["a"; 127].join(".");
        assert_eq!(text.len(), HostName::BYTES_MAX);
        assert_eq!(QueryName::new(&text).count, 126);
    }

    #[test]
    fn ten_thousand_names_are_found() {
        let text = |n: u32| format!("h{n}.zone{}.example", n % 97);
        let names = (0..10_000).map(|n| (HostName::parse(&text(n)).unwrap(), n));
        let table = NameTable::build(names);
        for n in 0..10_000 {
            assert_eq!(table.exact(&QueryName::new(&text(n))), Some(&n));
        }
        assert!(table.exact(&QueryName::new("h1.zone2.example")).is_none());
    }
}
