//! A response's body: read, counted, decoded, and at its end the connection is free again.

use core::fmt;
use core::pin::Pin;
use core::task::{Context, Poll};
use std::sync::Arc;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::connection::Connection;
use super::error::{BodyFault, Error, Phase};
use super::exchange::Pace;
use super::gzip::Gunzip;
use super::limits::Limits;
use super::network::Network;
use super::pool::{Key, Pool};
use super::response::Progress;
use super::slots::Slot;
use super::time::{Alarm, Deadline};

/// How many pieces may come to nothing before others have their turn: gzip of empty blocks decodes to no bytes.
const PIECES: usize = 16;

/// What a body is read from; gone once it was read or failed.
pub(super) struct Source<C> {
    pub(super) connection: Connection<C>,
    pub(super) incoming: Incoming,
    pub(super) gunzip: Option<Gunzip>,
    /// Under what it may be used again, if at all.
    pub(super) key: Option<Key>,
}

impl<C> Source<C> {
    /// Whether the head said it all: there is nothing to read.
    pub(super) fn is_over(&self) -> bool {
        self.incoming.is_end_stream() && self.gunzip.is_none()
    }

    /// The response was read to its end: gives the connection back, if it can be used again.
    pub(super) fn give_back<N: Network<Carrier = C>>(self, network: &N, pool: &Pool<C>) {
        if let Some(key) = self.key
            && key.epoch == network.epoch()
        {
            self.connection.wire.rest();
            pool.put(key, self.connection, network.now());
        }
    }
}

/// A response's body as a stream: [`Body`], whose end comes only when it is whole.
pub struct ResponseBody<N: Network> {
    network: Arc<N>,
    pool: Pool<N::Carrier>,
    slot: Option<Slot>,
    source: Option<Source<N::Carrier>>,
    limits: Limits,
    total: Deadline,
    progress: Progress,
    pace: Pace,
    alarm: Alarm,
}

impl<N: Network> ResponseBody<N> {
    pub(super) fn new(
        network: Arc<N>,
        pool: Pool<N::Carrier>,
        source: Source<N::Carrier>,
        limits: Limits,
        total: Deadline,
        length: Option<u64>,
    ) -> Self {
        let pace = Pace::new(network.now());
        Self {
            network,
            pool,
            slot: None,
            source: Some(source),
            limits,
            total,
            progress: Progress {
                length,
                ..Progress::default()
            },
            pace,
            alarm: Alarm::default(),
        }
    }

    /// The request counts as running for as long as its response is read.
    pub(super) fn holding(mut self, slot: Slot) -> Self {
        if self.source.as_ref().is_some_and(Source::is_over) {
            self.end(true);
        } else {
            self.slot = Some(slot);
        }
        self
    }

    /// How far it is.
    pub fn progress(&self) -> Progress {
        self.progress
    }

    /// Ends it: the connection goes back or is closed, and the next request has its turn.
    fn end(&mut self, whole: bool) {
        if let Some(source) = self.source.take()
            && whole
        {
            source.give_back(&*self.network, &self.pool);
        }
        self.slot = None;
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Frame<Bytes>>, Error>> {
        if self.slot.as_ref().is_some_and(|slot| slot.is_ended(cx)) {
            return Poll::Ready(Err(Error::Ended));
        }
        for _ in 0..PIECES {
            let Some(source) = &mut self.source else {
                return Poll::Ready(Ok(None));
            };
            if let Some(gunzip) = &mut source.gunzip
                && let Some(piece) = gunzip.next()?
            {
                return Poll::Ready(self.hand_over(piece).map(Some));
            }
            if self.network.now() >= self.total.at {
                return Poll::Ready(Err(self.total.phase.into()));
            }
            // Over or not: what came before is still to be read.
            let _ = source.connection.drive(cx);
            match Pin::new(&mut source.incoming).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    // Trailers are bounded by hyper as the head is, and passed on.
                    let piece = match frame.into_data() {
                        Ok(piece) => piece,
                        Err(trailers) => return Poll::Ready(Ok(Some(trailers))),
                    };
                    self.received(&piece)?;
                    let Some(source) = &mut self.source else {
                        return Poll::Ready(Ok(None));
                    };
                    match &mut source.gunzip {
                        Some(gunzip) => gunzip.feed(piece),
                        None => return Poll::Ready(self.hand_over(piece).map(Some)),
                    }
                }
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(Err(source.connection.wire.ended_by(&error)));
                }
                Poll::Ready(None) => {
                    if let Some(fault) = source.connection.wire.unsound_request() {
                        return Poll::Ready(Err(fault));
                    }
                    if let Some(gunzip) = &source.gunzip {
                        gunzip.finish()?;
                    }
                    return Poll::Ready(Ok(None));
                }
                Poll::Pending => {
                    let exchanged = source.connection.wire.exchanged();
                    let deadline = self.pace.deadline(
                        self.network.now(),
                        exchanged,
                        &self.limits.timeouts,
                        Phase::Body,
                    );
                    let deadline = deadline.map_or(self.total, |deadline| deadline.or(self.total));
                    return self
                        .alarm
                        .poll(&*self.network, deadline, cx)
                        .map(|phase| Err(phase.into()));
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Counts a piece as it came.
    fn received(&mut self, piece: &Bytes) -> Result<(), Error> {
        let bytes = piece.len() as u64;
        self.progress.received += bytes;
        self.pace.restart(self.network.now());
        if let Some(source) = &self.source {
            source.connection.wire.consumed(bytes);
        }
        if self.progress.received > self.limits.response_body {
            return Err(BodyFault::TooLarge.into());
        }
        Ok(())
    }

    /// Counts a piece as the app gets it.
    fn hand_over(&mut self, piece: Bytes) -> Result<Frame<Bytes>, Error> {
        self.progress.decoded += piece.len() as u64;
        if self.progress.decoded > self.limits.response_body {
            return Err(BodyFault::TooLarge.into());
        }
        Ok(Frame::data(piece))
    }
}

impl<N: Network> Body for ResponseBody<N> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        match this.poll_data(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(Some(frame))) => {
                // With a length its last byte is the end; who counts along asks no more.
                if this.source.as_ref().is_some_and(Source::is_over) {
                    this.end(true);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Ok(None)) => {
                this.end(true);
                Poll::Ready(None)
            }
            Poll::Ready(Err(error)) => {
                this.end(false);
                Poll::Ready(Some(Err(error)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            None => SizeHint::with_exact(0),
            Some(source) if source.gunzip.is_some() => SizeHint::default(),
            Some(source) => source.incoming.size_hint(),
        }
    }
}

impl<N: Network> fmt::Debug for ResponseBody<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResponseBody({:?})", self.progress)
    }
}
