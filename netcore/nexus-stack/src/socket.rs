//! A smoltcp socket, alone in its set, tied to the buffers it borrows.
//!
//! smoltcp's sets borrow or own buffers and never give them back; the cell ([`self_cell`]) keeps buffers and
//! set together, and gives the buffers back when the connection is over.

use self_cell::{MutBorrow, self_cell};
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp;

use crate::buffers::Buffers;

struct Inner<'a> {
    set: SocketSet<'a>,
    handle: SocketHandle,
}

self_cell!(
    struct Cell {
        owner: MutBorrow<Buffers>,

        #[not_covariant]
        dependent: Inner,
    }
);

/// See the module.
pub(crate) struct Socket(Cell);

impl Socket {
    /// A closed socket that uses this much of its buffers.
    pub(crate) fn new(buffers: Buffers, rx: usize, tx: usize) -> Self {
        Self(Cell::new(MutBorrow::new(buffers), |owner| {
            let buffers = owner.borrow_mut();
            let rx = rx.min(buffers.rx.len());
            let tx = tx.min(buffers.tx.len());
            let socket = tcp::Socket::new(
                tcp::SocketBuffer::new(&mut buffers.rx[..rx]),
                tcp::SocketBuffer::new(&mut buffers.tx[..tx]),
            );
            let mut set = SocketSet::new(Vec::with_capacity(1));
            let handle = set.add(socket);
            Inner { set, handle }
        }))
    }

    /// The buffers, to be used again.
    pub(crate) fn into_buffers(self) -> Buffers {
        self.0.into_owner().into_inner()
    }

    #[inline]
    pub(crate) fn with<R>(&self, f: impl for<'a> FnOnce(&tcp::Socket<'a>) -> R) -> R {
        self.0
            .with_dependent(|_, inner| f(inner.set.get(inner.handle)))
    }

    #[inline]
    pub(crate) fn with_mut<R>(&mut self, f: impl for<'a> FnOnce(&mut tcp::Socket<'a>) -> R) -> R {
        self.0
            .with_dependent_mut(|_, inner| f(inner.set.get_mut(inner.handle)))
    }

    #[inline]
    pub(crate) fn with_set<R>(&self, f: impl for<'a> FnOnce(&SocketSet<'a>) -> R) -> R {
        self.0.with_dependent(|_, inner| f(&inner.set))
    }

    #[inline]
    pub(crate) fn with_set_mut<R>(&mut self, f: impl for<'a> FnOnce(&mut SocketSet<'a>) -> R) -> R {
        self.0.with_dependent_mut(|_, inner| f(&mut inner.set))
    }

    // --- what is asked most ---

    #[inline]
    pub(crate) fn state(&self) -> tcp::State {
        self.with(|socket| socket.state())
    }

    pub(crate) fn recv_queue(&self) -> usize {
        self.with(|socket| socket.recv_queue())
    }

    pub(crate) fn send_queue(&self) -> usize {
        self.with(|socket| socket.send_queue())
    }

    /// Free bytes of the send buffer.
    pub(crate) fn send_room(&self) -> usize {
        self.with(|socket| socket.send_capacity() - socket.send_queue())
    }

    pub(crate) fn close(&mut self) {
        self.with_mut(|socket| socket.close());
    }

    pub(crate) fn abort(&mut self) {
        self.with_mut(|socket| socket.abort());
    }
}
