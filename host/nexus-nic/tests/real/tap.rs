//! `tap:NAME` against the kernel.

use std::net::UdpSocket;
use std::os::fd::AsFd;
use std::process::Command;

use nexus_nic::{Checksum, LinkStatus, NicError, Offload, Sent};

use crate::station::{Station, arp_and_ping, config, tap};
use nexus_testbed::Network;
use nexus_testbed::frames::{arp_reply, arp_request, transport_is_right};

#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn arp_and_ping_pass() {
    let (_network, mut station) = tap(false);
    assert_eq!(station.nic.link().status, LinkStatus::Up);
    assert_eq!(station.nic.link().mtu, 1_500);
    arp_and_ping(&mut station, &[0, 1, 56, 1_471, 1_472]);
    assert!(station.nic.stats().received >= 6 && station.nic.stats().sent >= 6);
}

#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn arp_and_ping_pass_with_offload() {
    let (_network, mut station) = tap(true);
    arp_and_ping(&mut station, &[0, 1, 56, 1_472]);
}

/// An interface that stays, as the operator makes it for a user: used twice, and by another MTU.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn an_interface_that_is_there_is_attached_to_and_stays() {
    let network = Network::empty();
    network.near().run("ip tuntap add dev nx0 mode tap");
    network.near().run("ip link set nx0 mtu 9000 up");
    network.near().run("ip address add 10.77.0.1/24 dev nx0");
    for offload in [true, false, true] {
        let mut station = Station::open(&config("tap:nx0", offload))
            .expect("it is free")
            .up();
        assert_eq!(station.nic.link().mtu, 9_000);
        arp_and_ping(&mut station, &[8_972]);
        // What the kernel was told it may leave out is forgotten with who said so.
        let send = network.near().spawn(|| {
            let socket = UdpSocket::bind("10.77.0.1:0").expect("a socket");
            socket.send_to(b"data", "10.77.0.2:9").expect("sent");
        });
        let kept = station.until("the datagram", |nic, kept| {
            if let Some(reply) = arp_reply(&kept.frame, nic.mac().bytes()) {
                assert_eq!(nic.send(&reply, Offload::None), Ok(Sent::Taken));
            }
            (kept.frame.get(23) == Some(&17)).then_some(kept)
        });
        send.join().expect("sent");
        assert_eq!(kept.checksum == Checksum::Absent, offload);
        assert_eq!(transport_is_right(&kept.frame), !offload);
    }
    network.near().run("ip link show nx0");
}

#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn an_interface_we_made_goes_with_us() {
    let (_network, station) = tap(false);
    drop(station);
    let shown = Command::new("ip")
        .args(["link", "show", "nx0"])
        .output()
        .expect("ip runs");
    assert!(!shown.status.success());
}

/// Goal: the MTU is followed while frames pass. Method: jumbo frames are dropped and counted
/// before it is raised, pass after.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn a_changed_mtu_is_noticed() {
    let (network, mut station) = tap(false);
    arp_and_ping(&mut station, &[56]);
    let frame = vec![0xff; 14 + 1_501];
    assert_eq!(station.nic.send(&frame, Offload::None), Ok(Sent::Dropped));
    assert_eq!(station.nic.stats().unsent, 1);
    network.near().run("ip link set nx0 mtu 9000");
    let state = station.until_link("the MTU", |state| state.mtu == 9_000);
    assert_eq!(state.status, LinkStatus::Up);
    arp_and_ping(&mut station, &[1_473, 8_972]);
    network.near().run("ip link set nx0 mtu 1300");
    station.until_link("the MTU", |state| state.mtu == 1_300);
    arp_and_ping(&mut station, &[1_272]);
}

#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn a_link_that_goes_down_is_noticed_and_comes_back() {
    let (network, mut station) = tap(false);
    arp_and_ping(&mut station, &[56]);
    network.near().run("ip link set nx0 down");
    station.until_link("down", |state| state.status == LinkStatus::Down);
    let frame = arp_request(station.mac());
    assert_eq!(station.nic.send(&frame, Offload::None), Ok(Sent::Dropped));
    let _ = station.nic.receive(|_| {}).expect("down is not gone");
    network.near().run("ip link set nx0 up");
    station.until_link("up", |state| state.status == LinkStatus::Up);
    arp_and_ping(&mut station, &[56]);
}

