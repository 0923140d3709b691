//! What is open when the policy changes: judged again at once, and ended with `revoked` if it may not go on.
//!
//! Nothing waits for its app to call: a connection that only listens for bytes ends as soon as one that is written to,
//! and the far end is told. The handle stays, and whatever its app does with it answers `revoked`, until it is closed.

use std::collections::{BTreeMap, BTreeSet};

use nexus_policy::switch::Site;
use nexus_policy::{Act, Capability, KeptRequest, Stamp};
use nexus_stack::TcpId;
use nexus_types::{HostName, InstanceId, Instant, SocketAddr};

use crate::udp::UdpSocket;
use crate::{NetError, Node};

/// What an app can have open, by its id on the stack.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Handle {
    Tcp(TcpId),
    Listener(nexus_stack::ListenerId),
    Udp(nexus_stack::UdpId),
}

/// A connection whose handle is closed and whose last bytes are still delivered, with what it is judged by.
#[derive(Debug)]
pub(crate) struct Left {
    stamp: Stamp,
    opened: OpenedAs,
}

/// What an app opened a handle as, beside where: it is judged again as that. What else the address of a connection is
/// called is nothing to it.
#[derive(Debug)]
pub(crate) enum OpenedAs {
    /// What it is.
    Itself,
    /// A connection to this name.
    Name(HostName),
    /// A connection for this request, or the last that it carried.
    Request(KeptRequest),
}

impl OpenedAs {
    /// Connecting to `remote` as this.
    pub(crate) fn connect(&self, remote: SocketAddr) -> Act<'_> {
        match self {
            Self::Itself => Act::Connect { remote, name: None },
            Self::Name(name) => Act::Connect {
                remote,
                name: Some(name),
            },
            Self::Request(request) => Act::RequestConnect {
                request: request.request(),
                remote,
            },
        }
    }
}

/// Connections that are left. Those that are gone stay until they are half of it.
#[derive(Debug, Default)]
pub(crate) struct Lingering {
    left: BTreeMap<TcpId, Left>,
    looked_at: usize,
}

/// How a handle stands.
#[derive(Debug)]
pub(crate) enum Open {
    /// Under the policy it was judged by last.
    Stands(Stamp, OpenedAs),
    /// Its app has not closed it yet, and is told this.
    Revoked(Stamp, NetError),
}

impl Open {
    pub(crate) fn stamp(&self) -> Stamp {
        match self {
            Self::Stands(stamp, _) | Self::Revoked(stamp, _) => *stamp,
        }
    }
}

impl Node {
    /// Judges again all that is open, if the policy has changed since that was done last. To be called after whatever
    /// may have changed it. What does not survive is an event.
    pub(crate) fn judge_open(&mut self, now: Instant) {
        let epoch = self.gate.epoch();
        if self.judged_at == epoch || Site::JudgeOpen.is_off() {
            return;
        }
        self.judged_at = epoch;
        let standing: Vec<_> = self
            .open
            .iter()
            .filter_map(|(handle, open)| match open {
                Open::Stands(stamp, _) if stamp.epoch() != epoch => Some(*handle),
                _ => None,
            })
            .collect();
        for handle in standing {
            // What it is told is kept with the handle.
            let _ = self.check_handle(now, handle);
        }
        self.judge_lingering(now);
    }

    /// The same of what was closed and still delivers what was written.
    fn judge_lingering(&mut self, now: Instant) {
        self.forget_gone();
        for (id, left) in core::mem::take(&mut self.lingering.left) {
            let Some(addresses) = self.stack.tcp_lingering(id) else {
                continue;
            };
            match self.judge_tcp(now, left.stamp, addresses, &left.opened) {
                Ok(stamp) => {
                    let opened = left.opened;
                    self.lingering.left.insert(id, Left { stamp, opened });
                }
                Err(_told) => {
                    self.revoked += 1;
                    self.stack.tcp_abort_lingering(now, id);
                }
            }
        }
        self.forget_gone();
    }

    /// Keeps what a connection that was closed is judged by, as long as it lingers.
    pub(crate) fn linger(&mut self, id: TcpId, stamp: Stamp, opened: OpenedAs) {
        if self.stack.tcp_lingering(id).is_none() {
            return;
        }
        self.lingering.left.insert(id, Left { stamp, opened });
    }

