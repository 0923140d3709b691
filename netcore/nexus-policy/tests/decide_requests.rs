//! Requests of HTTP: method, origin and path, in every spelling; hops; the two keys.

mod common;

use common::{APP, HTTP, Setup, answer, get, identity, name, request, try_url, url};
use nexus_policy::parameter::url::Method;
use nexus_policy::{Act, Mode, Request, RequestUrl};
use nexus_types::Instant;

const URL: &str = "network.http.request";

/// Goal: a rule covers its methods, its origin and its path, and nothing beside. Method: a rule, a request, the answer.
#[test]
fn a_request_is_judged_by_method_origin_and_path() {
    for (rule, method, asked, want) in [
        ("https://a.example", "GET", "https://a.example/", "allowed"),
        (
            "https://a.example",
            "DELETE",
            "https://a.example/x?y=z#f",
            "allowed",
        ),
        ("https://a.example", "GET", "https://a.example", "allowed"),
        (
            "https://a.example",
            "GET",
            "https://a.example:443/",
            "allowed",
        ),
        (
            "https://a.example",
            "GET",
            "https://A.EXAMPLE./x",
            "allowed",
        ),
        (
            "https://a.example",
            "GET",
            "http://a.example/",
            "not-permitted",
        ),
        (
            "https://a.example",
            "GET",
            "http://a.example:443/",
            "not-permitted",
        ),
        (
            "https://a.example",
            "GET",
            "https://a.example:8443/",
            "not-permitted",
        ),
        (
            "https://a.example:8443",
            "GET",
            "https://a.example:8443/",
            "allowed",
        ),
        (
            "https://a.example:8443",
            "GET",
            "https://a.example/",
            "not-permitted",
        ),
        ("http://a.example", "GET", "http://a.example:80/", "allowed"),
        (
            "https://a.example",
            "GET",
            "https://b.a.example/",
            "not-permitted",
        ),
        (
            "https://a.example",
            "GET",
            "https://evila.example/",
            "not-permitted",
        ),
        (
            "https://a.example",
            "GET",
            "https://a.example.evil.example/",
            "not-permitted",
        ),
        (
            "https://*.a.example",
            "GET",
            "https://b.a.example/",
            "allowed",
        ),
        (
            "https://*.a.example",
            "GET",
            "https://c.b.a.example/",
            "allowed",
        ),
        (
            "https://*.a.example",
            "GET",
            "https://a.example/",
            "not-permitted",
        ),
        (
            "https://*.a.example",
            "GET",
            "https://evila.example/",
            "not-permitted",
        ),
        (
            "https://bücher.example",
            "GET",
            "https://B%C3%BCcher.example/",
            "allowed",
        ),
        (
            "https://bücher.example",
            "GET",
            "https://xn--bcher-kva.example/",
            "allowed",
        ),
        (
            "https://a.example/v1/*",
            "GET",
            "https://a.example/v1/me",
            "allowed",
        ),
        (
            "https://a.example/v1/*",
            "GET",
            "https://a.example/v1/",
            "allowed",
        ),
        (
            "https://a.example/v1/*",
            "GET",
            "https://a.example/v1/a/b/?q",
            "allowed",
        ),
        (
            "https://a.example/v1/*",
            "GET",
            "https://a.example/v1",
            "not-permitted",
        ),
        (
            "https://a.example/v1/*",
            "GET",
            "https://a.example/v10",
            "not-permitted",
        ),
        (
            "https://a.example/v1/*",
            "GET",
            "https://a.example/V1/me",
            "not-permitted",
        ),
        (
            "https://a.example/v1/*",
            "GET",
            "https://a.example/",
            "not-permitted",
        ),
        (
            "https://a.example/v1/*",
            "GET",
            "https://a.example/v1/../admin",
            "not-permitted",
        ),
        (
            "https://a.example/v1/*",
            "GET",
            "https://a.example/v1/%2E%2e/admin",
            "not-permitted",
        ),
        (
            "https://a.example/v1/*",
            "GET",
            "https://a.example/x/../v1/me",
            "allowed",
        ),
        (
            "https://a.example/v1/*",
            "GET",
            "https://a.example/%76%31/me",
            "allowed",
        ),
        (
            "https://a.example/v1/me",
            "GET",
            "https://a.example/v1/me?x",
            "allowed",
        ),
        (
            "https://a.example/v1/me",
            "GET",
            "https://a.example/v1/me/",
            "not-permitted",
        ),
        (
            "https://a.example/v1/me",
            "GET",
            "https://a.example/v1/me2",
            "not-permitted",
        ),
        (
            "GET,HEAD https://a.example",
            "GET",
            "https://a.example/",
            "allowed",
        ),
        (
            "GET,HEAD https://a.example",
            "HEAD",
            "https://a.example/",
            "allowed",
        ),
        (
            "GET,HEAD https://a.example",
            "POST",
            "https://a.example/",
            "method-not-permitted",
        ),
        (
            "GET https://a.example/v1/*",
            "POST",
            "https://a.example/v1/x",
            "method-not-permitted",
        ),
        (
            "GET https://a.example/v1/*",
            "POST",
            "https://a.example/v2/x",
            "not-permitted",
        ),
    ] {
        let app = Setup::requests(&[rule]).yes();
        let url = url(asked);
        let method = Method::parse(method).expect("a method");
        let reason = app.reason(&Act::Request(request(method, &url)));
        assert_eq!(reason, want, "{rule}: {method} {asked}");
    }
}

