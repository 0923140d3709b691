//! What `check` says of a rule before the app runs is what the gate does with each act of that rule.
//!
//! An app that asks for one rule, under a policy made at random, on a network with addresses of its own. Granted must
//! mean that no act of the rule is refused, and denied (or left to a person who was not asked) that none is let
//! through. Granted in part says neither.

mod common;

use common::policies::{LED, Requests, TARGETS, URLS, policy, policy_of_requests};
use common::{APP, Setup, WALL, answer, connect, connect_by, identity, name, topology};
use nexus_policy::admission::Standing;
use nexus_policy::{Act, Gate, Policy};
use nexus_types::{HostName, Instant};
use proptest::prelude::*;
use proptest::sample::select;

const MORE: [&str; 6] = [
    "lan:443",
    "loopback:80",
    "link-local:*",
    "host.internal:443",
    "[fd00::/8]:443",
    "[::/0]:1-500",
];

const ADDRESSES: [&str; 11] = [
    "10.1.2.3",
    "10.1.2.4",
    "10.200.0.1",
    "10.0.2.2",
    "10.0.2.15",
    "192.168.0.1",
    "8.8.8.8",
    "93.184.216.34",
    "127.0.0.1",
    "[fd00::1]",
    "[2600::1]",
];

const NAMED: [(&str, &str); 4] = [
    ("a.example", "93.184.216.34"),
    ("a.example", "10.1.2.4"),
    ("b.a.example", "1.2.3.4"),
    ("host.internal", "10.0.2.2"),
];

fn gate(setup: &Setup, policy: &Policy) -> Gate {
    let mut gate = Gate::new(topology());
    gate.set_policies(Instant::ZERO, WALL, Policy::none(), policy.clone());
    // What is refused as a whole has no rule to judge acts by, and cannot be asked about them.
    let admitted = gate.admit(
        Instant::ZERO,
        APP,
        identity(),
        setup.manifest(),
        setup.consent(),
        &[],
    );
    if admitted.is_ok() {
        for (host, address) in NAMED {
            answer(&mut gate, &name(host), address, 60);
        }
    }
    gate
}

fn acts(names: &[HostName; NAMED.len()]) -> Vec<Act<'_>> {
    let mut acts = Vec::new();
    for port in [80, 90, 100, 443, 8_080] {
        acts.extend(ADDRESSES.map(|ip| connect(&format!("{ip}:{port}"))));
        for (name, (_, address)) in names.iter().zip(NAMED) {
            acts.push(connect_by(name, &format!("{address}:{port}")));
        }
    }
    acts
}

fn led(gate: &mut Gate) {
    for (host, address) in LED {
        answer(gate, &name(host), address, 60);
    }
}

/// A manifest cannot ask for all names below a public suffix.
fn rules() -> Vec<&'static str> {
    let mut rules: Vec<_> = TARGETS.into_iter().chain(MORE).collect();
    rules.retain(|rule| !rule.starts_with("*.example:"));
    rules
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn what_check_says_is_what_decide_does(
        rule in select(rules()),
        policy in policy(),
        yes: bool,
    ) {
        let mut setup = Setup::connect(&[rule]);
        setup.allow_manifest = true;
        let names = NAMED.map(|(host, _)| name(host));
        // The acts of the rule: what it gives where nobody else says anything.
        let mut alone = gate(&setup, &Policy::none());
        let mut given = acts(&names);
        given.retain(|act| alone.decide(Instant::ZERO, APP, act).is_ok());
        setup.allow_manifest = yes;
        let mut gate = gate(&setup, &policy);
        let report = gate.examine(
            Instant::ZERO, &identity(), &setup.manifest(), &setup.consent(), &[],
        );
        let standing = report.capabilities[0].rules[0].standing;
        for act in &given {
            let answer = gate.decide(Instant::ZERO, APP, act).map_err(|denial| denial.reason);
            match standing {
                Standing::Granted => prop_assert!(answer.is_ok(), "{rule} is granted: {act:?}: {answer:?}"),
                Standing::Narrowed => {}
                _ => prop_assert!(answer.is_err(), "{rule} is {standing:?}: {act:?} is allowed"),
            }
        }
    }
    /// The same of requests, and of the machine's name.
    #[test]
    fn what_check_says_of_requests_is_what_decide_does(
        rule in select(URLS.to_vec()),
        policy in policy_of_requests(),
        yes: bool,
        given in proptest::option::weighted(0.2, select(URLS.to_vec())),
    ) {
        let mut setup = Setup::requests(&[rule]);
        setup.allow_manifest = true;
        let requests = Requests::default();
        let mut alone = gate(&setup, &Policy::none());
        led(&mut alone);
        let mut acts = requests.acts();
        // Names do not lead to the lan, whatever is said of them.
        acts.retain(|act| alone.decide(Instant::ZERO, APP, act).is_ok());
        setup.allow_manifest = yes;
        setup.allow = given.iter().map(|rule| format!("network.http.request={rule}")).collect();
        let mut gate = gate(&setup, &policy);
        led(&mut gate);
        let report = gate.examine(
            Instant::ZERO, &identity(), &setup.manifest(), &setup.consent(), &[],
        );
        let standing = report.capabilities[0].rules[0].standing;
        for act in &acts {
            let answer = gate.decide(Instant::ZERO, APP, act).map_err(|denial| denial.reason);
            match standing {
                Standing::Granted => prop_assert!(answer.is_ok(), "{rule} is granted: {act:?}: {answer:?}"),
                Standing::Narrowed => {}
                // What `--allow` gives is told of by itself.
                _ => prop_assert!(answer.is_err() || given.is_some(), "{rule} is {standing:?}: {act:?} is allowed"),
            }
        }
    }
}
