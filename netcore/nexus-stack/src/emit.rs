//! Writing packets that smoltcp does not write: datagrams, ICMP, resets, SYN-ACKs.

use nexus_types::{IpAddr, SocketAddr};

use crate::checksum::Sum;
use crate::frame::{Frame, Pool};
use crate::packet::{ICMP, ICMP6, TCP, UDP};

/// TTL and hop limit where nobody chose one (RFC 1340's recommendation, kept by everyone).
pub(crate) const HOP_LIMIT: u8 = 64;

/// A packet's addresses and hop limit. Both addresses are of one family.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ip {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) hop_limit: u8,
}

impl Ip {
    pub(crate) fn header_len(&self) -> usize {
        if self.src.is_ipv4() { 20 } else { 40 }
    }
}

/// Makes packets of one kind of link.
pub(crate) struct Emit<'a> {
    pub(crate) pool: &'a mut Pool,
    pub(crate) checksums: bool,
}

impl Emit<'_> {
    /// A packet with this payload length; `fill` writes the payload.
    fn packet(&mut self, ip: Ip, protocol: u8, len: usize, fill: impl FnOnce(&mut [u8])) -> Frame {
        let header_len = ip.header_len();
        let mut frame = self.pool.take(header_len + len);
        let bytes = frame.packet_mut();
        match (ip.src, ip.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                bytes[..12].copy_from_slice(&[
                    0x45,
                    0,
                    0,
                    0,
                    0,
                    0,
                    0x40,
                    0,
                    ip.hop_limit,
                    protocol,
                    0,
                    0,
                ]);
                bytes[2..4].copy_from_slice(&((header_len + len) as u16).to_be_bytes());
                bytes[12..16].copy_from_slice(&src.octets());
                bytes[16..20].copy_from_slice(&dst.octets());
                if self.checksums {
                    let sum = Sum::default().bytes(&bytes[..20]).finish();
                    bytes[10..12].copy_from_slice(&sum);
                }
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                bytes[..8].copy_from_slice(&[0x60, 0, 0, 0, 0, 0, protocol, ip.hop_limit]);
                bytes[4..6].copy_from_slice(&(len as u16).to_be_bytes());
                bytes[8..24].copy_from_slice(&src.octets());
                bytes[24..40].copy_from_slice(&dst.octets());
            }
            _ => debug_assert!(false, "both addresses of a packet are of one family"),
        }
        fill(&mut bytes[header_len..]);
        frame
    }

    /// Puts the checksum of a payload at `at` of it.
    fn seal(&self, frame: &mut Frame, ip: Ip, protocol: u8, at: usize, pseudo: bool) {
        let payload = &mut frame.packet_mut()[ip.header_len()..];
        payload[at..at + 2].fill(0);
        if !self.checksums {
            return;
        }
        let mut sum = Sum::default();
        if pseudo {
            sum = sum.pseudo(ip.src, ip.dst, protocol, payload.len());
        }
        let mut sum = sum.bytes(payload).finish();
        if protocol == UDP && sum == [0, 0] {
            // 0 would say "no checksum" (RFC 768).
            sum = [0xff, 0xff];
        }
        payload[at..at + 2].copy_from_slice(&sum);
    }

    pub(crate) fn datagram(
        &mut self,
        src: SocketAddr,
        dst: SocketAddr,
        hop_limit: u8,
        data: &[u8],
    ) -> Frame {
        let ip = Ip {
            src: src.ip(),
            dst: dst.ip(),
            hop_limit,
        };
        let mut frame = self.packet(ip, UDP, 8 + data.len(), |bytes| {
            bytes[..2].copy_from_slice(&src.port().to_be_bytes());
            bytes[2..4].copy_from_slice(&dst.port().to_be_bytes());
            bytes[4..6].copy_from_slice(&((8 + data.len()) as u16).to_be_bytes());
            bytes[8..].copy_from_slice(data);
        });
        self.seal(&mut frame, ip, UDP, 6, true);
        frame
    }

    /// A segment without data. `options` are whole words.
    pub(crate) fn segment(
        &mut self,
        src: SocketAddr,
        dst: SocketAddr,
        segment: Bare,
        options: &[u8],
    ) -> Frame {
        debug_assert!(options.len().is_multiple_of(4));
        let ip = Ip {
            src: src.ip(),
            dst: dst.ip(),
            hop_limit: segment.hop_limit,
        };
        let len = 20 + options.len();
        let mut frame = self.packet(ip, TCP, len, |bytes| {
            bytes[..2].copy_from_slice(&src.port().to_be_bytes());
            bytes[2..4].copy_from_slice(&dst.port().to_be_bytes());
            bytes[4..8].copy_from_slice(&segment.seq.to_be_bytes());
            bytes[8..12].copy_from_slice(&segment.ack.to_be_bytes());
            bytes[12] = ((len / 4) << 4) as u8;
            bytes[13] = segment.flags;
            bytes[14..16].copy_from_slice(&segment.window.to_be_bytes());
            bytes[16..20].fill(0);
            bytes[20..].copy_from_slice(options);
        });
        self.seal(&mut frame, ip, TCP, 16, true);
        frame
    }

    /// An ICMP message of the addresses' family: type, code, the four bytes after the checksum, a body.
    pub(crate) fn icmp(&mut self, ip: Ip, kind: u8, code: u8, word: [u8; 4], body: &[u8]) -> Frame {
        let protocol = if ip.src.is_ipv4() { ICMP } else { ICMP6 };
        let mut frame = self.packet(ip, protocol, 8 + body.len(), |bytes| {
            bytes[..4].copy_from_slice(&[kind, code, 0, 0]);
            bytes[4..8].copy_from_slice(&word);
            bytes[8..].copy_from_slice(body);
        });
        self.seal(&mut frame, ip, protocol, 2, protocol == ICMP6);
        frame
    }
}

/// The fields of a segment without data.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bare {
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    pub(crate) hop_limit: u8,
}
