//! Bodies: a request's, bounded, and a response's, which says when it was sent.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use wasmtime_wasi_http::{Error, WasiBody};

use super::access::Entry;
use super::connection::Sending;
use super::exchange::Hold;
use super::head::Shape;

/// How far an app has come with a request's body.
#[derive(Clone, Default)]
pub(super) struct Progress(Arc<Marks>);

#[derive(Default)]
struct Marks {
    read: AtomicBool,
    over: AtomicBool,
}

impl Progress {
    /// The body for the app: past `most` bytes its read fails.
    pub(super) fn watch(&self, body: Incoming, most: u64) -> WasiBody {
        if body.is_end_stream() {
            self.0.read.store(true, Ordering::Relaxed);
            return Empty::new().map_err(|never| match never {}).boxed_unsync();
        }
        let bounded = Bounded {
            body,
            most,
            left: most,
            progress: self.clone(),
        };
        bounded.boxed_unsync()
    }

    /// All of it was read.
    pub(super) fn is_read(&self) -> bool {
        self.0.read.load(Ordering::Relaxed)
    }

    /// It was larger than it may be.
    pub(super) fn is_over(&self) -> bool {
        self.0.over.load(Ordering::Relaxed)
    }
}

/// A request's body, bounded.
struct Bounded {
    body: Incoming,
    most: u64,
    left: u64,
    progress: Progress,
}

impl Body for Bounded {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let bytes = match &frame {
            Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len) as u64,
            Some(Err(_)) => 0,
            None => {
                self.progress.0.read.store(true, Ordering::Relaxed);
                0
            }
        };
        Poll::Ready(match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                frame.map(|frame| frame.map_err(Error::Hyper))
            }
            None => {
                self.left = 0;
                self.progress.0.over.store(true, Ordering::Relaxed);
                Some(Err(Error::HttpRequestBodySize(Some(self.most))))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A response's body.
pub(super) struct Sent {
    body: Source,
    entry: Entry,
    /// The client is to get a head only (RFC 9110 sections 9.3.2, 15.3.5, 15.4.5).
    head_only: bool,
    /// What its head promised and was not sent yet, if it promised anything.
    left: Option<u64>,
    /// What came of it was an error.
    failed: bool,
    sending: Sending,
}

enum Source {
    /// Ours: why there is none of the app's.
    Text(Option<Bytes>),
    App {
        body: WasiBody,
        hold: Hold,
        /// Its place among the requests in flight.
        _turn: tokio::sync::OwnedSemaphorePermit,
    },
}

impl Sent {
    pub(super) fn text(text: Bytes, entry: Entry, sending: Sending) -> Self {
        Self {
            body: Source::Text(Some(text)),
            head_only: entry.is_for_head(),
            entry,
            left: None,
            failed: false,
            sending,
        }
    }

    pub(super) fn app(
        body: WasiBody,
        (hold, turn): (Hold, tokio::sync::OwnedSemaphorePermit),
        entry: Entry,
        Shape { head_only, length }: Shape,
        sending: Sending,
    ) -> Self {
        Self {
            body: Source::App {
                body,
                hold,
                _turn: turn,
            },
            entry,
            head_only,
            left: length,
            failed: false,
            sending,
        }
    }
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        match &mut this.body {
            Source::Text(text) => {
                let text = text.take();
                this.entry.complete |= text.is_none();
                this.entry.bytes += text.as_ref().map_or(0, Bytes::len) as u64;
                Poll::Ready(text.map(|text| Ok(Frame::data(text))))
            }
            Source::App { body, hold, .. } => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                let checked = match frame {
                    Some(Ok(frame)) => {
                        let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
                        match this.left.map(|left| left.checked_sub(bytes)) {
                            Some(None) => Some(Err(Error::HttpResponseBodySize(None))),
                            left => {
                                this.left = left.flatten();
                                this.entry.bytes += bytes;
                                Some(Ok(frame))
                            }
                        }
                    }
                    Some(Err(error)) => Some(Err(error)),
                    // What was cut off with its instance only looks like an end.
                    None if hold.exchange().failure.borrow().is_some() => {
                        Some(Err(Error::HttpResponseIncomplete))
                    }
                    None if this.left.is_some_and(|left| left > 0) => {
                        Some(Err(Error::HttpResponseBodySize(Some(this.entry.bytes))))
                    }
                    None => {
                        hold.complete();
                        this.entry.complete = true;
                        None
                    }
                };
                if let Some(Err(error)) = &checked {
                    this.failed = true;
                    this.entry.failed(error);
                }
                Poll::Ready(checked)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.body {
            Source::Text(text) => text.is_none(),
            // As above: what was cut off only looks like an end.
            Source::App { body, hold, .. } => {
                body.is_end_stream() && hold.exchange().failure.borrow().is_none()
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            Source::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
            Source::App { body, .. } => body.size_hint(),
        }
    }
}

impl Drop for Sent {
    fn drop(&mut self) {
        // hyper asks no further once it has what the head promised, or knows there is nothing.
        let whole = match self.left {
            _ if self.failed => false,
            Some(left) => left == 0,
            None => self.is_end_stream(),
        };
        if self.head_only || whole {
            self.entry.complete = true;
            if let Source::App { hold, .. } = &self.body {
                hold.complete();
            }
        }
        self.sending.end(self.entry.complete);
    }
}
