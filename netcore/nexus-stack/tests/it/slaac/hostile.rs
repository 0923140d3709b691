//! Routers that are none.

use std::time::Duration;

use nexus_stack::AddressEvent;
use nexus_types::{IpAddr, Ipv6Addr, limits};

use super::{
    AUTONOMOUS, Advert, DAY, Desk, HIGH, ON_LINK, ROUTER, advert, config, framed, ip, own, prefix,
    servers,
};
use crate::raw;

/// Everything a node could have taken from an advertisement.
fn full() -> Advert {
    advert(2)
        .prefix(|_| {})
        .with(servers(&["2001:db8::53"], 600))
}

/// Goal: nothing of what is not from a router of this link is believed (RFC 4861 section 6.1.2). Method: each check
/// fails alone; the frame without the fault is taken.
#[test]
fn reject_advertisements_that_are_none() {
    let change = |change: &dyn Fn(&mut Advert)| {
        let mut advert = full();
        change(&mut advert);
        advert.frame()
    };
    let mut bad = vec![
        // From elsewhere: a router lowered it.
        change(&|a| a.hop_limit = 254),
        change(&|a| a.hop_limit = 0),
        change(&|a| a.code = 1),
        // Not link-local.
        change(&|a| a.from = ip("2001:db8::2")),
        change(&|a| a.from = ip("fec0::2")),
        change(&|a| a.from = ip("::")),
        change(&|a| a.from = ip("::1")),
        change(&|a| a.from = ip("ff02::2")),
        // Options of no length, and beyond the end.
        change(&|a| a.options.extend([1, 0, 0, 0, 0, 0, 0, 0])),
        change(&|a| a.options.extend([1, 2, 0, 0, 0, 0, 0, 0])),
        change(&|a| a.options.extend([1])),
    ];
    // A wrong checksum.
    let mut frame = full().frame();
    frame[60] ^= 1;
    bad.push(frame);
    // Cut off: within the header, and within the options with a sum that is right.
    for len in [8, 15, 17, 23, 40] {
        let payload = full().packet()[40..40 + len].to_vec();
        let to = ip("ff02::1").into();
        let mut packet = raw::packet(full().from.into(), to, 58, payload, 2);
        packet[7] = 255;
        bad.push(framed(ROUTER, &packet));
    }
    // A fragment header, though there is but one fragment (RFC 6980); a destination option.
    for kind in [44_u8, 60] {
        let mut packet = full().packet();
        let len = packet.len() as u16 - 40 + 8;
        packet[4..6].copy_from_slice(&len.to_be_bytes());
        packet[6] = kind;
        let header = [
            58,
            0,
            if kind == 60 { 1 } else { 0 },
            4 * u8::from(kind == 60),
            0,
            0,
            0,
            0,
        ];
        packet.splice(40..40, header);
        bad.push(framed(ROUTER, &packet));
    }
    let mut desk = Desk::with(config(), 1);
    desk.run(Duration::from_secs(2));
    desk.events();
    // To us alone: it goes another way.
    let to_us = |hop_limit: u8| {
        let payload = full().packet()[40..].to_vec();
        let to = own(&desk.stack)[0].into();
        let mut packet = raw::packet(full().from.into(), to, 58, payload, 2);
        packet[7] = hop_limit;
        framed(ROUTER, &packet)
    };
    bad.push(to_us(254));
    let good = to_us(255);
    let mut ours = full();
    ours.from = own(&desk.stack)[0];
    bad.push(ours.frame());
    for (number, frame) in bad.iter().enumerate() {
        let stats = |desk: &Desk| {
            let stats = desk.stack.stats();
            stats.dropped_malformed + stats.dropped_checksum + stats.dropped_address
        };
        let before = stats(&desk);
        desk.stack.handle_frame(desk.now, frame);
        assert_eq!(stats(&desk), before + 1, "{number}");
        // Somebody else in our name is another matter.
        let told = desk.events();
        assert!(!told.contains(&AddressEvent::Changed), "{number}");
        assert_eq!(
            (desk.addresses().len(), desk.gateway()),
            (0, None),
            "{number}"
        );
        assert_eq!(desk.stack.resolvers(), [], "{number}");
    }
    desk.stack.handle_frame(desk.now, &good);
    assert_eq!(desk.addresses().len(), 1);
    assert!(desk.gateway().is_some() && desk.stack.resolvers().len() == 1);
}

