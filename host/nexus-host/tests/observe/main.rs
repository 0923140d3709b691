//! What a run tells of itself while it runs, from outside: a collector, Prometheus, the log; and what none of them may
//! ever be told.

mod canary;
mod collector;
#[path = "../guests/mod.rs"]
mod guests;
mod noisy;
mod proxies;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use collector::{Collector, Field, Manner, at, attribute, fields, flat};
use guests::{HOST, component};
use serde_json::Value;

/// What the end of a run waits for a collector at most, and what a machine with more to do may take beside.
const BOUND: Duration = Duration::from_secs(2);
const SLACK: Duration = Duration::from_secs(5);

/// The host, with nothing of the person who runs the tests.
fn host(folder: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Command {
    let mut command = Command::new(HOST);
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy().into_owned();
        let upper = name.to_ascii_uppercase();
        if ["NEXUS_", "OTEL_", "RUST_LOG"]
            .iter()
            .any(|begin| name.starts_with(begin))
            || upper.ends_with("_PROXY")
        {
            command.env_remove(name);
        }
    }
    command
        .args(arguments)
        .envs(variables.iter().copied())
        .current_dir(folder)
        .env("XDG_STATE_HOME", folder.join("state"))
        .env("XDG_CONFIG_HOME", folder.join("config"))
        .stdin(Stdio::null());
    command
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Answers one request with `body`, after `meanwhile`.
fn serve_once(
    body: &'static str,
    meanwhile: impl FnOnce() + Send + 'static,
) -> (SocketAddr, thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let address = listener.local_addr().expect("bound");
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("somebody comes");
        let mut head = String::new();
        let mut reader = BufReader::new(stream.try_clone().expect("a handle more"));
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(reader.read_line(&mut head).expect("reads"), 0);
        }
        meanwhile();
        let answer = format!(
            "HTTP/1.0 200 OK\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(answer.as_bytes()).expect("answers");
    });
    (address, server)
}

/// Runs `fetch` against a server, then against a port that the operator forbids.
fn fetches(collector: &Collector, protocol: &str) {
    let folder = folder();
    let (address, server) = serve_once("hello", || ());
    let policy = folder.path().join("policy.toml");
    fs::write(
        &policy,
        format!(
            "[[rule]]\nid = \"to-the-server\"\ncapability = \"network.tcp.connect\"\nverdict = \"allow\"\n\
             to = [\"host.internal:{}\"]\n[[rule]]\nid = \"not-there\"\ncapability = \"network.tcp.connect\"\n\
             verdict = \"forbid\"\nto = [\"host.internal:1\"]\n",
            address.port()
        ),
    )
    .expect("written");
    let fetch = component("fetch").display().to_string();
    let endpoint = collector.endpoint();
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=k%31"),
        ("OTEL_SERVICE_NAME", "the-test"),
    ];
    for (port, code) in [(address.port(), 0), (1, 1)] {
        let url = format!("http://host.internal:{port}/");
        let arguments = [
            "run",
            &fetch,
            "--policy",
            "policy.toml",
            "--allow-manifest",
            "--",
            &url,
        ];
        let ran = host(folder.path(), &variables, &arguments)
            .output()
            .expect("runs");
        assert_eq!(ran.status.code(), Some(code), "{}", stderr(&ran));
    }
    server.join().expect("served");
}

