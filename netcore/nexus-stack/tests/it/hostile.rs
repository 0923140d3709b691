//! What comes off a wire and was not sent by an honest peer.

use std::task::Poll;
use std::time::Duration;

use nexus_stack::{TcpError, TcpId};
use nexus_types::{IpAddr, Ipv4Addr, SocketAddr};
use proptest::prelude::*;

use crate::pair::{A, B, Link, Pair, address, idle};
use crate::raw::{self, ACK, FIN, RST, SYN, Segment};

/// A connection, and the last segment each end sent: the sequence numbers of the moment.
fn tapped(remote: &str) -> (Pair, TcpId, TcpId, Segment) {
    let mut pair = Pair::new(1);
    pair.log = Some(Vec::new());
    let (a, b, _) = pair.established(remote);
    pair.write_all(A, a, b"hello");
    assert_eq!(pair.read(B, b).expect("open"), b"hello");
    pair.run(Duration::from_secs(1));
    let log = pair.log.take().expect("kept");
    let last = log
        .iter()
        .rev()
        .filter(|(from, _)| *from == A)
        .find_map(|(_, frame)| Segment::read(frame))
        .expect("A sent something");
    let next = Segment {
        seq: last.seq.wrapping_add(last.data.len() as u32),
        data: Vec::new(),
        flags: ACK,
        ..last
    };
    (pair, a, b, next)
}

/// Bytes still get through both ways.
fn works(pair: &mut Pair, a: TcpId, b: TcpId) {
    pair.write_all(A, a, b"ping");
    assert_eq!(pair.read(B, b).expect("open"), b"ping");
    pair.write_all(B, b, b"pong");
    assert_eq!(pair.read(A, a).expect("open"), b"pong");
}

#[test]
fn reject_resets_that_are_not_exactly_next() {
    for remote in ["10.0.0.2:80", "[fd00::2]:80"] {
        let (mut pair, a, b, next) = tapped(remote);
        for offset in [1, 100, 65_535, 65_536, 1 << 20, 1 << 31, u32::MAX] {
            let reset = Segment {
                seq: next.seq.wrapping_add(offset),
                flags: RST,
                ..Segment::read(&next.packet()).expect("a segment")
            };
            pair.deliver(B, &reset.packet());
            pair.run(Duration::from_millis(10));
        }
        works(&mut pair, a, b);
        // What is exactly next ends it, so the test above was about the offset alone.
        let (mut pair, _, b, next) = tapped(remote);
        let reset = Segment { flags: RST, ..next };
        pair.deliver(B, &reset.packet());
        assert_eq!(pair.read(B, b), Err(TcpError::Reset));
    }
}

/// RFC 5961: a SYN, and a reset that is in the window but not next, are answered by an acknowledgement
/// that only the real far end can make something of.
#[test]
fn reject_a_syn_within_a_connection_with_a_challenge() {
    for (flags, offset) in [(SYN, 0), (SYN, 500), (SYN | ACK, 0), (RST, 500)] {
        let (mut pair, a, b, next) = tapped("10.0.0.2:80");
        pair.log = Some(Vec::new());
        let segment = Segment {
            seq: next.seq.wrapping_add(offset),
            flags,
            ..next
        };
        pair.deliver(B, &segment.packet());
        pair.transmit();
        let log = pair.log.take().expect("kept");
        let answer = Segment::read(&log.last().expect("an answer").1).expect("a segment");
        assert_eq!((answer.flags, answer.ack), (ACK, next.seq), "{flags}");
        works(&mut pair, a, b);
    }
}

#[test]
fn reject_data_and_fins_outside_the_window() {
    let (mut pair, a, b, next) = tapped("10.0.0.2:80");
    for offset in [65_536_u32, 70_000, 1 << 24, 1 << 31, u32::MAX - 100_000] {
        for flags in [ACK, ACK | FIN] {
            let forged = Segment {
                seq: next.seq.wrapping_add(offset),
                flags,
                data: vec![0x66; 100],
                ..Segment::read(&next.packet()).expect("a segment")
            };
            pair.deliver(B, &forged.packet());
            pair.run(Duration::from_millis(10));
        }
    }
    assert_eq!(pair.stacks[B].tcp_readable(b), 0);
    works(&mut pair, a, b);
}

