//! `resource udp-socket`.

use std::future::poll_fn;
use std::task::{Poll, Waker};

use nexus_node::NetError;
use nexus_types::{ErrorCode, limits};
use wasmtime::component::{Accessor, Resource};

use crate::bindings::nexus::net::types::{
    Datagram, HostUdpSocket, HostUdpSocketWithStore, SocketAddress,
};
use crate::ctx::{Net, NetCtx, NetCtxView};
use crate::error::Failure;

/// A UDP socket.
#[derive(Debug)]
pub struct UdpSocket(Open);

struct Open {
    ctx: NetCtx,
    socket: nexus_node::UdpSocket,
}

impl UdpSocket {
    pub(crate) fn new(ctx: NetCtx, socket: nexus_node::UdpSocket) -> Self {
        Self(Open { ctx, socket })
    }
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.socket.fmt(f)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.ctx.node(|node, _| node.udp_close(self.socket));
    }
}

impl<T: Send> HostUdpSocketWithStore<T> for Net {
    async fn send(
        accessor: &Accessor<T, Self>,
        self_: Resource<UdpSocket>,
        datagrams: Vec<Datagram>,
    ) -> Result<u32, Failure> {
        let (ctx, socket) = opened(accessor, &self_)?;
        if datagrams.len() > limits::DATAGRAMS_PER_CALL as usize {
            let why = format!(
                "{} datagrams in one call, at most {}",
                datagrams.len(),
                limits::DATAGRAMS_PER_CALL
            );
            return Err(NetError::new(ErrorCode::InvalidArgument, why).into());
        }
        let mut sent = 0;
        for datagram in &datagrams {
            let to = datagram.remote.map(Into::into);
            match ctx.node(|node, now| node.udp_send(now, socket, &datagram.data, to)) {
                Ok(()) => sent += 1,
                Err(_) if sent > 0 => break,
                Err(error) if error.code == ErrorCode::WouldBlock => {
                    // The queue empties by itself; wait for room instead of making the app poll.
                    poll_fn(|cx| {
                        ctx.node(|node, now| {
                            match node.udp_send(now, socket, &datagram.data, to) {
                                Err(error) if error.code == ErrorCode::WouldBlock => {}
                                other => return Poll::Ready(other),
                            }
                            match node.poll_udp_writable(now, socket, cx.waker()) {
                                Poll::Ready(Ok(())) => {
                                    Poll::Ready(node.udp_send(now, socket, &datagram.data, to))
                                }
                                other => other,
                            }
                        })
                    })
                    .await?;
                    sent += 1;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(sent)
    }

    async fn receive(
        accessor: &Accessor<T, Self>,
        self_: Resource<UdpSocket>,
        max: u32,
    ) -> Result<Vec<Datagram>, Failure> {
        let (ctx, socket) = opened(accessor, &self_)?;
        if max == 0 || max > limits::DATAGRAMS_PER_CALL {
            let why = format!(
                "at most {max} datagrams; ask for 1 to {}",
                limits::DATAGRAMS_PER_CALL
            );
            return Err(NetError::new(ErrorCode::InvalidArgument, why).into());
        }
        let first = poll_fn(|cx| receive_one(&ctx, socket, cx.waker())).await?;
        let mut datagrams = vec![first];
        while datagrams.len() < max as usize {
            // An error is told by the next call: what has come is not lost.
            let Poll::Ready(Ok(datagram)) = receive_one(&ctx, socket, Waker::noop()) else {
                break;
            };
            datagrams.push(datagram);
        }
        Ok(datagrams)
    }
}

fn opened<T: Send>(
    accessor: &Accessor<T, Net>,
    self_: &Resource<UdpSocket>,
) -> Result<(NetCtx, nexus_node::UdpSocket), Failure> {
    accessor.with(|mut access| {
        let open = &access.get().table.get(self_)?.0;
        Ok((open.ctx.clone(), open.socket))
    })
}

fn receive_one(
    ctx: &NetCtx,
    socket: nexus_node::UdpSocket,
    waker: &Waker,
) -> Poll<Result<Datagram, NetError>> {
    ctx.node(|node, now| {
        node.poll_udp_receive(now, socket, waker, |remote, data| Datagram {
            data: data.to_vec(),
            remote: Some(remote.into()),
        })
    })
}

impl HostUdpSocket for NetCtxView<'_> {
    fn local_address(&mut self, self_: Resource<UdpSocket>) -> wasmtime::Result<SocketAddress> {
        let socket = self.table.get(&self_)?.0.socket;
        let local = self.ctx.node(|node, _| node.udp_local(socket));
        Ok(local
            .unwrap_or_else(|| std::net::SocketAddr::from(([0, 0, 0, 0], 0)))
            .into())
    }

    fn remote_address(
        &mut self,
        self_: Resource<UdpSocket>,
    ) -> wasmtime::Result<Option<SocketAddress>> {
        let socket = self.table.get(&self_)?.0.socket;
        Ok(self
            .ctx
            .node(|node, _| node.udp_remote(socket))
            .map(Into::into))
    }

    fn drop(&mut self, rep: Resource<UdpSocket>) -> wasmtime::Result<()> {
        self.table.delete(rep)?;
        Ok(())
    }
}
