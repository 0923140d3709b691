//! `nexus:net/tcp-connect`: `network.tcp.connect`.

use std::future::poll_fn;

use nexus_node::{NetError, TcpSocket};
use nexus_policy::{Act, Capability, Permit};
use nexus_types::{ErrorCode, HostName, SocketAddr};
use wasmtime::component::{Accessor, Resource};

use crate::bindings::nexus::net::tcp_connect;
use crate::bindings::nexus::net::types::{Destination, IpAddress};
use crate::ctx::{Net, NetCtx, NetCtxView};
use crate::error::Failure;
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
        let port = resolve::remote_port(port)?;
        let socket = match to {
            Destination::Address(address) => {
                let remote = SocketAddr::new(address.into(), port);
                let permit = ctx.permit(&Act::Connect { remote, name: None })?;
                dial(&ctx, permit).await?
            }
            Destination::Name(name) => dial_name(&ctx, &resolve::parse(&name)?, port).await?,
        };
        let connection = TcpConnection::new(ctx, socket);
        Ok(accessor.with(|mut access| access.get().table.push(connection))?)
    }

    async fn resolve(
        accessor: &Accessor<T, Self>,
        name: String,
    ) -> Result<Vec<IpAddress>, Failure> {
        let ctx = accessor.with(|mut access| access.get().ctx.clone());
        let name = resolve::parse(&name)?;
        let addresses = resolve::resolve(&ctx, Capability::NetworkTcpConnect, &name).await?;
        Ok(addresses.into_iter().map(Into::into).collect())
    }
}

/// Tries the permitted addresses of a name in order. Each has the stack's connect timeout. All are
/// judged at once: the answer may end while one that does not answer is waited for.
async fn dial_name(ctx: &NetCtx, name: &HostName, port: u16) -> Result<TcpSocket, NetError> {
    let addresses = resolve::resolve(ctx, Capability::NetworkTcpConnect, name).await?;
    let judged: Vec<_> = addresses
        .into_iter()
        .map(|address| {
            let remote = SocketAddr::new(address, port);
            ctx.permit(&Act::Connect {
                remote,
                name: Some(name),
            })
        })
        .collect();
    let mut last = NetError::new(ErrorCode::NotFound, "the name has no address");
    for permit in judged {
        let dialled = match permit {
            Ok(permit) => dial(ctx, permit).await,
            Err(refused) => Err(refused),
        };
        match dialled {
            Ok(socket) => return Ok(socket),
            // The quota is the same for the next address.
            Err(error) if error.code == ErrorCode::NoCapacity => return Err(error),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn dial(ctx: &NetCtx, permit: Permit) -> Result<TcpSocket, NetError> {
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
