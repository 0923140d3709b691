//! The Ethernet side of the wire: headers, ARP and NDISC. Nothing of it runs on a medium of bare IP packets.
//!
//! Not supported: proxy ARP, duplicate address detection, router discovery (addresses and gateways are
//! configured), VLAN tags.

use nexus_types::{Instant, IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Stack, contains, is_unicast};
use crate::config::Medium;
use crate::emit::{Emit, Ip};
use crate::frame::{Frame, HEADROOM};
use crate::key::Path;
use crate::neighbors::{Mac, Way};
use crate::packet::{Packet, u16_at, u32_at};

const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;
const BROADCAST: Mac = [0xff; 6];

const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

impl Stack {
    /// A frame from an Ethernet.
    pub(super) fn handle_ethernet(&mut self, now: Instant, ours: Mac, frame: &[u8]) {
        if frame.len() < HEADROOM {
            self.stats.dropped_malformed += 1;
            return;
        }
        let (dst, src) = (mac_at(frame, 0), mac_at(frame, 6));
        let for_us = dst == ours || dst[0] & 1 == 1;
        if !for_us || src[0] & 1 == 1 || src == ours {
            self.stats.dropped_address += 1;
            return;
        }
        let bytes = &frame[HEADROOM..];
        match (u16_at(frame, 12), bytes.first().map(|byte| byte >> 4)) {
            (ARP, _) => self.handle_arp(now, ours, bytes),
            (IPV4, Some(4)) | (IPV6, Some(6)) => self.handle_packet(now, Path::Wire, bytes),
            (IPV4 | IPV6, _) => self.stats.dropped_malformed += 1,
            _ => self.stats.dropped_protocol += 1,
        }
    }

    /// Sends a packet to where its destination is, or to the gateway; or lets it wait for who that is.
    pub(super) fn send_ethernet(&mut self, now: Instant, ours: Mac, mut frame: Frame) {
        let bytes = frame.packet();
        let dst = match bytes[0] >> 4 {
            4 => IpAddr::V4(u32_at(bytes, 16).into()),
            _ => IpAddr::V6(v6_at(bytes, 24)),
        };
        if let Some(mac) = group(dst) {
            frame.set_link_header(&header(mac, ours, dst));
            return self.out.push_back(frame);
        }
        let Some(hop) = self.next_hop(dst) else {
            return self.drop_unsent(frame);
        };
        match self.neighbors.way(now, hop, frame) {
            Way::To(mac, mut frame) => {
                frame.set_link_header(&header(mac, ours, dst));
                self.out.push_back(frame);
            }
            Way::Ask => self.ask(ours, hop),
            Way::Wait => {}
            Way::Drop(frame) => self.drop_unsent(frame),
        }
    }

    /// Asks again for whom we asked, or gives up.
    pub(super) fn handle_neighbor_timeout(&mut self, now: Instant) {
        let Medium::Ethernet(ours) = self.config.medium else {
            return;
        };
        while let Some(due) = self.neighbors.pop_due(now) {
            match due {
                Ok(ip) => self.ask(ours, ip),
                Err(frames) => frames.into_iter().for_each(|frame| self.drop_unsent(frame)),
            }
        }
    }

    /// Who takes a packet for `dst`: itself if it is on our link, else the gateway.
    fn next_hop(&self, dst: IpAddr) -> Option<IpAddr> {
        let on_link = self.config.addresses.iter().any(|own| contains(own, dst));
        match dst {
            _ if on_link => Some(dst),
            IpAddr::V6(v6) if v6.is_unicast_link_local() => Some(dst),
            IpAddr::V4(_) => self.config.gateway_v4.map(IpAddr::V4),
            IpAddr::V6(_) => self.config.gateway_v6.map(IpAddr::V6),
        }
    }

    /// Whether packets to `dst` have a way. On a medium of bare IP packets the other end is the way.
    pub(super) fn has_route(&self, dst: IpAddr) -> bool {
        self.config.medium == Medium::Ip || self.next_hop(dst).is_some()
    }

    fn drop_unsent(&mut self, frame: Frame) {
        self.stats.dropped_neighbor += 1;
        self.sent(&frame);
        self.pool.put(frame);
    }

