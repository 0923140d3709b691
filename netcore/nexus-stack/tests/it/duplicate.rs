//! An address that somebody else has: noticed before it is used, defended while it is.

use std::time::Duration;

use nexus_stack::{
    AddressEvent, ConnectError, DuplicateDetection, Medium, Stack, TcpError, TcpOptions,
};
use nexus_types::{Instant, IpAddr, Ipv6Addr, Seed};

use crate::pair::{A, APP, B, Link, Pair, address, config, idle};
use crate::raw;

const MAC: [[u8; 6]; 2] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]];
const THIEF: [u8; 6] = [6; 6];
/// Longer than the default detection takes, spread included.
const SURE: Duration = Duration::from_millis(900);

/// A stack with the addresses of `of`.
fn stack(number: usize, of: usize, now: Instant) -> Stack {
    let mut config = config(of);
    config.medium = Medium::Ethernet(MAC[number]);
    Stack::new(config, now, Seed::from_number(number as u64)).expect("a sound configuration")
}

fn pair() -> Pair {
    let mut pair = Pair::with(1, Link::CLEAN, |_| {});
    for number in [A, B] {
        pair.stacks[number] = stack(number, number, Instant::ZERO);
    }
    pair.log = Some(Vec::new());
    pair
}

fn events(stack: &mut Stack) -> Vec<AddressEvent> {
    core::iter::from_fn(|| stack.poll_address_event()).collect()
}

fn is_link_talk(frame: &[u8]) -> bool {
    frame[12..14] == [8, 6] || (frame[20] == 58 && matches!(frame[54], 135 | 136))
}

/// Somebody's word about A's addresses: a question from nobody if `probe`, else a claim.
fn words(probe: bool) -> [Vec<u8>; 2] {
    let mut arp = [0xff; 6].to_vec();
    arp.extend(THIEF);
    arp.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    arp.extend(THIEF);
    arp.extend(if probe { [0; 4] } else { [10, 0, 0, 1] });
    arp.extend([0; 6]);
    arp.extend([10, 0, 0, 1]);
    let ours = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
    let (kind, src, dst): (u8, Ipv6Addr, &str) = match probe {
        true => (135, Ipv6Addr::UNSPECIFIED, "ff02::1:ff00:1"),
        false => (136, ours, "ff02::1"),
    };
    let mut payload = vec![kind, 0, 0, 0, 0x20, 0, 0, 0];
    payload.extend(ours.octets());
    let dst: IpAddr = dst.parse().expect("an address");
    let mut packet = raw::packet(src.into(), dst, 58, payload, 2);
    packet[7] = 255;
    let mut ndisc = vec![0x33, 0x33, 0, 0, 0, 1];
    ndisc.extend(THIEF);
    ndisc.extend([0x86, 0xdd]);
    ndisc.extend(packet);
    [arp, ndisc]
}

#[test]
fn a_free_address_is_asked_for_announced_and_used() {
    for remote in ["10.0.0.2:80", "[fd00::2]:80"] {
        let mut pair = pair();
        // Tried at once; it goes as soon as the address is sure.
        let (a, b, _) = pair.established(remote);
        // B was not sure of its own yet when it was asked for, so it was asked twice.
        assert!(
            pair.now - Instant::ZERO < SURE + Duration::from_secs(1),
            "{remote}"
        );
        pair.write_all(A, a, b"for B");
        assert_eq!(pair.read(B, b).expect("open"), b"for B");
        let own: Vec<_> = pair.stacks[A].addresses().to_vec();
        let mut ready = events(&mut pair.stacks[A]);
        ready.sort_by_key(|event| format!("{event:?}"));
        let all: Vec<_> = own.into_iter().map(AddressEvent::Ready).collect();
        assert_eq!(ready, all);
        let log = pair.log.take().expect("kept");
        let mine: Vec<_> = log.iter().filter(|(from, _)| *from == A).collect();
        let first = mine.iter().position(|(_, frame)| !is_link_talk(frame));
        // Three questions for each address, the announcements, whom to send to.
        assert!(first.expect("a packet") >= 8, "{remote}");
        let asked = mine.iter().filter(|(_, frame)| {
            let src = match frame[12..14] {
                [8, 6] => &frame[28..32],
                _ => &frame[22..38],
            };
            src.iter().all(|byte| *byte == 0)
        });
        assert_eq!(asked.count(), 6, "{remote}: in nobody's name");
    }
}

