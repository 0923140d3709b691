//! A network that changes while apps run: what an address is decides which rules are about it.

mod common;

use common::{APP, Setup, addr, connect, identity, ip, topology};
use nexus_policy::{Act, AddressClass, Gate, Topology};
use nexus_types::{InstanceId, Instant, InterfaceAddress};

const THIRD: &str = "10.0.2.77";

fn lan() -> Gate {
    Setup::asks(
        "app",
        &[
            ("network.tcp.connect", &["lan:80", "public:80"]),
            ("network.udp.send", &["lan:53"]),
        ],
    )
    .yes()
    .gate()
}

/// The third station of the link as something else than it was.
fn changed(change: impl Fn(&mut Topology)) -> Topology {
    let mut changed = topology();
    change(&mut changed);
    changed
}

/// Goal: what is open is judged by what its far end is now, and ends only where that is not allowed.
/// Method: one connection to a station that becomes the node's own, the host, a gateway; one elsewhere.
#[test]
fn reject_what_is_open_to_an_address_that_became_something_else() {
    for (becomes, change) in [
        (
            "own",
            &(|t: &mut Topology| {
                t.own
                    .push(InterfaceAddress::new(ip(THIRD), 24).expect("a prefix"));
            }) as &dyn Fn(&mut Topology),
        ),
        ("host", &|t| t.host.push(ip(THIRD))),
        ("infrastructure", &|t| t.infrastructure.push(ip(THIRD))),
    ] {
        let mut gate = lan();
        let (third, other) = (connect("10.0.2.77:80"), connect("10.0.2.78:80"));
        let udp = Act::UdpSend {
            remote: addr("10.0.2.77:53"),
            name: None,
        };
        let mut open = |act| gate.decide(Instant::ZERO, APP, act).unwrap().stamp();
        let stamps = [open(&third), open(&other), open(&udp)];
        let before = gate.epoch();
        gate.set_topology(Instant::ZERO, changed(change));
        assert_ne!(gate.epoch(), before, "{becomes}");
        assert!(stamps.iter().all(|stamp| !gate.is_current(*stamp)));
        let again = |gate: &mut Gate, stamp, act| gate.judge_again(Instant::ZERO, stamp, act);
        for (stamp, act) in [(stamps[0], &third), (stamps[2], &udp)] {
            let denial = again(&mut gate, stamp, act).unwrap_err();
            assert_eq!(denial.reason.as_str(), "revoked", "{becomes}");
            assert!(gate.decide(Instant::ZERO, APP, act).is_err());
        }
        let stays = again(&mut gate, stamps[1], &other).unwrap();
        assert!(gate.is_current(stays), "{becomes}");
        // It is a station of the link again.
        gate.set_topology(Instant::ZERO, topology());
        assert!(gate.decide(Instant::ZERO, APP, &third).is_ok(), "{becomes}");
    }
}

/// Goal: an address that was the node's own and is not any more is what it is to everybody.
#[test]
fn an_address_that_was_lost_is_the_links_again() {
    let mut gate = lan();
    let act = connect("10.0.2.15:80");
    assert!(gate.decide(Instant::ZERO, APP, &act).is_err());
    gate.set_topology(Instant::ZERO, changed(|t| t.own.clear()));
    assert!(gate.decide(Instant::ZERO, APP, &act).is_ok());
}

/// Goal: where nothing changed nothing is judged again, and what was admitted stays admitted.
#[test]
fn the_same_network_is_no_change() {
    let mut gate = lan();
    let act = connect("10.0.2.77:80");
    let stamp = gate.decide(Instant::ZERO, APP, &act).unwrap().stamp();
    gate.set_topology(Instant::ZERO, topology());
    assert!(gate.is_current(stamp));
    gate.set_topology(Instant::ZERO, Topology::default());
    assert!(!gate.is_current(stamp));
    assert_eq!(gate.app(APP), Some(&identity()));
    assert_eq!(*gate.topology(), Topology::default());
    // Another instance is admitted by a judgement of its own.
    let like = gate.admit_like(Instant::ZERO, InstanceId(2), APP);
    assert!(like.is_err());
}

/// Goal: whether a UDP socket may be opened at all follows the network, too. Method: the one address the app asks for
/// becomes the node's own, which a written forbid is about.
#[test]
fn opening_a_udp_socket_is_judged_anew() {
    let mut gate = Setup::asks("app", &[("network.udp.send", &["10.0.2.77:53"])])
        .yes()
        .operator("forbid", "network.udp.send", &["loopback:*"])
        .gate();
    let stamp = gate.decide(Instant::ZERO, APP, &Act::UdpOpen);
    let stamp = stamp.unwrap().stamp();
    let own = InterfaceAddress::new(ip(THIRD), 24).expect("a prefix");
    gate.set_topology(Instant::ZERO, changed(|t| t.own.push(own)));
    assert!(gate.decide(Instant::ZERO, APP, &Act::UdpOpen).is_err());
    let denial = gate.judge_again(Instant::ZERO, stamp, &Act::UdpOpen);
    assert_eq!(denial.unwrap_err().reason.as_str(), "revoked");
}