    fn ask(&mut self, ours: Mac, whom: IpAddr) {
        let Some(source) = self.source_for(Path::Wire, whom) else {
            return;
        };
        match (source, whom) {
            (IpAddr::V4(source), IpAddr::V4(whom)) => {
                self.send_arp(1, (ours, source), ([0; 6], whom), BROADCAST);
            }
            (IpAddr::V6(_), IpAddr::V6(whom)) => {
                let group = solicited_node(whom);
                let ip = Ip {
                    src: source,
                    dst: IpAddr::V6(group),
                    hop_limit: 255,
                };
                self.send_ndisc(ours, ip, SOLICITATION, [0; 4], whom, 1);
            }
            _ => {}
        }
    }

    /// RFC 826. `operation`: 1 asks, 2 answers.
    fn send_arp(&mut self, operation: u8, from: (Mac, Ipv4Addr), to: (Mac, Ipv4Addr), dst: Mac) {
        let mut frame = self.pool.take(28);
        let bytes = frame.packet_mut();
        bytes[..8].copy_from_slice(&[0, 1, 8, 0, 6, 4, 0, operation]);
        bytes[8..14].copy_from_slice(&from.0);
        bytes[14..18].copy_from_slice(&from.1.octets());
        bytes[18..24].copy_from_slice(&to.0);
        bytes[24..28].copy_from_slice(&to.1.octets());
        let mut header = header(dst, from.0, IpAddr::V4(to.1));
        header[12..].copy_from_slice(&ARP.to_be_bytes());
        frame.set_link_header(&header);
        self.out.push_back(frame);
    }

    /// RFC 4861 sections 4.3 and 4.4, with our hardware address as the option of that kind.
    fn send_ndisc(
        &mut self,
        ours: Mac,
        ip: Ip,
        kind: u8,
        flags: [u8; 4],
        target: Ipv6Addr,
        option: u8,
    ) {
        let mut body = [0; 24];
        body[..16].copy_from_slice(&target.octets());
        body[16..18].copy_from_slice(&[option, 1]);
        body[18..].copy_from_slice(&ours);
        let mut frame = Emit {
            pool: &mut self.pool,
            // Not checked by us on a link without checksums, and small.
            checksums: true,
        }
        .icmp(ip, kind, 0, flags, &body);
        match group(ip.dst) {
            Some(mac) => {
                frame.set_link_header(&header(mac, ours, ip.dst));
                self.out.push_back(frame);
            }
            None => self.send(Path::Wire, frame),
        }
    }

    fn handle_arp(&mut self, now: Instant, ours: Mac, bytes: &[u8]) {
        if bytes.len() < 28 || bytes[..6] != [0, 1, 8, 0, 6, 4] {
            self.stats.dropped_malformed += 1;
            return;
        }
        let (sender, target) = (v4_at(bytes, 14), v4_at(bytes, 24));
        let mac = mac_at(bytes, 8);
        let sender_ip = IpAddr::V4(sender);
        let sound = mac[0] & 1 == 0
            && is_unicast(sender_ip)
            && !self.owns(sender_ip)
            && !self.is_broadcast(sender_ip)
            && self
                .config
                .addresses
                .iter()
                .any(|own| contains(own, sender_ip));
        if !sound || !self.owns(IpAddr::V4(target)) {
            self.stats.dropped_address += 1;
            return;
        }
        match u16_at(bytes, 6) {
            1 => {
                if !self.may_reply(now, Path::Wire) {
                    return;
                }
                self.learn(now, ours, sender_ip, mac, false);
                self.send_arp(2, (ours, target), (mac, sender), mac);
            }
            2 => self.learn(now, ours, sender_ip, mac, true),
            _ => self.stats.dropped_malformed += 1,
        }
    }

    /// Solicitations and advertisements; false if it is neither, or on a medium that has none.
    pub(super) fn handle_ndisc(&mut self, now: Instant, packet: &Packet<'_>) -> bool {
        let Medium::Ethernet(ours) = self.config.medium else {
            return false;
        };
        let bytes = packet.payload();
        let kind = bytes[0];
        if !matches!(kind, SOLICITATION | ADVERTISEMENT) {
            return false;
        }
        // A router would have lowered the hop limit: it comes from this link (RFC 4861 section 7.1).
        if packet.hop_limit != 255 || bytes[1] != 0 || bytes.len() < 24 {
            self.stats.dropped_malformed += 1;
            return true;
        }
        let target = v6_at(bytes, 8);
        let mac = link_address(&bytes[24..], if kind == SOLICITATION { 1 } else { 2 });
        if kind == ADVERTISEMENT {
            if let Some(mac) = mac
                && is_unicast(IpAddr::V6(target))
                && !self.owns(IpAddr::V6(target))
            {
                self.learn(now, ours, IpAddr::V6(target), mac, true);
            }
            return true;
        }
        if !self.owns(IpAddr::V6(target)) || !self.may_reply(now, Path::Wire) {
            return true;
        }
        let asks_for_itself = packet.src.is_unspecified();
        if let Some(mac) = mac
            && !asks_for_itself
        {
            self.learn(now, ours, packet.src, mac, false);
        }
        // Override; and solicited, unless somebody checks whether the address is free.
        let flags = if asks_for_itself { 0x20 } else { 0x60 };
        let dst = match asks_for_itself {
            true => IpAddr::V6(ALL_NODES),
            false => packet.src,
        };
        let ip = Ip {
            src: IpAddr::V6(target),
            dst,
            hop_limit: 255,
        };
        self.send_ndisc(ours, ip, ADVERTISEMENT, [flags, 0, 0, 0], target, 2);
        true
    }

