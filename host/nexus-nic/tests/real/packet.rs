//! `packet:IFACE` on one end of a veth pair, the kernel of another namespace at the other.

use std::net::UdpSocket;
use std::os::unix::process::CommandExt;
use std::process::Command;

use nexus_nic::{Checksum, Drained, LinkStatus, NicError, Offload, Sent};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::station::{Station, arp_and_ping, config, veth};
use nexus_testbed::Network;
use nexus_testbed::frames::{arp_reply, arp_request, transport_is_right};

#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn arp_and_ping_pass() {
    let (_network, mut station) = veth(false);
    arp_and_ping(&mut station, &[0, 1, 56, 1_471, 1_472]);
}

/// Goal: the ring goes round. Method: more frames than it has slots.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn the_ring_goes_round() {
    let (_network, mut station) = veth(false);
    arp_and_ping(&mut station, &vec![56; 10_000]);
    assert_eq!(station.nic.stats().missed, 0);
}

/// Goal: a veth peer leaves checksums to the NIC, and nobody notices. Method: the kernel sends a
/// datagram; its checksum is looked at.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn checksums_of_a_local_peer_are_finished_or_said_to_be_absent() {
    for offload in [false, true] {
        let (network, mut station) = veth(offload);
        let send = network.far().spawn(|| {
            let socket = UdpSocket::bind("10.77.0.1:0").expect("a socket");
            socket.send_to(b"some data", "10.77.0.2:9").expect("sent");
        });
        let kept = station.until("the datagram", |nic, kept| {
            if let Some(reply) = arp_reply(&kept.frame, nic.mac().bytes()) {
                assert_eq!(nic.send(&reply, Offload::None), Ok(Sent::Taken));
            }
            (kept.frame[12..14] == [8, 0]).then_some(kept)
        });
        send.join().expect("sent");
        assert!(kept.frame.ends_with(b"some data"));
        if offload {
            assert_eq!(kept.checksum, Checksum::Absent);
            assert!(!transport_is_right(&kept.frame), "then nothing was tested");
        } else {
            assert_eq!(kept.checksum, Checksum::Right);
            assert!(transport_is_right(&kept.frame));
        }
    }
}

/// Goal: what the interface's own stack gets does not reach us. Method: the kernel at the other
/// end sends to an address that our side's kernel has on the same interface.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn traffic_of_the_interfaces_own_stack_is_not_seen() {
    let (network, mut station) = veth(false);
    network
        .near()
        .run("ip link set nx0 address 02:00:00:00:00:77");
    network.near().run("ip address add 10.77.0.3/24 dev nx0");
    let socket = UdpSocket::bind("10.77.0.3:9").expect("a socket");
    let send = network.far().spawn(|| {
        let socket = UdpSocket::bind("10.77.0.1:0").expect("a socket");
        for _ in 0..100 {
            socket.send_to(b"data", "10.77.0.3:9").expect("sent");
        }
    });
    send.join().expect("sent");
    socket.recv(&mut [0; 9]).expect("the first is there");
    // What our side's kernel asks of everybody on the interface is its own affair, too.
    socket.send_to(b"data", "10.77.0.99:9").expect("sent");
    let _ = station.nic.receive(|inbound| {
        assert_ne!(inbound.frame[6..12], [2, 0, 0, 0, 0, 0x77]);
    });
    arp_and_ping(&mut station, &[56]);
    let stats = station.nic.stats();
    assert_eq!(stats.others, 0);
    // What was broadcast (who has 10.77.0.3?), the answers to us, perhaps a question to us, IPv6 groups.
    assert!(stats.received < 20, "{stats:?}");
}

/// Goal: VLAN frames, runts and jumbos are dropped and counted, what follows passes. Method: a
/// second station at the kernel's end writes them.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn reject_runt_jumbo_and_vlan_frames() {
    let (network, mut station) = veth(false);
    network.far().enter();
    let mut other = Station::open(&config("packet:nx1", false))
        .expect("root may")
        .up();
    network.near().enter();
    let to = station.mac();
    let frame = |ether_type: [u8; 2], len: usize| {
        let mut frame = [&to[..], &[2, 0, 0, 0, 0, 9], &ether_type].concat();
        frame.resize(len, 0);
        frame
    };
    for (bad, result) in [
        (frame([0x81, 0x00], 60), Sent::Taken),
        (frame([0x88, 0xa8], 60), Sent::Taken),
        (frame([8, 0], 1_515), Sent::Dropped),
        (frame([8, 0], 13), Sent::Dropped),
    ] {
        assert_eq!(other.nic.send(&bad, Offload::None), Ok(result), "{bad:?}");
    }
    // A larger MTU at the other end alone. A veth passes four bytes more than its own MTU (a tag's
    // length), and throws away what is longer.
    network.far().run("ip link set nx1 mtu 9000");
    other.until_link("the MTU", |state| state.mtu == 9_000);
    for (len, result) in [
        (1_515, Sent::Taken),
        (1_518, Sent::Taken),
        (1_519, Sent::Dropped),
        (9_014, Sent::Dropped),
    ] {
        let sent = other.nic.send(&frame([8, 0], len), Offload::None);
        assert_eq!(sent, Ok(result), "{len} bytes");
    }
    let good = frame([0x88, 0xb5], 60);
    assert_eq!(other.nic.send(&good, Offload::None), Ok(Sent::Taken));
    station.until("the good frame", |_, kept| {
        (kept.frame == good).then_some(())
    });
    let stats = station.nic.stats();
    assert_eq!(stats.tagged, 2, "{stats:?}");
    assert_eq!((stats.jumbos, stats.missed), (2, 0), "{stats:?}");
}

