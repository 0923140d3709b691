//! What a refusal says, word for word. The texts are a contract: people and scripts read them.
//!
//! To change one on purpose, run with `BLESS=1` and read the difference; a failure prints what it would be.

#![allow(
    clippy::disallowed_methods,
    reason = "the crate does no IO; BLESS=1 renews the files this test holds"
)]

mod common;

use common::{APP, Setup, addr, answer, connect, connect_by, identity, name, rule};
use nexus_policy::{Act, AppIdentity, Capability, Gate, Policy, PublisherKey, render};
use nexus_types::Instant;

fn denied(setup: &Setup, act: &Act<'_>) -> String {
    denied_by(&mut setup.gate(), Instant::ZERO, act)
}

fn denied_by(gate: &mut Gate, now: Instant, act: &Act<'_>) -> String {
    match gate.decide(now, APP, act) {
        Ok(permit) => panic!("permitted: {permit:?}"),
        Err(denial) => render(&denial, &identity()),
    }
}

fn refused(setup: &Setup) -> String {
    refused_by(setup, None)
}

fn refused_by(setup: &Setup, publisher: Option<PublisherKey>) -> String {
    let app = AppIdentity {
        publisher,
        ..identity()
    };
    let admitted = setup.empty_gate().admit(
        Instant::ZERO,
        APP,
        app,
        setup.manifest(),
        setup.consent(),
        &setup.imports,
    );
    admitted.expect_err("admitted").text()
}

macro_rules! golden {
    ($name:literal, $text:expr) => {
        let text: String = $text;
        if std::env::var_os("BLESS").is_some() {
            let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/", $name, ".txt");
            std::fs::write(file, format!("{text}\n")).unwrap();
        }
        let want = include_str!(concat!("golden/", $name, ".txt"));
        assert!(
            text == want.trim_end() || std::env::var_os("BLESS").is_some(),
            "golden/{}.txt would be\n<<<\n{text}\n>>>",
            $name
        );
    };
}

const CONNECT: (&str, &[&str]) = ("nexus:net/tcp-connect@0.1.0", &["connect", "resolve"]);
const LISTEN: (&str, &[&str]) = ("nexus:net/tcp-listen@0.1.0", &["listen"]);

#[test]
fn reject_a_host_no_rule_names() {
    golden!(
        "host-not-named",
        denied(
            &Setup::connect(&["api.example.com:443"]).yes(),
            &connect("93.184.216.34:443")
        )
    );
    let example = name("example.com");
    let mut gate = Setup::connect(&["*.example.com:443"]).yes().gate();
    answer(&mut gate, &example, "93.184.216.34", 60);
    let act = connect_by(&example, "93.184.216.34:443");
    golden!(
        "wildcard-and-apex",
        denied_by(&mut gate, Instant::ZERO, &act)
    );
    golden!(
        "wrong-port",
        denied(
            &Setup::connect(&["10.0.0.0/8:80"]).yes(),
            &connect("10.1.2.3:443")
        )
    );
    golden!(
        "ipv6",
        denied(
            &Setup::connect(&["public:80"]).yes(),
            &connect("[2606:4700::1111]:443")
        )
    );
}

#[test]
fn reject_a_capability_the_manifest_does_not_ask_for() {
    let udp = Act::UdpSend {
        remote: addr("93.184.216.34:53"),
        name: None,
    };
    golden!(
        "not-granted",
        denied(&Setup::connect(&["public:443"]).yes(), &udp)
    );
    golden!(
        "no-manifest",
        denied(&Setup::default().yes(), &connect("93.184.216.34:443"))
    );
    golden!(
        "no-manifest-listen",
        denied(
            &Setup::default(),
            &Act::Listen {
                local: addr("0.0.0.0:8080")
            }
        )
    );
}

#[test]
fn reject_what_nobody_said_yes_to() {
    let app = Setup::connect(&["public:443"]);
    golden!(
        "consent-required",
        denied(&app, &connect("93.184.216.34:443"))
    );
    let asks = app
        .clone()
        .operator("allow", "network.tcp.connect", &["public:*"])
        .operator("ask", "network.tcp.connect", &["93.184.216.0/24:*"]);
    golden!(
        "consent-required-by-rule",
        denied(&asks, &connect("93.184.216.34:443"))
    );
}

