//! Rule texts of what is not a socket: what each spelling means, and what is refused with which
//! advice.

use crate::capability::Capability;
use crate::rule::{RULE_BYTES_MAX, Rule};

const HTTP: Capability = Capability::NetworkHttpRequest;
const QUERY: Capability = Capability::CloudGraphqlQuery;
const DISCOVER: Capability = Capability::DsoftbusDiscover;
const SESSION: Capability = Capability::DsoftbusSessionOpen;
const STREAM: Capability = Capability::DsoftbusStreamOpen;
const CALL: Capability = Capability::DsoftbusRpcCall;
const SHARE: Capability = Capability::DsoftbusShareSend;
const SYNC: Capability = Capability::CloudSync;
const USE: Capability = Capability::AccountUse;

const DEVICE: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

fn canonical(capability: Capability, text: &str) -> String {
    Rule::parse(capability, text)
        .unwrap_or_else(|e| panic!("{text}: {e}"))
        .to_string()
}

fn error(capability: Capability, text: &str) -> String {
    match Rule::parse(capability, text) {
        Ok(rule) => panic!("{text} was read as {rule}"),
        Err(error) => error.to_string(),
    }
}

fn each_says(capability: Capability, cases: &[(&str, &str)]) {
    for (text, says) in cases {
        let error = error(capability, text);
        assert!(error.contains(says), "{text:?}: {error}");
        assert!(
            !error.contains("secret") && !error.contains('\u{202e}'),
            "{error}"
        );
    }
}

/// Goal: the examples of schema, guide and errors are rules, in the form they are written in.
/// Method: every example of every capability's parameter is read and written.
#[test]
fn every_example_is_a_rule_in_canonical_form() {
    for capability in Capability::ALL.into_iter().chain(Capability::WASI) {
        for example in capability.parameter().examples() {
            assert_eq!(canonical(capability, example), *example, "{capability}");
        }
    }
}

/// Goal: one meaning has one text. Method: spellings and what they are written as.
#[test]
fn one_text_for_every_spelling_of_a_rule() {
    for (capability, text, written) in [
        (HTTP, "https://api.example.com", "https://api.example.com/*"),
        (
            HTTP,
            "HTTPS://API.Example.com.:443/*",
            "https://api.example.com/*",
        ),
        (HTTP, "http://host:80/x", "http://host.internal/x"),
        (
            HTTP,
            "http://host.internal:8000",
            "http://host.internal:8000/*",
        ),
        (
            HTTP,
            "https://*.example.com/a/*",
            "https://*.example.com/a/*",
        ),
        (
            HTTP,
            "https://bücher.example",
            "https://xn--bcher-kva.example/*",
        ),
        (HTTP, "https://lan:8443/*", "https://lan:8443/*"),
        (
            HTTP,
            "https://[2606:4700:0:0::1]:8443",
            "https://[2606:4700::1]:8443/*",
        ),
        (
            HTTP,
            "https://a.example/%7euser/%2a",
            "https://a.example/~user/%2A",
        ),
        (
            HTTP,
            "https://a.example/v1;x=1/@me",
            "https://a.example/v1;x=1/@me",
        ),
        (
            HTTP,
            "HEAD,GET https://a.example",
            "GET,HEAD https://a.example/*",
        ),
        (
            HTTP,
            "DELETE,PATCH,PUT,POST,HEAD,GET https://a.example/x",
            "https://a.example/x",
        ),
        (QUERY, "https://a.example#*", "https://a.example/#*"),
        (
            QUERY,
            "https://A.example:443/g#Q_1",
            "https://a.example/g#Q_1",
        ),
        (QUERY, "http://192.0.66.7:80/g/#Q", "http://192.0.66.7/g/#Q"),
        (SESSION, DEVICE, DEVICE),
        (STREAM, "chat", "chat@paired"),
        (STREAM, "*", "*@paired"),
        (CALL, "acme:thermo/sensor", "acme:thermo/sensor@paired"),
        (
            CALL,
            "acme:thermo/sensor#get-value",
            "acme:thermo/sensor#get-value@paired",
        ),
        (
            USE,
            "google:profile https://x/auth",
            "google:https://x/auth profile",
        ),
        (USE, "google:a:b", "google:a:b"),
    ] {
        assert_eq!(canonical(capability, text), written, "{text}");
        assert_eq!(canonical(capability, written), written, "reads back");
    }
    let peer = format!("acme:thermo/sensor#read@{DEVICE}");
    assert_eq!(canonical(CALL, &peer), peer);
}

