//! Gateway mode: whatever a node dials, wherever to, surfaces here and is decided here.

use core::task::{Poll, Waker};

use nexus_types::{Instant, SocketAddr, Transport};

use super::Stack;
use crate::config::TcpOptions;
use crate::error::{InvitationError, UdpError};
use crate::id::{Key, TcpId};

/// Somebody dials through us. Nothing was answered yet: accept it or refuse it. One that is
/// dropped is answered by nobody, and makes room when the table of invitations is full.
#[must_use = "an invitation is answered by `Stack::accept` or `Stack::refuse`"]
#[derive(Debug)]
pub struct Invitation {
    #[allow(
        dead_code,
        reason = "read by accept and refuse, which come in the next commit"
    )]
    pub(crate) key: Key,
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

impl Stack {
    /// The oldest invitation nobody has taken.
    pub fn poll_invitation(&mut self, waker: &Waker) -> Poll<Invitation> {
        let _ = waker;
        Poll::Pending
    }

    /// Accepts: the far end's handshake is answered now.
    pub fn accept(
        &mut self,
        now: Instant,
        invitation: Invitation,
        options: &TcpOptions,
    ) -> Result<TcpId, InvitationError> {
        let _ = (now, invitation, options);
        Err(InvitationError::Gone)
    }

    /// Refuses.
    pub fn refuse(&mut self, now: Instant, invitation: Invitation, how: Refusal) {
        let _ = (now, invitation, how);
    }

    /// Hands the oldest datagram nobody has taken to `f`: who sent it, and where to.
    pub fn poll_datagram<R>(
        &mut self,
        waker: &Waker,
        f: impl FnMut(SocketAddr, SocketAddr, &[u8]) -> R,
    ) -> Poll<R> {
        let _ = (waker, f);
        Poll::Pending
    }

    /// Sends a datagram in the name of `from`, which may be any address.
    pub fn send_datagram(
        &mut self,
        now: Instant,
        from: SocketAddr,
        to: SocketAddr,
        data: &[u8],
    ) -> Result<(), UdpError> {
        let _ = (now, from, to, data);
        Err(UdpError::NoSource)
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
        let _ = (now, original_from, original_to, transport, how);
    }
}
