//! Ctrl-c and SIGTERM: the first ends the guest in order, the second ends the process at once.
//!
//! A handler may do next to nothing, so it only raises a flag; the epoch thread, which runs
//! every millisecond anyway, brings it to the tasks that wait for it.
//!
//! SIGHUP means two things: from a terminal that is gone, the end; else the wish of an operator that the policy be
//! read anew ([`Signals::hangup`]).

use std::fs::File;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Which signal came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Signal {
    /// Ctrl-c.
    Interrupt,
    /// What a supervisor sends.
    Terminate,
    /// The terminal is gone.
    Hangup,
}

impl Signal {
    /// The exit code a shell expects: 128 and the signal's number.
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Interrupt => 130,
            Self::Terminate => 143,
            Self::Hangup => 129,
        }
    }
}

/// A second signal that comes sooner is the first one again: `timeout(1)` signals its child and
/// then the whole process group, a terminal and a supervisor may both signal.
const ONE_SIGNAL: Duration = Duration::from_millis(250);

/// A handle on the process's signals.
#[derive(Clone, Default)]
pub struct Signals(Arc<Inner>);

/// The terminal this process was started at.
struct Terminal(File);

impl Terminal {
    fn find() -> Option<Self> {
        let file = File::open("/dev/tty").ok()?;
        Some(Self(file))
    }

    /// A terminal that hung up answers every question with EIO.
    fn is_gone(&self) -> bool {
        rustix::termios::tcgetattr(&self.0).is_err()
    }
}

/// Whether this process was started so that SIGHUP is nothing to it (`nohup`): then a terminal that is gone does
/// not end it, and one that is sent asks for the policy.
fn ignores_hangup() -> bool {
    let status = std::fs::read_to_string("/proc/self/status");
    status.is_ok_and(|status| ignored_in(&status, SIGHUP))
}

/// proc(5): the mask of ignored signals, in hexadecimal; the lowest bit is signal 1.
fn ignored_in(status: &str, signal: i32) -> bool {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

#[derive(Default)]
struct Inner {
    interrupt: Arc<AtomicBool>,
    terminate: Arc<AtomicBool>,
    hangup: Arc<AtomicBool>,
    terminal: Option<Terminal>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    first: Option<(Signal, Instant)>,
    waiting: Vec<Waker>,
    /// SIGHUPs that asked for the policy to be read anew.
    hangups: u64,
    waiting_hangup: Option<Waker>,
}

impl Signals {
    /// Takes over SIGHUP of this process: from now on it is remembered, and no longer ends the process. To be called
    /// before the operator's files are read, or one that says they have changed would be lost, and the host with it.
    pub fn remember_hangups() -> std::io::Result<Self> {
        let signals = Self(Arc::new(Inner {
            terminal: Terminal::find().filter(|_| !ignores_hangup()),
            ..Inner::default()
        }));
        signal_hook::flag::register(SIGHUP, Arc::clone(&signals.0.hangup))?;
        Ok(signals)
    }

    /// Takes over SIGINT and SIGTERM too. From now on [`Signals::deliver`] must be called often.
    pub fn install(&self) -> std::io::Result<()> {
        signal_hook::flag::register(SIGINT, Arc::clone(&self.0.interrupt))?;
        signal_hook::flag::register(SIGTERM, Arc::clone(&self.0.terminate))?;
        Ok(())
    }

    /// The signal that came, if any did.
    pub fn raised(&self) -> Option<Signal> {
        self.state().first.map(|(signal, _)| signal)
    }

    /// Wakes who waits, if a signal came. A second one ends the process here and now: whatever
    /// the shard's thread is stuck in, this is another one.
    pub fn deliver(&self) {
        let flags = [
            (&self.0.interrupt, Signal::Interrupt),
            (&self.0.terminate, Signal::Terminate),
        ];
        for (flag, signal) in flags {
            if flag.swap(false, Ordering::Relaxed) && self.take(signal, Instant::now()) {
                std::process::exit(i32::from(signal.exit_code()));
            }
        }
        if self.0.hangup.swap(false, Ordering::Relaxed) {
            if self.0.terminal.as_ref().is_some_and(Terminal::is_gone) {
                // A second one, of a terminal that was gone already, is no other.
                let _ = self.take(Signal::Hangup, Instant::now());
            } else {
                let mut state = self.state();
                state.hangups += 1;
                if let Some(waker) = state.waiting_hangup.take() {
                    waker.wake();
                }
            }
        }
    }

    /// Completes when there have been more than `seen` SIGHUPs; with how many.
    pub fn hangup(&self, seen: u64) -> impl Future<Output = u64> + use<> {
        let signals = self.clone();
        std::future::poll_fn(move |cx| {
            let mut state = signals.state();
            if state.hangups > seen {
                return Poll::Ready(state.hangups);
            }
            state.waiting_hangup = Some(cx.waker().clone());
            Poll::Pending
        })
    }

    /// Whether this signal is a second one.
    fn take(&self, signal: Signal, now: Instant) -> bool {
        let mut state = self.state();
        if let Some((_, first)) = state.first {
            return now.duration_since(first) >= ONE_SIGNAL;
        }
        state.first = Some((signal, now));
        for waker in state.waiting.drain(..) {
            waker.wake();
        }
        false
    }

    /// Completes when a signal comes.
    pub fn wait(&self) -> Wait {
        Wait(self.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See [`Signals::wait`].
pub struct Wait(Signals);

impl Future for Wait {
    type Output = Signal;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Signal> {
        let mut state = self.0.state();
        if let Some((signal, _)) = state.first {
            return Poll::Ready(signal);
        }
        if !state
            .waiting
            .iter()
            .any(|waker| waker.will_wake(cx.waker()))
        {
            state.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_read_from_the_mask() {
        let status = |mask: &str| {
            format!("Name:\tx\nSigBlk:\t0000000000000001\nSigIgn:\t{mask}\nSigCgt:\t1\n")
        };
        assert!(ignored_in(&status("0000000000000001"), SIGHUP));
        assert!(ignored_in(&status("0000000000001001"), SIGHUP));
        assert!(!ignored_in(&status("0000000000001000"), SIGHUP));
        assert!(!ignored_in(&status("nonsense"), SIGHUP));
        assert!(!ignored_in("", SIGHUP));
    }

    #[test]
    fn a_signal_sent_twice_at_once_is_one_and_a_later_one_is_another() {
        let signals = Signals::default();
        let mut wait = Box::pin(signals.wait());
        let mut cx = Context::from_waker(Waker::noop());
        assert!(wait.as_mut().poll(&mut cx).is_pending());
        let begun = Instant::now();
        assert!(!signals.take(Signal::Terminate, begun));
        assert_eq!(wait.as_mut().poll(&mut cx), Poll::Ready(Signal::Terminate));
        assert!(!signals.take(Signal::Terminate, begun + ONE_SIGNAL / 2));
        assert!(!signals.take(Signal::Interrupt, begun + ONE_SIGNAL / 2));
        assert!(signals.take(Signal::Interrupt, begun + ONE_SIGNAL));
        assert_eq!(signals.raised(), Some(Signal::Terminate));
    }
}