/// Goal: a collector is told, of each act, which app by which capability and rule, and what was decided; and the same
/// as numbers. Method: a real run that is allowed one connection and refused another; OTLP as JSON.
#[test]
fn a_collector_is_told_of_acts_and_decisions() {
    let collector = Collector::start(Manner::Takes);
    fetches(&collector, "http/json");
    let parsed = |path| -> Vec<Value> {
        let requests = collector.requests(path).into_iter();
        requests
            .map(|request| {
                let head = request.head.to_ascii_lowercase();
                assert!(head.contains("content-type: application/json"), "{head}");
                assert!(head.contains("x-key: k1"), "{head}");
                serde_json::from_slice(&request.body).expect("JSON")
            })
            .collect()
    };
    let traces = parsed("/v1/traces");
    let resource = flat(&traces[0], &["resourceSpans"])[0]["resource"].clone();
    assert_eq!(
        attribute(&resource, "service.name").as_deref(),
        Some("the-test")
    );

    let spans: Vec<&Value> = traces
        .iter()
        .flat_map(|request| flat(request, &["resourceSpans", "scopeSpans", "spans"]))
        .collect();
    let of = |name: &str| -> Vec<&Value> {
        let spans = spans.iter().copied();
        spans.filter(|span| span["name"] == name).collect()
    };
    let connects = of("nexus:net/tcp-connect.connect");
    assert_eq!(connects.len(), 2, "{spans:#?}");
    let with = |verdict: &str| {
        let mut connects = connects.iter();
        let found =
            connects.find(|span| attribute(span, "nexus.verdict").as_deref() == Some(verdict));
        *found.unwrap_or_else(|| panic!("none was `{verdict}`: {connects:#?}"))
    };
    for verdict in ["allow", "deny"] {
        let span = with(verdict);
        let has = |key: &str, value: &str| {
            assert_eq!(
                attribute(span, key).as_deref(),
                Some(value),
                "{key}: {span:#}"
            );
        };
        has("nexus.app", "org.nexus.fetch");
        has("nexus.instance", "1");
        has("nexus.capability", "network.tcp.connect");
        assert!(attribute(span, "nexus.source").is_some(), "{span:#}");
        assert_eq!(
            attribute(span, "nexus.digest").map(|digest| digest.len()),
            Some(8)
        );
        let target = attribute(span, "nexus.target").expect("a target");
        assert!(target.starts_with("host.internal:"), "{target}");
        let decisions = flat(span, &["events"]);
        assert!(
            decisions.len() >= 2,
            "the lookup and the connection: {span:#}"
        );
        let nanos = |key: &str| -> u64 {
            span[key]
                .as_str()
                .expect("a text")
                .parse()
                .expect("nanoseconds")
        };
        assert!(nanos("startTimeUnixNano") <= nanos("endTimeUnixNano"));
        // It is part of its app's run.
        let runs = of("run");
        let run = runs
            .iter()
            .find(|run| run["spanId"] == span["parentSpanId"]);
        assert_eq!(run.expect("its run")["traceId"], span["traceId"]);
    }
    for (verdict, rule) in [("allow", "to-the-server"), ("deny", "not-there")] {
        let found = attribute(with(verdict), "nexus.rule");
        assert_eq!(found.as_deref(), Some(rule));
    }
    let denied = with("deny");
    assert_eq!(
        attribute(denied, "nexus.reason").as_deref(),
        Some("operator-denied")
    );
    assert_eq!(denied["status"]["code"], 2);

    let metrics = parsed("/v1/metrics");
    let metrics: Vec<&Value> = metrics
        .iter()
        .flat_map(|request| flat(request, &["resourceMetrics", "scopeMetrics", "metrics"]))
        .collect();
    let points = |name: &str| -> Vec<&Value> {
        let found = metrics.iter().filter(|metric| metric["name"] == name);
        found
            .flat_map(|metric| flat(&metric["sum"], &["dataPoints"]))
            .collect()
    };
    let labels = |point: &Value, keys: &[&str]| -> Vec<String> {
        let keys = keys
            .iter()
            .map(|key| attribute(point, key).unwrap_or_default());
        keys.collect()
    };
    let decided = points("nexus.decisions");
    let keys = ["app", "capability", "verdict", "reason"];
    let denied = [
        "org.nexus.fetch",
        "network.tcp.connect",
        "deny",
        "operator-denied",
    ];
    assert!(
        decided.iter().any(|point| labels(point, &keys) == denied),
        "{decided:#?}"
    );
    let denied = points("nexus.denied");
    let denied: Vec<_> = denied
        .iter()
        .map(|point| labels(point, &["capability", "reason"]))
        .collect();
    assert!(denied.contains(&vec![
        "network.tcp.connect".into(),
        "operator-denied".into()
    ]));
    let bytes = points("nexus.network.io");
    let read = bytes
        .iter()
        .find(|point| labels(point, &["direction"]) == ["in"]);
    let read: u64 = read.expect("a number")["asInt"]
        .as_str()
        .expect("a text")
        .parse()
        .expect("bytes");
    assert!(read > 0);
}

