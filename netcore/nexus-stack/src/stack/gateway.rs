//! Gateway mode: whatever a node dials, wherever to, surfaces here and is decided here.

use std::collections::VecDeque;
use std::task::{Poll, Waker};

use nexus_types::{Instant, SocketAddr, Transport};

use super::Stack;
use crate::config::TcpOptions;
use crate::datagrams::Datagrams;
use crate::emit::HOP_LIMIT;
use crate::error::{InvitationError, UdpError};
use crate::flow::Owner;
use crate::half_open::HalfOpen;
use crate::id::{Key, Scope, TcpId};
use crate::key::{Path, plain};
use crate::packet::{ACK, RST};
use crate::wakers::Wakers;

/// Somebody dials through us. Nothing was answered yet: accept it or refuse it. One that is
/// dropped is answered by nobody, and forgotten after `Limits::connect_timeout`.
#[must_use = "an invitation is answered by `Stack::accept` or `Stack::refuse`"]
#[derive(Debug)]
pub struct Invitation {
    key: Key,
    local: SocketAddr,
    remote: SocketAddr,
}

impl Invitation {
    /// The destination that was dialled.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Who dials.
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }
}

/// How an attempt is refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// TCP: a reset, as a closed port answers. UDP: port unreachable.
    Reset,
    /// ICMP: the host cannot be reached.
    HostUnreachable,
    /// ICMP: the port cannot be reached.
    PortUnreachable,
    /// ICMP: administratively prohibited.
    Prohibited,
    /// No answer.
    Silent,
}

/// What waits to be decided.
#[derive(Default)]
pub(super) struct Gateway {
    invitations: VecDeque<Key>,
    inviting: Wakers,
    /// From, to. Made when the first one comes: only a gateway has any.
    datagrams: Option<Datagrams<(SocketAddr, SocketAddr)>>,
    receiving: Wakers,
}

/// The scope of connections a gateway accepts: it has no apps, hence no loopback either.
const SCOPE: Scope = Scope(0);

impl Stack {
    /// The oldest invitation nobody has taken.
    pub fn poll_invitation(&mut self, waker: &Waker) -> Poll<Invitation> {
        while let Some(key) = self.gateway.invitations.pop_front() {
            // One that has gone since is no more worth telling.
            if let Some(entry) = self.half_open.get(key) {
                return Poll::Ready(Invitation {
                    key,
                    local: entry.local,
                    remote: entry.remote,
                });
            }
        }
        self.gateway.inviting.register(waker);
        Poll::Pending
    }

    pub(super) fn invite(&mut self, key: Key) {
        let queue = &mut self.gateway.invitations;
        if queue.len() >= self.config.limits.invitations as usize * 2 {
            let half_open = &self.half_open;
            queue.retain(|key| half_open.get(*key).is_some());
        }
        queue.push_back(key);
        self.gateway.inviting.wake();
    }

    /// Accepts: the far end's handshake is answered now. It completes in the background; what is
    /// written before waits.
    pub fn accept(
        &mut self,
        now: Instant,
        invitation: Invitation,
        options: &TcpOptions,
    ) -> Result<TcpId, InvitationError> {
        self.now = now;
        let key = self.invited(&invitation).ok_or(InvitationError::Gone)?;
        if self.flows.len() >= self.config.limits.flows as usize {
            self.forget_half_open(key);
            return Err(InvitationError::TooManyFlows);
        }
        let (index, answer) = self
            .promote(now, key, SCOPE, options, Owner::App)
            .ok_or(InvitationError::Gone)?;
        self.send(Path::Wire, answer);
        let id = self.flows.key_at(index).ok_or(InvitationError::Gone)?;
        Ok(TcpId(id))
    }

    /// Refuses.
    pub fn refuse(&mut self, now: Instant, invitation: Invitation, how: Refusal) {
        self.now = now;
        let Some(entry) = self
            .invited(&invitation)
            .and_then(|key| self.forget_half_open(key))
        else {
            return;
        };
        let (local, remote) = (entry.local, entry.remote);
        if how == Refusal::Reset {
            let bare = crate::emit::Bare {
                seq: 0,
                ack: entry.irs.wrapping_add(1),
                flags: RST | ACK,
                window: 0,
                hop_limit: HOP_LIMIT,
            };
            let frame = self.emit(Path::Wire).segment(local, remote, bare, &[]);
            return self.send(Path::Wire, frame);
        }
        self.send_icmp_refusal(remote, local, Transport::Tcp, entry.irs, how);
    }

    fn invited(&self, invitation: &Invitation) -> Option<Key> {
        let is_invitation = |entry: &HalfOpen| entry.listener.is_none();
        let entry = self.half_open.get(invitation.key)?;
        is_invitation(entry).then_some(invitation.key)
    }

    /// Hands the oldest datagram nobody has taken to `f`: who sent it, and where to.
    pub fn poll_datagram<R>(
        &mut self,
        waker: &Waker,
        mut f: impl FnMut(SocketAddr, SocketAddr, &[u8]) -> R,
    ) -> Poll<R> {
        if let Some(((from, to), data)) = self.gateway.datagrams.as_mut().and_then(Datagrams::pop) {
            return Poll::Ready(f(from, to, data));
        }
        self.gateway.receiving.register(waker);
        Poll::Pending
    }

    /// A datagram to anywhere.
    pub(super) fn surface_datagram(&mut self, from: SocketAddr, to: SocketAddr, data: &[u8]) {
        let limits = &self.config.limits;
        let queue = self.gateway.datagrams.get_or_insert_with(|| {
            // All sockets of the node share it, so it is as large as some of theirs.
            Datagrams::new(
                limits.udp_queue_datagrams.saturating_mul(4),
                limits.udp_queue_bytes.saturating_mul(4),
            )
        });
        if queue.push((from, to), data) {
            self.stats.datagrams_in += 1;
            self.gateway.receiving.wake();
        } else {
            self.stats.dropped_udp_queue += 1;
        }
    }

    /// Sends a datagram in the name of `from`, which may be any address.
    pub fn send_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        to: SocketAddr,
        data: &[u8],
    ) -> Result<(), UdpError> {
        self.now = now;
        let (from, to) = (plain(from), plain(to));
        if from.is_ipv4() != to.is_ipv4() {
            return Err(UdpError::FamilyMismatch);
        }
        if !super::is_unicast(from.ip()) || from.ip().is_loopback() || from.port() == 0 {
            return Err(UdpError::NoSource);
        }
        if !super::is_unicast(to.ip()) || to.ip().is_loopback() || to.port() == 0 {
            return Err(UdpError::RemoteInvalid);
        }
        if data.len() > self.datagram_max(Path::Wire, to) {
            return Err(UdpError::TooLong);
        }
        if self.out.len() >= self.config.limits.queue_frames as usize {
            return Err(UdpError::WouldBlock);
        }
        let frame = self.emit(Path::Wire).datagram(from, to, HOP_LIMIT, data);
        self.send(Path::Wire, frame);
        Ok(())
    }

    /// Tells `original_from` that what it sent to `original_to` did not arrive.
    pub fn send_unreachable(
        &mut self,
        now: Instant,
        original_from: SocketAddr,
        original_to: SocketAddr,
        transport: Transport,
        how: Refusal,
    ) {
        self.now = now;
        let (from, to) = (plain(original_from), plain(original_to));
        if from.is_ipv4() == to.is_ipv4() {
            self.send_icmp_refusal(from, to, transport, 0, how);
        }
    }
}
