//! Neighbour discovery for IPv6 (RFC 4861): solicitations and advertisements, checked before they count. What
//! routers say is in `routers.rs`.

use nexus_types::{Instant, IpAddr, Ipv6Addr};

use super::link::{group, header, is_station, mac_at, v6_at};
use super::routers::ROUTER_ADVERTISEMENT;
use super::{Stack, is_unicast};
use crate::config::Medium;
use crate::emit::{Emit, Ip};
use crate::key::Path;
use crate::neighbors::Mac;
use crate::options::Options;
use crate::packet::Packet;

const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;

pub(super) const SOURCE_ADDRESS: u8 = 1;
const TARGET_ADDRESS: u8 = 2;

/// Flags of an advertisement.
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;

impl Stack {
    /// Asks who has an address: all, or the one who had it.
    pub(super) fn solicit(
        &mut self,
        ours: Mac,
        source: Ipv6Addr,
        whom: Ipv6Addr,
        had: Option<Mac>,
    ) {
        let ip = Ip {
            src: IpAddr::V6(source),
            dst: IpAddr::V6(if had.is_some() {
                whom
            } else {
                solicited_node(whom)
            }),
            hop_limit: 255,
        };
        let body = target_and_address(whom, SOURCE_ADDRESS, ours);
        self.send_discovery(ours, ip, had, SOLICITATION, [0; 4], &body);
    }

    /// Asks whether somebody has an address, in nobody's name (RFC 4862 section 5.4.2).
    pub(super) fn send_probe(&mut self, ours: Mac, target: Ipv6Addr) {
        let ip = Ip {
            src: IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            dst: IpAddr::V6(solicited_node(target)),
            hop_limit: 255,
        };
        self.send_discovery(ours, ip, None, SOLICITATION, [0; 4], &target.octets());
    }

    /// Tells all that an address is ours (RFC 4861 section 7.2.6).
    pub(super) fn advertise_to_all(&mut self, ours: Mac, target: Ipv6Addr) {
        let ip = Ip {
            src: IpAddr::V6(target),
            dst: IpAddr::V6(ALL_NODES),
            hop_limit: 255,
        };
        let body = target_and_address(target, TARGET_ADDRESS, ours);
        self.send_discovery(ours, ip, None, ADVERTISEMENT, [OVERRIDE, 0, 0, 0], &body);
    }

    /// Sends a message of RFC 4861 to a group, or to a neighbour at its hardware address.
    pub(super) fn send_discovery(
        &mut self,
        ours: Mac,
        ip: Ip,
        to: Option<Mac>,
        kind: u8,
        word: [u8; 4],
        body: &[u8],
    ) {
        let mut frame = Emit {
            pool: &mut self.pool,
            // Not checked by us on a link without checksums, and small.
            checksums: true,
        }
        .icmp(ip, kind, 0, word, body);
        match to.or_else(|| group(ip.dst)) {
            Some(mac) => {
                frame.set_link_header(&header(mac, ours, ip.dst));
                self.send_now(frame);
            }
            None => self.send(Path::Wire, frame),
        }
    }

    /// Solicitations and advertisements; false if it is none, or on a medium that has none.
    pub(super) fn handle_ndisc(&mut self, now: Instant, packet: &Packet<'_>) -> bool {
        let Medium::Ethernet(ours) = self.config.medium else {
            return false;
        };
        let bytes = packet.payload();
        let kind = bytes[0];
        if !matches!(kind, SOLICITATION | ADVERTISEMENT | ROUTER_ADVERTISEMENT) {
            return false;
        }
        // A router would have lowered the hop limit: it comes from this link (RFC 4861 section 7.1). No message
        // needs an extension header, and one with a fragment header is to be ignored (RFC 6980 section 5).
        if packet.hop_limit != 255 || !packet.is_plain() {
            self.stats.dropped_malformed += 1;
            return true;
        }
        if kind == ROUTER_ADVERTISEMENT {
            self.handle_advert(now, packet);
            return true;
        }
        if bytes[1] != 0 || bytes.len() < 24 {
            self.stats.dropped_malformed += 1;
            return true;
        }
        let target = v6_at(bytes, 8);
        let Some(options) = Options::parse(&bytes[24..]) else {
            self.stats.dropped_malformed += 1;
            return true;
        };
        if kind == SOLICITATION {
            self.handle_solicitation(now, ours, packet, target, options);
        } else {
            self.handle_advertisement(now, ours, packet, target, options);
        }
        true
    }

