//! Deadlines of many things, at most one each: an indexed heap.
//!
//! Moving a deadline later costs nothing until the old one comes up (a connection that is
//! acknowledged in time never touches the heap); moving it earlier costs O(log n).

use nexus_types::Instant;

/// See the module. Things are slab indices.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    /// A 4-ary heap of (key, thing); the key is at or before the thing's deadline.
    heap: Vec<(Instant, u32)>,
    /// Of each thing: its real deadline, and its place in the heap plus one.
    things: Vec<Thing>,
}

#[derive(Clone, Copy, Debug)]
struct Thing {
    deadline: Instant,
    place: u32,
}

const ABSENT: Thing = Thing {
    deadline: Instant::FAR_FUTURE,
    place: 0,
};

impl Timers {
    /// Sets, moves or (with `None`) removes the deadline of a thing.
    pub(crate) fn set(&mut self, thing: u32, deadline: Option<Instant>) {
        let index = thing as usize;
        if index >= self.things.len() {
            if deadline.is_none() {
                return;
            }
            self.things.resize(index + 1, ABSENT);
        }
        let deadline = deadline.unwrap_or(Instant::FAR_FUTURE);
        self.things[index].deadline = deadline;
        match self.things[index].place {
            0 if deadline == Instant::FAR_FUTURE => {}
            0 => {
                self.heap.push((deadline, thing));
                self.things[index].place = self.heap.len() as u32;
                self.up(self.heap.len() - 1);
            }
            place => {
                let at = place as usize - 1;
                if deadline < self.heap[at].0 {
                    self.heap[at].0 = deadline;
                    self.up(at);
                }
            }
        }
    }

    /// Forgets a thing whose slot may be used again.
    pub(crate) fn remove(&mut self, thing: u32) {
        let Some(entry) = self.things.get_mut(thing as usize) else {
            return;
        };
        let place = core::mem::replace(entry, ABSENT).place;
        if place != 0 {
            self.take_out(place as usize - 1);
        }
    }

    /// The earliest deadline.
    pub(crate) fn next(&mut self) -> Option<Instant> {
        self.settle();
        self.heap.first().map(|(at, _)| *at)
    }

    /// Takes out one thing that is due at `now`.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<u32> {
        // Cheap when nothing is due: keys are at or before deadlines.
        if self.heap.first()?.0 > now {
            return None;
        }
        self.settle();
        let (at, thing) = *self.heap.first()?;
        if at > now {
            return None;
        }
        self.things[thing as usize] = ABSENT;
        self.take_out(0);
        Some(thing)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.heap.len()
    }

    /// Moves things whose deadline was put off to where they belong, until the first one is right.
    fn settle(&mut self) {
        while let Some((key, thing)) = self.heap.first().copied() {
            let deadline = self.things[thing as usize].deadline;
            if deadline == key {
                return;
            }
            if deadline == Instant::FAR_FUTURE {
                self.things[thing as usize].place = 0;
                self.take_out(0);
            } else {
                self.heap[0].0 = deadline;
                self.down(0);
            }
        }
    }

    fn take_out(&mut self, at: usize) {
        self.heap.swap_remove(at);
        if at < self.heap.len() {
            self.things[self.heap[at].1 as usize].place = at as u32 + 1;
            self.down(at);
            self.up(at);
        }
    }

    fn up(&mut self, mut at: usize) {
        while at > 0 {
            let parent = (at - 1) / 4;
            if self.heap[parent] <= self.heap[at] {
                break;
            }
            self.swap(parent, at);
            at = parent;
        }
    }

    fn down(&mut self, mut at: usize) {
        loop {
            let children = at * 4 + 1..(at * 4 + 5).min(self.heap.len());
            let Some(least) = children.min_by_key(|child| self.heap[*child]) else {
                return;
            };
            if self.heap[at] <= self.heap[least] {
                return;
            }
            self.swap(at, least);
            at = least;
        }
    }

    fn swap(&mut self, a: usize, b: usize) {
        self.heap.swap(a, b);
        self.things[self.heap[a].1 as usize].place = a as u32 + 1;
        self.things[self.heap[b].1 as usize].place = b as u32 + 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Goal: whatever is set, moved and removed, things come out at their deadline and once,
    /// and the heap never holds more than one entry a thing. Method: an ordered map as the model.
    #[test]
    fn agrees_with_an_ordered_map() {
        let mut timers = Timers::default();
        let mut model: BTreeMap<u32, Instant> = BTreeMap::new();
        let mut state = 7_u64;
        let mut now = Instant::ZERO;
        for _ in 0..100_000 {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let thing = (state >> 33) as u32 % 200;
            let deadline = Instant::from_nanos(now.as_nanos() + (state >> 40) % 5_000);
            match state >> 61 {
                0..=3 => {
                    timers.set(thing, Some(deadline));
                    model.insert(thing, deadline);
                }
                4 => {
                    timers.set(thing, None);
                    model.remove(&thing);
                }
                5 => {
                    timers.remove(thing);
                    model.remove(&thing);
                }
                _ => {
                    now = Instant::from_nanos(now.as_nanos() + (state >> 50) % 700);
                    while let Some(due) = timers.pop_due(now) {
                        let at = model.remove(&due).expect("came out once");
                        assert!(at <= now);
                    }
                    assert!(model.values().all(|at| *at > now));
                }
            }
            assert!(timers.len() <= 200);
            assert_eq!(timers.next(), model.values().min().copied());
        }
    }
}
