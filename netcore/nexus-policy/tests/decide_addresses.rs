//! Acts judged by where they go: special ranges, in every spelling of an address.

mod common;

use common::{APP, Setup, addr, answer, connect, connect_by, ip, name};
use nexus_policy::Act;
use nexus_types::Instant;
const CONNECT: &str = "network.tcp.connect";

#[test]
fn the_host_is_reached_by_its_name_alone() {
    let act = connect("10.0.2.2:8000");
    let host = name("host.internal");
    let dial = connect_by(&host, "10.0.2.2:8000");
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
        answer(&mut gate, &host, "10.0.2.2", 9);
        assert!(gate.decide(Instant::ZERO, APP, &dial).is_err(), "{rules:?}");
    }
    // Another name that leads there does not help; nor does the host's name for another address.
    let mut gate = Setup::connect(&["evil.example:8000", "host.internal:8000"])
        .yes()
        .gate();
    answer(&mut gate, &name("evil.example"), "10.0.2.2", 9);
    answer(&mut gate, &host, "93.184.216.34", 9);
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
    answer(&mut gate, &host, "10.0.2.2", 9);
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
        answer(&mut gate, &host, "10.0.2.2", 9);
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