/// Paths that some servers read as `/admin/x` or `/v2/x`.
const ESCAPES: [&str; 16] = [
    "/v1/../admin/x",
    "/v1/%2e%2e/admin/x",
    "/v1/.%2E/admin/x",
    "/v1%2f..%2fadmin/x",
    "/v1/..%2fadmin/x",
    "/v1/..%5cadmin/x",
    "/v1/..\\admin/x",
    "/v1/..;/admin/x",
    "/v1/..;a=b/admin/x",
    "/v1/..%3b/admin/x",
    "/v1/%252e%252e/admin/x",
    "/v1/%c0%ae%c0%ae/admin/x",
    "/v1//..//admin/x",
    "//admin/x",
    "/./admin/x",
    "/v1/%00/../admin/x",
];

/// Goal: a path that servers read in different ways is covered by a rule for the whole origin alone, and caught by
/// whatever is written of a part of it. Method: each, as it is, not as the client's parser would mend it.
#[test]
fn reject_paths_that_leave_their_folder_in_some_reading() {
    for path in ESCAPES {
        let url = RequestUrl::new("https", "a.example", None, path).expect("a URL");
        let act = get(&url);
        for rules in [
            &["https://a.example/v1/*"][..],
            &["https://a.example/v1/*", "https://a.example/admin/*"],
            &["https://a.example/admin/x", "https://a.example/v1/a"],
        ] {
            let app = Setup::requests(rules).yes();
            assert_eq!(app.reason(&act), "not-permitted", "{path} {rules:?}");
        }
        let whole = Setup::requests(&["https://a.example"]).yes();
        assert_eq!(whole.reason(&act), "allowed", "{path}");
        for part in ["https://a.example/admin/*", "https://a.example/else"] {
            let app = whole.clone().operator("forbid", URL, &[part]);
            assert_eq!(app.reason(&act), "operator-denied", "{path} {part}");
            let mut app = whole.clone().operator("ask", URL, &[part]);
            app.allow_manifest = false;
            app = app.operator("allow", URL, &["https://a.example"]);
            assert_eq!(app.reason(&act), "consent-required", "{path} {part}");
        }
        // What is written of another method, or another origin, is not about it.
        let app = whole.clone().operator(
            "forbid",
            URL,
            &["POST https://a.example/admin/*", "http://a.example"],
        );
        assert_eq!(app.reason(&act), "allowed", "{path}");
    }
}

/// Goal: what is no URL of a request is refused before it is judged. Method: schemes, users, hosts.
#[test]
fn reject_urls_that_are_none() {
    for text in [
        "ftp://a.example/",
        "file:///etc/passwd",
        "data:text/plain,x",
        "javascript:alert(1)",
        "https:///",
        "https://a.example:0/",
        "https://[::1%25eth0]/",
        "https://a..example/",
        "https://999.1.1.1/",
    ] {
        assert!(try_url(text).is_err(), "{text}");
    }
}

/// Goal: a number is an address in whatever way it is written, and never a name. Method: the spellings that the one
/// parser of URLs reads as 127.0.0.1, under rules for names and for what is public.
#[test]
fn reject_every_spelling_of_the_loopback() {
    let app = Setup::requests(&["http://public", "http://*.a.example", "http://a.example"]).yes();
    let own = Setup::requests(&["http://127.0.0.1"]).yes();
    for host in [
        "127.0.0.1",
        "127.1",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.0.0.1.",
        "①②⑦.0.0.1",
    ] {
        let url = url(&format!("http://{host}/"));
        assert_eq!(app.reason(&get(&url)), "blocked-range", "{host}");
        assert_eq!(own.reason(&get(&url)), "allowed", "{host}");
    }
    for host in [
        "[::ffff:127.0.0.1]",
        "[::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[2002:7f00:1::]",
    ] {
        let url = url(&format!("http://{host}/"));
        assert_eq!(app.reason(&get(&url)), "blocked-range", "{host}");
        let direct = if host.contains("ffff") {
            "allowed"
        } else {
            "blocked-range"
        };
        assert_eq!(own.reason(&get(&url)), direct, "{host}");
    }
}