/// Goal: what the link says an address is ends nothing that is open there, and lets nothing begin there; what the
/// owner of the node says of it still ends it. Method: the link names a station a name server, then its owner does.
#[test]
fn reject_what_begins_and_nothing_that_is_open_where_the_link_says_infrastructure_is() {
    let mut gate = lan();
    let tcp = connect("10.0.2.77:80");
    let udp = Act::UdpSend {
        remote: addr("10.0.2.77:53"),
        name: None,
    };
    for act in [&tcp, &udp] {
        gate.set_topology(Instant::ZERO, topology());
        let stamp = gate.decide(Instant::ZERO, APP, act).unwrap().stamp();
        gate.set_topology(Instant::ZERO, changed(|t| t.learnt.push(ip(THIRD))));
        assert_eq!(
            gate.topology().classify(ip(THIRD)),
            AddressClass::Infrastructure
        );
        assert!(!gate.is_current(stamp));
        let denial = gate.decide(Instant::ZERO, APP, act).unwrap_err();
        assert_eq!(denial.reason.as_str(), "blocked-range");
        let stamp = gate.judge_again(Instant::ZERO, stamp, act).unwrap();
        assert!(gate.is_current(stamp));
        let both = changed(|t| {
            t.learnt.push(ip(THIRD));
            t.infrastructure.push(ip(THIRD));
        });
        gate.set_topology(Instant::ZERO, both);
        let denial = gate.judge_again(Instant::ZERO, stamp, act).unwrap_err();
        assert_eq!(denial.reason.as_str(), "revoked");
    }
}

/// Goal: an address is what it is here, even where its form carries another, public one inside. Method: a router gives
/// the node an address of 6to4's and of Teredo's networks, and names servers there.
#[test]
fn reject_what_is_here_by_an_address_that_carries_another() {
    let mut gate = lan();
    for carries in ["2002:808:808::15", "2001:0:102:304::f7f7:f7f7"] {
        let act = connect(&format!("[{carries}]:80"));
        gate.set_topology(Instant::ZERO, topology());
        assert_eq!(gate.topology().classify(ip(carries)), AddressClass::Public);
        assert!(gate.decide(Instant::ZERO, APP, &act).is_ok());
        let own = InterfaceAddress::new(ip(carries), 64).expect("a prefix");
        for (class, here) in [
            (AddressClass::Loopback, changed(|t| t.own.push(own))),
            (
                AddressClass::Infrastructure,
                changed(|t| t.infrastructure.push(ip(carries))),
            ),
        ] {
            gate.set_topology(Instant::ZERO, here);
            assert_eq!(gate.topology().classify(ip(carries)), class);
            assert!(gate.decide(Instant::ZERO, APP, &act).is_err(), "{carries}");
        }
    }
    // What is inside counts as ever.
    let inside = gate.topology().classify(ip("2002:a00:203::1"));
    assert_eq!(inside, AddressClass::Infrastructure);
}

/// Goal: a port of the machine that is the host's is no app's, at any of the machine's addresses and whatever is
/// granted; the node's own port of that number is an app's as any other. Method: both, with all that can be granted.
#[test]
fn reject_a_port_of_the_machine_that_is_the_hosts() {
    let setup = Setup::asks(
        "system",
        &[
            ("network.tcp.connect", &["host.internal:*"]),
            ("network.tcp.listen", &["any:*"]),
        ],
    )
    .allow("network.tcp.connect=host.internal:*")
    .allow("network.tcp.listen=any:*");
    for host in ["10.0.2.2", "[fd00:2::2]", "[::ffff:10.0.2.2]"] {
        assert_eq!(
            setup.reason(&connect(&format!("{host}:9464"))),
            "host-owned-port"
        );
    }
    let name = common::name("host.internal");
    let mut gate = setup.gate();
    common::answer(&mut gate, &name, "10.0.2.2", 60);
    let next = common::connect_by(&name, "10.0.2.2:9465");
    assert!(gate.decide(Instant::ZERO, APP, &next).is_ok());
    let listen = |port: u16| Act::Listen {
        local: addr(&format!("0.0.0.0:{port}")),
    };
    assert_eq!(setup.reason(&listen(9_464)), "allowed");
    assert_eq!(setup.reason(&listen(7_700)), "host-owned-port");
}
