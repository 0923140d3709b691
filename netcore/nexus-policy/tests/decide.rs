//! Acts judged end to end: manifest text, policy text, topology, verdict.

mod common;

use common::{APP, Setup, TCP, WALL, addr, connect, identity, ip, name, rule};
use nexus_policy::wasi::DirectoryMode;
use nexus_policy::{Act, AppIdentity, Capability, Consent, Gate, Manifest, Policy};
use nexus_types::{AppDigest, InstanceId, Instant};

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
fn the_flow_of_fetch() {
    let mut gate = Setup::connect(&["host.internal:8000", "api.example.com:80"])
        .yes()
        .gate();
    let host = name("host.internal");
    let permit = gate
        .decide(
            Instant::ZERO,
            APP,
            &Act::Resolve {
                name: &host,
                via: TCP,
            },
        )
        .unwrap();
    assert_eq!(permit.target().name(), Some("host.internal"));
    let dial = Act::Connect {
        remote: addr("10.0.2.2:8000"),
        name: Some(&host),
    };
    assert_eq!(
        gate.decide(Instant::ZERO, APP, &dial)
            .unwrap_err()
            .reason
            .as_str(),
        "expired"
    );
    gate.bind_answer(
        Instant::ZERO,
        APP,
        &host,
        &[ip("10.0.2.2")],
        Instant::from_secs(60),
    );
    let permit = gate.decide(Instant::ZERO, APP, &dial).unwrap();
    assert_eq!(permit.target().remote(), Some(addr("10.0.2.2:8000")));
    assert_eq!(
        (permit.capability(), permit.instance(), permit.epoch()),
        (TCP, APP, gate.epoch())
    );
    assert!(
        gate.decide(Instant::ZERO, APP, &connect("10.0.2.2:8000"))
            .is_ok()
    );
    assert!(
        gate.decide(Instant::ZERO, APP, &connect("10.0.2.2:8001"))
            .is_err()
    );
}

#[test]
fn the_host_is_reached_by_its_name_alone() {
    let act = connect("10.0.2.2:8000");
    let dial = Act::Connect {
        remote: addr("10.0.2.2:8000"),
        name: Some(&name("host.internal")),
    };
    for rules in [
        &["lan:*"][..],
        &["10.0.0.0/8:*"],
        &["10.0.2.2:8000"],
        &["0.0.0.0/0:*"],
        &["public:*"],
        &["loopback:*"],
    ] {
        let app = Setup::connect(rules).yes();
        assert_eq!(app.reason(&act), "blocked-range", "{rules:?}");
        let mut gate = app.gate();
        gate.bind_answer(
            Instant::ZERO,
            APP,
            &name("host.internal"),
            &[ip("10.0.2.2")],
            Instant::from_secs(9),
        );
        assert!(gate.decide(Instant::ZERO, APP, &dial).is_err(), "{rules:?}");
    }
    // Another name that leads there does not help; nor does the host's name for another address.
    let mut gate = Setup::connect(&["evil.example:8000", "host.internal:8000"])
        .yes()
        .gate();
    gate.bind_answer(
        Instant::ZERO,
        APP,
        &name("evil.example"),
        &[ip("10.0.2.2")],
        Instant::from_secs(9),
    );
    gate.bind_answer(
        Instant::ZERO,
        APP,
        &name("host.internal"),
        &[ip("93.184.216.34")],
        Instant::from_secs(9),
    );
    assert_eq!(
        gate.decide(Instant::ZERO, APP, &act)
            .unwrap_err()
            .reason
            .as_str(),
        "blocked-range"
    );
    assert_eq!(
        gate.decide(Instant::ZERO, APP, &connect("93.184.216.34:8000"))
            .unwrap_err()
            .reason
            .as_str(),
        "blocked-range"
    );
    // The host's own ports stay its own.
    let mut gate = Setup::connect(&["host.internal:*"]).yes().gate();
    gate.bind_answer(
        Instant::ZERO,
        APP,
        &name("host.internal"),
        &[ip("10.0.2.2")],
        Instant::from_secs(9),
    );
    assert!(
        gate.decide(Instant::ZERO, APP, &connect("10.0.2.2:7701"))
            .is_ok()
    );
    assert_eq!(
        gate.decide(Instant::ZERO, APP, &connect("10.0.2.2:7700"))
            .unwrap_err()
            .reason
            .as_str(),
        "host-owned-port"
    );
    for forbid in ["host.internal:8000", "host:*"] {
        let mut gate = Setup::connect(&["host.internal:*"])
            .yes()
            .operator("forbid", CONNECT, &[forbid])
            .gate();
        gate.bind_answer(
            Instant::ZERO,
            APP,
            &name("host.internal"),
            &[ip("10.0.2.2")],
            Instant::from_secs(9),
        );
        assert_eq!(
            gate.decide(Instant::ZERO, APP, &act)
                .unwrap_err()
                .reason
                .as_str(),
            "operator-denied"
        );
    }
}

