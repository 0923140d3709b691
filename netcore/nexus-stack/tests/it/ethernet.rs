//! An Ethernet between two stacks: neighbours are found, kept, and not taken over.

use std::task::Poll;
use std::time::Duration;

use nexus_stack::{
    Config, ConfigError, ConnectError, Medium, Stack, TcpError, TcpOptions, UdpError, UdpOptions,
};
use nexus_types::{Instant, Seed};

use crate::pair::{A, APP, B, Link, Pair, address, config, idle, interface};
use crate::raw;

const MAC: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];

fn pair() -> Pair {
    let mut pair = Pair::with(1, Link::CLEAN, |_| {});
    for number in [A, B] {
        let mut config = config(number);
        config.medium = Medium::Ethernet(MAC[number]);
        config.duplicate_detection = None;
        pair.stacks[number] = Stack::new(config, Instant::ZERO, Seed::from_number(number as u64))
            .expect("a sound configuration");
    }
    pair.log = Some(Vec::new());
    pair
}

fn count(pair: &Pair, is: impl Fn(&[u8]) -> bool) -> usize {
    let log = pair.log.as_ref().expect("kept");
    log.iter().filter(|(_, frame)| is(frame)).count()
}

fn is_arp(frame: &[u8]) -> bool {
    frame[12..14] == [8, 6]
}

fn is_ndisc(frame: &[u8]) -> bool {
    frame[12..14] == [0x86, 0xdd] && frame[20] == 58 && matches!(frame[54], 135 | 136)
}

#[test]
fn neighbours_are_found_and_bytes_arrive_both_ways() {
    for remote in ["10.0.0.2:80", "[fd00::2]:80"] {
        let mut pair = pair();
        let begun = pair.now;
        let (a, b, _) = pair.established(remote);
        // Asking takes one round trip, the handshake another: nothing had to be sent twice.
        assert!(pair.now - begun <= Duration::from_millis(5), "{remote}");
        let data = vec![9; 50_000];
        pair.write_all(A, a, &data);
        pair.stacks[A].tcp_finish(pair.now, a).expect("open");
        assert_eq!(pair.read_to_end(B, b).expect("all of it"), data);
        let asked = if remote.starts_with('[') {
            count(&pair, is_ndisc)
        } else {
            count(&pair, is_arp)
        };
        assert_eq!(
            asked, 2,
            "one question, one answer: the one who was asked learnt too"
        );
        let log = pair.log.take().expect("kept");
        for (from, frame) in log {
            assert_eq!(frame[6..12], MAC[from]);
            assert!(frame[0] & 1 == 1 || frame[..6] == MAC[1 - from]);
        }
    }
}

#[test]
fn a_neighbour_is_asked_for_again_after_a_minute() {
    let mut pair = pair();
    let server = pair.udp(B, "10.0.0.2:53");
    let client = pair.udp(A, "0.0.0.0:0");
    for (second, arps) in [(0, 2), (30, 2), (61, 4)] {
        let wait = Instant::from_secs(second) - pair.now;
        pair.run(wait);
        pair.stacks[A]
            .udp_send(pair.now, client, b"x", address("10.0.0.2:53"))
            .expect("room");
        pair.receive(B, server);
        // The datagram did not wait for the answer.
        pair.run(Duration::from_millis(10));
        assert_eq!(count(&pair, is_arp), arps, "{second}");
    }
}

#[test]
fn reject_who_does_not_answer() {
    for remote in ["10.0.0.77:80", "[fd00::77]:80"] {
        let mut pair = pair();
        let a = pair.connect(A, remote);
        assert_eq!(pair.connected(A, a), Err(TcpError::TimedOut));
        assert!(pair.stacks[A].stats().dropped_neighbor > 0);
        assert!(count(&pair, |frame| is_arp(frame) || is_ndisc(frame)) <= 80);
        pair.run(Duration::from_secs(10));
        assert_eq!(pair.stacks[A].poll_timeout(), None);
    }
}

