//! What drives a shard under real time: one thread that polls its guests, its timers and its NICs.
//!
//! ```text
//!            +-> guests that are ready, in order, until TURN is over or none is left
//!   one turn |   timers that are due
//!            +-- NIC events (waits for them only when no guest is ready)
//! ```
//!
//! A guest that spins gives way at the next epoch tick, so a turn is bounded by `TURN` and
//! one tick; NICs and timers of the same shard wait no longer than that.

mod address;
mod capture;
mod clock;
mod executor;
mod kernel;
mod machine;
mod network;
mod user;
mod wire;

use std::cell::RefCell;
use std::future::Future;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::channel::oneshot;
use mio::{Events, Poll, Registry, Token, Waker};
use nexus_caps::{Clock, Shard};
use nexus_node::{Event, Mesh};
use nexus_types::{Instant, NodeId, Port, Transport};

pub use address::{AddressError, Addresses, Source};
pub use clock::OsClock;
pub use executor::Spawner;
pub(crate) use executor::give_way;
use executor::{Executor, GivingWay};
pub use kernel::{KernelListener, KernelStream};
pub(crate) use machine::{GuestMachine, SLICE_FUEL};
pub use network::{AddedNode, Network, NetworkError, Wire, user_topology};
pub use wire::Notice;

/// How long guests are polled before timers and NICs get their turn. Long enough that the
/// system call of a NIC poll is lost in it, short against any round trip of a real network.
const TURN: Duration = Duration::from_micros(200);

/// NIC events taken in one turn: bounds how long a flood of them keeps guests waiting.
const EVENTS_PER_TURN: usize = 256;

/// The token of the shard's own waker; those of NIC number n begin at n + 1 times [`TOKENS_PER_NIC`].
const ROUSE: Token = Token(0);

/// How many tokens a NIC has to itself.
pub const TOKENS_PER_NIC: usize = 1 << 32;

type OnEvent = Box<dyn FnMut(&mio::event::Event)>;
type Observer = Box<dyn FnMut(NodeId, Event)>;
type Teller = Arc<dyn Fn(NodeId, Weight, &dyn std::fmt::Display) + Send + Sync>;

/// How much the operator needs to know of something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Weight {
    /// All is well.
    Note,
    /// Something does not work as it did.
    Warning,
}

/// One shard and the thread that drives it.
pub struct Driver {
    shard: Shard,
    executor: Executor,
    poll: Poll,
    events: Events,
    nics: Vec<OnEvent>,
    observer: Observer,
    teller: Teller,
    stations: Rc<RefCell<address::Stations>>,
    captured: Option<Arc<Mutex<capture::Captured>>>,
    machine_ports: Vec<(Transport, Port)>,
}

impl Driver {
    /// A driver over these nodes.
    ///
    /// # Errors
    /// What the OS says when it has no more file descriptors.
    pub fn new(mesh: Mesh, clock: impl Clock + 'static) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), ROUSE)?);
        let executor = Executor::new(GivingWay::Said, move || {
            // The pipe behind it can only be full when a wake-up is already on its way.
            let _ = waker.wake();
        });
        let shard = Shard::new(mesh, Box::new(clock));
        Ok(Self {
            shard,
            executor,
            poll,
            events: Events::with_capacity(EVENTS_PER_TURN),
            nics: Vec::new(),
            observer: Box::new(|_, _| {}),
            teller: Arc::new(|_, _, _| {}),
            stations: Rc::default(),
            captured: None,
            machine_ports: Vec::new(),
        })
    }

    /// Keeps a port of this machine from the apps of the nodes that are added from now on, whatever they are granted.
    pub fn keep_port(&mut self, transport: Transport, port: Port) {
        self.machine_ports.push((transport, port));
    }

    /// The shard, for host calls and for setting it up.
    pub fn shard(&self) -> &Shard {
        &self.shard
    }

    /// Where a NIC registers its kernel sockets.
    ///
    /// # Errors
    /// What the OS says when it has no more file descriptors.
    pub fn registry(&self) -> io::Result<Registry> {
        self.poll.registry().try_clone()
    }

    /// The first of the [`TOKENS_PER_NIC`] tokens the next NIC to be added may use.
    pub fn next_tokens(&self) -> Token {
        Token((self.nics.len() + 1) * TOKENS_PER_NIC)
    }

    /// Hands the events of the NIC that uses [`Driver::next_tokens`] to `on_event`.
    pub fn add_nic(&mut self, on_event: impl FnMut(&mio::event::Event) + 'static) {
        self.nics.push(Box::new(on_event));
    }

