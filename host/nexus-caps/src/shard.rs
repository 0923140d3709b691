//! The handle by which a host call reaches the shard it runs on.
//!
//! A shard is one thread with its nodes, timers and guests (DESIGN section 5). A host call
//! enters it, acts on the stack and steps it inline: no queue, no other thread, no wake-up
//! between a guest's write and the frame it makes. The lock is there because wasmtime wants
//! its store data `Send`; it is never contended, since only the shard's thread enters.
//!
//! Two rules keep it sound: nobody awaits while inside, and wakers only enqueue.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use nexus_node::{AddressEvent, Event, Mesh};
use nexus_types::{Instant, NodeId};

use crate::observe::Observer;

/// Where a shard's time comes from: the OS under `run`, the event queue under simulation.
pub trait Clock: Send + Sync {
    /// Never goes backwards.
    fn now(&self) -> Instant;
}

/// A handle on a shard: its clock, its timers, its nodes.
#[derive(Clone)]
pub struct Shard(Arc<Inner>);

struct Inner {
    clock: Box<dyn Clock>,
    /// What it last told, in nanoseconds.
    latest: AtomicU64,
    observer: OnceLock<Box<dyn Observer>>,
    state: Mutex<State>,
}

struct State {
    mesh: Mesh,
    timers: Timers,
}

impl Shard {
    /// A shard over these nodes, telling this clock's time.
    pub fn new(mesh: Mesh, clock: Box<dyn Clock>) -> Self {
        let latest = AtomicU64::new(clock.now().as_nanos());
        Self(Arc::new(Inner {
            clock,
            latest,
            observer: OnceLock::new(),
            state: Mutex::new(State {
                mesh,
                timers: Timers::default(),
            }),
        }))
    }

    /// Who watches the calls of its guests from now on; whoever came first stays.
    pub fn set_observer(&self, observer: Box<dyn Observer>) {
        let _ = self.0.observer.set(observer);
    }

    pub(crate) fn observer(&self) -> Option<&dyn Observer> {
        self.0.observer.get().map(|observer| &**observer)
    }

    /// The shard's time.
    pub fn now(&self) -> Instant {
        let now = self.0.clock.now();
        self.0.latest.store(now.as_nanos(), Ordering::Relaxed);
        now
    }

    /// The shard's time when it was last read: of the task at hand, when its turn began. Reading the
    /// clock anew in each of a guest's calls was a twelfth of what a small message costs.
    pub fn latest(&self) -> Instant {
        Instant::from_nanos(self.0.latest.load(Ordering::Relaxed))
    }

    /// Acts on the nodes, then moves what the act set in motion.
    pub fn enter<R>(&self, act: impl FnOnce(&mut Mesh, Instant) -> R) -> R {
        self.enter_at(self.now(), act)
    }

    /// As [`Shard::enter`], for the calls of a guest: at the time when its turn began.
    pub(crate) fn enter_in_turn<R>(&self, act: impl FnOnce(&mut Mesh, Instant) -> R) -> R {
        self.enter_at(self.latest(), act)
    }

    fn enter_at<R>(&self, now: Instant, act: impl FnOnce(&mut Mesh, Instant) -> R) -> R {
        let mut state = self.state();
        let result = act(&mut state.mesh, now);
        state.mesh.step(now);
        result
    }

    /// Looks at the nodes; nothing moves.
    pub fn look<R>(&self, look: impl FnOnce(&Mesh) -> R) -> R {
        look(&self.state().mesh)
    }

    /// Completes once the shard's time is `deadline` or later.
    pub fn sleep_until(&self, deadline: Instant) -> Sleep {
        Sleep {
            shard: self.clone(),
            deadline,
            key: None,
        }
    }

