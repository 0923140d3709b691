//! The unprivileged NIC: a gateway stack that ends the node's flows on kernel sockets.
//!
//! ```text
//!   node's stack <--frames--> gateway's stack <--flows--> kernel sockets <--> everybody else
//!   192.0.0.2                 every address               of this process
//! ```
//!
//! [`UserNet`] is driven by its shard's one thread: frames of the node go in by
//! [`UserNet::handle_frame`] and come out of [`UserNet::poll_transmit`], readiness of kernel sockets
//! comes in by [`UserNet::handle_event`], time by [`UserNet::handle_timeout`]. It has no thread and
//! makes no call that blocks.
//!
//! What holds:
//! - The host's own loopback is reached through [`Addresses::host`] (`host.internal`) alone. Any
//!   other spelling of this host is refused here, whatever policy said: see `address` and `own`.
//! - Data waits in the kernel or in the stacks' bounded buffers, never here.
//! - A flow moves a bounded amount in its turn, and turns go round.
//! - Every table is bounded: [`Limits`]. A shortage refuses what is new and leaves what is.
//!
//! Not supported: ICMP echo through the gateway, multicast and broadcast, raw IP, IP options,
//! binding a chosen address of the host for what the node dials.

mod address;
mod dns;
mod error;
mod kernel;
mod own;
mod publish;
mod published;
mod resolvers;
mod slots;
mod tcp;
mod udp;

use std::fmt;

use mio::event::Event;
use mio::{Registry, Token};
use nexus_stack::{Checksums, Config as StackConfig, Congestion, Frame, Stack};
use nexus_types::{Duration, Instant, Seed, limits};

pub use address::{ADDRESSES, Addresses, HOST_NAME};
pub use error::UserNetError;
pub use publish::{Publish, PublishError};
pub use resolvers::Resolvers;

use kernel::{Kernel, Readiness, Step, Tenant, Turn};

/// The largest IP packet of the link: there is no wire between the node and its gateway.
pub const MTU: usize = 65_535;

/// Turns taken in one step; what is left waits for the next, so that guests get theirs.
const STEP_TURNS: usize = 128;

// What datagrams one step can make fits the queue of the gateway's stack.
const _: () = assert!(STEP_TURNS * udp::TURN_DATAGRAMS < limits::LINK_FRAMES as usize);

/// What a NIC is made of.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Where DNS queries go.
    pub resolvers: Resolvers,
    /// Ports of the node that the kernel listens on.
    pub publish: Vec<Publish>,
    /// The bounds.
    pub limits: Limits,
}

/// The bounds of one NIC; the defaults are those of `nexus_types::limits`.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Kernel sockets that flows of the node may hold. Clients of published TCP ports get half of them
    /// (at least one).
    pub flows: u32,
    /// UDP flows among them; also the clients of published UDP ports.
    pub udp_flows: u32,
    /// How long a UDP flow may be idle.
    pub udp_idle: Duration,
    /// How long the kernel may take to connect.
    pub connect: Duration,
    /// DNS queries that wait for an answer.
    pub dns_queries: u32,
    /// How long a DNS query waits.
    pub dns: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            flows: limits::USERNET_FLOWS,
            udp_flows: limits::USERNET_UDP_FLOWS,
            udp_idle: Duration::from_micros(limits::USERNET_UDP_IDLE_MICROS),
            connect: Duration::from_micros(limits::USERNET_CONNECT_MICROS),
            dns_queries: limits::USERNET_DNS_QUERIES,
            dns: Duration::from_micros(limits::USERNET_DNS_MICROS),
        }
    }
}

/// Counters since the NIC was made, and the sizes of its tables now.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct Stats {
    /// TCP bytes the kernel took.
    pub bytes_to_kernel: u64,
    /// TCP bytes the kernel gave.
    pub bytes_from_kernel: u64,
    /// Refused: an address that means this host, a group, or nobody.
    pub refused_address: u64,
    /// Refused or made to wait: a table was full.
    pub refused_limit: u64,
    /// Dropped: a datagram that no buffer had room for, or that makes no sense.
    pub dropped_datagrams: u64,
    /// TCP connections now, those being made included.
    pub tcp_flows: u32,
    /// UDP flows of the node now.
    pub udp_flows: u32,
    /// Clients of published UDP ports now.
    pub udp_clients: u32,
    /// DNS queries that wait now.
    pub dns_queries: u32,
}

/// The NIC. See the crate's documentation.
pub struct UserNet {
    stack: Stack,
    kernel: Kernel,
    published: Vec<Publish>,
    /// The flows had their turns since `poll_transmit` last said `None`.
    turned: bool,
    now: Instant,
}

impl UserNet {
    /// Opens the published ports and waits for frames.
    ///
    /// Its kernel sockets are registered at `registry` with tokens from `first_token` on; fewer
    /// than 2^31 of them.
    ///
    /// # Errors
    /// When a port cannot be published; nothing stays open then.
    pub fn new(
        config: Config,
        registry: Registry,
        first_token: Token,
        now: Instant,
        seed: Seed,
    ) -> Result<Self, UserNetError> {
        let stack = Stack::new(gateway(&config.limits), now, seed.split("usernet"))
            .map_err(UserNetError::Gateway)?;
        let resolvers = resolvers::Current::new(config.resolvers);
        let mut kernel = Kernel::new(registry, first_token, config.limits, resolvers);
        for lasting in [Tenant::Invitations, Tenant::Datagrams] {
            kernel.slots.insert(lasting, Instant::FAR_FUTURE);
        }
        let mut published = config.publish;
        for publish in &mut published {
            publish.host = published::open(&mut kernel, publish)?;
        }
        Ok(Self {
            stack,
            kernel,
            published,
            turned: false,
            now,
        })
    }

