//! The table of kernel sockets, the queue of those with something to do, and their deadlines.
//!
//! A slot's number plus the first token is the token of its sockets. A slot keeps its waker when
//! its tenant changes, so a wake or event meant for an earlier tenant only makes the present one
//! look and find nothing: tokens need no generation, deadlines do.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};

use nexus_types::Instant;

/// A slot's number.
pub(crate) type Number = u32;

/// Numbers that the stack's wakers put here, from inside a call of the stack.
#[derive(Default)]
struct Woken(Mutex<Vec<Number>>);

/// One slot's place in the queue: at most one at a time.
pub(crate) struct Mark {
    number: Number,
    queued: AtomicBool,
    woken: Arc<Woken>,
}

impl Wake for Mark {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            // A panic between lock and unlock is not possible; the data is sound anyway.
            let mut woken = self.woken.0.lock().unwrap_or_else(PoisonError::into_inner);
            woken.push(self.number);
        }
    }
}

struct Slot<T> {
    tenant: Option<T>,
    generation: u32,
    deadline: Instant,
    mark: Arc<Mark>,
    waker: Waker,
}

/// The slots. `T` is what lives in them.
pub(crate) struct Slots<T> {
    slots: Vec<Slot<T>>,
    free: Vec<Number>,
    woken: Arc<Woken>,
    turns: VecDeque<Number>,
    deadlines: BinaryHeap<Reverse<(Instant, Number, u32)>>,
}