#[test]
fn reject_what_the_operator_forbids() {
    let app = Setup::connect(&["public:443"]).yes().machine(
        "forbid",
        "network.tcp.connect",
        &["93.184.216.0/24:*"],
    );
    golden!(
        "operator-forbids",
        denied(&app, &connect("93.184.216.34:443"))
    );
    // Not asked for as well: still no advice to edit the manifest.
    let app = Setup::connect(&["public:80"]).machine(
        "forbid",
        "network.tcp.connect",
        &["93.184.216.0/24:*"],
    );
    golden!(
        "operator-forbids",
        denied(&app, &connect("93.184.216.34:443"))
    );
}

#[test]
fn reject_special_ranges() {
    let app = Setup::connect(&["api.example.com:443"]).yes();
    let api = name("api.example.com");
    let mut gate = app.gate();
    answer(&mut gate, &api, "10.1.2.3", 60);
    let act = connect_by(&api, "10.1.2.3:443");
    golden!(
        "name-leads-to-lan",
        denied_by(&mut gate, Instant::ZERO, &act)
    );
    golden!("lan", denied(&app, &connect("10.1.2.3:443")));
    golden!(
        "lan-wrapped",
        denied(&app, &connect("[64:ff9b::10.1.2.3]:443"))
    );
    golden!("metadata", denied(&app, &connect("169.254.169.254:80")));
    golden!(
        "metadata-asked",
        denied(
            &Setup::connect(&["169.254.169.254:80"]).yes(),
            &connect("169.254.169.254:80")
        )
    );
    golden!("host-by-address", denied(&app, &connect("10.0.2.2:443")));
    golden!("infrastructure", denied(&app, &connect("10.0.2.3:53")));
    golden!("unspecified", denied(&app, &connect("0.0.0.0:80")));
    golden!(
        "port-0",
        denied(
            &Setup::connect(&["public:*"]).yes(),
            &connect("93.184.216.34:0")
        )
    );
    golden!("loopback", denied(&app, &connect("127.0.0.1:80")));
}

#[test]
fn reject_names_no_rule_names() {
    let evil = name("evil.example");
    let act = Act::Resolve {
        name: &evil,
        via: Capability::NetworkTcpConnect,
    };
    golden!(
        "name-not-named",
        denied(
            &Setup::connect(&["public:443", "api.example.com:443"]).yes(),
            &act
        )
    );
}

#[test]
fn reject_addresses_of_the_apps_own() {
    let app = Setup::asks("system", &[("network.tcp.listen", &["loopback:8080"])]);
    let allowed = app
        .clone()
        .operator("allow", "network.tcp.listen", &["any:*"]);
    golden!(
        "bind-not-permitted",
        denied(
            &allowed,
            &Act::Listen {
                local: addr("0.0.0.0:8080")
            }
        )
    );
    golden!(
        "bind-asked-and-allowed-less",
        denied(
            &app.clone()
                .operator("allow", "network.tcp.listen", &["loopback:*"]),
            &Act::Listen {
                local: addr("0.0.0.0:8080")
            }
        )
    );
    golden!(
        "bind-port-0",
        denied(
            &allowed,
            &Act::Listen {
                local: addr("127.0.0.1:0")
            }
        )
    );
    golden!(
        "system-class",
        denied(
            &app.clone().yes(),
            &Act::Listen {
                local: addr("127.0.0.1:8080")
            }
        )
    );
    let all = Setup::asks("system", &[("network.tcp.listen", &["any:*"])]).operator(
        "allow",
        "network.tcp.listen",
        &["any:*"],
    );
    golden!(
        "host-owned-port",
        denied(
            &all,
            &Act::Listen {
                local: addr("[::]:7700")
            }
        )
    );
}

#[test]
fn reject_what_is_over() {
    let api = name("api.example.com");
    let mut gate = Setup::connect(&["api.example.com:443"]).yes().gate();
    answer(&mut gate, &api, "93.184.216.34", 60);
    let act = connect_by(&api, "93.184.216.34:443");
    assert!(gate.decide(Instant::from_secs(59), APP, &act).is_ok());
    golden!(
        "answer-expired",
        denied_by(&mut gate, Instant::from_secs(60), &act)
    );

    let mut app = Setup::connect(&["public:443"]);
    app.operator = rule(
        "until-tomorrow",
        "allow",
        "network.tcp.connect",
        &["public:443"],
    ) + "expires = \"2026-11-23T00:00:00Z\"\n";
    let mut gate = app.gate();
    let act = connect("93.184.216.34:443");
    let day = 24 * 60 * 60;
    assert!(gate.decide(Instant::from_secs(day - 1), APP, &act).is_ok());
    golden!(
        "rule-expired",
        denied_by(&mut gate, Instant::from_secs(day), &act)
    );
}