    /// The published ports, with the kernel's ports where it was to choose them.
    pub fn published(&self) -> &[Publish] {
        &self.published
    }

    /// What was counted.
    pub fn stats(&self) -> &Stats {
        &self.kernel.stats
    }

    /// What the gateway's stack counted.
    pub fn stack_stats(&self) -> &nexus_stack::Stats {
        self.stack.stats()
    }

    /// How many connections still hold bytes of the node that the kernel has not taken. A host that
    /// ends waits a while for this to become 0; what the kernel has taken it delivers by itself.
    pub fn undelivered(&self) -> usize {
        // Whose turn it is may have something to pass on that shows in no buffer: an end, or a datagram.
        // Only where it is the node's: what comes in goes on for as long as others like.
        let holds = |tenant: &Tenant, has_turn: bool| match tenant {
            Tenant::Tcp(flow) => flow.holds_bytes(&self.stack, has_turn),
            Tenant::Datagrams => has_turn,
            _ => false,
        };
        let tenants = self.kernel.slots.tenants();
        tenants
            .filter(|(tenant, turn)| holds(tenant, *turn))
            .count()
    }

    /// Takes one frame of the node: a bare IP packet. Never panics, whatever the bytes.
    pub fn handle_frame(&mut self, now: Instant, frame: &[u8]) {
        self.now = now;
        self.stack.handle_frame(now, frame);
    }

    /// The next frame for the node. Give it back with [`UserNet::recycle`].
    ///
    /// Once in a series of calls up to `None`, the flows that have something to do get a turn each,
    /// so a flood of datagrams cannot make the series endless. If they have more to do then,
    /// [`UserNet::poll_timeout`] is in the past.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Frame> {
        self.now = now;
        let mut frame = self.stack.poll_transmit(now);
        if frame.is_none() && !self.turned && self.take_turns(now) {
            frame = self.stack.poll_transmit(now);
            self.turned = true;
        }
        self.turned &= frame.is_some();
        frame
    }

    /// Takes a transmitted frame's buffer back.
    pub fn recycle(&mut self, frame: Frame) {
        self.stack.recycle(frame);
    }

    /// Takes an event of a kernel socket. One of a token that is not ours changes nothing.
    /// [`UserNet::poll_transmit`] acts on it.
    pub fn handle_event(&mut self, event: &Event) {
        if let Some(number) = self.kernel.number_of(event.token())
            && let Some(tenant) = self.kernel.slots.get_mut(number)
        {
            tenant.handle_event(Readiness::of(event));
            self.kernel.slots.wake(number);
        }
    }

    /// When [`UserNet::handle_timeout`] must be called next, if nothing else happens before.
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        let turns = (self.kernel.slots.turns() > 0).then_some(self.now);
        let flows = self.kernel.slots.next_deadline();
        let stack = self.stack.poll_timeout();
        [turns, flows, stack].into_iter().flatten().min()
    }

    /// Does what is due at `now`. Frames may have to be transmitted afterwards.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        self.stack.handle_timeout(now);
        while let Some(number) = self.kernel.slots.overdue(now) {
            if let Some(tenant) = self.kernel.slots.get_mut(number) {
                tenant.handle_overdue();
                self.kernel.slots.wake(number);
            }
        }
    }

    /// One turn for each that has something to do. `false`: nobody had.
    fn take_turns(&mut self, now: Instant) -> bool {
        let turns = self.kernel.slots.turns().min(STEP_TURNS);
        for _ in 0..turns {
            let Some(number) = self.kernel.slots.next_turn() else {
                break;
            };
            let Some((tenant, waker)) = self.kernel.slots.take(number) else {
                continue;
            };
            let kind = tenant.kind();
            let step = tenant.serve(&mut Turn {
                now,
                number,
                waker: &waker,
                stack: &mut self.stack,
                kernel: &mut self.kernel,
            });
            match step {
                Step::Keep(tenant) => self.kernel.slots.put_back(number, tenant),
                Step::Again(tenant) => {
                    self.kernel.slots.put_back(number, tenant);
                    self.kernel.slots.wake(number);
                }
                Step::End => self.kernel.release(number, kind),
            }
        }
        turns > 0
    }
}

impl fmt::Debug for UserNet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserNet")
            .field("published", &self.published)
            .field("stats", &self.kernel.stats)
            .finish_non_exhaustive()
    }
}

/// The gateway's end of the link. There is no wire, hence no checksums, no congestion and nothing
/// to gain from delaying an acknowledgement.
fn gateway(limits: &Limits) -> StackConfig {
    let mut config = StackConfig::new(MTU, ADDRESSES.gateway_interface());
    config.any_address = true;
    config.checksums = Checksums::None;
    config.tcp.congestion = Congestion::None;
    config.tcp.ack_delay = None;
    config.tcp.nagle = false;
    // Our own bound decides first, also on those that wait for the kernel to connect. As many again
    // may linger, delivering to the node what the kernel has closed already.
    config.limits.invitations = limits.flows;
    config.limits.flows = limits.flows.saturating_mul(2);
    config
}

#[cfg(test)]
const fn assert_send<T: Send>() {}
#[cfg(test)]
const _: () = assert_send::<UserNet>();