/// `public` never implies another class, in whatever form the address is dialled.
#[test]
fn reject_every_special_range_in_every_spelling_under_public() {
    let mut gate = Setup::connect(&["public:*", "0.0.0.0/0:*", "[::/0]:*"])
        .yes()
        .operator("allow", CONNECT, &["public:*"])
        .gate();
    for v4 in [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "100.64.0.1",
        "127.0.0.1",
        "169.254.1.1",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.8",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "240.0.0.1",
        "255.255.255.255",
        "10.0.2.2",
        "10.0.2.3",
        "10.0.2.15",
        "10.0.2.255",
        "168.63.129.16",
        "100.100.100.200",
    ] {
        let [a, b, c, d] = v4.parse::<std::net::Ipv4Addr>().unwrap().octets();
        let (high, low) = (
            u16::from(a) << 8 | u16::from(b),
            u16::from(c) << 8 | u16::from(d),
        );
        for text in [
            v4.to_owned(),
            format!("::ffff:{v4}"),
            format!("::{v4}"),
            format!("64:ff9b::{v4}"),
            format!("2002:{high:x}:{low:x}::1"),
            format!("2001:0:1:2:3:4:{:x}:{:x}", !high, !low),
        ] {
            let remote = std::net::SocketAddr::new(ip(&text), 80);
            let denial = gate
                .decide(Instant::ZERO, APP, &Act::Connect { remote, name: None })
                .unwrap_err();
            assert_eq!(denial.reason.as_str(), "blocked-range", "{text}");
        }
    }
    for v6 in [
        "::",
        "::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "64:ff9b:1::1",
        "100::1",
        "2001:db8::1",
        "fd00:2::2",
    ] {
        let remote = std::net::SocketAddr::new(ip(v6), 80);
        let denial = gate
            .decide(Instant::ZERO, APP, &Act::Connect { remote, name: None })
            .unwrap_err();
        assert_eq!(denial.reason.as_str(), "blocked-range", "{v6}");
    }
    for public in [
        "93.184.216.34",
        "::ffff:93.184.216.34",
        "64:ff9b::93.184.216.34",
        "2606:4700::1111",
    ] {
        let remote = std::net::SocketAddr::new(ip(public), 80);
        assert!(
            gate.decide(Instant::ZERO, APP, &Act::Connect { remote, name: None })
                .is_ok(),
            "{public}"
        );
    }
}

