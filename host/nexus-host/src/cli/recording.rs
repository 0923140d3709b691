//! The audit log of a run: opened before anything is decided, closed when all is told.

use std::time::{Duration, SystemTime};

use nexus_policy::{Admission, AppIdentity, Auditor, Entry, Gate, Recorded};
use nexus_types::{InstanceId, Instant};

use super::StateArgs;
use crate::observe::audit::AuditLog;
use crate::runtime::stdio::say;

/// How often what waits in memory is handed to the kernel: what a person who follows the log waits at most.
pub(super) const FLUSH: Duration = Duration::from_secs(1);

/// The log of this process.
#[derive(Clone)]
pub(super) struct Recording(AuditLog);

impl Recording {
    /// Opens the log. Where that cannot be done it is said, and what must be recorded will be refused.
    pub(super) fn open(state: &StateArgs) -> Self {
        let (log, error) = AuditLog::open(state.dir().as_deref(), SystemTime::now);
        if let Some(error) = error {
            say(&format!(
                "warning: nothing is recorded: {error}; sensitive capabilities are refused\n"
            ));
        }
        let opened = Self(log);
        say(&opened.warnings());
        opened
    }

    /// How many records could not be kept.
    pub(super) fn dropped(&self) -> u64 {
        self.0.dropped()
    }

    /// The same at the end, for a person. Where nothing is recorded that was said at the start.
    pub(super) fn lost(&self) -> String {
        match self.dropped() {
            lost if lost > 0 && self.0.is_open() => {
                format!("warning: the audit log lacks {lost} records of this run\n")
            }
            _ => String::new(),
        }
    }

    /// What a person should know of the log and was not told yet: lines for standard error.
    pub(super) fn warnings(&self) -> String {
        let lines = self.0.warnings().into_iter();
        lines.map(|line| format!("warning: {line}\n")).collect()
    }

    /// For a gate.
    pub(super) fn auditor(&self) -> Box<dyn Auditor> {
        Box::new(self.0.clone())
    }

    /// Records why an app may not start.
    pub(super) fn refused(
        &self,
        now: Instant,
        gate: &mut Gate,
        app: &AppIdentity,
        admission: &Admission,
    ) {
        gate.set_auditor(self.auditor());
        // That it cannot be kept was said when the log was opened, or is counted by it.
        let _ = gate.record_admission(now, None, app, admission);
    }

    /// Records that an app has ended, and how.
    pub(super) fn ended(
        &mut self,
        now: Instant,
        instance: InstanceId,
        app: &AppIdentity,
        outcome: &str,
    ) {
        let entry = Entry {
            app: Some(app),
            instance: Some(instance),
            capability: None,
            target: Some(&outcome),
            verdict: Recorded::Event,
            reason: "ended",
            rule: None,
            source: &"host",
        };
        let _ = self.0.record(now, &entry);
    }

    /// Records what became of a policy that was read while apps run.
    pub(super) fn policy(&mut self, now: Instant, reason: &'static str, files: &str) {
        let entry = Entry {
            app: None,
            instance: None,
            capability: None,
            target: Some(&files),
            verdict: Recorded::Event,
            reason,
            rule: None,
            source: &"operator",
        };
        let _ = self.0.record(now, &entry);
    }

    /// Does what is due.
    pub(super) fn poll(&self, now: Instant) {
        self.0.poll(now);
    }

    /// Ends the log.
    pub(super) fn close(&self, now: Instant) {
        self.0.close(now);
    }
}
