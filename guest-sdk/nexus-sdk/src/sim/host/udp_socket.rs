//! `resource udp-socket`.

use core::future::poll_fn;
use core::task::{Poll, Waker};
use std::rc::Rc;

use nexus_node::NetError;
use nexus_types::{ErrorCode, SocketAddr, limits};

use super::super::caller::Caller;
use super::convert::{from_wit, to_wit, unspecified};
use crate::bindings::nexus::error::types::Error;
use crate::bindings::nexus::net::types::{Datagram, SocketAddress};

/// A UDP socket.
pub(crate) struct UdpSocket {
    caller: Rc<Caller>,
    socket: nexus_node::UdpSocket,
}

impl UdpSocket {
    pub(super) fn new(caller: Rc<Caller>, socket: nexus_node::UdpSocket) -> Self {
        Self { caller, socket }
    }

    pub(crate) fn local_address(&self) -> SocketAddress {
        let local = self.caller.node(|node, _| node.udp_local(self.socket));
        local.map_or_else(unspecified, to_wit)
    }

    pub(crate) fn remote_address(&self) -> Option<SocketAddress> {
        let remote = self.caller.node(|node, _| node.udp_remote(self.socket));
        remote.map(to_wit)
    }

    pub(crate) async fn send(&self, datagrams: Vec<Datagram>) -> Result<u32, Error> {
        self.caller.check("UdpSocket::send");
        if datagrams.len() > limits::DATAGRAMS_PER_CALL as usize {
            let why = format!(
                "{} datagrams in one call, at most {}",
                datagrams.len(),
                limits::DATAGRAMS_PER_CALL
            );
            return Err(NetError::new(ErrorCode::InvalidArgument, why).into());
        }
        let mut sent = 0;
        for datagram in datagrams {
            let to = datagram.remote.map(from_wit);
            match self.send_one(&datagram.data, to) {
                Ok(()) => {}
                Err(_) if sent > 0 => break,
                Err(error) if error.code == ErrorCode::WouldBlock => {
                    self.send_when_writable(&datagram.data, to).await?;
                }
                Err(error) => return Err(error.into()),
            }
            sent += 1;
        }
        Ok(sent)
    }

    fn send_one(&self, data: &[u8], to: Option<SocketAddr>) -> Result<(), NetError> {
        self.caller
            .node(|node, now| node.udp_send(now, self.socket, data, to))
    }

    /// The queue empties by itself: waits for room instead of making the app poll.
    async fn send_when_writable(
        &self,
        data: &[u8],
        to: Option<SocketAddr>,
    ) -> Result<(), NetError> {
        let socket = self.socket;
        poll_fn(|context| {
            self.caller.node(|node, now| {
                match node.udp_send(now, socket, data, to) {
                    Err(error) if error.code == ErrorCode::WouldBlock => {}
                    other => return Poll::Ready(other),
                }
                match node.poll_udp_writable(now, socket, context.waker()) {
                    Poll::Ready(Ok(())) => Poll::Ready(node.udp_send(now, socket, data, to)),
                    other => other,
                }
            })
        })
        .await
    }

    pub(crate) async fn receive(&self, max: u32) -> Result<Vec<Datagram>, Error> {
        self.caller.check("UdpSocket::recv");
        if max == 0 || max > limits::DATAGRAMS_PER_CALL {
            let why = format!(
                "at most {max} datagrams; ask for 1 to {}",
                limits::DATAGRAMS_PER_CALL
            );
            return Err(NetError::new(ErrorCode::InvalidArgument, why).into());
        }
        let first = poll_fn(|context| self.receive_one(context.waker())).await?;
        let mut datagrams = vec![first];
        while datagrams.len() < max as usize {
            // An error is told by the next call: what has come is not lost.
            let Poll::Ready(Ok(datagram)) = self.receive_one(Waker::noop()) else {
                break;
            };
            datagrams.push(datagram);
        }
        Ok(datagrams)
    }

    fn receive_one(&self, waker: &Waker) -> Poll<Result<Datagram, NetError>> {
        self.caller.node(|node, now| {
            node.poll_udp_receive(now, self.socket, waker, |remote, data| Datagram {
                data: data.to_vec(),
                remote: Some(to_wit(remote)),
            })
        })
    }
}

impl core::fmt::Debug for UdpSocket {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.socket.fmt(f)
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        self.caller.node(|node, _| node.udp_close(self.socket));
    }
}
