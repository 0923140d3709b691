//! Numbers about a run: what is counted, and by which labels.
//!
//! What can be counted is a closed list, so that its labels are; of each there are at most [`SERIES`] combinations,
//! and what comes beyond is counted together. Stops apps without end from filling the host's memory and a database.

use std::collections::BTreeMap;

/// Combinations of labels of one metric that are told apart.
pub(super) const SERIES: usize = 1_000;

/// The value of every label of what is beyond.
pub(super) const OVERFLOW: &str = "_overflow";

/// The longest value of a label, in characters. A name beyond helps nobody.
const VALUE_CHARS: usize = 256;

/// What is counted or measured.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Metric {
    Decisions,
    Denied,
    Events,
    Calls,
    Instances,
    InstancesEnded,
    SocketsOpen,
    NetworkIo,
    PolicyEpoch,
    DenialsDropped,
    AuditDropped,
    SpansDropped,
    ExportsFailed,
    LogLinesDropped,
}

/// Whether it only grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A sum since the start.
    Counter,
    /// What it is now.
    Gauge,
}

/// What describes a metric.
pub(super) struct About {
    /// As OpenTelemetry names it.
    pub(super) name: &'static str,
    /// In UCUM's words.
    pub(super) unit: &'static str,
    pub(super) kind: Kind,
    pub(super) help: &'static str,
    pub(super) labels: &'static [&'static str],
}

impl Metric {
    /// What it is.
    pub(super) const fn about(self) -> About {
        use Kind::{Counter, Gauge};
        let (name, unit, kind, help, labels): (_, _, _, _, &[&str]) = match self {
            Self::Decisions => (
                "nexus.decisions",
                "{decision}",
                Counter,
                "What the gate decided",
                &["app", "capability", "verdict", "reason"],
            ),
            Self::Denied => (
                "nexus.denied",
                "{decision}",
                Counter,
                "Acts that were refused",
                &["capability", "reason"],
            ),
            Self::Events => (
                "nexus.policy.events",
                "{event}",
                Counter,
                "What decisions depend on has changed",
                &["event"],
            ),
            Self::Calls => (
                "nexus.calls",
                "{call}",
                Counter,
                "Acts of apps by host function, and how they ended",
                &["app", "call", "result"],
            ),
            Self::Instances => (
                "nexus.instances",
                "{instance}",
                Gauge,
                "Instances that run",
                &["app"],
            ),
            Self::InstancesEnded => (
                "nexus.instances.ended",
                "{instance}",
                Counter,
                "Instances that have ended, and how",
                &["app", "outcome"],
            ),
            Self::SocketsOpen => (
                "nexus.sockets.open",
                "{socket}",
                Gauge,
                "Sockets open now",
                &["app"],
            ),
            Self::NetworkIo => (
                "nexus.network.io",
                "By",
                Counter,
                "Bytes that apps read from the network (in) and wrote to it (out)",
                &["app", "direction"],
            ),
            Self::PolicyEpoch => (
                "nexus.policy.epoch",
                "1",
                Gauge,
                "The number of a node's policy: it grows with each change",
                &["node"],
            ),
            Self::DenialsDropped => (
                "nexus.denials.dropped",
                "{denial}",
                Counter,
                "Refusals that were counted and not told one by one",
                &["node"],
            ),
            Self::AuditDropped => (
                "nexus.audit.records.dropped",
                "{record}",
                Counter,
                "Audit records that could not be written",
                &[],
            ),
            Self::SpansDropped => (
                "nexus.telemetry.spans.dropped",
                "{span}",
                Counter,
                "Spans that found no room, or that the collector did not take or rejected",
                &["why"],
            ),
            Self::ExportsFailed => (
                "nexus.telemetry.exports.failed",
                "{request}",
                Counter,
                "Requests to the collector that it did not take, or not all of",
                &["signal"],
            ),
            Self::LogLinesDropped => (
                "nexus.log.lines.dropped",
                "{line}",
                Counter,
                "Log lines that standard error had no room for",
                &[],
            ),
        };
        About {
            name,
            unit,
            kind,
            help,
            labels,
        }
    }
}

/// Labels in the order of [`About::labels`], and the value.
pub(super) type Series = BTreeMap<Vec<String>, u64>;

/// Every number there is.
#[derive(Clone, Default, Debug)]
pub(super) struct Metrics {
    series: BTreeMap<Metric, Series>,
}

impl Metrics {
    /// Counts `more` of it.
    pub(super) fn add(&mut self, metric: Metric, labels: &[&str], more: u64) {
        let value = self.value(metric, labels);
        *value = value.saturating_add(more);
    }

    /// It is `value` now.
    pub(super) fn set(&mut self, metric: Metric, labels: &[&str], value: u64) {
        *self.value(metric, labels) = value;
    }

    /// What is known, in a stable order.
    pub(super) fn all(&self) -> impl Iterator<Item = (Metric, &Series)> {
        self.series.iter().map(|(metric, series)| (*metric, series))
    }

    fn value(&mut self, metric: Metric, labels: &[&str]) -> &mut u64 {
        debug_assert_eq!(labels.len(), metric.about().labels.len(), "{metric:?}");
        let series = self.series.entry(metric).or_default();
        let mut labels: Vec<String> = labels.iter().map(|label| cut(label)).collect();
        if series.len() >= SERIES && !series.contains_key(&labels) {
            labels.fill(OVERFLOW.to_owned());
        }
        series.entry(labels).or_default()
    }
}

/// The beginning of a text of any length.
pub(super) fn cut(text: &str) -> String {
    match text.char_indices().nth(VALUE_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_beyond_the_bound_is_counted_together() {
        let mut metrics = Metrics::default();
        for number in 0..SERIES + 5 {
            metrics.add(Metric::Instances, &[&number.to_string()], 1);
        }
        metrics.add(Metric::Instances, &["0"], 1);
        let (_, series) = metrics.all().next().expect("one metric");
        assert_eq!(series.len(), SERIES + 1);
        assert_eq!(series[&vec![OVERFLOW.to_owned()]], 5);
        assert_eq!(series[&vec!["0".to_owned()]], 2);
    }

    #[test]
    fn a_long_label_is_cut() {
        assert_eq!(cut(&"é".repeat(VALUE_CHARS)), "é".repeat(VALUE_CHARS));
        let longer = cut(&"é".repeat(VALUE_CHARS + 1));
        assert_eq!(longer.chars().count(), VALUE_CHARS + 1);
        assert!(longer.ends_with('…'));
    }
}
