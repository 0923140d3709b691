//! What persons say: yes answers `ask`, no holds against yes, neither reaches past what is written.

mod common;

use common::{APP, Setup, TCP, WALL, connect, identity, person_said};
use nexus_policy::{Admission, Consent, WallTime};
use nexus_types::Instant;

const CONNECT: &str = "network.tcp.connect";
const TO: &str = "93.184.216.34:443";
const LAN: &str = "10.1.2.3:80";

/// Goal: an answer is about the rule that was asked about, and nothing else. Method: one rule of two answered.
#[test]
fn a_yes_is_for_its_rule_alone() {
    let setup = Setup::connect(&[TO, LAN]).said(true, TO);
    assert_eq!(setup.reason(&connect(TO)), "allowed");
    assert_eq!(setup.reason(&connect(LAN)), "consent-required");
}

/// Goal: consent answers `ask` and nothing else. Method: a yes against each thing that is no ask.
#[test]
fn reject_a_yes_past_what_is_written_or_asked() {
    // A written forbid, and one of a part of it.
    let forbidden = Setup::connect(&[TO]).said(true, TO);
    assert_eq!(
        forbidden
            .clone()
            .operator("forbid", CONNECT, &[TO])
            .reason(&connect(TO)),
        "operator-denied"
    );
    // A rule the manifest does not ask for: also one that would widen what it asks.
    let wider = Setup::connect(&[TO]).said(true, "93.184.216.0/24:443");
    assert_eq!(wider.reason(&connect("93.184.216.35:443")), "not-permitted");
    assert_eq!(wider.reason(&connect(TO)), "consent-required");
    // A system-class capability that nobody wrote about.
    let act = nexus_policy::Act::Listen {
        local: common::addr("0.0.0.0:80"),
    };
    let mut listen = Setup::asks("system", &[("network.tcp.listen", &["any:80"])]);
    listen.answers = vec![nexus_policy::Answer {
        capability: nexus_policy::Capability::NetworkTcpListen,
        rule: nexus_policy::Rule::parse(nexus_policy::Capability::NetworkTcpListen, "any:80")
            .unwrap(),
        ..person_said("a", true, TO)
    }];
    assert_eq!(listen.reason(&act), "operator-denied");
    // Left to a person in writing, it is answered.
    assert_eq!(
        listen
            .operator("ask", "network.tcp.listen", &["any:80"])
            .reason(&act),
        "allowed"
    );
    // A metadata service.
    let metadata = "169.254.169.254:80";
    assert_eq!(
        Setup::connect(&[metadata])
            .said(true, metadata)
            .reason(&connect(metadata)),
        "operator-denied"
    );
}

/// Goal: a no holds against a yes about the same target, and not against what is said for this run.
#[test]
fn a_no_holds_against_a_yes() {
    let setup = Setup::connect(&[TO, "93.184.216.0/24:443"])
        .said(true, "93.184.216.0/24:443")
        .said(false, TO);
    assert_eq!(setup.reason(&connect("93.184.216.35:443")), "allowed");
    let denial = setup.decide(&connect(TO)).unwrap_err();
    assert_eq!(denial.reason.as_str(), "consent-denied");
    let text = nexus_policy::render(&denial, &identity());
    assert!(text.contains("answer `a-1`"), "{text}");
    assert!(text.contains("consent revoke a-1"), "{text}");
    assert_eq!(setup.clone().yes().reason(&connect(TO)), "allowed");
    // The operator's own word needs no person.
    assert_eq!(
        setup.operator("allow", CONNECT, &[TO]).reason(&connect(TO)),
        "allowed"
    );
}

/// Goal: an answer ends with its time, and the epoch with it. Method: one second before, and at it.
#[test]
fn an_answer_ends_with_its_time() {
    let mut setup = Setup::connect(&[TO]).said(true, TO);
    setup.answers[0].expires = Some(WallTime(WALL.0 + 60));
    let mut gate = setup.gate();
    let epoch = gate.epoch();
    assert!(
        gate.decide(Instant::from_secs(59), APP, &connect(TO))
            .is_ok()
    );
    assert_eq!(gate.poll_timeout(), Some(Instant::from_secs(60)));
    let denial = gate
        .decide(Instant::from_secs(60), APP, &connect(TO))
        .unwrap_err();
    assert_eq!(denial.reason.as_str(), "consent-required");
    assert_ne!(gate.epoch(), epoch);
    assert_eq!(gate.poll_timeout(), None);
}

