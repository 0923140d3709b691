//! What is left to the NIC, and what it says: large frames, checksums, and what contradicts them.

use std::num::NonZeroU16;
use std::task::Poll;
use std::time::Duration;

use nexus_stack::{Config, Offload, Received, Stack, TcpOptions};
use nexus_types::{Instant, Seed, SocketAddr};

use crate::nic;
use crate::pair::{A, B, Link, Pair, address, config, idle};
use crate::raw;

const MIB: usize = 1 << 20;

/// A link between two NICs. `large`: it is no wire, and carries what a stack leaves to its NIC as it is.
fn nics(seed: u64, link: Link, large: bool, change: impl Fn(&mut Config)) -> Pair {
    let mut pair = Pair::with(seed, link, |config| {
        config.offload = true;
        change(config);
    });
    pair.nic = Some(nic::Nic { large });
    pair
}

fn bytes(count: usize, seed: u32) -> Vec<u8> {
    (0..count as u32)
        .map(|n| (n.wrapping_mul(2_654_435_761).wrapping_add(seed) >> 13) as u8)
        .collect()
}

/// Moves `count` bytes from A to B at `to`, and as many back.
fn there_and_back(pair: &mut Pair, to: SocketAddr, count: usize, options: &TcpOptions) {
    let (client, server) = pair.connect_with(to, options);
    for (from, source, target, seed) in [(A, client, server, 1), (B, server, client, 2)] {
        let data = bytes(count, seed);
        let (mut sent, mut received) = (0, Vec::new());
        let mut buffer = vec![0; 64 << 10];
        pair.until(Duration::from_secs(3_600), |pair| {
            let now = pair.now;
            while sent < data.len()
                && let Poll::Ready(written) =
                    pair.stacks[from].poll_write(now, source, &data[sent..], idle())
            {
                sent += written.expect("an open connection");
            }
            while let Poll::Ready(read) =
                pair.stacks[1 - from].poll_read(now, target, &mut buffer, idle())
            {
                received.extend_from_slice(&buffer[..read.expect("an open connection")]);
            }
            if received.len() >= count {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        });
        assert!(received == data, "what arrives is what was sent");
    }
}

fn large() -> TcpOptions {
    TcpOptions {
        rx_bytes: Some(MIB),
        tx_bytes: Some(MIB),
        ..TcpOptions::default()
    }
}

/// Goal: between two NICs that take them, a mebibyte goes in large frames; at a wire it is segments that
/// fit it, with right checksums. Method: 4 MiB each way, both families, counting frames.
#[test]
fn large_frames_carry_what_many_would() {
    for to in ["10.0.0.2:80", "[fd00::2]:80"] {
        for whole in [true, false] {
            let mut pair = nics(1, Link::CLEAN, whole, |_| {});
            there_and_back(&mut pair, address(to), 4 * MIB, &large());
            let frames = pair.stacks.each_ref().map(|stack| stack.stats().frames_out);
            let received = pair.stacks.each_ref().map(|stack| stack.stats().frames_in);
            assert!(frames.iter().all(|frames| *frames < 1_500), "{frames:?}");
            let most = received.iter().all(|frames| *frames < 1_500);
            assert_eq!(most, whole, "{to} {received:?}");
            for stack in &pair.stacks {
                assert_eq!(stack.stats().dropped_checksum, 0);
                assert_eq!(stack.stats().dropped_malformed, 0);
            }
        }
    }
}

/// Goal: loss, reorder, duplication and damage behind the NIC. Method: 1 MiB each way through a NIC that
/// makes the segments, with 2 % of each, and through one that loses large frames whole.
#[test]
fn what_is_lost_behind_the_nic_is_sent_again() {
    let link = Link {
        loss: 20,
        duplication: 20,
        reorder: 20,
        jitter: Duration::from_millis(3),
        corruption: 20,
        ..Link::CLEAN
    };
    for seed in 0..6 {
        for whole in [true, false] {
            // Nobody looks at what is said to be right, so nothing may be damaged then.
            let corruption = if whole { 0 } else { link.corruption };
            let link = Link { corruption, ..link };
            let mut pair = nics(seed, link, whole, |_| {});
            let to = if seed % 2 == 0 {
                "10.0.0.2:80"
            } else {
                "[fd00::2]:80"
            };
            there_and_back(&mut pair, address(to), MIB, &large());
        }
    }
}

/// Goal: segments are no longer than the far end's MSS and our MTU, frames no larger than its window.
/// Method: far ends of other MTUs and small buffers; the test's NIC fails on a segment that is too long.
#[test]
fn segments_fit_the_far_end() {
    for (ours, theirs) in [
        (1_500, 1_280),
        (1_280, 9_000),
        (9_000, 1_500),
        (65_535, 1_500),
    ] {
        for to in ["10.0.0.2:80", "[fd00::2]:80"] {
            let mut pair = nics(3, Link::CLEAN, false, |_| {});
            for (number, mtu) in [(A, ours), (B, theirs)] {
                let mut config = config(number);
                config.mtu = mtu;
                config.offload = true;
                config.tcp.rx_bytes = 20_000;
                let seed = Seed::from_number(number as u64);
                pair.stacks[number] = Stack::new(config, Instant::ZERO, seed).expect("sound");
            }
            pair.log = Some(Vec::new());
            let options = TcpOptions::default();
            there_and_back(&mut pair, address(to), MIB / 2, &options);
            let most = ours.min(theirs);
            let log = pair.log.take().expect("kept");
            assert!(
                log.iter().all(|(_, frame)| frame.len() <= most),
                "{ours} {theirs} {to}"
            );
            for stack in &pair.stacks {
                assert_eq!(stack.stats().dropped_malformed, 0);
            }
        }
    }
}

/// Goal: a large frame is acknowledged at once, not when a second one has come: at the start of a
/// connection there is no second one. Method: virtual time of a first write that is one frame.
#[test]
fn a_large_frame_does_not_wait_for_its_acknowledgement() {
    let mut pair = nics(4, Link::CLEAN, true, |config| {
        config.tcp.ack_delay = Some(Duration::from_secs(5));
    });
    let (client, _server) = pair.connect_with(address("10.0.0.2:80"), &large());
    let now = pair.now;
    let data = bytes(8_000, 1);
    assert_eq!(
        pair.stacks[A].poll_write(now, client, &data, idle()),
        Poll::Ready(Ok(data.len()))
    );
    pair.until(Duration::from_millis(10), |pair| {
        pair.stacks[A].poll_flushed(client, idle())
    })
    .expect("an open connection");
}

/// Goal: without it nothing is left to anybody, and one that gets large frames need not send them.
/// Method: only one end leaves work; the other's frames are counted.
#[test]
fn each_end_does_as_it_was_made() {
    let mut pair = nics(5, Link::CLEAN, true, |_| {});
    pair.stacks[B] = Stack::new(config(B), Instant::ZERO, Seed::from_number(9)).expect("sound");
    there_and_back(&mut pair, address("10.0.0.2:80"), 2 * MIB, &large());
    let [a, b] = pair.stacks.each_ref().map(|stack| stack.stats().frames_out);
    assert!(b > 1_400 && a < b, "{a} {b}");
}

/// A segment of an open connection from A to B, as it left A.
fn data_segment(pair: &mut Pair) -> Vec<u8> {
    let (client, _) = pair.connect_with(address("10.0.0.2:80"), &large());
    let now = pair.now;
    let data = bytes(6_000, 1);
    let wrote = pair.stacks[A].poll_write(now, client, &data, idle());
    assert_eq!(wrote, Poll::Ready(Ok(data.len())));
    let frame = pair.stacks[A].poll_transmit(now).expect("a segment");
    assert_eq!(
        frame.offload(),
        Offload::Segments(NonZeroU16::new(1_460).expect("not 0"))
    );
    frame.to_vec()
}

fn received(segments: u16) -> Received {
    Received {
        checked: true,
        segments: NonZeroU16::new(segments),
    }
}

/// Goal: a checksum is looked at unless somebody answers for it. Method: a frame without one.
#[test]
fn reject_an_absent_checksum_that_nobody_answers_for() {
    let mut pair = nics(6, Link::CLEAN, true, |_| {});
    let frame = data_segment(&mut pair);
    let now = pair.now;
    let before = *pair.stacks[B].stats();
    pair.stacks[B].handle_frame(now, &frame);
    let unknown = Received {
        checked: false,
        ..received(1_460)
    };
    pair.stacks[B].handle_received(now, &frame, unknown);
    assert_eq!(
        pair.stacks[B].stats().dropped_checksum,
        before.dropped_checksum + 2
    );
    pair.stacks[B].handle_received(now, &frame, received(1_460));
    assert_eq!(pair.stacks[B].stats().segments_in, before.segments_in + 1);
}

/// Goal: over IPv6 a datagram has a checksum, whoever answers for it (RFC 8200 section 8.1); over IPv4 it need not.
/// Method: a right one, one that is left to who answers for it, and none, said to be checked.
#[test]
fn reject_a_datagram_over_ipv6_without_a_checksum() {
    for (from, to, header, none) in [
        ("10.0.0.1:53", "10.0.0.2:53", 20, 1),
        ("[fd00::1]:53", "[fd00::2]:53", 40, 0),
    ] {
        let mut pair = nics(9, Link::CLEAN, true, |_| {});
        let _socket = pair.udp(B, to);
        let word = Received {
            checked: true,
            segments: None,
        };
        for (checksum, taken) in [(None, 1), (Some([1, 2]), 1), (Some([0, 0]), none)] {
            let mut packet = raw::datagram(address(from), address(to), b"data");
            if let Some(checksum) = checksum {
                packet[header + 6..header + 8].copy_from_slice(&checksum);
            }
            let before = *pair.stacks[B].stats();
            pair.stacks[B].handle_received(pair.now, &packet, word);
            let after = pair.stacks[B].stats();
            assert_eq!(
                after.datagrams_in,
                before.datagrams_in + taken,
                "{to} {checksum:?}"
            );
            let dropped = before.dropped_checksum + 1 - taken;
            assert_eq!(after.dropped_checksum, dropped, "{to} {checksum:?}");
        }
    }
}

/// Goal: what is said of a frame and the frame contradict each other. Method: segments of what is no
/// TCP, a fragment, a SYN, a reset; a damaged header; sizes that do not fit, which do no harm.
#[test]
fn reject_segments_of_what_has_none() {
    let mut pair = nics(7, Link::CLEAN, true, |_| {});
    let frame = data_segment(&mut pair);
    let now = pair.now;
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut frame = frame.clone();
        change(&mut frame);
        nic::seal_header(&mut frame);
        frame
    };
    for (what, frame) in [
        ("UDP", with(&|frame| frame[9] = 17)),
        ("ICMP", with(&|frame| frame[9] = 1)),
        ("a fragment", with(&|frame| frame[6] = 0x20)),
        ("a SYN", with(&|frame| frame[33] = 0x02)),
        ("a reset", with(&|frame| frame[33] = 0x04)),
    ] {
        let before = *pair.stacks[B].stats();
        pair.stacks[B].handle_received(now, &frame, received(1_460));
        let after = pair.stacks[B].stats();
        assert_eq!(
            after.dropped_malformed,
            before.dropped_malformed + 1,
            "{what}"
        );
        assert_eq!(after.segments_in, before.segments_in, "{what}");
    }
    let mut damaged = frame.clone();
    damaged[8] ^= 1;
    let before = *pair.stacks[B].stats();
    pair.stacks[B].handle_received(now, &damaged, received(1_460));
    assert_eq!(
        pair.stacks[B].stats().dropped_checksum,
        before.dropped_checksum + 1
    );
    // Larger than the data, and absurdly small: what counts is the data.
    for size in [1, 6_000, u16::MAX] {
        pair.stacks[B].handle_received(now, &frame, received(size));
    }
    assert_eq!(pair.stacks[B].stats().segments_in, before.segments_in + 3);
}

/// Goal: no bytes and no word about them make a panic. Method: damaged and cut frames with every word.
#[test]
fn reject_damaged_frames_whatever_is_said_of_them() {
    let mut pair = nics(8, Link::CLEAN, true, |_| {});
    let frame = data_segment(&mut pair);
    let now = pair.now;
    for _ in 0..20_000 {
        let mut damaged = frame.clone();
        for _ in 0..1 + pair.dice.below(4) {
            let at = pair.dice.below(damaged.len().min(80) as u64) as usize;
            damaged[at] = pair.dice.next() as u8;
        }
        damaged.truncate(pair.dice.below(damaged.len() as u64 + 1) as usize);
        if damaged.len() > 20 && pair.dice.chance(700) {
            nic::seal_header(&mut damaged);
        }
        let word = Received {
            checked: pair.dice.chance(800),
            segments: NonZeroU16::new(pair.dice.next() as u16),
        };
        pair.stacks[B].handle_received(now, &damaged, word);
        while let Some(frame) = pair.stacks[B].poll_transmit(now) {
            pair.stacks[B].recycle(frame);
        }
    }
}
