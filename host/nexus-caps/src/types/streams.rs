//! A direction of a connection as a `stream<u8>`: bytes go between the stack's buffers and the
//! app's memory in one copy, with nothing of ours in between.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::channel::oneshot;
use nexus_node::NetError;
use wasmtime::component::{
    Destination, Source, StreamConsumer, StreamProducer, StreamResult, VecBuffer,
};
use wasmtime::{AsContextMut, StoreContextMut};

use super::tcp_connection::Open;
use crate::bindings::nexus::error::types::Error;

/// Tells once how a direction ended.
struct End(Option<oneshot::Sender<Result<(), Error>>>);

impl End {
    fn tell(&mut self, result: Result<(), NetError>) {
        if let Some(sender) = self.0.take() {
            // The app may have dropped the future: then it does not want to know.
            let _ = sender.send(result.map_err(Into::into));
        }
    }
}

/// Most bytes the host offers where the app's side has no buffer of its own.
const CAPACITY: usize = 64 << 10;

/// What comes in.
pub(super) struct Receiving {
    open: Arc<Open>,
    end: End,
}

impl Receiving {
    pub(super) fn new(open: Arc<Open>, end: oneshot::Sender<Result<(), Error>>) -> Self {
        Self {
            open,
            end: End(Some(end)),
        }
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        // The app has stopped reading: no failure.
        self.end.tell(Ok(()));
    }
}

impl<D: 'static> StreamProducer<D> for Receiving {
    type Item = u8;
    type Buffer = VecBuffer<u8>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        destination: Destination<'a, u8, VecBuffer<u8>>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        // A read of no bytes asks whether a read would wait (the contract of `StreamProducer`).
        if destination.remaining(store.as_context_mut()) == Some(0) {
            let ready = self.open.poll_read(cx, &mut []).is_ready();
            return waiting(ready, finish);
        }
        let mut destination = destination.as_direct(store, CAPACITY);
        match self.open.poll_read(cx, destination.remaining()) {
            Poll::Ready(Ok(0)) => {
                self.end.tell(Ok(()));
                Poll::Ready(Ok(StreamResult::Dropped))
            }
            Poll::Ready(Ok(count)) => {
                destination.mark_written(count);
                Poll::Ready(Ok(StreamResult::Completed))
            }
            Poll::Ready(Err(error)) => {
                self.end.tell(Err(error));
                Poll::Ready(Ok(StreamResult::Dropped))
            }
            Poll::Pending => waiting(false, finish),
        }
    }
}

/// What goes out. When the app has written its last byte, sending is finished (half-close).
pub(super) struct Sending {
    open: Arc<Open>,
    end: End,
}

impl Sending {
    pub(super) fn new(open: Arc<Open>, end: oneshot::Sender<Result<(), Error>>) -> Self {
        Self {
            open,
            end: End(Some(end)),
        }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let finished = self.open.finish();
        self.end.tell(finished);
    }
}

impl<D: 'static> StreamConsumer<D> for Sending {
    type Item = u8;

    fn poll_consume(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        source: Source<'_, u8>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let mut source = source.as_direct(store);
        // And a write of no bytes, whether a write would.
        if source.remaining().is_empty() {
            let ready = self.open.poll_write(cx, &[]).is_ready();
            return waiting(ready, finish);
        }
        match self.open.poll_write(cx, source.remaining()) {
            Poll::Ready(Ok(count)) => {
                source.mark_read(count);
                Poll::Ready(Ok(StreamResult::Completed))
            }
            Poll::Ready(Err(error)) => {
                self.end.tell(Err(error));
                Poll::Ready(Ok(StreamResult::Dropped))
            }
            Poll::Pending => waiting(false, finish),
        }
    }
}

fn waiting(ready: bool, finish: bool) -> Poll<wasmtime::Result<StreamResult>> {
    match (ready, finish) {
        (true, _) => Poll::Ready(Ok(StreamResult::Completed)),
        // The app takes its read or write back: the contract wants an answer now.
        (false, true) => Poll::Ready(Ok(StreamResult::Cancelled)),
        (false, false) => Poll::Pending,
    }
}
