//! Whether a client takes what is written to it.
//!
//! hyper holds what its client does not take, and does not say that it waits. So what it writes to does.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Of one connection. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Outlet(Rc<Cell<bool>>);

impl Outlet {
    /// Something of ours waits for the client to take it.
    pub(super) fn is_blocked(&self) -> bool {
        self.0.get()
    }

    fn note<T>(&self, polled: Poll<T>) -> Poll<T> {
        self.0.set(polled.is_pending());
        polled
    }
}

/// A stream whose outlet is watched.
pub(super) struct Watched<S> {
    stream: S,
    outlet: Outlet,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, outlet: Outlet) -> Self {
        Self { stream, outlet }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.outlet.note(polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.outlet.note(polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.outlet.note(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.outlet.note(polled)
    }
}