#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn an_interface_that_is_deleted_in_the_middle_is_gone() {
    let (network, mut station) = tap(false);
    arp_and_ping(&mut station, &[56]);
    network.near().run("ip link del nx0");
    station.until_link("gone", |state| state.status == LinkStatus::Gone);
    let gone = station.nic.receive(|_| {}).expect_err("it is gone");
    assert!(matches!(gone, NicError::Vanished(_)), "{gone:?}");
    assert!(gone.to_string().contains("nx0 is gone"), "{gone}");
    let frame = arp_request(station.mac());
    let gone = station.nic.send(&frame, Offload::None).expect_err("gone");
    assert!(matches!(gone, NicError::Vanished(_)), "{gone:?}");
    // One of the same name is another: nothing of it reaches us, and we do not hold it back.
    network.near().run("ip tuntap add dev nx0 mode tap");
    let _ = station.nic.poll_link();
    assert_eq!(station.nic.link().status, LinkStatus::Gone);
}

#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn reject_an_interface_that_is_taken() {
    let (_network, station) = tap(false);
    let taken = Station::open(&config("tap:nx0", true)).err();
    assert!(matches!(taken, Some(NicError::Taken(_))), "{taken:?}");
    drop(station);
    Station::open(&config("tap:nx0", true)).expect("free again");
}

#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn reject_an_interface_that_is_no_tap() {
    let network = Network::empty();
    network
        .near()
        .run("ip link add nx1 type veth peer name nx2");
    network.near().run("ip tuntap add dev nx3 mode tun");
    network
        .near()
        .run("ip tuntap add dev nx4 mode tap multi_queue");
    for target in ["tap:nx1", "tap:nx3", "tap:nx4", "tap:lo"] {
        let wrong = Station::open(&config(target, false)).err();
        assert!(
            matches!(wrong, Some(NicError::WrongKind(_))),
            "{target}: {wrong:?}"
        );
    }
}

#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn reject_an_mtu_that_is_too_small() {
    let network = Network::empty();
    network.near().run("ip tuntap add dev nx0 mode tap");
    network.near().run("ip link set nx0 mtu 1279");
    let small = Station::open(&config("tap:nx0", false)).expect_err("too small");
    assert!(
        matches!(
            small,
            NicError::MtuTooSmall {
                mtu: 1_279,
                least: 1_280,
                ..
            }
        ),
        "{small:?}"
    );
    network.near().run("ip link set nx0 mtu 1280");
    Station::open(&config("tap:nx0", false)).expect("enough, and let go of by the one refused");
}

/// Goal: runts, jumbos and VLAN frames from the kernel's side are dropped and counted, and what
/// comes after them passes. Method: a packet socket of the kernel's side writes them.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn reject_runt_jumbo_and_vlan_frames() {
    let (_network, mut station) = tap(false);
    arp_and_ping(&mut station, &[56]);
    let ours = station.mac();
    // The kernel's side of the cable: what it sends, we get.
    let mut kernel = Station::open(&config("packet:nx0", false)).expect("a packet socket");
    let before = station.nic.stats();
    let frame = |ether_type: [u8; 2], len: usize| {
        let mut frame = [&ours[..], &[2, 0, 0, 0, 0, 9], &ether_type].concat();
        frame.resize(len, 0);
        frame
    };
    for (bad, result) in [
        (frame([0x81, 0x00], 60), Sent::Taken),
        (frame([0x88, 0xa8], 60), Sent::Taken),
        (frame([8, 0], 1_515), Sent::Dropped),
        (frame([8, 0], 13), Sent::Dropped),
    ] {
        assert_eq!(kernel.nic.send(&bad, Offload::None), Ok(result), "{bad:?}");
    }
    let mut others = frame([8, 0], 60);
    others[5] ^= 1;
    assert_eq!(kernel.nic.send(&others, Offload::None), Ok(Sent::Taken));
    let good = frame([0x88, 0xb5], 60);
    assert_eq!(kernel.nic.send(&good, Offload::None), Ok(Sent::Taken));
    station.until("the good frame", |_, kept| {
        assert_ne!(kept.frame[12..14], [0x81, 0]);
        (kept.frame == good).then_some(())
    });
    let after = station.nic.stats();
    assert_eq!(after.tagged - before.tagged, 2);
    assert_eq!(after.others - before.others, 1);
}

#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn readiness_tells_of_frames() {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let (network, mut station) = tap(false);
    arp_and_ping(&mut station, &[56]);
    while station.nic.receive(|_| {}) == Ok(nexus_nic::Drained::More) {}
    let ready = |station: &Station, seconds| {
        let timeout = Timespec {
            tv_sec: seconds,
            tv_nsec: 0,
        };
        let nic = station.nic.as_fd();
        let mut fds = [PollFd::new(&nic, PollFlags::IN)];
        poll(&mut fds, Some(&timeout)).expect("a poll")
    };
    assert_eq!(ready(&station, 0), 0);
    network.near().run("ip neigh flush dev nx0");
    let ping = network.near().spawn(|| {
        let socket = UdpSocket::bind("10.77.0.1:0").expect("a socket");
        socket.send_to(b"x", "10.77.0.2:9").expect("sent");
    });
    assert_eq!(ready(&station, 10), 1);
    ping.join().expect("sent");
}
