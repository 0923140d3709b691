//! What stands at a place of the world, and what the world gives it.

use nexus_node::Node;
use nexus_types::{InstanceId, Instant, InterfaceAddress, Seed};

use crate::Store;

/// A machine of a world.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct MachineId(pub u32);

/// A node with what runs on it. Every `now` is of the machine's own clock, which never goes back.
///
/// A turn is: [`Machine::handle_frame`] for each frame that has come, [`Machine::handle_timeout`] if something is
/// due, [`Machine::run`], [`Machine::poll_transmit`], [`Machine::take_notes`], [`Machine::poll_timeout`].
pub trait Machine {
    /// A frame reached its NIC.
    fn handle_frame(&mut self, now: Instant, frame: &[u8]);

    /// What is due at `now` acts.
    fn handle_timeout(&mut self, now: Instant);

    /// Runs what can go on without time passing. `Some(until)`: its processor is busy until then; it is not run
    /// again before. Frames and timers that come meanwhile are handed to it all the same, and what it has to send
    /// is taken: the stack is served between two slices of a guest.
    fn run(&mut self, now: Instant) -> Option<Instant>;

    /// Hands every frame it wants to send to `send`.
    fn poll_transmit(&mut self, now: Instant, send: &mut dyn FnMut(&[u8]));

    /// When something is due next. What is not after the `now` of this turn is due at once, and it gets another
    /// turn without time passing; [`Instant::ZERO`] is the way to say that ([`nexus_node::Mesh::poll_timeout`]
    /// does). Any other time before `now` is reported by the checker [`crate::checker::PastTimer`]: it was due
    /// and [`Machine::handle_timeout`] left it.
    fn poll_timeout(&mut self) -> Option<Instant>;

    /// Hands on what it wants to have in the trace and shown to the checkers.
    fn take_notes(&mut self, note: &mut dyn FnMut(Note<'_>)) {
        let _ = note;
    }

    /// How it is: what the checkers of liveness and of bounds go by.
    fn vitals(&self) -> Vitals {
        Vitals::default()
    }
}

impl<M: Machine + ?Sized> Machine for Box<M> {
    fn handle_frame(&mut self, now: Instant, frame: &[u8]) {
        (**self).handle_frame(now, frame);
    }

    fn handle_timeout(&mut self, now: Instant) {
        (**self).handle_timeout(now);
    }

    fn run(&mut self, now: Instant) -> Option<Instant> {
        (**self).run(now)
    }

    fn poll_transmit(&mut self, now: Instant, send: &mut dyn FnMut(&[u8])) {
        (**self).poll_transmit(now, send);
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        (**self).poll_timeout()
    }

    fn take_notes(&mut self, note: &mut dyn FnMut(Note<'_>)) {
        (**self).take_notes(note);
    }

    fn vitals(&self) -> Vitals {
        (**self).vitals()
    }
}

/// What a factory of machines is told, at the first start and at each restart.
pub struct Boot<'a> {
    /// Which boot this is; the first is 1.
    pub number: u32,
    /// The machine's clock.
    pub now: Instant,
    /// Its addresses: those it was added with, unless a fault has given it others.
    pub addresses: &'a [InterfaceAddress],
    /// What it kept of its life before.
    pub store: Store,
    /// Of this machine and this boot.
    pub seed: Seed,
}

/// Makes a machine.
pub type Factory<M> = Box<dyn FnMut(Boot<'_>) -> M>;

/// What a machine wants to have noted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Note<'a> {
    /// For whoever reads the trace.
    Text(&'a str),
    /// An app has handed bytes of a stream to its node, up to this many. See [`crate::stream_byte`].
    Wrote {
        /// Which stream.
        stream: u64,
        /// Bytes of it written so far.
        end: u64,
    },
    /// An app has finished a stream it wrote: it has this many bytes.
    Finished {
        /// Which stream.
        stream: u64,
        /// Its length.
        end: u64,
    },
    /// An app was told that a stream it reads has no more bytes.
    Ended {
        /// Which stream.
        stream: u64,
        /// Bytes of it read so far.
        end: u64,
    },
    /// An app was given a part of a stream in a datagram: they may be missing, come twice and in any order.
    Datagram {
        /// Which stream.
        stream: u64,
        /// Where in it they are.
        start: u64,
        /// What they are.
        bytes: &'a [u8],
    },
    /// An app was given the next bytes of a stream by its node.
    Read {
        /// Which stream.
        stream: u64,
        /// Where in it they are.
        start: u64,
        /// What they are.
        bytes: &'a [u8],
    },
}

/// How a machine is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Vitals {
    /// What it has still to do and can, with a network that works.
    pub unfinished: u64,
    /// Rises whenever it comes nearer to that.
    pub work: u64,
    /// Its tables. At rest they are as they were.
    pub tables: Tables,
}

/// The sizes of a machine's tables.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tables {
    /// Connections of the stack, of every state but the next two.
    pub flows: u64,
    /// Half-open connections.
    pub half_open: u64,
    /// Connections in TIME-WAIT.
    pub time_wait: u64,
    /// Listeners.
    pub listeners: u64,
    /// UDP sockets.
    pub udp_sockets: u64,
    /// Sockets that its apps hold, by what they may hold (their quota).
    pub sockets: u64,
    /// Bytes of socket buffers that count against the quotas.
    pub bytes_in_flight: u64,
}

impl Tables {
    /// Those of a node whose instances are `first`, the next one, and so on, `count` of them.
    pub fn of(node: &Node, first: u64, count: u64) -> Self {
        let stats = node.stack().stats();
        let instances = (first..first + count).map(InstanceId);
        let usages = instances.map(|instance| node.usage(instance));
        let (sockets, bytes) = usages.fold((0, 0), |(sockets, bytes), usage| {
            (
                sockets + u64::from(usage.sockets),
                bytes + usage.bytes_in_flight,
            )
        });
        Self {
            flows: stats.flows.into(),
            half_open: stats.half_open.into(),
            time_wait: stats.time_wait.into(),
            listeners: stats.listeners.into(),
            udp_sockets: stats.udp_sockets.into(),
            sockets,
            bytes_in_flight: bytes,
        }
    }
}
