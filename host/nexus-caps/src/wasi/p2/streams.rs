//! A connection's two directions as streams of `wasi:io`.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use nexus_node::NetError;
use nexus_types::limits;
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{InputStream, OutputStream, StreamError, StreamResult};

use super::super::code::Code;
use crate::types::Open;

/// An error that `network-error-code` can read a code out of.
fn failed(error: NetError) -> StreamError {
    StreamError::LastOperationFailed(wasmtime::Error::new(Code::from(error)))
}

/// What comes in.
pub(super) struct Input {
    open: Arc<Open>,
    /// It has told its end, or why there is no more.
    over: bool,
}

impl Input {
    pub(super) fn new(open: Arc<Open>) -> Self {
        Self { open, over: false }
    }
}

impl InputStream for Input {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        if self.over {
            return Err(StreamError::Closed);
        }
        if size == 0 {
            return Ok(Bytes::new());
        }
        let max = size.min(limits::READ_BYTES_MAX as usize);
        match self.open.poll_read_vec(&mut unwatched(), max) {
            Poll::Pending => Ok(Bytes::new()),
            Poll::Ready(Ok(bytes)) if bytes.is_empty() => {
                self.over = true;
                Err(StreamError::Closed)
            }
            Poll::Ready(Ok(bytes)) => Ok(bytes.into()),
            Poll::Ready(Err(error)) => {
                self.over = true;
                Err(failed(error))
            }
        }
    }
}

#[async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        if !self.over {
            // Ready when a read of more than nothing is; what it says, that read will say.
            poll_fn(|cx| self.open.poll_read(cx, &mut []).map(|_| ())).await;
        }
    }
}

/// What goes out.
pub(super) struct Output {
    open: Arc<Open>,
    /// Bytes that the last `check-write` permitted and no write has used.
    permitted: usize,
    over: bool,
}

impl Output {
    pub(super) fn new(open: Arc<Open>) -> Self {
        Self {
            open,
            permitted: 0,
            over: false,
        }
    }

    fn end(&mut self, error: NetError) -> StreamError {
        self.over = true;
        self.permitted = 0;
        match Code::from(error.clone()) {
            // This side has shut it down: that is how a stream ends.
            Code::ConnectionBroken => StreamError::Closed,
            _ => failed(error),
        }
    }
}

impl OutputStream for Output {
    fn check_write(&mut self) -> StreamResult<usize> {
        if self.over {
            return Err(StreamError::Closed);
        }
        self.permitted = match self.open.poll_write(&mut unwatched(), &[]) {
            Poll::Pending => 0,
            // What it has room for now, it has room for later: nobody else writes here.
            Poll::Ready(Ok(_)) => self.open.writable(),
            Poll::Ready(Err(error)) => return Err(self.end(error)),
        };
        Ok(self.permitted)
    }

    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if self.over {
            return Err(StreamError::Closed);
        }
        // "Writing more than permitted will trap" (`output-stream.write`).
        if bytes.len() > self.permitted {
            let why = format!(
                "a write of {} bytes where {} were permitted",
                bytes.len(),
                self.permitted
            );
            return Err(StreamError::Trap(wasmtime::Error::msg(why)));
        }
        self.permitted -= bytes.len();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            match self.open.poll_write(&mut unwatched(), rest) {
                Poll::Ready(Ok(written)) => rest = &rest[written..],
                Poll::Ready(Err(error)) => return Err(self.end(error)),
                Poll::Pending => {
                    debug_assert!(false, "room was permitted and is not there");
                    return Err(StreamError::Trap(wasmtime::Error::msg(
                        "no room as permitted",
                    )));
                }
            }
        }
        Ok(())
    }

    /// What is queued goes out by itself; that it has arrived is for the other end to say.
    fn flush(&mut self) -> StreamResult<()> {
        if self.over {
            return Err(StreamError::Closed);
        }
        Ok(())
    }
}

#[async_trait]
impl Pollable for Output {
    async fn ready(&mut self) {
        if !self.over {
            poll_fn(|cx| self.open.poll_write(cx, &[]).map(|_| ())).await;
        }
    }
}

/// A look that nobody is woken for.
fn unwatched() -> Context<'static> {
    Context::from_waker(Waker::noop())
}
