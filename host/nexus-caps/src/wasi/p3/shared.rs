//! A socket, and who shares it: "the `tcp-socket` handle and all derived `stream` and `future` values reference a
//! single underlying OS socket. ... [It] is closed only after the last handle is dropped."

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::super::tcp::TcpSocket;

/// What stands behind a handle, and behind the stream of the connections that it accepts. The streams of bytes need
/// no more than the connection, and share that.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<TcpSocket>>);

impl Shared {
    pub(super) fn new(socket: TcpSocket) -> Self {
        Self(Arc::new(Mutex::new(socket)))
    }

    /// Never contended: only the shard's thread comes here, and nobody awaits with it.
    pub(super) fn lock(&self) -> MutexGuard<'_, TcpSocket> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
