//! Packets as the checkers and the segments read them: by the RFCs, with nothing of the stack that made them.

use core::fmt::Write as _;

use nexus_types::{IpAddr, Ipv4Addr, Ipv6Addr};

/// ICMP, RFC 792.
pub const ICMP: u8 = 1;
/// TCP, RFC 9293.
pub const TCP: u8 = 6;
/// UDP, RFC 768.
pub const UDP: u8 = 17;
/// ICMPv6, RFC 4443.
pub const ICMP6: u8 = 58;

/// An Ethernet header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ethernet<'a> {
    /// To whom.
    pub to: [u8; 6],
    /// From whom.
    pub from: [u8; 6],
    /// What follows.
    pub kind: u16,
    /// That.
    pub payload: &'a [u8],
}

impl<'a> Ethernet<'a> {
    /// ARP, RFC 826.
    pub const ARP: u16 = 0x0806;

    /// Reads the header.
    pub fn parse(frame: &'a [u8]) -> Option<Self> {
        let (to, rest) = frame.split_first_chunk::<6>()?;
        let (from, rest) = rest.split_first_chunk::<6>()?;
        let (kind, payload) = rest.split_first_chunk::<2>()?;
        Some(Self {
            to: *to,
            from: *from,
            kind: u16::from_be_bytes(*kind),
            payload,
        })
    }

    /// Whether it is for more than one.
    pub const fn is_group(&self) -> bool {
        self.to[0] & 1 == 1
    }
}

/// An IP packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ip<'a> {
    /// From whom.
    pub from: IpAddr,
    /// To whom.
    pub to: IpAddr,
    /// What follows the headers.
    pub protocol: u8,
    /// It is a part of a packet.
    pub fragment: bool,
    /// What follows the headers.
    pub payload: &'a [u8],
}

impl<'a> Ip<'a> {
    /// Reads the headers of a whole packet whose IPv4 header has the right checksum.
    pub fn parse(packet: &'a [u8]) -> Option<Self> {
        match packet.first()? >> 4 {
            4 => Self::parse_v4(packet),
            6 => Self::parse_v6(packet),
            _ => None,
        }
    }

    fn parse_v4(packet: &'a [u8]) -> Option<Self> {
        let header = usize::from(packet[0] & 15) * 4;
        let total = usize::from(be16(packet, 2)?);
        if header < 20 || total < header || packet.len() < total {
            return None;
        }
        if sum(&packet[..header], 0) != 0xffff {
            return None;
        }
        let address = |at: usize| {
            let bytes = packet.get(at..at + 4)?.first_chunk::<4>()?;
            Some(IpAddr::V4(Ipv4Addr::from(*bytes)))
        };
        Some(Self {
            from: address(12)?,
            to: address(16)?,
            protocol: packet[9],
            fragment: be16(packet, 6)? & 0x3fff != 0,
            payload: &packet[header..total],
        })
    }

    fn parse_v6(packet: &'a [u8]) -> Option<Self> {
        let total = 40 + usize::from(be16(packet, 4)?);
        if packet.len() < total {
            return None;
        }
        let address = |at: usize| {
            let bytes = packet.get(at..at + 16)?.first_chunk::<16>()?;
            Some(IpAddr::V6(Ipv6Addr::from(*bytes)))
        };
        let (from, to) = (address(8)?, address(24)?);
        let (mut next, mut rest) = (packet[6], &packet[40..total]);
        let mut fragment = false;
        // Hop-by-hop, routing, destination options and fragment headers (RFC 8200 section 4).
        for _ in 0..8 {
            let length = match next {
                0 | 43 | 60 => 8 + 8 * usize::from(*rest.get(1)?),
                44 => {
                    fragment = true;
                    8
                }
                _ => break,
            };
            next = *rest.first()?;
            rest = rest.get(length..)?;
        }
        Some(Self {
            from,
            to,
            protocol: next,
            fragment,
            payload: rest,
        })
    }