    fn handle_advertisement(
        &mut self,
        now: Instant,
        ours: Mac,
        packet: &Packet<'_>,
        target: Ipv6Addr,
        options: Options<'_>,
    ) {
        let solicited = packet.payload()[4] & SOLICITED != 0;
        // Nobody is asked by all (RFC 4861 section 7.1.2).
        if solicited && packet.dst.is_multicast() || target.is_multicast() {
            self.stats.dropped_malformed += 1;
            return;
        }
        let target = IpAddr::V6(target);
        let mac = address_of(options, TARGET_ADDRESS);
        if self.owns(target) {
            return self.claimed(now, target, mac.unwrap_or(self.heard_from));
        }
        if !is_unicast(target) {
            self.stats.dropped_address += 1;
            return;
        }
        self.answered(now, ours, target, mac, solicited);
    }

    fn handle_solicitation(
        &mut self,
        now: Instant,
        ours: Mac,
        packet: &Packet<'_>,
        target: Ipv6Addr,
        options: Options<'_>,
    ) {
        let mac = address_of(options, SOURCE_ADDRESS);
        let target_ip = IpAddr::V6(target);
        let from_nobody = packet.src.is_unspecified();
        // While we do not know whether it is ours, only who asks the same counts (RFC 4862 section 5.4.3).
        let tentative = self.is_tentative(target_ip);
        if !self.owns(target_ip) || self.owns(packet.src) || tentative && !from_nobody {
            self.stats.dropped_address += 1;
            return;
        }
        let (mut flags, mut dst, mut to) = (OVERRIDE, IpAddr::V6(ALL_NODES), None);
        if from_nobody {
            // Somebody checks whether the address is free, without saying who (RFC 4861 section 7.1.1).
            if mac.is_some() || packet.dst != IpAddr::V6(solicited_node(target)) {
                self.stats.dropped_malformed += 1;
                return;
            }
            if tentative {
                return self.claimed(now, target_ip, self.heard_from);
            }
            if !self.may_reply(now, Path::Wire) {
                return;
            }
        } else {
            // From this link, or there would be no answering it there.
            if self.next_hop(packet.src) != Some(packet.src) {
                self.stats.dropped_address += 1;
                return;
            }
            if !self.may_answer(now, packet.src, mac.unwrap_or_default()) {
                return;
            }
            if let Some(mac) = mac {
                self.neighbors.heard(now, packet.src, mac);
            }
            (flags, dst, to) = (OVERRIDE | SOLICITED, packet.src, mac);
        }
        let ip = Ip {
            src: IpAddr::V6(target),
            dst,
            hop_limit: 255,
        };
        let body = target_and_address(target, TARGET_ADDRESS, ours);
        self.send_discovery(ours, ip, to, ADVERTISEMENT, [flags, 0, 0, 0], &body);
    }

    /// Multicast that neighbour discovery needs: nothing else of it is taken in.
    pub(super) fn is_discovery(&self, packet: &Packet<'_>) -> bool {
        let IpAddr::V6(dst) = packet.dst else {
            return false;
        };
        matches!(self.config.medium, Medium::Ethernet(_))
            && packet.protocol == crate::packet::ICMP6
            && packet.hop_limit == 255
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

/// A target and our hardware address as the option of that kind (RFC 4861 sections 4.3 and 4.4).
fn target_and_address(target: Ipv6Addr, option: u8, ours: Mac) -> [u8; 24] {
    let mut body = [0; 24];
    body[..16].copy_from_slice(&target.octets());
    body[16..].copy_from_slice(&address_option(option, ours));
    body
}

/// A hardware address as the option of that kind (RFC 4861 section 4.6.1).
pub(super) fn address_option(kind: u8, mac: Mac) -> [u8; 8] {
    let [a, b, c, d, e, f] = mac;
    [kind, 1, a, b, c, d, e, f]
}

/// The hardware address of that kind.
pub(super) fn address_of(options: Options<'_>, kind: u8) -> Option<Mac> {
    options
        .iter()
        .find(|(this, option)| *this == kind && option.len() == 8)
        .map(|(_, option)| mac_at(option, 2))
        .filter(|mac| is_station(*mac))
}
