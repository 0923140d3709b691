//! The stream of connections of a listener.

use std::pin::Pin;
use std::task::{Context, Poll};

use wasmtime::component::{Destination, Resource, StreamProducer, StreamResult};
use wasmtime::{AsContextMut, StoreContextMut};
use wasmtime_wasi::p3::bindings::sockets::types::TcpSocket as Theirs;

use super::super::theirs;
use super::shared::Shared;
use crate::ctx::NetCtxView;
use crate::types::waiting;

/// Hands out what the listener's socket accepts, also when its handle was dropped: "Send/receive streams remain
/// functional after the original `tcp-socket` handle is dropped. The stream returned by `listen` behaves similarly."
pub(super) struct Accepting<D: 'static> {
    pub(super) listener: Shared,
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
        let polled = match asks {
            true => self
                .listener
                .lock()
                .poll_ahead(cx.waker())
                .map_ok(|()| None),
            false => self.listener.lock().poll_accept(cx.waker()).map_ok(Some),
        };
        match polled {
            Poll::Pending => waiting(false, finish),
            Poll::Ready(Ok(None)) => waiting(true, finish),
            Poll::Ready(Ok(Some(accepted))) => {
                let view = (self.view)(store.data_mut());
                // Of its own: "Client sockets ... do not keep the listening socket alive."
                let accepted = view.table.push(Shared::new(accepted))?;
                destination.set_buffer(Some(theirs(&accepted)));
                Poll::Ready(Ok(StreamResult::Completed))
            }
            // "This method returns a single perpetual stream that should only close on fatal errors": it was revoked.
            Poll::Ready(Err(_)) => Poll::Ready(Ok(StreamResult::Dropped)),
        }
    }
}
