//! Standard output and standard error.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::FileType;
use rustix::io::{Errno, ReadWriteFlags};
use rustix::net::SendFlags;
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

/// How long our last lines wait for somebody to take any of them. Stops a terminal that is held,
/// or a pipe nobody reads, from keeping the host after its apps.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often who waits looks whether it was told to go.
const PATIENCE_STEP: Duration = Duration::from_millis(20);

/// What waits of ours beside [`QUEUE_BYTES`] of an app's. Stops an app that fills its standard
/// error from keeping what it was refused from being told.
const OWN_BYTES: usize = 64 << 10;

/// Which descriptor output goes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sink {
    /// The host's standard output.
    Stdout,
    /// The host's standard error.
    Stderr,
}

/// What a descriptor leads to: whether a write to it can be made to return at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    /// A regular file, `/dev/null`: no write waits for anybody.
    Prompt,
    /// Takes [`ATOMIC_BYTES`] when `poll(2)` says so.
    Pipe,
    /// Takes what it can, when asked to.
    Socket,
    /// A terminal, another device. `poll(2)` promises a byte, and a longer write waits until a
    /// person has released the screen: only the thread may write.
    Other,
}

/// What tells one file from another, and its kind.
type Place = (Kind, u64, u64);

impl Sink {
    fn place(self) -> Place {
        let Ok(stat) = self.with(|fd| rustix::fs::fstat(fd)) else {
            // Closed: the thread's write will tell.
            return (Kind::Other, 0, 0);
        };
        let null = || stat.st_rdev == rustix::fs::makedev(1, 3);
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Kind::Prompt,
            FileType::CharacterDevice if null() => Kind::Prompt,
            FileType::Fifo => Kind::Pipe,
            FileType::Socket => Kind::Socket,
            _ => Kind::Other,
        };
        (kind, stat.st_dev, stat.st_ino)
    }

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
        taken(self.with(|fd| rustix::io::write(fd, bytes)))
    }

    /// The same, and it never waits.
    fn write_now(self, kind: Kind, bytes: &[u8]) -> io::Result<Option<usize>> {
        match kind {
            Kind::Prompt => self.write(bytes),
            Kind::Socket => {
                let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
                taken(self.with(|fd| rustix::net::send(fd, bytes, flags)))
            }
            Kind::Pipe if !self.ready() => Ok(None),
            Kind::Pipe => {
                let bytes = &bytes[..bytes.len().min(ATOMIC_BYTES)];
                // Another process that writes to the same pipe may have been faster than we: so
                // say it again to the kernel, where it knows (Linux 6.4; `u64::MAX`: a pipe has
                // no places).
                let now = self.with(|fd| {
                    let bytes = [IoSlice::new(bytes)];
                    rustix::io::pwritev2(fd, &bytes, u64::MAX, ReadWriteFlags::NOWAIT)
                });
                match now {
                    Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::PERM) => {
                        self.write(bytes)
                    }
                    now => taken(now),
                }
            }
            Kind::Other => Ok(None),
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

fn taken(written: rustix::io::Result<usize>) -> io::Result<Option<usize>> {
    match written {
        Ok(written) => Ok(Some(written)),
        Err(Errno::INTR) => Ok(Some(0)),
        Err(Errno::AGAIN) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Writes what a command ends with to the host's standard error, as [`Output::finish`] does.
pub fn say_last(text: &str) {
    let [_, stderr] = Output::both();
    stderr.finish(text, &|| false);
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
    /// All that was ever taken, and of it what an app wrote last; and all that left. An app is
    /// not kept by lines of ours that nobody reads.
    taken: u64,
    of_apps: u64,
    gone: u64,
}

struct OutputInner {
    sink: Sink,
    kind: Kind,
    state: Mutex<OutputState>,
    more: Condvar,
    drained: Condvar,
}

/// One output of the host, shared by all handles on it.
#[derive(Clone)]
pub struct Output(Arc<OutputInner>);

impl Output {
    /// Standard output and standard error. Where they lead to the same terminal or pipe they are
    /// one: what is written to the one and then to the other arrives in that order.
    pub fn both() -> [Self; 2] {
        let (out, err) = (Sink::Stdout.place(), Sink::Stderr.place());
        let stdout = Self::new(Sink::Stdout, out.0);
        let stderr = if out == err && out.0 != Kind::Prompt {
            stdout.clone()
        } else {
            Self::new(Sink::Stderr, err.0)
        };
        [stdout, stderr]
    }

    fn new(sink: Sink, kind: Kind) -> Self {
        Self(Arc::new(OutputInner {
            sink,
            kind,
            state: Mutex::new(OutputState {
                queue: VecDeque::new(),
                failed: None,
                waiting: Vec::new(),
                draining: false,
                writing: false,
                taken: 0,
                of_apps: 0,
                gone: 0,
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
        let state = lock(&self.0.state);
        state.failed.is_none() && state.queue.len() + bytes <= QUEUE_BYTES + OWN_BYTES
    }

    /// Takes a line of ours; never waits. Of lines an app can cause any number,
    /// [`Output::has_room`] comes first. A closed stream is no reason to fail.
    pub fn say(&self, line: &str) {
        let _ = self.put(line.as_bytes(), false);
    }

    /// Takes our last lines and waits until all that was written has left the process: not when
    /// nobody took any of it for its patience, nor once `over`. Not for a shard's thread while
    /// apps run.
    pub fn finish(&self, text: &str, over: &dyn Fn() -> bool) {
        self.say(text);
        let mut state = lock(&self.0.state);
        let (mut left, mut since) = (state.queue.len(), Instant::now());
        while state.failed.is_none() && (state.writing || !state.queue.is_empty()) {
            state = self
                .0
                .drained
                .wait_timeout(state, PATIENCE_STEP)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
            if state.queue.len() != left {
                (left, since) = (state.queue.len(), Instant::now());
            } else if since.elapsed() >= PATIENCE {
                return;
            }
            if over() {
                return;
            }
        }
    }

    /// Takes all of `bytes`: of an app, at most what [`Output::room`] said.
    fn put(&self, mut bytes: &[u8], of_app: bool) -> Result<(), Failure> {
        let mut state = lock(&self.0.state);
        if let Some(failure) = state.failed {
            return Err(failure);
        }
        state.taken += bytes.len() as u64;
        if of_app {
            state.of_apps = state.taken;
        }
        if state.queue.is_empty() && !state.writing {
            while !bytes.is_empty() {
                match self.0.sink.write_now(self.0.kind, bytes) {
                    Ok(Some(written)) => {
                        bytes = &bytes[written..];
                        state.gone += written as u64;
                    }
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
            state.gone += length as u64;
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

    /// Ready when nothing of an app is queued any more, or the stream has failed.
    fn poll_drained(&self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let mut state = lock(&self.0.state);
        if let Some(failure) = state.failed {
            return Poll::Ready(Err(failure));
        }
        if state.gone >= state.of_apps {
            return Poll::Ready(Ok(()));
        }
        wait(&mut state.waiting, cx);
        Poll::Pending
    }

    /// Completes when what apps wrote has left the process, or cannot any more.
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
        self.output
            .put(&bytes, true)
            .map_err(|f| stream_error(again(f)))
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
                        self.output.put(&bytes[..length], true).map(|()| length)
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
