//! The `OTEL_*` variables: what each does, and what is refused or warned about.

use super::*;

fn of(variables: &[(&str, &str)]) -> Result<Option<Settings>, VariableError> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    read(variables.iter().map(owned).collect())
}

fn on(variables: &[(&str, &str)]) -> Settings {
    of(variables).expect("good").expect("on")
}

const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318/");

/// Goal: nothing is exported unless it was asked for, and not where it was forbidden.
#[test]
fn off_unless_an_endpoint_or_exporter_is_named() {
    for variables in [
        &[][..],
        &[("OTEL_SERVICE_NAME", "x")],
        &[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")],
        &[ENDPOINT, ("OTEL_SDK_DISABLED", "True")],
        &[
            ENDPOINT,
            ("OTEL_TRACES_EXPORTER", "none"),
            ("OTEL_METRICS_EXPORTER", "none"),
        ],
    ] {
        assert_eq!(of(variables), Ok(None), "{variables:?}");
    }
    let asked = on(&[("OTEL_TRACES_EXPORTER", "otlp")]);
    let traces = asked.traces.expect("traces");
    assert_eq!(traces.url, "http://localhost:4318/v1/traces");
    assert_eq!(asked.metrics, None);
}

/// Goal: the endpoint of all signals is a base, that of one is taken as it is (the specification's examples).
#[test]
fn endpoints_are_put_together_as_specified() {
    let one = ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "https://m.example/x");
    let settings = on(&[ENDPOINT, one]);
    let url = |exporter: Option<Exporter>| exporter.expect("there").url;
    assert_eq!(url(settings.traces), "http://127.0.0.1:4318/v1/traces");
    assert_eq!(url(settings.metrics), "https://m.example/x");
}

/// Goal: what is said of a collector has no path, which may hold a key.
#[test]
fn reject_to_show_the_path_of_an_endpoint() {
    let settings = on(&[(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "https://m.example:4318/hunter2",
    )]);
    let traces = settings.traces.clone().expect("there");
    assert_eq!(traces.place(), "https://m.example:4318");
    assert!(!format!("{settings:?}").contains("hunter2"));
}

#[test]
fn what_is_named_is_taken_over() {
    let settings = on(&[
        ENDPOINT,
        ("OTEL_SERVICE_NAME", "mine"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "service.name=other, deployment.environment.name=a%2Cb",
        ),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=a%20b"),
        ("OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-other=c"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "250"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "65536"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "500"),
    ]);
    let has = |key: &str, value: &str| {
        let pair = (key.to_owned(), value.to_owned());
        assert!(settings.resource.contains(&pair), "{pair:?}");
    };
    has("service.name", "mine");
    has("deployment.environment.name", "a,b");
    let (traces, metrics) = (settings.traces.unwrap(), settings.metrics.unwrap());
    assert_eq!(traces.headers[0].0, "x-other");
    assert_eq!(metrics.headers[0].1, "a b");
    assert_eq!(metrics.protocol, Protocol::Json);
    assert_eq!(metrics.timeout, Duration::from_millis(250));
    assert_eq!(settings.queue, 65_536);
    assert_eq!(settings.interval, Duration::from_millis(500));
    assert_eq!(settings.warnings, [""; 0]);
}

#[test]
fn what_is_not_used_is_warned_about() {
    let settings = on(&[
        ENDPOINT,
        ("OTEL_PROPAGATORS", "b3"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_SDK_DISABLED", "yes"),
    ]);
    let warnings = settings.warnings.join("\n");
    for name in [
        "OTEL_PROPAGATORS",
        "OTEL_EXPORTER_OTLP_COMPRESSION",
        "OTEL_SDK_DISABLED",
    ] {
        assert!(warnings.contains(name), "{name}: {warnings}");
    }
}

/// Goal: what cannot be obeyed is refused, and no value is repeated: it may be a secret. Method: one bad value each.
#[test]
fn reject_what_cannot_be_obeyed_without_repeating_it() {
    let cases = [
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "hunter2"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "hunter2:4317"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://hunter2"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:0"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://a:99999"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://u:hunter2@a"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://a/?hunter2"),
        ("OTEL_EXPORTER_OTLP_METRICS_ENDPOINT", "http://a/#hunter2"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "hunter2"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "=hunter2"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=hunter2%zz"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a b=hunter2"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "a=hunter2%0a"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "Content-Type=hunter2"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "hunter2"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "600001"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "hunter2"),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "hunter2"),
        ("OTEL_TRACES_EXPORTER", "hunter2"),
        ("OTEL_METRICS_EXPORTER", "prometheus"),
        ("OTEL_LOGS_EXPORTER", "otlp"),
        ("OTEL_TRACES_SAMPLER", "traceidratio"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "65537"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2049"),
        ("OTEL_BSP_SCHEDULE_DELAY", "-1"),
        ("OTEL_METRIC_EXPORT_INTERVAL", "1.5"),
        ("OTEL_RESOURCE_ATTRIBUTES", "hunter2"),
        ("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta"),
    ];
    for (name, value) in cases {
        let other = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:1");
        let error = of(&[ENDPOINT, other, (name, value)]).expect_err(name);
        assert_eq!(error.name, name, "{value}");
        let text = format!("{error} {}", error.fix);
        assert!(!text.contains("hunter2"), "{text}");
        assert!(!error.fix.is_empty());
    }
}
