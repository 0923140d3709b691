//! A request's body on its way: counted, and as long as was said.

use core::pin::Pin;
use core::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::error::SendFault;
use super::guard::Wire;
use super::request::{RequestBody, StreamError};

/// What hyper sends.
pub(super) struct SendBody {
    body: RequestBody,
    /// What goes out as `Content-Length`; without it, chunks do.
    length: Option<u64>,
    /// The most there may be.
    most: u64,
    sent: u64,
    wire: Wire,
}

impl SendBody {
    /// A length that is known and too large is refused here, before anything is sent.
    pub(super) fn new(body: RequestBody, most: u64) -> Result<Self, SendFault> {
        let length = body.length();
        if length.is_some_and(|length| length > most) {
            return Err(SendFault::BodyTooLarge);
        }
        Ok(Self {
            body,
            length,
            most,
            sent: 0,
            wire: Wire::default(),
        })
    }

    /// Tells `wire` how it goes.
    pub(super) fn over(mut self, wire: Wire) -> Self {
        self.wire = wire;
        self
    }

    fn fail(&self, fault: SendFault) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        self.wire.fail(fault);
        Poll::Ready(Some(Err(StreamError)))
    }

    /// Takes a piece; whether it is one too many.
    fn count(&mut self, bytes: &Bytes) -> Result<(), SendFault> {
        self.sent += bytes.len() as u64;
        if self.sent > self.most {
            Err(SendFault::BodyTooLarge)
        } else if self.length.is_some_and(|length| self.sent > length) {
            Err(SendFault::BodyLength)
        } else {
            Ok(())
        }
    }
}

impl Body for SendBody {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        let this = &mut *self;
        let stream = match &mut this.body {
            RequestBody::Empty => return Poll::Ready(None),
            RequestBody::Whole(bytes) => {
                let bytes = core::mem::take(bytes);
                this.body = RequestBody::Empty;
                this.sent += bytes.len() as u64;
                this.wire.sent();
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            RequestBody::Stream(stream, _) => stream,
        };
        match stream.as_mut().poll_frame(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Some(Err(StreamError))) => this.fail(SendFault::BodyFailed),
            Poll::Ready(None) => {
                if this.length.is_some_and(|length| this.sent < length) {
                    return this.fail(SendFault::BodyLength);
                }
                this.wire.sent();
                this.body = RequestBody::Empty;
                Poll::Ready(None)
            }
            Poll::Ready(Some(Ok(frame))) => {
                // Nothing announces them, and hyper drops what is not announced: said, and not done silently.
                let Ok(bytes) = frame.into_data() else {
                    return this.fail(SendFault::Trailers);
                };
                if let Err(fault) = this.count(&bytes) {
                    return this.fail(fault);
                }
                if this.length == Some(this.sent) {
                    // hyper asks no more: what follows at once is too much, what follows later is never read.
                    this.wire.sent();
                    if let RequestBody::Stream(stream, _) = &mut this.body
                        && let Poll::Ready(Some(next)) = stream.as_mut().poll_frame(cx)
                    {
                        let more =
                            next.map(|frame| frame.data_ref().is_some_and(|d| !d.is_empty()));
                        match more {
                            Ok(true) => return this.fail(SendFault::BodyLength),
                            Ok(false) => {}
                            Err(StreamError) => return this.fail(SendFault::BodyFailed),
                        }
                    }
                    this.body = RequestBody::Empty;
                }
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.body, RequestBody::Empty) || self.length == Some(self.sent)
    }

    fn size_hint(&self) -> SizeHint {
        match self.length {
            Some(length) => SizeHint::with_exact(length - self.sent.min(length)),
            None => SizeHint::default(),
        }
    }
}
