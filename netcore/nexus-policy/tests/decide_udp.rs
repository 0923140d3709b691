//! Acts of UDP that name no far end, or that answer one.

mod common;

use common::{APP, Setup, addr};
use nexus_policy::{Act, RefusedBy};
use nexus_types::Instant;

const UDP: &str = "network.udp.send";

#[test]
fn a_socket_opens_where_some_sending_could_be_allowed() {
    for granted in [
        Setup::asks("app", &[(UDP, &["1.2.3.4:53"])]).yes(),
        Setup::asks("app", &[(UDP, &["1.2.3.4:53"])]).operator("allow", UDP, &["1.2.3.4:53"]),
        Setup::asks("app", &[(UDP, &["public:53"])]).operator("allow", UDP, &["1.2.3.4:*"]),
        Setup::asks("app", &[]).allow("network.udp.send=1.2.3.4:53"),
        // Forbidden in part.
        Setup::asks("app", &[(UDP, &["public:53"])]).yes().operator(
            "forbid",
            UDP,
            &["1.2.3.0/24:*"],
        ),
        // Asked about, and answered.
        Setup::asks("app", &[(UDP, &["1.2.3.4:53"])])
            .yes()
            .operator("ask", UDP, &[]),
    ] {
        assert_eq!(
            granted.reason(&Act::UdpOpen),
            "allowed",
            "{}",
            granted.operator
        );
    }
}

#[test]
fn reject_a_socket_that_could_send_nowhere() {
    let asked = || Setup::asks("app", &[(UDP, &["1.2.3.4:53"])]);
    for (setup, reason) in [
        (Setup::connect(&["public:443"]).yes(), "not-granted"),
        (asked(), "consent-required"),
        (asked().operator("ask", UDP, &[]), "consent-required"),
        // What the operator allows is another place.
        (
            asked().operator("allow", UDP, &["8.8.8.8:53"]),
            "consent-required",
        ),
        (
            asked().operator("allow", UDP, &["1.2.3.4:54"]),
            "consent-required",
        ),
        (
            asked().yes().operator("forbid", UDP, &[]),
            "operator-denied",
        ),
        (
            asked().yes().operator("forbid", UDP, &["1.2.3.4:*"]),
            "operator-denied",
        ),
        (
            asked()
                .allow("network.udp.send=1.2.3.4:53")
                .machine("forbid", UDP, &["public:*"]),
            "operator-denied",
        ),
    ] {
        assert_eq!(setup.reason(&Act::UdpOpen), reason, "{}", setup.operator);
    }
}

/// The optional capabilities of one app, none granted: each act that opens something is refused.
#[test]
fn reject_what_is_optional_and_not_granted() {
    let capabilities = [
        ("network.tcp.listen", "any:*"),
        (UDP, "public:53"),
        ("network.udp.bind", "any:*"),
    ];
    let mut setup = Setup::asks("system", &[]);
    for (capability, rule) in capabilities {
        setup.manifest +=
            &format!("\n[capabilities.\"{capability}\"]\noptional = true\nallow = [\"{rule}\"]\n");
    }
    let local = addr("0.0.0.0:8080");
    assert_eq!(setup.reason(&Act::Listen { local }), "operator-denied");
    assert_eq!(setup.reason(&Act::UdpBind { local }), "operator-denied");
    assert_eq!(setup.reason(&Act::UdpOpen), "consent-required");
}

#[test]
fn a_refused_socket_says_who_refused_and_suggests_what_the_app_asks() {
    let setup = Setup::asks("app", &[(UDP, &["1.2.3.4:53"])]);
    let denial = setup.decide(&Act::UdpOpen).unwrap_err();
    assert_eq!(denial.refused_by, RefusedBy::Default);
    let text = nexus_policy::render(&denial, &common::identity());
    assert!(
        text.contains("anywhere") && text.contains("--allow-manifest"),
        "{text}"
    );
    assert!(text.contains("\"1.2.3.4:53\""), "{text}");
}

