//! Ctrl-c and SIGTERM: the first ends the guest in order, the second ends the process at once.
//!
//! A handler may do next to nothing, so it only raises a flag; the epoch thread, which runs
//! every millisecond anyway, brings it to the tasks that wait for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use signal_hook::consts::{SIGINT, SIGTERM};

/// Which signal came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// Ctrl-c.
    Interrupt,
    /// What a supervisor sends.
    Terminate,
}

impl Signal {
    /// The exit code a shell expects: 128 and the signal's number.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
        }
    }
}

/// A handle on the process's signals.
#[derive(Clone, Default)]
pub struct Signals(Arc<Inner>);

#[derive(Default)]
struct Inner {
    interrupt: Arc<AtomicBool>,
    terminate: Arc<AtomicBool>,
    waiting: Mutex<Vec<Waker>>,
}

impl Signals {
    /// Takes over SIGINT and SIGTERM of this process.
    pub fn install() -> std::io::Result<Self> {
        let signals = Self::default();
        for (number, flag) in [
            (SIGINT, &signals.0.interrupt),
            (SIGTERM, &signals.0.terminate),
        ] {
            // In this order: the second signal finds the flag of the first.
            signal_hook::flag::register_conditional_shutdown(
                number,
                128 + number,
                Arc::clone(flag),
            )?;
            signal_hook::flag::register(number, Arc::clone(flag))?;
        }
        Ok(signals)
    }

    /// The signal that came, if any did.
    pub fn raised(&self) -> Option<Signal> {
        if self.0.interrupt.load(Ordering::Relaxed) {
            Some(Signal::Interrupt)
        } else if self.0.terminate.load(Ordering::Relaxed) {
            Some(Signal::Terminate)
        } else {
            None
        }
    }

    /// Wakes who waits, if a signal came.
    pub fn deliver(&self) {
        if self.raised().is_some() {
            for waker in self.waiting().drain(..) {
                waker.wake();
            }
        }
    }

    /// Completes when a signal comes.
    pub fn wait(&self) -> Wait {
        Wait(self.clone())
    }

    fn waiting(&self) -> std::sync::MutexGuard<'_, Vec<Waker>> {
        self.0
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Signals::wait`].
pub struct Wait(Signals);

impl Future for Wait {
    type Output = Signal;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Signal> {
        {
            let mut waiting = self.0.waiting();
            if !waiting.iter().any(|waker| waker.will_wake(cx.waker())) {
                waiting.push(cx.waker().clone());
            }
        }
        // After registering, so that a signal in between is not lost.
        self.0.raised().map_or(Poll::Pending, Poll::Ready)
    }
}
