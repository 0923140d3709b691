//! A machine's node as its apps reach it: the clock, the timers and the mesh behind one handle.
//!
//! Two rules keep it sound, those of nexus-host's shard: nobody awaits while inside, and wakers only enqueue.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use nexus_node::{Mesh, Node};
use nexus_types::{Instant, NodeId};

/// See the module.
pub(super) struct Shell {
    node: NodeId,
    now: Cell<Instant>,
    state: RefCell<State>,
}

struct State {
    mesh: Mesh,
    /// Sleepers by deadline, then by when they lay down, so that equal deadlines wake in order.
    sleepers: BTreeMap<(Instant, u64), Waker>,
    laid_down: u64,
}

impl Shell {
    pub(super) fn new(mesh: Mesh, node: NodeId, now: Instant) -> Rc<Self> {
        Rc::new(Self {
            node,
            now: Cell::new(now),
            state: RefCell::new(State {
                mesh,
                sleepers: BTreeMap::new(),
                laid_down: 0,
            }),
        })
    }

    /// The machine's time: it stands during a turn.
    pub(super) fn now(&self) -> Instant {
        self.now.get()
    }

    pub(super) fn set_now(&self, now: Instant) {
        self.now.set(now);
    }

    /// Acts on the node, then moves what the act set in motion.
    pub(super) fn node<R>(&self, act: impl FnOnce(&mut Node, Instant) -> R) -> R {
        self.mesh(|mesh, now| act(mesh.node_mut(self.node), now))
    }

    /// As [`Shell::node`], on the mesh.
    pub(super) fn mesh<R>(&self, act: impl FnOnce(&mut Mesh, Instant) -> R) -> R {
        let now = self.now.get();
        let mut state = self.state.borrow_mut();
        let result = act(&mut state.mesh, now);
        state.mesh.step(now);
        result
    }

    /// A frame is there for the node.
    pub(super) fn touch_nic(&self) {
        self.mesh(|mesh, _| mesh.touch_nic(self.node));
    }

    /// Wakes the sleepers that are due and lets the node's timers act.
    pub(super) fn handle_timeout(&self) {
        let now = self.now.get();
        let mut state = self.state.borrow_mut();
        while let Some(entry) = state.sleepers.first_entry()
            && entry.key().0 <= now
        {
            entry.remove().wake();
        }
        drop(state);
        self.mesh(Mesh::handle_timeout);
    }

    /// When [`Shell::handle_timeout`] is due next.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let mut state = self.state.borrow_mut();
        let sleeper = state.sleepers.first_key_value().map(|((at, _), _)| *at);
        [sleeper, state.mesh.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    /// Completes once the machine's time is `deadline` or later.
    pub(super) fn sleep_until(self: &Rc<Self>, deadline: Instant) -> Sleep {
        Sleep {
            shell: self.clone(),
            deadline,
            key: None,
        }
    }
}

/// See [`Shell::sleep_until`].
pub(super) struct Sleep {
    shell: Rc<Shell>,
    deadline: Instant,
    key: Option<(Instant, u64)>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.shell.now() >= this.deadline {
            return Poll::Ready(());
        }
        let mut state = this.shell.state.borrow_mut();
        let old = if let Some(key) = this.key
            && state.sleepers.contains_key(&key)
        {
            state.sleepers.insert(key, context.waker().clone())
        } else {
            state.laid_down += 1;
            let key = (this.deadline, state.laid_down);
            this.key = Some(key);
            state.sleepers.insert(key, context.waker().clone())
        };
        // What a waker holds may be ours to drop, too: after the node is let go.
        drop(state);
        drop(old);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            let waker = self.shell.state.borrow_mut().sleepers.remove(&key);
            drop(waker);
        }
    }
}

/// Who is to be polled, first come, first served.
#[derive(Debug, Default)]
pub(super) struct Ready(Mutex<VecDeque<usize>>);

impl Ready {
    fn queue(&self) -> MutexGuard<'_, VecDeque<usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn pop(&self) -> Option<usize> {
        self.queue().pop_front()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queue().is_empty()
    }
}

/// An app's place in the queue: it stands there at most once.
#[derive(Debug)]
pub(super) struct Ticket {
    index: usize,
    queued: AtomicBool,
    ready: Arc<Ready>,
}

impl Ticket {
    /// Queued from the start.
    pub(super) fn new(index: usize, ready: &Arc<Ready>) -> Arc<Self> {
        let ticket = Arc::new(Self {
            index,
            queued: AtomicBool::new(false),
            ready: ready.clone(),
        });
        ticket.wake_by_ref();
        ticket
    }

    /// It has its turn; whether it is woken from now on, [`Ticket::is_queued`] tells.
    pub(super) fn begin(&self) {
        self.queued.store(false, Ordering::Relaxed);
    }

    pub(super) fn is_queued(&self) -> bool {
        self.queued.load(Ordering::Relaxed)
    }
}

impl Wake for Ticket {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed) {
            self.ready.queue().push_back(self.index);
        }
    }
}
