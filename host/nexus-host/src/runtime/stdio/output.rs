//! Standard output and standard error.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{OutputStream, StreamError, StreamResult};

use super::{Failure, QUEUE_BYTES, again, lock, stream_error, wait};

/// A pipe that `poll(2)` calls writable takes this much without blocking (POSIX `PIPE_BUF`).
const ATOMIC_BYTES: usize = 4096;

/// How long the thread pauses when `poll(2)` says a descriptor takes more and the write says it
/// does not. Stops it from asking without end where the two mean different amounts (a socket).
const DISAGREEMENT: Duration = Duration::from_millis(1);

/// Which descriptor output goes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sink {
    /// The host's standard output.
    Stdout,
    /// The host's standard error.
    Stderr,
}

impl Sink {
    fn with<R>(self, act: impl FnOnce(BorrowedFd<'_>) -> R) -> R {
        match self {
            Self::Stdout => act(io::stdout().as_fd()),
            Self::Stderr => act(io::stderr().as_fd()),
        }
    }

    fn poll(self, timeout: Option<&Timespec>) -> bool {
        self.with(|fd| {
            let mut fds = [PollFd::new(&fd, PollFlags::OUT)];
            // An error (or a hang-up) counts as ready: the write will tell.
            match poll(&mut fds, timeout) {
                Ok(0) => false,
                Ok(_) | Err(_) => true,
            }
        })
    }

    /// Whether a write of up to [`ATOMIC_BYTES`] returns at once.
    fn ready(self) -> bool {
        self.poll(Some(&Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        }))
    }

    /// How much was taken; none: not now.
    fn write(self, bytes: &[u8]) -> io::Result<Option<usize>> {
        // Not through `std::io::stdout()`: its line buffer would keep what a trap then loses.
        match self.with(|fd| rustix::io::write(fd, bytes)) {
            Ok(written) => Ok(Some(written)),
            Err(rustix::io::Errno::INTR) => Ok(Some(0)),
            Err(rustix::io::Errno::AGAIN) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes all of it, waiting as long as that takes. Not for a shard's thread.
    pub fn write_all(self, mut bytes: &[u8]) -> io::Result<()> {
        let mut refused = false;
        while !bytes.is_empty() {
            match self.write(bytes)? {
                Some(written) => {
                    bytes = &bytes[written..];
                    refused = false;
                }
                None => {
                    if std::mem::replace(&mut refused, true) {
                        thread::sleep(DISAGREEMENT);
                    }
                    self.poll(None);
                }
            }
        }
        Ok(())
    }
}

/// Writes to the host's standard error, for our own lines; waits until they are written, so not
/// while apps run. A closed one is no reason to fail.
pub fn say(text: &str) {
    let _ = Sink::Stderr.write_all(text.as_bytes());
}

struct OutputState {
    queue: VecDeque<u8>,
    failed: Option<Failure>,
    waiting: Vec<Waker>,
    /// The thread that empties the queue exists.
    draining: bool,
    /// The thread has bytes in hand that are not written yet.
    writing: bool,
}

struct OutputInner {
    sink: Sink,
    /// A regular file never makes a write wait for anybody.
    prompt: bool,
    state: Mutex<OutputState>,
    more: Condvar,
    drained: Condvar,
}

/// One output of the host, shared by all handles on it.
#[derive(Clone)]
pub struct Output(Arc<OutputInner>);

impl Output {
    /// Output to this descriptor.
    pub fn new(sink: Sink) -> Self {
        let prompt = sink.with(|fd| {
            rustix::fs::fstat(fd).is_ok_and(|stat| {
                rustix::fs::FileType::from_raw_mode(stat.st_mode)
                    == rustix::fs::FileType::RegularFile
            })
        });
        Self(Arc::new(OutputInner {
            sink,
            prompt,
            state: Mutex::new(OutputState {
                queue: VecDeque::new(),
                failed: None,
                waiting: Vec::new(),
                draining: false,
                writing: false,
            }),
            more: Condvar::new(),
            drained: Condvar::new(),
        }))
    }

    /// Room for bytes that will certainly be taken; 0 while the queue is full.
    fn room(&self) -> Result<usize, Failure> {
        let state = lock(&self.0.state);
        match state.failed {
            Some(failure) => Err(failure),
            None => Ok(QUEUE_BYTES.saturating_sub(state.queue.len())),
        }
    }

    /// Whether a line of ours has room. What has none is better counted than waited for.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.room().is_ok_and(|room| room >= bytes)
    }

    /// Takes a line of ours, for which [`Output::has_room`]; never waits. A closed stream is no
    /// reason to fail.
    pub fn say(&self, line: &str) {
        let _ = self.put(line.as_bytes());
    }

    /// Waits until what was written has left the process, or cannot any more. Not for a shard's
    /// thread while apps run.
    pub fn wait_drained(&self) {
        let mut state = lock(&self.0.state);
        while state.failed.is_none() && (state.writing || !state.queue.is_empty()) {
            state = self
                .0
                .drained
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes all of `bytes`, at most what [`Output::room`] said.
    fn put(&self, mut bytes: &[u8]) -> Result<(), Failure> {
        let mut state = lock(&self.0.state);
        if let Some(failure) = state.failed {
            return Err(failure);
        }
        if state.queue.is_empty() && !state.writing {
            let step = if self.0.prompt {
                bytes.len()
            } else {
                ATOMIC_BYTES
            };
            while !bytes.is_empty() && (self.0.prompt || self.0.sink.ready()) {
                match self.0.sink.write(&bytes[..bytes.len().min(step)]) {
                    Ok(Some(written)) => bytes = &bytes[written..],
                    Ok(None) => break,
                    Err(error) => {
                        let failure = Failure::from(&error);
                        state.failed = Some(failure);
                        return Err(failure);
                    }
                }
            }
        }
        if !bytes.is_empty() {
            state.queue.extend(bytes);
            if !state.draining {
                state.draining = true;
                let output = self.clone();
                let spawned = thread::Builder::new()
                    .name("nexus-output".into())
                    .spawn(move || output.drain());
                if let Err(error) = spawned {
                    state.draining = false;
                    let failure = Failure::from(&error);
                    state.failed = Some(failure);
                    return Err(failure);
                }
            }
            self.0.more.notify_one();
        }
        Ok(())
    }

    /// The thread: writes what is queued, for as long as the process lives.
    fn drain(&self) {
        let mut chunk = Vec::with_capacity(ATOMIC_BYTES);
        let mut state = lock(&self.0.state);
        loop {
            while state.queue.is_empty() {
                state = self
                    .0
                    .more
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            chunk.clear();
            let length = state.queue.len().min(ATOMIC_BYTES);
            chunk.extend(state.queue.drain(..length));
            state.writing = true;
            drop(state);
            let written = self.0.sink.write_all(&chunk);
            state = lock(&self.0.state);
            state.writing = false;
            if let Err(error) = written {
                state.failed = Some(Failure::from(&error));
                state.queue.clear();
            }
            for waker in state.waiting.drain(..) {
                waker.wake();
            }
            self.0.drained.notify_all();
        }
    }

    /// Ready when there is room again, or the stream has failed.
    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.0.state);
        if state.failed.is_some() || state.queue.len() < QUEUE_BYTES {
            return Poll::Ready(());
        }
        wait(&mut state.waiting, cx);
        Poll::Pending
    }

    /// Ready when nothing is queued any more, or the stream has failed.
    fn poll_drained(&self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let mut state = lock(&self.0.state);
        if let Some(failure) = state.failed {
            return Poll::Ready(Err(failure));
        }
        if state.queue.is_empty() && !state.writing {
            return Poll::Ready(Ok(()));
        }
        wait(&mut state.waiting, cx);
        Poll::Pending
    }

    /// Completes when what was written has left the process, or cannot any more.
    pub async fn drained(&self) {
        // A broken pipe was the guest's to notice.
        let _ = std::future::poll_fn(|cx| self.poll_drained(cx)).await;
    }
}

impl IsTerminal for Output {
    fn is_terminal(&self) -> bool {
        match self.0.sink {
            Sink::Stdout => io::IsTerminal::is_terminal(&io::stdout()),
            Sink::Stderr => io::IsTerminal::is_terminal(&io::stderr()),
        }
    }
}

impl StdoutStream for Output {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(Handle {
            output: self.clone(),
            flushing: false,
        })
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Handle {
            output: self.clone(),
            flushing: false,
        })
    }
}

