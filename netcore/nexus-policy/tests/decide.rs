//! Acts judged end to end: manifest text, policy text, topology, verdict.

mod common;

use common::{APP, Setup, TCP, addr, answer, connect, connect_by, identity, name, rule};
use nexus_policy::wasi::DirectoryMode;
use nexus_policy::{Act, AppIdentity, Capability, Consent, Gate, Manifest};
use nexus_types::{AppDigest, Instant};

const LISTEN: &str = "network.tcp.listen";
const CONNECT: &str = "network.tcp.connect";

fn listen(local: &str) -> Act<'static> {
    Act::Listen { local: addr(local) }
}

#[test]
fn two_keys_are_needed() {
    let act = connect("93.184.216.34:443");
    let app = Setup::connect(&["public:443"]);
    assert_eq!(app.reason(&act), "consent-required");
    assert_eq!(app.clone().yes().reason(&act), "allowed");
    assert_eq!(
        app.clone()
            .operator("allow", CONNECT, &["93.184.216.0/24:443"])
            .reason(&act),
        "allowed"
    );
    assert_eq!(
        app.operator("allow", CONNECT, &["public:80"]).reason(&act),
        "consent-required"
    );
    let other = Setup::connect(&["public:80"]).operator("allow", CONNECT, &["public:*"]);
    assert_eq!(other.reason(&act), "not-permitted");
    assert_eq!(Setup::default().yes().reason(&act), "not-granted");
}

#[test]
fn a_written_forbid_beats_everything() {
    let act = connect("93.184.216.34:443");
    let all = Setup::connect(&["public:443"])
        .yes()
        .operator("allow", CONNECT, &["public:443"])
        .allow("network.tcp.connect=public:443");
    assert_eq!(all.reason(&act), "allowed");
    assert_eq!(
        all.clone()
            .operator("forbid", CONNECT, &["0.0.0.0/0:*"])
            .reason(&act),
        "operator-denied"
    );
    assert_eq!(
        all.clone()
            .machine("forbid", CONNECT, &["public:443"])
            .reason(&act),
        "operator-denied"
    );
    assert_eq!(
        all.clone().machine("forbid", CONNECT, &[]).reason(&act),
        "operator-denied"
    );
    assert_eq!(
        all.machine("forbid", "network.udp.send", &[]).reason(&act),
        "allowed"
    );
}

#[test]
fn allow_on_the_command_line_is_both_keys_for_what_it_names() {
    let app = Setup::default()
        .allow("network.tcp.connect=93.184.216.34:443")
        .allow("network.tcp.listen=any:8080");
    assert_eq!(app.reason(&connect("93.184.216.34:443")), "allowed");
    assert_eq!(app.reason(&connect("93.184.216.34:80")), "not-permitted");
    assert_eq!(app.reason(&listen("0.0.0.0:8080")), "allowed");
    assert_eq!(app.reason(&listen("0.0.0.0:8081")), "bind-not-permitted");
    assert_eq!(
        app.reason(&Act::UdpSend {
            remote: addr("93.184.216.34:443"),
            name: None
        }),
        "not-granted"
    );
    // A written ask is a question, and this is a person's answer.
    assert_eq!(
        app.operator("ask", CONNECT, &[])
            .reason(&connect("93.184.216.34:443")),
        "allowed"
    );
}

#[test]
fn ask_beats_allow_and_consent_answers_it() {
    let act = connect("93.184.216.34:443");
    let app = Setup::connect(&["public:443"])
        .operator("allow", CONNECT, &["public:443"])
        .operator("ask", CONNECT, &["93.184.216.34:*"]);
    assert_eq!(app.reason(&act), "consent-required");
    assert_eq!(app.reason(&connect("93.184.216.35:443")), "allowed");
    assert_eq!(app.yes().reason(&act), "allowed");
}

