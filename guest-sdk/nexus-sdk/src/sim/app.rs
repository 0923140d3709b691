//! What a test sees of an app it has started.

use core::fmt;
use std::cell::RefCell;
use std::rc::Rc;

use super::fate::{Ended, Fate};

/// An app: whether and how it has ended, and what it wrote. Handles of it share that.
#[derive(Clone)]
pub struct App(pub(super) Rc<RefCell<Fate>>);

impl App {
    /// How it ended, in the exit codes of `nexus-host run`: 0, what it gave to [`exit`](crate::exit), 1 after an
    /// error, 77 where the gate refused it before it started, 124 where the `timeout` of its manifest was over. None:
    /// it has not ended.
    pub fn exit_code(&self) -> Option<u8> {
        self.0.borrow().ended.as_ref().map(Ended::code)
    }

    /// What it [printed](crate::print()), as far as it was [kept](super::limits::OUTPUT_BYTES_MAX).
    pub fn stdout(&self) -> String {
        self.0.borrow().stdout.text()
    }

    /// What it [printed to stderr](crate::eprint()), as far as it was [kept](super::limits::OUTPUT_BYTES_MAX); an
    /// error it ended with, too.
    pub fn stderr(&self) -> String {
        self.0.borrow().stderr.text()
    }

    /// How many bytes it wrote that were not kept.
    pub fn unkept(&self) -> u64 {
        let fate = self.0.borrow();
        fate.stdout.lost() + fate.stderr.lost()
    }

    /// Why the gate refused it before it started, as the host prints it; none if it did not.
    pub fn refusal(&self) -> Option<String> {
        match &self.0.borrow().ended {
            Some(Ended::Refused(report)) => Some(report.clone()),
            _ => None,
        }
    }

    /// What it was refused while it ran, the first [of them](super::limits::DENIALS_MAX): capability, target, reason.
    pub fn denials(&self) -> Vec<String> {
        self.0.borrow().denials.clone()
    }
}

impl fmt::Debug for App {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fate = self.0.borrow();
        write!(f, "App({}, {:?})", fate.name, fate.ended)
    }
}
