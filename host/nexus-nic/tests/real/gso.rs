//! Large segments both ways, against a TCP socket of the kernel.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::num::NonZeroU16;

use nexus_nic::{Checksum, Nic, Offload, Sent};

use nexus_testbed::{Namespace, Network};

use crate::station::{self, Station, config};
use nexus_testbed::frames::{
    ACK, FIN, PSH, SYN, arp_answer, arp_reply, arp_request, ethernet, tcp, tcp_packet, tcp_v6,
    tcp_v6_data, transport_is_right,
};

/// What the kernel sends us.
const DOWN: usize = 4 << 20;
/// What we send in one frame, and how often.
const UP: usize = 60_000;
const UPS: usize = 8;
const MSS: u16 = 1_460;
const PORTS: (u16, u16) = (4_000, 80);

fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect()
}

/// The kernel's end: sends `DOWN` bytes, takes as many as we send, and says what it got.
fn peer(place: &Namespace) -> std::thread::JoinHandle<Vec<u8>> {
    let (ready, wait) = std::sync::mpsc::channel();
    let thread = place.spawn(move || {
        let listener = TcpListener::bind("10.77.0.1:80").expect("a port");
        ready.send(()).expect("the test waits");
        let (mut socket, _) = listener.accept().expect("a connection");
        socket.write_all(&pattern(DOWN)).expect("sent");
        let mut got = vec![0; UP * UPS];
        socket.read_exact(&mut got).expect("received");
        got
    });
    wait.recv().expect("it listens");
    thread
}

/// What was seen of the frames that carried data.
#[derive(Default, Debug)]
struct Seen {
    frames: usize,
    largest: usize,
    /// Frames of several segments.
    several: usize,
}

/// A TCP client in forty lines: takes `DOWN` bytes, then sends `UPS` frames of `UP` bytes.
fn client(station: &mut Station, offload: bool) -> Seen {
    let ours = station.mac();
    assert_eq!(
        station.nic.send(&arp_request(ours), Offload::None),
        Ok(Sent::Taken)
    );
    let kernel = station.until("the ARP answer", |_, kept| arp_answer(&kept.frame));
    let send = |nic: &mut Nic, sequence, acknowledge, flags, data: &[u8], offload| {
        let mut packet = tcp_packet(PORTS, sequence, acknowledge, flags, data);
        if offload != Offload::None {
            // The field may hold anything.
            packet[36..38].copy_from_slice(&[0xde, 0xad]);
        }
        let frame = ethernet(kernel, ours, 0x0800, &packet);
        assert_eq!(nic.send(&frame, offload), Ok(Sent::Taken));
    };
    send(&mut station.nic, 999, 0, SYN, &[], Offload::None);
    let mut next = station.until("the SYN's answer", |nic, kept| {
        if let Some(reply) = arp_reply(&kept.frame, ours) {
            assert_eq!(nic.send(&reply, Offload::None), Ok(Sent::Taken));
        }
        let segment = tcp(&kept.frame, PORTS.0)?;
        assert_eq!((segment.from, segment.flags & (SYN | ACK)), (80, SYN | ACK));
        Some(segment.sequence.wrapping_add(1))
    });
    send(&mut station.nic, 1_000, next, ACK, &[], Offload::Checksum);
    let (mut got, mut seen) = (Vec::new(), Seen::default());
    station.until("the data", |nic, kept| {
        if let Some(reply) = arp_reply(&kept.frame, ours) {
            assert_eq!(nic.send(&reply, Offload::None), Ok(Sent::Taken));
        }
        let segment = tcp(&kept.frame, PORTS.0)?;
        if segment.data.is_empty() {
            return None;
        }
        assert_eq!(segment.flags & FIN, 0);
        seen.frames += 1;
        seen.largest = seen.largest.max(kept.frame.len());
        if let Some(size) = kept.gso_size {
            assert!(offload && size <= MSS, "{size}");
            seen.several += 1;
        } else {
            assert!(kept.frame.len() <= 1_514, "{}", kept.frame.len());
        }
        if kept.checksum == Checksum::Absent {
            assert!(offload);
        } else {
            assert!(transport_is_right(&kept.frame), "{:?}", kept.checksum);
        }
        if segment.sequence == next {
            got.extend_from_slice(segment.data);
            next = next.wrapping_add(segment.data.len() as u32);
        }
        send(nic, 1_000, next, ACK, &[], Offload::Checksum);
        (got.len() >= DOWN).then_some(())
    });
    assert!(got == pattern(DOWN), "what came is not what was sent");
    let data = pattern(UP * UPS);
    let size = NonZeroU16::new(MSS).expect("not 0");
    let mut sequence = 1_000_u32;
    for piece in data.chunks(UP) {
        send(
            &mut station.nic,
            sequence,
            next,
            ACK | PSH,
            piece,
            Offload::Segments(size),
        );
        sequence += piece.len() as u32;
        station.until("the acknowledgement", |nic, kept| {
            if let Some(reply) = arp_reply(&kept.frame, ours) {
                assert_eq!(nic.send(&reply, Offload::None), Ok(Sent::Taken));
            }
            let segment = tcp(&kept.frame, PORTS.0)?;
            (segment.acknowledged == sequence).then_some(())
        });
    }
    seen
}