/// Goal: frames larger than a slot pass. Method: raise the MTU after the ring was made.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn a_changed_mtu_is_noticed_and_outgrown_slots_do_not_matter() {
    let (network, mut station) = veth(false);
    arp_and_ping(&mut station, &[56]);
    network.near().run("ip link set nx0 mtu 9000");
    network.far().run("ip link set nx1 mtu 9000");
    station.until_link("the MTU", |state| state.mtu == 9_000);
    arp_and_ping(&mut station, &[8_972, 56, 8_972, 4_000]);
    assert_eq!(station.nic.stats().missed, 0);
}

#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn an_interface_with_an_mtu_of_9000_is_used_whole() {
    let network = Network::veth();
    network.near().run("ip link set nx0 mtu 9000");
    network.far().run("ip link set nx1 mtu 9000");
    let station = Station::open(&config("packet:nx0", false)).expect("root may");
    arp_and_ping(&mut station.up(), &[8_972, 56]);
}

/// Goal: what nobody reads is bounded, counted, and does not stop what comes after.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn frames_that_find_the_ring_full_are_counted_and_it_goes_on() {
    let (network, mut station) = veth(false);
    network.far().enter();
    let mut other = Station::open(&config("packet:nx1", false))
        .expect("root may")
        .up();
    network.near().enter();
    let mut frame = [&station.mac()[..], &[2, 0, 0, 0, 0, 9, 0x88, 0xb5]].concat();
    frame.resize(60, 0);
    for _ in 0..10_000 {
        while other.nic.send(&frame, Offload::None) == Ok(Sent::Full) {}
    }
    drop(other);
    let mut received = 0;
    // One call takes what it may and no more.
    let more = station.nic.receive(|_| received += 1);
    assert_eq!((more, received), (Ok(Drained::More), 256));
    while station.nic.receive(|_| received += 1) == Ok(Drained::More) {}
    // A group of ours (IPv6 multicast of the kernel's) may have come between.
    assert!((4_096..4_100).contains(&received), "{received}");
    let missed = station.nic.stats().missed;
    assert!((5_900..5_920).contains(&missed), "{missed}");
    arp_and_ping(&mut station, &[56]);
}

#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn a_link_that_goes_down_is_noticed_and_comes_back() {
    let (network, mut station) = veth(false);
    arp_and_ping(&mut station, &[56]);
    // The other end first: our side has no carrier then.
    for (place, link) in [(network.far(), "nx1"), (network.near(), "nx0")] {
        place.run(&format!("ip link set {link} down"));
        station.until_link("down", |state| state.status == LinkStatus::Down);
        let frame = arp_request(station.mac());
        // Without a carrier the kernel takes the frame and loses it; down it says so.
        let sent = station
            .nic
            .send(&frame, Offload::None)
            .expect("down is not gone");
        assert!(link == "nx1" || sent == Sent::Dropped);
        let _ = station.nic.receive(|_| {}).expect("down is not gone");
        // An error that stays on the socket would keep a poll awake for as long as it is down.
        let mut fds = [PollFd::new(&station.nic, PollFlags::IN)];
        let at_once = Timespec::default();
        assert_eq!(poll(&mut fds, Some(&at_once)), Ok(0));
        place.run(&format!("ip link set {link} up"));
        station.until_link("up", |state| state.status == LinkStatus::Up);
        arp_and_ping(&mut station, &[56]);
    }
}

#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn an_interface_that_is_deleted_in_the_middle_is_gone() {
    let (network, mut station) = veth(false);
    arp_and_ping(&mut station, &[56]);
    network.near().run("ip link del nx0");
    station.until_link("gone", |state| state.status == LinkStatus::Gone);
    let frame = arp_request(station.mac());
    let gone = station.nic.send(&frame, Offload::None).expect_err("gone");
    assert!(matches!(gone, NicError::Vanished(_)), "{gone:?}");
    let gone = station.nic.receive(|_| {}).expect_err("gone");
    assert!(matches!(gone, NicError::Vanished(_)), "{gone:?}");
}

#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn reject_what_is_missing_or_no_ethernet_or_too_small() {
    let network = Network::veth();
    let missing = Station::open(&config("packet:nx9", false)).err();
    assert!(matches!(missing, Some(NicError::Missing(_))), "{missing:?}");
    let wrong = Station::open(&config("packet:lo", false)).err();
    assert!(matches!(wrong, Some(NicError::WrongKind(_))), "{wrong:?}");
    network.near().run("ip link set nx0 mtu 1000");
    let small = Station::open(&config("packet:nx0", false)).err();
    assert!(
        matches!(small, Some(NicError::MtuTooSmall { mtu: 1_000, .. })),
        "{small:?}"
    );
}

/// Goal: without privileges both say what is missing. Method: this test again, as nobody.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn reject_without_permission() {
    if std::env::var_os("NEXUS_NIC_NOBODY").is_some() {
        for target in ["tap:nx7", "packet:nx0"] {
            let refused = Station::open(&config(target, false)).err();
            assert!(
                matches!(refused, Some(NicError::NoPermission(_))),
                "{target}: {refused:?}"
            );
        }
        return;
    }
    let _network = Network::veth();
    // Where nobody may read it.
    let folder = tempfile::tempdir().expect("a folder");
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).expect("ours");
    let program = folder.path().join("real");
    std::fs::copy(std::env::current_exe().expect("a program"), &program).expect("room");
    let output = Command::new(&program)
        .args(["--exact", "packet::reject_without_permission", "--ignored"])
        .env("NEXUS_NIC_NOBODY", "1")
        .gid(65_534)
        .uid(65_534)
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}