#[test]
fn reject_what_is_open_when_the_policy_changes() {
    let mut gate = Setup::connect(&["public:443"]).yes().gate();
    let act = connect("93.184.216.34:443");
    let stamp = gate.decide(Instant::ZERO, APP, &act).unwrap().stamp();
    let text = rule(
        "no-more",
        "forbid",
        "network.tcp.connect",
        &["93.184.216.34:*"],
    );
    let policy = Policy::parse(&text, "policy.toml").unwrap();
    gate.set_policies(Instant::ZERO, common::WALL, Policy::none(), policy);
    assert!(!gate.is_current(stamp));
    let denial = gate.judge_again(Instant::ZERO, stamp, &act).unwrap_err();
    golden!("revoked", render(&denial, &identity()));
}

/// Goal: what a refused request says: who, what of the URL, why, and what would change it; never a query.
#[test]
fn reject_requests() {
    use common::{get, get_at, request, url};
    use nexus_policy::Request;
    use nexus_policy::parameter::url::Method;
    const HTTP: &str = "network.http.request";
    let me = url("https://user:CANARY@api.example.com/v1/me?token=CANARY#CANARY");
    let (v2, odd) = (
        url("https://api.example.com/v2/a's/"),
        url("https://api.example.com/v1/..%2fadmin"),
    );
    let post = Act::Request(request(Method::Post, &me));
    let hop = Act::Request(Request {
        redirected: true,
        ..request(Method::Get, &v2)
    });
    let other = Act::Request(Request {
        method: None,
        url: &me,
        redirected: false,
    });
    let asks = Setup::requests(&["GET https://api.example.com/v1/*"]);
    let app = asks.clone().yes();
    let forbids = app
        .clone()
        .operator("forbid", HTTP, &["https://*.example.com/v1/me"]);
    let leads = |address: &str| {
        let mut gate = app.gate();
        answer(&mut gate, &name("api.example.com"), address, 60);
        denied_by(&mut gate, Instant::ZERO, &get_at(&me, address))
    };
    let literal = |text: &str| denied(&app, &get(&url(text)));
    let lookup = Act::Resolve {
        name: &name("b.example.com"),
        via: common::HTTP,
    };
    let texts = [
        denied(&Setup::default(), &get(&me)),
        denied(&asks, &get(&me)),
        denied(&app, &get(&v2)),
        denied(&app, &get(&odd)),
        denied(&app, &post),
        denied(&app, &other),
        denied(&app, &hop),
        denied(&forbids, &get(&me)),
        leads("10.0.0.7"),
        leads("10.0.2.3"),
        literal("http://10.0.0.7:8000/status"),
        literal("http://10.0.2.2:8000/status"),
        literal("http://169.254.169.254/latest/meta-data/"),
        literal(&format!("https://[2606:4700::1111]/{}", "x".repeat(300))),
        denied(&app, &lookup),
    ];
    let text = texts.join("\n\n");
    assert!(!text.contains("CANARY") && !text.contains("user"), "{text}");
    golden!("requests", text);
}

#[test]
fn reject_text_of_a_guest_that_would_repaint_the_line() {
    let act = Act::SetVariable {
        name: "PATH\x1b[2J\u{202e}\n",
    };
    golden!("escaped", denied(&Setup::connect(&["public:1"]), &act));
}

#[test]
fn reject_at_load_for_want_of_consent() {
    let app = Setup::connect(&["host.internal:*", "example.com:80"]).import(CONNECT.0, CONNECT.1);
    golden!("load-consent", refused(&app));
    let report = app
        .empty_gate()
        .admit(
            Instant::ZERO,
            APP,
            identity(),
            app.manifest(),
            app.consent(),
            &app.imports,
        )
        .unwrap_err();
    golden!(
        "load-consent-json",
        serde_json::to_string_pretty(&report).unwrap()
    );
}

