//! The stream of connections of a listener.

use std::pin::Pin;
use std::task::{Context, Poll};

use wasmtime::component::{Destination, Resource, StreamProducer, StreamResult};
use wasmtime::{AsContextMut, StoreContextMut};
use wasmtime_wasi::p3::bindings::sockets::types::TcpSocket as Theirs;

use super::super::tcp::TcpSocket;
use super::super::{ours, theirs};
use crate::ctx::NetCtxView;
use crate::types::waiting;

/// Hands out what the listener's socket accepts. The socket stays the app's: when it is dropped, the stream ends.
pub(super) struct Accepting<D: 'static> {
    pub(super) listener: u32,
    pub(super) view: for<'a> fn(&'a mut D) -> NetCtxView<'a>,
}

impl<D: 'static> StreamProducer<D> for Accepting<D> {
    type Item = Resource<Theirs>;
    type Buffer = Option<Self::Item>;

    fn poll_produce<'a>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, Self::Item, Self::Buffer>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        // A read of no connection asks whether a read would wait.
        let asks = destination.remaining(store.as_context_mut()) == Some(0);
        let view = (self.view)(store.data_mut());
        let listener = Resource::<Theirs>::new_borrow(self.listener);
        let Ok(socket) = view.table.get_mut(&ours::<_, TcpSocket>(&listener)) else {
            return Poll::Ready(Ok(StreamResult::Dropped));
        };
        let polled = match asks {
            true => socket.poll_ahead(cx.waker()).map_ok(|()| None),
            false => socket.poll_accept(cx.waker()).map_ok(Some),
        };
        match polled {
            Poll::Pending => waiting(false, finish),
            Poll::Ready(Ok(None)) => waiting(true, finish),
            Poll::Ready(Ok(Some(accepted))) => {
                let accepted = view.table.push(accepted)?;
                destination.set_buffer(Some(theirs(&accepted)));
                Poll::Ready(Ok(StreamResult::Completed))
            }
            // "This method returns a single perpetual stream that should only close on fatal errors": it was revoked.
            Poll::Ready(Err(_)) => Poll::Ready(Ok(StreamResult::Dropped)),
        }
    }
}
