//! Connections between the SYN and the end of the handshake, without buffers and without a socket.
//!
//! An entry is some hundred bytes: what the SYN said and what we answered. Only when the far end
//! has shown that it got our answer do buffers and a socket come into being, and the handshake is
//! played to smoltcp once more. A flood of SYNs thus costs a small table, in which the oldest makes
//! room for the newest.
//!
//! The same table holds invitations (gateway mode), which are not answered until somebody decides.

use std::collections::VecDeque;

use nexus_types::{Instant, SocketAddr};

use crate::id::Key;
use crate::key::{FlowKey, Path};
use crate::packet::SynOptions;
use crate::slab::Slab;

#[derive(Clone, Debug)]
pub(crate) struct HalfOpen {
    pub(crate) key: FlowKey,
    pub(crate) path: Path,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    /// Where it will be accepted; none for an invitation.
    pub(crate) listener: Option<Key>,
    /// Their first sequence number.
    pub(crate) irs: u32,
    /// Our first sequence number.
    pub(crate) isn: u32,
    pub(crate) window: u16,
    pub(crate) options: SynOptions,
    /// When our answer went out first.
    pub(crate) answered_at: Instant,
    /// How often it went out.
    pub(crate) answers: u8,
}

/// Entries, oldest first.
#[derive(Debug)]
pub(crate) struct HalfOpens {
    slab: Slab<HalfOpen>,
    /// By age; entries that are gone stay until they come up, or are swept.
    age: VecDeque<Key>,
    limit: usize,
}

impl HalfOpens {
    pub(crate) fn new(limit: u32) -> Self {
        Self {
            slab: Slab::new(),
            age: VecDeque::new(),
            limit: limit.max(1) as usize,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.slab.len() >= self.limit
    }

    /// The entry that has been there longest.
    pub(crate) fn oldest(&mut self) -> Option<Key> {
        while let Some(key) = self.age.front() {
            if self.slab.get(*key).is_some() {
                return Some(*key);
            }
            self.age.pop_front();
        }
        None
    }

    /// Adds an entry; the caller has made room.
    pub(crate) fn insert(&mut self, entry: HalfOpen) -> Key {
        debug_assert!(!self.is_full());
        if self.age.len() >= self.limit * 2 {
            let slab = &self.slab;
            self.age.retain(|key| slab.get(*key).is_some());
        }
        let key = self.slab.insert(entry);
        self.age.push_back(key);
        key
    }

    pub(crate) fn get(&self, key: Key) -> Option<&HalfOpen> {
        self.slab.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut HalfOpen> {
        self.slab.get_mut(key)
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<HalfOpen> {
        self.slab.remove(key)
    }

    pub(crate) fn key_at(&self, index: u32) -> Option<Key> {
        self.slab.key_at(index)
    }

    pub(crate) fn keys_where(&self, matches: impl FnMut(&HalfOpen) -> bool) -> Vec<Key> {
        self.slab.keys_where(matches)
    }
}
