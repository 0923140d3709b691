//! What is open when the policy changes: judged again at once, and ended with `revoked` if it may not go on.
//!
//! Nothing waits for its app to call: a connection that only listens for bytes ends as soon as one that is written to,
//! and the far end is told. The handle stays, and whatever its app does with it answers `revoked`, until it is closed.

use nexus_policy::switch::Site;
use nexus_policy::{Act, Capability, Stamp};
use nexus_types::{HostName, Instant};

use crate::udp::UdpSocket;
use crate::{NetError, Node};

/// What an app can have open, by its id on the stack.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Handle {
    Tcp(nexus_stack::TcpId),
    Listener(nexus_stack::ListenerId),
    Udp(nexus_stack::UdpId),
}

/// How a handle stands.
#[derive(Debug)]
pub(crate) enum Open {
    /// Under the policy it was judged by last; a connection that its app opened by a name, as that: what else its
    /// address is called is nothing to it.
    Stands(Stamp, Option<HostName>),
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
    }

    /// Whether a handle of an older stamp goes on: as it was judged under this policy.
    pub(crate) fn check_handle(&mut self, now: Instant, handle: Handle) -> Result<(), NetError> {
        match self.open.get_mut(&handle) {
            None => Err(NetError::closed()),
            Some(Open::Revoked(_, error)) => Err(error.clone()),
            Some(Open::Stands(stamp, _)) if self.gate.is_current(*stamp) => Ok(()),
            Some(Open::Stands(stamp, name)) => {
                let (stamp, name) = (*stamp, name.take());
                self.judge_handle(now, handle, stamp, name)
            }
        }
    }

    fn judge_handle(
        &mut self,
        now: Instant,
        handle: Handle,
        stamp: Stamp,
        name: Option<HostName>,
    ) -> Result<(), NetError> {
        let judged = match handle {
            Handle::Tcp(id) => {
                let (local, remote) = self.stack.tcp_addresses(id).ok_or_else(NetError::closed)?;
                let (site, act) = if stamp.capability() == Capability::NetworkTcpListen {
                    (Site::JudgeAccepted, Act::Accept { local, remote })
                } else {
                    let name = name.as_ref();
                    (Site::JudgeConnected, Act::Connect { remote, name })
                };
                site.ask(|| self.judge_again(now, stamp, &act))
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
                self.open.insert(handle, Open::Stands(stamp, name));
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

    /// Forgets a handle that its app closes. Whether there is something behind it still to be ended.
    pub(crate) fn forget(&mut self, handle: Handle) -> bool {
        matches!(self.open.remove(&handle), Some(Open::Stands(..)))
    }
}