/// Goal: neither is one in pieces (RFC 6980 section 5). Method: two fragments that make a good one, to all and to us.
#[test]
fn reject_advertisements_in_fragments() {
    let mut desk = Desk::with(config(), 1);
    desk.run(Duration::from_secs(2));
    for to in [ip("ff02::1"), own(&desk.stack)[0]] {
        let payload = full().packet()[40..].to_vec();
        let mut whole = raw::packet(full().from.into(), to.into(), 58, payload, 2);
        whole[7] = 255;
        for (from, to, more) in [(40, 64, 1_u16), (64, whole.len(), 0)] {
            let mut packet = whole[..40].to_vec();
            let len = (8 + to - from) as u16;
            packet[4..6].copy_from_slice(&len.to_be_bytes());
            packet[6] = 44;
            packet.extend([58, 0]);
            packet.extend(((from - 40) as u16 | more).to_be_bytes());
            packet.extend([0, 0, 0, 9]);
            packet.extend(&whole[from..to]);
            desk.stack.handle_frame(desk.now, &framed(ROUTER, &packet));
        }
        assert!(desk.addresses().is_empty());
        assert_eq!(desk.gateway(), None);
    }
    // Fragments to a group go nowhere; the others made a whole.
    let stats = desk.stack.stats();
    assert_eq!((stats.dropped_address, stats.dropped_malformed), (2, 1));
}

/// Goal: of a good advertisement only what a host can live with is taken. Method: each field of each option, alone.
#[test]
fn reject_prefixes_and_servers_no_host_can_live_with() {
    let mut odd: Vec<Vec<u8>> = Vec::new();
    let mut with = |change: &dyn Fn(&mut super::Prefix)| {
        let mut prefix = prefix("2001:db8:1::");
        change(&mut prefix);
        odd.push(prefix.option());
    };
    for network in [
        "fe80::",
        "fe80:1::",
        "ff02::",
        "::",
        "::1",
        "::ffff:10.0.0.0",
        "64:ff9b::",
    ] {
        with(&|p| p.prefix = ip(network));
    }
    // Neither the one nor the other.
    with(&|p| p.flags = 0);
    with(&|p| p.flags = !(ON_LINK | AUTONOMOUS));
    // Not what an interface identifier fits.
    for len in [0, 32, 63, 65, 128, 129, 255] {
        with(&|p| (p.len, p.flags) = (len, AUTONOMOUS));
    }
    // Preferred for longer than valid.
    with(&|p| (p.valid, p.preferred, p.flags) = (DAY, DAY + 1, AUTONOMOUS));
    // Most of the world as our neighbour.
    for len in [0, 1, 32, 47, 129, 255] {
        with(&|p| (p.len, p.flags) = (len, ON_LINK));
    }
    // Options of another length.
    let mut long = prefix("2001:db8:1::").option();
    long[1] = 5;
    long.extend([0; 8]);
    odd.push(long);
    let mut short = prefix("2001:db8:1::").option();
    short[1] = 3;
    short.truncate(24);
    odd.push(short);
    for list in [&["::"][..], &["::1"], &["ff02::53"], &["::ffff:10.0.0.1"]] {
        odd.push(servers(list, 600));
    }
    odd.push(servers(&["2001:db8::53"], 0));
    odd.push(servers(&[], 600));
    let mut even = servers(&["2001:db8::53"], 600);
    even[1] = 4;
    even.extend([0; 8]);
    odd.push(even);
    for (number, option) in odd.iter().enumerate() {
        let mut desk = Desk::with(config(), 1);
        desk.alive = vec![ip("2001:db8:1::7")];
        desk.hear(&advert(2).with(option));
        desk.run(Duration::from_secs(2));
        assert!(desk.gateway().is_some(), "{number}: the rest is good");
        assert!(desk.addresses().is_empty(), "{number}");
        assert_eq!(desk.stack.resolvers(), [], "{number}");
        let sent = desk.sends("2001:db8:1::7").map(|(mac, _)| mac);
        assert_eq!(sent, Some(ROUTER), "{number}: not on the link");
    }
    // At the bounds.
    for len in [48, 64, 128] {
        let mut desk = Desk::with(config(), 1);
        desk.alive = vec![ip("2001:db8:1::7")];
        let on_link = Advert::prefix(advert(2), |p| {
            (p.prefix, p.len, p.flags) = (ip("2001:db8:1::7"), len, ON_LINK);
        });
        desk.hear(&on_link);
        desk.run(Duration::from_secs(2));
        let sent = desk.sends("2001:db8:1::7").map(|(mac, _)| mac);
        assert_eq!(sent, Some(super::mac(7)), "{len}");
    }
}

fn forged(number: u32) -> Advert {
    let mut forged = advert(9);
    forged.from = Ipv6Addr::from_bits(ip("fe80::1:0:0").to_bits() | u128::from(number));
    forged.flags = HIGH * u8::from(number.is_multiple_of(2));
    let network = Ipv6Addr::from_bits(ip("2001:db9::").to_bits() | u128::from(number) << 64);
    let server = format!("2001:db8:5::{number:x}");
    let forged = forged.with(servers(&[&server], 600));
    forged.prefix(|p| p.prefix = network)
}

