//! What happens next: events ordered by time, and at one time by when they were put in.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use nexus_types::Instant;

use crate::frames::FrameId;
use crate::limits;

/// An event; indexes alone, so that the heap moves little.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum What {
    /// A frame reaches a machine.
    Arrival { machine: u32, frame: FrameId },
    /// A machine may have something due.
    Due(u32),
    /// A machine's processor is free again.
    Free(u32),
    /// An action, by its place in the list of those that wait.
    Action(u32),
    /// A fault is over, by its number.
    FaultOver(u64),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Entry {
    at: Instant,
    tie: u64,
    what: What,
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Reverse<Entry>>,
    ties: u64,
}

impl Queue {
    /// Puts an event in, whatever waits already: for what is bounded elsewhere.
    pub(crate) fn push(&mut self, at: Instant, what: What) {
        self.ties += 1;
        let tie = self.ties;
        self.heap.push(Reverse(Entry { at, tie, what }));
    }

    /// Whether there is room for a frame's arrival.
    pub(crate) fn has_room(&self) -> bool {
        self.heap.len() < limits::EVENTS
    }

    pub(crate) fn next_at(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(entry)| entry.at)
    }

    /// Takes out the first event that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<What> {
        if self.next_at()? > now {
            return None;
        }
        self.heap.pop().map(|Reverse(entry)| entry.what)
    }

    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_by_time_and_then_as_they_were_put_in() {
        let mut queue = Queue::default();
        for (at, number) in [(5, 0), (3, 1), (5, 2), (3, 3), (9, 4)] {
            queue.push(Instant::from_secs(at), What::Due(number));
        }
        assert_eq!(queue.pop_due(Instant::from_secs(2)), None);
        let mut order = Vec::new();
        while let Some(What::Due(number)) = queue.pop_due(Instant::from_secs(5)) {
            order.push(number);
        }
        assert_eq!(order, [1, 3, 0, 2]);
        assert_eq!(queue.next_at(), Some(Instant::from_secs(9)));
    }

    #[test]
    fn an_entry_is_small() {
        assert!(size_of::<Entry>() <= 32);
    }

    #[test]
    fn there_is_room_up_to_the_limit() {
        let mut queue = Queue::default();
        for _ in 1..limits::EVENTS {
            queue.push(Instant::ZERO, What::Due(0));
        }
        assert!(queue.has_room());
        queue.push(Instant::ZERO, What::Due(0));
        assert!(!queue.has_room());
    }
}
