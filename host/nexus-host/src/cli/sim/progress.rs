//! A line on the terminal that is written over.

use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};

use crate::cli::Output;
use crate::runtime::stdio::say;

/// When progress begins to be shown, and how often.
const AFTER: Duration = Duration::from_millis(300);
const EVERY: Duration = Duration::from_millis(100);

/// See the module.
pub(super) struct Progress {
    begun: Instant,
    shown: Option<Instant>,
    on: bool,
}

impl Progress {
    pub(super) fn new(output: Output) -> Self {
        Self {
            begun: Instant::now(),
            shown: None,
            on: output == Output::Text && io::stderr().is_terminal(),
        }
    }

    /// Shows how far it is, unless that was shown a moment ago, or it is done.
    pub(super) fn show(&mut self, done: u64, of: u64, text: impl FnOnce() -> String) {
        let due = self.shown.is_none_or(|shown| shown.elapsed() >= EVERY);
        if self.on && due && self.begun.elapsed() >= AFTER && done < of {
            say(&format!("\r\x1b[K{}", text()));
            self.shown = Some(Instant::now());
        }
    }

    pub(super) fn clear(&mut self) {
        if self.shown.take().is_some() {
            say("\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
