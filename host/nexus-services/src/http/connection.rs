//! One connection: opened, asked one thing at a time, used again or closed.

use core::future::Future;
use core::pin::Pin;
use core::task::{Context, Poll};

use hyper::client::conn::http1;
use nexus_types::limits;

use super::error::Error;
use super::guard::{Guard, Stream, Wire};
use super::send::SendBody;

/// A connection, and hyper's part of it, which runs only while somebody polls.
pub(super) struct Connection<C> {
    pub(super) sender: http1::SendRequest<SendBody>,
    hyper: Option<http1::Connection<Guard, SendBody>>,
    pub(super) wire: Wire,
    /// What names its stream to the network.
    pub(super) carrier: C,
    /// Whether it has been asked something before.
    pub(super) used: bool,
}

impl<C> Connection<C> {
    /// Makes HTTP/1.1 of a stream; nothing is sent yet.
    pub(super) async fn new(stream: Box<dyn Stream>, carrier: C) -> Result<Self, Error> {
        let wire = Wire::default();
        let (sender, hyper) = http1::Builder::new()
            .max_headers(limits::HTTP_RESPONSE_FIELDS)
            .max_header_size(limits::HTTP_RESPONSE_HEAD_BYTES)
            .max_buf_size(limits::HTTP_BUFFER_BYTES)
            .handshake(Guard::new(stream, wire.clone()))
            .await
            .map_err(|_| Error::Internal)?;
        Ok(Self {
            sender,
            hyper: Some(hyper),
            wire,
            carrier,
            used: false,
        })
    }

    /// Lets hyper read and write. Ready once the connection is over.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.hyper {
            None => Poll::Ready(()),
            Some(hyper) => Pin::new(hyper).poll(cx).map(|_| self.hyper = None),
        }
    }

    /// Whether it can be asked something: open, and nothing came that nobody asked for.
    pub(super) fn is_idle(&mut self) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        self.drive(&mut cx).is_pending() && self.sender.is_ready() && self.wire.fault().is_none()
    }
}

impl<C> Drop for Connection<C> {
    fn drop(&mut self) {
        if let Some(hyper) = self.hyper.take() {
            hyper.into_parts().io.close();
        }
    }
}
