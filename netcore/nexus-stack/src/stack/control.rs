//! ICMP: echoes answered, errors told to whom they concern, errors sent for what nobody receives.

use nexus_types::{Instant, IpAddr, SocketAddr, Transport};
use smoltcp::socket::tcp::State;

use super::gateway::Refusal;
use super::{Place, Stack, is_unicast};
use crate::checksum::Sum;
use crate::emit::{HOP_LIMIT, Ip};
use crate::error::{TcpError, UdpError};
use crate::key::{FlowKey, Path};
use crate::packet::{ICMP6, Packet, TCP, UDP, u16_at, u32_at};

/// Most bytes of a packet that an ICMP error quotes: the error then fits the smallest MTU
/// (RFC 1812 section 4.3.2.3, RFC 4443 section 2.4 c).
const QUOTE_V4: usize = 576 - 28;
const QUOTE_V6: usize = 1_280 - 48;

impl Stack {
    pub(super) fn handle_icmp(&mut self, now: Instant, path: Path, packet: &Packet<'_>) {
        let bytes = packet.payload();
        if bytes.len() < 8 {
            self.stats.dropped_malformed += 1;
            return;
        }
        if self.checksums && path == Path::Wire {
            let sum = match packet.protocol {
                ICMP6 => Sum::default().pseudo(packet.src, packet.dst, ICMP6, bytes.len()),
                _ => Sum::default(),
            };
            if !sum.bytes(bytes).is_intact() {
                self.stats.dropped_checksum += 1;
                return;
            }
        }
        let v4 = packet.src.is_ipv4();
        if !v4 && path == Path::Wire && self.handle_ndisc(now, packet) {
            return;
        }
        if !is_unicast(packet.dst) {
            // What came for neighbour discovery's groups and is none of it.
            self.stats.dropped_address += 1;
            return;
        }
        match (v4, bytes[0], bytes[1]) {
            (true, 8, 0) | (false, 128, 0) => self.answer_echo(now, path, packet),
            // Destination unreachable. A packet that was too big (v4 code 4) is none of these.
            (true, 3, code) if code != 4 => {
                self.handle_unreachable(path, matches!(code, 2 | 3), &bytes[8..]);
            }
            (false, 1, code) => self.handle_unreachable(path, code == 4, &bytes[8..]),
            _ => self.stats.dropped_protocol += 1,
        }
    }

    fn answer_echo(&mut self, now: Instant, path: Path, packet: &Packet<'_>) {
        // A gateway answers for itself only: it does not know who else is there.
        let ours = path != Path::Wire || self.owns(packet.dst);
        if !ours || !self.may_reply(now, path) {
            return;
        }
        let bytes = packet.payload();
        let ip = Ip {
            src: packet.dst,
            dst: packet.src,
            hop_limit: HOP_LIMIT,
        };
        let kind = if ip.src.is_ipv4() { 0 } else { 129 };
        let word = [bytes[4], bytes[5], bytes[6], bytes[7]];
        let frame = self.emit(path).icmp(ip, kind, 0, word, &bytes[8..]);
        self.send(path, frame);
    }

    /// An error about a packet that somebody says we sent: it counts only if we did.
    fn handle_unreachable(&mut self, path: Path, refused: bool, quote: &[u8]) {
        let Some(quoted) = Quoted::parse(quote) else {
            self.stats.dropped_malformed += 1;
            return;
        };
        let ours = match quoted.transport {
            Transport::Udp => {
                let error = match refused {
                    true => UdpError::Refused,
                    false => UdpError::Unreachable,
                };
                self.udp_error(path, quoted.local, quoted.remote, error)
            }
            Transport::Tcp => self.tcp_error(path, &quoted, refused),
        };
        self.stats.dropped_icmp += u64::from(!ours);
    }

    /// Ends an attempt to connect. Connections that stand are not ended: such an error is either
    /// forged or passes (RFC 5927 section 5.2).
    fn tcp_error(&mut self, path: Path, quoted: &Quoted, refused: bool) -> bool {
        let key = FlowKey::new(path, quoted.local, quoted.remote);
        let Some(Place::Flow(index)) = self.places.get(&key) else {
            return false;
        };
        let Some(flow) = self.flows.at_mut(index) else {
            return false;
        };
        if flow.socket.state() != State::SynSent || flow.snd_max.wrapping_sub(1) != quoted.seq {
            return false;
        }
        flow.error = Some(match refused {
            true => TcpError::Refused,
            false => TcpError::Unreachable,
        });
        self.end_flow(index);
        true
    }

