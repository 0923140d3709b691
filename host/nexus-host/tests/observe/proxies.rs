//! The way to a collector by a proxy.

use super::*;

const ENDPOINT: (&str, &str) = (
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "http://collector.example:4318",
);

/// Goal: a proxy that cannot be used ends the command before the app runs, and its value is not repeated. Method: one
/// bad value each, where it would be used.
#[test]
fn reject_a_proxy_that_cannot_be_used() {
    let folder = folder();
    let app = component("hello").display().to_string();
    for (name, value) in [
        ("HTTP_PROXY", "PROXYSECRET://x"),
        ("http_proxy", "socks5://u:PROXYSECRET@127.0.0.1:1080"),
        ("ALL_PROXY", "http://u:PROXYSECRET@"),
    ] {
        let ran = host(folder.path(), &[ENDPOINT, (name, value)], &["run", &app])
            .output()
            .expect("runs");
        let said = stderr(&ran);
        assert_eq!(ran.status.code(), Some(2), "{name}: {said}");
        assert!(said.contains(name) && said.contains("fix: "), "{said}");
        assert!(!said.contains("PROXYSECRET"), "{said}");
        assert!(ran.stdout.is_empty(), "the app ran");
    }
}

/// Goal: what goes to a collector, goes by the proxy of its scheme; this machine and what `NO_PROXY` names are
/// reached straight, whatever the proxy. Method: a proxy that only listens, and a collector here.
#[test]
fn a_collector_is_reached_by_the_proxy_that_is_named() {
    let folder = folder();
    let app = component("hello").display().to_string();
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let proxy = format!("http://{}", listener.local_addr().expect("bound"));
    let heard = thread::spawn(move || {
        let (stream, _) = listener.accept().expect("somebody comes");
        let mut line = String::new();
        let _ = BufReader::new(stream).read_line(&mut line);
        line
    });
    let variables = [ENDPOINT, ("HTTP_PROXY", proxy.as_str())];
    let ran = host(folder.path(), &variables, &["run", &app]).output();
    assert_eq!(ran.expect("runs").status.code(), Some(0));
    let line = heard.join().expect("heard");
    assert!(
        line.starts_with("CONNECT collector.example:4318 "),
        "{line}"
    );

    let collector = Collector::start(Manner::Takes);
    let endpoint = collector.endpoint();
    let variables = [
        ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", endpoint.as_str()),
        ("ALL_PROXY", "socks5://127.0.0.1:1"),
    ];
    let ran = host(folder.path(), &variables, &["run", &app]).output();
    assert_eq!(ran.expect("runs").status.code(), Some(0));
    assert_eq!(collector.requests("/").len(), 1);
}
