//! Packets made by hand: what no honest stack would send.

use nexus_types::{IpAddr, SocketAddr};

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;

/// The plain definition of RFC 1071; independent of the stack's own.
pub(crate) fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let mut sum = 0_u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
        }
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// An IP packet; the checksum of the payload goes to `at` of it.
pub(crate) fn packet(
    src: IpAddr,
    dst: IpAddr,
    protocol: u8,
    mut payload: Vec<u8>,
    at: usize,
) -> Vec<u8> {
    let len = payload.len();
    let mut bytes;
    match (src, dst) {
        (IpAddr::V4(src), IpAddr::V4(dst)) => {
            let (src, dst) = (src.octets(), dst.octets());
            bytes = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0];
            bytes[2..4].copy_from_slice(&(20 + len as u16).to_be_bytes());
            bytes.extend(src);
            bytes.extend(dst);
            let sum = checksum(&[&bytes]);
            bytes[10..12].copy_from_slice(&sum);
            payload[at..at + 2].fill(0);
            let length = (len as u16).to_be_bytes();
            let sum = if protocol == 1 {
                checksum(&[&payload])
            } else {
                checksum(&[&src, &dst, &[0, protocol], &length, &payload])
            };
            payload[at..at + 2].copy_from_slice(&sum);
        }
        (IpAddr::V6(src), IpAddr::V6(dst)) => {
            let (src, dst) = (src.octets(), dst.octets());
            bytes = vec![0x60, 0, 0, 0, 0, 0, protocol, 64];
            bytes[4..6].copy_from_slice(&(len as u16).to_be_bytes());
            bytes.extend(src);
            bytes.extend(dst);
            payload[at..at + 2].fill(0);
            let length = (len as u16).to_be_bytes();
            let sum = checksum(&[&src, &dst, &[0, protocol], &length, &payload]);
            payload[at..at + 2].copy_from_slice(&sum);
        }
        _ => panic!("one family"),
    }
    bytes.extend(payload);
    bytes
}

pub(crate) struct Segment {
    pub(crate) src: SocketAddr,
    pub(crate) dst: SocketAddr,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) data: Vec<u8>,
}

impl Segment {
    pub(crate) fn packet(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(self.src.port().to_be_bytes());
        bytes.extend(self.dst.port().to_be_bytes());
        bytes.extend(self.seq.to_be_bytes());
        bytes.extend(self.ack.to_be_bytes());
        bytes.extend([0x50, self.flags, 0x20, 0, 0, 0, 0, 0]);
        bytes.extend(&self.data);
        packet(self.src.ip(), self.dst.ip(), 6, bytes, 16)
    }

    /// Reads a segment out of an IPv4 or IPv6 packet without options.
    pub(crate) fn read(packet: &[u8]) -> Option<Self> {
        let v4 = packet[0] >> 4 == 4;
        let (src, dst, header, protocol): (IpAddr, IpAddr, usize, u8) = if v4 {
            let ip = |at: usize| {
                let octets: [u8; 4] = packet[at..at + 4].try_into().expect("four");
                IpAddr::from(octets)
            };
            (ip(12), ip(16), 20, packet[9])
        } else {
            let ip = |at: usize| {
                let octets: [u8; 16] = packet[at..at + 16].try_into().expect("sixteen");
                IpAddr::from(octets)
            };
            (ip(8), ip(24), 40, packet[6])
        };
        if protocol != 6 {
            return None;
        }
        let bytes = &packet[header..];
        let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four"));
        let port = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        Some(Self {
            src: SocketAddr::new(src, port(0)),
            dst: SocketAddr::new(dst, port(2)),
            seq: word(4),
            ack: word(8),
            flags: bytes[13],
            data: bytes[usize::from(bytes[12] >> 4) * 4..].to_vec(),
        })
    }
}

/// A UDP datagram.
pub(crate) fn datagram(src: SocketAddr, dst: SocketAddr, data: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.extend(src.port().to_be_bytes());
    bytes.extend(dst.port().to_be_bytes());
    bytes.extend((8 + data.len() as u16).to_be_bytes());
    bytes.extend([0, 0]);
    bytes.extend(data);
    packet(src.ip(), dst.ip(), 17, bytes, 6)
}

/// An ICMP or ICMPv6 message.
pub(crate) fn icmp(src: IpAddr, dst: IpAddr, kind: u8, code: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind, code, 0, 0, 0, 0, 0, 0];
    bytes.extend(body);
    packet(src, dst, if src.is_ipv4() { 1 } else { 58 }, bytes, 2)
}
