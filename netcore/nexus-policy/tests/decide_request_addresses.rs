//! Where requests go: the addresses of a name and of a URL, each judged before one is dialled.

mod common;

use std::sync::{Arc, Mutex};

use common::{APP, HTTP, Setup, WALL, addr, answer, get, get_at, name, request, url};
use nexus_policy::parameter::url::Method;
use nexus_policy::{Act, Auditor, Entry, Gate, Mode, Permit, Policy, Recorded, Unrecorded};
use nexus_types::Instant;

const URL: &str = "network.http.request";

fn reason(answer: Result<Permit, Box<nexus_policy::Denial>>) -> &'static str {
    match answer {
        Ok(_) => "allowed",
        Err(denial) => denial.reason.as_str(),
    }
}

/// A gate whose app may request of `a.example` and of the machine.
fn gate() -> Gate {
    Setup::requests(&["https://a.example", "http://host.internal:8000"])
        .yes()
        .gate()
}

/// What a name led to, and the connection then.
fn led(gate: &mut Gate, text: &str, address: &str) -> &'static str {
    let url = url(text);
    let host = url.name().expect("a name").clone();
    answer(gate, &host, address, 60);
    reason(gate.decide(Instant::ZERO, APP, &get_at(&url, address)))
}

/// Goal: a name means public addresses alone, and the machine's name the machine alone. Method: every kind of address
/// a name may be answered with, in every form.
#[test]
fn reject_a_name_that_leads_where_names_do_not() {
    for (address, want) in [
        ("93.184.216.34", "allowed"),
        ("::ffff:93.184.216.34", "allowed"),
        ("2606:4700::1111", "allowed"),
        ("64:ff9b::93.184.216.34", "allowed"),
        ("10.0.0.7", "blocked-range"),
        ("::ffff:10.0.0.7", "blocked-range"),
        ("64:ff9b::10.0.0.7", "blocked-range"),
        ("2002:a00:7::1", "blocked-range"),
        ("192.168.1.1", "blocked-range"),
        ("100.64.0.1", "blocked-range"),
        ("127.0.0.1", "blocked-range"),
        ("::1", "blocked-range"),
        ("::127.0.0.1", "blocked-range"),
        ("169.254.1.1", "blocked-range"),
        ("fe80::1", "blocked-range"),
        ("fec0::1", "blocked-range"),
        ("169.254.169.254", "blocked-range"),
        ("fd00:ec2::254", "blocked-range"),
        ("10.0.2.15", "blocked-range"),
        ("10.0.2.2", "blocked-range"),
        ("10.0.2.3", "blocked-range"),
        ("224.0.0.1", "blocked-range"),
        ("0.0.0.0", "blocked-range"),
        ("198.18.0.1", "blocked-range"),
        ("240.0.0.1", "blocked-range"),
    ] {
        assert_eq!(
            led(&mut gate(), "https://a.example/", address),
            want,
            "{address}"
        );
        let host = if address == "10.0.2.2" {
            "allowed"
        } else {
            "blocked-range"
        };
        let internal = led(&mut gate(), "http://host.internal:8000/", address);
        assert_eq!(internal, host, "{address}");
    }
}

/// Goal: an address counts as the name's while an answer says so, for the app that it was given; and one connection is
/// of one origin. Method: no answer, another name's, one that is over; another port, another address of a literal.
#[test]
fn reject_an_address_that_is_not_the_names() {
    let mut gate = gate();
    let url = url("https://a.example/");
    let act = get_at(&url, "93.184.216.34");
    assert_eq!(reason(gate.decide(Instant::ZERO, APP, &act)), "expired");
    answer(&mut gate, &name("b.example"), "93.184.216.34", 60);
    assert_eq!(reason(gate.decide(Instant::ZERO, APP, &act)), "expired");
    answer(&mut gate, &name("a.example"), "93.184.216.34", 30);
    assert_eq!(reason(gate.decide(Instant::ZERO, APP, &act)), "allowed");
    assert_eq!(
        reason(gate.decide(Instant::from_secs(30), APP, &act)),
        "expired"
    );
    let elsewhere = |url, remote| Act::RequestConnect {
        request: request(Method::Get, url),
        remote: addr(remote),
    };
    let port = elsewhere(&url, "93.184.216.34:80");
    assert_eq!(reason(gate.decide(Instant::ZERO, APP, &port)), "rule-error");
    let literal = common::url("https://93.184.216.34/");
    let mut gate = Setup::requests(&["https://public"]).yes().gate();
    let there = elsewhere(&literal, "93.184.216.34:443");
    assert_eq!(reason(gate.decide(Instant::ZERO, APP, &there)), "allowed");
    let mapped = elsewhere(&literal, "[::ffff:93.184.216.34]:443");
    assert_eq!(reason(gate.decide(Instant::ZERO, APP, &mapped)), "allowed");
    for other in ["93.184.216.35:443", "10.0.0.7:443", "93.184.216.34:80"] {
        let act = elsewhere(&literal, other);
        assert_eq!(
            reason(gate.decide(Instant::ZERO, APP, &act)),
            "rule-error",
            "{other}"
        );
    }
}

