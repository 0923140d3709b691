//! UDP sockets.

use core::task::{Poll, Waker};

use nexus_types::{Instant, SocketAddr};

use super::Stack;
use crate::config::UdpOptions;
use crate::error::{BindError, UdpError};
use crate::id::{Scope, UdpId};

impl Stack {
    /// Binds. An unspecified address stands for all of ours and the scope's loopback, of its own
    /// family only; port 0 for a random ephemeral one.
    pub fn udp_bind(
        &mut self,
        now: Instant,
        scope: Scope,
        local: SocketAddr,
        options: &UdpOptions,
    ) -> Result<UdpId, BindError> {
        let _ = (now, scope, local, options);
        Err(BindError::TooMany)
    }

    /// Receives from `remote` only, and sends there only; datagrams of others are dropped, those
    /// already queued too. `None` lifts it.
    pub fn udp_connect(&mut self, id: UdpId, remote: Option<SocketAddr>) -> Result<(), BindError> {
        let _ = (id, remote);
        Err(BindError::NotFound)
    }

    /// Where it is bound, with the port that was chosen.
    pub fn udp_local(&self, id: UdpId) -> Option<SocketAddr> {
        let _ = id;
        None
    }

    /// What it is connected to.
    pub fn udp_remote(&self, id: UdpId) -> Option<SocketAddr> {
        let _ = id;
        None
    }

    /// Sends one datagram. A larger one than fits a packet is refused: we send no fragments.
    pub fn udp_send(
        &mut self,
        now: Instant,
        id: UdpId,
        data: &[u8],
        to: SocketAddr,
    ) -> Result<(), UdpError> {
        let _ = (now, id, data, to);
        Err(UdpError::NotFound)
    }

    /// Ready when a datagram can be queued.
    pub fn poll_udp_writable(&mut self, id: UdpId, waker: &Waker) -> Poll<Result<(), UdpError>> {
        let _ = (id, waker);
        Poll::Ready(Err(UdpError::NotFound))
    }

    /// Hands the oldest datagram and its sender to `f`.
    pub fn poll_udp_recv<R>(
        &mut self,
        now: Instant,
        id: UdpId,
        waker: &Waker,
        f: impl FnMut(SocketAddr, &[u8]) -> R,
    ) -> Poll<Result<R, UdpError>> {
        let _ = (now, id, waker, f);
        Poll::Ready(Err(UdpError::NotFound))
    }

    /// Ends the socket. What is queued to be sent is still sent.
    pub fn udp_close(&mut self, id: UdpId) {
        let _ = id;
    }
}