#[test]
fn metadata_wants_both_keys_written_out() {
    let act = connect("169.254.169.254:80");
    assert_eq!(
        Setup::connect(&["169.254.0.0/16:80", "link-local:*"])
            .yes()
            .reason(&act),
        "blocked-range"
    );
    for asked in ["169.254.169.254:80", "metadata:80"] {
        let app = Setup::connect(&[asked]).yes();
        assert_eq!(app.reason(&act), "operator-denied");
        for not_enough in [
            &["169.254.0.0/16:80"][..],
            &["link-local:*"],
            &["0.0.0.0/0:*"],
            &["public:*"],
        ] {
            assert_eq!(
                app.clone()
                    .operator("allow", CONNECT, not_enough)
                    .reason(&act),
                "operator-denied"
            );
        }
        assert_eq!(
            app.clone()
                .operator("ask", CONNECT, &["0.0.0.0/0:*"])
                .reason(&act),
            "consent-required"
        );
        assert_eq!(
            app.clone()
                .operator("ask", CONNECT, &["metadata:80"])
                .reason(&act),
            "allowed"
        );
        assert_eq!(
            app.clone()
                .operator("allow", CONNECT, &["169.254.169.254:80"])
                .reason(&act),
            "allowed"
        );
    }
    assert_eq!(
        Setup::default()
            .allow("network.tcp.connect=169.254.169.254:80")
            .reason(&act),
        "allowed"
    );
}

