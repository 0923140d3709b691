//! Where connections come from.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};

use crate::driver::{KernelListener, KernelStream};

/// Connections of any kind: the kernel's, or those of a node's own stack.
pub trait Listener: 'static {
    /// One of them. Dropping it closes it.
    type Stream: AsyncRead + AsyncWrite + Unpin + 'static;

    /// Where it listens.
    fn local(&self) -> SocketAddr;

    /// The next one, and who made it.
    ///
    /// # Errors
    /// There will be none any more.
    fn poll_accept(&mut self, cx: &mut Context<'_>)
    -> Poll<io::Result<(Self::Stream, SocketAddr)>>;
}

impl Listener for KernelListener {
    type Stream = KernelStream;

    fn local(&self) -> SocketAddr {
        KernelListener::local(self)
    }

    fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(KernelStream, SocketAddr)>> {
        KernelListener::poll_accept(self, cx).map(Ok)
    }
}