    /// As [`Node::forget_gone`], as often as it costs each connection one look more.
    pub(crate) fn keep_lingering_few(&mut self) {
        if self.lingering.left.len() > 2 * self.lingering.looked_at + 16 {
            self.forget_gone();
        }
    }

    /// Forgets what does not linger any more, and instances that have nothing else left.
    fn forget_gone(&mut self) {
        let stack = &self.stack;
        let mut over = BTreeSet::new();
        self.lingering.left.retain(|id, left| {
            let lingers = stack.tcp_lingering(*id).is_some();
            if !lingers {
                over.insert(left.stamp.instance());
            }
            lingers
        });
        self.lingering.looked_at = self.lingering.left.len();
        over.retain(|instance| !self.instances.contains_key(instance));
        for instance in over {
            self.end_at_gate(instance);
        }
    }

    /// Has the gate forget an instance that has ended, or judge what it left until that is gone.
    pub(crate) fn end_at_gate(&mut self, instance: InstanceId) {
        let left = &mut self.lingering.left.values();
        if left.any(|left| left.stamp.instance() == instance) {
            self.gate.retire(instance);
        } else {
            self.gate.end(instance);
        }
    }

    fn judge_tcp(
        &mut self,
        now: Instant,
        stamp: Stamp,
        (local, remote): (SocketAddr, SocketAddr),
        opened: &OpenedAs,
    ) -> Result<Stamp, NetError> {
        let (site, act) = if stamp.capability() == Capability::NetworkTcpListen {
            (Site::JudgeAccepted, Act::Accept { local, remote })
        } else {
            (Site::JudgeConnected, opened.connect(remote))
        };
        site.ask(|| self.judge_again(now, stamp, &act))
    }

    /// Whether a handle of an older stamp goes on: as it was judged under this policy.
    pub(crate) fn check_handle(&mut self, now: Instant, handle: Handle) -> Result<(), NetError> {
        match self.open.get_mut(&handle) {
            None => Err(NetError::closed()),
            Some(Open::Revoked(_, error)) => Err(error.clone()),
            Some(Open::Stands(stamp, _)) if self.gate.is_current(*stamp) => Ok(()),
            Some(Open::Stands(stamp, opened)) => {
                let (stamp, opened) = (*stamp, core::mem::replace(opened, OpenedAs::Itself));
                self.judge_handle(now, handle, stamp, opened)
            }
        }
    }

    fn judge_handle(
        &mut self,
        now: Instant,
        handle: Handle,
        stamp: Stamp,
        opened: OpenedAs,
    ) -> Result<(), NetError> {
        let judged = match handle {
            Handle::Tcp(id) => {
                let addresses = self.stack.tcp_addresses(id).ok_or_else(NetError::closed)?;
                self.judge_tcp(now, stamp, addresses, &opened)
            }
            Handle::Listener(id) => {
                let local = self.stack.listener_local(id).ok_or_else(NetError::closed)?;
                let act = Act::Listen { local };
                Site::JudgeListener.ask(|| self.judge_again(now, stamp, &act))
            }
            Handle::Udp(id) => self.judge_udp_again(now, id, stamp),
        };
        match judged {
            Ok(stamp) => {
                self.open.insert(handle, Open::Stands(stamp, opened));
                Ok(())
            }
            Err(error) => {
                self.open
                    .insert(handle, Open::Revoked(stamp, error.clone()));
                self.revoked += 1;
                self.end_revoked(now, handle, stamp);
                Err(error)
            }
        }
    }

    /// Ends what is behind a handle, which wakes who waits for it.
    fn end_revoked(&mut self, now: Instant, handle: Handle, stamp: Stamp) {
        let instance = stamp.instance();
        match handle {
            Handle::Tcp(id) => {
                self.stack.tcp_abort(now, id);
                self.give_back(instance, self.connection_bytes);
            }
            Handle::Listener(id) => {
                self.stack.listener_close(now, id);
                self.give_back(instance, 0);
            }
            Handle::Udp(id) => self.end_udp(UdpSocket::of(id, instance)),
        }
    }

    /// Forgets a handle that its app closes: what it was judged by, if there is something behind it still to be ended.
    pub(crate) fn forget(&mut self, handle: Handle) -> Option<(Stamp, OpenedAs)> {
        match self.open.remove(&handle) {
            Some(Open::Stands(stamp, opened)) => Some((stamp, opened)),
            _ => None,
        }
    }
}