    /// Whether the checksum over pseudo header and payload is right (RFC 9293 section 3.1, RFC 768, RFC 8200
    /// section 8.1).
    pub fn is_sound(&self) -> bool {
        let pseudo = match (self.from, self.to) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                partial(&from.octets(), 0) + partial(&to.octets(), 0)
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                partial(&from.octets(), 0) + partial(&to.octets(), 0)
            }
            _ => return false,
        };
        let length = self.payload.len() as u32;
        let start = pseudo + u32::from(self.protocol) + (length >> 16) + (length & 0xffff);
        match self.protocol {
            ICMP => sum(self.payload, 0) == 0xffff,
            UDP if self.from.is_ipv4() && be16(self.payload, 6) == Some(0) => true,
            _ => sum(self.payload, start) == 0xffff,
        }
    }

    /// Source and destination port of TCP and UDP.
    pub fn ports(&self) -> Option<(u16, u16)> {
        if self.fragment || !matches!(self.protocol, TCP | UDP) {
            return None;
        }
        Some((be16(self.payload, 0)?, be16(self.payload, 2)?))
    }
}

/// A TCP segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tcp<'a> {
    /// Source port.
    pub from: u16,
    /// Destination port.
    pub to: u16,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement number, if it is one.
    pub ack: Option<u32>,
    /// SYN.
    pub syn: bool,
    /// FIN.
    pub fin: bool,
    /// RST.
    pub rst: bool,
    /// As the header has it, not scaled.
    pub window: u16,
    /// Of a SYN: the option of RFC 7323 section 2.
    pub scale: Option<u8>,
    /// Data.
    pub data: &'a [u8],
}

impl<'a> Tcp<'a> {
    /// Reads the header; checksums are [`Ip::is_sound`].
    pub fn parse(segment: &'a [u8]) -> Option<Self> {
        let header = usize::from(*segment.get(12)? >> 4) * 4;
        if header < 20 || segment.len() < header {
            return None;
        }
        let flags = segment[13];
        Some(Self {
            from: be16(segment, 0)?,
            to: be16(segment, 2)?,
            seq: be32(segment, 4)?,
            ack: (flags & 16 != 0).then_some(be32(segment, 8)?),
            syn: flags & 2 != 0,
            fin: flags & 1 != 0,
            rst: flags & 4 != 0,
            window: be16(segment, 14)?,
            scale: scale(&segment[20..header]),
            data: &segment[header..],
        })
    }

    /// What it takes of the sequence space.
    pub fn length(&self) -> u32 {
        self.data.len() as u32 + u32::from(self.syn) + u32::from(self.fin)
    }
}

/// The window scale of a SYN's options.
fn scale(mut options: &[u8]) -> Option<u8> {
    loop {
        match *options.first()? {
            0 => return None,
            1 => options = &options[1..],
            3 => return options.get(2).map(|shift| (*shift).min(14)),
            _ => {
                let length = usize::from(*options.get(1)?);
                options = options.get(length.max(2)..)?;
            }
        }
    }
}

/// Two bytes, big end first.
pub fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Four bytes, big end first.
pub fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The one's complement sum (RFC 1071), folded; 0xffff where a checksum is part of it and right.
fn sum(bytes: &[u8], start: u32) -> u16 {
    let mut sum = partial(bytes, start);
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

/// The sum, not folded: of 64 KiB it still fits.
fn partial(bytes: &[u8], start: u32) -> u32 {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let pairs = pairs
        .iter()
        .map(|pair| u32::from(u16::from_be_bytes(*pair)));
    let last = rest.first().map_or(0, |last| u32::from(*last) << 8);
    start + pairs.sum::<u32>() + last
}

/// Where a bare IP packet is to go, whatever else is wrong with it.
pub(crate) fn destination(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => {
            let bytes = packet.get(16..20)?.first_chunk::<4>()?;
            Some(IpAddr::V4(Ipv4Addr::from(*bytes)))
        }
        6 => {
            let bytes = packet.get(24..40)?.first_chunk::<16>()?;
            Some(IpAddr::V6(Ipv6Addr::from(*bytes)))
        }
        _ => None,
    }
}

/// The IP packet of a frame, if it carries one.
pub fn packet(ethernet: bool, frame: &[u8]) -> Option<&[u8]> {
    if !ethernet {
        return Some(frame);
    }
    let header = Ethernet::parse(frame)?;
    matches!(header.kind, 0x0800 | 0x86dd).then_some(header.payload)
}