/// Goal: a method that no rule can name is refused, also with every yes there is, and an app that asks for nothing
/// is told that first.
#[test]
fn reject_methods_that_no_rule_names() {
    for word in ["CONNECT", "TRACE", "OPTIONS", "get", "GET ", "PROPFIND", ""] {
        assert_eq!(Method::parse(word), None, "{word:?}");
    }
    let url = url("https://a.example/");
    let act = Act::Request(Request {
        method: None,
        url: &url,
        redirected: false,
    });
    let app = Setup::requests(&["https://a.example"])
        .yes()
        .operator("allow", URL, &["https://a.example"])
        .allow("network.http.request=https://a.example");
    for mode in Mode::ALL {
        let mode = app.clone().mode(mode);
        assert_eq!(mode.reason(&act), "method-not-permitted");
    }
    assert_eq!(
        Setup::connect(&["a.example:443"]).yes().reason(&act),
        "not-granted"
    );
}

/// Goal: a hop after the first is judged as the first, and refused by a word of its own where the manifest has no
/// rule for it; what the operator or a person says keeps its own.
#[test]
fn reject_a_redirect_to_where_no_rule_leads() {
    fn hop(url: &RequestUrl) -> Act<'_> {
        Act::Request(Request {
            redirected: true,
            ..request(Method::Get, url)
        })
    }
    let app = Setup::requests(&["https://a.example/v1/*", "POST https://a.example/v2/*"]).yes();
    for (to, want) in [
        ("https://a.example/v1/x", "allowed"),
        ("https://a.example/v2/x", "redirect-not-permitted"),
        ("https://a.example/v3/x", "redirect-not-permitted"),
        ("http://a.example/v1/x", "redirect-not-permitted"),
        ("https://b.example/v1/x", "redirect-not-permitted"),
        ("http://127.0.0.1/", "redirect-not-permitted"),
        ("http://169.254.169.254/", "redirect-not-permitted"),
        ("http://10.0.2.3/", "blocked-range"),
    ] {
        assert_eq!(app.reason(&hop(&url(to))), want, "{to}");
    }
    let to = url("https://a.example/v1/x");
    let forbidden = app
        .clone()
        .operator("forbid", URL, &["https://a.example/v1/x"]);
    assert_eq!(forbidden.reason(&hop(&to)), "operator-denied");
    let unasked = Setup::requests(&["https://a.example/v1/*"]);
    assert_eq!(unasked.reason(&hop(&to)), "consent-required");
}

/// Goal: the two keys are those of every capability of its class. Method: policies and answers around one rule.
#[test]
fn two_keys_and_their_order() {
    const RULE: &str = "https://a.example/v1/*";
    let url = url("https://a.example/v1/me");
    let act = get(&url);
    let asks = || Setup::requests(&[RULE]);
    for (app, want) in [
        (Setup::default(), "not-granted"),
        (Setup::connect(&["a.example:443"]).yes(), "not-granted"),
        (asks(), "consent-required"),
        (asks().yes(), "allowed"),
        (
            asks().operator("allow", URL, &["https://a.example"]),
            "allowed",
        ),
        (
            asks().operator("allow", URL, &["https://*.example.com", RULE]),
            "allowed",
        ),
        (
            asks().operator("allow", URL, &["https://public"]),
            "allowed",
        ),
        (
            asks().operator("allow", URL, &["http://public"]),
            "consent-required",
        ),
        (
            asks().operator("allow", URL, &["https://a.example/v2/*"]),
            "consent-required",
        ),
        (
            asks().operator("allow", URL, &["POST https://a.example"]),
            "consent-required",
        ),
        (
            asks().operator("ask", URL, &["https://a.example"]),
            "consent-required",
        ),
        (
            asks()
                .operator("ask", URL, &[])
                .operator("allow", URL, &[RULE]),
            "consent-required",
        ),
        (asks().operator("ask", URL, &[]).yes(), "allowed"),
        (asks().yes().operator("forbid", URL, &[]), "operator-denied"),
        (
            asks()
                .yes()
                .operator("forbid", URL, &["https://a.example/v1/me"]),
            "operator-denied",
        ),
        (
            asks().yes().operator("forbid", URL, &["https://public"]),
            "operator-denied",
        ),
        (
            asks().yes().machine(
                "forbid",
                URL,
                &["GET https://*.b.example", "https://a.example/*"],
            ),
            "operator-denied",
        ),
        (
            asks().yes().operator(
                "forbid",
                URL,
                &[
                    "POST https://a.example",
                    "https://a.example/v1/you",
                    "https://lan",
                ],
            ),
            "allowed",
        ),
        (
            asks()
                .operator("allow", URL, &[RULE])
                .machine("forbid", URL, &[RULE]),
            "operator-denied",
        ),
        (asks().said_of(HTTP, true, RULE), "allowed"),
        (asks().said_of(HTTP, false, RULE), "consent-denied"),
        // An answer is about the rule that was asked, and to another it is none.
        (
            asks().said_of(HTTP, true, "https://a.example"),
            "consent-required",
        ),
        (
            asks()
                .operator("allow", URL, &[RULE])
                .said_of(HTTP, false, RULE),
            "allowed",
        ),
        (
            Setup::default().allow("network.http.request=https://a.example/v1/me"),
            "allowed",
        ),
        (
            Setup::default().allow("network.http.request=https://a.example/v1/you"),
            "not-permitted",
        ),
        (
            asks()
                .allow("network.http.request=https://a.example")
                .operator("forbid", URL, &[RULE]),
            "operator-denied",
        ),
        // Rules of other capabilities are about other acts.
        (
            asks()
                .yes()
                .operator("forbid", "network.tcp.connect", &["a.example:443"]),
            "allowed",
        ),
    ] {
        assert_eq!(app.reason(&act), want, "{} {}", app.manifest, app.operator);
    }
}

