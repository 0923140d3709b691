//! The one log of a host process, as many hands hold it: each node's gate records, the driver flushes.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use nexus_policy::{Auditor, Entry, Unrecorded};
use nexus_types::Instant;

use super::options::OpenError;
use super::writer::Writer;

/// Keeps nothing: the log cannot be used. What must be recorded is refused, the rest goes on.
#[derive(Clone, Copy, Debug)]
pub struct Broken;

impl Auditor for Broken {
    fn record(&mut self, _now: Instant, _entry: &Entry<'_>) -> Result<(), Unrecorded> {
        Err(Unrecorded)
    }
}

/// A handle to the log of this process; clones are of the same log.
///
/// The lock is held for a record or a flush and never by two threads in the usual host, which has one
/// thread a shard.
#[derive(Clone)]
pub struct AuditLog(Arc<Mutex<State>>);

struct State {
    /// None: it cannot be used.
    writer: Option<Writer>,
    /// Records that came while there was no writer.
    lost: u64,
}

impl AuditLog {
    /// Opens the log of a state folder. Where that fails the handle keeps nothing, as [`Broken`] does,
    /// and the error is what to say at start.
    pub fn open(state: Option<&Path>, clock: fn() -> SystemTime) -> (Self, Option<OpenError>) {
        let opened = match state {
            Some(state) => Writer::open(state, clock),
            None => Err(OpenError::NoStateFolder),
        };
        match opened {
            Ok(writer) => (Self::of(Some(writer)), None),
            Err(error) => (Self::of(None), Some(error)),
        }
    }

    /// A handle to a writer.
    pub fn new(writer: Writer) -> Self {
        Self::of(Some(writer))
    }

    fn of(writer: Option<Writer>) -> Self {
        Self(Arc::new(Mutex::new(State { writer, lost: 0 })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while a record was made leaves the writer with a line less at worst.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When [`Self::poll`] has something to do; none: nothing, until the next record.
    pub fn deadline(&self) -> Option<Instant> {
        self.state().writer.as_ref().and_then(Writer::deadline)
    }

    /// Does what is due: hands buffered records to the kernel, signs a head. Returns at once if nothing is.
    pub fn poll(&self, now: Instant) {
        if let Some(writer) = &mut self.state().writer {
            writer.poll(now);
        }
    }

    /// Hands every buffered record to the kernel and signs a head, due or not.
    pub fn flush(&self, now: Instant) {
        if let Some(writer) = &mut self.state().writer {
            writer.flush(now);
        }
    }

    /// Ends the chain: a last record, and a head that says so. What comes after it is not recorded.
    pub fn close(&self, now: Instant) {
        if let Some(writer) = &mut self.state().writer {
            writer.close(now);
        }
    }

    /// Whether it could be opened.
    pub fn is_open(&self) -> bool {
        self.state().writer.is_some()
    }

    /// What a person should know of the log since this was asked last.
    pub fn warnings(&self) -> Vec<String> {
        let mut state = self.state();
        state.writer.as_mut().map_or(Vec::new(), Writer::warnings)
    }

    /// How many records could not be kept since the start.
    pub fn dropped(&self) -> u64 {
        let state = self.state();
        state.writer.as_ref().map_or(state.lost, Writer::dropped)
    }
}

impl Auditor for AuditLog {
    fn record(&mut self, now: Instant, entry: &Entry<'_>) -> Result<(), Unrecorded> {
        let mut state = self.state();
        match &mut state.writer {
            Some(writer) => writer.record(now, entry),
            None => {
                state.lost += 1;
                Broken.record(now, entry)
            }
        }
    }
}
