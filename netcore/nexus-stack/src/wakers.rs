//! Who waits for the same thing: a list, because smoltcp's own registration keeps one and loses the other.

use core::task::Waker;

/// Wakers without duplicates. They are only ever woken, never polled from here.
#[derive(Debug, Default)]
pub(crate) struct Wakers(Vec<Waker>);

impl Wakers {
    pub(crate) fn register(&mut self, waker: &Waker) {
        if !self.0.iter().any(|known| known.will_wake(waker)) {
            self.0.push(waker.clone());
        }
    }

    #[inline]
    pub(crate) fn wake(&mut self) {
        // Mostly nobody waits, and this is asked with every segment.
        if self.0.is_empty() {
            return;
        }
        // The list keeps its room: no allocation when the same task waits again.
        for waker in self.0.drain(..) {
            waker.wake();
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
}