/// Goal: the same as protobuf, which is what a collector is sent unless asked otherwise. Method: field numbers of
/// opentelemetry-proto: ResourceSpans 1, ScopeSpans 2, Span 2, its name 5, attributes 9 (key 1, value 2, text 1).
#[test]
fn protobuf_says_the_same() {
    let collector = Collector::start(Manner::Takes);
    fetches(&collector, "http/protobuf");
    let requests = collector.requests("/v1/traces");
    let mut connects = 0;
    for request in &requests {
        assert!(
            request
                .head
                .to_ascii_lowercase()
                .contains("content-type: application/x-protobuf")
        );
        for span in at(&request.body, &[1, 2, 2]) {
            assert_eq!(at(&span, &[1])[0].len(), 16, "traceId");
            assert_eq!(at(&span, &[2])[0].len(), 8, "spanId");
            let times: Vec<_> = fields(&span)
                .into_iter()
                .filter(|(number, _)| [7, 8].contains(number))
                .collect();
            assert!(matches!(
                times[..],
                [(7, Field::Fixed(begin)), (8, Field::Fixed(end))] if begin <= end
            ));
            if at(&span, &[5]) != [b"nexus:net/tcp-connect.connect"] {
                continue;
            }
            connects += 1;
            let attributes = at(&span, &[9]);
            let pair = |key: &str| {
                let found = attributes
                    .iter()
                    .find(|pair| at(pair, &[1]) == [key.as_bytes()]);
                found.map(|pair| at(pair, &[2, 1]))
            };
            assert_eq!(pair("nexus.app"), Some(vec![b"org.nexus.fetch".to_vec()]));
            assert_eq!(
                pair("nexus.capability"),
                Some(vec![b"network.tcp.connect".to_vec()])
            );
        }
    }
    assert_eq!(connects, 2);
    // ResourceMetrics 1, ScopeMetrics 2, Metric 2, its name 1 and sum 7, of that the points 1 and 2 (cumulative).
    let requests = collector.requests("/v1/metrics");
    let metrics = at(&requests[0].body, &[1, 2, 2]);
    let decisions = metrics
        .iter()
        .find(|metric| at(metric, &[1]) == [b"nexus.decisions"])
        .expect("decisions");
    assert!(!at(decisions, &[7, 1]).is_empty());
    let sum = fields(&at(decisions, &[7])[0]);
    assert!(
        sum.iter()
            .any(|(number, value)| *number == 2 && matches!(value, Field::Varint(2)))
    );
}

/// Goal: every function that is an act has its span, with what was decided in it; what is decided outside of any has
/// one of its own; reading and writing have none. Method: probes that use all of them, over loopback.
#[test]
fn every_act_has_its_span_and_no_data_call_has() {
    let folder = folder();
    let collector = Collector::start(Manner::Takes);
    let endpoint = collector.endpoint();
    let policy = guests::root().join("components/probes/policy.toml");
    let policy = policy.display().to_string();
    for probe in [
        "tcp_half_close",
        "tcp_resolve_denied",
        "udp_echo",
        "udp_send_denied",
    ] {
        let app = component(&format!("probes/{probe}")).display().to_string();
        let variables = [
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint.as_str()),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json"),
        ];
        let arguments = ["run", &app, "--policy", &policy, "--net", "none"];
        let ran = host(folder.path(), &variables, &arguments)
            .output()
            .expect("runs");
        assert_eq!(ran.status.code(), Some(0), "{probe}: {}", stderr(&ran));
    }
    // The endpoint of one signal is taken as it is.
    let requests: Vec<Value> = collector
        .requests("/")
        .iter()
        .map(|request| serde_json::from_slice(&request.body).expect("JSON"))
        .collect();
    let spans: Vec<&Value> = requests
        .iter()
        .flat_map(|request| flat(request, &["resourceSpans", "scopeSpans", "spans"]))
        .collect();
    let names: std::collections::BTreeSet<&str> = spans
        .iter()
        .filter_map(|span| span["name"].as_str())
        .collect();
    let acts = nexus_caps::Call::ALL.map(nexus_caps::Call::as_str);
    let wanted = [
        &acts[..],
        &["run", "network.udp.send allow", "network.udp.send deny"],
    ]
    .concat();
    assert_eq!(names, wanted.into_iter().collect(), "{spans:#?}");
    for span in spans.iter().filter(|span| span["name"] != "run") {
        let told = |key: &str| attribute(span, key).unwrap_or_default();
        assert!(told("nexus.capability").starts_with("network."), "{span:#}");
        assert!(
            ["allow", "deny"].contains(&&*told("nexus.verdict")),
            "{span:#}"
        );
        assert_eq!(told("nexus.app"), "org.nexus.probe");
        assert!(!told("nexus.target").is_empty(), "{span:#}");
    }
}

/// One page of Prometheus.
fn page(address: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: {address}\r\n\r\n").expect("asks");
    let mut said = String::new();
    stream.read_to_string(&mut said).expect("answers");
    said
}