impl<T> Slots<T> {
    pub(crate) fn new() -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            woken: Arc::default(),
            turns: VecDeque::new(),
            deadlines: BinaryHeap::new(),
        }
    }

    /// The slot the next [`Slots::insert`] will use: a socket is registered before it moves in.
    pub(crate) fn next(&mut self) -> Number {
        if let Some(number) = self.free.last() {
            return *number;
        }
        // 2^32 slots would need 2^32 file descriptors.
        let number = self.slots.len() as Number;
        let mark = Arc::new(Mark {
            number,
            queued: AtomicBool::new(false),
            woken: Arc::clone(&self.woken),
        });
        self.slots.push(Slot {
            tenant: None,
            generation: 0,
            deadline: Instant::FAR_FUTURE,
            waker: Waker::from(Arc::clone(&mark)),
            mark,
        });
        self.free.push(number);
        number
    }

    /// A new tenant, with a turn at once. `FAR_FUTURE` is no deadline.
    pub(crate) fn insert(&mut self, tenant: T, deadline: Instant) -> Number {
        let number = self.next();
        self.free.pop();
        let slot = &mut self.slots[number as usize];
        slot.tenant = Some(tenant);
        slot.generation = slot.generation.wrapping_add(1);
        self.set_deadline(number, deadline);
        self.wake(number);
        number
    }

    pub(crate) fn get_mut(&mut self, number: Number) -> Option<&mut T> {
        self.slots.get_mut(number as usize)?.tenant.as_mut()
    }

    /// The tenants, and whether each has a turn now.
    pub(crate) fn tenants(&self) -> impl Iterator<Item = (&T, bool)> {
        self.slots.iter().filter_map(|slot| {
            let tenant = slot.tenant.as_ref()?;
            Some((tenant, slot.mark.queued.load(Ordering::Relaxed)))
        })
    }

    /// Takes the tenant out for its turn; [`Slots::put_back`] or [`Slots::release`] follows.
    pub(crate) fn take(&mut self, number: Number) -> Option<(T, Waker)> {
        let slot = self.slots.get_mut(number as usize)?;
        let tenant = slot.tenant.take()?;
        Some((tenant, slot.waker.clone()))
    }

    pub(crate) fn put_back(&mut self, number: Number, tenant: T) {
        self.slots[number as usize].tenant = Some(tenant);
    }

    /// The slot of a tenant that was taken out is free again.
    pub(crate) fn release(&mut self, number: Number) {
        let slot = &mut self.slots[number as usize];
        debug_assert!(slot.tenant.is_none(), "released while let");
        slot.deadline = Instant::FAR_FUTURE;
        // What is left of it in the heap is dropped there: the generation differs.
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(number);
    }

    // --- turns ---

    /// Gives the slot a turn.
    pub(crate) fn wake(&mut self, number: Number) {
        if let Some(slot) = self.slots.get(number as usize)
            && !slot.mark.queued.swap(true, Ordering::Relaxed)
        {
            self.turns.push_back(number);
        }
    }

    /// How many slots have a turn now.
    pub(crate) fn turns(&mut self) -> usize {
        let mut woken = self.woken.0.lock().unwrap_or_else(PoisonError::into_inner);
        self.turns.extend(woken.drain(..));
        self.turns.len()
    }

    /// Whose turn it is. A wake from now on means another turn.
    pub(crate) fn next_turn(&mut self) -> Option<Number> {
        let number = self.turns.pop_front()?;
        let mark = &self.slots[number as usize].mark;
        mark.queued.store(false, Ordering::Relaxed);
        Some(number)
    }

    // --- deadlines ---

    /// Sets or moves a deadline. One that moves later costs nothing until the old one is due.
    pub(crate) fn set_deadline(&mut self, number: Number, deadline: Instant) {
        let slot = &mut self.slots[number as usize];
        let sooner = deadline < slot.deadline;
        slot.deadline = deadline;
        if sooner {
            self.deadlines
                .push(Reverse((deadline, number, slot.generation)));
        }
    }

    /// A time at or before the next deadline.
    pub(crate) fn next_deadline(&mut self) -> Option<Instant> {
        self.deadlines.peek().map(|Reverse((at, ..))| *at)
    }

    /// A slot whose deadline is over. It has none until it sets one.
    pub(crate) fn overdue(&mut self, now: Instant) -> Option<Number> {
        while let Some(Reverse((at, number, generation))) = self.deadlines.peek().copied() {
            if at > now {
                return None;
            }
            self.deadlines.pop();
            let slot = &mut self.slots[number as usize];
            if slot.generation != generation {
                continue;
            }
            if slot.deadline <= now {
                slot.deadline = Instant::FAR_FUTURE;
                return Some(number);
            }
            if slot.deadline < Instant::FAR_FUTURE {
                self.deadlines
                    .push(Reverse((slot.deadline, number, generation)));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_has_one_turn_however_often_it_is_woken() {
        let mut slots = Slots::new();
        let a = slots.insert('a', Instant::FAR_FUTURE);
        let b = slots.insert('b', Instant::FAR_FUTURE);
        let (tenant, waker) = slots.take(a).unwrap();
        slots.put_back(a, tenant);
        waker.wake_by_ref();
        slots.wake(b);
        assert_eq!(slots.turns(), 2);
        assert_eq!(slots.next_turn(), Some(a));
        waker.wake_by_ref();
        assert_eq!(slots.turns(), 2);
        assert_eq!(slots.next_turn(), Some(b));
        assert_eq!(slots.next_turn(), Some(a));
        assert_eq!(slots.turns(), 0);
    }

    #[test]
    fn a_freed_slot_is_let_again_and_its_old_deadline_is_not_the_tenants() {
        let mut slots = Slots::new();
        let at = Instant::from_secs;
        let old = slots.insert('a', at(1));
        slots.take(old).unwrap();
        slots.release(old);
        let new = slots.insert('b', at(5));
        assert_eq!(old, new);
        assert_eq!(slots.overdue(at(2)), None);
        assert_eq!(slots.next_deadline(), Some(at(5)));
        assert_eq!(slots.overdue(at(5)), Some(new));
        assert_eq!(slots.overdue(at(9)), None);
    }

    #[test]
    fn a_deadline_that_moved_later_is_not_met_early() {
        let mut slots = Slots::new();
        let at = Instant::from_secs;
        let number = slots.insert('a', at(1));
        for later in 2..100 {
            slots.set_deadline(number, at(later));
        }
        assert_eq!(slots.deadlines.len(), 1);
        assert_eq!(slots.overdue(at(98)), None);
        assert_eq!(slots.overdue(at(99)), Some(number));
        assert_eq!(slots.next_deadline(), None);
    }
}
