//! Neighbours under attack: somebody on the link claims other people's addresses, without end.

use std::task::Poll;
use std::time::Duration;

use nexus_stack::{Medium, Stack, UdpId};
use nexus_types::{Instant, InterfaceAddress, Ipv6Addr, Seed};

use crate::pair::{A, B, Link, Pair, address, config, idle};
use crate::raw;

const MAC: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];
const THIEF: [u8; 6] = [6; 6];
const ADDRESSES: u32 = 10_000;

/// A link wide enough for ten thousand neighbours.
fn pair() -> Pair {
    let mut pair = Pair::with(1, Link::CLEAN, |_| {});
    for number in [A, B] {
        let mut config = config(number);
        config.medium = Medium::Ethernet(MAC[number]);
        config.duplicate_detection = None;
        for own in &mut config.addresses {
            let prefix = if own.address().is_ipv4() { 16 } else { 64 };
            *own = InterfaceAddress::new(own.address(), prefix).expect("it fits");
        }
        pair.stacks[number] = Stack::new(config, Instant::ZERO, Seed::from_number(number as u64))
            .expect("a sound configuration");
    }
    pair
}

fn arp(operation: u8, to: [u8; 6], mac: [u8; 6], sender: [u8; 4], target: [u8; 4]) -> Vec<u8> {
    let mut frame = to.to_vec();
    frame.extend(mac);
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, operation]);
    frame.extend(mac);
    frame.extend(sender);
    frame.extend(if operation == 1 { [0; 6] } else { to });
    frame.extend(target);
    frame
}

/// A message of NDISC about `target`, with a hardware address as its option.
fn ndisc(kind: u8, flags: u8, src: Ipv6Addr, target: Ipv6Addr, dst: Ipv6Addr) -> Vec<u8> {
    let mut payload = vec![kind, 0, 0, 0, flags, 0, 0, 0];
    payload.extend(target.octets());
    payload.extend([kind - 134, 1]);
    payload.extend(THIEF);
    let mut frame = MAC[A].to_vec();
    frame.extend(THIEF);
    frame.extend([0x86, 0xdd]);
    let mut packet = raw::packet(src.into(), dst.into(), 58, payload, 2);
    packet[7] = 255;
    frame.extend(packet);
    frame
}

/// One claim of every kind there is for the address with this number.
fn claims(number: u32) -> Vec<Vec<u8>> {
    let [.., high, low] = number.to_be_bytes();
    let v4 = [10, 0, high, low];
    let v6 = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number as u16);
    let ours = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
    let all = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let node = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00, 1);
    vec![
        arp(1, [0xff; 6], THIEF, v4, [10, 0, 0, 1]),
        arp(2, MAC[A], THIEF, v4, [10, 0, 0, 1]),
        // Gratuitous, both ways to say it.
        arp(1, [0xff; 6], THIEF, v4, v4),
        arp(2, [0xff; 6], THIEF, v4, v4),
        ndisc(135, 0, v6, ours, node),
        ndisc(136, 0x60, v6, v6, ours),
        ndisc(136, 0x20, v6, v6, all),
    ]
}

/// Sends a datagram from A to B and back; how long that took.
fn exchange(pair: &mut Pair, client: UdpId, server: UdpId, to: &str) -> Duration {
    let begun = pair.now;
    pair.stacks[A]
        .udp_send(pair.now, client, b"ping", address(to))
        .expect("room");
    let (from, _) = pair.receive(B, server);
    pair.stacks[B]
        .udp_send(pair.now, server, b"pong", from)
        .expect("room");
    pair.receive(A, client);
    pair.now - begun
}