#[test]
fn an_answer_is_for_its_app_and_its_time() {
    let mut gate = Setup::connect(&["api.example.com:443"]).yes().gate();
    let setup = Setup::connect(&["api.example.com:443"]).yes();
    let other = InstanceId(2);
    gate.admit(
        Instant::ZERO,
        other,
        identity(),
        setup.manifest(),
        setup.consent(),
        &[],
    )
    .unwrap();
    let api = name("api.example.com");
    gate.bind_answer(
        Instant::ZERO,
        APP,
        &api,
        &[ip("93.184.216.34"), ip("::ffff:93.184.216.35")],
        Instant::from_secs(60),
    );
    let act = connect("93.184.216.34:443");
    assert!(gate.decide(Instant::from_secs(59), APP, &act).is_ok());
    assert!(
        gate.decide(Instant::from_secs(59), APP, &connect("93.184.216.35:443"))
            .is_ok()
    );
    assert_eq!(
        gate.decide(Instant::from_secs(59), other, &act)
            .unwrap_err()
            .reason
            .as_str(),
        "not-permitted"
    );
    assert_eq!(
        gate.decide(Instant::from_secs(60), APP, &act)
            .unwrap_err()
            .reason
            .as_str(),
        "expired"
    );
    // Rebinding: the second answer is judged for itself, and the first goes on being what it was.
    gate.bind_answer(
        Instant::from_secs(61),
        APP,
        &api,
        &[ip("127.0.0.1")],
        Instant::from_secs(120),
    );
    let rebound = Act::Connect {
        remote: addr("127.0.0.1:443"),
        name: Some(&api),
    };
    assert_eq!(
        gate.decide(Instant::from_secs(61), APP, &rebound)
            .unwrap_err()
            .reason
            .as_str(),
        "blocked-range"
    );
    // An answer that is over before it comes is none.
    gate.bind_answer(
        Instant::from_secs(200),
        APP,
        &api,
        &[ip("93.184.216.36")],
        Instant::from_secs(200),
    );
    assert_eq!(
        gate.decide(Instant::from_secs(200), APP, &connect("93.184.216.36:443"))
            .unwrap_err()
            .reason
            .as_str(),
        "not-permitted"
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
fn a_changed_policy_ends_what_it_no_longer_allows_and_nothing_else() {
    let mut gate = Setup::connect(&["api.example.com:443", "public:80"])
        .yes()
        .gate();
    let api = name("api.example.com");
    gate.bind_answer(
        Instant::ZERO,
        APP,
        &api,
        &[ip("93.184.216.34")],
        Instant::from_secs(60),
    );
    let by_name = Act::Connect {
        remote: addr("93.184.216.34:443"),
        name: Some(&api),
    };
    let by_address = connect("93.184.216.34:80");
    let named = gate.decide(Instant::ZERO, APP, &by_name).unwrap().stamp();
    let plain = gate
        .decide(Instant::ZERO, APP, &by_address)
        .unwrap()
        .stamp();
    assert!(gate.is_current(named) && gate.is_current(plain));
    let policy = Policy::parse(
        &rule("no-80", "forbid", CONNECT, &["public:80"]),
        "policy.toml",
    )
    .unwrap();
    // Long after the answer is over: that ends no connection.
    let later = Instant::from_secs(1_000);
    gate.set_policies(later, WALL, Policy::none(), policy);
    assert!(!gate.is_current(named) && !gate.is_current(plain));
    let named = gate.judge_again(later, named, &by_name).unwrap();
    assert!(gate.is_current(named));
    let denial = gate.judge_again(later, plain, &by_address).unwrap_err();
    assert_eq!(denial.reason.as_str(), "revoked");
    // A stamp is for its own capability.
    let act = Act::UdpSend {
        remote: addr("93.184.216.34:443"),
        name: Some(&api),
    };
    assert!(gate.judge_again(later, named, &act).is_err());
}

#[test]
fn a_rule_ends_when_its_time_is_over() {
    let mut app = Setup::connect(&["public:443"]);
    app.operator =
        rule("hour", "allow", CONNECT, &["public:443"]) + "expires = \"2026-11-22T01:00:00Z\"\n";
    let mut gate = app.gate();
    let hour = Instant::from_secs(3_600);
    assert_eq!(gate.poll_timeout(), Some(hour));
    let act = connect("93.184.216.34:443");
    let stamp = gate.decide(Instant::ZERO, APP, &act).unwrap().stamp();
    gate.handle_timeout(Instant::from_secs(3_599));
    assert!(gate.is_current(stamp));
    gate.handle_timeout(hour);
    assert!(!gate.is_current(stamp));
    assert_eq!(gate.poll_timeout(), None);
    assert_eq!(
        gate.judge_again(hour, stamp, &act)
            .unwrap_err()
            .reason
            .as_str(),
        "revoked"
    );
    // `decide` alone notices as well, and an ended forbid ends too.
    let mut app = Setup::connect(&["public:443"]).yes();
    app.operator =
        rule("hour", "forbid", CONNECT, &["public:443"]) + "expires = \"2026-11-22T01:00:00Z\"\n";
    let mut gate = app.gate();
    assert!(
        gate.decide(Instant::from_nanos(hour.as_nanos() - 1), APP, &act)
            .is_err()
    );
    assert!(gate.decide(hour, APP, &act).is_ok());
    // Over before it began.
    app.operator =
        rule("past", "allow", CONNECT, &["public:443"]) + "expires = \"2020-01-01T00:00:00Z\"\n";
    app.allow_manifest = false;
    assert_eq!(app.reason(&act), "expired");
}

#[test]
fn an_instance_that_ended_has_nothing() {
    let mut gate = Setup::connect(&["public:443"]).yes().gate();
    let act = connect("93.184.216.34:443");
    let stamp = gate.decide(Instant::ZERO, APP, &act).unwrap().stamp();
    gate.end(APP);
    let denial = gate.decide(Instant::ZERO, APP, &act).unwrap_err();
    assert_eq!(
        (denial.reason.as_str(), denial.fixes.len()),
        ("not-granted", 0)
    );
    assert!(gate.judge_again(Instant::ZERO, stamp, &act).is_err());
    assert!(gate.decide(Instant::ZERO, InstanceId(99), &act).is_err());
}

#[test]
fn a_mapped_address_is_dialled_as_the_address_it_is() {
    let mut gate = Setup::connect(&["93.184.216.34:443"]).yes().gate();
    let permit = gate
        .decide(Instant::ZERO, APP, &connect("[::ffff:93.184.216.34]:443"))
        .unwrap();
    assert_eq!(permit.target().remote(), Some(addr("93.184.216.34:443")));
    let permit = gate
        .decide(Instant::ZERO, APP, &connect("[64:ff9b::93.184.216.34]:443"))
        .unwrap();
    assert_eq!(
        permit.target().remote(),
        Some(addr("[64:ff9b::93.184.216.34]:443"))
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
    gate.bind_answer(
        Instant::ZERO,
        APP,
        &api,
        &[ip("93.184.216.34")],
        Instant::from_secs(60),
    );
    let act = Act::Connect {
        remote: addr("93.184.216.34:443"),
        name: Some(&api),
    };
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