#[test]
fn reject_acknowledgements_of_what_was_never_sent() {
    let (mut pair, a, b, next) = tapped("10.0.0.2:80");
    for offset in [1_u32, 1_000, 1 << 20, 1 << 31] {
        let forged = Segment {
            ack: next.ack.wrapping_add(offset),
            data: vec![0x66; 10],
            ..Segment::read(&next.packet()).expect("a segment")
        };
        pair.deliver(B, &forged.packet());
        pair.run(Duration::from_millis(10));
    }
    assert_eq!(pair.stacks[B].tcp_readable(b), 0);
    works(&mut pair, a, b);
}

/// A hundred thousand sources: the tables stay within their limits, and a real client gets in during the
/// flood and after it.
#[test]
fn a_syn_flood_of_100000_sources_neither_fills_memory_nor_locks_anybody_out() {
    let mut pair = Pair::new(2);
    let listener = pair.listen(B, "10.0.0.2:80");
    let source = |number: u32| {
        let ip = Ipv4Addr::from_bits(0x2d00_0000 + number);
        SocketAddr::new(IpAddr::V4(ip), 1_024 + (number % 60_000) as u16)
    };
    let mut during = None;
    for number in 0..100_000 {
        let syn = Segment {
            src: source(number),
            dst: address("10.0.0.2:80"),
            seq: number.wrapping_mul(2_654_435_761),
            ack: 0,
            flags: SYN,
            data: Vec::new(),
        };
        pair.deliver(B, &syn.packet());
        if number == 50_000 {
            during = Some(pair.connect(A, "10.0.0.2:80"));
        }
        // 100,000 SYNs a second.
        if number % 100 == 0 {
            pair.run(Duration::from_millis(1));
            let stats = pair.stacks[B].stats();
            assert!(stats.half_open <= 1_024, "{}", stats.half_open);
            assert!(stats.flows <= 1);
        }
    }
    assert!(pair.stacks[B].stats().half_open_evicted > 90_000);
    let during = during.expect("it was tried");
    pair.connected(A, during).expect("during the flood");
    pair.accept(B, listener);
    let after = pair.connect(A, "10.0.0.2:80");
    pair.connected(A, after).expect("after the flood");
    let b = pair.accept(B, listener);
    works(&mut pair, after, b);
    // What is left of it is forgotten.
    pair.run(Duration::from_secs(60));
    assert_eq!(pair.stacks[B].stats().half_open, 0);
}

/// An acknowledgement that completes no handshake we began is answered by a reset, and makes nothing.
#[test]
fn reject_an_acknowledgement_that_fits_no_syn_ack() {
    let mut pair = Pair::new(3);
    let listener = pair.listen(B, "10.0.0.2:80");
    let mut segment = Segment {
        src: address("10.0.0.77:5000"),
        dst: address("10.0.0.2:80"),
        seq: 1_000,
        ack: 0,
        flags: SYN,
        data: Vec::new(),
    };
    pair.deliver(B, &segment.packet());
    let syn_ack = pair.stacks[B].poll_transmit(pair.now).expect("a SYN-ACK");
    let syn_ack = Segment::read(&syn_ack).expect("a segment");
    assert_eq!((syn_ack.flags, syn_ack.ack), (SYN | ACK, 1_001));
    segment.flags = ACK;
    segment.seq = 1_001;
    for offset in [0_u32, 2, 1 << 31] {
        segment.ack = syn_ack.seq.wrapping_add(offset);
        pair.deliver(B, &segment.packet());
        let reset = pair.stacks[B].poll_transmit(pair.now).expect("a reset");
        let reset = Segment::read(&reset).expect("a segment");
        assert_eq!((reset.flags, reset.seq), (RST, segment.ack));
    }
    assert_eq!(pair.stacks[B].stats().flows, 0);
    segment.ack = syn_ack.seq.wrapping_add(1);
    pair.deliver(B, &segment.packet());
    assert_eq!(pair.stacks[B].stats().flows, 1, "the right one does");
    assert!(
        pair.stacks[B]
            .poll_accept(pair.now, listener, idle())
            .is_ready()
    );
}