#[test]
fn reject_at_load_everything_at_once() {
    let app = Setup::connect(&["public:443"])
        .import("wasi:cli/stdout@0.2.6", &["get-stdout"])
        .import("nexus:net/types@0.1.0", &[])
        .import(LISTEN.0, LISTEN.1)
        .import(CONNECT.0, CONNECT.1)
        .import("nexus:net/udp-send@0.2.0", &["connect"])
        .import(
            "wasi:sockets/tcp@0.2.6",
            &["[method]tcp-socket.start-connect"],
        )
        .import("wasi:http/outgoing-handler@0.2.6", &["handle"])
        .import("acme:turbo/boost\u{202e}@1.0.0", &["go"]);
    golden!("load-everything", refused(&app));
    let none = Setup {
        manifest: String::new(),
        ..app
    };
    golden!("load-no-manifest", refused(&none));
}

#[test]
fn reject_at_load_what_the_operator_forbids() {
    let app = Setup::connect(&["api.example.com:443"])
        .yes()
        .import(CONNECT.0, CONNECT.1);
    golden!(
        "load-operator-forbids",
        refused(
            &app.clone()
                .operator("forbid", "network.tcp.connect", &["*.example.com:*"])
        )
    );
    golden!(
        "load-operator-forbids-all",
        refused(&app.operator("forbid", "network.tcp.connect", &[]))
    );
    let unasked = Setup::asks("app", &[])
        .import(CONNECT.0, CONNECT.1)
        .operator("forbid", "network.tcp.connect", &[]);
    golden!("load-operator-forbids-unasked", refused(&unasked));
}

#[test]
fn reject_at_load_system_class_without_the_operator() {
    let app = Setup::asks("system", &[("network.tcp.listen", &["any:7777"])])
        .yes()
        .import(LISTEN.0, LISTEN.1);
    golden!("load-system-class", refused(&app));
}

#[test]
fn reject_at_load_folders_variables_and_limits() {
    let mut app = Setup::asks("app", &[]).yes();
    app.manifest += "[wasi]\ndirs = [{ host = \"./data\", guest = \"/data\", mode = \"rw\" }]\nenv = { LANG = \"en\" }\n\
                     [limits]\nmemory = \"2GiB\"\nsockets = 257\n";
    app.operator = "[limits]\nmemory = \"512MiB\"\n".to_owned();
    golden!("load-wasi-and-limits", refused(&app));
}

#[test]
fn an_optional_capability_starts_as_a_stub() {
    let mut app = Setup::connect(&["public:443"]).import(CONNECT.0, CONNECT.1);
    app.manifest += "optional = true\n";
    let report = app
        .empty_gate()
        .admit(
            Instant::ZERO,
            APP,
            identity(),
            app.manifest(),
            app.consent(),
            &app.imports,
        )
        .unwrap();
    assert!(report.text().is_empty());
    assert!(
        report.is_stubbed(Capability::NetworkTcpConnect)
            && !report.is_granted(Capability::NetworkTcpConnect)
    );
    golden!(
        "optional-stub-json",
        serde_json::to_string_pretty(&report).unwrap()
    );
    golden!(
        "consent-required",
        denied(&app, &connect("93.184.216.34:443"))
    );
}

/// A file that requires the signature of one of the first `count` publishers.
fn requires(count: u8) -> String {
    let listed = (1..=count).map(|n| {
        let key = common::publisher(n);
        format!("[[publisher]]\nname = \"publisher-{n}\"\nkey = \"{key}\"\n")
    });
    format!("require-signature = true\n{}", listed.collect::<String>())
}

#[test]
fn reject_an_app_without_the_signature_a_policy_requires() {
    let setup = Setup {
        operator: requires(1),
        ..Setup::default()
    };
    golden!("load-not-signed", refused(&setup));
    let setup = Setup {
        machine: requires(5),
        ..Setup::connect(&["a.example:1"])
    };
    golden!(
        "load-signed-by-another",
        refused_by(&setup, Some(common::publisher(9)))
    );
}

#[test]
fn reject_what_is_forbidden_to_a_publisher() {
    let key = common::publisher(1);
    let text = rule("no-acme", "forbid", "network.tcp.connect", &["lan:*"]);
    let setup = Setup {
        operator: text.replace(
            "capability =",
            &format!("app = {{ publisher = \"{key}\" }}\ncapability ="),
        ),
        ..Setup::connect(&["10.0.0.0/8:80"]).yes()
    };
    golden!("load-publisher-forbidden", {
        let setup = setup.clone().import(CONNECT.0, CONNECT.1);
        refused_by(&setup, Some(key))
    });
    // Of anybody else it does not speak.
    assert!(setup.decide(&connect("10.1.2.3:80")).is_ok());
}