/// Goal: a URL with an address is judged by rules for that address or its class, and by none for a name; metadata
/// needs the operator's own rule; what no rule can name has none. Method: an address, a rule of both keys, the answer.
#[test]
fn a_literal_is_judged_by_what_it_is() {
    for (rule, host, want) in [
        ("https://93.184.216.34", "93.184.216.34", "allowed"),
        ("https://93.184.216.34", "[::ffff:93.184.216.34]", "allowed"),
        ("https://93.184.216.34", "93.184.216.35", "not-permitted"),
        ("https://public", "93.184.216.34", "allowed"),
        ("https://public", "[2606:4700::1111]", "allowed"),
        ("https://public", "10.0.0.7", "blocked-range"),
        ("https://lan", "10.0.0.7", "allowed"),
        ("https://lan", "[fd12::1]", "allowed"),
        ("https://lan", "10.0.2.15", "blocked-range"),
        ("https://10.0.2.15", "10.0.2.15", "allowed"),
        ("https://10.0.2.2", "10.0.2.2", "blocked-range"),
        ("https://host.internal", "10.0.2.2", "blocked-range"),
        ("https://loopback", "127.0.0.1", "allowed"),
        ("https://loopback", "10.0.2.15", "allowed"),
        ("https://link-local", "169.254.1.1", "allowed"),
        ("https://link-local", "169.254.169.254", "blocked-range"),
        ("https://metadata", "169.254.169.254", "allowed"),
        ("https://a.example", "93.184.216.34", "not-permitted"),
    ] {
        let url = url(&format!("https://{host}/"));
        let app = Setup::requests(&[rule])
            .yes()
            .operator("allow", URL, &[rule]);
        assert_eq!(app.reason(&get(&url)), want, "{rule} {host}");
        let dialled = host.trim_matches(['[', ']']);
        assert_eq!(app.reason(&get_at(&url, dialled)), want, "{rule} {host}");
    }
    let metadata = url("http://169.254.169.254/");
    let asks = Setup::requests(&["http://metadata"]).yes();
    assert_eq!(asks.reason(&get(&metadata)), "operator-denied");
    let observed = Setup::default().mode(Mode::Observe);
    assert_eq!(observed.reason(&get(&metadata)), "not-granted");
    for port in [7_700, 9_464] {
        let url = url(&format!("http://host.internal:{port}/"));
        let rule = format!("http://host.internal:{port}");
        let mut gate = Setup::requests(&[&rule]).yes().gate();
        answer(&mut gate, &name("host.internal"), "10.0.2.2", 60);
        let act = get_at(&url, "10.0.2.2");
        assert_eq!(
            reason(gate.decide(Instant::ZERO, APP, &act)),
            "host-owned-port"
        );
    }
}

