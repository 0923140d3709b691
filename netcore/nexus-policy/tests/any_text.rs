//! Texts from outside: whatever they are, reading them ends in a value or an error that is fit to
//! be shown, and a rule that was read means the same when written and read again.

use nexus_policy::{Capability, Manifest, Policy, Rule, host_name};
use proptest::prelude::*;

fn shown(text: &str) -> bool {
    !text.chars().any(|c| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{200b}'..='\u{200f}')
    })
}

const DEVICE: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

/// URLs and what goes with them, most of which are rules.
fn urls() -> impl Strategy<Value = String> {
    let methods = prop_oneof![
        Just(""),
        Just("GET "),
        Just("HEAD,GET "),
        Just("PUT,DELETE "),
        Just("get ")
    ];
    let host = prop_oneof![
        Just("a.example"),
        Just("*.Example.com"),
        Just("host"),
        Just("lan"),
        Just("10.0.0.1"),
        Just("[fd00::1]"),
        Just("bücher.example."),
    ];
    let port = prop_oneof![
        Just(""),
        Just(":443"),
        Just(":80"),
        Just(":8080"),
        Just(":0")
    ];
    let part = prop_oneof![
        Just("/"),
        Just("/a"),
        Just("/%7e"),
        Just("/%61b"),
        Just("/%c3%BC"),
        Just("/."),
        Just("/%2e."),
        Just("/*"),
        Just("/a;b=@:"),
        Just("/%2f"),
    ];
    let path = proptest::collection::vec(part, 0..4).prop_map(|parts| parts.concat());
    let tail = prop_oneof![Just(""), Just("#List"), Just("#*"), Just("?q")];
    (
        methods,
        prop_oneof![Just("https"), Just("HTTP")],
        host,
        port,
        path,
        tail,
    )
        .prop_map(|(methods, scheme, host, port, path, tail)| {
            format!("{methods}{scheme}://{host}{port}{path}{tail}")
        })
}

/// Pieces that rules and files are made of, so that random texts get past the first check.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("*."),
        Just("."),
        Just(":"),
        Just("/"),
        Just("["),
        Just("]"),
        Just("-"),
        Just(","),
        Just("example"),
        Just("com"),
        Just("127"),
        Just("10.0.0.0"),
        Just("::ffff:"),
        Just("fd00::"),
        Just("public"),
        Just("host.internal"),
        Just("443"),
        Just("0"),
        Just("65536"),
        Just("xn--"),
        Just("ü"),
        Just("\u{202e}"),
        Just("\u{1b}"),
        Just("any"),
        Just("%"),
        Just("@"),
        Just("="),
        Just("#"),
        Just(" "),
        Just("*"),
        Just("GET"),
        Just("HEAD"),
        Just("https://"),
        Just("http://host"),
        Just("%2E"),
        Just("%7e"),
        Just("\\"),
        Just("?"),
        Just("acme:thermo/sensor"),
        Just("paired"),
        Just(DEVICE),
    ];
    proptest::collection::vec(piece, 0..10).prop_map(|list| list.concat())
}

fn toml() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("[app]\n"),
        Just("id = \"a\"\n"),
        Just("[capabilities.\"network.tcp.connect\"]\n"),
        Just("allow = [\"a.example:1\"]\n"),
        Just("allow = "),
        Just("[[rule]]\n"),
        Just("capability = \"network.tcp.connect\"\n"),
        Just("verdict = \"forbid\"\n"),
        Just("to = [\"public:*\"]\n"),
        Just("require-signature = true\n"),
        Just("[[publisher]]\n"),
        Just("name = \"a\"\n"),
        Just("key = \"RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\"\n"),
        Just("app = { publisher = \"a\" }\n"),
        Just("[limits]\n"),
        Just("memory = \"1MiB\"\n"),
        Just("[wasi]\n"),
        Just("dirs = [{}]\n"),
        Just("expires = 2027-01-01T00:00:00Z\n"),
        Just("\"\\u001b\" = 1\n"),
        Just("app = { digest = \"\" }\n"),
        Just("["),
        Just("\"")
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|list| list.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_rule_means_the_same_when_read_again(text in prop_oneof![pieces(), urls(), any::<String>()]) {
        for capability in Capability::ALL.into_iter().chain(Capability::WASI) {
            match Rule::parse(capability, &text) {

                Ok(rule) => {
                    let written = rule.to_string();
                    prop_assert_eq!(Rule::parse(capability, &written), Ok(rule), "{}", written);
                }
                Err(error) => prop_assert!(shown(&error.to_string()), "{:?}", error),
            }
        }
        let _ = Rule::parse_grant(&text).map_err(|error| assert!(shown(&error.to_string())));
        if let Ok(name) = host_name(&text) {
            prop_assert_eq!(host_name(name.as_str()), Ok(name.clone()));
            prop_assert!(name.as_str().is_ascii());
        }
    }

    #[test]
    fn a_file_is_read_or_refused_with_words(text in prop_oneof![toml(), any::<String>()]) {
        if let Err(error) = Manifest::parse(&text, "nexus.toml") {
            prop_assert!(!error.problems.is_empty() && shown(&error.to_string()), "{:?}", error);
        }
        if let Err(error) = Policy::parse(&text, "policy.toml") {
            prop_assert!(!error.problems.is_empty() && shown(&error.to_string()), "{:?}", error);
        }
    }
}