/// Goal: an app that asks for a class of addresses names none of the names that may lead there. Method: the class
/// asked for, given, and allowed by the operator.
#[test]
fn reject_a_name_where_only_its_class_is_asked_for() {
    let (named, literal) = (url("https://a.example/"), url("https://93.184.216.34/"));
    for app in [
        Setup::requests(&["https://public"]).yes(),
        Setup::requests(&["https://public"]).operator("allow", URL, &["https://public"]),
        Setup::default().allow("network.http.request=https://public"),
    ] {
        assert_eq!(app.reason(&get(&named)), "not-permitted");
        assert_eq!(app.reason(&get(&literal)), "allowed");
    }
}

/// Goal: a name is looked up for requests where a request by it could be allowed, and only then. Method: rules around
/// one name.
#[test]
fn a_name_is_looked_up_for_a_request_that_could_be() {
    let a = name("a.example");
    let act = Act::Resolve {
        name: &a,
        via: HTTP,
    };
    let asks = |rules: &[&str]| Setup::requests(rules);
    for (app, want) in [
        (asks(&["https://a.example/v1/*"]).yes(), "allowed"),
        (
            asks(&["https://*.example.com", "POST http://a.example:81/x"]).yes(),
            "allowed",
        ),
        (asks(&["https://b.example"]).yes(), "name-not-permitted"),
        (asks(&["https://*.a.example"]).yes(), "name-not-permitted"),
        (asks(&["https://public"]).yes(), "name-not-permitted"),
        (asks(&["https://93.184.216.34"]).yes(), "name-not-permitted"),
        (asks(&["https://a.example"]), "consent-required"),
        (
            asks(&["https://a.example"]).said_of(HTTP, false, "https://a.example"),
            "consent-denied",
        ),
        (
            asks(&["https://a.example"]).operator("allow", URL, &["PUT https://a.example/x"]),
            "allowed",
        ),
        (
            asks(&["GET https://a.example"]).operator("allow", URL, &["PUT https://a.example/x"]),
            "consent-required",
        ),
        (
            asks(&["https://a.example/v1/*"]).yes().operator(
                "forbid",
                URL,
                &["https://a.example/v1/x"],
            ),
            "allowed",
        ),
        (
            asks(&["https://a.example/v1/x"]).yes().operator(
                "forbid",
                URL,
                &["https://a.example/v1/*"],
            ),
            "operator-denied",
        ),
        (
            asks(&["GET https://a.example"])
                .yes()
                .operator("forbid", URL, &["GET https://public"]),
            "operator-denied",
        ),
        (
            asks(&["https://a.example"])
                .yes()
                .operator("forbid", URL, &["GET https://public"]),
            "allowed",
        ),
        (
            asks(&["https://a.example"])
                .yes()
                .operator("forbid", URL, &[]),
            "operator-denied",
        ),
        // An ask of the whole, an allow of a part of it: nobody has said yes to anything.
        (
            asks(&["https://a.example"])
                .operator("ask", URL, &["https://a.example"])
                .operator("allow", URL, &["https://a.example/x"]),
            "consent-required",
        ),
        (Setup::connect(&["a.example:443"]).yes(), "not-granted"),
        (
            Setup::default().allow("network.http.request=https://a.example/x"),
            "allowed",
        ),
    ] {
        assert_eq!(app.reason(&act), want, "{} {}", app.manifest, app.operator);
    }
    // And a rule of requests lets nothing be looked up for a connection.
    let tcp = Act::Resolve {
        name: &a,
        via: common::TCP,
    };
    let app = Setup::requests(&["https://a.example"]).yes();
    assert_eq!(app.reason(&tcp), "not-granted");
}

