//! First come, first served: the executor of one shard.
//!
//! One thread polls every task of its shard in the order they became ready; those that gave way
//! by themselves (guests that compute until their epoch is over) stand in a line of their own, so
//! that who was woken by a packet or a timer waits for one of them at most. There is nothing to
//! steal and nothing to balance, so a run under virtual time repeats itself exactly.
//!
//! A task that wakes itself has not given way by that: a guest with many calls at once goes round
//! wasmtime's own queue for each of them, and would stand behind all others for it.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures::channel::oneshot;

type TaskId = u64;

/// How often in a row a task may wake itself and still count as woken, where it is only counted: what waits for a
/// packet takes a few rounds through wasmtime's own queue, what computes goes on and on.
const SELF_WAKES: u32 = 8;

thread_local! {
    /// The task that this thread polls has given way.
    static GAVE_WAY: Cell<bool> = const { Cell::new(false) };
}

/// Says that the task being polled could go on and lets others: its slice is over.
pub(crate) fn give_way() {
    GAVE_WAY.set(true);
}

/// How it is known that a task gave way though it could have gone on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum GivingWay {
    /// It said so, by [`give_way`].
    Said,
    /// It woke itself too often in a row: fuel ends a slice without a word.
    Counted,
}

/// Tasks that are ready, oldest first; and how to rouse the thread if it sleeps.
pub(crate) struct Ready {
    queues: Mutex<Queues>,
    asleep: AtomicBool,
    rouse: Box<dyn Fn() + Send + Sync>,
    giving_way: GivingWay,
}

#[derive(Default)]
struct Queues {
    /// Woken by something else than themselves.
    woken: VecDeque<TaskId>,
    /// Gave way while they could have gone on: guests that compute.
    yielded: VecDeque<TaskId>,
}

impl Ready {
    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, id: TaskId, yielded: bool) {
        let mut queues = self.queues();
        if yielded {
            queues.yielded.push_back(id);
        } else {
            queues.woken.push_back(id);
        }
        drop(queues);
        // Only a wake from another thread (standard input) finds the shard asleep.
        if self.asleep.swap(false, Ordering::SeqCst) {
            (self.rouse)();
        }
    }

    /// Whether the thread may sleep. After `true`, the next wake-up calls `rouse`.
    pub(crate) fn fall_asleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        let queues = self.queues();
        let empty = queues.woken.is_empty() && queues.yielded.is_empty();
        drop(queues);
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
    /// Being polled: who wakes it now is itself.
    polled: AtomicBool,
    /// How often in a row it woke itself.
    self_wakes: AtomicU32,
    ready: Arc<Ready>,
}

impl Wake for Ticket {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::AcqRel) {
            let yielded = match self.ready.giving_way {
                _ if !self.polled.load(Ordering::Relaxed) => {
                    self.self_wakes.store(0, Ordering::Relaxed);
                    false
                }
                GivingWay::Said => GAVE_WAY.get(),
                GivingWay::Counted => self.self_wakes.fetch_add(1, Ordering::Relaxed) >= SELF_WAKES,
            };
            self.ready.push(self.id, yielded);
        }
    }
}

struct Task {
    future: Pin<Box<dyn Future<Output = ()>>>,
    ticket: Arc<Ticket>,
    waker: Waker,
}

type Spawned = VecDeque<Pin<Box<dyn Future<Output = ()>>>>;

/// A handle by which a task adds others. They stand at the end of the queue as soon as its own turn is over; added by
/// nobody's turn, before the next.
#[derive(Clone, Default)]
pub struct Spawner(Rc<RefCell<Spawned>>);

impl Spawner {
    /// Adds a task to the shard.
    pub fn spawn(&self, task: impl Future<Output = ()> + 'static) {
        self.0.borrow_mut().push_back(Box::pin(task));
    }
}

impl Spawner {
    /// Forgets what was added and is no task yet: it may itself hold a spawner.
    fn clear(&self) {
        // What is dropped may add more.
        loop {
            let added = std::mem::take(&mut *self.0.borrow_mut());
            if added.is_empty() {
                return;
            }
        }
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        self.tasks.clear();
        self.spawner.clear();
    }
}