/// Goal: what is written of an address or a class holds against a name that leads there, and what is written of a name
/// against the addresses it is known by; of its part of the origin and no other. Method: a forbid and an ask each.
#[test]
fn reject_what_is_written_of_where_a_name_leads() {
    for (forbid, path, want) in [
        ("https://93.184.216.34", "/", "operator-denied"),
        (
            "https://93.184.216.34/admin/*",
            "/admin/x",
            "operator-denied",
        ),
        ("https://93.184.216.34/admin/*", "/x", "allowed"),
        ("https://93.184.216.35", "/", "allowed"),
        ("https://public/admin/*", "/admin/x", "operator-denied"),
        ("https://public/admin/*", "/x", "allowed"),
        ("POST https://public", "/", "allowed"),
        ("http://public", "/", "allowed"),
        ("https://lan", "/", "allowed"),
    ] {
        let app = Setup::requests(&["https://a.example"])
            .yes()
            .operator("forbid", URL, &[forbid]);
        let text = format!("https://a.example{path}");
        assert_eq!(
            led(&mut app.gate(), &text, "93.184.216.34"),
            want,
            "{forbid} {path}"
        );
    }
    // The other way: the URL has the address that a name is known by.
    let literal = url("https://93.184.216.34/admin/x");
    let evil = name("evil.example");
    for (verdict, rule, want) in [
        ("forbid", "https://evil.example", "operator-denied"),
        ("forbid", "https://evil.example/admin/*", "operator-denied"),
        ("forbid", "https://evil.example/else", "allowed"),
        ("ask", "https://evil.example", "consent-required"),
    ] {
        let mut app =
            Setup::requests(&["https://93.184.216.34"]).operator("allow", URL, &["https://public"]);
        app = app.operator(verdict, URL, &[rule]);
        let mut gate = app.gate();
        assert_eq!(
            reason(gate.decide(Instant::ZERO, APP, &get(&literal))),
            "allowed"
        );
        answer(&mut gate, &evil, "93.184.216.34", 60);
        let answer = gate.decide(Instant::ZERO, APP, &get(&literal));
        assert_eq!(reason(answer), want, "{verdict} {rule}");
    }
    // The machine is the class `host`, however it is written.
    let app = Setup::requests(&["http://host.internal"]).yes();
    for forbid in ["http://host", "http://host.internal"] {
        let app = app.clone().operator("forbid", URL, &[forbid]);
        let answer = led(&mut app.gate(), "http://host.internal/", "10.0.2.2");
        assert_eq!(answer, "operator-denied");
    }
}

type Records = Arc<Mutex<Vec<(Recorded, String)>>>;

/// Writes down what is recorded.
struct Book(Records);

impl Auditor for Book {
    fn record(&mut self, _now: Instant, entry: &Entry<'_>) -> Result<(), Unrecorded> {
        let target = entry.target.map(ToString::to_string).unwrap_or_default();
        let mut records = self.0.lock().map_err(|_| Unrecorded)?;
        records.push((entry.verdict, target));
        Ok(())
    }
}