#[test]
fn other_links_are_reached_through_the_gateway_or_not_at_all() {
    let mut pair = pair();
    let connect = |pair: &mut Pair, remote: &str| {
        pair.stacks[A].tcp_connect(pair.now, APP, None, address(remote), &TcpOptions::default())
    };
    for remote in ["192.0.2.1:80", "[2001:db8::1]:80"] {
        assert_eq!(connect(&mut pair, remote), Err(ConnectError::NoRoute));
    }
    let mut with_gateway = config(A);
    with_gateway.medium = Medium::Ethernet(MAC[A]);
    with_gateway.duplicate_detection = None;
    with_gateway.gateway_v4 = Some("10.0.0.2".parse().expect("an address"));
    with_gateway.gateway_v6 = Some("fd00::2".parse().expect("an address"));
    pair.stacks[A] = Stack::new(with_gateway, pair.now, Seed::from_number(9)).expect("sound");
    for remote in ["192.0.2.1:80", "[2001:db8::1]:80"] {
        pair.log = Some(Vec::new());
        connect(&mut pair, remote).expect("there is a way");
        pair.run(Duration::from_millis(100));
        let to_gateway = |frame: &[u8]| !is_arp(frame) && !is_ndisc(frame) && frame[..6] == MAC[B];
        assert_eq!(count(&pair, to_gateway), 1, "{remote}");
    }
}

/// Answers nobody asked for, and questions in somebody's name, change nothing.
#[test]
fn reject_an_address_taken_over_by_talking_into_the_room() {
    let mut pair = pair();
    let (a, b, _) = pair.established("10.0.0.2:80");
    let thief = [6, 6, 6, 6, 6, 6];
    for operation in [1, 2] {
        // "10.0.0.2 is at 06:06:…", to everybody and to us.
        for target in [[10, 0, 0, 2], [10, 0, 0, 1]] {
            let mut frame = MAC[A].to_vec();
            frame.extend(thief);
            frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, operation]);
            frame.extend(thief);
            frame.extend([10, 0, 0, 2]);
            frame.extend(MAC[A]);
            frame.extend(target);
            pair.deliver(A, &frame);
        }
    }
    pair.log = Some(Vec::new());
    pair.write_all(A, a, b"for B");
    assert_eq!(pair.read(B, b).expect("open"), b"for B");
    assert_eq!(
        count(&pair, |frame| frame[..6] == thief && !is_arp(frame)),
        0
    );
}

#[test]
fn reject_frames_for_others_and_cut_ones() {
    let mut pair = pair();
    let (a, b, _) = pair.established("[fd00::2]:80");
    let arp = pair.connect(A, "10.0.0.2:81");
    assert_eq!(pair.connected(A, arp), Err(TcpError::Refused));
    let log = pair.log.take().expect("kept");
    for (from, frame) in &log {
        for len in 0..frame.len() {
            pair.deliver(1 - from, &frame[..len]);
        }
        let mut other = frame.clone();
        other[..6].copy_from_slice(&[2, 0, 0, 0, 0, 9]);
        let before = pair.stacks[1 - from].stats().dropped_address;
        pair.deliver(1 - from, &other);
        assert_eq!(pair.stacks[1 - from].stats().dropped_address, before + 1);
    }
    pair.write_all(A, a, b"still here");
    assert_eq!(pair.read(B, b).expect("open"), b"still here");
    let mut buf = [0; 8];
    let read = pair.stacks[A].poll_read(pair.now, a, &mut buf, idle());
    assert_eq!(read, Poll::Pending);
}

#[test]
fn reject_hardware_addresses_that_are_none() {
    for mac in [[0; 6], [0xff; 6], [1, 0, 0, 0, 0, 1]] {
        let mut config: Config = config(A);
        config.medium = Medium::Ethernet(mac);
        let made = Stack::new(config, Instant::ZERO, Seed::from_number(1));
        assert_eq!(made.err(), Some(ConfigError::HardwareAddress(mac)));
    }
}

