//! The host's own loopback is reached as `host.internal` and in no other way.

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};

use nexus_stack::{TcpError, UdpError};
use nexus_usernet::ADDRESSES;

use crate::link::{Link, config};

/// Destinations that mean the host, a group or nobody, in every spelling a packet can carry.
fn forbidden() -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> = [
        "127.0.0.1",
        "127.1.2.3",
        "0.0.0.0",
        "0.0.0.1",
        "224.0.0.251",
        "255.255.255.255",
        "192.0.0.3",
        "192.0.0.4",
        "192.0.0.7",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:0.0.0.0",
        "64:ff9b::127.0.0.1",
        "2002:7f00:1::1",
        "ff02::1",
        "fe80::1",
        "fd6e:6578:7573::3",
        "fd6e:6578:7573::99",
    ]
    .map(|text| text.parse().unwrap())
    .into();
    all.extend(own_addresses());
    all
}

/// The host's addresses on its own networks, as far as a route tells them.
fn own_addresses() -> Vec<IpAddr> {
    [
        ("0.0.0.0:0", "198.51.100.1:9"),
        ("[::]:0", "[2001:db8::1]:9"),
    ]
    .iter()
    .filter_map(|(any, to)| {
        let probe = UdpSocket::bind(any).ok()?;
        probe.connect(to).ok()?;
        Some(probe.local_addr().ok()?.ip())
    })
    .collect()
}

/// Servers on every address of the host, and the same port for both families.
fn servers() -> (u16, Vec<TcpListener>, Vec<UdpSocket>) {
    let first = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = first.local_addr().unwrap().port();
    let tcp: Vec<_> = own_addresses()
        .into_iter()
        .chain(["::1".parse().unwrap()])
        .filter_map(|ip| TcpListener::bind((ip, port)).ok())
        .chain([first])
        .collect();
    let udp: Vec<_> = own_addresses()
        .into_iter()
        .chain(["::1".parse().unwrap(), "127.0.0.1".parse().unwrap()])
        .filter_map(|ip| UdpSocket::bind((ip, port)).ok())
        .collect();
    for server in &tcp {
        server.set_nonblocking(true).unwrap();
    }
    for server in &udp {
        server.set_nonblocking(true).unwrap();
    }
    (port, tcp, udp)
}

/// One packet: TCP SYN or UDP, from the node.
fn packet(to: SocketAddr, tcp: bool, source_port: u16) -> Vec<u8> {
    let payload = if tcp {
        let mut segment = vec![0; 20];
        segment[..2].copy_from_slice(&source_port.to_be_bytes());
        segment[2..4].copy_from_slice(&to.port().to_be_bytes());
        segment[4..8].copy_from_slice(&1_u32.to_be_bytes());
        segment[12] = 5 << 4;
        segment[13] = 0x02;
        segment[14..16].copy_from_slice(&0xffff_u16.to_be_bytes());
        segment
    } else {
        let mut datagram = vec![0; 12];
        datagram[..2].copy_from_slice(&source_port.to_be_bytes());
        datagram[2..4].copy_from_slice(&to.port().to_be_bytes());
        datagram[4..6].copy_from_slice(&12_u16.to_be_bytes());
        datagram
    };
    let protocol = if tcp { 6 } else { 17 };
    let length = payload.len() as u16;
    let mut packet;
    match to.ip() {
        IpAddr::V4(to) => {
            packet = vec![0x45, 0];
            packet.extend((length + 20).to_be_bytes());
            packet.extend([0, 0, 0x40, 0, 64, protocol, 0, 0]);
            packet.extend(ADDRESSES.node.0.octets());
            packet.extend(to.octets());
        }
        IpAddr::V6(to) => {
            packet = vec![0x60, 0, 0, 0];
            packet.extend(length.to_be_bytes());
            packet.extend([protocol, 64]);
            packet.extend(ADDRESSES.node.1.octets());
            packet.extend(to.octets());
        }
    }
    packet.extend(payload);
    packet
}

#[test]
fn reject_every_other_way_to_the_host_on_the_wire() {
    let (port, tcp, udp) = servers();
    let mut link = Link::new(config());
    for (source_port, ip) in (40_000..).zip(forbidden()) {
        let to = SocketAddr::new(ip, port);
        for kind in [true, false] {
            let packet = packet(to, kind, source_port);
            let now = link.now();
            link.net.handle_frame(now, &packet);
            link.step();
            assert_eq!(link.net.stats().tcp_flows, 0, "{to}");
            assert_eq!(link.net.stats().udp_flows, 0, "{to}");
        }
    }
    for server in &tcp {
        assert!(server.accept().is_err(), "nobody came");
    }
    for server in &udp {
        assert!(server.recv_from(&mut [0; 9]).is_err(), "nothing came");
    }
    // The same packets, to the host's address: they are well-formed, and the way is open.
    for kind in [true, false] {
        let packet = packet(SocketAddr::new(ADDRESSES.host.0.into(), port), kind, 39_999);
        let now = link.now();
        link.net.handle_frame(now, &packet);
        link.step();
    }
    // The node knows of no such connection and resets it; it was made all the same.
    assert!(tcp.iter().any(|server| server.accept().is_ok()));
    assert_eq!(link.net.stats().udp_flows, 1);
}

#[test]
fn reject_the_hosts_own_addresses_with_an_answer() {
    let (port, tcp, _udp) = servers();
    let mut link = Link::new(config());
    for ip in own_addresses() {
        let to = SocketAddr::new(ip, port);
        assert_eq!(link.connect(to), Err(TcpError::Unreachable), "{to}");
        let id = link.bind_udp(to, 0);
        link.node.udp_connect(id, Some(to)).unwrap();
        link.send(id, b"hello", to);
        assert_eq!(link.receive(id), Err(UdpError::Unreachable), "{to}");
    }
    for server in &tcp {
        assert!(server.accept().is_err(), "nobody came");
    }
}

#[test]
fn reject_what_the_host_has_no_way_to_at_once() {
    // Documentation prefixes: with a default route they are merely silent, without one refused.
    // An address of a family the host does not have must not wait for the connect timeout.
    let mut link = Link::new(config());
    let to: SocketAddr = "[2001:db8::1]:9".parse().unwrap();
    let reachable = UdpSocket::bind("[::]:0").is_ok_and(|probe| probe.connect(to).is_ok());
    if !reachable {
        assert_eq!(link.connect(to), Err(TcpError::Unreachable));
    }
}

#[test]
fn frames_cut_at_every_length_do_no_harm() {
    let mut link = Link::new(config());
    for to in ["192.0.0.1:9", "[fd6e:6578:7573::1]:9", "192.0.0.3:53"] {
        for kind in [true, false] {
            let packet = packet(to.parse().unwrap(), kind, 50_000);
            for length in 0..packet.len() {
                let now = link.now();
                link.net.handle_frame(now, &packet[..length]);
                link.step();
            }
        }
    }
    assert_eq!(link.net.stats().tcp_flows + link.net.stats().udp_flows, 0);
}
