//! Who waits for the same thing: a list, because smoltcp's own registration keeps one and loses the other.

use core::task::Waker;

/// How many come before those that are there are looked at again.
const LEAST: usize = 64;

/// Wakers without duplicates. They are only ever woken, never polled from here.
///
/// Nobody takes a waker back: who gives up waiting stays. Calls that are begun and given up again and again would fill
/// memory, so all are woken now and then, and who does not come back waits no more.
#[derive(Debug, Default)]
pub(crate) struct Wakers {
    waiting: Vec<Waiting>,
    /// How many came since they were looked at, and how many came back.
    came: usize,
    back: usize,
}

#[derive(Debug)]
struct Waiting {
    waker: Waker,
    /// Woken to see whether it comes back.
    asked: bool,
}

impl Wakers {
    pub(crate) fn register(&mut self, waker: &Waker) {
        let known = self
            .waiting
            .iter_mut()
            .find(|known| known.waker.will_wake(waker));
        if let Some(known) = known {
            self.back += usize::from(core::mem::take(&mut known.asked));
            return;
        }
        if self.came >= LEAST + self.back {
            self.look();
        }
        self.came += 1;
        self.waiting.push(Waiting {
            waker: waker.clone(),
            asked: false,
        });
    }

    #[cold]
    fn look(&mut self) {
        self.waiting.retain(|waiting| !waiting.asked);
        for waiting in &mut self.waiting {
            waiting.asked = true;
            waiting.waker.wake_by_ref();
        }
        (self.came, self.back) = (0, 0);
    }

    #[inline]
    pub(crate) fn wake(&mut self) {
        // Mostly nobody waits, and this is asked with every segment.
        if self.waiting.is_empty() {
            return;
        }
        (self.came, self.back) = (0, 0);
        // The list keeps its room: no allocation when the same task waits again.
        for waiting in self.waiting.drain(..) {
            waiting.waker.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn two_tasks_are_both_woken_and_one_only_once() {
        let (one, two) = (Arc::new(Count::default()), Arc::new(Count::default()));
        let (first, second) = (Waker::from(one.clone()), Waker::from(two.clone()));
        let mut wakers = Wakers::default();
        wakers.register(&first);
        wakers.register(&second);
        wakers.register(&first);
        wakers.wake();
        wakers.wake();
        assert_eq!(one.0.load(Ordering::Relaxed), 1);
        assert_eq!(two.0.load(Ordering::Relaxed), 1);
    }

    /// Goal: who waits is woken, however many beside it gave up; who gave up is forgotten. Method: some that wait and come
    /// back whenever they are woken, beside a hundred thousand that come once.
    #[test]
    fn reject_wakers_of_those_who_gave_up() {
        for live in [0, 1, 10, 1_000] {
            let counts: Vec<_> = (0..live).map(|_| Arc::new(Count::default())).collect();
            let live: Vec<_> = counts.iter().cloned().map(Waker::from).collect();
            let mut seen: Vec<u32> = vec![0; live.len()];
            let mut wakers = Wakers::default();
            for waker in &live {
                wakers.register(waker);
            }
            for _ in 0..100_000 {
                wakers.register(&Waker::from(Arc::new(Count::default())));
                for ((waker, count), seen) in live.iter().zip(&counts).zip(&mut seen) {
                    let woken = count.0.load(Ordering::Relaxed);
                    if core::mem::replace(seen, woken) != woken {
                        wakers.register(waker);
                    }
                }
                assert!(wakers.waiting.len() <= 3 * (live.len() + LEAST));
                if live.len() > 10 && wakers.came == 0 {
                    break;
                }
            }
            wakers.wake();
            for (count, seen) in counts.iter().zip(&seen) {
                assert!(count.0.load(Ordering::Relaxed) > *seen);
            }
        }
    }
}