#[test]
fn a_rule_for_one_app_is_for_no_other() {
    let act = connect("93.184.216.34:443");
    let mut app = Setup::connect(&["public:443"]);
    app.operator = rule("one", "allow", CONNECT, &["public:443"])
        + &format!("app = {{ digest = \"{}\" }}\n", common::digest());
    assert_eq!(app.reason(&act), "allowed");
    let mut gate = app.empty_gate();
    // The same name in the manifest, another component.
    let other = AppIdentity {
        digest: AppDigest([1; 32]),
        ..identity()
    };
    gate.admit(
        Instant::ZERO,
        APP,
        other,
        app.manifest(),
        app.consent(),
        &[],
    )
    .unwrap();
    assert_eq!(
        gate.decide(Instant::ZERO, APP, &act)
            .unwrap_err()
            .reason
            .as_str(),
        "consent-required"
    );
}

#[test]
fn a_lookup_is_for_names_a_granted_rule_names() {
    let app = Setup::connect(&["*.example.com:443", "public:443"]).yes();
    let look = |setup: &Setup, text: &str| {
        setup.reason(&Act::Resolve {
            name: &name(text),
            via: TCP,
        })
    };
    assert_eq!(look(&app, "a.example.com"), "allowed");
    assert_eq!(look(&app, "example.com"), "name-not-permitted");
    assert_eq!(look(&app, "evilexample.com"), "name-not-permitted");
    assert_eq!(
        look(
            &app.clone()
                .operator("forbid", CONNECT, &["*.example.com:443"]),
            "a.example.com"
        ),
        "operator-denied"
    );
    assert_eq!(
        look(
            &app.clone()
                .operator("forbid", CONNECT, &["*.example.com:80"]),
            "a.example.com"
        ),
        "allowed"
    );
    let silent = Setup::connect(&["*.example.com:443"]);
    assert_eq!(look(&silent, "a.example.com"), "consent-required");
    assert_eq!(
        look(
            &silent
                .clone()
                .operator("allow", CONNECT, &["93.184.216.0/24:443"]),
            "a.example.com"
        ),
        "allowed"
    );
    assert_eq!(
        look(
            &silent.operator("allow", CONNECT, &["93.184.216.0/24:80"]),
            "a.example.com"
        ),
        "consent-required"
    );
    let act = Act::Resolve {
        name: &name("a.example.com"),
        via: Capability::NetworkUdpSend,
    };
    assert_eq!(app.reason(&act), "not-granted");
    let act = Act::Resolve {
        name: &name("a.example.com"),
        via: Capability::NetworkTcpListen,
    };
    assert_eq!(app.reason(&act), "rule-error");
}

#[test]
fn listening_is_the_operators_to_give() {
    let app = Setup::asks(
        "system",
        &[(LISTEN, &["any:8080", "loopback:*", "10.0.2.15:80"])],
    );
    assert_eq!(
        app.clone().yes().reason(&listen("0.0.0.0:8080")),
        "operator-denied"
    );
    let app = app.operator("allow", LISTEN, &["any:*"]);
    for (local, reason) in [
        ("0.0.0.0:8080", "allowed"),
        ("[::]:8080", "allowed"),
        ("10.0.2.15:8080", "allowed"),
        ("0.0.0.0:80", "bind-not-permitted"),
        ("10.0.2.15:80", "allowed"),
        ("[::ffff:10.0.2.15]:80", "allowed"),
        ("10.0.2.16:80", "bind-not-permitted"),
        ("127.0.0.1:9999", "allowed"),
        ("127.9.9.9:0", "allowed"),
        ("[::1]:0", "allowed"),
        ("0.0.0.0:0", "bind-not-permitted"),
        ("127.0.0.1:7700", "host-owned-port"),
        ("[64:ff9b::127.0.0.1]:9999", "blocked-range"),
    ] {
        assert_eq!(app.reason(&listen(local)), reason, "{local}");
    }
    // A forbid of a part forbids what includes it.
    let forbidden = app.operator("forbid", LISTEN, &["loopback:8080", "any:60000"]);
    assert_eq!(forbidden.reason(&listen("0.0.0.0:8080")), "operator-denied");
    assert_eq!(forbidden.reason(&listen("10.0.2.15:8080")), "allowed");
    assert_eq!(forbidden.reason(&listen("127.0.0.1:0")), "operator-denied");
    let accept = Act::Accept {
        local: addr("10.0.2.15:8080"),
        remote: addr("93.184.216.34:1"),
    };
    assert_eq!(forbidden.reason(&accept), "allowed");
}

