//! What happens next: events ordered by time, and at one time by when they were put in.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

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

/// A heap, and beside it the events of one time in the order they came: a burst of frames arrives at one time, and
/// need not be sorted.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    heap: BinaryHeap<Reverse<Entry>>,
    ties: u64,
    /// All at `burst_at`. What the heap has of that time came before.
    burst: VecDeque<What>,
    burst_at: Instant,
}

impl Queue {
    /// Puts an event in, whatever waits already: for what is bounded elsewhere.
    pub(crate) fn push(&mut self, at: Instant, what: What) {
        if self.burst.is_empty() {
            self.burst_at = at;
        }
        if self.burst_at == at {
            self.burst.push_back(what);
            return;
        }
        self.ties += 1;
        let tie = self.ties;
        self.heap.push(Reverse(Entry { at, tie, what }));
    }

    /// Whether there is room for a frame's arrival.
    pub(crate) fn has_room(&self) -> bool {
        self.len() < limits::EVENTS
    }

    pub(crate) fn next_at(&self) -> Option<Instant> {
        let first = self.heap.peek().map(|Reverse(entry)| entry.at);
        if self.burst.is_empty() {
            return first;
        }
        Some(first.map_or(self.burst_at, |first| first.min(self.burst_at)))
    }

    /// Takes out the first event that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<What> {
        let next = self.next_at().filter(|next| *next <= now)?;
        match self.heap.peek() {
            Some(Reverse(entry)) if entry.at == next => {
                self.heap.pop().map(|Reverse(entry)| entry.what)
            }
            _ => self.burst.pop_front(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.heap.len() + self.burst.len()
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

    /// Goal: beside the burst, too. Method: random times and turns, against a list that is sorted.
    #[test]
    fn the_order_is_that_of_a_sorted_list() {
        let mut dice = crate::Dice::new(&nexus_types::Seed::from_number(6));
        let (mut queue, mut model) = (Queue::default(), Vec::new());
        for number in 0..20_000 {
            if dice.below(2) == 0 {
                let at = Instant::from_nanos(u64::from(number) / 8 + dice.below(4));
                queue.push(at, What::Due(number));
                model.push((at, number));
                model.sort();
            } else if !model.is_empty() {
                let (at, first) = model.remove(0);
                assert_eq!(queue.next_at(), Some(at));
                assert_eq!(queue.pop_due(at), Some(What::Due(first)));
            }
            assert_eq!(queue.len(), model.len());
        }
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