#[test]
fn reject_senders_and_destinations_nobody_can_have_on_a_wire() {
    let mut pair = Pair::new(4);
    let _listener = pair.listen(B, "0.0.0.0:80");
    let _listener = pair.listen(B, "[::]:80");
    for (src, dst) in [
        ("127.0.0.1:5000", "10.0.0.2:80"),
        ("10.0.0.1:5000", "127.0.0.1:80"),
        ("0.0.0.0:5000", "10.0.0.2:80"),
        ("10.0.0.1:5000", "0.0.0.0:80"),
        ("224.0.0.1:5000", "10.0.0.2:80"),
        ("255.255.255.255:5000", "10.0.0.2:80"),
        ("10.0.0.1:5000", "10.0.0.255:80"),
        ("10.0.0.1:5000", "224.0.0.1:80"),
        // Our own address as the sender ("land").
        ("10.0.0.2:80", "10.0.0.2:80"),
        ("10.0.0.1:5000", "10.0.0.3:80"),
        ("[::1]:5000", "[fd00::2]:80"),
        ("[fd00::1]:5000", "[::1]:80"),
        ("[::]:5000", "[fd00::2]:80"),
        ("[ff02::1]:5000", "[fd00::2]:80"),
        ("[::ffff:10.0.0.1]:5000", "[fd00::2]:80"),
        ("[fd00::1]:5000", "[::ffff:10.0.0.2]:80"),
    ] {
        let before = pair.stacks[B].stats().dropped_address;
        let syn = Segment {
            src: address(src),
            dst: address(dst),
            seq: 1,
            ack: 0,
            flags: SYN,
            data: Vec::new(),
        };
        pair.deliver(B, &syn.packet());
        pair.deliver(B, &raw::datagram(address(src), address(dst), b"x"));
        assert_eq!(
            pair.stacks[B].stats().dropped_address,
            before + 2,
            "{src} {dst}"
        );
        assert!(
            pair.stacks[B].poll_transmit(pair.now).is_none(),
            "{src} {dst}"
        );
    }
    assert_eq!(pair.stacks[B].stats().half_open, 0);
}

/// Every frame of a session that does everything, at every length from nothing to whole: no panic, and the
/// session goes on.
#[test]
fn frames_truncated_at_every_length_do_no_harm() {
    for remote in ["10.0.0.2:80", "[fd00::2]:80"] {
        let mut pair = Pair::new(5);
        pair.log = Some(Vec::new());
        let (a, b, _) = pair.established(remote);
        works(&mut pair, a, b);
        let closed = pair.connect(A, &remote.replace(":80", ":81"));
        let _ = pair.connected(A, closed);
        let from = if remote.starts_with('[') {
            "[::]:0"
        } else {
            "0.0.0.0:0"
        };
        let udp = pair.udp(A, from);
        pair.stacks[A]
            .udp_send(pair.now, udp, b"to a closed port", address(remote))
            .expect("room");
        pair.run(Duration::from_secs(1));
        let log = pair.log.take().expect("kept");
        assert!(log.len() >= 10, "{}", log.len());
        for (from, frame) in &log {
            for len in 0..frame.len() {
                pair.deliver(1 - from, &frame[..len]);
            }
            pair.transmit();
        }
        works(&mut pair, a, b);
    }
}

/// One flipped bit anywhere in a frame: it is dropped (or changes nothing that matters), and nothing that
/// was not sent is ever read.
#[test]
fn reject_every_single_flipped_bit() {
    for remote in ["10.0.0.2:80", "[fd00::2]:80"] {
        let (mut pair, a, b, next) = tapped(remote);
        let honest = Segment {
            data: b"forged bytes".to_vec(),
            ..next
        };
        let packet = honest.packet();
        for bit in 0..packet.len() * 8 {
            // No checksum covers IPv6's traffic class, flow label and hop limit.
            if remote.starts_with('[') && matches!(bit, 4..32 | 56..64) {
                continue;
            }
            let mut flipped = packet.clone();
            flipped[bit / 8] ^= 0x80 >> (bit % 8);
            pair.deliver(B, &flipped);
        }
        assert_eq!(pair.stacks[B].tcp_readable(b), 0);
        works(&mut pair, a, b);
    }
}

