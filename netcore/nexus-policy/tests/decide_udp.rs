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