/// The tasks of one shard.
pub(crate) struct Executor {
    tasks: BTreeMap<TaskId, Task>,
    spawner: Spawner,
    spawned: TaskId,
    ready: Arc<Ready>,
}

impl Executor {
    /// `rouse` is called, from any thread, when a task becomes ready while the shard sleeps.
    pub(crate) fn new(giving_way: GivingWay, rouse: impl Fn() + Send + Sync + 'static) -> Self {
        let ready = Ready {
            queues: Mutex::default(),
            asleep: AtomicBool::new(false),
            rouse: Box::new(rouse),
            giving_way,
        };
        Self {
            tasks: BTreeMap::new(),
            spawner: Spawner::default(),
            spawned: 0,
            ready: Arc::new(ready),
        }
    }

    pub(crate) fn ready(&self) -> &Arc<Ready> {
        &self.ready
    }

    /// For tasks that add tasks.
    pub(crate) fn spawner(&self) -> Spawner {
        self.spawner.clone()
    }

    /// Adds a task at the end of the queue. Dropping the receiver does not end the task.
    pub(crate) fn spawn<T: 'static>(
        &mut self,
        future: impl Future<Output = T> + 'static,
    ) -> oneshot::Receiver<T> {
        let (sender, receiver) = oneshot::channel();
        self.add(Box::pin(async move {
            // Nobody waiting for the result is no fault.
            let _ = sender.send(future.await);
        }));
        receiver
    }

    fn add(&mut self, future: Pin<Box<dyn Future<Output = ()>>>) {
        self.spawned += 1;
        let id = self.spawned;
        let ticket = Arc::new(Ticket {
            id,
            queued: AtomicBool::new(true),
            polled: AtomicBool::new(false),
            self_wakes: AtomicU32::new(0),
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
        self.ready.push(id, false);
    }

    /// Polls the task that was woken longest ago. `false`: none was.
    pub(crate) fn step(&mut self) -> bool {
        self.adopt();
        let next = self.ready.queues().woken.pop_front();
        next.is_some_and(|id| self.poll(id))
    }

    /// Polls the task that gave way longest ago. `false`: none did.
    pub(crate) fn step_yielded(&mut self) -> bool {
        let next = self.ready.queues().yielded.pop_front();
        next.is_some_and(|id| self.poll(id))
    }

    /// Polls one task, who was woken before who gave way. None: there is none to poll. `Some(true)`: it would
    /// have gone on and gave way.
    pub(crate) fn turn(&mut self) -> Option<bool> {
        self.adopt();
        let next = {
            let mut queues = self.ready.queues();
            let woken = queues.woken.pop_front();
            woken.or_else(|| queues.yielded.pop_front())
        };
        let id = next?;
        self.poll(id);
        let queued = |task: &Task| task.ticket.queued.load(Ordering::Acquire);
        Some(self.tasks.get(&id).is_some_and(queued))
    }

    /// Takes in what was added by a [`Spawner`].
    fn adopt(&mut self) {
        loop {
            let spawned = self.spawner.0.borrow_mut().pop_front();
            let Some(future) = spawned else { return };
            self.add(future);
        }
    }

    fn poll(&mut self, id: TaskId) -> bool {
        let Some(task) = self.tasks.get_mut(&id) else {
            return true;
        };
        task.ticket.queued.store(false, Ordering::Release);
        task.ticket.polled.store(true, Ordering::Relaxed);
        GAVE_WAY.set(false);
        let mut cx = Context::from_waker(&task.waker);
        let polled = task.future.as_mut().poll(&mut cx);
        task.ticket.polled.store(false, Ordering::Relaxed);
        if let Poll::Ready(()) = polled {
            // Out of the table first: dropping a guest's store may wake other tasks.
            let _done = self.tasks.remove(&id);
        }
        self.adopt();
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

    fn run(executor: &mut Executor) {
        while executor.step() || executor.step_yielded() {}
    }

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
        let mut executor = Executor::new(GivingWay::Said, || {});
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
        run(&mut executor);
        assert_eq!(*trace.borrow(), "abcabcabc");
        assert_eq!(executor.len(), 0);
    }

    /// A spinner beside one who waits to be woken, by name in the order of their turns: `begin` is what the spinner does
    /// before its first.
    fn beside_a_spinner(giving_way: GivingWay, slice: impl Fn() + 'static) -> String {
        let mut executor = Executor::new(giving_way, || {});
        let trace = Rc::new(RefCell::new(String::new()));
        let (sender, receiver) = oneshot::channel();
        let spins = trace.clone();
        let _spinner = executor.spawn(async move {
            for _ in 0..=SELF_WAKES {
                slice();
                yield_once().await;
            }
            spins.borrow_mut().push('s');
            slice();
            yield_once().await;
            spins.borrow_mut().push('s');
        });
        let echoes = trace.clone();
        let _echo = executor.spawn(async move {
            let _ = receiver.await;
            echoes.borrow_mut().push('e');
        });
        while executor.step() {}
        sender.send(()).unwrap();
        run(&mut executor);
        let trace = trace.borrow();
        trace.clone()
    }

    /// Goal: whoever is woken goes before whoever gave way, and who only wakes itself has not. Method: a spinner that
    /// says when its slice is over, one that does not, and one that is counted.
    #[test]
    fn who_was_woken_goes_before_who_gave_way() {
        assert_eq!(beside_a_spinner(GivingWay::Said, give_way), "ess");
        assert_eq!(beside_a_spinner(GivingWay::Said, || {}), "sse");
        assert_eq!(beside_a_spinner(GivingWay::Counted, || {}), "ess");
    }

    #[test]
    fn a_task_woken_twice_is_polled_once() {
        let mut executor = Executor::new(GivingWay::Said, || {});
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
        run(&mut executor);
        assert_eq!(*polls.borrow(), 2);
    }

    #[test]
    fn a_wake_rouses_a_sleeping_thread_once() {
        let roused = Arc::new(Mutex::new(0));
        let counted = roused.clone();
        let mut executor = Executor::new(GivingWay::Said, move || *counted.lock().unwrap() += 1);
        let slot = Rc::new(RefCell::new(None::<Waker>));
        let stored = slot.clone();
        drop(executor.spawn(std::future::poll_fn(move |cx| {
            *stored.borrow_mut() = Some(cx.waker().clone());
            Poll::<()>::Pending
        })));
        run(&mut executor);
        assert!(executor.ready().fall_asleep());
        let waker = slot.borrow_mut().take().unwrap();
        waker.wake_by_ref();
        waker.wake();
        assert_eq!(*roused.lock().unwrap(), 1);
        assert!(!executor.ready().fall_asleep());
    }

    /// Goal: a task a task adds is polled, after those that were ready before it. Method: one that adds two, beside
    /// another.
    #[test]
    fn a_task_adds_tasks_at_the_end_of_the_queue() {
        let mut executor = Executor::new(GivingWay::Said, || {});
        let trace = Rc::new(RefCell::new(String::new()));
        let (spawner, by) = (executor.spawner(), trace.clone());
        drop(executor.spawn(async move {
            for name in ['c', 'd'] {
                let by = by.clone();
                spawner.spawn(async move { by.borrow_mut().push(name) });
            }
            by.borrow_mut().push('a');
        }));
        let by = trace.clone();
        drop(executor.spawn(async move { by.borrow_mut().push('b') }));
        run(&mut executor);
        assert_eq!(*trace.borrow(), "abcd");
        assert_eq!(executor.len(), 0);
    }

    #[test]
    fn the_result_arrives_where_it_is_awaited() {
        let mut executor = Executor::new(GivingWay::Said, || {});
        let mut result = executor.spawn(async { 7 });
        run(&mut executor);
        assert_eq!(result.try_recv(), Ok(Some(7)));
    }
}
