//! Neighbours that send what nobody should: a live conversation does not suffer.

use std::net::Ipv6Addr;

use nexus_nic::{Config, LinkStatus, Mac, Nic, Offload, Sent};
use nexus_testbed::frames::{arp, ethernet, solicitation};
use nexus_testbed::{Deadline, GUEST_V4, KERNEL_MAC, Network, PATIENCE};

use crate::live::Live;
use crate::peer::{V4, V6, start_echo, start_echo_at};
use crate::run::Run;

/// As many as the issue asks for; all are on the guest's own network.
const ADDRESSES: u16 = 10_000;

/// An echo whose network has room for that many.
fn echo_on_a_large_network(net: &str, listen: &str) -> Run {
    let addresses = format!("{GUEST_V4}/16,fd77::2/64");
    start_echo_at(net, &addresses, &[], listen).prints("listening on")
}

/// Where raw frames to the guest are sent from: the other end of its cable.
struct Attacker {
    nic: Nic,
    /// The guest's hardware address, as the kernel has learnt it.
    guest: [u8; 6],
}

impl Attacker {
    fn beside(network: &Network, interface: &str, guest: &str) -> Self {
        let target = format!("packet:{interface}");
        let opened = network.far().spawn(move || {
            Nic::open(&Config {
                target: target.parse().unwrap(),
                mac: Mac::new(KERNEL_MAC),
                offload: false,
                least_mtu: 1_280,
            })
            .expect("root may open it")
        });
        let known = network.far().run(&format!("ip neigh show {guest}"));
        let words: Vec<&str> = known.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "lladdr");
        let mac = words[at.unwrap_or_else(|| panic!("unknown to the kernel: {known}")) + 1];
        let bytes: Vec<u8> = mac
            .split(':')
            .map(|byte| u8::from_str_radix(byte, 16).unwrap())
            .collect();
        Self {
            nic: opened.join().unwrap(),
            guest: bytes.try_into().unwrap(),
        }
    }

    fn send(&mut self, frame: &[u8]) -> Sent {
        let deadline = Deadline::after(PATIENCE);
        loop {
            match self.nic.send(frame, Offload::None).expect("it stays") {
                Sent::Full => _ = deadline.left("room"),
                sent => return sent,
            }
        }
    }

    /// Sends one of what `frame` makes for each address, and returns how many the kernel took. No faster
    /// than the guest takes them: a queue on the way that is full would keep most from it.
    fn flood(&mut self, live: &Live, frame: impl Fn([u8; 6], u16, [u8; 6]) -> Vec<u8>) -> u16 {
        let mut taken = 0;
        for number in 0..ADDRESSES {
            let [high, low] = number.to_be_bytes();
            let frame = frame(self.guest, number, [2, 0x66, 0, 0, high, low]);
            taken += u16::from(self.send(&frame) == Sent::Taken);
            if number % 100 == 0 {
                live.goes_on(2, "a part of a flood");
            }
        }
        taken
    }
}

fn stand_floods(network: &Network, net: &str, interface: &str) {
    // ARP (RFC 826): questions for the guest, and answers to it that it did not ask for.
    let app = echo_on_a_large_network(net, "0.0.0.0:7777");
    let live = Live::begin(network.far(), V4);
    let mut attacker = Attacker::beside(network, interface, "10.77.0.2");
    for operation in [1, 2] {
        let taken = attacker.flood(&live, |guest, number, mac| {
            let [high, low] = (256 + number).to_be_bytes();
            let ip = [10, 77, high, low];
            let data = arp(operation, mac, ip, guest, GUEST_V4.octets());
            ethernet(guest, mac, 0x0806, &data)
        });
        // A device may throw some away, as a wire may.
        assert!(taken > ADDRESSES / 2, "only {taken} were sent");
        live.goes_on(100, "a flood of ARP");
    }
    drop(live);
    app.end();

    let app = echo_on_a_large_network(net, "[::]:7777");
    let live = Live::begin(network.far(), V6);
    let mut attacker = Attacker::beside(network, interface, "fd77::2");
    let taken = attacker.flood(&live, |guest, number, mac| {
        let ip = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 1, number);
        solicitation(guest, mac, ip)
    });
    assert!(taken > ADDRESSES / 2, "only {taken} were sent");
    live.goes_on(100, "a flood of solicitations");
    drop(live);
    app.end();
}

/// Goal: 10,000 stations that make themselves known do not take a live one its service for more than a
/// second. Method: a client asks an echo all the time while each address asks for the guest, then while
/// each answers unasked; by ARP, and by NDISC.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn an_app_on_tap_is_reached_through_floods() {
    stand_floods(&Network::tap(1500), "tap:nx0", "nx0");
}

/// The same beside the kernel's stack.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn an_app_on_a_packet_socket_is_reached_through_floods() {
    stand_floods(&Network::veth(), "packet:nx0", "nx1");
}

/// Goal: frames that are no frames of ours are dropped, and the conversation beside them goes on. Method:
/// a thousand each of VLAN tags, of frames without a packet, of packets cut short, of noise, and (where
/// the device passes them on: a veth passes four bytes more than its MTU) of frames too long.
fn stand_bad_frames(network: &Network, net: &str, interface: &str) {
    let app = start_echo(net, &[], "0.0.0.0:7777").prints("listening on");
    let live = Live::begin(network.far(), V4);
    let mut attacker = Attacker::beside(network, interface, "10.77.0.2");
    let longest = match interface {
        "nx1" => {
            network.far().run("ip link set nx1 mtu 9000");
            let deadline = Deadline::after(PATIENCE);
            while attacker.nic.link().mtu != 9_000 {
                let _ = attacker.nic.poll_link();
                assert_ne!(attacker.nic.link().status, LinkStatus::Gone);
                deadline.left("the MTU");
            }
            1_518
        }
        _ => 1_514,
    };
    let (guest, from) = (attacker.guest, [2, 0x66, 0, 0, 0, 1]);
    for (what, ether_type, len) in [
        ("VLAN tags", 0x8100, 60),
        ("tags of providers", 0x88a8, 60),
        ("IPv4 without a packet", 0x0800, 14),
        ("IPv6 without a packet", 0x86dd, 14),
        ("ARP without a packet", 0x0806, 14),
        ("IPv4 cut short", 0x0800, 20),
        ("ARP cut short", 0x0806, 41),
        ("IPv6 cut short", 0x86dd, 53),
        ("what nobody speaks", 0x88b5, 60),
        ("IPv4 too long", 0x0800, longest),
    ] {
        let mut frame = ethernet(guest, from, ether_type, &[]);
        frame.resize(len, 0x45);
        let taken = (0..1_000).filter(|_| attacker.send(&frame) == Sent::Taken);
        assert!(taken.count() > 500, "{what}");
        live.goes_on(100, what);
    }
    drop(live);
    app.end();
}

#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn reject_bad_frames_on_tap() {
    stand_bad_frames(&Network::tap(1500), "tap:nx0", "nx0");
}

#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn reject_bad_frames_on_a_packet_socket() {
    stand_bad_frames(&Network::veth(), "packet:nx0", "nx1");
}
