//! Acts judged again: answers and rules that end, policies that change, instances that are gone.

mod common;

use common::{APP, Setup, TCP, WALL, addr, answer, connect, connect_by, identity, ip, name, rule};
use nexus_policy::{Act, Policy};
use nexus_types::{InstanceId, Instant};
const CONNECT: &str = "network.tcp.connect";

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
    let dial = connect_by(&host, "10.0.2.2:8000");
    assert_eq!(
        gate.decide(Instant::ZERO, APP, &dial)
            .unwrap_err()
            .reason
            .as_str(),
        "expired"
    );
    answer(&mut gate, &host, "10.0.2.2", 60);
    let permit = gate.decide(Instant::ZERO, APP, &dial).unwrap();
    assert_eq!(permit.target().remote(), Some(addr("10.0.2.2:8000")));
    assert_eq!(
        (permit.capability(), permit.instance(), permit.epoch()),
        (TCP, APP, gate.epoch())
    );
    assert!(
        gate.decide(Instant::ZERO, APP, &connect("10.0.2.2:8000"))
            .is_ok()
    );
    assert!(
        gate.decide(Instant::ZERO, APP, &connect("10.0.2.2:8001"))
            .is_err()
    );
}

#[test]
fn an_answer_is_for_its_app_and_its_time() {
    let mut gate = Setup::connect(&["api.example.com:443"]).yes().gate();
    let setup = Setup::connect(&["api.example.com:443"]).yes();
    let other = InstanceId(2);
    gate.admit(
        Instant::ZERO,
        other,
        identity(),
        setup.manifest(),
        setup.consent(),
        &[],
    )
    .unwrap();
    let api = name("api.example.com");
    gate.bind_answer(
        Instant::ZERO,
        APP,
        &api,
        &[ip("93.184.216.34"), ip("::ffff:93.184.216.35")],
        Instant::from_secs(60),
    );
    let act = connect("93.184.216.34:443");
    assert!(gate.decide(Instant::from_secs(59), APP, &act).is_ok());
    assert!(
        gate.decide(Instant::from_secs(59), APP, &connect("93.184.216.35:443"))
            .is_ok()
    );
    assert_eq!(
        gate.decide(Instant::from_secs(59), other, &act)
            .unwrap_err()
            .reason
            .as_str(),
        "not-permitted"
    );
    assert_eq!(
        gate.decide(Instant::from_secs(60), APP, &act)
            .unwrap_err()
            .reason
            .as_str(),
        "expired"
    );
    // Rebinding: the second answer is judged for itself, and the first goes on being what it was.
    gate.bind_answer(
        Instant::from_secs(61),
        APP,
        &api,
        &[ip("127.0.0.1")],
        Instant::from_secs(120),
    );
    let rebound = connect_by(&api, "127.0.0.1:443");
    assert_eq!(
        gate.decide(Instant::from_secs(61), APP, &rebound)
            .unwrap_err()
            .reason
            .as_str(),
        "blocked-range"
    );
    // An answer that is over before it comes is none.
    gate.bind_answer(
        Instant::from_secs(200),
        APP,
        &api,
        &[ip("93.184.216.36")],
        Instant::from_secs(200),
    );
    assert_eq!(
        gate.decide(Instant::from_secs(200), APP, &connect("93.184.216.36:443"))
            .unwrap_err()
            .reason
            .as_str(),
        "not-permitted"
    );
}

#[test]
fn a_changed_policy_ends_what_it_no_longer_allows_and_nothing_else() {
    let mut gate = Setup::connect(&["api.example.com:443", "public:80"])
        .yes()
        .gate();
    let api = name("api.example.com");
    answer(&mut gate, &api, "93.184.216.34", 60);
    let by_name = connect_by(&api, "93.184.216.34:443");
    let by_address = connect("93.184.216.34:80");
    let named = gate.decide(Instant::ZERO, APP, &by_name).unwrap().stamp();
    let plain = gate
        .decide(Instant::ZERO, APP, &by_address)
        .unwrap()
        .stamp();
    assert!(gate.is_current(named) && gate.is_current(plain));
    let policy = Policy::parse(
        &rule("no-80", "forbid", CONNECT, &["public:80"]),
        "policy.toml",
    )
    .unwrap();
    // Long after the answer is over: that ends no connection.
    let later = Instant::from_secs(1_000);
    gate.set_policies(later, WALL, Policy::none(), policy);
    assert!(!gate.is_current(named) && !gate.is_current(plain));
    let named = gate.judge_again(later, named, &by_name).unwrap();
    assert!(gate.is_current(named));
    let denial = gate.judge_again(later, plain, &by_address).unwrap_err();
    assert_eq!(denial.reason.as_str(), "revoked");
    // A stamp is for its own capability.
    let act = Act::UdpSend {
        remote: addr("93.184.216.34:443"),
        name: Some(&api),
    };
    assert!(gate.judge_again(later, named, &act).is_err());
}

