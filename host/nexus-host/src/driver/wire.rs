//! A real NIC as the mesh and the driver see it.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nexus_nic::{Checksum, Drained, Inbound, LinkStatus, NicError, Sent};
use nexus_node::Nic;
use nexus_stack::{Offload, Received};
use nexus_types::Instant;

use super::TOKENS_PER_NIC;

/// Frames that wait for the kernel to have room. Stops an interface that takes nothing from filling
/// the host's memory; one more is dropped, as at any full queue of a wire.
const WAITING: usize = 256;

/// Bytes of them: with offload a frame may have 64 KiB.
const WAITING_BYTES: usize = 2 << 20;

/// What the operator is to know of an interface, once each time it happens.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    /// It is up again.
    Up,
    /// It is down or has no carrier: nothing passes until it is up again.
    Down,
    /// Its MTU is smaller than the node's packets, which it will not carry.
    Mtu(usize),
    /// It can be used no more.
    Ended(NicError),
}

impl std::fmt::Display for Notice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Up => f.write_str("the interface is up"),
            Self::Down => f.write_str(
                "the interface is down: nothing passes until it is up again (ip link set up)",
            ),
            Self::Mtu(mtu) => write!(
                f,
                "the interface's MTU is now {mtu}, less than it was at the start: larger packets are \
                 lost; start again, or set it back"
            ),
            Self::Ended(error) => write!(
                f,
                "{error}; the node is without its network, apps on other nodes go on"
            ),
        }
    }
}

/// Reached both by the mesh (frames) and by the driver (events). Both are on the shard's thread;
/// the lock is there because a mesh is `Send`.
#[derive(Clone)]
pub(super) struct WireNic(Arc<Mutex<Wire>>);

struct Wire {
    /// None: it can be used no more.
    nic: Option<nexus_nic::Nic>,
    /// The status that was told last, and the MTU the node was made with.
    told: LinkStatus,
    mtu: usize,
    /// Frames may be there. The driver's poll tells of news alone, so this says what is left.
    readable: bool,
    waiting: VecDeque<(Box<[u8]>, Offload)>,
    waiting_bytes: usize,
    tell: Tell,
}

/// Tells the operator.
type Tell = Box<dyn Fn(&Notice) + Send>;

impl WireNic {
    /// Registers both descriptors of the NIC: `token` for frames, the next for its link.
    pub(super) fn new(
        nic: nexus_nic::Nic,
        registry: &Registry,
        token: Token,
        tell: impl Fn(&Notice) + Send + 'static,
    ) -> io::Result<Self> {
        let frames = nic.as_fd().as_raw_fd();
        let both = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut SourceFd(&frames), token, both)?;
        let link = nic.link_fd().as_raw_fd();
        registry.register(&mut SourceFd(&link), Token(token.0 + 1), Interest::READABLE)?;
        let state = nic.link();
        Ok(Self(Arc::new(Mutex::new(Wire {
            nic: Some(nic),
            told: LinkStatus::Up,
            mtu: state.mtu,
            readable: true,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            tell: Box::new(tell),
        }))))
    }

    /// What the kernel has to tell of the interface.
    pub(super) fn handle_event(&self, event: &Event) {
        let mut wire = self.wire();
        let of_link = event.token().0 % TOKENS_PER_NIC == 1;
        if !of_link {
            wire.readable |= event.is_readable();
            if event.is_writable() {
                wire.send_waiting();
            }
        }
        if of_link || event.is_error() || event.is_read_closed() {
            wire.look();
        }
    }

    fn wire(&self) -> MutexGuard<'_, Wire> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wire {
    /// Looks at the interface again.
    fn look(&mut self) {
        let Some(state) = self.nic.as_mut().and_then(nexus_nic::Nic::poll_link) else {
            return;
        };
        if state.status == LinkStatus::Gone {
            // What the ring still holds is taken first; then receiving says that it is gone.
            self.readable = true;
        } else if state.status != self.told {
            self.told = state.status;
            (self.tell)(&match state.status {
                LinkStatus::Up => Notice::Up,
                LinkStatus::Down | LinkStatus::Gone => Notice::Down,
            });
        } else if state.mtu < self.mtu {
            (self.tell)(&Notice::Mtu(state.mtu));
        }
    }

    fn send(&mut self, frame: &[u8], offload: Offload) -> Sent {
        let Some(nic) = &mut self.nic else {
            return Sent::Dropped;
        };
        let offload = match offload {
            Offload::None => nexus_nic::Offload::None,
            Offload::Checksum => nexus_nic::Offload::Checksum,
            Offload::Segments(size) => nexus_nic::Offload::Segments(size),
        };
        match nic.send(frame, offload) {
            Ok(sent) => sent,
            Err(error) => {
                self.end(error);
                Sent::Dropped
            }
        }
    }

    fn send_waiting(&mut self) {
        while let Some((frame, offload)) = self.waiting.pop_front() {
            if self.send(&frame, offload) == Sent::Full {
                self.waiting.push_front((frame, offload));
                return;
            }
            self.waiting_bytes = self.waiting_bytes.saturating_sub(frame.len());
        }
    }

    /// Keeps a frame until the kernel has room.
    fn wait(&mut self, frame: &[u8], offload: Offload) {
        let bytes = self.waiting_bytes + frame.len();
        if self.waiting.len() < WAITING && bytes <= WAITING_BYTES {
            self.waiting_bytes = bytes;
            self.waiting.push_back((frame.into(), offload));
        }
    }

    fn end(&mut self, error: NicError) {
        // Closing the descriptors takes them out of the driver's poll.
        self.nic = None;
        self.waiting.clear();
        self.waiting_bytes = 0;
        (self.tell)(&Notice::Ended(error));
    }
}

impl Nic for WireNic {
    fn handle_frame(&mut self, _now: Instant, frame: &[u8], offload: Offload) {
        let mut wire = self.wire();
        if !wire.waiting.is_empty() || wire.send(frame, offload) == Sent::Full {
            wire.wait(frame, offload);
        }
    }

    fn poll_transmit(
        &mut self,
        _now: Instant,
        _max: usize,
        deliver: &mut dyn FnMut(&[u8], Received),
    ) -> usize {
        let mut wire = self.wire();
        if !wire.readable {
            return 0;
        }
        let Some(nic) = &mut wire.nic else {
            return 0;
        };
        let mut count = 0;
        let received = nic.receive(|inbound| {
            count += 1;
            deliver(inbound.frame, known(inbound));
        });
        match received {
            Ok(Drained::Empty) => wire.readable = false,
            // All of a turn may have been for others; there is more all the same.
            Ok(Drained::More) => count = count.max(1),
            Err(error) => wire.end(error),
        }
        count
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        None
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn undelivered(&self) -> usize {
        self.wire().waiting.len()
    }
}

/// What the NIC knows of a frame, in the stack's words.
fn known(inbound: &Inbound<'_>) -> Received {
    Received {
        checked: match inbound.checksum {
            Checksum::Right | Checksum::Absent => true,
            Checksum::Unknown => false,
        },
        segments: inbound.gso_size,
    }
}