    /// Nobody receives at this port.
    pub(super) fn answer_unreachable_port(
        &mut self,
        now: Instant,
        path: Path,
        packet: &Packet<'_>,
    ) {
        let quotable = is_unicast(packet.dst) && is_unicast(packet.src);
        if !quotable || !self.may_reply(now, path) {
            return;
        }
        let most = if packet.src.is_ipv4() {
            QUOTE_V4
        } else {
            QUOTE_V6
        };
        let quote = &packet.bytes[..packet.bytes.len().min(most)];
        let ip = Ip {
            src: packet.dst,
            dst: packet.src,
            hop_limit: HOP_LIMIT,
        };
        let (kind, code) = unreachable(ip.src.is_ipv4(), Refusal::PortUnreachable);
        let frame = self.emit(path).icmp(ip, kind, code, [0; 4], quote);
        self.send(path, frame);
    }

    /// Says that a packet did not arrive, of which only addresses (and a sequence number) are left.
    pub(super) fn send_icmp_refusal(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        transport: Transport,
        seq: u32,
        how: Refusal,
    ) {
        if how == Refusal::Silent {
            return;
        }
        let v4 = from.is_ipv4();
        let (kind, code) = unreachable(v4, how);
        let mut quote = [0; 48];
        let header_len = if v4 { 20 } else { 40 };
        let protocol = match transport {
            Transport::Tcp => TCP,
            Transport::Udp => UDP,
        };
        match (from.ip(), to.ip()) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                quote[0] = 0x45;
                quote[3] = 28;
                quote[8..10].copy_from_slice(&[HOP_LIMIT, protocol]);
                quote[12..16].copy_from_slice(&src.octets());
                quote[16..20].copy_from_slice(&dst.octets());
                let sum = Sum::default().bytes(&quote[..20]).finish();
                quote[10..12].copy_from_slice(&sum);
            }
            (IpAddr::V6(src), IpAddr::V6(dst)) => {
                quote[0] = 0x60;
                quote[5] = 8;
                quote[6..8].copy_from_slice(&[protocol, HOP_LIMIT]);
                quote[8..24].copy_from_slice(&src.octets());
                quote[24..40].copy_from_slice(&dst.octets());
            }
            _ => return,
        }
        let payload = &mut quote[header_len..header_len + 8];
        payload[..2].copy_from_slice(&from.port().to_be_bytes());
        payload[2..4].copy_from_slice(&to.port().to_be_bytes());
        match transport {
            Transport::Tcp => payload[4..8].copy_from_slice(&seq.to_be_bytes()),
            Transport::Udp => payload[5] = 8,
        }
        // From us, if we have an address of the family: the router on the way, not the far end.
        let router = self
            .config
            .addresses
            .iter()
            .map(|own| own.address())
            .find(|own| own.is_ipv4() == v4);
        let ip = Ip {
            src: router.unwrap_or(to.ip()),
            dst: from.ip(),
            hop_limit: HOP_LIMIT,
        };
        let frame = self
            .emit(Path::Wire)
            .icmp(ip, kind, code, [0; 4], &quote[..header_len + 8]);
        self.send(Path::Wire, frame);
    }
}

/// Type and code of an ICMP error.
const fn unreachable(v4: bool, how: Refusal) -> (u8, u8) {
    match (v4, how) {
        (true, Refusal::HostUnreachable) => (3, 1),
        (true, Refusal::Prohibited) => (3, 13),
        (true, _) => (3, 3),
        (false, Refusal::HostUnreachable) => (1, 3),
        (false, Refusal::Prohibited) => (1, 1),
        (false, _) => (1, 4),
    }
}

/// The packet of ours that an ICMP error quotes: it is cut off, and a router may have changed its
/// lengths and checksums; only addresses, ports and the sequence number are read.
struct Quoted {
    transport: Transport,
    local: SocketAddr,
    remote: SocketAddr,
    /// Of TCP.
    seq: u32,
}

impl Quoted {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let (src, dst, protocol, header_len): (IpAddr, IpAddr, u8, usize) =
            match bytes.first()? >> 4 {
                4 if bytes.len() >= 20 => {
                    let header_len = usize::from(bytes[0] & 0xf) * 4;
                    // Not the first fragment: no ports.
                    if header_len < 20 || u16_at(bytes, 6) & 0x1fff != 0 {
                        return None;
                    }
                    let address = |at| IpAddr::V4(u32_at(bytes, at).into());
                    (address(12), address(16), bytes[9], header_len)
                }
                // We send no extension headers, so a packet of ours has none.
                6 if bytes.len() >= 40 => {
                    let address = |at: usize| {
                        let mut octets = [0; 16];
                        octets.copy_from_slice(&bytes[at..at + 16]);
                        IpAddr::V6(octets.into())
                    };
                    (address(8), address(24), bytes[6], 40)
                }
                _ => return None,
            };
        let payload = bytes.get(header_len..header_len + 8)?;
        let transport = match protocol {
            TCP => Transport::Tcp,
            UDP => Transport::Udp,
            _ => return None,
        };
        Some(Self {
            transport,
            local: SocketAddr::new(src, u16_at(payload, 0)),
            remote: SocketAddr::new(dst, u16_at(payload, 2)),
            seq: u32_at(payload, 4),
        })
    }
}
