//! `nexus:net/tcp-connect`: `network.tcp.connect`.

use std::future::poll_fn;

use nexus_node::{NetError, TcpSocket};
use nexus_policy::{Act, Capability, Permit};
use wasmtime::component::{Accessor, Resource};

use crate::bindings::nexus::net::tcp_connect;
use crate::bindings::nexus::net::types::{Destination, IpAddress};
use crate::ctx::{Net, NetCtx, NetCtxView};
use crate::dial::{Reach, dial};
use crate::error::Failure;
use crate::observe::Call;
use crate::resolve;
use crate::types::TcpConnection;

impl tcp_connect::Host for NetCtxView<'_> {}

impl<T: Send> tcp_connect::HostWithStore<T> for Net {
    async fn connect(
        accessor: &Accessor<T, Self>,
        to: Destination,
        port: u16,
    ) -> Result<Resource<TcpConnection>, Failure> {
        let ctx = accessor.with(|mut access| access.get().ctx.clone());
        ctx.watch(Call::TcpConnect, async {
            let reach: Reach = |remote, name| Act::Connect { remote, name };
            let socket = dial(&ctx, to, port, reach, |permit| connected(&ctx, permit)).await?;
            let connection = TcpConnection::new(ctx.clone(), socket);
            Ok(accessor.with(|mut access| access.get().table.push(connection))?)
        })
        .await
    }

    async fn resolve(
        accessor: &Accessor<T, Self>,
        name: String,
    ) -> Result<Vec<IpAddress>, Failure> {
        let ctx = accessor.with(|mut access| access.get().ctx.clone());
        ctx.watch(Call::TcpResolve, async {
            let name = resolve::parse(&name)?;
            let addresses = resolve::resolve(&ctx, Capability::NetworkTcpConnect, &name).await?;
            Ok(addresses.into_iter().map(Into::into).collect())
        })
        .await
    }
}

/// Opens what the permit is for, and waits until it stands.
pub(crate) async fn connected(ctx: &NetCtx, permit: Permit) -> Result<TcpSocket, NetError> {
    let socket = ctx.node(|node, now| node.tcp_connect(now, permit))?;
    let mut dialling = Dialling {
        ctx,
        socket: Some(socket),
    };
    poll_fn(|cx| ctx.node(|node, now| node.poll_connected(now, socket, cx.waker()))).await?;
    dialling.socket = None;
    Ok(socket)
}

/// A connection attempt that ends when its call does.
struct Dialling<'a> {
    ctx: &'a NetCtx,
    socket: Option<TcpSocket>,
}

impl Drop for Dialling<'_> {
    fn drop(&mut self) {
        if let Some(socket) = self.socket.take() {
            self.ctx.node(|node, now| node.tcp_abort(now, socket));
        }
    }
}