/// Goal: a flood takes neither memory nor what is live. Method: 10,000 routers with a prefix and a server each, beside
/// a real one; then what is there is counted, and the real one's network and servers are still used.
#[test]
fn a_flood_of_routers_prefixes_and_servers_evicts_nobody() {
    let mut desk = Desk::settled();
    desk.alive = vec![ip("2001:db8:1::7"), ip("fe80::2")];
    let live = desk.address_in("2001:db8:1::").expect("made");
    let resolvers = desk.stack.resolvers().to_vec();
    let (mut sent, mut told) = (0, 0);
    for number in 1..=10_000 {
        // All at a default router's preference, or one that is preferred would be used, as it may.
        let mut forged = forged(number);
        forged.flags = 0;
        desk.hear(&forged);
        if number % 100 == 0 {
            sent += desk.run(Duration::from_millis(10)).len();
            told += desk.events().len();
        }
    }
    desk.run(Duration::from_secs(2));
    assert_eq!(desk.addresses().len(), limits::SLAAC_PREFIXES as usize);
    assert!(desk.addresses().contains(&live));
    assert_eq!(desk.stack.resolvers(), resolvers);
    assert_eq!(desk.gateway(), Some(ip("fe80::2").into()));
    assert_eq!(
        desk.sends("2001:db8:9::1").map(|(mac, _)| mac),
        Some(ROUTER)
    );
    assert_eq!(desk.sends("2001:db8:1::7"), Some((super::mac(7), live)));
    // A few probes and announcements for the addresses there was room for.
    assert!(sent < 100 && told < 20, "{sent} {told}");
}

/// Goal: one packet can say no more than many. Method: as many prefixes as fit into one, and the limit.
#[test]
fn prefixes_of_one_packet_at_and_over_the_limit() {
    let most = limits::SLAAC_PREFIXES;
    for count in [most, most + 1, 40] {
        let mut desk = Desk::with(config(), 1);
        let mut many = advert(2);
        for number in 0..count {
            let bits = ip("2001:db8::").to_bits() | u128::from(number) << 64;
            let mut prefix = prefix("2001:db8::");
            prefix.prefix = Ipv6Addr::from_bits(bits);
            many = many.with(prefix.option());
        }
        desk.hear(&many);
        assert_eq!(desk.addresses().len(), most as usize, "{count}");
        // When one is over there is room again.
        assert_eq!(own(&desk.stack).len(), 1 + most as usize);
    }
}

/// Goal: name servers are bounded, and those known stay. Method: as many as the limit, one more, and a free place.
#[test]
fn name_servers_at_and_over_the_limit() {
    let most = limits::SLAAC_RESOLVERS as usize;
    let mut desk = Desk::with(config(), 1);
    let all: Vec<_> = (0..=most).map(|n| format!("2001:db8::{n:x}")).collect();
    let all: Vec<_> = all.iter().map(String::as_str).collect();
    desk.hear(&advert(2).with(servers(&all, 600)));
    // The first ones go: of those behind them the last was not taken in.
    desk.hear(&advert(2).with(servers(&all[..most - 1], 0)));
    desk.run(Duration::from_secs(2));
    let ips = |desk: &Desk| {
        let ips = desk.stack.resolvers().iter().map(|server| server.ip());
        ips.collect::<Vec<_>>()
    };
    assert_eq!(ips(&desk), [IpAddr::V6(ip(all[most - 1]))]);
    desk.hear(&advert(2).with(servers(&all[most..], 600)));
    desk.run(Duration::from_secs(2));
    assert_eq!(
        ips(&desk),
        [all[most - 1], all[most]].map(|text| IpAddr::V6(ip(text)))
    );
}

/// Goal: whoever changes their mind with every packet does not make the node do so. Method: 10,000 packets in ten
/// seconds, each taking back what the last one said.
#[test]
fn gateway_and_servers_change_once_a_second_at_most() {
    let mut desk = Desk::with(config(), 1);
    desk.run(Duration::from_secs(2));
    desk.events();
    let (mut told, mut sent) = (Vec::new(), 0);
    for number in 0..10_000 {
        let mut toggle = advert(2).with(servers(&["2001:db8::53"], 600 * (number % 2)));
        toggle.lifetime = 1_800 * (number % 2) as u16;
        desk.hear(&toggle);
        sent += desk.run(Duration::from_millis(1)).len();
        told.extend(desk.events());
    }
    assert!(told.len() <= 11, "{}", told.len());
    // Routers asked for, no more often than ever.
    assert!(sent <= 4, "{sent}");
}