/// Goal: an allow whose time is over is said to be over.
#[test]
fn reject_by_a_rule_that_is_over() {
    let url = url("https://a.example/v1/me");
    let mut app = Setup::requests(&["https://a.example"]);
    app.operator = common::rule("old", "allow", URL, &["https://a.example"])
        .trim_end()
        .to_owned()
        + "\nexpires = \"2026-11-22T00:00:05Z\"\n";
    let mut gate = app.gate();
    assert!(gate.decide(Instant::from_secs(4), APP, &get(&url)).is_ok());
    let denial = gate
        .decide(Instant::from_secs(5), APP, &get(&url))
        .expect_err("over");
    assert_eq!(denial.reason.as_str(), "expired");
}

/// Goal: `--mode learn` writes rules that allow the run: method, origin and path, one for each URL, and never a query.
/// Method: requests of every kind, then the same under what was learnt.
#[test]
fn what_was_learnt_allows_it_again() {
    let app = Setup::default().mode(Mode::Learn);
    let mut gate = app.gate();
    let urls = [
        "https://a.example/v1/me?token=CANARY",
        "https://a.example/",
        "https://a.example/v1//x?q=CANARY",
        "http://10.0.0.7:8000/x/",
        "http://host.internal:8000/status#CANARY",
    ]
    .map(url);
    for url in &urls {
        let _permit = gate
            .decide(Instant::ZERO, APP, &get(url))
            .expect("let pass");
    }
    let post = Act::Request(request(Method::Post, &urls[0]));
    let _permit = gate.decide(Instant::ZERO, APP, &post).expect("let pass");
    let connect = common::get_at(&urls[0], "93.184.216.34");
    answer(&mut gate, &name("a.example"), "93.184.216.34", 60);
    let _permit = gate.decide(Instant::ZERO, APP, &connect).expect("let pass");
    let rules: Vec<_> = gate
        .learnt()
        .rules(HTTP)
        .iter()
        .map(ToString::to_string)
        .collect();
    let mut want = [
        "GET,POST https://a.example/v1/me",
        "GET https://a.example/*",
        "GET http://10.0.0.7:8000/x/*",
        "GET http://host.internal:8000/status",
    ];
    let mut found: Vec<_> = rules.iter().map(String::as_str).collect();
    want.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, want);
    let manifest = gate.learnt().manifest(&identity().id, None, &[], "");
    assert!(!manifest.contains("CANARY"), "{manifest}");
    let again = Setup {
        manifest,
        ..Setup::default()
    };
    let again = again.yes();
    for url in &urls {
        assert_eq!(again.reason(&get(url)), "allowed", "{url}");
    }
    // What no rule can name is not let pass.
    for never in [
        "http://169.254.169.254/",
        "http://10.0.2.3/",
        "http://[64:ff9b::a00:1]/",
    ] {
        assert_ne!(app.reason(&get(&url(never))), "allowed", "{never}");
    }
}

/// Goal: no refusal proposes, and no run learns, a rule for a class of addresses where a name was meant that is called
/// as one. Method: such names, for a request, a lookup and a connection. Found by the fuzz target url_decision.
#[test]
fn reject_to_propose_a_class_for_a_name_that_is_called_so() {
    for word in ["public", "lan", "metadata", "host", "loopback", "localhost"] {
        let host = name(word);
        let url = url(&format!("http://{word}/x"));
        let connect = common::connect_by(&host, "93.184.216.34:443");
        let lookup = |via| Act::Resolve { name: &host, via };
        for act in [get(&url), lookup(HTTP), lookup(common::TCP), connect] {
            let denial = Setup::default().decide(&act).expect_err("asks for nothing");
            assert_eq!(denial.fixes, [], "{word} {act:?}");
            let mut gate = Setup::default().mode(Mode::Learn).gate();
            answer(&mut gate, &host, "93.184.216.34", 60);
            let _permit = gate.decide(Instant::ZERO, APP, &act).expect("let pass");
            assert_eq!(gate.learnt().rules(act.capability()), [], "{word} {act:?}");
        }
    }
}