#[test]
fn udp_has_capabilities_of_its_own() {
    let app = Setup::asks(
        "system",
        &[
            ("network.udp.send", &["public:53"]),
            ("network.udp.bind", &["any:5353"]),
        ],
    )
    .yes()
    .operator("allow", "network.udp.bind", &["any:5353"]);
    let send = Act::UdpSend {
        remote: addr("8.8.8.8:53"),
        name: None,
    };
    let bind = Act::UdpBind {
        local: addr("0.0.0.0:5353"),
    };
    assert_eq!(
        (app.reason(&send), app.reason(&bind)),
        ("allowed", "allowed")
    );
    assert_eq!(app.reason(&connect("8.8.8.8:53")), "not-granted");
    assert_eq!(app.reason(&listen("0.0.0.0:5353")), "not-granted");
    // 7700 is the host's in TCP.
    let app = Setup::default().allow("network.udp.bind=any:7700");
    assert_eq!(
        app.reason(&Act::UdpBind {
            local: addr("0.0.0.0:7700")
        }),
        "allowed"
    );
}

#[test]
fn folders_and_variables_want_the_operator() {
    let mut app = Setup::asks("app", &[]);
    app.manifest += "[wasi]\ndirs = [{ host = \"data\", guest = \"/data\", mode = \"ro\" }]\nenv = { LANG = \"en\" }\n";
    let app = app
        .operator("allow", "wasi.dirs", &["/home/user:rw"])
        .operator("allow", "wasi.env", &["LANG", "TZ"]);
    let open = |path, mode| Act::OpenDirectory { path, mode };
    assert_eq!(
        app.reason(&open("/home/user/weather/data", DirectoryMode::Ro)),
        "allowed"
    );
    assert_eq!(
        app.reason(&open("/home/user/weather/data/x", DirectoryMode::Ro)),
        "allowed"
    );
    assert_eq!(
        app.reason(&open("/home/user/weather/data", DirectoryMode::Rw)),
        "not-permitted"
    );
    // What a link in the folder leads to is judged by where it is.
    assert_eq!(
        app.reason(&open("/etc", DirectoryMode::Ro)),
        "not-permitted"
    );
    assert_eq!(app.reason(&Act::SetVariable { name: "LANG" }), "allowed");
    assert_eq!(
        app.reason(&Act::SetVariable { name: "TZ" }),
        "not-permitted"
    );
    let app = app.machine(
        "forbid",
        "wasi.dirs",
        &["/home/user/weather/data/secret:ro"],
    );
    let mut gate = app.empty_gate();
    assert!(
        gate.admit(
            Instant::ZERO,
            APP,
            identity(),
            app.manifest(),
            app.consent(),
            &[]
        )
        .is_err()
    );
    // Without knowing where the manifest is, no folder is given.
    let bare = Manifest::parse(&app.manifest, "nexus.toml").unwrap();
    assert!(
        gate.admit(
            Instant::ZERO,
            APP,
            identity(),
            bare,
            Consent::default(),
            &[]
        )
        .is_err()
    );
}

#[test]
fn what_a_guest_is_told_is_no_more_than_it_asked() {
    let api = name("api.example.com");
    let app = Setup::connect(&["api.example.com:443"]).yes().machine(
        "forbid",
        CONNECT,
        &["93.184.216.0/24:*"],
    );
    let mut gate: Gate = app.gate();
    answer(&mut gate, &api, "93.184.216.34", 60);
    let act = connect_by(&api, "93.184.216.34:443");
    let denial = gate.decide(Instant::ZERO, APP, &act).unwrap_err();
    assert_eq!(
        denial.why().as_str(),
        "network.tcp.connect to api.example.com:443: the operator does not allow it"
    );
    let json = serde_json::to_string(&denial).unwrap();
    assert!(
        json.contains("93.184.216.34") && json.contains("/etc/nexus-host/policy.toml"),
        "{json}"
    );
}