#[test]
fn an_ended_rule_closes_what_it_opened() {
    let setup = Setup {
        operator: common::rule("r", "allow", UDP, &["1.2.3.4:53"])
            .replace("verdict", "expires = \"2026-11-22T00:01:00Z\"\nverdict"),
        ..Setup::asks("app", &[(UDP, &["1.2.3.4:53"])])
    };
    let mut gate = setup.gate();
    let stamp = gate
        .decide(Instant::from_secs(59), APP, &Act::UdpOpen)
        .unwrap()
        .stamp();
    let denial = gate
        .judge_again(Instant::from_secs(60), stamp, &Act::UdpOpen)
        .unwrap_err();
    assert_eq!(denial.reason.as_str(), "revoked");
    let denial = gate
        .decide(Instant::from_secs(60), APP, &Act::UdpOpen)
        .unwrap_err();
    assert_eq!(denial.reason.as_str(), "expired");
}

const BIND: &str = "network.udp.bind";

/// A server that may bind, and asks for no sending.
fn server() -> Setup {
    Setup::asks("system", &[(BIND, &["any:53"])]).operator("allow", BIND, &["any:53"])
}

#[test]
fn whom_a_bound_socket_has_heard_it_may_answer() {
    for remote in ["8.8.8.8:4000", "10.1.2.3:4000", "[fd12::1]:1"] {
        let act = Act::UdpAnswer {
            remote: addr(remote),
        };
        for setup in [
            server(),
            // Only a forbid is a no, and only where it covers the far end.
            server().operator("ask", UDP, &[]),
            server().operator("forbid", UDP, &["8.8.8.8:53", "8.8.4.4:*"]),
            server().operator("forbid", "network.tcp.connect", &[]),
        ] {
            assert_eq!(setup.reason(&act), "allowed", "{remote} {}", setup.operator);
        }
    }
}

#[test]
fn reject_an_answer_that_a_written_forbid_covers() {
    for remote in ["10.1.2.3:4000", "[::ffff:10.1.2.3]:4000"] {
        let act = Act::UdpAnswer {
            remote: addr(remote),
        };
        for setup in [
            server().operator("forbid", UDP, &["10.0.0.0/8:*"]),
            server().operator("forbid", UDP, &["lan:4000"]),
            server().operator("forbid", UDP, &[]),
            server().machine("forbid", UDP, &["10.1.2.3:*"]),
            // Nothing else lifts it.
            server()
                .operator("allow", UDP, &["lan:*"])
                .allow("network.udp.send=10.1.2.3:4000")
                .machine("forbid", UDP, &["lan:*"]),
        ] {
            let denial = setup.decide(&act).unwrap_err();
            assert_eq!(denial.reason.as_str(), "operator-denied", "{remote}");
            assert!(matches!(denial.refused_by, RefusedBy::Operator { .. }));
            assert!(denial.fixes.is_empty(), "{:?}", denial.fixes);
        }
    }
}

#[test]
fn reject_an_answer_to_an_address_that_has_a_forbidden_name() {
    let setup = server().operator("forbid", UDP, &["bad.example.com:*"]);
    let (bad, remote) = (common::name("bad.example.com"), addr("8.8.8.8:4000"));
    let mut gate = setup.gate();
    let (now, until) = (Instant::ZERO, Instant::from_secs(60));
    let act = Act::UdpAnswer { remote };
    assert!(gate.decide(now, APP, &act).is_ok());
    gate.bind_answer(now, APP, &bad, &[remote.ip()], until);
    let denial = gate.decide(now, APP, &act).unwrap_err();
    assert_eq!(denial.reason.as_str(), "operator-denied");
    assert!(
        gate.decide(until, APP, &act).is_ok(),
        "the name's time is over"
    );
}

#[test]
fn reject_an_answer_of_an_app_that_may_not_bind() {
    let setup = Setup::asks("app", &[(UDP, &["8.8.8.8:53"])]).yes();
    let remote = addr("8.8.8.8:4000");
    assert_eq!(setup.reason(&Act::UdpAnswer { remote }), "not-granted");
}
