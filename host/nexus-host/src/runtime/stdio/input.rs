//! Standard input.

use std::io::{self, Read};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;

use async_trait::async_trait;
use bytes::{Buf, Bytes, BytesMut};
use rustix::event::{PollFd, PollFlags, poll};
use tokio::io::{AsyncRead, ReadBuf};
use wasmtime_wasi::cli::{IsTerminal, StdinStream};
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{InputStream, StreamError, StreamResult};

use super::{Failure, QUEUE_BYTES, again, lock, stream_error, wait};

struct InputState {
    started: bool,
    buffer: BytesMut,
    ended: bool,
    failed: Option<Failure>,
    waiting: Vec<Waker>,
}

struct InputInner {
    state: Mutex<InputState>,
    room: Condvar,
}

/// The host's standard input.
#[derive(Clone)]
pub struct Input(Arc<InputInner>);

impl Default for Input {
    fn default() -> Self {
        Self(Arc::new(InputInner {
            state: Mutex::new(InputState {
                started: false,
                buffer: BytesMut::new(),
                ended: false,
                failed: None,
                waiting: Vec::new(),
            }),
            room: Condvar::new(),
        }))
    }
}

impl Input {
    fn state(&self) -> MutexGuard<'_, InputState> {
        let mut state = lock(&self.0.state);
        // Only when a guest asks: most never do, and a thread that reads takes what is
        // typed away from whoever runs next in the same terminal.
        if !state.started {
            state.started = true;
            let input = self.clone();
            let spawned = thread::Builder::new()
                .name("nexus-stdin".into())
                .spawn(move || input.fill());
            if let Err(error) = spawned {
                state.failed = Some(Failure::from(&error));
                state.ended = true;
            }
        }
        state
    }

    /// The thread: reads until the end, waiting while the guest does not.
    fn fill(&self) {
        let mut chunk = [0; 8 << 10];
        loop {
            {
                let mut state = lock(&self.0.state);
                while state.buffer.len() >= QUEUE_BYTES {
                    state = self
                        .0
                        .room
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            }
            let read = io::stdin().lock().read(&mut chunk);
            if matches!(&read, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
                // What fails here fails at the next read, too, which tells.
                let _ = poll(&mut [PollFd::new(&io::stdin(), PollFlags::IN)], None);
                continue;
            }
            let mut state = lock(&self.0.state);
            match read {
                Ok(0) => state.ended = true,
                Ok(length) => state.buffer.extend_from_slice(&chunk[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    state.failed = Some(Failure::from(&error));
                    state.ended = true;
                }
            }
            for waker in state.waiting.drain(..) {
                waker.wake();
            }
            if state.ended {
                return;
            }
        }
    }

    fn take(&self, max: usize) -> Result<Option<Bytes>, Failure> {
        let mut state = self.state();
        if !state.buffer.is_empty() {
            let length = state.buffer.len().min(max);
            let bytes = state.buffer.split_to(length).freeze();
            self.0.room.notify_one();
            return Ok(Some(bytes));
        }
        match (state.failed.take(), state.ended) {
            (Some(failure), _) => Err(failure),
            (None, true) => Ok(None),
            (None, false) => Ok(Some(Bytes::new())),
        }
    }

    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if !state.buffer.is_empty() || state.ended {
            return Poll::Ready(());
        }
        wait(&mut state.waiting, cx);
        Poll::Pending
    }
}

impl IsTerminal for Input {
    fn is_terminal(&self) -> bool {
        io::IsTerminal::is_terminal(&io::stdin())
    }
}

impl StdinStream for Input {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn InputStream> {
        Box::new(self.clone())
    }
}

impl InputStream for Input {
    fn read(&mut self, size: usize) -> StreamResult<Bytes> {
        match self.take(size) {
            Ok(Some(bytes)) => Ok(bytes),
            Ok(None) => Err(StreamError::Closed),
            Err(failure) => Err(stream_error(again(failure))),
        }
    }
}

#[async_trait]
impl Pollable for Input {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.poll_ready(cx)).await;
    }
}

impl AsyncRead for Input {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.poll_ready(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => Poll::Ready(match self.take(buf.remaining()) {
                Ok(Some(bytes)) => {
                    buf.put_slice(bytes.chunk());
                    Ok(())
                }
                Ok(None) => Ok(()),
                Err(failure) => Err(again(failure)),
            }),
        }
    }
}
