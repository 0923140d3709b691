//! A connection of a request as bytes both ways, for the client.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use nexus_node::{NetError, TcpSocket};
use nexus_types::ErrorCode;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::types::Open;

/// A connection. Dropped, it closes in the background.
#[derive(Debug)]
pub struct RequestStream(Open);

impl RequestStream {
    pub(super) fn new(open: Open) -> Self {
        Self(open)
    }

    pub(super) fn socket(&self) -> TcpSocket {
        self.0.socket()
    }
}

/// What the policy ends is told apart from what the far end or the network ends.
fn io_error(error: NetError) -> io::Error {
    let kind = match error.code {
        ErrorCode::Denied => io::ErrorKind::PermissionDenied,
        ErrorCode::Reset => io::ErrorKind::ConnectionReset,
        ErrorCode::Deadline => io::ErrorKind::TimedOut,
        ErrorCode::Unreachable => io::ErrorKind::HostUnreachable,
        ErrorCode::Closed | ErrorCode::InvalidState => io::ErrorKind::NotConnected,
        _ => io::ErrorKind::Other,
    };
    kind.into()
}

impl AsyncRead for RequestStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        match self.0.poll_read(cx, buf.initialize_unfilled()) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(count)) => {
                buf.advance(count);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(io_error(error))),
        }
    }
}

impl AsyncWrite for RequestStream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.0.poll_write(cx, bytes).map_err(io_error)
    }

    /// What is queued goes out by itself.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.0.finish().map_err(io_error))
    }
}
