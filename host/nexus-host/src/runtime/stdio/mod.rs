//! The guest's standard streams, both WASI versions, without blocking the shard.
//!
//! Output goes to the descriptor at once while it takes it. When it does not (a full pipe), or when
//! nobody can tell whether it would (a terminal), the rest waits in a bounded queue that one thread
//! empties, and the guest's next write waits.
//! Input is read by one thread, started when a guest first asks, into a bounded queue.
//!
//! Whoever started us may have made any of the three non-blocking, and may do so while we run: the
//! flag belongs to what the descriptor leads to, which others share. So on these a "not now" is
//! never an error, and it is waited for on the threads that may wait.

mod input;
mod kept;
mod output;

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use wasmtime_wasi_io::streams::StreamError;

pub use input::Input;
pub use kept::{KEPT_BYTES, Kept, Stdout};
pub use output::{Output, Sink, say, say_last};

/// What waits in either direction. Stops a guest that writes to a stuck pipe, and an endless
/// standard input, from filling memory.
const QUEUE_BYTES: usize = 64 << 10;

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

fn wait(waiting: &mut Vec<Waker>, cx: &Context<'_>) {
    if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
        waiting.push(cx.waker().clone());
    }
}
