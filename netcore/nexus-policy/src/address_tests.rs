//! Addresses: one form for every spelling, and the class of each block at its edges.

use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn every_wrapping_of_one_address_is_that_address() {
    for (text, wrapping) in [
        ("127.0.0.1", None),
        ("::ffff:127.0.0.1", Some(Wrapping::Mapped)),
        ("::127.0.0.1", Some(Wrapping::Compatible)),
        ("64:ff9b::7f00:1", Some(Wrapping::Nat64)),
        ("2002:7f00:1::", Some(Wrapping::SixToFour)),
        ("2002:7f00:1:5:6:7:8:9", Some(Wrapping::SixToFour)),
        (
            "2001:0:4136:e378:8000:63bf:80ff:fffe",
            Some(Wrapping::Teredo),
        ),
    ] {
        let found = canonical(ip(text));
        assert_eq!(found.address, ip("127.0.0.1"), "{text}");
        assert_eq!(found.wrapping, wrapping, "{text}");
        assert_eq!(
            Topology::default().classify(ip(text)),
            AddressClass::Loopback,
            "{text}"
        );
    }
}

#[test]
fn what_wraps_nothing_stays_itself() {
    for text in [
        "::",
        "::1",
        "fe80::1",
        "2606:4700::1111",
        "64:ff9b:1::1",
        "2001:db8::1",
    ] {
        assert_eq!(
            canonical(ip(text)),
            Canonical {
                address: ip(text),
                wrapping: None
            }
        );
    }
}

/// First, last and the neighbours of every block of `reference/http-auth-cloud.md` "SSRF".
#[test]
fn every_block_at_its_edges() {
    use AddressClass as C;
    for (text, class) in [
        ("0.0.0.0", C::Unspecified),
        ("0.0.0.1", C::Reserved),
        ("0.255.255.255", C::Reserved),
        ("1.0.0.0", C::Public),
        ("9.255.255.255", C::Public),
        ("10.0.0.0", C::Lan),
        ("10.255.255.255", C::Lan),
        ("11.0.0.0", C::Public),
        ("100.63.255.255", C::Public),
        ("100.64.0.0", C::Lan),
        ("100.127.255.255", C::Lan),
        ("100.128.0.0", C::Public),
        ("126.255.255.255", C::Public),
        ("127.0.0.0", C::Loopback),
        ("127.255.255.255", C::Loopback),
        ("128.0.0.0", C::Public),
        ("169.253.255.255", C::Public),
        ("169.254.0.0", C::LinkLocal),
        ("169.254.255.255", C::LinkLocal),
        ("169.255.0.0", C::Public),
        ("172.15.255.255", C::Public),
        ("172.16.0.0", C::Lan),
        ("172.31.255.255", C::Lan),
        ("172.32.0.0", C::Public),
        ("191.255.255.255", C::Public),
        ("192.0.0.0", C::Reserved),
        ("192.0.0.255", C::Reserved),
        ("192.0.1.0", C::Public),
        ("192.0.2.0", C::Reserved),
        ("192.0.2.255", C::Reserved),
        ("192.0.3.0", C::Public),
        ("192.88.98.255", C::Public),
        ("192.88.99.0", C::Reserved),
        ("192.88.100.0", C::Public),
        ("192.167.255.255", C::Public),
        ("192.168.0.0", C::Lan),
        ("192.168.255.255", C::Lan),
        ("192.169.0.0", C::Public),
        ("198.17.255.255", C::Public),
        ("198.18.0.0", C::Reserved),
        ("198.19.255.255", C::Reserved),
        ("198.20.0.0", C::Public),
        ("198.51.99.255", C::Public),
        ("198.51.100.0", C::Reserved),
        ("198.51.101.0", C::Public),
        ("203.0.112.255", C::Public),
        ("203.0.113.0", C::Reserved),
        ("203.0.114.0", C::Public),
        ("223.255.255.255", C::Public),
        ("224.0.0.0", C::Multicast),
        ("239.255.255.255", C::Multicast),
        ("240.0.0.0", C::Reserved),
        ("255.255.255.255", C::Reserved),
        ("169.254.169.254", C::Metadata),
        ("169.254.170.2", C::Metadata),
        ("168.63.129.16", C::Metadata),
        ("100.100.100.200", C::Metadata),
        ("192.0.0.192", C::Metadata),
        ("169.254.42.42", C::Metadata),
        ("169.254.0.23", C::Metadata),
        ("fd00:ec2::254", C::Metadata),
        ("fd00:c1::a9fe:a9fe", C::Metadata),
        ("fd00:42::42", C::Metadata),
        ("fd00:100::100:200", C::Metadata),
        ("fe80::a9fe:a9fe", C::Metadata),
        ("::", C::Unspecified),
        ("::1", C::Loopback),
        ("100::", C::Reserved),
        ("100::ffff", C::Reserved),
        ("64:ff9b:1::", C::Reserved),
        ("64:ff9b:1:ffff::", C::Reserved),
        ("2001:db8::", C::Reserved),
        ("2001:db8:ffff::", C::Reserved),
        ("2001:db9::", C::Public),
        ("2001:1ff::", C::Reserved),
        ("2001:200::", C::Public),
        ("2606:4700::1111", C::Public),
        ("3fff::1", C::Reserved),
        ("3fff:1000::", C::Public),
        ("4000::", C::Reserved),
        ("fbff::", C::Reserved),
        ("fc00::", C::Lan),
        ("fdff::", C::Lan),
        ("fe00::", C::Reserved),
        ("fe80::", C::LinkLocal),
        ("febf::", C::LinkLocal),
        ("fec0::1", C::Lan),
        ("feff::", C::Lan),
        ("ff02::1", C::Multicast),
    ] {
        assert_eq!(Topology::default().classify(ip(text)), class, "{text}");
    }
}

