//! What a machine keeps across a crash: keys and bytes, with the loss a disk has at the border of a sync.
//!
//! A write is seen by every later read at once and is safe after a [`Store::sync`]. At a crash, of the writes of
//! each key since then a drawn number of the first ones is there, and the last of these may be cut short.

use core::fmt;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::dice::{Dice, Ppm};
use crate::limits;

/// The store would be larger than [`limits::STORE_BYTES`] or have more keys than [`limits::STORE_KEYS`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoreFull;

impl fmt::Display for StoreFull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the machine's store is full")
    }
}

impl core::error::Error for StoreFull {}

/// A write; none: the key was removed.
type Write = (String, Option<Vec<u8>>);

#[derive(Debug, Default)]
struct Disk {
    /// As it was at the last sync.
    safe: BTreeMap<String, Vec<u8>>,
    /// As it is.
    seen: BTreeMap<String, Vec<u8>>,
    /// What came since, oldest first.
    unsafe_yet: Vec<Write>,
    bytes: usize,
}

/// A handle; clones are the same store.
#[derive(Clone, Debug, Default)]
pub struct Store(Arc<Mutex<Disk>>);

impl Store {
    /// Nothing is in it.
    pub fn new() -> Self {
        Self::default()
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was written last, if anything.
    pub fn read(&self, key: &str) -> Option<Vec<u8>> {
        self.disk().seen.get(key).cloned()
    }

    /// Writes a key anew.
    ///
    /// # Errors
    /// There is no room; nothing has changed. What waits for a sync takes room as well.
    pub fn write(&self, key: &str, bytes: &[u8]) -> Result<(), StoreFull> {
        let mut disk = self.disk();
        let size = key.len() + bytes.len();
        let is_new = !disk.seen.contains_key(key);
        if disk.bytes + size > limits::STORE_BYTES
            || (is_new && disk.seen.len() == limits::STORE_KEYS)
        {
            return Err(StoreFull);
        }
        disk.bytes += size;
        disk.seen.insert(key.to_owned(), bytes.to_vec());
        disk.unsafe_yet.push((key.to_owned(), Some(bytes.to_vec())));
        Ok(())
    }

    /// Removes a key.
    pub fn remove(&self, key: &str) {
        let mut disk = self.disk();
        if disk.seen.remove(key).is_some() {
            disk.unsafe_yet.push((key.to_owned(), None));
        }
    }

    /// The keys, in order.
    pub fn keys(&self) -> Vec<String> {
        self.disk().seen.keys().cloned().collect()
    }

    /// What was written is safe from now on.
    pub fn sync(&self) {
        let mut disk = self.disk();
        disk.unsafe_yet.clear();
        disk.safe = disk.seen.clone();
        disk.count();
    }

    /// The machine crashes.
    pub(crate) fn crash(&self, dice: &mut Dice) {
        let mut disk = self.disk();
        let mut by_key: BTreeMap<String, Vec<Option<Vec<u8>>>> = BTreeMap::new();
        for (key, write) in core::mem::take(&mut disk.unsafe_yet) {
            by_key.entry(key).or_default().push(write);
        }
        for (key, mut writes) in by_key {
            writes.truncate(dice.within(0, writes.len() as u64) as usize);
            let Some(last) = writes.pop() else {
                continue;
            };
            match last {
                None => _ = disk.safe.remove(&key),
                Some(mut bytes) => {
                    if dice.chance(Ppm::per_mille(250)) {
                        bytes.truncate(dice.within(0, bytes.len() as u64) as usize);
                    }
                    disk.safe.insert(key, bytes);
                }
            }
        }
        disk.seen = disk.safe.clone();
        disk.count();
    }
}

impl Disk {
    fn count(&mut self) {
        let sizes = self.seen.iter().map(|(key, bytes)| key.len() + bytes.len());
        self.bytes = sizes.sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexus_types::Seed;

    #[test]
    fn what_is_synced_survives_and_the_rest_may_not() {
        let (mut lost, mut kept, mut torn) = (0, 0, 0);
        for seed in 0..200 {
            let store = Store::new();
            store.write("safe", b"one").unwrap();
            store.sync();
            store.write("risky", b"abcdef").unwrap();
            assert_eq!(store.read("risky").as_deref(), Some(&b"abcdef"[..]));
            store.crash(&mut Dice::new(&Seed::from_number(seed)));
            assert_eq!(store.read("safe").as_deref(), Some(&b"one"[..]));
            match store.read("risky").as_deref() {
                None => lost += 1,
                Some(b"abcdef") => kept += 1,
                Some(part) => {
                    assert!(b"abcdef".starts_with(part));
                    torn += 1;
                }
            }
        }
        assert!(lost > 20 && kept > 20 && torn > 5, "{lost} {kept} {torn}");
    }

    #[test]
    fn a_crash_never_brings_back_what_was_overwritten_before_the_sync() {
        for seed in 0..100 {
            let store = Store::new();
            store.write("key", b"old").unwrap();
            store.write("key", b"new").unwrap();
            store.sync();
            store.remove("key");
            store.crash(&mut Dice::new(&Seed::from_number(seed)));
            assert!(matches!(store.read("key").as_deref(), None | Some(b"new")));
        }
    }

    #[test]
    fn bytes_and_keys_at_and_over_the_limit() {
        let store = Store::new();
        let most = vec![0; limits::STORE_BYTES - 1];
        store.write("a", &most).unwrap();
        assert_eq!(store.write("b", &[]), Err(StoreFull));
        store.remove("a");
        store.sync();
        for number in 0..limits::STORE_KEYS {
            store.write(&number.to_string(), &[]).unwrap();
        }
        assert_eq!(store.write("more", &[]), Err(StoreFull));
        store.write("0", &[1]).unwrap();
    }
}
