//! How long what a router said holds.

use std::time::Duration;

use nexus_stack::{AddressEvent, ConnectError, TcpError, TcpOptions, UdpOptions};
use nexus_types::InterfaceAddress;

use super::{ALL_NODES, AUTONOMOUS, DAY, Desk, ROUTER, advert, config, ip, prefix, servers};
use crate::pair::{APP, address, idle};

const HOUR: u32 = 3_600;

fn secs(secs: u32) -> Duration {
    Duration::from_secs(secs.into())
}

/// Goal: a network that is renumbered loses no connection that could go on. Method: the old prefix deprecated beside a
/// new one; new flows have the new address, until its end the old one is ours.
#[test]
fn a_network_is_renumbered() {
    let mut desk = Desk::settled();
    let old = desk.address_in("2001:db8:1::").expect("made");
    let (now, options) = (desk.now, TcpOptions::default());
    let to = address("[2001:db8:9::1]:80");
    let open = desk.stack.tcp_connect(now, APP, None, to, &options);
    let open = open.expect("a way");
    let next = advert(2).prefix(|p| p.prefix = ip("2001:db8:2::"));
    let old_too = |p: &mut super::Prefix| (p.valid, p.preferred) = (HOUR, 0);
    desk.hear(&next.clone().prefix(old_too));
    desk.run(secs(2));
    let new = desk.address_in("2001:db8:2::").expect("made");
    assert_eq!(desk.sends("2001:db8:9::1"), Some((ROUTER, new)));
    let local = |desk: &Desk| desk.stack.tcp_addresses(open).expect("open").0.ip();
    assert_eq!(local(&desk), std::net::IpAddr::from(old));
    // Asked for by name it can still be had.
    let from = Some(std::net::SocketAddr::new(old.into(), 0));
    let named = desk.stack.tcp_connect(desk.now, APP, from, to, &options);
    named.expect("still ours");
    // The old one goes when its time is over, two hours from that word.
    for sixth in 1..=12 {
        desk.hear(&next);
        assert_eq!(desk.addresses(), [old, new], "{sixth}");
        desk.run(secs(HOUR / 6));
    }
    assert_eq!(desk.addresses(), [new]);
}

/// Goal: one forged packet takes no address away (RFC 4862 section 5.5.3 e). Method: what is left, what is said, and
/// what holds then, for every case of the rule.
#[test]
fn the_two_hour_rule() {
    let (two, three, five) = (2 * HOUR, 3 * HOUR, 5 * HOUR);
    for (left, said, holds) in [
        (DAY, 0, two),
        (DAY, 1, two),
        (DAY, two, two),
        (DAY, two + 1, two + 1),
        (DAY, three, three),
        (DAY, 2 * DAY, 2 * DAY),
        (two + 1, 0, two),
        (two, 0, two),
        (HOUR, 0, HOUR),
        (HOUR, HOUR - 1, HOUR),
        (HOUR, HOUR + 1, HOUR + 1),
        (HOUR, five, five),
        (u32::MAX, 0, two),
        (u32::MAX, u32::MAX, u32::MAX),
        (HOUR, u32::MAX, u32::MAX),
    ] {
        let mut desk = Desk::with(config(), 1);
        desk.hear(&advert(2).prefix(|p| (p.valid, p.preferred) = (left, left)));
        desk.hear(&advert(2).prefix(|p| (p.valid, p.preferred) = (said, 0)));
        let made = desk.address_in("2001:db8:1::").expect("made");
        if holds == u32::MAX {
            desk.run(secs(10 * DAY));
            assert!(desk.addresses().contains(&made), "{left} {said}");
            continue;
        }
        desk.run(secs(holds - 1));
        assert_eq!(desk.addresses(), [made], "{left} {said} {holds}");
        desk.run(secs(1));
        assert!(desk.addresses().is_empty(), "{left} {said} {holds}");
    }
}

