//! What an app does with a connection.

use core::task::{Poll, Waker};
use core::time::Duration;

use nexus_types::{Instant, SocketAddr};

use super::Stack;
use crate::config::TcpOptions;
use crate::error::{ConnectError, TcpError};
use crate::id::{Scope, TcpId};

impl Stack {
    /// Begins to connect. `local` fixes our address, our port, or both; an unspecified address or
    /// port 0 leaves that part to us.
    pub fn tcp_connect(
        &mut self,
        now: Instant,
        scope: Scope,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        options: &TcpOptions,
    ) -> Result<TcpId, ConnectError> {
        let _ = (now, scope, local, remote, options);
        Err(ConnectError::TooManyFlows)
    }

    /// Ready when the connection is made, or cannot be.
    pub fn poll_connected(&mut self, id: TcpId, waker: &Waker) -> Poll<Result<(), TcpError>> {
        let _ = (id, waker);
        Poll::Ready(Err(TcpError::NotFound))
    }

    /// Local and remote address.
    pub fn tcp_addresses(&self, id: TcpId) -> Option<(SocketAddr, SocketAddr)> {
        let _ = id;
        None
    }

    /// Reads what is queued. `Ok(0)` with a buffer that is not empty: the far end has finished.
    pub fn poll_read(
        &mut self,
        now: Instant,
        id: TcpId,
        buf: &mut [u8],
        waker: &Waker,
    ) -> Poll<Result<usize, TcpError>> {
        let _ = (now, id, buf, waker);
        Poll::Ready(Err(TcpError::NotFound))
    }

    /// Reads in place: `f` gets the first contiguous part of what is queued (never empty) and says
    /// how much of it it took. `None`: the far end has finished.
    pub fn poll_read_with<R>(
        &mut self,
        now: Instant,
        id: TcpId,
        waker: &Waker,
        f: impl FnMut(&[u8]) -> (usize, R),
    ) -> Poll<Result<Option<R>, TcpError>> {
        let _ = (now, id, waker, f);
        Poll::Ready(Err(TcpError::NotFound))
    }

    /// Queues as much of `data` as fits, at least one byte (unless `data` is empty).
    pub fn poll_write(
        &mut self,
        now: Instant,
        id: TcpId,
        data: &[u8],
        waker: &Waker,
    ) -> Poll<Result<usize, TcpError>> {
        let _ = (now, id, data, waker);
        Poll::Ready(Err(TcpError::NotFound))
    }

    /// Writes in place: `f` gets the first contiguous free part of the send buffer (never empty)
    /// and says how much of it it filled. The twin of [`Stack::poll_read_with`].
    pub fn poll_write_with<R>(
        &mut self,
        now: Instant,
        id: TcpId,
        waker: &Waker,
        f: impl FnMut(&mut [u8]) -> (usize, R),
    ) -> Poll<Result<R, TcpError>> {
        let _ = (now, id, waker, f);
        Poll::Ready(Err(TcpError::NotFound))
    }

    /// Ready when the connection is no more: reset, timed out, or not there. Ends that both sides
    /// agreed on do not count. For who waits on something else and would not hear of it.
    pub fn poll_ended(&mut self, id: TcpId, waker: &Waker) -> Poll<TcpError> {
        let _ = (id, waker);
        Poll::Ready(TcpError::NotFound)
    }

    /// Bytes that can be read at once.
    pub fn tcp_readable(&self, id: TcpId) -> usize {
        let _ = id;
        0
    }

    /// Bytes that can be written at once.
    pub fn tcp_writable(&self, id: TcpId) -> usize {
        let _ = id;
        0
    }

    /// Finishes our direction: what is queued is still delivered, then the far end reads the end.
    pub fn tcp_finish(&mut self, now: Instant, id: TcpId) -> Result<(), TcpError> {
        let _ = (now, id);
        Err(TcpError::NotFound)
    }

    /// Ready when the far end has acknowledged all that was written, and the end if it was finished.
    pub fn poll_flushed(&mut self, id: TcpId, waker: &Waker) -> Poll<Result<(), TcpError>> {
        let _ = (id, waker);
        Poll::Ready(Err(TcpError::NotFound))
    }

    /// Ends the handle. What is queued is delivered in the background, within the linger time.
    pub fn tcp_close(&mut self, now: Instant, id: TcpId) {
        let _ = (now, id);
    }

    /// Ends the handle and the connection: the far end gets a reset.
    pub fn tcp_abort(&mut self, now: Instant, id: TcpId) {
        let _ = (now, id);
    }

    /// Probes a silent peer every `interval`, and gives up after four of them without an answer.
    pub fn tcp_set_keep_alive(&mut self, now: Instant, id: TcpId, interval: Option<Duration>) {
        let _ = (now, id, interval);
    }
}