/// Goal: where one address of an answer is refused, none is dialled, and the refusal is recorded once.
#[test]
fn reject_all_addresses_where_one_is_refused() {
    let url = url("https://a.example/");
    let mut gate = gate();
    for address in ["93.184.216.34", "2606:4700::1111", "10.0.0.7", "127.0.0.1"] {
        answer(&mut gate, &name("a.example"), address, 60);
    }
    let records = Records::default();
    gate.set_auditor(Box::new(Book(records.clone())));
    let taken = || core::mem::take(&mut *records.lock().expect("one thread"));
    let mut judge = |addresses: &[&str]| {
        let acts = addresses.iter().map(|address| get_at(&url, address));
        gate.decide_all(Instant::ZERO, APP, acts)
    };
    let good = judge(&["93.184.216.34", "2606:4700::1111"]).expect("both are public");
    let remotes: Vec<_> = good.iter().map(|permit| permit.target().remote()).collect();
    assert_eq!(
        remotes,
        [
            Some(addr("93.184.216.34:443")),
            Some(addr("[2606:4700::1111]:443"))
        ]
    );
    assert_eq!(taken().len(), 2);
    for mixed in [
        &["10.0.0.7"][..],
        &["93.184.216.34", "10.0.0.7"],
        &["127.0.0.1", "93.184.216.34"],
        &["93.184.216.34", "2606:4700::1111", "10.0.0.7"],
    ] {
        let denial = judge(mixed).expect_err("one is not");
        assert_eq!(denial.reason.as_str(), "blocked-range", "{mixed:?}");
        let refused = denial.target.to_string();
        assert_eq!(taken(), [(Recorded::Deny, refused)], "{mixed:?}");
    }
    assert_eq!(judge(&[]), Ok(Vec::new()));
    // Nor where refusals are let pass: no rule leads a name there.
    for mode in [Mode::Observe, Mode::Learn] {
        let mut gate = Setup::default().mode(mode).gate();
        answer(&mut gate, &name("a.example"), "10.0.0.7", 60);
        answer(&mut gate, &name("a.example"), "93.184.216.34", 60);
        let acts = |addresses: [&'static str; 2]| addresses.map(|address| get_at(&url, address));
        let mixed = gate.decide_all(Instant::ZERO, APP, acts(["93.184.216.34", "10.0.0.7"]));
        assert!(mixed.is_err(), "{mode}");
        let good = gate.decide_all(Instant::ZERO, APP, acts(["93.184.216.34"; 2]));
        assert_eq!(good.map(|permits| permits.len()), Ok(2), "{mode}");
    }
}

/// Goal: a connection is judged again as the request it is for. Method: policies read anew while it is open; each says
/// something of the method, the path, the name or the address.
#[test]
fn an_open_connection_ends_with_what_it_was_for() {
    let url = url("https://a.example/v1/me");
    let act = get_at(&url, "93.184.216.34");
    let app = Setup::requests(&["https://a.example"]).yes();
    for (forbid, goes_on) in [
        (&["https://a.example/v2/*"][..], true),
        (&["POST https://a.example"], true),
        (&["https://lan"], true),
        (&["https://a.example/v1/*"], false),
        (&["GET https://public"], false),
        (&["https://93.184.216.34"], false),
        (&[], false),
    ] {
        let mut gate = app.gate();
        answer(&mut gate, &name("a.example"), "93.184.216.34", 9);
        let stamp = gate
            .decide(Instant::ZERO, APP, &act)
            .expect("opened")
            .stamp();
        let policy = common::rule("new", "forbid", URL, forbid);
        let policy = Policy::parse(&policy, "policy.toml").expect("a policy");
        // The answer's time is over, which ends no connection.
        let later = Instant::from_secs(10);
        gate.set_policies(later, WALL, Policy::none(), policy);
        assert!(!gate.is_current(stamp));
        let again = gate.judge_again(later, stamp, &act);
        assert_eq!(again.is_ok(), goes_on, "{forbid:?}");
        if let Err(denial) = again {
            assert_eq!(denial.reason.as_str(), "revoked");
        }
    }
}

/// Goal: what a permit is for is what was asked, and who holds it can ask what allowed it.
#[test]
fn a_permit_is_for_the_request() {
    let url = url("https://a.example/v1/me?q");
    let mut gate = gate();
    let permit = gate
        .decide(Instant::ZERO, APP, &get(&url))
        .expect("allowed");
    assert_eq!(permit.capability(), HTTP);
    let nexus_policy::Target::Request(kept) = permit.target() else {
        panic!("{permit:?}");
    };
    assert_eq!(kept.request(), request(Method::Get, &url));
    let granted = gate.granted(&permit).expect("by a rule");
    assert_eq!(granted.asked.to_string(), "https://a.example/*");
    assert_eq!(granted.allowed, None);
    // The rule that covers it, of both keys; under the policy it was decided by.
    let asks = [
        "https://a.example/v2/*",
        "GET https://*.a.example",
        "GET,POST https://a.example/v1/*",
    ];
    let app = Setup::requests(&asks)
        .operator("allow", URL, &["https://b.example"])
        .operator("allow", URL, &["https://public/v1/*"]);
    let mut gate = app.gate();
    answer(&mut gate, &name("a.example"), "93.184.216.34", 60);
    for act in [get(&url), get_at(&url, "93.184.216.34")] {
        let permit = gate.decide(Instant::ZERO, APP, &act).expect("allowed");
        let granted = gate.granted(&permit).expect("by a rule");
        assert_eq!(granted.asked.to_string(), asks[2]);
        assert!(!granted.asked.methods.contains(Method::Delete));
        assert_eq!(granted.allowed.map(|rule| rule.id.as_str()), Some("rule-1"));
        gate.set_policies(Instant::ZERO, WALL, Policy::none(), Policy::none());
        assert_eq!(gate.granted(&permit), None);
        gate = app.gate();
        answer(&mut gate, &name("a.example"), "93.184.216.34", 60);
    }
    let run = Setup::default().allow("network.http.request=https://a.example/v1/me");
    let mut gate = run.gate();
    let permit = gate
        .decide(Instant::ZERO, APP, &get(&url))
        .expect("allowed");
    let granted = gate.granted(&permit).expect("by a rule");
    assert_eq!(granted.asked.to_string(), "https://a.example/v1/me");
    // Nor was anything but a request.
    let mut gate = Setup::connect(&["93.184.216.34:443"]).yes().gate();
    let act = common::connect("93.184.216.34:443");
    let permit = gate.decide(Instant::ZERO, APP, &act).expect("allowed");
    assert_eq!(gate.granted(&permit), None);
}
