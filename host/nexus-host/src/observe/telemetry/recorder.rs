//! Where decisions and calls come in.

use nexus_caps::{Call, CallEnd, Observer};
use nexus_policy::{Auditor, Capability, Entry, Recorded, Unrecorded};
use nexus_types::{ErrorCode, InstanceId, Instant};
use tracing::debug;

use super::metrics::Metric;
use super::{Telemetry, state};

/// Sees each decision of a gate and hands it on to who keeps them: that one's word is the answer.
pub struct Recorder {
    telemetry: Telemetry,
    inner: Option<Box<dyn Auditor>>,
}

impl Recorder {
    pub(super) fn new(telemetry: Telemetry, inner: Option<Box<dyn Auditor>>) -> Self {
        Self { telemetry, inner }
    }
}

impl Auditor for Recorder {
    fn record(&mut self, now: Instant, entry: &Entry<'_>) -> Result<(), Unrecorded> {
        // First to who keeps them: what could not be kept is refused, whatever it would have been.
        let kept = match &mut self.inner {
            Some(inner) => inner.record(now, entry),
            None => Ok(()),
        };
        self.telemetry.decided(entry, kept.is_err());
        kept
    }
}

impl Telemetry {
    fn decided(&self, entry: &Entry<'_>, lost: bool) {
        let board = &self.0.board;
        if lost {
            board.add(Metric::AuditDropped, &[], 1);
        }
        if entry.verdict == Recorded::Event {
            board.add(Metric::Events, &[entry.reason], 1);
            return;
        }
        let app = entry.app.map_or("", |app| app.id.as_str());
        let capability = entry.capability.map_or("", Capability::as_str);
        let verdict = entry.verdict.as_str();
        let labels = [app, capability, verdict, entry.reason];
        board.add(Metric::Decisions, &labels, 1);
        if entry.verdict != Recorded::Allow {
            board.add(Metric::Denied, &[capability, entry.reason], 1);
        }
        debug!(
            target: "nexus::policy",
            app,
            capability,
            verdict,
            reason = entry.reason,
            rule = entry.rule.unwrap_or_default(),
            source = %entry.source,
            target = state::target(entry).unwrap_or_default(),
            "decided"
        );
        let span = self.0.state().decided(entry);
        if let Some(span) = span.filter(|_| self.0.traces) {
            self.0.push(span);
        }
    }
}

/// Sees each act of the guests of a shard.
pub(super) struct Watch(pub(super) Telemetry);

impl Observer for Watch {
    fn begin(&self, instance: InstanceId, call: Call) -> u64 {
        self.0.0.state().begin(instance, call)
    }

    fn at_work(&self, call: Option<u64>) {
        self.0.0.state().current = call;
    }

    fn end(&self, call: u64, end: CallEnd) {
        let (result, error) = match end {
            CallEnd::Done => ("ok", None),
            CallEnd::Failed(code) => (code.as_str(), Some(code.as_str())),
            CallEnd::Cancelled => ("cancelled", None),
            CallEnd::Trap => ("trap", Some("trap")),
        };
        let inner = &self.0.0;
        let denied = end == CallEnd::Failed(ErrorCode::Denied);
        let finished = inner.state().finish(call, denied, error);
        let Some((call, app, instance, span)) = finished else {
            return;
        };
        inner
            .board
            .add(Metric::Calls, &[&app, call.as_str(), result], 1);
        debug!(target: "nexus::calls", app = &*app, %instance, call = call.as_str(), result, "called");
        if let Some(span) = span.filter(|_| inner.traces) {
            inner.push(span);
        }
    }
}

#[cfg(test)]
#[path = "recorder_tests.rs"]
mod tests;