/// Goal: what neighbours say of themselves comes in one piece and bare (RFC 6980 section 5). Method: a question that is
/// answered, and the same behind a fragment header that names one fragment, and behind options.
#[test]
fn reject_neighbour_discovery_behind_other_headers() {
    let mut pair = pair();
    let (src, dst) = ("fd00::9", "ff02::1:ff00:1");
    let mut body = vec![0; 16];
    (body[0], body[15]) = (0xfd, 1);
    body.extend([1, 1, 2, 0, 0, 0, 0, 9]);
    let ip = |text: &str| text.parse().expect("an address");
    let mut packet = raw::icmp(ip(src), ip(dst), 135, 0, &body);
    packet[7] = 255;
    for (header, answers) in [
        (None, 1),
        (Some((44, [58, 0, 0, 0, 0, 0, 0, 9])), 0),
        (Some((60, [58, 0, 1, 4, 0, 0, 0, 0])), 0),
    ] {
        let mut frame = vec![0x33, 0x33, 0xff, 0, 0, 1, 2, 0, 0, 0, 0, 9, 0x86, 0xdd];
        frame.extend(&packet);
        if let Some((kind, header)) = header {
            frame[18..20].copy_from_slice(&40_u16.to_be_bytes());
            frame[20] = kind;
            frame.splice(54..54, header);
        }
        pair.deliver(A, &frame);
        let answer = core::iter::from_fn(|| pair.stacks[A].poll_transmit(pair.now));
        assert_eq!(answer.count(), answers, "{header:?}");
    }
    assert_eq!(pair.stacks[A].stats().dropped_malformed, 2);
}

/// Goal: a datagram that never left does not count as queued for ever. Method: a sweep over 600 neighbours who are
/// silent, of whom the table remembers 512 and forgets the others with what waits for them; and more to one of them
/// than may wait. Then each socket can queue as many as at first.
#[test]
fn datagrams_that_were_dropped_are_not_queued_any_more() {
    let mut config = Config::new(1_500, vec![interface("10.0.0.1", 16)]);
    config.medium = Medium::Ethernet(MAC[A]);
    config.duplicate_detection = None;
    let most = config.limits.udp_queue_datagrams;
    let mut stack = Stack::new(config, Instant::ZERO, Seed::from_number(1)).expect("sound");
    let mut now = Instant::ZERO;
    let leave = |stack: &mut Stack, now| {
        while let Some(frame) = stack.poll_transmit(now) {
            stack.recycle(frame);
        }
    };
    let local = address("0.0.0.0:0");
    let mut bind = || stack.udp_bind(now, APP, local, &UdpOptions::default());
    let sockets = [bind(), bind(), bind()].map(|socket| socket.expect("a free port"));
    for number in 0..600 {
        let to = address(&format!(
            "10.0.{}.{}:53",
            1 + number / 200,
            1 + number % 200
        ));
        let socket = sockets[number / 200];
        stack.udp_send(now, socket, b"x", to).expect("room");
        leave(&mut stack, now);
    }
    for _ in 0..40 {
        let sent = stack.udp_send(now, sockets[2], b"x", address("10.0.3.200:53"));
        sent.expect("room");
        leave(&mut stack, now);
    }
    // Nobody answers, and all are given up.
    while let Some(at) = stack.poll_timeout() {
        now = at;
        stack.handle_timeout(now);
        leave(&mut stack, now);
    }
    assert_eq!(stack.stats().dropped_neighbor, 640);
    // What goes to a group waits for nobody, only to leave.
    for socket in sockets {
        let mut send = || stack.udp_send(now, socket, b"x", address("224.0.0.9:53"));
        for number in 0..most {
            assert_eq!(send(), Ok(()), "{number}");
        }
        assert_eq!(send(), Err(UdpError::WouldBlock));
        leave(&mut stack, now);
    }
}
