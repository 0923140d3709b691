//! Frames and packets made to order; their lengths and sums are right.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(crate) const ARP: u16 = 0x0806;
pub(crate) const ICMP6: u8 = 58;
pub(crate) const UDP: u8 = 17;

pub(crate) type Mac = [u8; 6];

/// RFC 1071, over parts of even length but for the last.
pub(crate) fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let mut sum = 0_u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// An Ethernet frame.
pub(crate) fn frame(dst: Mac, src: Mac, kind: u16, bytes: &[u8]) -> Vec<u8> {
    let mut frame = dst.to_vec();
    frame.extend(src);
    frame.extend(kind.to_be_bytes());
    frame.extend(bytes);
    frame
}

/// An ARP message.
pub(crate) fn arp(operation: u8, from: (Mac, Ipv4Addr), to: (Mac, Ipv4Addr)) -> Vec<u8> {
    let mut bytes = vec![0, 1, 8, 0, 6, 4, 0, operation];
    for (mac, ip) in [from, to] {
        bytes.extend(mac);
        bytes.extend(ip.octets());
    }
    bytes
}

/// An IPv6 packet with a message of ICMPv6; its first four bytes are its kind, code and room for the sum.
pub(crate) fn icmp6(src: Ipv6Addr, dst: Ipv6Addr, hop_limit: u8, mut message: Vec<u8>) -> Vec<u8> {
    message[2..4].fill(0);
    let sum = sum6(src, dst, ICMP6, &message);
    message[2..4].copy_from_slice(&sum);
    packet6(src, dst, ICMP6, hop_limit, &message)
}

/// A UDP datagram, of either family.
pub(crate) fn datagram(src: (IpAddr, u16), dst: (IpAddr, u16), data: &[u8]) -> Vec<u8> {
    let mut bytes = src.1.to_be_bytes().to_vec();
    bytes.extend(dst.1.to_be_bytes());
    bytes.extend((8 + data.len() as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(data);
    match (src.0, dst.0) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let length = (bytes.len() as u16).to_be_bytes();
            let pseudo = [&src.octets()[..], &dst.octets(), &[0, UDP], &length].concat();
            let sum = checksum(&[&pseudo, &bytes]);
            bytes[6..8].copy_from_slice(&sum);
            packet4(src, dst, UDP, &bytes)
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let sum = sum6(src, dst, UDP, &bytes);
            bytes[6..8].copy_from_slice(&sum);
            packet6(src, dst, UDP, 64, &bytes)
        }
        _ => Vec::new(),
    }
}

fn packet4(src: Ipv4Addr, dst: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0];
    packet[2..4].copy_from_slice(&(20 + payload.len() as u16).to_be_bytes());
    packet.extend(src.octets());
    packet.extend(dst.octets());
    let sum = checksum(&[&packet]);
    packet[10..12].copy_from_slice(&sum);
    packet.extend(payload);
    packet
}

fn packet6(src: Ipv6Addr, dst: Ipv6Addr, protocol: u8, hop_limit: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0, 0, 0, protocol, hop_limit];
    packet[4..6].copy_from_slice(&(payload.len() as u16).to_be_bytes());
    packet.extend(src.octets());
    packet.extend(dst.octets());
    packet.extend(payload);
    packet
}

/// The sum of an upper layer's message with room for it, or zeros if it has its own.
pub(crate) fn sum6(src: Ipv6Addr, dst: Ipv6Addr, protocol: u8, message: &[u8]) -> [u8; 2] {
    let length = (message.len() as u32).to_be_bytes();
    let pseudo = [
        &src.octets()[..],
        &dst.octets(),
        &length,
        &[0, 0, 0, protocol],
    ];
    checksum(&[&pseudo.concat(), message])
}

pub(crate) fn v4_at(bytes: &[u8], at: usize) -> Ipv4Addr {
    let mut octets = [0; 4];
    octets.copy_from_slice(&bytes[at..at + 4]);
    octets.into()
}

pub(crate) fn v6_at(bytes: &[u8], at: usize) -> Ipv6Addr {
    let mut octets = [0; 16];
    octets.copy_from_slice(&bytes[at..at + 16]);
    octets.into()
}
