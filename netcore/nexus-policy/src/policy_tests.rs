//! `policy.toml`: what is accepted, and what is refused with which text.

use super::*;
use crate::rule::Rule as R;

fn errors(text: &str) -> String {
    match Policy::parse(text, "policy.toml") {
        Ok(_) => panic!("accepted: {text}"),
        Err(error) => error.to_string(),
    }
}

fn rule(rest: &str) -> String {
    format!("[[rule]]\nid = \"r\"\n{rest}")
}

const FORBID: &str = "capability = \"network.tcp.connect\"\nverdict = \"forbid\"\n";

#[test]
fn the_policy_of_the_design() {
    let text = format!(
        r#"
[[rule]]
id = "lan-weather"
app = {{ id = "com.example.weather", digest = "sha256:{}" }}
capability = "network.tcp.connect"
verdict = "allow"
to = ["api.example.com:443"]
expires = "2027-01-01T00:00:00Z"

[[rule]]
id = "no-mail"
capability = "network.tcp.connect"
verdict = "forbid"
to = ["public:25"]

[limits]
memory = "256MiB"
"#,
        "a7".repeat(32)
    );
    let policy = Policy::parse(&text, "policy.toml").unwrap();
    let [first, second] = policy.rules() else {
        panic!("{policy:?}")
    };
    assert_eq!(
        (first.id.as_str(), first.line, first.app),
        ("lan-weather", 2, Subject::App(AppDigest([0xa7; 32])))
    );
    assert_eq!(
        (first.verdict, first.expires),
        (Verdict::Allow, Some(WallTime(1_798_761_600)))
    );
    assert_eq!(
        first.to,
        Some(vec![
            R::parse(Capability::NetworkTcpConnect, "api.example.com:443").unwrap()
        ])
    );
    assert_eq!(
        (second.line, second.app, second.verdict),
        (10, Subject::Everyone, Verdict::Forbid)
    );
    assert_eq!(policy.limits().memory, Some(256 << 20));
    assert!(Policy::parse("", "policy.toml").unwrap().rules().is_empty());
}

#[test]
fn a_toml_date_time_is_a_moment_as_well() {
    let policy = Policy::parse(
        &rule(&format!("{FORBID}expires = 2027-01-01T01:00:00+01:00\n")),
        "p",
    )
    .unwrap();
    assert_eq!(policy.rules()[0].expires, Some(WallTime(1_798_761_600)));
}

#[test]
fn reject_what_is_wrong_in_a_rule() {
    for (text, says) in [
        ("rule = 1\n", "each rule begins with [[rule]]"),
        ("[rule]\nid = \"a\"\n", "each rule begins with [[rule]]"),
        (
            "[[rules]]\n",
            "rules: unknown key\n  help: did you mean `rule`?",
        ),
        ("[[rule]]\n", "rule[0].capability: the key is missing"),
        (
            &rule(&format!("{FORBID}tos = []\n")),
            "rule[0].tos: unknown key\n  help: did you mean `to`?",
        ),
        (
            &rule("capability = \"network.tcp.conect\"\nverdict = \"forbid\"\n"),
            "did you mean `network.tcp.connect`?",
        ),
        (
            &rule("capability = \"network.tcp.connect\"\nverdict = \"deny\"\n"),
            "did you mean `forbid`?",
        ),
        (
            &rule("capability = \"network.tcp.connect\"\nverdict = 1\n"),
            "this must be a string",
        ),
        (
            &rule("capability = \"network.tcp.connect\"\nverdict = \"allow\"\n"),
            "an `allow` names its targets",
        ),
        (&rule(&format!("{FORBID}to = []\n")), "the list is empty"),
        (
            &rule(&format!("{FORBID}to = [\"a.example\"]\n")),
            "rule[0].to[0]: `a.example` has no port",
        ),
        (
            &rule(&format!("{FORBID}to = [\"10.1.0.0/8:1\"]\n")),
            "the network is 10.0.0.0/8",
        ),
        (
            &rule(&format!(
                "{FORBID}to = [\"a.example:1\", \"A.example:1\"]\n"
            )),
            "is in the list already",
        ),
        (
            &rule(&format!("{FORBID}expires = \"tomorrow\"\n")),
            "this is no moment",
        ),
        (
            &rule(&format!("{FORBID}expires = 2027-01-01\n")),
            "this is no moment",
        ),
        (
            &rule(&format!("{FORBID}app = \"x\"\n")),
            "this must be a table",
        ),
        (
            &rule(&format!("{FORBID}app = {{ id = \"x\" }}\n")),
            "an app is known by its digest",
        ),
        (
            &rule(&format!("{FORBID}app = {{ publisher = \"x\" }}\n")),
            "this is no publisher's key",
        ),
        (
            &rule(&format!("{FORBID}app = {{ digest = \"sha256:00\" }}\n")),
            "is no digest",
        ),
        (
            &rule(&format!("{FORBID}app = {{ digset = \"x\" }}\n")),
            "did you mean `digest`?",
        ),
        (
            "[[rule]]\nid = \"a b\"\ncapability = \"network.tcp.connect\"\nverdict = \"forbid\"\n",
            "an id is",
        ),
        (
            "[limits]\nmemory = \"lots\"\n",
            "limits.memory: `lots` is no size",
        ),
        ("[limits]\nfuel = 1\n", "limits.fuel: unknown key"),
    ] {
        let errors = errors(text);
        assert!(errors.contains(says), "{text}\n{errors}");
    }
}

#[test]
fn reject_duplicate_rules() {
    let twice = rule(FORBID) + &rule("capability = \"network.udp.send\"\nverdict = \"forbid\"\n");
    assert_eq!(
        errors(&twice),
        "policy.toml:5:1: rule[1].id: the id `r` is used by the rule in line 1 already"
    );
    let same =
        rule(&format!(
            "{FORBID}to = [\"a.example:1\", \"b.example:1\"]\n"
        )) + &format!("[[rule]]\nid = \"s\"\n{FORBID}to = [\"B.example:1\", \"a.example:1\"]\n");
    assert_eq!(
        errors(&same),
        "policy.toml:6:1: rule[1]: it says the same as the rule `r`"
    );
}

#[test]
fn bytes_over_the_limit() {
    let text = "#".repeat(POLICY_BYTES as usize);
    assert!(Policy::parse(&text, "p").is_ok());
    assert!(errors(&(text + "#")).contains("the most is 8388608"));
}

#[test]
fn many_rules_are_read_in_time() {
    let text: String = (0..10_000)
        .map(|n| format!("[[rule]]\nid = \"r{n}\"\ncapability = \"network.tcp.connect\"\nverdict = \"allow\"\nto = [\"h{n}.example:1\"]\n"))
        .collect();
    let policy = Policy::parse(&text, "p").unwrap();
    assert_eq!(policy.rules().len(), 10_000);
    assert_eq!(policy.rules()[9_999].line, 5 * 9_999 + 1);
}