#[test]
fn reject_bad_checksums_of_every_protocol() {
    let mut pair = Pair::new(6);
    let _udp = pair.udp(B, "10.0.0.2:53");
    let _listener = pair.listen(B, "10.0.0.2:80");
    let (a, b) = (address("10.0.0.1:5000"), address("10.0.0.2:53"));
    let syn = Segment {
        src: a,
        dst: address("10.0.0.2:80"),
        seq: 1,
        ack: 0,
        flags: SYN,
        data: Vec::new(),
    };
    for packet in [
        raw::datagram(a, b, b"question"),
        syn.packet(),
        raw::icmp(a.ip(), b.ip(), 8, 0, b"ping"),
    ] {
        for at in [10, packet.len() - 1] {
            let before = pair.stacks[B].stats().dropped_checksum;
            let mut broken = packet.clone();
            broken[at] ^= 0x40;
            pair.deliver(B, &broken);
            assert_eq!(pair.stacks[B].stats().dropped_checksum, before + 1);
        }
    }
    // IPv6 has no way to say "no checksum".
    let mut none = raw::datagram(address("[fd00::1]:5000"), address("[fd00::2]:53"), b"x");
    none[46..48].fill(0);
    let before = pair.stacks[B].stats().dropped_checksum;
    pair.deliver(B, &none);
    assert_eq!(pair.stacks[B].stats().dropped_checksum, before + 1);
    assert!(pair.stacks[B].poll_transmit(pair.now).is_none());
}

/// Resets and ICMP errors are bounded: a scan is not answered packet by packet.
#[test]
fn replies_to_what_matches_nothing_are_bounded() {
    let mut pair = Pair::new(7);
    for number in 0..10_000_u32 {
        let src = SocketAddr::new(Ipv4Addr::from_bits(0x2d00_0000 + number).into(), 5_000);
        let syn = Segment {
            src,
            dst: address("10.0.0.2:81"),
            seq: 1,
            ack: 0,
            flags: SYN,
            data: Vec::new(),
        };
        pair.deliver(B, &syn.packet());
        pair.deliver(B, &raw::datagram(src, address("10.0.0.2:81"), b"x"));
        pair.deliver(
            B,
            &raw::icmp(src.ip(), address("10.0.0.2:1").ip(), 8, 0, b"x"),
        );
    }
    let mut answers = 0;
    while pair.stacks[B].poll_transmit(pair.now).is_some() {
        answers += 1;
    }
    assert_eq!(answers, 100, "a tenth of a second's worth");
    assert_eq!(pair.stacks[B].stats().replies_suppressed, 29_900);
    // Somebody real is answered a moment later.
    pair.run(Duration::from_millis(10));
    let a = pair.connect(A, "10.0.0.2:81");
    assert_eq!(pair.connected(A, a), Err(TcpError::Refused));
}

/// Two ends whose TIME-WAIT answers each other do so once a second at most.
#[test]
fn time_wait_answers_late_segments_but_not_without_end() {
    let (mut pair, a, b, next) = tapped("10.0.0.2:80");
    pair.stacks[B].tcp_close(pair.now, b);
    assert_eq!(pair.read_to_end(A, a), Ok(Vec::new()));
    pair.stacks[A].tcp_close(pair.now, a);
    pair.run(Duration::from_millis(200));
    assert_eq!(pair.stacks[B].stats().time_wait, 1);
    pair.log = Some(Vec::new());
    for _ in 0..100 {
        let late = Segment {
            data: b"late".to_vec(),
            ..Segment::read(&next.packet()).expect("a segment")
        };
        pair.deliver(B, &late.packet());
        let reset = Segment { flags: RST, ..late };
        pair.deliver(B, &reset.packet());
    }
    pair.transmit();
    let log = pair.log.take().expect("kept");
    let answers = log.iter().filter(|(from, _)| *from == B).count();
    assert_eq!(answers, 1);
    assert_eq!(
        pair.stacks[B].stats().time_wait,
        1,
        "RFC 1337: a reset does not end it"
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the bytes: no panic, and a connection that stands goes on working.
    #[test]
    fn random_bytes_never_panic(frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..20)) {
        let mut pair = Pair::new(8);
        let (a, b, _) = pair.established("10.0.0.2:80");
        for frame in &frames {
            pair.deliver(B, frame);
            // The same behind a header that gets it further in.
            for protocol in [1, 6, 17] {
                let mut payload = frame.clone();
                payload.resize(payload.len().max(20), 0);
                let at = match protocol { 1 => 2, 6 => 16, _ => 6 };
                let to_v4 = |ip: &str| ip.parse::<IpAddr>().expect("an address");
                pair.deliver(B, &raw::packet(to_v4("10.0.0.1"), to_v4("10.0.0.2"), protocol, payload.clone(), at));
                let protocol = if protocol == 1 { 58 } else { protocol };
                pair.deliver(B, &raw::packet(to_v4("fd00::1"), to_v4("fd00::2"), protocol, payload, at));
            }
        }
        works(&mut pair, a, b);
    }

    /// Segments of the connection itself, with any flags, numbers and options: no panic. (A forger who
    /// knows the numbers may of course end it.)
    #[test]
    fn random_segments_of_a_connection_never_panic(
        segments in prop::collection::vec((any::<u8>(), -70_000_i32..70_000, -70_000_i32..70_000, 0_usize..50, 0_u8..11), 1..40)
    ) {
        let (mut pair, _, b, next) = tapped("10.0.0.2:80");
        let mut buf = [0; 100];
        for (flags, seq, ack, len, words) in segments {
            let mut data = vec![flags; usize::from(words) * 4 + len];
            data[..usize::from(words) * 4].fill(seq as u8);
            let segment = Segment {
                seq: next.seq.wrapping_add_signed(seq),
                ack: next.ack.wrapping_add_signed(ack),
                flags,
                data,
                ..Segment::read(&next.packet()).expect("a segment")
            };
            let mut packet = segment.packet();
            // A longer header: what was data is options.
            packet[32] = (5 + words) << 4;
            let payload = packet.split_off(20);
            let packet = raw::packet(next.src.ip(), next.dst.ip(), 6, payload, 16);
            pair.deliver(B, &packet);
            let _ = pair.stacks[B].poll_read(pair.now, b, &mut buf, idle());
            pair.run(Duration::from_millis(5));
        }
        pair.run(Duration::from_secs(5));
    }
}

