//! `resource tcp-listener`.

use std::future::poll_fn;

use wasmtime::component::{Accessor, Resource};

use crate::TcpConnection;
use crate::bindings::nexus::net::types::{
    HostTcpListener, HostTcpListenerWithStore, SocketAddress,
};
use crate::ctx::{Net, NetCtx, NetCtxView};
use crate::error::Failure;
use crate::observe::Call;

/// A listener; dropping it resets what nobody accepted.
#[derive(Debug)]
pub struct TcpListener(Open);

struct Open {
    ctx: NetCtx,
    listener: nexus_node::TcpListener,
}

impl TcpListener {
    pub(crate) fn new(ctx: NetCtx, listener: nexus_node::TcpListener) -> Self {
        Self(Open { ctx, listener })
    }
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.listener.fmt(f)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.ctx
            .node(|node, now| node.listener_close(now, self.listener));
    }
}

impl<T: Send> HostTcpListenerWithStore<T> for Net {
    async fn accept(
        accessor: &Accessor<T, Self>,
        self_: Resource<TcpListener>,
    ) -> Result<Resource<TcpConnection>, Failure> {
        let (ctx, listener) = accessor.with(|mut access| -> Result<_, Failure> {
            let open = &access.get().table.get(&self_)?.0;
            Ok((open.ctx.clone(), open.listener))
        })?;
        ctx.watch(Call::TcpAccept, async {
            let accepted =
                poll_fn(|cx| ctx.node(|node, now| node.poll_accept(now, listener, cx.waker())));
            let connection = TcpConnection::new(ctx.clone(), accepted.await?);
            Ok(accessor.with(|mut access| access.get().table.push(connection))?)
        })
        .await
    }
}

impl HostTcpListener for NetCtxView<'_> {
    fn local_address(&mut self, self_: Resource<TcpListener>) -> wasmtime::Result<SocketAddress> {
        let listener = self.table.get(&self_)?.0.listener;
        let local = self.ctx.node(|node, _| node.listener_local(listener));
        Ok(local
            .unwrap_or_else(|| std::net::SocketAddr::from(([0, 0, 0, 0], 0)))
            .into())
    }

    fn drop(&mut self, rep: Resource<TcpListener>) -> wasmtime::Result<()> {
        self.table.delete(rep)?;
        Ok(())
    }
}