fn tap(offload: bool) -> Seen {
    let (network, mut station) = station::tap(offload);
    let peer = peer(network.far());
    let seen = client(&mut station, offload);
    let got = peer.join().expect("the kernel's end");
    assert!(got == pattern(UP * UPS), "what arrived is not what we sent");
    seen
}

fn packet(offload: bool) -> Seen {
    let (network, mut station) = station::veth(offload);
    let peer = peer(network.far());
    let seen = client(&mut station, offload);
    let got = peer.join().expect("the kernel's end");
    assert!(got == pattern(UP * UPS), "what arrived is not what we sent");
    let stats = station.nic.stats();
    assert_eq!((stats.missed, stats.malformed), (0, 0), "{stats:?}");
    seen
}

#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn a_tap_with_offload_moves_large_segments_both_ways() {
    let seen = tap(true);
    assert!(seen.several > 0 && seen.largest > 30_000, "{seen:?}");
}

#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn a_tap_without_offload_moves_what_a_wire_carries() {
    let seen = tap(false);
    assert!(seen.several == 0 && seen.frames >= DOWN / 1_460, "{seen:?}");
}

#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn a_packet_socket_with_offload_moves_large_segments_both_ways() {
    let seen = packet(true);
    assert!(seen.several > 0 && seen.largest > 30_000, "{seen:?}");
}

/// A veth peer sends large segments whether we like it or not: they are split before they are seen.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn a_packet_socket_without_offload_moves_what_a_wire_carries() {
    let seen = packet(false);
    assert!(seen.several == 0 && seen.frames >= DOWN / 1_460, "{seen:?}");
}

/// Goal: large IPv6 segments pass from each kind of NIC to the other, whole or split. Method: a
/// packet socket on the kernel's side of a TAP interface, both with offload and without.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn large_ipv6_segments_pass_between_both_kinds() {
    let data = pattern(UP);
    let size = NonZeroU16::new(1_440).expect("not 0");
    for (offload, back) in [(false, false), (true, false), (false, true), (true, true)] {
        let _place = Network::empty();
        let tap = Station::open(&config("tap:nx0", offload)).expect("root may make it");
        let mut other = config("packet:nx0", offload);
        other.mac = nexus_nic::Mac::new([2, 0, 0, 0, 0, 9]);
        let packet = Station::open(&other).expect("root may");
        let (mut from, mut to) = if back {
            (packet.up(), tap.up())
        } else {
            (tap.up(), packet.up())
        };
        let frame = tcp_v6(to.mac(), from.mac(), &data);
        let sent = from.nic.send(&frame, Offload::Segments(size));
        assert_eq!(sent, Ok(Sent::Taken));
        let (mut got, mut frames) = (Vec::new(), 0);
        to.until("the segment", |_, kept| {
            let absent = kept.checksum == Checksum::Absent;
            got.extend_from_slice(tcp_v6_data(&kept.frame, absent)?);
            assert_eq!(kept.gso_size.is_some(), offload);
            frames += 1;
            (got.len() >= data.len()).then_some(())
        });
        assert!(got == data, "offload {offload}, back {back}");
        assert_eq!(frames, if offload { 1 } else { UP.div_ceil(1_440) });
    }
}