#[test]
fn the_topology_comes_first() {
    let topology = Topology {
        own: vec![InterfaceAddress::new(ip("10.0.2.15"), 24).unwrap()],
        host: vec![ip("10.0.2.2"), ip("93.184.216.34")],
        infrastructure: vec![ip("10.0.2.3"), ip("10.0.2.2")],
        ..Topology::default()
    };
    for (text, class) in [
        ("10.0.2.15", AddressClass::Loopback),
        ("::ffff:10.0.2.15", AddressClass::Loopback),
        ("10.0.2.2", AddressClass::Host),
        ("64:ff9b::10.0.2.2", AddressClass::Host),
        ("93.184.216.34", AddressClass::Host),
        ("10.0.2.3", AddressClass::Infrastructure),
        ("10.0.2.255", AddressClass::Reserved),
        ("10.0.2.4", AddressClass::Lan),
    ] {
        assert_eq!(topology.classify(ip(text)), class, "{text}");
    }
}

#[test]
fn a_network_names_the_class_it_lies_in() {
    let class = |text: &str| {
        let (address, prefix) = text.split_once('/').unwrap();
        class_named_by(Network::new(ip(address), prefix.parse().unwrap()).unwrap())
    };
    assert_eq!(class("10.0.0.0/8"), AddressClass::Lan);
    assert_eq!(class("10.1.0.0/16"), AddressClass::Lan);
    assert_eq!(class("169.254.0.0/16"), AddressClass::LinkLocal);
    assert_eq!(class("127.0.0.0/8"), AddressClass::Loopback);
    assert_eq!(class("169.254.169.254/32"), AddressClass::Metadata);
    assert_eq!(class("fd00::/8"), AddressClass::Lan);
    for spanning in [
        "0.0.0.0/0",
        "8.0.0.0/6",
        "192.168.0.0/15",
        "::/0",
        "2000::/3",
    ] {
        assert_eq!(class(spanning), AddressClass::Public, "{spanning}");
    }
}

#[test]
fn networks_hold_their_edges_and_no_more() {
    let network = Network::new(ip("192.168.4.0"), 22).unwrap();
    for (text, inside) in [
        ("192.168.3.255", false),
        ("192.168.4.0", true),
        ("192.168.7.255", true),
        ("192.168.8.0", false),
        ("::c0a8:400", false),
    ] {
        assert_eq!(network.contains(ip(text)), inside, "{text}");
    }
    assert!(
        Network::new(ip("0.0.0.0"), 0)
            .unwrap()
            .contains(ip("255.255.255.255"))
    );
    assert!(Network::new(ip("::"), 0).unwrap().contains(ip("ffff::")));
    assert!(!Network::new(ip("::"), 0).unwrap().contains(ip("1.2.3.4")));
}

#[test]
fn reject_host_bits_and_long_prefixes() {
    assert_eq!(Network::new(ip("10.0.0.1"), 8), None);
    assert_eq!(Network::new(ip("10.0.0.0"), 33), None);
    assert_eq!(Network::new(ip("2001:db8::1"), 64), None);
    assert_eq!(
        Network::containing(ip("10.1.2.3"), 8).unwrap().to_string(),
        "10.0.0.0/8"
    );
}
