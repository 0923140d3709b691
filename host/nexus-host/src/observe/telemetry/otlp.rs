//! What goes to a collector, as OTLP 1 has it.
//!
//! Field numbers and names are those of opentelemetry-proto 1 (`trace.proto`, `metrics.proto`, `common.proto`,
//! `resource.proto` and the two `*_service.proto`). There is no SDK under this: that of Rust would be fifteen crates
//! more (and four of them in a second version), takes wrong variables for defaults in silence, and neither counts what
//! it drops nor ends within a time of our choosing. What we use of OTLP is this page.

use super::metrics::{Kind, Metrics};
use super::spans::{Attributes, Span, Value};
use super::variables::Protocol;
use super::wire::{self, Item, Message};

/// What was made under one name: this crate.
const SCOPE: &str = "nexus-host";

/// A request's body and its content type.
pub(super) fn encode(protocol: Protocol, request: &Message) -> (&'static str, Vec<u8>) {
    match protocol {
        Protocol::Protobuf => ("application/x-protobuf", wire::protobuf(request)),
        Protocol::Json => (
            "application/json",
            wire::json(request).to_string().into_bytes(),
        ),
    }
}

/// An `ExportTraceServiceRequest`.
pub(super) fn traces(resource: &[(String, String)], spans: &[Span]) -> Message {
    let scope: Message = vec![
        (1, "scope", Item::Message(scope())),
        (2, "spans", Item::List(spans.iter().map(span).collect())),
    ];
    let spans: Message = vec![
        (1, "resource", Item::Message(of_process(resource))),
        (2, "scopeSpans", Item::List(vec![scope])),
    ];
    vec![(1, "resourceSpans", Item::List(vec![spans]))]
}

/// An `ExportMetricsServiceRequest`: sums since `start`, in nanoseconds since 1970.
pub(super) fn metrics(
    resource: &[(String, String)],
    metrics: &Metrics,
    start: u64,
    now: u64,
) -> Message {
    let list = metrics.all().map(|(metric, series)| {
        let about = metric.about();
        let points = series.iter().map(|(labels, value)| {
            let labels = about.labels.iter().zip(labels);
            let value = i64::try_from(*value).unwrap_or(i64::MAX);
            let mut point: Message = vec![
                (3, "timeUnixNano", Item::Fixed(now)),
                (6, "asInt", Item::Signed(value)),
                (
                    7,
                    "attributes",
                    Item::List(labels.map(|(key, value)| text(key, value)).collect()),
                ),
            ];
            if about.kind == Kind::Counter {
                point.insert(0, (2, "startTimeUnixNano", Item::Fixed(start)));
            }
            point
        });
        let mut data: Message = vec![(1, "dataPoints", Item::List(points.collect()))];
        let data = match about.kind {
            Kind::Gauge => (5, "gauge", Item::Message(data)),
            Kind::Counter => {
                // AGGREGATION_TEMPORALITY_CUMULATIVE
                data.push((2, "aggregationTemporality", Item::Small(2)));
                data.push((3, "isMonotonic", Item::Flag(true)));
                (7, "sum", Item::Message(data))
            }
        };
        vec![
            (1, "name", Item::Text(about.name.to_owned())),
            (2, "description", Item::Text(about.help.to_owned())),
            (3, "unit", Item::Text(about.unit.to_owned())),
            data,
        ]
    });
    let scope: Message = vec![
        (1, "scope", Item::Message(scope())),
        (2, "metrics", Item::List(list.collect())),
    ];
    let metrics: Message = vec![
        (1, "resource", Item::Message(of_process(resource))),
        (2, "scopeMetrics", Item::List(vec![scope])),
    ];
    vec![(1, "resourceMetrics", Item::List(vec![metrics]))]
}

fn of_process(resource: &[(String, String)]) -> Message {
    let attributes = resource.iter().map(|(key, value)| text(key, value));
    vec![(1, "attributes", Item::List(attributes.collect()))]
}

fn scope() -> Message {
    vec![
        (1, "name", Item::Text(SCOPE.to_owned())),
        (
            2,
            "version",
            Item::Text(env!("CARGO_PKG_VERSION").to_owned()),
        ),
    ]
}

fn text(key: &str, value: &str) -> Message {
    key_value(key, (1, "stringValue", Item::Text(value.to_owned())))
}

fn key_value(key: &str, value: (u32, &'static str, Item)) -> Message {
    vec![
        (1, "key", Item::Text(key.to_owned())),
        (2, "value", Item::Message(vec![value])),
    ]
}

fn attributes(of: &Attributes) -> Item {
    let list = of.iter().map(|(key, value)| match value {
        Value::Text(value) => text(key, value),
        Value::Number(value) => key_value(key, (3, "intValue", Item::Integer(*value))),
    });
    Item::List(list.collect())
}

fn span(span: &Span) -> Message {
    let mut message: Message = vec![
        (1, "traceId", Item::Id(span.trace.to_vec())),
        (2, "spanId", Item::Id(span.id.to_vec())),
    ];
    if let Some(parent) = span.parent {
        message.push((4, "parentSpanId", Item::Id(parent.to_vec())));
    }
    let moments = span.moments.iter().map(|moment| {
        vec![
            (1, "timeUnixNano", Item::Fixed(moment.at)),
            (2, "name", Item::Text(moment.name.to_owned())),
            (3, "attributes", attributes(&moment.attributes)),
        ]
    });
    message.extend([
        (5, "name", Item::Text(span.name.clone())),
        (6, "kind", Item::Small(span.kind as u32)),
        (7, "startTimeUnixNano", Item::Fixed(span.begin)),
        (8, "endTimeUnixNano", Item::Fixed(span.end)),
        (9, "attributes", attributes(&span.attributes)),
        (11, "events", Item::List(moments.collect())),
    ]);
    if let Some(error) = span.error {
        // STATUS_CODE_ERROR
        let status = vec![
            (2, "message", Item::Text(error.to_owned())),
            (3, "code", Item::Small(2)),
        ];
        message.push((15, "status", Item::Message(status)));
    }
    message
}
