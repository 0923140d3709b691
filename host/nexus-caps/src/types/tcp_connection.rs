//! `resource tcp-connection`.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::channel::oneshot;
use nexus_node::{NetError, TcpSocket};
use nexus_types::{ErrorCode, limits};
use wasmtime::component::{Access, Accessor, FutureReader, Resource, StreamReader};

use super::streams::{Receiving, Sending, WhenDropped};
use crate::bindings::nexus::error::types::Error;
use crate::bindings::nexus::net::types::{
    HostTcpConnection, HostTcpConnectionWithStore, SocketAddress,
};
use crate::ctx::{Net, NetCtx, NetCtxView};
use crate::error::Failure;

/// An open connection. It closes in the background once the resource and both its streams are gone.
#[derive(Debug)]
pub struct TcpConnection {
    open: Arc<Open>,
    receive_taken: bool,
    send_taken: bool,
}

/// The connection itself, shared by the resource and its streams.
pub(crate) struct Open {
    ctx: NetCtx,
    socket: TcpSocket,
    /// A `read` waits.
    reading: AtomicBool,
    /// A `write` waits.
    writing: AtomicBool,
}

/// The one call that may wait in a direction. Stops an app from parking thousands of writes of
/// 4 MiB each in the host's memory, and from making every segment wake thousands of readers.
struct Turn<'a>(&'a AtomicBool);

impl<'a> Turn<'a> {
    fn take(taken: &'a AtomicBool, call: &str) -> Result<Self, NetError> {
        if taken.swap(true, Ordering::Relaxed) {
            let why = format!("another `{call}` of this connection waits");
            return Err(NetError::new(ErrorCode::InvalidState, why));
        }
        Ok(Self(taken))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

impl TcpConnection {
    pub(crate) fn new(ctx: NetCtx, socket: TcpSocket) -> Self {
        Self {
            open: Arc::new(Open::new(ctx, socket)),
            receive_taken: false,
            send_taken: false,
        }
    }

    fn reading(&self) -> Result<&Arc<Open>, NetError> {
        if self.receive_taken {
            Err(taken("receive"))
        } else {
            Ok(&self.open)
        }
    }

    fn writing(&self) -> Result<&Arc<Open>, NetError> {
        if self.send_taken {
            Err(taken("send"))
        } else {
            Ok(&self.open)
        }
    }
}

fn taken(by: &str) -> NetError {
    NetError::new(
        ErrorCode::InvalidState,
        format!("`{by}` has made a stream of this direction"),
    )
}

impl Open {
    pub(crate) fn new(ctx: NetCtx, socket: TcpSocket) -> Self {
        Self {
            ctx,
            socket,
            reading: AtomicBool::new(false),
            writing: AtomicBool::new(false),
        }
    }

    pub(crate) fn socket(&self) -> TcpSocket {
        self.socket
    }

    /// What is queued, at most `max` bytes. Empty: the far end has finished.
    pub(crate) fn poll_read_vec(
        &self,
        cx: &mut Context<'_>,
        max: usize,
    ) -> Poll<Result<Vec<u8>, NetError>> {
        self.ctx
            .node(|node, now| node.poll_read_vec(now, self.socket, max, cx.waker()))
    }

    /// Bytes that can be written at once.
    pub(crate) fn writable(&self) -> usize {
        self.ctx.node(|node, _| node.tcp_writable(self.socket))
    }

    /// Reads no more.
    pub(crate) fn stop_reading(&self) -> Result<(), NetError> {
        self.ctx
            .node(|node, now| node.tcp_stop_reading(now, self.socket))
    }

    pub(crate) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        buf: &mut [u8],
    ) -> Poll<Result<usize, NetError>> {
        self.ctx
            .node(|node, now| node.poll_read(now, self.socket, buf, cx.waker()))
    }

    pub(crate) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<Result<usize, NetError>> {
        self.ctx
            .node(|node, now| node.poll_write(now, self.socket, data, cx.waker()))
    }

    pub(crate) fn finish(&self) -> Result<(), NetError> {
        self.ctx.node(|node, now| node.tcp_finish(now, self.socket))
    }

    pub(crate) fn addresses(&self) -> Option<(std::net::SocketAddr, std::net::SocketAddr)> {
        self.ctx.node(|node, _| node.tcp_addresses(self.socket))
    }
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.socket.fmt(f)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.ctx.node(|node, now| node.tcp_close(now, self.socket));
    }
}