/// Ten thousand addresses are claimed, in every way and over minutes, so that every neighbour has to be
/// confirmed again meanwhile: a datagram comes back within a second at any time, and no frame goes to the thief
/// that was meant for the live one.
#[test]
fn a_flood_of_ten_thousand_addresses_evicts_no_live_peer() {
    for (local, to) in [("0.0.0.0:0", "10.0.0.2:53"), ("[::]:0", "[fd00::2]:53")] {
        let mut pair = pair();
        let server = pair.udp(B, to);
        let client = pair.udp(A, local);
        exchange(&mut pair, client, server, to);
        pair.log = Some(Vec::new());
        let mut longest = Duration::ZERO;
        for round in 0..100 {
            // 100 addresses at a time, the live one's among them.
            for number in (round * ADDRESSES / 100..(round + 1) * ADDRESSES / 100).chain([2]) {
                for victim in [A, B] {
                    for mut claim in claims(number) {
                        if victim == B && claim[..6] == MAC[A] {
                            claim[..6].copy_from_slice(&MAC[B]);
                        }
                        pair.deliver(victim, &claim);
                    }
                }
            }
            longest = longest.max(exchange(&mut pair, client, server, to));
            pair.run(Duration::from_millis(1_900));
        }
        assert!(longest < Duration::from_secs(1), "{to}: {longest:?}");
        assert!(pair.now > Instant::from_secs(180), "neighbours aged");
        let log = pair.log.take().expect("kept");
        let stolen = log.iter().filter(|(from, frame)| {
            let datagram = match frame[12..14] {
                [8, 0] => frame[23] == 17,
                [0x86, 0xdd] => frame[20] == 17,
                _ => false,
            };
            *from == A && datagram && frame[..6] == THIEF
        });
        assert_eq!(stolen.count(), 0, "{to}");
    }
}

/// The same flood as fast as the link takes it, during a transfer.
#[test]
fn a_transfer_goes_on_during_a_flood() {
    for remote in ["10.0.0.2:80", "[fd00::2]:80"] {
        let mut pair = pair();
        let (a, b, _) = pair.established(remote);
        let begun = pair.now;
        let (mut sent, mut received, mut progress) = (0, 0, pair.now);
        let mut number = 0;
        let mut buf = [0; 4_096];
        while received < 400_000 {
            for _ in 0..100 {
                number = (number + 1) % ADDRESSES;
                claims(number)
                    .iter()
                    .for_each(|claim| pair.deliver(A, claim));
            }
            let now = pair.now;
            // A trickle, so that it lasts longer than a neighbour is taken for granted.
            if sent <= received
                && let Poll::Ready(Ok(len)) =
                    pair.stacks[A].poll_write(now, a, &buf[..1_000], idle())
            {
                sent += len;
            }
            while let Poll::Ready(read) = pair.stacks[B].poll_read(now, b, &mut buf, idle()) {
                received += read.expect("open");
                assert!(pair.now - progress < Duration::from_secs(1), "{remote}");
                progress = pair.now;
            }
            pair.run(Duration::from_millis(250));
        }
        assert!(pair.now - begun > Duration::from_secs(90), "{remote}");
    }
}

/// A live peer that checks us is answered, however many strangers ask in the same moment.
#[test]
fn a_live_peer_is_answered_among_strangers_who_ask() {
    let mut pair = pair();
    let server = pair.udp(B, "10.0.0.2:53");
    let client = pair.udp(A, "0.0.0.0:0");
    exchange(&mut pair, client, server, "10.0.0.2:53");
    let mut answers = 0;
    for number in 100..ADDRESSES {
        claims(number)
            .iter()
            .for_each(|claim| pair.deliver(A, claim));
        while let Some(frame) = pair.stacks[A].poll_transmit(pair.now) {
            answers += 1;
            pair.stacks[A].recycle(frame);
        }
    }
    assert!((1..=1_000).contains(&answers), "{answers}");
    let ask = |from| arp(1, MAC[A], from, [10, 0, 0, 2], [10, 0, 0, 1]);
    pair.deliver(A, &ask(THIEF));
    assert!(pair.stacks[A].poll_transmit(pair.now).is_none());
    pair.deliver(A, &ask(MAC[B]));
    let answer = pair.stacks[A].poll_transmit(pair.now).expect("an answer");
    assert_eq!(answer[..6], MAC[B]);
}