/// A guest's handle on an output.
struct Handle {
    output: Output,
    /// A flush was asked for and is not over: WASI 0.2 gives no room until then.
    flushing: bool,
}

impl OutputStream for Handle {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        let room = self.output.room().map_err(|f| stream_error(again(f)))?;
        if bytes.len() > room {
            return Err(StreamError::Trap(wasmtime::format_err!(
                "write of {} bytes where check-write permitted {room}",
                bytes.len()
            )));
        }
        self.output.put(&bytes).map_err(|f| stream_error(again(f)))
    }

    fn flush(&mut self) -> StreamResult<()> {
        self.flushing = true;
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        if self.flushing {
            match self
                .output
                .poll_drained(&mut Context::from_waker(Waker::noop()))
            {
                Poll::Pending => return Ok(0),
                Poll::Ready(Ok(())) => self.flushing = false,
                Poll::Ready(Err(failure)) => return Err(stream_error(again(failure))),
            }
        }
        self.output.room().map_err(|f| stream_error(again(f)))
    }
}

#[async_trait]
impl Pollable for Handle {
    async fn ready(&mut self) {
        if self.flushing {
            self.output.drained().await;
        } else {
            std::future::poll_fn(|cx| self.output.poll_room(cx)).await;
        }
    }
}

impl AsyncWrite for Handle {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.output.poll_room(cx) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => Poll::Ready(
                self.output
                    .room()
                    .and_then(|room| {
                        let length = bytes.len().min(room);
                        self.output.put(&bytes[..length]).map(|()| length)
                    })
                    .map_err(again),
            ),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.output.poll_drained(cx).map_err(again)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_flush(cx)
    }
}
