//! Every decision is recorded before it is answered, once, and what cannot be recorded is refused where it must be.

mod common;

use std::sync::{Arc, Mutex};

use common::{APP, Setup, addr, connect, connect_by, name, rule};
use nexus_policy::{Act, Auditor, Entry, Gate, Mode, Policy, Unrecorded};
use nexus_types::Instant;

const CONNECT: &str = "network.tcp.connect";
const TO: &str = "93.184.216.34:443";

#[derive(Clone, Default)]
struct Records(Arc<Mutex<(Vec<String>, bool)>>);

impl Auditor for Records {
    fn record(&mut self, _: Instant, entry: &Entry<'_>) -> Result<(), Unrecorded> {
        let mut kept = self.0.lock().unwrap();
        if kept.1 {
            return Err(Unrecorded);
        }
        let target = entry.target.map(ToString::to_string).unwrap_or_default();
        let capability = entry.capability.map_or("-", |c| c.as_str());
        let rule = entry.rule.unwrap_or("-");
        kept.0.push(format!(
            "{} {capability} {target} {} {rule} {}",
            entry.verdict.as_str(),
            entry.reason,
            entry.source
        ));
        Ok(())
    }
}

fn recorded(gate: &mut Gate) -> Records {
    let records = Records::default();
    gate.set_auditor(Box::new(records.clone()));
    records
}

impl Records {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().0)
    }
}

/// What a mode let pass is told from what somebody granted, with the reason that would have refused it.
#[test]
fn what_a_mode_lets_pass_is_recorded_with_its_reason() {
    let asked = Setup::connect(&["10.0.0.0/8:80"]);
    let mut gate = asked.mode(Mode::Observe).gate();
    let records = recorded(&mut gate);
    for (to, reason) in [
        (TO, "not-permitted"),
        ("10.1.2.3:80", "consent-required"),
        ("192.168.1.1:80", "blocked-range"),
    ] {
        assert!(gate.decide(Instant::ZERO, APP, &connect(to)).is_ok());
        let record = format!("allow {CONNECT} {to} {reason} - --mode");
        assert_eq!(records.take(), [record]);
    }
}

/// Goal: each decision leaves one record that says whose word it was.
#[test]
fn a_decision_leaves_one_record() {
    let host = name("api.example.com");
    let mut gate = Setup::connect(&[TO, "10.1.2.3:80", "10.9.9.9:9", "api.example.com:1"])
        .said(true, TO)
        .said(false, "10.9.9.9:9")
        .operator("allow", CONNECT, &["10.1.2.3:80"])
        .operator("forbid", CONNECT, &["1.1.1.1:1"])
        .allow("network.tcp.connect=10.4.4.4:4")
        .gate();
    let records = recorded(&mut gate);
    let mut told = |act: &Act<'_>| {
        let _ = gate.decide(Instant::ZERO, APP, act);
        records.take().join("\n")
    };
    let allow = "allow network.tcp.connect";
    let deny = "deny network.tcp.connect";
    assert_eq!(told(&connect(TO)), format!("{allow} {TO}  a-0 consent"));
    assert_eq!(
        told(&connect("10.1.2.3:80")),
        format!("{allow} 10.1.2.3:80  rule-0 policy.toml:1")
    );
    assert_eq!(
        told(&connect("10.4.4.4:4")),
        format!("{allow} 10.4.4.4:4  - --allow")
    );
    assert_eq!(
        told(&connect("1.1.1.1:1")),
        format!("{deny} 1.1.1.1:1 operator-denied rule-1 policy.toml:7")
    );
    assert_eq!(
        told(&connect("10.9.9.9:9")),
        format!("{deny} 10.9.9.9:9 consent-denied a-1 consent")
    );
    assert_eq!(
        told(&connect("8.8.8.8:8")),
        format!("{deny} 8.8.8.8:8 not-permitted - manifest")
    );
    assert_eq!(
        told(&connect_by(&host, "8.8.8.8:1")),
        format!("{deny} api.example.com:1 -> 8.8.8.8 expired - manifest")
    );
}

/// Goal: of the addresses of one name, a refusal is one. Method: two that are refused, and one of two.
#[test]
fn the_addresses_of_a_name_are_refused_once() {
    let mut gate = Setup::connect(&[TO]).yes().gate();
    let records = recorded(&mut gate);
    let refused = [connect("1.1.1.1:1"), connect("1.1.1.2:1")];
    assert!(gate.decide_some(Instant::ZERO, APP, refused).is_err());
    assert_eq!(records.take().len(), 1);
    let one = [connect("1.1.1.1:1"), connect(TO)];
    assert_eq!(gate.decide_some(Instant::ZERO, APP, one).unwrap().len(), 1);
    assert_eq!(records.take().len(), 1);
}

/// Goal: what no longer stands is recorded as revoked, what goes on is not recorded again.
#[test]
fn an_end_is_recorded() {
    let mut gate = Setup::connect(&[TO, "10.1.2.3:80"]).yes().gate();
    let records = recorded(&mut gate);
    let stamp = |gate: &mut Gate, to| {
        gate.decide(Instant::ZERO, APP, &connect(to))
            .unwrap()
            .stamp()
    };
    let (ends, stays) = (stamp(&mut gate, TO), stamp(&mut gate, "10.1.2.3:80"));
    records.take();
    let policy = Policy::parse(&rule("no", "forbid", CONNECT, &[TO]), "policy.toml").unwrap();
    gate.set_policies(Instant::ZERO, common::WALL, Policy::none(), policy);
    assert!(
        gate.judge_again(Instant::ZERO, stays, &connect("10.1.2.3:80"))
            .is_ok()
    );
    assert!(gate.judge_again(Instant::ZERO, ends, &connect(TO)).is_err());
    assert_eq!(
        records.take(),
        [format!(
            "revoke network.tcp.connect {TO} revoked no policy.toml:1"
        )]
    );
}

/// Goal: fail closed where it matters. Method: a log that takes nothing; a capability of each kind.
#[test]
fn reject_a_sensitive_act_that_cannot_be_recorded() {
    let mut gate = Setup::asks(
        "system",
        &[(CONNECT, &[TO]), ("network.tcp.listen", &["any:80"])],
    )
    .yes()
    .operator("allow", "network.tcp.listen", &["any:80"])
    .gate();
    let records = recorded(&mut gate);
    records.0.lock().unwrap().1 = true;
    assert!(gate.decide(Instant::ZERO, APP, &connect(TO)).is_ok());
    let local = addr("0.0.0.0:80");
    let denial = gate
        .decide(Instant::ZERO, APP, &Act::Listen { local })
        .unwrap_err();
    assert_eq!(denial.reason.as_str(), "unrecorded");
    assert_eq!(denial.reason.code().as_str(), "unavailable");
    assert!(denial.fixes.is_empty());
    // It goes on as soon as it can be.
    records.0.lock().unwrap().1 = false;
    assert!(
        gate.decide(Instant::ZERO, APP, &Act::Listen { local })
            .is_ok()
    );
}