/// Goal: a collector that is not there, says no, or never answers costs a run no more than the bound, and changes
/// neither its exit code nor its output. Method: an app that ends at once with 7, beside each kind of collector.
#[test]
fn reject_to_wait_for_a_bad_collector() {
    let folder = folder();
    let app = component("probes/exit_code_7").display().to_string();
    let gone = {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        listener.local_addr().expect("bound")
    };
    let (fails, silent) = (
        Collector::start(Manner::Fails),
        Collector::start(Manner::Silent),
    );
    for (kind, endpoint) in [
        ("absent", format!("http://{gone}")),
        ("fails", fails.endpoint()),
        ("silent", silent.endpoint()),
    ] {
        let begun = Instant::now();
        let endpoint = format!("{endpoint}/hunter2");
        let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
        let ran = host(folder.path(), &variables, &["run", &app])
            .output()
            .expect("runs");
        let took = begun.elapsed();
        let said = stderr(&ran);
        assert_eq!(ran.status.code(), Some(7), "{kind}: {said}");
        assert_eq!(ran.stdout, b"before the end\n", "{kind}");
        assert!(took < BOUND + SLACK, "{kind}: {took:?}");
        assert!(said.contains("exit 7"), "{kind}: {said}");
        assert!(
            !said.contains("hunter2"),
            "{kind}: a path may hold a key: {said}"
        );
        if kind != "silent" {
            assert!(
                said.contains("the collector does not take it"),
                "{kind}: {said}"
            );
        }
    }
    assert!(!fails.requests("/hunter2/v1/traces").is_empty());
    assert!(!silent.requests("/hunter2/v1/traces").is_empty());
}

/// Goal: what a collector takes and throws away is said, and changes neither exit code nor output.
#[test]
fn what_a_collector_rejects_is_told() {
    let folder = folder();
    let app = component("hello").display().to_string();
    let collector = Collector::start(Manner::Rejects);
    let endpoint = collector.endpoint();
    let variables = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str())];
    let ran = host(folder.path(), &variables, &["run", &app])
        .output()
        .expect("runs");
    let said = stderr(&ran);
    assert_eq!(ran.status.code(), Some(0), "{said}");
    assert!(!ran.stdout.is_empty(), "{said}");
    for signal in ["traces", "metrics"] {
        let mut lines = said.lines();
        let told = |line: &str| line.contains("throws away") && line.contains(signal);
        assert!(lines.any(told), "{signal}: {said}");
    }
}

/// Goal: nothing is exported where it was switched off, or not asked for.
#[test]
fn nothing_goes_out_unasked() {
    let folder = folder();
    let app = component("hello").display().to_string();
    let collector = Collector::start(Manner::Takes);
    let endpoint = collector.endpoint();
    for variables in [
        &[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str()),
            ("OTEL_SDK_DISABLED", "true"),
        ][..],
        &[("OTEL_SERVICE_NAME", "x")],
    ] {
        let ran = host(folder.path(), variables, &["run", &app])
            .output()
            .expect("runs");
        assert_eq!(ran.status.code(), Some(0), "{}", stderr(&ran));
    }
    assert_eq!(collector.everything(), "");
}

/// Goal: what cannot be obeyed ends the command before the app runs, names the variable or flag, and says what to
/// write. Method: one bad value each; the app would say so if it ran.
#[test]
fn reject_bad_variables_and_flags() {
    let folder = folder();
    let app = component("hello").display().to_string();
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
    for (variable, says) in [
        (("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), "http/protobuf"),
        (("OTEL_EXPORTER_OTLP_HEADERS", "hunter2"), "key=value"),
        (("OTEL_METRICS_EXPORTER", "prometheus"), "--metrics"),
        (("OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4317"), "http://"),
        (("NEXUS_METRICS", "0.0.0.0:9464"), "127.0.0.1:9464"),
        (("NEXUS_METRICS", "9464"), "127.0.0.1:9464"),
        (("NEXUS_LOG", "loud"), "LEVEL"),
        (("NEXUS_LOG", "wasmtime=trace"), "nexus::policy"),
    ] {
        let ran = host(folder.path(), &[endpoint, variable], &["run", &app])
            .output()
            .expect("runs");
        let said = stderr(&ran);
        assert_eq!(ran.status.code(), Some(2), "{variable:?}: {said}");
        let flag = variable.0.replace("NEXUS_", "--").to_lowercase();
        assert!(said.contains(variable.0) || said.contains(&flag), "{said}");
        assert!(said.contains(says), "{variable:?}: {said}");
        assert!(!said.contains("hunter2"), "{said}");
        assert!(ran.stdout.is_empty(), "the app ran");
    }
}

/// Goal: log lines are JSON where what we say is, each with its parts. Method: a run with `--output json`.
#[test]
fn log_lines_are_json_if_asked_for() {
    let folder = folder();
    let app = component("hello").display().to_string();
    let arguments = ["run", &app, "--log", "nexus::app=info", "--output", "json"];
    let ran = host(folder.path(), &[], &arguments).output().expect("runs");
    let said = stderr(&ran);
    let lines: Vec<Value> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let messages: Vec<_> = lines
        .iter()
        .filter_map(|line| line["message"].as_str())
        .collect();
    assert_eq!(messages, ["starts", "has ended"], "{said}");
    assert_eq!(lines[0]["target"], "nexus::app");
    assert_eq!(lines[1]["fields"]["outcome"], "exit");
}