/// Goal: an address ends with its time, and what is open on it with the address. Method: silence.
#[test]
fn an_address_whose_time_is_over_is_lost_with_what_is_open_on_it() {
    let mut desk = Desk::with(config(), 1);
    desk.alive = vec![ip("fe80::2")];
    desk.hear(&advert(2).prefix(|p| (p.valid, p.preferred) = (60, 30)));
    desk.run(secs(20));
    let made = desk.address_in("2001:db8:1::").expect("made");
    assert_eq!(desk.sends("2001:db8:9::1"), Some((ROUTER, made)));
    desk.run(secs(30));
    // The only one there is, so it is used though it is deprecated.
    assert_eq!(desk.sends("2001:db8:9::1"), Some((ROUTER, made)));
    let options = TcpOptions::default();
    let to = address("[2001:db8:9::1]:80");
    let open = desk.stack.tcp_connect(desk.now, APP, None, to, &options);
    let open = open.expect("a way");
    desk.events();
    desk.run(secs(10));
    let own = InterfaceAddress::new(made.into(), 64).expect("one");
    assert_eq!(desk.events(), [AddressEvent::Lost(own)]);
    assert!(desk.addresses().is_empty());
    let ended = desk.stack.poll_connected(open, idle());
    assert_eq!(ended, std::task::Poll::Ready(Err(TcpError::Unreachable)));
    // It can be had again.
    desk.hear(&advert(2).prefix(|_| {}));
    assert_eq!(desk.address_in("2001:db8:1::"), Some(made));
}

#[test]
fn servers_and_routers_end_with_their_time() {
    let mut desk = Desk::with(config(), 1);
    let mut router = advert(2)
        .prefix(|_| {})
        .with(servers(&["2001:db8::53"], 100));
    router.lifetime = 200;
    desk.hear(&router);
    desk.events();
    desk.run(secs(99));
    assert_eq!(desk.stack.resolvers().len(), 1);
    desk.run(secs(1));
    assert_eq!(desk.stack.resolvers(), []);
    desk.run(secs(99));
    assert!(desk.gateway().is_some());
    desk.run(secs(1));
    assert_eq!(desk.gateway(), None);
    let changed = |event: &AddressEvent| *event == AddressEvent::Changed;
    assert_eq!(desk.events().iter().filter(|e| changed(e)).count(), 2);
    let options = TcpOptions::default();
    let to = address("[2001:db8:9::1]:80");
    let way = desk.stack.tcp_connect(desk.now, APP, None, to, &options);
    assert_eq!(way, Err(ConnectError::NoRoute));
    // A server a router takes back.
    desk.run(secs(1));
    desk.hear(&advert(2).with(servers(&["2001:db8::53"], 100)));
    assert_eq!(desk.stack.resolvers().len(), 1);
    desk.hear(&advert(2).with(servers(&["2001:db8::53"], 0)));
    desk.run(secs(1));
    assert_eq!(desk.stack.resolvers(), []);
}

/// Goal: what a forger said once of the link and its name servers does not stay for ever. Method: both said without an
/// end; said again within two hours they hold, else not. An address that was made is another matter.
#[test]
fn what_is_not_said_again_ends_after_two_hours() {
    let mut desk = Desk::with(config(), 1);
    desk.alive = vec![ip("2001:db8:1::7"), ip("fe80::2")];
    let mut said = advert(2)
        .prefix(|p| (p.valid, p.preferred) = (u32::MAX, u32::MAX))
        .with(servers(&["2001:db8::53"], u32::MAX));
    said.lifetime = u16::MAX;
    for _ in 0..3 {
        desk.hear(&said);
        desk.run(secs(2 * HOUR - 1));
        let to = desk.sends("2001:db8:1::7").map(|(mac, _)| mac);
        assert_eq!(to, Some(super::mac(7)));
        assert_eq!(desk.stack.resolvers().len(), 1);
    }
    desk.run(secs(1));
    let to = desk.sends("2001:db8:1::7").map(|(mac, _)| mac);
    assert_eq!(to, Some(ROUTER));
    assert_eq!(desk.stack.resolvers(), []);
    assert_eq!(desk.addresses().len(), 1);
}

/// Goal: addresses do not come and go as a forger likes. Method: the least a new one may begin with, and one less.
#[test]
fn reject_prefixes_that_end_at_once() {
    for (valid, preferred, count) in [(60, 60, 1), (60, 1, 1), (60, 0, 0), (59, 59, 0), (0, 0, 0)] {
        let mut desk = Desk::with(config(), 1);
        desk.hear(&advert(2).prefix(|p| (p.valid, p.preferred) = (valid, preferred)));
        assert_eq!(desk.addresses().len(), count, "{valid} {preferred}");
    }
    // The same for what is on the link, until it is known.
    let mut desk = Desk::with(config(), 1);
    desk.alive = vec![ip("2001:db8:1::7")];
    let said = |valid| advert(2).prefix(|p| (p.flags, p.valid, p.preferred) = (0x80, valid, 0));
    desk.run(secs(2));
    for (valid, direct) in [(59, false), (60, true), (1, true), (0, false)] {
        desk.hear(&said(valid));
        let to = desk.sends("2001:db8:1::7").map(|(mac, _)| mac);
        assert_eq!(to == Some(super::mac(7)), direct, "{valid}");
    }
}

