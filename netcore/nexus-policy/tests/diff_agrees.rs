//! Where two policies are said not to differ, no act is judged otherwise by one than by the other.
//!
//! Pairs of small policies are made at random from words that overlap a lot; every act of a list is
//! judged by a gate of each, with a person's yes and without. If any answer differs, the comparison
//! must have found a difference.

mod common;

use common::policies::{Requests, policy, policy_of_requests};
use common::{APP, WALL, answer, connect, connect_by, identity, name};
use nexus_policy::{Act, Consent, Gate, Manifest, Policy, PolicyDiff, RefusedBy, Topology};
use nexus_types::Instant;
use proptest::prelude::*;

const MANIFEST: &str = "[app]\nid = \"com.example.weather\"\n[capabilities.\"network.tcp.connect\"]\n\
    allow = [\"public:*\", \"lan:*\", \"a.example:*\", \"*.a.example:*\"]\n\
    [capabilities.\"network.http.request\"]\n\
    allow = [\"https://public\", \"https://lan\", \"https://a.example\", \"http://a.example\", \
    \"https://a.example:80\", \"https://*.a.example\"]\n";

/// Without a person's yes, and with it.
type Gates = [Gate; 2];

fn gates(policy: &Policy) -> Gates {
    [false, true].map(|allow_manifest| {
        let mut gate = Gate::new(Topology::default());
        gate.set_policies(Instant::ZERO, WALL, Policy::none(), policy.clone());
        let manifest = Manifest::parse(MANIFEST, "nexus.toml").unwrap();
        let consent = Consent {
            allow_manifest,
            ..Consent::default()
        };
        gate.admit(Instant::ZERO, APP, identity(), manifest, consent, &[])
            .unwrap_or_else(|report| panic!("{}", report.text()));
        for (host, address) in [
            ("a.example", "93.184.216.34"),
            ("a.example", "10.1.2.4"),
            ("a.example", "10.1.2.3"),
            ("b.a.example", "1.2.3.4"),
        ] {
            answer(&mut gate, &name(host), address, 60);
        }
        gate
    })
}

/// What a policy says of an act, in the words of the comparison: allowed, asked, closed, forbidden.
fn level(gates: &mut Gates, act: &Act<'_>) -> u8 {
    let [without, with] = gates.each_mut().map(|gate| {
        let judged = gate.decide(Instant::ZERO, APP, act);
        judged.map_err(|denial| denial.refused_by)
    });
    match (without, with) {
        (Ok(_), _) => 3,
        (_, Ok(_)) => 2,
        (_, Err(RefusedBy::Operator { .. })) => 0,
        _ => 1,
    }
}

/// Goal: an ask (or a forbid) of a network catches addresses of every class in it, and the comparison says so.
/// Method: an allow of `lan`, and an ask of all of IPv4 added to it, which as an allow would be the internet alone.
#[test]
fn an_ask_of_a_network_is_about_every_class_in_it() {
    let lan = common::rule("lan", "allow", "network.tcp.connect", &["lan:1-443"]);
    let ask = common::rule("ask", "ask", "network.tcp.connect", &["0.0.0.0/0:443"]);
    let old = Policy::parse(&lan, "policy.toml").unwrap();
    let new = Policy::parse(&format!("{lan}{ask}"), "policy.toml").unwrap();
    let act = connect("10.1.2.3:443");
    assert_ne!(level(&mut gates(&old), &act), level(&mut gates(&new), &act));
    let diff = PolicyDiff::of(&old, &new, WALL);
    assert!(!diff.is_empty());
}

/// Goal: methods that are put together or apart are no difference. Method: one rule for two, and one for each.
#[test]
fn methods_together_are_those_apart() {
    let of = |texts: &[&str]| {
        let texts = common::rule("r", "allow", "network.http.request", texts);
        Policy::parse(&texts, "policy.toml").unwrap()
    };
    let together = of(&["GET,POST https://a.example/v1/*"]);
    let apart = of(&["GET https://a.example/v1/*", "POST https://a.example/v1/*"]);
    assert!(PolicyDiff::of(&together, &apart, WALL).is_empty());
    let more = of(&["GET,POST,PUT,DELETE https://a.example/v1/*"]);
    let diff = PolicyDiff::of(&together, &more, WALL);
    assert_eq!(diff.changes[0].to, ["PUT,DELETE https://a.example/v1/*"]);
    assert_eq!((diff.wider(), diff.narrower()), (1, 0));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_difference_is_no_difference(old in policy(), new in policy()) {
        let diff = PolicyDiff::of(&old, &new, WALL);
        let (a, below) = (name("a.example"), name("b.a.example"));
        let mut acts = Vec::new();
        for port in [80, 90, 100, 443, 8080] {
            for ip in ["10.1.2.3", "10.200.0.1", "192.168.0.1", "8.8.8.8"] {
                acts.push(connect(&format!("{ip}:{port}")));
            }
            acts.push(connect_by(&a, &format!("93.184.216.34:{port}")));
            acts.push(connect_by(&a, &format!("10.1.2.4:{port}")));
            acts.push(connect_by(&below, &format!("1.2.3.4:{port}")));
        }
        let [mut a_gates, mut b_gates] = [gates(&old), gates(&new)];
        let differs = acts.iter().find(|act| level(&mut a_gates, act) != level(&mut b_gates, act));
        if diff.is_empty() {
            prop_assert_eq!(differs, None);
        }
        // The other way holds where nothing is said as "may": a policy never differs from itself.
        prop_assert!(PolicyDiff::of(&old, &old, WALL).is_empty());
        let back = PolicyDiff::of(&new, &old, WALL);
        prop_assert_eq!(back.is_empty(), diff.is_empty());
    }
    /// The same of requests.
    #[test]
    fn no_difference_is_no_difference_of_requests(
        old in policy_of_requests(),
        new in policy_of_requests(),
    ) {
        let diff = PolicyDiff::of(&old, &new, WALL);
        let requests = Requests::default();
        let acts = requests.acts();
        let [mut a_gates, mut b_gates] = [gates(&old), gates(&new)];
        let differs = acts.iter().find(|act| level(&mut a_gates, act) != level(&mut b_gates, act));
        if diff.is_empty() {
            prop_assert_eq!(differs, None);
        }
        prop_assert!(PolicyDiff::of(&old, &old, WALL).is_empty());
        prop_assert_eq!(PolicyDiff::of(&new, &old, WALL).is_empty(), diff.is_empty());
    }
}