#[test]
fn reject_urls_that_are_no_rule() {
    each_says(
        HTTP,
        &[
            ("", "the rule is empty"),
            ("api.example.com:443", "write `https://api.example.com/*`"),
            (
                "api.example.com/v1/me",
                "write `https://api.example.com/v1/me`",
            ),
            (
                "GET api.example.com/v1",
                "write `GET https://api.example.com/v1`",
            ),
            ("user:secret@api.example.com/v1", "a URL with its scheme"),
            ("ftp://a.example/x", "`ftp` is no scheme"),
            ("ws://a.example/x", "`ws` is no scheme"),
            ("https://user:secret@a.example/x", "no user and password"),
            ("https://a.example/x?token=secret", "no query"),
            ("https://a.example?token=secret", "no query"),
            ("https://a.example/x#secret", "no fragment"),
            ("https:///x", "no host"),
            ("https://", "no host"),
            ("https://:443/x", "no host"),
            ("https://a.example:0/x", "no port of a URL"),
            ("https://a.example:65536/x", "no port of a URL"),
            ("https://a.example:080/x", "no port of a URL"),
            ("https://a.example:/x", "no port of a URL"),
            ("https://a.example:*/x", "a second port is a second rule"),
            (
                "https://a.example:80,443/x",
                "a second port is a second rule",
            ),
            ("https://2606:4700::1/x", "in brackets"),
            ("https://[2606:4700::/32]/x", "names no network"),
            ("https://[::1]x/x", "after the bracket"),
            ("https://*/x", "write `https://public/x`"),
            (
                "https://localhost:8443/x",
                "write `https://host.internal:8443/x`",
            ),
            ("https://private/", "write `https://lan/*`"),
            ("https://127.1/x", "the name is a number"),
            ("https://2130706433/x", "the name is a number"),
            ("https://[::ffff:10.0.0.1]/x", "write 10.0.0.1"),
            ("https://*.com/x", "is everybody's"),
            ("https://a.example/", "write `https://a.example/*`"),
            ("https://a.example/v1/", "write `https://a.example/v1/*`"),
            (
                "GET https://a.example/v1/",
                "write `GET https://a.example/v1/*`",
            ),
            ("https://a.example/v1*", "whole last part"),
            ("https://a.example/*/me", "whole last part"),
            ("https://a.example/**", "whole last part"),
            ("https://a.example/a/../b", "no `.`, `..` or empty part"),
            ("https://a.example/a/%2e%2E/b", "no `.`, `..` or empty part"),
            ("https://a.example/..", "no `.`, `..` or empty part"),
            ("https://a.example/./*", "no `.`, `..` or empty part"),
            ("https://a.example//b", "no `.`, `..` or empty part"),
            ("https://a.example/a//*", "no `.`, `..` or empty part"),
            ("https://a.example//", "no `.`, `..` or empty part"),
            ("https://a.example/a%2fb", "read differently"),
            ("https://a.example/a%5Cb", "read differently"),
            ("https://a.example/a%00", "read differently"),
            ("https://a.example/a\\b", "no backslash"),
            ("https://a.example\\b", "no backslash"),
            ("https://a.example/a%2", "two hexadecimal digits"),
            ("https://a.example/a%+1", "two hexadecimal digits"),
            ("https://a.example/ü", "as %XX"),
            ("https://a.example/{id}", "as %XX"),
            ("https://a\u{202e}.example/", "no host name"),
        ],
    );
}

#[test]
fn reject_methods_no_rule_can_name() {
    each_says(
        HTTP,
        &[
            ("get https://a.example", "`GET`, a blank, and the URL"),
            (
                "GET, HEAD https://a.example",
                "`GET,HEAD`, a blank, and the URL",
            ),
            ("GET,GET https://a.example", "GET is named twice"),
            ("* https://a.example", "leave the methods out"),
            ("CONNECT https://a.example", "no app can send CONNECT"),
            ("TRACE https://a.example", "no app can send TRACE"),
            ("FETCH https://a.example", "`FETCH` is no method"),
            (", https://a.example", "is no method"),
            (" https://a.example", "is no method"),
            ("GET  https://a.example", "joined by commas without blanks"),
            ("https://u:secret@a.example https://b.example", "one URL"),
            ("u:secret@a.example GET", "one URL"),
            ("GET\thttps://a.example", "tabs"),
        ],
    );
}

#[test]
fn reject_operations_without_a_name_or_a_place() {
    each_says(
        QUERY,
        &[
            (
                "https://a.example/g",
                "write `https://a.example/g#ListOrders`",
            ),
            ("https://a.example/g#", "no name of an operation"),
            ("https://a.example/g#1st", "no name of an operation"),
            ("https://a.example/g#a-b", "no name of an operation"),
            ("https://*.example.com/g#Q", "is many"),
            ("https://public/g#Q", "is many"),
            ("https://a.example/g/*#Q", "whole last part"),
            ("https://u:secret@a.example/g#Q", "no user"),
            ("a.example/g#Q", "a URL with its scheme"),
            ("GET https://a.example/g#Q", "no blanks"),
        ],
    );
}