/// A frame in a few words.
pub fn describe(ethernet: bool, frame: &[u8], out: &mut String) {
    // Writing to a string does not fail.
    let _ = write!(out, "{} bytes", frame.len());
    if ethernet && let Some(header) = Ethernet::parse(frame) {
        let _ = write!(out, " {:02x?} > {:02x?}", header.from, header.to);
        if header.kind == Ethernet::ARP {
            out.push_str(" arp");
        }
    }
    let Some(ip) = packet(ethernet, frame).and_then(Ip::parse) else {
        return;
    };
    let _ = write!(out, " {} > {}", ip.from, ip.to);
    if ip.fragment {
        let _ = write!(out, " fragment of protocol {}", ip.protocol);
        return;
    }
    match (ip.protocol, ip.ports()) {
        (TCP, Some((from, to))) => {
            let _ = write!(out, " tcp {from} > {to}");
            if let Some(tcp) = Tcp::parse(ip.payload) {
                for (set, word) in [(tcp.syn, " syn"), (tcp.fin, " fin"), (tcp.rst, " rst")] {
                    out.push_str(if set { word } else { "" });
                }
                let _ = write!(out, " seq {} len {}", tcp.seq, tcp.data.len());
                if let Some(ack) = tcp.ack {
                    let _ = write!(out, " ack {ack}");
                }
                let _ = write!(out, " win {}", tcp.window);
            }
        }
        (UDP, Some((from, to))) => _ = write!(out, " udp {from} > {to}"),
        (protocol, _) => {
            let kind = ip.payload.first().copied().unwrap_or(0);
            let _ = write!(out, " protocol {protocol} type {kind}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A SYN of Linux to 10.0.0.2:80, by hand: checksums computed apart.
    fn syn() -> Vec<u8> {
        let mut packet = vec![
            0x45, 0, 0, 44, 0, 1, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2, // IP
            0xc0, 0, 0, 80, 0, 0, 0, 7, 0, 0, 0, 0, 0x60, 2, 0xff, 0xff, 0, 0, 0, 0, // TCP
            1, 3, 3, 7, // window scale
        ];
        let header = !sum(&packet[..20], 0);
        packet[10..12].copy_from_slice(&header.to_be_bytes());
        let segment = !sum(&packet[20..], 0x0a00 + 1 + 0x0a00 + 2 + 6 + 24);
        packet[36..38].copy_from_slice(&segment.to_be_bytes());
        packet
    }

    #[test]
    fn a_segment_is_read() {
        let packet = syn();
        let ip = Ip::parse(&packet).unwrap();
        assert!(ip.is_sound());
        let tcp = Tcp::parse(ip.payload).unwrap();
        assert_eq!((tcp.from, tcp.to, tcp.seq), (0xc000, 80, 7));
        assert!(tcp.syn && !tcp.fin && tcp.ack.is_none());
        assert_eq!((tcp.scale, tcp.length()), (Some(7), 1));
        let mut said = String::new();
        describe(false, &packet, &mut said);
        assert_eq!(
            said,
            "44 bytes 10.0.0.1 > 10.0.0.2 tcp 49152 > 80 syn seq 7 len 0 win 65535"
        );
    }

    /// Goal: no flipped bit and no missing end goes unnoticed, nor does either panic. (The two bits of the
    /// version are the exception they must be: the packet is then of another kind or none.)
    #[test]
    fn reject_a_changed_segment() {
        let whole = syn();
        for bit in 0..whole.len() * 8 {
            let mut packet = whole.clone();
            packet[bit / 8] ^= 1 << (bit % 8);
            let sound = Ip::parse(&packet).is_some_and(|ip| ip.is_sound());
            assert!(!sound, "bit {bit}");
        }
        for length in 0..whole.len() {
            let packet = &whole[..length];
            assert!(Ip::parse(packet).is_none());
            describe(false, packet, &mut String::new());
            describe(true, packet, &mut String::new());
            destination(packet);
        }
    }
}