/// Goal: an answer ends although something else is noticed first. Method: a policy is read when its time is over, before
/// anybody has asked the gate the time.
#[test]
fn an_answer_ends_when_a_policy_is_read_after_its_time() {
    let mut setup = Setup::connect(&[TO]).said(true, TO);
    setup.answers[0].expires = Some(WallTime(WALL.0 + 60));
    let mut gate = setup.gate();
    let (later, wall) = (Instant::from_secs(61), WallTime(WALL.0 + 61));
    let none = nexus_policy::Policy::none;
    gate.set_policies(later, wall, none(), none());
    let denial = gate.decide(later, APP, &connect(TO)).unwrap_err();
    assert_eq!(denial.reason.as_str(), "consent-required");
}

/// Goal: what a person takes back ends what is open. Method: a handle judged again after `set_consent`.
#[test]
fn what_is_taken_back_is_revoked() {
    let setup = Setup::connect(&[TO, LAN]).said(true, TO).said(true, LAN);
    let mut gate = setup.gate();
    let stamp = |gate: &mut nexus_policy::Gate, to| {
        gate.decide(Instant::ZERO, APP, &connect(to))
            .unwrap()
            .stamp()
    };
    let (ends, stays) = (stamp(&mut gate, TO), stamp(&mut gate, LAN));
    let consent = Consent {
        answers: vec![person_said("a-1", true, LAN)],
        ..Consent::default()
    };
    gate.set_consent(Instant::ZERO, APP, consent);
    assert!(!gate.is_current(ends));
    let denial = gate
        .judge_again(Instant::ZERO, ends, &connect(TO))
        .unwrap_err();
    assert_eq!(denial.reason.as_str(), "revoked");
    assert!(
        gate.judge_again(Instant::ZERO, stays, &connect(LAN))
            .is_ok()
    );
}

fn examined(setup: &Setup) -> (Admission, Vec<String>) {
    let gate = setup.empty_gate();
    let (manifest, consent) = (setup.manifest(), setup.consent());
    let report = gate.examine(
        Instant::ZERO,
        &identity(),
        &manifest,
        &consent,
        &setup.imports,
    );
    let questions = gate.questions(
        Instant::ZERO,
        &identity(),
        &manifest,
        &consent,
        &setup.imports,
    );
    let questions = questions
        .iter()
        .map(|q| format!("{} {}", q.capability, q.rule));
    (report, questions.collect())
}

/// Goal: a person is asked what only a person can say, of what the app imports, once.
#[test]
fn questions_are_what_nobody_has_answered() {
    let setup = Setup::asks(
        "app",
        &[
            (CONNECT, &[TO, LAN, "a.example:80"]),
            ("network.udp.send", &["b.example:53"]),
        ],
    )
    .import("nexus:net/tcp-connect@0.1.0", &["connect"])
    .operator("allow", CONNECT, &["a.example:80"])
    .said(false, LAN);
    let (report, questions) = examined(&setup);
    assert!(report.admitted, "a.example is allowed");
    assert_eq!(questions, [format!("{TCP} {TO}")]);
    let (_, none) = examined(&setup.said(true, TO));
    assert!(none.is_empty());
}

/// Goal: nobody is asked in vain. Method: an app that could not start whatever is answered.
#[test]
fn reject_without_a_question_what_no_answer_would_start() {
    let setup = Setup::connect(&[TO])
        .import("nexus:net/tcp-connect@0.1.0", &["connect"])
        .import("wasi:nonsense/x@0.2.0", &["f"]);
    let (report, questions) = examined(&setup);
    assert!(!report.admitted);
    assert!(questions.is_empty());
}

/// Goal: an app that a person has said no to does not start, and the text says how to be asked again.
#[test]
fn reject_at_load_what_a_person_has_declined() {
    let setup = Setup::connect(&[TO])
        .import("nexus:net/tcp-connect@0.1.0", &["connect"])
        .said(false, TO);
    let (report, questions) = examined(&setup);
    assert!(!report.admitted && questions.is_empty());
    let text = report.text();
    assert!(text.contains("[consent-denied]"), "{text}");
    assert!(text.contains("nexus-host consent revoke a-0"), "{text}");
}