#[test]
fn reject_names_that_are_none() {
    for capability in [DISCOVER, SYNC, Capability::AccountManage] {
        each_says(
            capability,
            &[
                ("", "the rule is empty"),
                ("Acme.Thermo", "write `acme.thermo`"),
                ("Acme.*", "write `acme.*`"),
                ("acme..thermo", "is no name of a"),
                (".acme", "is no name of a"),
                ("acme/thermo", "is no name of a"),
                ("bücher", "is no name of a"),
                ("a b", "no blanks"),
                ("a*", "a wildcard is the whole last part"),
                ("*.acme", "a wildcard is the whole last part"),
                ("a.*.*", "a wildcard is the whole last part"),
                (".*", "the name is empty"),
            ],
        );
    }
}

#[test]
fn reject_peers_that_are_none() {
    each_says(
        SESSION,
        &[
            ("*", "write `paired`"),
            ("pared", "write `paired`"),
            ("kitchen", "64 hexadecimal digits"),
            (&DEVICE.to_uppercase(), &format!("write `{DEVICE}`")),
            (&DEVICE[1..], "64 hexadecimal digits"),
            (&DEVICE.replace('f', "g"), "64 hexadecimal digits"),
        ],
    );
    each_says(SHARE, &[("any", "write `paired`")]);
    each_says(
        STREAM,
        &[
            ("chat@any", "write `chat@paired`"),
            ("Chat@paired", "write `chat@paired`"),
            ("chat@", "the rule is empty"),
            ("@paired", "the rule is empty"),
        ],
    );
    each_says(
        CALL,
        &[
            ("acme:thermo/sensor@1.0.0", "write `acme:thermo/sensor`"),
            ("acme:thermo/sensor#*", "write `acme:thermo/sensor`"),
            ("acme:thermo", "is no interface"),
            ("thermo/sensor", "is no interface"),
            ("acme:thermo/*", "is no interface"),
            ("Acme:thermo/sensor", "is no interface"),
            ("acme:thermo/sen--sor", "is no interface"),
            ("acme:thermo/sensor#", "is no function"),
            ("acme:thermo/sensor#[method]a.b", "is no function"),
            (
                "acme:thermo/sensor@any",
                "write `acme:thermo/sensor@paired`",
            ),
        ],
    );
}

#[test]
fn reject_scopes_that_are_none() {
    each_says(
        USE,
        &[
            ("google", "write `google:SCOPE`"),
            ("google:", "a scope is missing"),
            ("google:a  b", "a scope is missing"),
            ("google: a", "a scope is missing"),
            ("google:a a", "`a` is named twice"),
            ("google:a *", "write `google:*`"),
            ("google:a\\b", "is no scope"),
            ("google:ü", "is no scope"),
            ("Google:a", "write `google:a`"),
            (":a", "the name is empty"),
            ("google:a\tb", "tabs"),
        ],
    );
}

/// Goal: each bound holds at it and not past it. Method: the longest text of each part, and one more.
#[test]
fn reject_what_is_longer_than_its_bound() {
    let at = "a".repeat(64);
    assert_eq!(canonical(SYNC, &at), at);
    assert!(error(SYNC, &format!("{at}a")).contains("at most 64 bytes"));

    let operation = |name: &str| format!("https://a.example/g#{name}");
    canonical(QUERY, &operation(&at));
    assert!(error(QUERY, &operation(&format!("{at}a"))).contains("at most 64"));

    let function = |name: &str| format!("acme:thermo/sensor#{name}");
    canonical(CALL, &function(&at));
    assert!(error(CALL, &function(&format!("{at}a"))).contains("at most 64"));

    let interface = |bytes: usize| format!("acme:thermo/{}", "a".repeat(bytes - 12));
    canonical(CALL, &interface(128));
    assert!(error(CALL, &interface(129)).contains("at most 128 bytes"));

    let scopes = |count: usize| {
        let words: Vec<_> = (0..count).map(|n| format!("s{n:02}")).collect();
        format!("google:{}", words.join(" "))
    };
    assert_eq!(canonical(USE, &scopes(64)), scopes(64));
    assert!(error(USE, &scopes(65)).contains("at most 64 scopes"));

    let url = |bytes: usize| format!("https://a.example/{}", "a".repeat(bytes - 18));
    canonical(HTTP, &url(RULE_BYTES_MAX));
    assert!(error(HTTP, &url(RULE_BYTES_MAX + 1)).contains("longer than"));
}