    /// Hands what the nodes have to tell (refusals) to `observer`, in order, soon after it happened.
    pub fn observe(&mut self, observer: impl FnMut(NodeId, Event) + 'static) {
        self.observer = Box::new(observer);
    }

    /// Hands what the operator is to know of a node's network (an address it got, an interface that is
    /// gone, a capture that ended) to `teller`. To be set before nodes are added.
    pub fn tell(
        &mut self,
        teller: impl Fn(NodeId, Weight, &dyn std::fmt::Display) + Send + Sync + 'static,
    ) {
        self.teller = Arc::new(teller);
    }

    fn teller(&self) -> Teller {
        self.teller.clone()
    }

    /// Adds a task to the shard. It goes on when the receiver is dropped.
    pub fn spawn<T: 'static>(
        &mut self,
        task: impl Future<Output = T> + 'static,
    ) -> oneshot::Receiver<T> {
        self.executor.spawn(task)
    }

    /// For tasks that add tasks.
    pub fn spawner(&self) -> Spawner {
        self.executor.spawner()
    }

    /// Drives the shard until `task` has ended.
    ///
    /// # Errors
    /// What the OS says when waiting for NIC events fails.
    pub fn block_on<T: 'static>(
        &mut self,
        task: impl Future<Output = T> + 'static,
    ) -> io::Result<T> {
        let mut result = self.executor.spawn(task);
        loop {
            self.poll_tasks();
            self.tell_events();
            match result.try_recv() {
                Ok(Some(result)) => return Ok(result),
                Ok(None) => {}
                Err(oneshot::Canceled) => unreachable!("only a finished task drops its sender"),
            }
            if self.poll_timers() {
                // What a timer brought about may be what a task waits for.
                self.tell_events();
            }
            self.poll_nics()?;
        }
    }

    /// Polls who was woken; who gave way gets the time that is left, and one turn at least.
    fn poll_tasks(&mut self) {
        let end = self.shard.now() + TURN;
        let mut yielded = false;
        loop {
            if !self.executor.step() {
                if !self.executor.step_yielded() {
                    return;
                }
                yielded = true;
            }
            if self.shard.now() >= end {
                break;
            }
        }
        if !yielded {
            self.executor.step_yielded();
        }
    }

    fn tell_events(&mut self) {
        while let Some((node, event)) = self.shard.poll_event() {
            (self.observer)(node, event);
        }
        while let Some((node, event)) = self.shard.poll_address_event() {
            let (now, ways) = self
                .shard
                .enter(|mesh, now| (now, address::Ways::of(mesh.node(node).stack())));
            let notice = self.stations.borrow_mut().handle(now, node, event, ways);
            if let Some((weight, notice)) = notice {
                (self.teller)(node, weight, &notice);
            }
        }
    }

    /// Lets timers that are due act. Whether any was.
    fn poll_timers(&mut self) -> bool {
        let due = self.shard.poll_timeout();
        let due = due.is_some_and(|due| due <= self.shard.now());
        if due {
            self.shard.handle_timeout();
        }
        due
    }

    /// Takes what NICs have; waits for it, at most until the next timer, when no task is ready.
    fn poll_nics(&mut self) -> io::Result<()> {
        let timeout = if self.executor.ready().fall_asleep() {
            self.shard
                .poll_timeout()
                .map(|due: Instant| due - self.shard.now())
        } else {
            Some(Duration::ZERO)
        };
        let polled = self.poll.poll(&mut self.events, timeout);
        self.executor.ready().awake();
        // Time has passed; what events set in motion is of now.
        self.shard.now();
        match polled {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        for event in &self.events {
            let nic = (event.token().0 / TOKENS_PER_NIC).checked_sub(1);
            if let Some(on_event) = nic.and_then(|nic| self.nics.get_mut(nic)) {
                on_event(event);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wake_from_another_thread_ends_the_wait() {
        let mut driver = Driver::new(Mesh::new(), OsClock::start()).unwrap();
        let (sender, receiver) = oneshot::channel();
        let thread = std::thread::spawn(move || sender.send(7));
        assert_eq!(driver.block_on(receiver).unwrap(), Ok(7));
        thread.join().unwrap().unwrap();
    }

    #[test]
    fn a_task_that_is_always_ready_does_not_stop_a_timer() {
        let mut driver = Driver::new(Mesh::new(), OsClock::start()).unwrap();
        let _spinner = driver.spawn(std::future::poll_fn(|cx| {
            cx.waker().wake_by_ref();
            std::task::Poll::<()>::Pending
        }));
        let shard = driver.shard().clone();
        let deadline = shard.now() + Duration::from_millis(2);
        driver
            .block_on(async move { shard.sleep_until(deadline).await })
            .unwrap();
        assert!(driver.shard().now() >= deadline);
    }
}