/// When the one who had an address is gone, who has it now is found, within seconds.
#[test]
fn an_address_that_moved_is_followed_once_the_old_owner_is_silent() {
    for (local, to) in [("0.0.0.0:0", "10.0.0.2:53"), ("[::]:0", "[fd00::2]:53")] {
        let mut pair = pair();
        let server = pair.udp(B, to);
        let client = pair.udp(A, local);
        exchange(&mut pair, client, server, to);
        pair.run(Duration::from_secs(2));
        // Another machine takes over, and says so.
        let mut config = config(B);
        config.medium = Medium::Ethernet(THIEF);
        config.duplicate_detection = None;
        pair.stacks[B] = Stack::new(config, pair.now, Seed::from_number(7)).expect("sound");
        let server = pair.udp(B, to);
        claims(2).iter().for_each(|claim| pair.deliver(A, claim));
        let begun = pair.now;
        let waker = idle();
        loop {
            assert!(pair.now - begun < Duration::from_secs(5), "{to}");
            pair.stacks[A]
                .udp_send(pair.now, client, b"ping", address(to))
                .expect("room");
            pair.run(Duration::from_millis(100));
            let now = pair.now;
            if pair.stacks[B]
                .poll_udp_recv(now, server, waker, |_, _| ())
                .is_ready()
            {
                break;
            }
        }
        assert!(pair.now - begun > Duration::from_secs(2), "{to}: checked");
    }
}

/// What a router let through, what is cut, and what asks for nobody by all.
#[test]
fn reject_discovery_that_is_not_sound() {
    let mut pair = pair();
    let ours = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
    let peer = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 2);
    let all = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let good = ndisc(135, 0, peer, ours, ours);
    let seal = |mut frame: Vec<u8>, hops: u8| {
        let payload = frame.split_off(54);
        let (src, dst): ([u8; 16], [u8; 16]) = (
            frame[22..38].try_into().expect("sixteen"),
            frame[38..54].try_into().expect("sixteen"),
        );
        frame.truncate(14);
        let mut packet = raw::packet(src.into(), dst.into(), 58, payload, 2);
        packet[7] = hops;
        frame.extend(packet);
        frame
    };
    let changed = |at: usize, value: u8| {
        let mut frame = good.clone();
        frame[at] = value;
        seal(frame, 255)
    };
    let mut bad = vec![
        seal(good.clone(), 254),
        seal(good.clone(), 64),
        // An option of no length, one beyond the message, a code.
        changed(54 + 25, 0),
        changed(54 + 25, 2),
        changed(54 + 1, 1),
        // A solicited advertisement to all; a question from nobody with an address, and not to the group.
        ndisc(136, 0x60, peer, peer, all),
        ndisc(135, 0, Ipv6Addr::UNSPECIFIED, ours, ours),
    ];
    for cut in 58..good.len() {
        bad.push(seal(good[..cut].to_vec(), 255));
    }
    // Without its option it is whole, and a question.
    bad.retain(|frame| frame.len() != 54 + 24);
    for frame in bad {
        let before = *pair.stacks[A].stats();
        pair.deliver(A, &frame);
        let after = *pair.stacks[A].stats();
        assert!(
            after.dropped_malformed + after.dropped_address
                > before.dropped_malformed + before.dropped_address,
            "{frame:02x?}"
        );
        assert!(pair.stacks[A].poll_transmit(pair.now).is_none());
    }
    pair.deliver(A, &good);
    let answer = pair.stacks[A].poll_transmit(pair.now).expect("an answer");
    assert_eq!((&answer[..6], answer[54]), (&THIEF[..], 136));
    // From another link: there is no answering it here.
    let stranger = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
    pair.deliver(A, &ndisc(135, 0, stranger, ours, ours));
    assert!(pair.stacks[A].poll_transmit(pair.now).is_none());
}