/// IPv6 extension headers before a segment: skipped, if they make sense.
#[test]
fn ipv6_extension_headers_are_skipped() {
    let (mut pair, _, b, next) = tapped("[fd00::2]:80");
    let segment = Segment {
        data: b"behind options".to_vec(),
        ..next
    };
    let plain = segment.packet();
    let mut packet = plain[..40].to_vec();
    packet[6] = 0;
    packet[4..6].copy_from_slice(&((plain.len() - 40 + 16) as u16).to_be_bytes());
    packet.extend([60, 0, 1, 4, 0, 0, 0, 0]);
    packet.extend([6, 0, 1, 4, 0, 0, 0, 0]);
    packet.extend(&plain[40..]);
    pair.deliver(B, &packet);
    assert_eq!(pair.read(B, b).expect("open"), b"behind options");
    // Source routing asks us to forward: no (RFC 5095).
    let mut routed = plain[..40].to_vec();
    routed[6] = 43;
    routed[4..6].copy_from_slice(&((plain.len() - 40 + 8) as u16).to_be_bytes());
    routed.extend([6, 0, 0, 1, 0, 0, 0, 0]);
    routed.extend(&plain[40..]);
    let before = pair.stacks[B].stats().dropped_malformed;
    pair.deliver(B, &routed);
    assert_eq!(pair.stacks[B].stats().dropped_malformed, before + 1);
}

/// A datagram in two fragments reaches its socket whole; one half alone never does.
#[test]
fn fragments_are_put_together_before_the_demux() {
    let mut pair = Pair::with(9, Link::CLEAN, |_| {});
    let udp = pair.udp(B, "10.0.0.2:53");
    let whole = raw::datagram(address("10.0.0.1:5000"), address("10.0.0.2:53"), &[7; 64]);
    let fragment = |offset: usize, data: &[u8], more: bool| {
        let mut packet = whole[..20].to_vec();
        packet[2..4].copy_from_slice(&((20 + data.len()) as u16).to_be_bytes());
        packet[4..6].copy_from_slice(&[0x12, 0x34]);
        let flags = (offset / 8) as u16 | if more { 0x2000 } else { 0 };
        packet[6..8].copy_from_slice(&flags.to_be_bytes());
        packet[10..12].fill(0);
        let sum = raw::checksum(&[&packet]);
        packet[10..12].copy_from_slice(&sum);
        packet.extend(data);
        packet
    };
    pair.deliver(B, &fragment(0, &whole[20..52], true));
    let poll = |pair: &mut Pair| {
        pair.stacks[B].poll_udp_recv(pair.now, udp, idle(), |_, data| data.to_vec())
    };
    assert_eq!(poll(&mut pair), Poll::Pending);
    pair.deliver(B, &fragment(32, &whole[52..], false));
    assert_eq!(poll(&mut pair), Poll::Ready(Ok(vec![7; 64])));
    assert_eq!(pair.stacks[B].poll_timeout(), None);
}