#[test]
fn a_rule_ends_when_its_time_is_over() {
    let mut app = Setup::connect(&["public:443"]);
    app.operator =
        rule("hour", "allow", CONNECT, &["public:443"]) + "expires = \"2026-11-22T01:00:00Z\"\n";
    let mut gate = app.gate();
    let hour = Instant::from_secs(3_600);
    assert_eq!(gate.poll_timeout(), Some(hour));
    let act = connect("93.184.216.34:443");
    let stamp = gate.decide(Instant::ZERO, APP, &act).unwrap().stamp();
    gate.handle_timeout(Instant::from_secs(3_599));
    assert!(gate.is_current(stamp));
    gate.handle_timeout(hour);
    assert!(!gate.is_current(stamp));
    assert_eq!(gate.poll_timeout(), None);
    assert_eq!(
        gate.judge_again(hour, stamp, &act)
            .unwrap_err()
            .reason
            .as_str(),
        "revoked"
    );
    // `decide` alone notices as well, and an ended forbid ends too.
    let mut app = Setup::connect(&["public:443"]).yes();
    app.operator =
        rule("hour", "forbid", CONNECT, &["public:443"]) + "expires = \"2026-11-22T01:00:00Z\"\n";
    let mut gate = app.gate();
    assert!(
        gate.decide(Instant::from_nanos(hour.as_nanos() - 1), APP, &act)
            .is_err()
    );
    assert!(gate.decide(hour, APP, &act).is_ok());
    // Over before it began.
    app.operator =
        rule("past", "allow", CONNECT, &["public:443"]) + "expires = \"2020-01-01T00:00:00Z\"\n";
    app.allow_manifest = false;
    assert_eq!(app.reason(&act), "expired");
}

#[test]
fn an_instance_that_ended_has_nothing() {
    let mut gate = Setup::connect(&["public:443"]).yes().gate();
    let act = connect("93.184.216.34:443");
    let stamp = gate.decide(Instant::ZERO, APP, &act).unwrap().stamp();
    gate.end(APP);
    let denial = gate.decide(Instant::ZERO, APP, &act).unwrap_err();
    assert_eq!(
        (denial.reason.as_str(), denial.fixes.len()),
        ("not-granted", 0)
    );
    assert!(gate.judge_again(Instant::ZERO, stamp, &act).is_err());
    assert!(gate.decide(Instant::ZERO, InstanceId(99), &act).is_err());
}

/// Goal: an ask about a name, and a person's no, hold for who dials the address that the name led to, as a forbid does;
/// and not for who says another name of that address. Method: each of the three over an allow of the internet.
#[test]
fn reject_an_ask_passed_by_dialling_the_address() {
    let evil = name("evil.example.com");
    let good = name("good.example.com");
    let to = "93.184.216.34:443";
    let asks = ["public:443", "evil.example.com:443", "good.example.com:443"];
    let allowed = || Setup::connect(&asks).operator("allow", CONNECT, &["public:443"]);
    let said = Setup::connect(&asks)
        .said(true, "public:443")
        .said(true, "good.example.com:443")
        .said(false, "evil.example.com:443");
    for (setup, reason) in [
        (
            allowed().operator("forbid", CONNECT, &["evil.example.com:443"]),
            "operator-denied",
        ),
        (
            allowed().operator("ask", CONNECT, &["evil.example.com:443"]),
            "consent-required",
        ),
        (said, "consent-denied"),
    ] {
        let mut gate = setup.gate();
        let answered = |gate: &mut nexus_policy::Gate, act: &Act<'_>| {
            let decided = gate.decide(Instant::ZERO, APP, act);
            decided.map_or_else(|denial| denial.reason.as_str(), |_| "allowed")
        };
        assert_eq!(answered(&mut gate, &connect(to)), "allowed");
        answer(&mut gate, &evil, "93.184.216.34", 60);
        answer(&mut gate, &good, "93.184.216.34", 60);
        assert_eq!(answered(&mut gate, &connect(to)), reason);
        assert_eq!(answered(&mut gate, &connect_by(&evil, to)), reason);
        assert_eq!(answered(&mut gate, &connect_by(&good, to)), "allowed");
    }
}
