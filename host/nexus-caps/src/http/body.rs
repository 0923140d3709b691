//! Bodies between an app's streams and the client, one chunk at a time.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use futures::channel::oneshot;
use http_body::{Body, Frame};
use nexus_services::http::{Error, ResponseBody, StreamError};
use wasmtime::StoreContextMut;
use wasmtime::component::{
    Destination, Source, StreamConsumer, StreamProducer, StreamResult, VecBuffer,
};

use super::network::NodeNetwork;
use crate::types::waiting;

/// Bytes that are taken from an app at once, and offered to one that has no buffer of its own. One chunk is held at a
/// time: more would be memory of the host's for an app that sends faster than its server takes.
const CHUNK_BYTES: usize = 64 << 10;

/// One place for a chunk, between who makes a body and who sends it.
#[derive(Default)]
struct Place {
    chunk: Option<Bytes>,
    /// The app has closed its end.
    whole: bool,
    /// Nobody sends it any more.
    unwanted: bool,
    maker: Option<Waker>,
    sender: Option<Waker>,
}

#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Place>>);

impl Shared {
    fn place(&self) -> MutexGuard<'_, Place> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Both ends of a body that an app streams.
pub(super) fn outgoing() -> (Taking, Sending) {
    let shared = Shared::default();
    (Taking(shared.clone()), Sending(shared))
}

/// Takes what the app writes.
pub(super) struct Taking(Shared);

impl Drop for Taking {
    fn drop(&mut self) {
        let mut place = self.0.place();
        place.whole = true;
        if let Some(waker) = place.sender.take() {
            waker.wake();
        }
    }
}

impl<D: 'static> StreamConsumer<D> for Taking {
    type Item = u8;

    fn poll_consume(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'_, D>,
        source: Source<'_, u8>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let mut source = source.as_direct(store);
        let mut place = self.0.place();
        if place.unwanted {
            return Poll::Ready(Ok(StreamResult::Dropped));
        }
        if place.chunk.is_some() {
            place.maker = Some(cx.waker().clone());
            return waiting(false, finish);
        }
        let bytes = source.remaining();
        // A write of no bytes asks whether a write would wait.
        if bytes.is_empty() {
            return waiting(true, finish);
        }
        let count = bytes.len().min(CHUNK_BYTES);
        place.chunk = Some(Bytes::copy_from_slice(&bytes[..count]));
        if let Some(waker) = place.sender.take() {
            waker.wake();
        }
        drop(place);
        source.mark_read(count);
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

/// Hands it to the client.
pub(super) struct Sending(Shared);

impl Drop for Sending {
    fn drop(&mut self) {
        let mut place = self.0.place();
        place.unwanted = true;
        if let Some(waker) = place.maker.take() {
            waker.wake();
        }
    }
}

impl Body for Sending {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        let mut place = self.0.place();
        if let Some(chunk) = place.chunk.take() {
            if let Some(waker) = place.maker.take() {
                waker.wake();
            }
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
        if place.whole {
            return Poll::Ready(None);
        }
        place.sender = Some(cx.waker().clone());
        Poll::Pending
    }
}

/// A response's body as the app's stream.
pub(super) struct Incoming<E> {
    body: ResponseBody<NodeNetwork>,
    rest: Bytes,
    end: Option<oneshot::Sender<Result<(), E>>>,
    word: fn(Error) -> E,
}

impl<E> Incoming<E> {
    pub(super) fn new(
        body: ResponseBody<NodeNetwork>,
        end: oneshot::Sender<Result<(), E>>,
        word: fn(Error) -> E,
    ) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            end: Some(end),
            word,
        }
    }

    fn tell(&mut self, result: Result<(), Error>) {
        if let Some(end) = self.end.take() {
            // The app may have dropped the future: then it does not want to know.
            let _ = end.send(result.map_err(self.word));
        }
    }

    /// Ready when there is something to hand over (true) or nothing more comes.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<bool> {
        while self.rest.is_empty() {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => return Poll::Pending,
                // Trailers are not shown: who trusts one cannot know whether a proxy made it.
                Poll::Ready(Some(Ok(frame))) => self.rest = frame.into_data().unwrap_or_default(),
                Poll::Ready(Some(Err(error))) => {
                    self.tell(Err(error));
                    return Poll::Ready(false);
                }
                Poll::Ready(None) => {
                    self.tell(Ok(()));
                    return Poll::Ready(false);
                }
            }
        }
        Poll::Ready(true)
    }
}

impl<E> Drop for Incoming<E> {
    fn drop(&mut self) {
        // The app gives up the rest: no failure of the server's.
        self.tell(Ok(()));
    }
}

impl<D: 'static, E: Send + 'static> StreamProducer<D> for Incoming<E> {
    type Item = u8;
    type Buffer = VecBuffer<u8>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, D>,
        destination: Destination<'a, u8, VecBuffer<u8>>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        match self.poll_rest(cx) {
            Poll::Pending => return waiting(false, finish),
            Poll::Ready(false) => return Poll::Ready(Ok(StreamResult::Dropped)),
            Poll::Ready(true) => {}
        }
        // A read of no bytes asks whether a read would wait.
        if destination.remaining(&mut store) == Some(0) {
            return waiting(true, finish);
        }
        let mut destination = destination.as_direct(store, CHUNK_BYTES);
        let room = destination.remaining();
        let count = room.len().min(self.rest.len());
        room[..count].copy_from_slice(&self.rest[..count]);
        self.rest.advance(count);
        destination.mark_written(count);
        Poll::Ready(Ok(StreamResult::Completed))
    }
}
