//! Reading packets: total, bounds-checked, no state. What comes out is within the bytes that came in.

use nexus_types::{IpAddr, Ipv4Addr, Ipv6Addr};
use smoltcp::wire::TcpOption;

use crate::checksum::Sum;

pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMP6: u8 = 58;

/// Why a packet goes no further.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Drop {
    Malformed,
    Checksum,
}

/// An IP packet, read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet<'a> {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) hop_limit: u8,
    /// Where the payload begins.
    pub(crate) header_len: usize,
    /// The whole packet, without what a link padded it with.
    pub(crate) bytes: &'a [u8],
    /// Part of a datagram: the payload is not what the protocol says.
    pub(crate) fragment: bool,
    /// Who handed it over says that the payload's checksum needs no look.
    pub(crate) checked: bool,
    /// Several segments behind one header.
    pub(crate) segments: bool,
}

impl<'a> Packet<'a> {
    pub(crate) fn payload(&self) -> &'a [u8] {
        &self.bytes[self.header_len..]
    }

    /// Whether nothing but the fixed header precedes the payload: all that smoltcp reads.
    pub(crate) fn is_plain(&self) -> bool {
        self.header_len == if self.src.is_ipv4() { 20 } else { 40 }
    }

    /// Reads an IP packet; checks the header's checksum if told to.
    #[inline]
    pub(crate) fn parse(bytes: &'a [u8], checksums: bool) -> Result<Self, Drop> {
        match bytes.first().map(|first| first >> 4) {
            Some(4) => Self::parse_v4(bytes, checksums),
            Some(6) => Self::parse_v6(bytes),
            _ => Err(Drop::Malformed),
        }
    }

    fn parse_v4(bytes: &'a [u8], checksums: bool) -> Result<Self, Drop> {
        if bytes.len() < 20 {
            return Err(Drop::Malformed);
        }
        let header_len = usize::from(bytes[0] & 0xf) * 4;
        let total_len = usize::from(u16_at(bytes, 2));
        if header_len < 20 || total_len < header_len || total_len > bytes.len() {
            return Err(Drop::Malformed);
        }
        let bytes = &bytes[..total_len];
        if checksums && !Sum::default().bytes(&bytes[..header_len]).is_intact() {
            return Err(Drop::Checksum);
        }
        Ok(Self {
            src: v4_at(bytes, 12),
            dst: v4_at(bytes, 16),
            protocol: bytes[9],
            hop_limit: bytes[8],
            header_len,
            bytes,
            // More fragments, or an offset. Bit 14 (don't fragment) and 15 (reserved) say nothing here.
            fragment: u16_at(bytes, 6) & 0x3fff != 0,
            checked: false,
            segments: false,
        })
    }

    fn parse_v6(bytes: &'a [u8]) -> Result<Self, Drop> {
        if bytes.len() < 40 {
            return Err(Drop::Malformed);
        }
        let total_len = 40 + usize::from(u16_at(bytes, 4));
        if total_len > bytes.len() {
            return Err(Drop::Malformed);
        }
        let bytes = &bytes[..total_len];
        let mut packet = Self {
            src: v6_at(bytes, 8),
            dst: v6_at(bytes, 24),
            protocol: bytes[6],
            hop_limit: bytes[7],
            header_len: 40,
            bytes,
            fragment: false,
            checked: false,
            segments: false,
        };
        // RFC 8200 section 4.1 names six headers before the payload; nobody needs eight.
        for _ in 0..8 {
            let at = packet.header_len;
            let header = &bytes[at..];
            match packet.protocol {
                // Hop-by-hop and destination options; routing, but only where nothing is left to route (RFC 5095).
                protocol @ (0 | 43 | 60) => {
                    if header.len() < 8 || (protocol == 43 && header[3] != 0) {
                        return Err(Drop::Malformed);
                    }
                    let len = (usize::from(header[1]) + 1) * 8;
                    if header.len() < len {
                        return Err(Drop::Malformed);
                    }
                    packet.protocol = header[0];
                    packet.header_len += len;
                }
                44 => {
                    if header.len() < 8 {
                        return Err(Drop::Malformed);
                    }
                    // An atomic fragment is a whole (RFC 6946); any other is for reassembly.
                    if u16_at(header, 2) & 0xfff9 != 0 {
                        packet.fragment = true;
                        return Ok(packet);
                    }
                    packet.protocol = header[0];
                    packet.header_len += 8;
                }
                _ => return Ok(packet),
            }
        }
        Err(Drop::Malformed)
    }
}

/// What the stack itself reads of a segment; the rest is smoltcp's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Segment {
    pub(crate) src_port: u16,
    pub(crate) dst_port: u16,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    pub(crate) header_len: usize,
    pub(crate) data_len: usize,
}

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const ACK: u8 = 0x10;

