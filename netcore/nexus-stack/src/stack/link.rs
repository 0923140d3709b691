//! The Ethernet side of the wire: headers, ways and ARP (RFC 826); NDISC is beside it. Nothing of it runs on a
//! medium of bare IP packets.
//!
//! Not supported: proxy ARP, VLAN tags.

use nexus_types::{Instant, IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Stack, contains, is_unicast};
use crate::config::Medium;
use crate::frame::{Frame, HEADROOM};
use crate::key::Path;
use crate::neighbors::{Due, Mac, Way};
use crate::offload::Received;
use crate::packet::{u16_at, u32_at};

const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;
const BROADCAST: Mac = [0xff; 6];

impl Stack {
    /// A frame from an Ethernet.
    pub(super) fn handle_ethernet(
        &mut self,
        now: Instant,
        ours: Mac,
        frame: &[u8],
        received: Received,
    ) {
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
        self.heard_from = src;
        let bytes = &frame[HEADROOM..];
        match (u16_at(frame, 12), bytes.first().map(|byte| byte >> 4)) {
            (ARP, _) => self.handle_arp(now, ours, bytes),
            (IPV4, Some(4)) | (IPV6, Some(6)) => {
                self.handle_packet(now, Path::Wire, bytes, received);
            }
            (IPV4 | IPV6, _) => self.stats.dropped_malformed += 1,
            _ => self.stats.dropped_protocol += 1,
        }
    }

    /// Sends a packet to where its destination is, or to the gateway; or lets it wait for who that is.
    pub(super) fn send_ethernet(&mut self, now: Instant, ours: Mac, frame: Frame) {
        let Some(mut frame) = self.hold(frame) else {
            return;
        };
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
            Way::Ask(evicted) => {
                self.drop_all_unsent(evicted);
                self.ask(ours, hop, None);
            }
            Way::Wait => {}
            Way::Drop(frame, evicted) => {
                self.drop_unsent(frame);
                self.drop_all_unsent(evicted);
            }
        }
    }

    /// Asks again for whom we asked, checks whom we know, or gives up.
    pub(super) fn handle_neighbor_timeout(&mut self, now: Instant) {
        let Medium::Ethernet(ours) = self.config.medium else {
            return;
        };
        while let Some(due) = self.neighbors.pop_due(now) {
            match due {
                Due::Ask(ip) => self.ask(ours, ip, None),
                Due::Check(ip, mac) => self.ask(ours, ip, Some(mac)),
                Due::GiveUp(ip, frames) => {
                    self.drop_all_unsent(frames);
                    self.is_silent(now, ip);
                }
            }
        }
    }

    /// Who takes a packet for `dst`: itself if it is on our link, else the gateway.
    pub(super) fn next_hop(&self, dst: IpAddr) -> Option<IpAddr> {
        let on_link = match (dst, &self.learnt.slaac) {
            (IpAddr::V6(v6), _) if v6.is_unicast_link_local() => true,
            // What our addresses are made of says nothing about it (RFC 5942 section 4).
            (IpAddr::V6(v6), Some(slaac)) => slaac.is_on_link(v6),
            _ => self.config.addresses.iter().any(|own| contains(own, dst)),
        };
        match dst {
            _ if on_link => Some(dst),
            IpAddr::V4(_) => self.config.gateway_v4.map(IpAddr::V4),
            IpAddr::V6(_) => self.config.gateway_v6.map(IpAddr::V6),
        }
    }

    /// Whether packets to `dst` have a way. On a medium of bare IP packets the other end is the way.
    pub(super) fn has_route(&self, dst: IpAddr) -> bool {
        self.config.medium == Medium::Ip || self.next_hop(dst).is_some()
    }

    fn drop_all_unsent(&mut self, frames: Vec<Frame>) {
        frames.into_iter().for_each(|frame| self.drop_unsent(frame));
    }

    fn drop_unsent(&mut self, frame: Frame) {
        self.stats.dropped_neighbor += 1;
        self.sent(&frame);
        self.pool.put(frame);
    }

    /// Asks who has an address: all, or the one who had it.
    fn ask(&mut self, ours: Mac, whom: IpAddr, had: Option<Mac>) {
        let Some(source) = self.source_of_question(whom) else {
            return;
        };
        match (source, whom) {
            (IpAddr::V4(source), IpAddr::V4(whom)) => {
                let dst = had.unwrap_or(BROADCAST);
                self.send_arp(1, (ours, source), ([0; 6], whom), dst);
            }
            (IpAddr::V6(source), IpAddr::V6(whom)) => self.solicit(ours, source, whom, had),
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
        self.send_now(frame);
    }

    /// Asks all for an address: in nobody's name to find out whether it is free, in its own to tell it to all
    /// (RFC 5227 sections 2.1.1 and 2.3).
    pub(super) fn send_arp_to_all(&mut self, from: (Mac, Ipv4Addr), whom: Ipv4Addr) {
        self.send_arp(1, from, ([0; 6], whom), BROADCAST);
    }

    fn handle_arp(&mut self, now: Instant, ours: Mac, bytes: &[u8]) {
        if bytes.len() < 28 || bytes[..6] != [0, 1, 8, 0, 6, 4] {
            self.stats.dropped_malformed += 1;
            return;
        }
        let (sender, target) = (v4_at(bytes, 14), v4_at(bytes, 24));
        let mac = mac_at(bytes, 8);
        let sender_ip = IpAddr::V4(sender);
        let operation = u16_at(bytes, 6);
        if !is_station(mac) || !matches!(operation, 1 | 2) {
            self.stats.dropped_malformed += 1;
            return;
        }
        // Said by another's frame, so not our own word back (RFC 5227 section 2.4).
        if self.owns(sender_ip) {
            return self.claimed(now, sender_ip, mac);
        }
        let target_ip = IpAddr::V4(target);
        if !self.owns(target_ip) {
            self.stats.dropped_address += 1;
            return;
        }
        if sender.is_unspecified() && operation == 1 {
            // They want to know whether it is free; if we do too, it is for neither (RFC 5227 section 2.1.1).
            if self.is_tentative(target_ip) {
                self.claimed(now, target_ip, mac);
            } else if self.may_reply(now, Path::Wire) {
                self.send_arp(2, (ours, target), (mac, sender), mac);
            }
            return;
        }
        let on_link = is_unicast(sender_ip)
            && !self.is_broadcast(sender_ip)
            && self.next_hop(sender_ip) == Some(sender_ip);
        if !on_link || self.is_tentative(target_ip) {
            self.stats.dropped_address += 1;
            return;
        }
        if operation == 2 {
            return self.answered(now, ours, sender_ip, Some(mac), true);
        }
        if !self.may_answer(now, sender_ip, mac) {
            return;
        }
        self.neighbors.heard(now, sender_ip, mac);
        self.send_arp(2, (ours, target), (mac, sender), mac);
    }

    /// Whether a question is answered. Neighbours in use have a share of their own, so that strangers who ask
    /// without end do not leave them in the dark.
    pub(super) fn may_answer(&mut self, now: Instant, who: IpAddr, at: Mac) -> bool {
        (self.neighbors.is_used(who, at) && self.neighbor_replies.take(now))
            || self.may_reply(now, Path::Wire)
    }

    /// A neighbour's answer: what waited for it goes.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        ours: Mac,
        ip: IpAddr,
        mac: Option<Mac>,
        solicited: bool,
    ) {
        let Some((mac, waiting)) = self.neighbors.answered(now, ip, mac, solicited) else {
            return;
        };
        for mut frame in waiting {
            frame.set_link_header(&header(mac, ours, ip));
            self.out.push_back(frame);
        }
    }

    /// Queues a message of ARP or NDISC that has its link header.
    pub(super) fn send_now(&mut self, frame: Frame) {
        if self.out.len() >= self.config.limits.queue_frames as usize {
            self.stats.dropped_queue += 1;
            return self.pool.put(frame);
        }
        self.out.push_back(frame);
    }
}

