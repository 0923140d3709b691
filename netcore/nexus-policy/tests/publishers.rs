//! Rules for all that a publisher has signed, and policies that require a signature.

mod common;

use common::{APP, Setup, TCP, WALL, connect, identity, publisher, topology};
use nexus_policy::{AppIdentity, Consent, Gate, Policy, PublisherKey};
use nexus_types::{AppDigest, Instant};

const TARGET: &str = "93.184.216.34:443";

fn policy(verdict: &str, key: PublisherKey) -> Policy {
    let text = format!(
        "[[rule]]\nid = \"r\"\napp = {{ publisher = \"{key}\" }}\ncapability = \"network.tcp.connect\"\n\
         verdict = \"{verdict}\"\nto = [\"public:443\"]\n"
    );
    Policy::parse(&text, "policy.toml").unwrap()
}

fn requires(keys: &[PublisherKey]) -> Policy {
    let listed = keys
        .iter()
        .enumerate()
        .map(|(n, key)| format!("[[publisher]]\nname = \"p{n}\"\nkey = \"{key}\"\n"));
    let text = format!("require-signature = true\n{}", listed.collect::<String>());
    Policy::parse(&text, "policy.toml").unwrap()
}

fn signed(by: Option<PublisherKey>, digest: u8) -> AppIdentity {
    AppIdentity {
        publisher: by,
        digest: AppDigest([digest; 32]),
        ..identity()
    }
}

fn gate(machine: Policy, operator: Policy) -> Gate {
    let mut gate = Gate::new(topology());
    gate.set_policies(Instant::ZERO, WALL, machine, operator);
    gate
}

/// Whether the app may start, and if so what a connection says.
fn connects(gate: &mut Gate, app: AppIdentity, consent: bool) -> Option<&'static str> {
    let consent = Consent {
        allow_manifest: consent,
        ..Consent::default()
    };
    let manifest = Setup::connect(&["public:443"]).manifest();
    gate.admit(Instant::ZERO, APP, app, manifest, consent, &[])
        .ok()?;
    Some(match gate.decide(Instant::ZERO, APP, &connect(TARGET)) {
        Ok(_) => "allowed",
        Err(denial) => denial.reason.as_str(),
    })
}

/// Goal: a rule for a publisher is about what that key signed, in every version, and about nothing
/// else. Method: allow and forbid, for two digests, another publisher, and an app nobody signed.
#[test]
fn a_publishers_rule_holds_for_every_version_and_for_nobody_else() {
    let (acme, other) = (publisher(1), publisher(2));
    for digest in [1, 2] {
        for (verdict, consent, by, says) in [
            ("allow", false, Some(acme), "allowed"),
            ("allow", false, Some(other), "consent-required"),
            ("allow", false, None, "consent-required"),
            ("forbid", true, Some(acme), "operator-denied"),
            ("forbid", true, Some(other), "allowed"),
            ("forbid", true, None, "allowed"),
            ("ask", false, Some(acme), "consent-required"),
        ] {
            let mut gate = gate(Policy::none(), policy(verdict, acme));
            let answer = connects(&mut gate, signed(by, digest), consent);
            assert_eq!(answer, Some(says), "{verdict} {by:?} {digest}");
        }
    }
}

/// Goal: a forbid for the publisher beats an allow for the app. Method: one in each file.
#[test]
fn reject_by_a_publishers_forbid_what_the_apps_own_rule_allows() {
    let acme = publisher(1);
    let app = signed(Some(acme), 1);
    let text = format!(
        "[[rule]]\nid = \"own\"\napp = {{ digest = \"{}\" }}\ncapability = \"network.tcp.connect\"\n\
         verdict = \"allow\"\nto = [\"public:443\"]\n",
        app.digest
    );
    let own = Policy::parse(&text, "p").unwrap();
    let mut both = gate(policy("forbid", acme), own.clone());
    assert_eq!(
        connects(&mut both, app.clone(), true),
        Some("operator-denied")
    );
    let mut alone = gate(Policy::none(), own);
    assert_eq!(connects(&mut alone, app, false), Some("allowed"));
}

/// Goal: where a signature is required, only a listed publisher's app starts, and a file is content
/// with its own list alone. Method: every pairing of who signed and which file asks.
#[test]
fn reject_apps_that_no_listed_publisher_signed() {
    let (acme, other) = (publisher(1), publisher(2));
    let starts = |machine: Policy, operator: Policy, by| {
        connects(&mut gate(machine, operator), signed(by, 1), true).is_some()
    };
    for (by, good) in [(Some(acme), true), (Some(other), false), (None, false)] {
        assert_eq!(starts(requires(&[acme]), Policy::none(), by), good);
        assert_eq!(starts(Policy::none(), requires(&[acme]), by), good);
        // A user's own list adds nobody to the machine's.
        assert_eq!(
            starts(requires(&[acme]), requires(&[acme, other]), by),
            good
        );
        // To be named by a rule is not to be listed, whatever the rule says.
        assert_eq!(starts(requires(&[acme]), policy("allow", other), by), good);
    }
    assert!(!starts(requires(&[acme]), requires(&[other]), Some(acme)));
    // Nobody requires it: who lists publishers only gives them names.
    assert!(starts(Policy::none(), Policy::none(), None));
}

/// Goal: the report names who signed. Method: a listed key, one of a rule alone, and none.
#[test]
fn the_report_names_the_publisher() {
    let examine = |operator: Policy, by| {
        let gate = gate(Policy::none(), operator);
        let manifest = Setup::connect(&["public:443"]).manifest();
        let consent = Consent::default();
        let app = signed(by, 1);
        let report = gate.examine(Instant::ZERO, &app, &manifest, &consent, &[]);
        (report.publisher.map(|p| (p.name, p.key)), report.admitted)
    };
    let acme = publisher(1);
    assert_eq!(
        examine(requires(&[acme]), Some(acme)),
        (Some((Some("p0".to_owned()), acme)), true)
    );
    assert_eq!(
        examine(policy("forbid", acme), Some(acme)),
        (Some((None, acme)), true)
    );
    assert_eq!(examine(policy("forbid", acme), None), (None, true));
}

/// Goal: what a publisher may do ends when the policy no longer says so. Method: an open handle,
/// judged again under a policy without the rule.
#[test]
fn a_publishers_rule_taken_back_revokes() {
    let acme = publisher(1);
    let mut gate = gate(Policy::none(), policy("allow", acme));
    assert_eq!(
        connects(&mut gate, signed(Some(acme), 1), false),
        Some("allowed")
    );
    let act = connect(TARGET);
    let stamp = gate.decide(Instant::ZERO, APP, &act).unwrap().stamp();
    assert_eq!(stamp.capability(), TCP);
    gate.set_policies(
        Instant::ZERO,
        WALL,
        Policy::none(),
        policy("allow", publisher(2)),
    );
    let denial = gate.judge_again(Instant::ZERO, stamp, &act).unwrap_err();
    assert_eq!(denial.reason.as_str(), "revoked");
}
