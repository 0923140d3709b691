//! The numbers as Prometheus reads them: its text format, version 0.0.4.

use std::fmt::Write;

use super::metrics::{Kind, Metrics};

/// The content type of [`text`].
pub(super) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Every number.
pub(super) fn text(metrics: &Metrics) -> String {
    let mut out = String::new();
    for (metric, series) in metrics.all() {
        let about = metric.about();
        let mut name = about.name.replace('.', "_");
        if about.unit == "By" {
            name.push_str("_bytes");
        }
        let kind = match about.kind {
            Kind::Gauge => "gauge",
            Kind::Counter => {
                name.push_str("_total");
                "counter"
            }
        };
        // Writing to a String cannot fail.
        let _ = write!(out, "# HELP {name} {}\n# TYPE {name} {kind}\n", about.help);
        for (values, value) in series {
            out.push_str(&name);
            let labels: Vec<_> = about
                .labels
                .iter()
                .zip(values)
                .map(|(key, value)| format!("{key}=\"{}\"", escaped(value)))
                .collect();
            if !labels.is_empty() {
                let _ = write!(out, "{{{}}}", labels.join(","));
            }
            let _ = writeln!(out, " {value}");
        }
    }
    out
}

/// A label's value between its quotes.
fn escaped(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            // The format has no other escapes; no name needs the rest of these.
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::metrics::Metric;
    use super::*;

    /// Goal: an app cannot write a line of its own into the page. Method: an id with all that has a meaning in it.
    #[test]
    fn labels_are_escaped() {
        let mut metrics = Metrics::default();
        metrics.add(Metric::NetworkIo, &["a\"} 1\nb\\\r", "in"], 7);
        metrics.set(Metric::AuditDropped, &[], 2);
        assert_eq!(
            text(&metrics),
            "# HELP nexus_network_io_bytes_total Bytes that apps read from the network (in) and wrote to it (out)\n\
             # TYPE nexus_network_io_bytes_total counter\n\
             nexus_network_io_bytes_total{app=\"a\\\"} 1\\nb\\\\\u{fffd}\",direction=\"in\"} 7\n\
             # HELP nexus_audit_records_dropped_total Audit records that could not be written\n\
             # TYPE nexus_audit_records_dropped_total counter\n\
             nexus_audit_records_dropped_total 2\n"
        );
    }
}
