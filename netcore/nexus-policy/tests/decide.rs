//! Acts judged end to end: manifest text, policy text, topology, verdict.

mod common;

use common::{APP, Setup, TCP, addr, connect, ip, name};
use nexus_policy::{Act, Capability};
use nexus_types::Instant;

#[test]
fn two_keys_are_needed() {
    let act = connect("93.184.216.34:443");
    let app = Setup::connect(&["public:443"]);
    assert_eq!(app.reason(&act), "consent-required");
    assert_eq!(app.clone().yes().reason(&act), "allowed");
    assert_eq!(
        app.clone()
            .operator("allow", "network.tcp.connect", &["93.184.216.0/24:443"])
            .reason(&act),
        "allowed"
    );
    assert_eq!(
        app.operator("allow", "network.tcp.connect", &["public:80"])
            .reason(&act),
        "consent-required"
    );
    let other =
        Setup::connect(&["public:80"]).operator("allow", "network.tcp.connect", &["public:*"]);
    assert_eq!(other.reason(&act), "not-permitted");
    assert_eq!(Setup::default().reason(&act), "not-granted");
}

#[test]
fn the_flow_of_fetch() {
    let mut gate = Setup::connect(&["host.internal:8000", "api.example.com:80"])
        .yes()
        .gate();
    let host = name("host.internal");
    let permit = gate
        .decide(
            Instant::ZERO,
            APP,
            &Act::Resolve {
                name: &host,
                via: TCP,
            },
        )
        .unwrap();
    assert_eq!(permit.target().name(), Some("host.internal"));
    let dial = Act::Connect {
        remote: addr("10.0.2.2:8000"),
        name: Some(&host),
    };
    assert_eq!(
        gate.decide(Instant::ZERO, APP, &dial)
            .unwrap_err()
            .reason
            .as_str(),
        "expired"
    );
    gate.bind_answer(
        Instant::ZERO,
        APP,
        &host,
        &[ip("10.0.2.2")],
        Instant::from_secs(60),
    );
    let permit = gate.decide(Instant::ZERO, APP, &dial).unwrap();
    assert_eq!(permit.target().remote(), Some(addr("10.0.2.2:8000")));
    assert_eq!(permit.capability(), Capability::NetworkTcpConnect);
    assert!(
        gate.decide(Instant::ZERO, APP, &connect("10.0.2.2:8000"))
            .is_ok()
    );
    assert!(
        gate.decide(Instant::ZERO, APP, &connect("10.0.2.2:8001"))
            .is_err()
    );
}