    fn learn(&mut self, now: Instant, ours: Mac, ip: IpAddr, mac: Mac, asked: bool) {
        for mut frame in self.neighbors.learn(now, ip, mac, asked) {
            frame.set_link_header(&header(mac, ours, ip));
            self.out.push_back(frame);
        }
    }

    /// Multicast that neighbour discovery needs: nothing else of it is taken in.
    pub(super) fn is_discovery(&self, packet: &Packet<'_>) -> bool {
        let IpAddr::V6(dst) = packet.dst else {
            return false;
        };
        matches!(self.config.medium, Medium::Ethernet(_))
            && packet.protocol == crate::packet::ICMP6
            && packet.hop_limit == 255
            && !self.owns(packet.src)
            && !packet.src.is_multicast()
            && !packet.src.is_loopback()
            && (dst == ALL_NODES
                || self.config.addresses.iter().any(|own| match own.address() {
                    IpAddr::V6(own) => solicited_node(own) == dst,
                    IpAddr::V4(_) => false,
                }))
    }
}

/// Whether a packet is a solicitation or an advertisement of any kind (RFC 4861 section 4).
pub(super) fn is_discovery_message(packet: &Packet<'_>) -> bool {
    packet.protocol == crate::packet::ICMP6
        && packet
            .payload()
            .first()
            .is_some_and(|kind| (133..=137).contains(kind))
}

const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// RFC 4291 section 2.7.1.
fn solicited_node(ip: Ipv6Addr) -> Ipv6Addr {
    let low = ip.to_bits() & 0xff_ffff;
    Ipv6Addr::from_bits(0xff02_0000_0000_0000_0000_0001_ff00_0000 | low)
}

/// The hardware address of a group (RFC 1112 section 6.4, RFC 2464 section 7).
fn group(ip: IpAddr) -> Option<Mac> {
    match ip {
        IpAddr::V4(v4) if v4.is_multicast() => {
            let [_, a, b, c] = v4.octets();
            Some([1, 0, 0x5e, a & 0x7f, b, c])
        }
        IpAddr::V6(v6) if v6.is_multicast() => {
            let [.., a, b, c, d] = v6.octets();
            Some([0x33, 0x33, a, b, c, d])
        }
        _ => None,
    }
}

fn header(dst: Mac, src: Mac, ip: IpAddr) -> [u8; HEADROOM] {
    let mut header = [0; HEADROOM];
    header[..6].copy_from_slice(&dst);
    header[6..12].copy_from_slice(&src);
    let kind = if ip.is_ipv4() { IPV4 } else { IPV6 };
    header[12..].copy_from_slice(&kind.to_be_bytes());
    header
}

/// The link-layer address among NDISC options; `kind` is 1 for the source's, 2 for the target's.
fn link_address(mut options: &[u8], kind: u8) -> Option<Mac> {
    while let [this, words, ..] = options {
        let len = usize::from(*words) * 8;
        // A length of 0 would go on for ever (RFC 4861 section 4.6).
        if len == 0 || len > options.len() {
            return None;
        }
        if *this == kind && len == 8 {
            return Some(mac_at(options, 2)).filter(|mac| mac[0] & 1 == 0);
        }
        options = &options[len..];
    }
    None
}

fn mac_at(bytes: &[u8], at: usize) -> Mac {
    let mut mac = [0; 6];
    mac.copy_from_slice(&bytes[at..at + 6]);
    mac
}

fn v4_at(bytes: &[u8], at: usize) -> Ipv4Addr {
    u32_at(bytes, at).into()
}

fn v6_at(bytes: &[u8], at: usize) -> Ipv6Addr {
    let mut octets = [0; 16];
    octets.copy_from_slice(&bytes[at..at + 16]);
    octets.into()
}