#[test]
fn reject_an_address_that_somebody_has() {
    let mut pair = pair();
    pair.run(SURE);
    events(&mut pair.stacks[B]);
    let own = pair.stacks[B].addresses().to_vec();
    // A newcomer with B's addresses, and an app that does not wait.
    pair.stacks[A] = stack(A, B, pair.now);
    let tcp = pair.connect(A, "10.0.0.77:80");
    let udp = pair.udp(A, "10.0.0.2:7");
    let held = pair.stacks[A].udp_send(pair.now, udp, b"x", address("10.0.0.77:7"));
    held.expect("room");
    pair.log = Some(Vec::new());
    assert_eq!(pair.connected(A, tcp), Err(TcpError::Unreachable));
    let told = pair.until(Duration::from_secs(1), |pair| {
        pair.stacks[A].poll_udp_recv(pair.now, udp, idle(), |_, _| ())
    });
    assert_eq!(told, Err(nexus_stack::UdpError::Unreachable));
    pair.run(SURE);
    let mut told = events(&mut pair.stacks[A]);
    told.sort_by_key(|event| format!("{event:?}"));
    let duplicate = |address| AddressEvent::Duplicate {
        address,
        mac: MAC[B],
    };
    assert_eq!(told, own.into_iter().map(duplicate).collect::<Vec<_>>());
    assert_eq!(pair.stacks[A].addresses(), []);
    for remote in ["10.0.0.77:80", "[fd00::77]:80"] {
        let options = TcpOptions::default();
        let tried = pair.stacks[A].tcp_connect(pair.now, APP, None, address(remote), &options);
        assert_eq!(tried, Err(ConnectError::NoSource));
    }
    let log = pair.log.take().expect("kept");
    assert!(
        log.iter()
            .all(|(from, frame)| *from == B || is_link_talk(frame))
    );
    // Who has it is none the worse.
    assert_eq!(events(&mut pair.stacks[B]), []);
    assert_eq!(pair.stacks[B].addresses().len(), 2);
}

#[test]
fn reject_an_address_two_want_at_the_same_time() {
    let mut pair = pair();
    pair.stacks[B] = stack(B, A, pair.now);
    pair.run(SURE);
    let [a, b] = pair.stacks.each_ref().map(Stack::addresses);
    // Who had asked before the other's question came gives up too; it is never both's.
    assert!(a.iter().all(|own| !b.contains(own)), "{a:?} {b:?}");
    assert!(a.len() + b.len() <= 2);
}

#[test]
fn nothing_is_answered_for_an_address_that_is_not_sure() {
    let mut pair = pair();
    let mut ask = MAC[A].to_vec();
    ask.extend(THIEF);
    ask.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    ask.extend(THIEF);
    ask.extend([10, 0, 0, 9]);
    ask.extend([0; 6]);
    ask.extend([10, 0, 0, 1]);
    pair.deliver(A, &ask);
    assert!(pair.stacks[A].poll_transmit(pair.now).is_none());
    let (from, to) = (address("10.0.0.9:9"), address("10.0.0.1:9"));
    let mut frame = MAC[A].to_vec();
    frame.extend(THIEF);
    frame.extend([8, 0]);
    frame.extend(raw::datagram(from, to, b"anyone?"));
    let before = pair.stacks[A].stats().dropped_address;
    pair.deliver(A, &frame);
    assert_eq!(pair.stacks[A].stats().dropped_address, before + 1);
    pair.run(SURE);
    pair.deliver(A, &ask);
    let answer = pair.stacks[A].poll_transmit(pair.now).expect("an answer");
    assert_eq!(answer[..6], THIEF);
}

