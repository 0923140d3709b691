//! The guest's standard streams, both WASI versions, without blocking the shard.
//!
//! Output goes to the descriptor at once while it takes it. When it does not (a full pipe), the
//! rest waits in a bounded queue that one thread empties, and the guest's next write waits.
//! Input is read by one thread, started when a guest first asks, into a bounded queue.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;

use async_trait::async_trait;
use bytes::{Buf, Bytes, BytesMut};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{InputStream, OutputStream, StreamError, StreamResult};

/// What waits in either direction. Stops a guest that writes to a stuck pipe, and an endless
/// standard input, from filling memory.
const QUEUE_BYTES: usize = 64 << 10;

/// A pipe that `poll(2)` calls writable takes this much without blocking (POSIX `PIPE_BUF`).
const ATOMIC_BYTES: usize = 4096;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn stream_error(error: io::Error) -> StreamError {
    // wasi-libc makes EPIPE of a closed stream, and EIO of any other failure.
    if error.kind() == io::ErrorKind::BrokenPipe {
        StreamError::Closed
    } else {
        StreamError::LastOperationFailed(error.into())
    }
}

fn again(kind: Failure) -> io::Error {
    match kind {
        Failure::BrokenPipe => io::ErrorKind::BrokenPipe.into(),
        Failure::Os(code) => io::Error::from_raw_os_error(code),
    }
}

/// Why a stream failed; unlike `io::Error` it can be told to every handle on it.
#[derive(Clone, Copy, Debug)]
enum Failure {
    BrokenPipe,
    Os(i32),
}

impl From<&io::Error> for Failure {
    fn from(error: &io::Error) -> Self {
        match (error.kind(), error.raw_os_error()) {
            (io::ErrorKind::BrokenPipe, _) => Self::BrokenPipe,
            (_, Some(code)) => Self::Os(code),
            (_, None) => Self::Os(rustix::io::Errno::IO.raw_os_error()),
        }
    }
}

// --- output ---

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

    /// Whether a write of up to [`ATOMIC_BYTES`] returns at once.
    fn ready(self) -> bool {
        self.with(|fd| {
            let mut fds = [PollFd::new(&fd, PollFlags::OUT)];
            // An error (or a hang-up) counts as ready: the write will tell.
            match poll(
                &mut fds,
                Some(&Timespec {
                    tv_sec: 0,
                    tv_nsec: 0,
                }),
            ) {
                Ok(0) => false,
                Ok(_) | Err(_) => true,
            }
        })
    }

    fn write(self, bytes: &[u8]) -> io::Result<usize> {
        // Not through `std::io::stdout()`: its line buffer would keep what a trap then loses.
        match self.with(|fd| rustix::io::write(fd, bytes)) {
            Ok(written) => Ok(written),
            Err(rustix::io::Errno::INTR) => Ok(0),
            Err(error) => Err(error.into()),
        }
    }
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
                    Ok(written) => bytes = &bytes[written..],
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
            let mut rest = &chunk[..];
            let mut failed = None;
            while !rest.is_empty() && failed.is_none() {
                match self.0.sink.write(rest) {
                    Ok(written) => rest = &rest[written..],
                    Err(error) => failed = Some(Failure::from(&error)),
                }
            }
            state = lock(&self.0.state);
            state.writing = false;
            if failed.is_some() {
                state.failed = failed;
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

fn wait(waiting: &mut Vec<Waker>, cx: &Context<'_>) {
    if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
        waiting.push(cx.waker().clone());
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

// --- input ---

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

/// Writes to the host's standard error, for our own lines. A closed one is no reason to fail.
pub fn say(text: &str) {
    let _ = io::stderr().lock().write_all(text.as_bytes());
}
