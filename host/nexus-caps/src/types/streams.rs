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

/// Tells once how a direction ended, in the words of the app's interface.
struct End<E> {
    sender: Option<oneshot::Sender<Result<(), E>>>,
    word: fn(NetError) -> E,
}

impl<E> End<E> {
    fn tell(&mut self, result: Result<(), NetError>) {
        if let Some(sender) = self.sender.take() {
            // The app may have dropped the future: then it does not want to know.
            let _ = sender.send(result.map_err(self.word));
        }
    }
}

/// Most bytes the host offers where the app's side has no buffer of its own.
const CAPACITY: usize = 64 << 10;

/// What comes in.
pub(crate) struct Receiving<E> {
    open: Arc<Open>,
    end: End<E>,
    when_dropped: WhenDropped,
}

/// What becomes of what still comes when the app drops its end of the stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum WhenDropped {
    /// It waits in the stack's buffer.
    Keep,
    /// It is acknowledged and dropped.
    Discard,
}

impl<E> Receiving<E> {
    pub(crate) fn new(
        open: Arc<Open>,
        when_dropped: WhenDropped,
        end: oneshot::Sender<Result<(), E>>,
        word: fn(NetError) -> E,
    ) -> Self {
        Self {
            open,
            end: End {
                sender: Some(end),
                word,
            },
            when_dropped,
        }
    }
}

impl<E> Drop for Receiving<E> {
    fn drop(&mut self) {
        // The app has stopped reading: no failure.
        self.end.tell(Ok(()));
        if self.when_dropped == WhenDropped::Discard {
            // Of a connection that is gone there is nothing to be dropped.
            let _ = self.open.stop_reading();
        }
    }
}

impl<D: 'static, E: Send + 'static> StreamProducer<D> for Receiving<E> {
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
pub(crate) struct Sending<E> {
    open: Arc<Open>,
    end: End<E>,
}

impl<E> Sending<E> {
    pub(crate) fn new(
        open: Arc<Open>,
        end: oneshot::Sender<Result<(), E>>,
        word: fn(NetError) -> E,
    ) -> Self {
        Self {
            open,
            end: End {
                sender: Some(end),
                word,
            },
        }
    }
}

impl<E> Drop for Sending<E> {
    fn drop(&mut self) {
        let finished = self.open.finish();
        self.end.tell(finished);
    }
}

impl<D: 'static, E: Send + 'static> StreamConsumer<D> for Sending<E> {
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

/// The answer to a poll that moved nothing.
pub(crate) fn waiting(ready: bool, finish: bool) -> Poll<wasmtime::Result<StreamResult>> {
    match (ready, finish) {
        (true, _) => Poll::Ready(Ok(StreamResult::Completed)),
        // The app takes its read or write back: the contract wants an answer now.
        (false, true) => Poll::Ready(Ok(StreamResult::Cancelled)),
        (false, false) => Poll::Pending,
    }
}
