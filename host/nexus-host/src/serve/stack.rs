//! A listener on a node's own stack: the app's `network.tcp.listen` decides whether it may be there, and each
//! connection passes the gate as one the app accepted itself.

use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use nexus_caps::NetCtx;
use nexus_node::{NetError, Node, TcpListener, TcpSocket};
use nexus_policy::Act;
use nexus_policy::switch::Site;
use nexus_types::{ErrorCode, Instant, limits};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{BreakOff, Listener};

/// See the module. Dropping it ends it; connections nobody accepted are reset.
pub struct StackListener {
    net: NetCtx,
    listener: TcpListener,
    local: SocketAddr,
}

impl StackListener {
    /// Listens at an address of the app's node, as the app.
    ///
    /// # Errors
    /// The gate does not let it, the app's quota is used up, or the port is taken.
    pub fn bind(net: NetCtx, local: SocketAddr) -> Result<Self, NetError> {
        let listener = enter(&net, |node, now| {
            let permit =
                Site::Listen.ask(|| node.permit(now, net.instance, &Act::Listen { local }))?;
            node.tcp_listen(now, permit, NonZeroU32::new(limits::SERVE_BACKLOG as u32))
        })?;
        let bound = enter(&net, |node, _| node.listener_local(listener));
        Ok(Self {
            local: bound.unwrap_or(local),
            net,
            listener,
        })
    }
}

fn enter<R>(net: &NetCtx, act: impl FnOnce(&mut Node, Instant) -> R) -> R {
    net.shard
        .enter(|mesh, now| act(mesh.node_mut(net.node), now))
}

fn io_error(error: NetError) -> io::Error {
    let kind = match error.code {
        ErrorCode::Reset => io::ErrorKind::ConnectionReset,
        ErrorCode::Deadline => io::ErrorKind::TimedOut,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error.to_string())
}

impl Listener for StackListener {
    type Stream = StackStream;

    fn local(&self) -> SocketAddr {
        self.local
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<(StackStream, SocketAddr)>> {
        let accepted = enter(&self.net, |node, now| {
            node.poll_accept(now, self.listener, cx.waker())
        });
        let socket = ready!(accepted).map_err(io_error)?;
        let stream = StackStream {
            net: self.net.clone(),
            socket,
            broken_off: false,
        };
        let ends = enter(&self.net, |node, _| node.tcp_addresses(socket));
        let remote = ends.map_or(self.local, |(_, remote)| remote);
        Poll::Ready(Ok((stream, remote)))
    }
}

impl Drop for StackListener {
    fn drop(&mut self) {
        enter(&self.net, |node, now| {
            node.listener_close(now, self.listener)
        });
    }
}

/// A connection that came to a [`StackListener`]. Dropped, it closes; what was written is delivered.
pub struct StackStream {
    net: NetCtx,
    socket: TcpSocket,
    broken_off: bool,
}

impl BreakOff for StackStream {
    fn break_off(&mut self) {
        self.broken_off = true;
    }
}

impl AsyncRead for StackStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = enter(&self.net, |node, now| {
            node.poll_read_vec(now, self.socket, buf.remaining(), cx.waker())
        });
        buf.put_slice(&ready!(read).map_err(io_error)?);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for StackStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        enter(&self.net, |node, now| {
            node.poll_write(now, self.socket, bytes, cx.waker())
        })
        .map_err(io_error)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The far end may be gone already.
        let _ = enter(&self.net, |node, now| node.tcp_finish(now, self.socket));
        Poll::Ready(Ok(()))
    }
}

impl Drop for StackStream {
    fn drop(&mut self) {
        enter(&self.net, |node, now| match self.broken_off {
            true => node.tcp_abort(now, self.socket),
            false => node.tcp_close(now, self.socket),
        });
    }
}
