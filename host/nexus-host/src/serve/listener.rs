//! Where connections come from.

use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::server::TlsStream;

use crate::driver::{KernelListener, KernelStream};

/// A connection that can be broken off.
pub trait BreakOff {
    /// Dropped from now on, it is reset. What was sent is not whole, and must not look so to who takes the end of the
    /// connection for that of the response (RFC 9112 section 6.3; HTTP/1.0).
    fn break_off(&mut self);
}

impl<S: BreakOff> BreakOff for TlsStream<S> {
    fn break_off(&mut self) {
        self.get_mut().0.break_off();
    }
}

/// Connections of any kind: the kernel's, or those of a node's own stack.
pub trait Listener: 'static {
    /// One of them. Dropping it closes it.
    type Stream: AsyncRead + AsyncWrite + BreakOff + Unpin + 'static;

    /// Where it listens.
    fn local(&self) -> SocketAddr;

    /// The next one, and who made it.
    ///
    /// # Errors
    /// There will be none any more.
    fn poll_accept(&mut self, cx: &mut Context<'_>)
    -> Poll<io::Result<(Self::Stream, SocketAddr)>>;
}

impl BreakOff for KernelStream {
    fn break_off(&mut self) {
        KernelStream::break_off(self);
    }
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
