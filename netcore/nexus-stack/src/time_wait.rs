//! Connections in TIME-WAIT: what it takes to answer late segments, without buffers.
//!
//! RFC 9293 section 3.10.7.4: a late segment is acknowledged; a repeated FIN also starts the wait
//! anew. A SYN beyond what was received opens a new connection (RFC 6191, RFC 9293 section 3.6.1).

use std::collections::VecDeque;

use nexus_types::{Duration, Instant, SocketAddr};

use crate::id::Key;
use crate::key::{FlowKey, Path};
use crate::slab::Slab;

#[derive(Clone, Debug)]
pub(crate) struct TimeWait {
    pub(crate) key: FlowKey,
    pub(crate) path: Path,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
    /// The end of what we sent.
    pub(crate) snd_nxt: u32,
    /// The end of what we received.
    pub(crate) rcv_nxt: u32,
    pub(crate) window: u16,
    pub(crate) until: Instant,
    /// When the last answer went out: one a second, or two ends could keep answering each other.
    pub(crate) answered_at: Option<Instant>,
}

/// Entries, in the order in which they end.
#[derive(Debug)]
pub(crate) struct TimeWaits {
    slab: Slab<TimeWait>,
    /// With the end each had when it was put here, in the order of these.
    order: VecDeque<(Key, Instant)>,
    limit: usize,
}

impl TimeWaits {
    pub(crate) fn new(limit: u32) -> Self {
        Self {
            slab: Slab::new(),
            order: VecDeque::new(),
            limit: limit as usize,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    /// Adds an entry. What made room for it comes back.
    pub(crate) fn insert(&mut self, entry: TimeWait) -> (Key, Option<TimeWait>) {
        let mut evicted = None;
        while self.slab.len() >= self.limit.max(1) {
            let Some((key, _)) = self.order.pop_front() else {
                break;
            };
            evicted = self.slab.remove(key);
            if evicted.is_some() {
                break;
            }
        }
        if self.order.len() >= self.limit.max(1) * 2 {
            let slab = &self.slab;
            self.order.retain(|(key, _)| slab.get(*key).is_some());
        }
        let until = entry.until;
        let key = self.slab.insert(entry);
        self.put_in_order(key, until);
        (key, evicted)
    }

    /// All waits are equally long, so a new one ends last; one that was started anew ended up somewhere between.
    fn put_in_order(&mut self, key: Key, until: Instant) {
        let at = self.order.partition_point(|(_, other)| *other <= until);
        self.order.insert(at, (key, until));
    }

    pub(crate) fn get(&self, key: Key) -> Option<&TimeWait> {
        self.slab.get(key)
    }

    /// Notes an answer; true if one may go out.
    pub(crate) fn answer(&mut self, key: Key, now: Instant) -> bool {
        let Some(entry) = self.slab.get_mut(key) else {
            return false;
        };
        let due = entry
            .answered_at
            .is_none_or(|at| now - at >= Duration::from_secs(1));
        if due {
            entry.answered_at = Some(now);
        }
        due
    }

    /// Starts the wait of an entry anew.
    pub(crate) fn restart(&mut self, key: Key, until: Instant) {
        if let Some(entry) = self.slab.get_mut(key) {
            entry.until = until;
        }
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<TimeWait> {
        self.slab.remove(key)
    }

    pub(crate) fn key_at(&self, index: u32) -> Option<Key> {
        self.slab.key_at(index)
    }

    /// When the next entry ends.
    pub(crate) fn next(&mut self) -> Option<Instant> {
        while let Some((key, until)) = self.order.front().copied() {
            let until = match self.slab.get(key) {
                Some(entry) if entry.until == until => return Some(until),
                Some(entry) => Some(entry.until),
                None => None,
            };
            self.order.pop_front();
            if let Some(until) = until {
                self.put_in_order(key, until);
            }
        }
        None
    }

    /// Takes out one entry that has ended.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<TimeWait> {
        if self.next()? > now {
            return None;
        }
        let (key, _) = self.order.pop_front()?;
        self.slab.remove(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(until: u64) -> TimeWait {
        let address = "10.0.0.1:80".parse().unwrap();
        TimeWait {
            key: FlowKey::new(Path::Wire, address, address),
            path: Path::Wire,
            local: address,
            remote: address,
            snd_nxt: 0,
            rcv_nxt: 0,
            window: 0,
            until: Instant::from_secs(until),
            answered_at: None,
        }
    }

    /// Goal: a wait that was started anew ends when it says, not behind those that began after it. Method: the
    /// first of three ends between the others. (Found by nexus-sim's checker of timers in the past.)
    #[test]
    fn a_wait_started_anew_ends_in_its_turn() {
        let mut waits = TimeWaits::new(8);
        let (first, _) = waits.insert(entry(10));
        waits.insert(entry(11));
        waits.insert(entry(15));
        waits.restart(first, Instant::from_secs(12));
        for until in [11, 12, 15] {
            let until = Instant::from_secs(until);
            assert_eq!(waits.next(), Some(until));
            assert_eq!(waits.pop_due(until).map(|entry| entry.until), Some(until));
        }
        assert_eq!(waits.next(), None);
    }
}
