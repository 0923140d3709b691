//! The app's own future and those it has spawned.
//!
//! wit-bindgen's `async-spawn` keeps them in a `FuturesUnordered`, which wakes itself once it has polled all it
//! holds. Of an app that does one thing at a time that is every time it waits: each wait would first go out to
//! the host and come back to find nothing to do, a third of what a small message costs there and back.

use core::cell::RefCell;
use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Waker};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Wake;

type Spawned = Pin<Box<dyn Future<Output = ()>>>;

thread_local! {
    /// Spawned since the set was last polled.
    static NEW: RefCell<Vec<Spawned>> = const { RefCell::new(Vec::new()) };
}

pub(super) fn spawn(future: Spawned) {
    NEW.with_borrow_mut(|new| new.push(future));
}

/// Forgets what was spawned and never polled: of an app that has ended, natively.
#[cfg(all(feature = "sim", not(target_family = "wasm")))]
pub(crate) fn forget_spawned() {
    // Out of the cell first: what is dropped may spawn.
    let _left = NEW.take();
}

/// Runs `root` to its end, and meanwhile what is spawned. What is left of that then ends with the app: in a
/// component it is not dropped, which would cancel its calls one by one. Natively the process goes on.
pub(crate) async fn with_spawned<T>(root: impl Future<Output = T>) -> T {
    let mut root = pin!(root);
    #[cfg(target_family = "wasm")]
    let mut set = core::mem::ManuallyDrop::new(Set::default());
    #[cfg(not(target_family = "wasm"))]
    let mut set = Set::default();
    poll_fn(|context| {
        // Polled for every wake-up, its own or not: no waker in between, where it is alone.
        let polled = root.as_mut().poll(context);
        if polled.is_pending() {
            set.poll(context);
        }
        polled
    })
    .await
}

/// Spawned futures, each polled when it was woken.
#[derive(Default)]
struct Set {
    tasks: Vec<Option<Task>>,
    free: Vec<usize>,
    ready: Arc<Ready>,
}

struct Task {
    future: Spawned,
    ticket: Arc<Ticket>,
    waker: Waker,
}

/// Who is to be polled, first come, first served.
#[derive(Default)]
struct Ready {
    queue: Mutex<VecDeque<usize>>,
    /// Of the app itself.
    waker: Mutex<Option<Waker>>,
}

/// A task's place in the queue: it stands there at most once.
struct Ticket {
    index: usize,
    queued: AtomicBool,
    ready: Arc<Ready>,
}

impl Wake for Ticket {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            lock(&self.ready.queue).push_back(self.index);
            if let Some(waker) = &*lock(&self.ready.waker) {
                waker.wake_by_ref();
            }
        }
    }
}

/// An app is one thread: nobody ever waits for these.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Set {
    /// Polls who is ready, each once; who is woken meanwhile has woken the app, too.
    fn poll(&mut self, context: &mut Context<'_>) {
        loop {
            let new = NEW.take();
            if new.is_empty() && self.tasks.len() == self.free.len() {
                return;
            }
            let mut waker = lock(&self.ready.waker);
            if !waker
                .as_ref()
                .is_some_and(|waker| waker.will_wake(context.waker()))
            {
                *waker = Some(context.waker().clone());
            }
            drop(waker);
            for future in new {
                self.insert(future);
            }
            let ready = lock(&self.ready.queue).len();
            for _ in 0..ready {
                let index = lock(&self.ready.queue).pop_front();
                if let Some(index) = index {
                    self.poll_one(index);
                }
            }
            if NEW.with_borrow(Vec::is_empty) {
                return;
            }
        }
    }

    fn insert(&mut self, future: Spawned) {
        let index = self.free.pop().unwrap_or(self.tasks.len());
        let ticket = Arc::new(Ticket {
            index,
            queued: AtomicBool::new(true),
            ready: self.ready.clone(),
        });
        let waker = Waker::from(ticket.clone());
        let task = Task {
            future,
            ticket,
            waker,
        };
        match self.tasks.get_mut(index) {
            Some(slot) => *slot = Some(task),
            None => self.tasks.push(Some(task)),
        }
        lock(&self.ready.queue).push_back(index);
    }

    fn poll_one(&mut self, index: usize) {
        // A waker may outlive its task: then nobody is there, or the next one is polled once too often.
        let Some(slot) = self.tasks.get_mut(index) else {
            return;
        };
        let Some(task) = slot else { return };
        task.ticket.queued.store(false, Ordering::Relaxed);
        let mut context = Context::from_waker(&task.waker);
        if task.future.as_mut().poll(&mut context).is_ready() {
            *slot = None;
            self.free.push(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use core::task::Poll;
    use std::rc::Rc;
    use std::sync::atomic::AtomicU32;

    use super::*;

    #[derive(Default)]
    struct Count(AtomicU32);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Pending until somebody wakes it.
    #[derive(Clone, Default)]
    struct Gate(Rc<RefCell<(bool, Option<Waker>, u32)>>);

    impl Gate {
        fn open(&self) {
            let mut gate = self.0.borrow_mut();
            gate.0 = true;
            let waker = gate.1.take();
            drop(gate);
            if let Some(waker) = waker {
                waker.wake();
            }
        }

        fn polls(&self) -> u32 {
            self.0.borrow().2
        }

        async fn wait(self) {
            poll_fn(|context| {
                let mut gate = self.0.borrow_mut();
                gate.2 += 1;
                gate.1 = Some(context.waker().clone());
                if gate.0 {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })
            .await;
        }
    }

    /// Goal: an app that waits goes out to the host once. Method: polled with a waker that counts.
    #[test]
    fn who_waits_does_not_wake_itself() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let mut context = Context::from_waker(&waker);
        let (root, spawned) = (Gate::default(), Gate::default());
        let begun = spawned.clone();
        let mut app = pin!(with_spawned(async {
            spawn(Box::pin(begun.wait()));
            root.clone().wait().await;
        }));
        for _ in 0..3 {
            assert!(app.as_mut().poll(&mut context).is_pending());
        }
        assert_eq!(count.0.load(Ordering::Relaxed), 0);
        assert_eq!(spawned.polls(), 1, "nobody woke it");
        root.open();
        assert!(app.as_mut().poll(&mut context).is_ready());
    }

    /// Goal: what is spawned, by whom ever, runs when it is woken and not else. Method: two levels, one gate.
    #[test]
    fn what_is_spawned_runs_when_it_is_woken() {
        let count = Arc::new(Count::default());
        let waker = Waker::from(count.clone());
        let mut context = Context::from_waker(&waker);
        let (gate, other, done) = (Gate::default(), Gate::default(), Rc::new(RefCell::new(0)));
        let (inner, idle, told) = (gate.clone(), other.clone(), done.clone());
        let mut app = pin!(with_spawned(async move {
            spawn(Box::pin(async move {
                spawn(Box::pin(idle.wait()));
                inner.wait().await;
                *told.borrow_mut() += 1;
            }));
            core::future::pending::<()>().await;
        }));
        assert!(app.as_mut().poll(&mut context).is_pending());
        gate.open();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(app.as_mut().poll(&mut context).is_pending());
        assert_eq!((*done.borrow(), gate.polls(), other.polls()), (1, 2, 1));
        // Its place is free again, and its old waker wakes nobody else.
        spawn(Box::pin(Gate::default().wait()));
        assert!(app.as_mut().poll(&mut context).is_pending());
        gate.open();
        assert!(app.as_mut().poll(&mut context).is_pending());
        assert_eq!(*done.borrow(), 1);
    }
}