    /// When [`Shard::handle_timeout`] is due next: the driver sleeps no longer.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let mut state = self.state();
        let timer = state.timers.next();
        let mesh = state.mesh.poll_timeout();
        [timer, mesh].into_iter().flatten().min()
    }

    /// Wakes the sleepers that are due and lets the nodes' timers act.
    pub fn handle_timeout(&self) {
        let now = self.now();
        let mut state = self.state();
        state.timers.wake_due(now);
        state.mesh.handle_timeout(now);
        state.mesh.step(now);
    }

    /// The oldest thing a node has to tell that nobody has taken.
    pub fn poll_event(&self) -> Option<(NodeId, Event)> {
        self.state().mesh.poll_event()
    }

    /// The oldest word about the addresses of a node that nobody has taken.
    pub fn poll_address_event(&self) -> Option<(NodeId, AddressEvent)> {
        self.state().mesh.poll_address_event()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic inside is a fault of ours that ends the run; what other tasks of the same
        // shard do until then is no worse for seeing the state it left.
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sleepers by deadline, then by when they lay down, so that equal deadlines wake in order.
#[derive(Default)]
struct Timers {
    sleepers: BTreeMap<(Instant, u64), Waker>,
    laid_down: u64,
}

impl Timers {
    fn next(&self) -> Option<Instant> {
        self.sleepers
            .first_key_value()
            .map(|((deadline, _), _)| *deadline)
    }

    fn wake_due(&mut self, now: Instant) {
        while let Some(entry) = self.sleepers.first_entry() {
            if entry.key().0 > now {
                break;
            }
            entry.remove().wake();
        }
    }
}

/// A sleep. See [`Shard::sleep_until`].
#[must_use = "a future does nothing until it is awaited"]
pub struct Sleep {
    shard: Shard,
    deadline: Instant,
    key: Option<(Instant, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.shard.now() >= self.deadline {
            return Poll::Ready(());
        }
        let this = &mut *self;
        let mut state = this.shard.state();
        let timers = &mut state.timers;
        match this.key.and_then(|key| timers.sleepers.get_mut(&key)) {
            Some(waker) => waker.clone_from(cx.waker()),
            None => {
                timers.laid_down += 1;
                let key = (this.deadline, timers.laid_down);
                timers.sleepers.insert(key, cx.waker().clone());
                this.key = Some(key);
            }
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            // The waker is dropped after the lock is let go: what it holds may be ours to drop, too.
            let _waker = self.shard.state().timers.sleepers.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Wake;

    struct Virtual(Arc<AtomicU64>);

    impl Clock for Virtual {
        fn now(&self) -> Instant {
            Instant::from_nanos(self.0.load(Ordering::Relaxed))
        }
    }

    struct Count(AtomicU64);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn at(nanos: u64) -> Instant {
        Instant::from_nanos(nanos)
    }

    #[test]
    fn a_sleeper_wakes_at_its_deadline_and_not_before() {
        let time = Arc::new(AtomicU64::new(0));
        let shard = Shard::new(Mesh::new(), Box::new(Virtual(time.clone())));
        let count = Arc::new(Count(AtomicU64::new(0)));
        let waker = Waker::from(count.clone());
        let mut sleep = Box::pin(shard.sleep_until(at(10)));
        assert!(
            sleep
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        assert_eq!(shard.poll_timeout(), Some(at(10)));

        time.store(9, Ordering::Relaxed);
        shard.handle_timeout();
        assert_eq!(count.0.load(Ordering::Relaxed), 0);

        time.store(10, Ordering::Relaxed);
        shard.handle_timeout();
        assert_eq!(count.0.load(Ordering::Relaxed), 1);
        assert!(
            sleep
                .as_mut()
                .poll(&mut Context::from_waker(&waker))
                .is_ready()
        );
        assert_eq!(shard.poll_timeout(), None);
    }

    /// Goal: the time a guest's calls see never runs ahead of the shard's, nor back. Method: a clock by hand.
    #[test]
    fn calls_of_a_turn_see_the_time_it_began_at() {
        let time = Arc::new(AtomicU64::new(5));
        let shard = Shard::new(Mesh::new(), Box::new(Virtual(time.clone())));
        let seen = || shard.enter_in_turn(|_, now| now);
        assert_eq!(seen(), at(5));
        time.store(9, Ordering::Relaxed);
        assert_eq!(seen(), at(5), "nobody has read the clock");
        assert_eq!(shard.enter(|_, now| now), at(9));
        assert_eq!((seen(), shard.latest()), (at(9), at(9)));
        time.store(11, Ordering::Relaxed);
        shard.handle_timeout();
        assert_eq!(seen(), at(11));
    }

    #[test]
    fn a_dropped_sleeper_leaves_no_timer() {
        let shard = Shard::new(Mesh::new(), Box::new(Virtual(Arc::default())));
        let mut sleep = Box::pin(shard.sleep_until(at(10)));
        assert!(
            sleep
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_pending()
        );
        drop(sleep);
        assert_eq!(shard.poll_timeout(), None);
    }
}