/// Goal: an address somebody else has is not used, and another is (RFC 7217 section 6), three times at most.
/// Method: a stranger who has whatever we try.
#[test]
fn reject_addresses_somebody_has() {
    let mut desk = Desk::settled();
    desk.hear(&advert(2).prefix(|p| (p.prefix, p.flags) = (ip("2001:db8:2::"), AUTONOMOUS)));
    let mut tried = Vec::new();
    while let Some(tries) = desk.address_in("2001:db8:2::") {
        assert!(!tried.contains(&tries), "another each time");
        tried.push(tries);
        assert!(tried.len() < 10);
        let mut body = tries.octets().to_vec();
        body.extend([2, 1, 6, 6, 6, 6, 6, 6]);
        let mut packet = crate::raw::icmp(tries.into(), ip(ALL_NODES).into(), 136, 0, &body);
        packet[7] = 255;
        let frame = super::framed([6; 6], &packet);
        desk.stack.handle_frame(desk.now, &frame);
    }
    assert_eq!(tried.len(), 3);
    let told = desk.events();
    let duplicates = tried.iter().map(|tried| AddressEvent::Duplicate {
        address: InterfaceAddress::new((*tried).into(), 64).expect("one"),
        mac: [6; 6],
    });
    assert_eq!(told, duplicates.collect::<Vec<_>>());
    // Said again, it is not tried again; the other network's address is none the worse.
    desk.hear(&advert(2).with(prefix("2001:db8:2::").option()));
    desk.run(secs(5));
    assert_eq!(desk.addresses().len(), 1);
    // The second try is good if nobody has it.
    let mut desk = Desk::settled();
    desk.hear(&advert(2).prefix(|p| p.prefix = ip("2001:db8:2::")));
    let first = desk.address_in("2001:db8:2::").expect("one");
    assert_eq!(first, tried[0]);
    let mut body = first.octets().to_vec();
    body.extend([2, 1, 6, 6, 6, 6, 6, 6]);
    let mut packet = crate::raw::icmp(first.into(), ip(ALL_NODES).into(), 136, 0, &body);
    packet[7] = 255;
    let frame = super::framed([6; 6], &packet);
    desk.stack.handle_frame(desk.now, &frame);
    desk.run(secs(2));
    assert_eq!(desk.address_in("2001:db8:2::"), Some(tried[1]));
    let own = InterfaceAddress::new(tried[1].into(), 64).expect("one");
    assert!(desk.events().contains(&AddressEvent::Ready(own)));
}

/// Goal: nothing is sent in the name of an address that is ours no more. Method: a packet that waits for a neighbour,
/// which answers when the address has ended. Found by fuzzing.
#[test]
fn what_waits_for_a_neighbour_goes_with_its_address() {
    let mut desk = Desk::with(config(), 1);
    desk.hear(&advert(2).prefix(|p| (p.valid, p.preferred) = (60, 60)));
    desk.run(secs(58));
    let (any, options) = (address("[::]:0"), UdpOptions::default());
    let socket = desk.stack.udp_bind(desk.now, APP, any, &options);
    let to = address("[2001:db8:1::7]:9");
    let sent = desk
        .stack
        .udp_send(desk.now, socket.expect("free"), b"x", to);
    sent.expect("it waits");
    let asked = desk.run(secs(2));
    assert!(desk.addresses().is_empty());
    // It answers at last, and to an address that is still ours.
    desk.alive = vec![ip("2001:db8:1::7")];
    let is_question = |frame: &[u8]| frame[54] == 135 && frame[6..12] == super::OURS;
    let question = asked.into_iter().rfind(|(_, frame)| is_question(frame));
    let mut question = question.expect("one").1;
    question[22..38].copy_from_slice(&super::own(&desk.stack)[0].octets());
    desk.answer(&question);
    let sent = desk.run(secs(1));
    assert!(sent.iter().all(|(_, frame)| frame[20] != 17));
}