/// Two spoofed frames would be enough otherwise.
#[test]
fn an_address_in_use_is_defended_and_kept() {
    let mut pair = pair();
    let (a, b, _) = pair.established("10.0.0.2:80");
    pair.run(Duration::from_secs(5));
    events(&mut pair.stacks[A]);
    pair.log = Some(Vec::new());
    let begun = pair.now;
    while pair.now - begun < Duration::from_secs(29) {
        for _ in 0..100 {
            words(false).iter().for_each(|word| pair.deliver(A, word));
        }
        pair.run(Duration::from_millis(100));
    }
    let told = events(&mut pair.stacks[A]);
    let contested = |ip: &str| AddressEvent::Contested {
        address: ip.parse().expect("an address"),
        mac: THIEF,
    };
    for own in ["10.0.0.1", "fd00::1"] {
        let times = told.iter().filter(|event| **event == contested(own));
        assert_eq!(times.count(), 3, "once in ten seconds");
    }
    assert_eq!(told.len(), 6);
    let log = pair.log.take().expect("kept");
    assert_eq!(log.iter().filter(|(from, _)| *from == A).count(), 6);
    assert_eq!(pair.stacks[A].addresses().len(), 2);
    pair.write_all(A, a, b"still here");
    assert_eq!(pair.read(B, b).expect("open"), b"still here");
}

/// Who asks whether our address is free is told that it is not.
#[test]
fn a_newcomer_is_told_that_an_address_is_taken() {
    let mut pair = pair();
    pair.run(Duration::from_secs(5));
    events(&mut pair.stacks[A]);
    for word in words(true) {
        pair.deliver(A, &word);
        let answer = pair.stacks[A].poll_transmit(pair.now).expect("an answer");
        assert!(is_link_talk(&answer) && answer[6..12] == MAC[A]);
    }
    assert_eq!(events(&mut pair.stacks[A]), []);
}

#[test]
fn frames_that_wait_for_an_address_at_and_over_their_limit() {
    let mut pair = pair();
    let udp = pair.udp(A, "0.0.0.0:0");
    for _ in 0..65 {
        assert_eq!(pair.stacks[A].stats().dropped_queue, 0);
        pair.stacks[A]
            .udp_send(pair.now, udp, b"x", address("10.0.0.2:7"))
            .expect("room");
    }
    assert_eq!(pair.stacks[A].stats().dropped_queue, 1);
    // Those that waited count as queued until they go.
    pair.run(SURE + Duration::from_secs(1));
    let sent = pair.stacks[A].stats().frames_out;
    assert!(sent > 8, "{sent}");
}

/// Goal: large packets are bounded by what they take as well. Method: each takes a buffer of the full size, 15 of which
/// fit a mebibyte; one more is dropped, a small one is not.
#[test]
fn large_frames_that_wait_for_an_address_at_and_over_their_limit() {
    let mut pair = pair();
    let mut large = config(A);
    large.medium = Medium::Ethernet(MAC[A]);
    large.mtu = 9_000;
    pair.stacks[A] = Stack::new(large, Instant::ZERO, Seed::from_number(1)).expect("sound");
    let udp = pair.udp(A, "0.0.0.0:0");
    let mut dropped = |len: usize| {
        pair.stacks[A]
            .udp_send(pair.now, udp, &vec![7; len], address("10.0.0.2:7"))
            .expect("room");
        pair.stacks[A].stats().dropped_queue
    };
    for _ in 0..15 {
        assert_eq!(dropped(5_000), 0);
    }
    assert_eq!(dropped(5_000), 1);
    assert_eq!(dropped(1), 1);
}

#[test]
fn on_bare_packets_and_when_switched_off_an_address_is_sure_at_once() {
    let mut pair = Pair::new(1);
    assert_eq!(events(&mut pair.stacks[A]).len(), 2);
    assert_eq!(pair.stacks[A].poll_timeout(), None);
    let mut config = config(A);
    config.medium = Medium::Ethernet(MAC[A]);
    config.duplicate_detection = None;
    let mut stack = Stack::new(config.clone(), pair.now, Seed::from_number(1)).expect("sound");
    assert_eq!(events(&mut stack).len(), 2);
    assert_eq!(stack.poll_timeout(), None);
    for (probes, millis, sound) in [
        (0, 250, false),
        (1, 10, true),
        (10, 10_000, true),
        (11, 250, false),
        (3, 9, false),
        (3, 10_001, false),
    ] {
        config.duplicate_detection = Some(DuplicateDetection {
            probes,
            interval: Duration::from_millis(millis),
        });
        let made = Stack::new(config.clone(), pair.now, Seed::from_number(1));
        assert_eq!(made.is_ok(), sound, "{probes} {millis}");
    }
}