impl Segment {
    #[inline]
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Drop> {
        if bytes.len() < 20 {
            return Err(Drop::Malformed);
        }
        let header_len = usize::from(bytes[12] >> 4) * 4;
        if header_len < 20 || header_len > bytes.len() {
            return Err(Drop::Malformed);
        }
        let segment = Self {
            src_port: u16_at(bytes, 0),
            dst_port: u16_at(bytes, 2),
            seq: u32_at(bytes, 4),
            ack: u32_at(bytes, 8),
            flags: bytes[13] & 0x3f,
            window: u16_at(bytes, 14),
            header_len,
            data_len: bytes.len() - header_len,
        };
        if segment.src_port == 0 || segment.dst_port == 0 {
            return Err(Drop::Malformed);
        }
        // What smoltcp would not read ends here: the demux must not act on a segment whose
        // connection never sees it.
        let controls = segment.flags & (SYN | FIN | RST);
        if controls.count_ones() > 1 || !are_options(&bytes[20..header_len]) {
            return Err(Drop::Malformed);
        }
        Ok(segment)
    }

    pub(crate) fn has(&self, flags: u8) -> bool {
        self.flags & flags == flags
    }

    /// Where its data ends, on the circle; not that of a SYN.
    pub(crate) fn data_end(&self) -> u32 {
        self.seq.wrapping_add(self.data_len as u32)
    }

    /// How much of the sequence space it takes.
    pub(crate) fn len(&self) -> u32 {
        self.data_len as u32 + u32::from(self.has(SYN)) + u32::from(self.has(FIN))
    }
}

/// Whether smoltcp can read these options, each of them and to the end.
fn are_options(mut options: &[u8]) -> bool {
    while !options.is_empty() {
        match TcpOption::parse(options) {
            Ok((_, TcpOption::EndOfList)) => return true,
            Ok((rest, _)) => options = rest,
            Err(_) => return false,
        }
    }
    true
}

/// What a SYN offers.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct SynOptions {
    pub(crate) mss: Option<u16>,
    pub(crate) window_scale: Option<u8>,
    pub(crate) sack: bool,
}

impl SynOptions {
    /// Reads the options between the fixed header and the data. A malformed one ends the list.
    pub(crate) fn parse(mut options: &[u8]) -> Self {
        let mut out = Self::default();
        loop {
            match options {
                [] | [0, ..] => return out,
                [1, rest @ ..] => options = rest,
                [kind, len, ..] if *len >= 2 && usize::from(*len) <= options.len() => {
                    let (option, rest) = options.split_at(usize::from(*len));
                    match (kind, option) {
                        (2, [_, _, high, low]) => out.mss = Some(u16::from_be_bytes([*high, *low])),
                        // RFC 7323 section 2.3: more than 14 is 14.
                        (3, [_, _, scale]) => out.window_scale = Some((*scale).min(14)),
                        (4, [_, _]) => out.sack = true,
                        _ => {}
                    }
                    options = rest;
                }
                _ => return out,
            }
        }
    }
}

/// What the stack reads of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Datagram<'a> {
    pub(crate) src_port: u16,
    pub(crate) dst_port: u16,
    pub(crate) data: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// Reads a datagram; checks its checksum if there are any on its link.
    pub(crate) fn parse(packet: &Packet<'a>, checksums: bool) -> Result<Self, Drop> {
        let bytes = packet.payload();
        if bytes.len() < 8 {
            return Err(Drop::Malformed);
        }
        let len = usize::from(u16_at(bytes, 4));
        if len < 8 || len > bytes.len() {
            return Err(Drop::Malformed);
        }
        let bytes = &bytes[..len];
        let dst_port = u16_at(bytes, 2);
        if dst_port == 0 {
            return Err(Drop::Malformed);
        }
        // "No checksum" is a choice IPv4 has and IPv6 has not (RFC 8200 section 8.1): a NIC may not check it away.
        let none = u16_at(bytes, 6) == 0;
        if checksums && none && packet.src.is_ipv6() {
            return Err(Drop::Checksum);
        }
        if checksums
            && !none
            && !packet.checked
            && !Sum::default()
                .pseudo(packet.src, packet.dst, UDP, len)
                .bytes(bytes)
                .is_intact()
        {
            return Err(Drop::Checksum);
        }
        Ok(Self {
            src_port: u16_at(bytes, 0),
            dst_port,
            data: &bytes[8..],
        })
    }
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The addresses in a sound IP header.
pub(crate) fn addresses(header: &[u8]) -> (IpAddr, IpAddr) {
    if header[0] >> 4 == 4 {
        (v4_at(header, 12), v4_at(header, 16))
    } else {
        (v6_at(header, 8), v6_at(header, 24))
    }
}

fn v4_at(bytes: &[u8], at: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(u32_at(bytes, at)))
}

pub(crate) fn v6_at(bytes: &[u8], at: usize) -> IpAddr {
    let mut octets = [0; 16];
    octets.copy_from_slice(&bytes[at..at + 16]);
    IpAddr::V6(Ipv6Addr::from(octets))
}

/// Whether `a` is before `b` on the circle of sequence numbers.
pub(crate) fn seq_lt(a: u32, b: u32) -> bool {
    (a.wrapping_sub(b) as i32) < 0
}