impl<T: Send> HostTcpConnectionWithStore<T> for Net {
    async fn read(
        accessor: &Accessor<T, Self>,
        self_: Resource<TcpConnection>,
        max: u32,
    ) -> Result<Vec<u8>, Failure> {
        let open = accessor.with(|mut access| -> Result<_, Failure> {
            Ok(access.get().table.get(&self_)?.reading()?.clone())
        })?;
        if max == 0 {
            return Err(NetError::new(
                ErrorCode::InvalidArgument,
                "a read of at most 0 bytes cannot tell data from the end",
            )
            .into());
        }
        let _turn = Turn::take(&open.reading, "read")?;
        let max = max.min(limits::READ_BYTES_MAX) as usize;
        let read = poll_fn(|cx| {
            open.ctx
                .node(|node, now| node.poll_read_vec(now, open.socket, max, cx.waker()))
        });
        Ok(read.await?)
    }

    async fn write(
        accessor: &Accessor<T, Self>,
        self_: Resource<TcpConnection>,
        bytes: Vec<u8>,
    ) -> Result<(), Failure> {
        let open = accessor.with(|mut access| -> Result<_, Failure> {
            Ok(access.get().table.get(&self_)?.writing()?.clone())
        })?;
        let _turn = Turn::take(&open.writing, "write")?;
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let written = poll_fn(|cx| open.poll_write(cx, rest)).await?;
            rest = &rest[written..];
        }
        Ok(())
    }

    fn receive(
        mut access: Access<'_, T, Self>,
        self_: Resource<TcpConnection>,
    ) -> Result<(StreamReader<u8>, FutureReader<Result<(), Error>>), Failure> {
        let connection = access.get().table.get_mut(&self_)?;
        let open = connection.reading()?.clone();
        connection.receive_taken = true;
        let (sender, receiver) = oneshot::channel();
        let stream = StreamReader::new(
            &mut access,
            Receiving::new(open, WhenDropped::Keep, sender, Into::into),
        )?;
        Ok((stream, FutureReader::new(&mut access, receiver)?))
    }

    fn send(
        mut access: Access<'_, T, Self>,
        self_: Resource<TcpConnection>,
        mut data: StreamReader<u8>,
    ) -> Result<FutureReader<Result<(), Error>>, Failure> {
        let connection = access.get().table.get_mut(&self_)?;
        let open = match connection.writing() {
            Ok(open) => open.clone(),
            Err(error) => {
                data.close(&mut access)?;
                return Err(error.into());
            }
        };
        connection.send_taken = true;
        let (sender, receiver) = oneshot::channel();
        data.pipe(&mut access, Sending::new(open, sender, Into::into))?;
        Ok(FutureReader::new(&mut access, receiver)?)
    }
}

impl HostTcpConnection for NetCtxView<'_> {
    fn local_address(&mut self, self_: Resource<TcpConnection>) -> wasmtime::Result<SocketAddress> {
        Ok(addresses(self.table.get(&self_)?).0)
    }

    fn remote_address(
        &mut self,
        self_: Resource<TcpConnection>,
    ) -> wasmtime::Result<SocketAddress> {
        Ok(addresses(self.table.get(&self_)?).1)
    }

    fn finish(&mut self, self_: Resource<TcpConnection>) -> Result<(), Failure> {
        Ok(self.table.get(&self_)?.writing()?.finish()?)
    }

    fn abort(&mut self, self_: Resource<TcpConnection>) -> wasmtime::Result<()> {
        let open = &self.table.get(&self_)?.open;
        self.ctx.node(|node, now| node.tcp_abort(now, open.socket));
        Ok(())
    }

    fn set_keep_alive(
        &mut self,
        self_: Resource<TcpConnection>,
        interval_ms: Option<u32>,
    ) -> Result<(), Failure> {
        if interval_ms == Some(0) {
            return Err(
                NetError::new(ErrorCode::InvalidArgument, "a keep-alive interval of 0 ms").into(),
            );
        }
        let interval = interval_ms.map(|ms| Duration::from_millis(ms.into()));
        let open = &self.table.get(&self_)?.open;
        Ok(self
            .ctx
            .node(|node, now| node.tcp_set_keep_alive(now, open.socket, interval))?)
    }

    fn drop(&mut self, rep: Resource<TcpConnection>) -> wasmtime::Result<()> {
        self.table.delete(rep)?;
        Ok(())
    }
}

/// Both addresses; of an aborted connection, the unspecified ones.
fn addresses(connection: &TcpConnection) -> (SocketAddress, SocketAddress) {
    let unspecified = std::net::SocketAddr::from(([0, 0, 0, 0], 0));
    let (local, remote) = connection
        .open
        .addresses()
        .unwrap_or((unspecified, unspecified));
    (local.into(), remote.into())
}
