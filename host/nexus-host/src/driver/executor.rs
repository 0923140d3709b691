//! First come, first served: the executor of one shard.
//!
//! One thread polls every task of its shard in the order they became ready. There is nothing
//! to steal and nothing to balance, so a run under virtual time repeats itself exactly.

use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures::channel::oneshot;

type TaskId = u64;

/// Tasks that are ready, oldest first; and how to rouse the thread if it sleeps.
pub(crate) struct Ready {
    queue: Mutex<VecDeque<TaskId>>,
    asleep: AtomicBool,
    rouse: Box<dyn Fn() + Send + Sync>,
}

impl Ready {
    fn queue(&self) -> MutexGuard<'_, VecDeque<TaskId>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, id: TaskId) {
        self.queue().push_back(id);
        // Only a wake from another thread (standard input) finds the shard asleep.
        if self.asleep.swap(false, Ordering::SeqCst) {
            (self.rouse)();
        }
    }

    /// Whether the thread may sleep. After `true`, the next wake-up calls `rouse`.
    pub(crate) fn fall_asleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        let empty = self.queue().is_empty();
        if !empty {
            self.asleep.store(false, Ordering::SeqCst);
        }
        empty
    }

    pub(crate) fn awake(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }
}

/// A task's place in the queue: it stands there at most once.
struct Ticket {
    id: TaskId,
    queued: AtomicBool,
    ready: Arc<Ready>,
}

impl Wake for Ticket {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            self.ready.push(self.id);
        }
    }
}

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    ticket: Arc<Ticket>,
    waker: Waker,
}

/// The tasks of one shard.
pub(crate) struct Executor {
    tasks: BTreeMap<TaskId, Task>,
    spawned: TaskId,
    ready: Arc<Ready>,
}

impl Executor {
    /// `rouse` is called, from any thread, when a task becomes ready while the shard sleeps.
    pub(crate) fn new(rouse: impl Fn() + Send + Sync + 'static) -> Self {
        let ready = Ready {
            queue: Mutex::default(),
            asleep: AtomicBool::new(false),
            rouse: Box::new(rouse),
        };
        Self {
            tasks: BTreeMap::new(),
            spawned: 0,
            ready: Arc::new(ready),
        }
    }

    pub(crate) fn ready(&self) -> &Arc<Ready> {
        &self.ready
    }

    /// Adds a task at the end of the queue. Dropping the receiver does not end the task.
    pub(crate) fn spawn<T: 'static>(
        &mut self,
        future: impl Future<Output = T> + 'static,
    ) -> oneshot::Receiver<T> {
        let (sender, receiver) = oneshot::channel();
        let future = Box::pin(async move {
            // Nobody waiting for the result is no fault.
            let _ = sender.send(future.await);
        });
        self.spawned += 1;
        let id = self.spawned;
        let ticket = Arc::new(Ticket {
            id,
            queued: AtomicBool::new(true),
            ready: self.ready.clone(),
        });
        let waker = Waker::from(ticket.clone());
        self.tasks.insert(
            id,
            Task {
                future,
                ticket,
                waker,
            },
        );
        self.ready.push(id);
        receiver
    }

    /// Polls the task that has been ready longest. `false`: none is.
    pub(crate) fn step(&mut self) -> bool {
        let next = self.ready.queue().pop_front();
        let Some(id) = next else { return false };
        let Some(task) = self.tasks.get_mut(&id) else {
            return true;
        };
        task.ticket.queued.store(false, Ordering::Release);
        let mut cx = Context::from_waker(&task.waker);
        if let Poll::Ready(()) = task.future.as_mut().poll(&mut cx) {
            // Out of the table first: dropping a guest's store may wake other tasks.
            let _done = self.tasks.remove(&id);
        }
        true
    }

    /// How many tasks have not ended.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.tasks.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::rc::Rc;

    fn yield_once() -> impl Future<Output = ()> {
        let mut yielded = false;
        std::future::poll_fn(move |cx| {
            if std::mem::replace(&mut yielded, true) {
                return Poll::Ready(());
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        })
    }

    #[test]
    fn tasks_take_turns_in_the_order_they_became_ready() {
        let mut executor = Executor::new(|| {});
        let trace = Rc::new(RefCell::new(String::new()));
        for name in ['a', 'b', 'c'] {
            let trace = trace.clone();
            drop(executor.spawn(async move {
                for _ in 0..3 {
                    trace.borrow_mut().push(name);
                    yield_once().await;
                }
            }));
        }
        while executor.step() {}
        assert_eq!(*trace.borrow(), "abcabcabc");
        assert_eq!(executor.len(), 0);
    }

    #[test]
    fn a_task_woken_twice_is_polled_once() {
        let mut executor = Executor::new(|| {});
        let polls = Rc::new(RefCell::new(0));
        let counted = polls.clone();
        drop(executor.spawn(std::future::poll_fn(move |cx| {
            *counted.borrow_mut() += 1;
            if *counted.borrow() == 1 {
                cx.waker().wake_by_ref();
                cx.waker().wake_by_ref();
            }
            Poll::<()>::Pending
        })));
        while executor.step() {}
        assert_eq!(*polls.borrow(), 2);
    }

    #[test]
    fn a_wake_rouses_a_sleeping_thread_once() {
        let roused = Arc::new(Mutex::new(0));
        let counted = roused.clone();
        let mut executor = Executor::new(move || *counted.lock().unwrap() += 1);
        let slot = Rc::new(RefCell::new(None::<Waker>));
        let stored = slot.clone();
        drop(executor.spawn(std::future::poll_fn(move |cx| {
            *stored.borrow_mut() = Some(cx.waker().clone());
            Poll::<()>::Pending
        })));
        while executor.step() {}
        assert!(executor.ready().fall_asleep());
        let waker = slot.borrow_mut().take().unwrap();
        waker.wake_by_ref();
        waker.wake();
        assert_eq!(*roused.lock().unwrap(), 1);
        assert!(!executor.ready().fall_asleep());
    }

    #[test]
    fn the_result_arrives_where_it_is_awaited() {
        let mut executor = Executor::new(|| {});
        let mut result = executor.spawn(async { 7 });
        while executor.step() {}
        assert_eq!(result.try_recv(), Ok(Some(7)));
    }
}