/// The hardware address of a group (RFC 1112 section 6.4, RFC 2464 section 7).
pub(super) fn group(ip: IpAddr) -> Option<Mac> {
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

pub(super) fn header(dst: Mac, src: Mac, ip: IpAddr) -> [u8; HEADROOM] {
    let mut header = [0; HEADROOM];
    header[..6].copy_from_slice(&dst);
    header[6..12].copy_from_slice(&src);
    let kind = if ip.is_ipv4() { IPV4 } else { IPV6 };
    header[12..].copy_from_slice(&kind.to_be_bytes());
    header
}

/// The link header of a packet to all.
pub(super) fn broadcast_header(ours: Mac) -> [u8; HEADROOM] {
    header(BROADCAST, ours, IpAddr::V4(Ipv4Addr::BROADCAST))
}

/// Whether one station can have this hardware address.
pub(super) fn is_station(mac: Mac) -> bool {
    mac[0] & 1 == 0 && mac != [0; 6]
}

pub(super) fn mac_at(bytes: &[u8], at: usize) -> Mac {
    let mut mac = [0; 6];
    mac.copy_from_slice(&bytes[at..at + 6]);
    mac
}

fn v4_at(bytes: &[u8], at: usize) -> Ipv4Addr {
    u32_at(bytes, at).into()
}

pub(super) fn v6_at(bytes: &[u8], at: usize) -> Ipv6Addr {
    let mut octets = [0; 16];
    octets.copy_from_slice(&bytes[at..at + 16]);
    octets.into()
}
