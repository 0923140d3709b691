//! What routers tell us (RFC 4861 section 6.3): asked for, checked, and done.

use nexus_types::{Instant, InterfaceAddress, IpAddr, Ipv6Addr, Seed};

use super::Stack;
use super::ndisc::{SOURCE_ADDRESS, address_of, address_option};
use crate::addressing::AddressEvent;
use crate::addressing::slaac::advert::Advert;
use crate::addressing::slaac::{Act, Slaac};
use crate::config::Medium;
use crate::emit::Ip;
use crate::packet::Packet;

const ROUTER_SOLICITATION: u8 = 133;
pub(super) const ROUTER_ADVERTISEMENT: u8 = 134;

const ALL_ROUTERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);

/// Of every address we make; what is on the link is another matter (RFC 5942 section 4).
const PREFIX: u8 = 64;

impl Stack {
    pub(super) fn begin_slaac(&mut self, now: Instant, seed: &Seed) {
        self.learnt.slaac = Some(Slaac::new(now, seed));
        self.run_slaac(now);
    }

    /// Does what is due.
    pub(super) fn run_slaac(&mut self, now: Instant) {
        while let Some(slaac) = &mut self.learnt.slaac
            && let Some(act) = slaac.pop_due(now)
        {
            match act {
                Act::Solicit => self.solicit_routers(),
                Act::Use(ip) => {
                    if let Some(address) = InterfaceAddress::new(ip.into(), PREFIX) {
                        self.config.addresses.push(address);
                        self.begin_address(now, ip.into());
                    }
                }
                Act::Lose(ip) => {
                    let own = self.interface_address(ip.into());
                    self.drop_address(ip.into());
                    if let Some(own) = own {
                        self.tell(AddressEvent::Lost(own));
                    }
                }
                Act::Changed => {
                    self.config.gateway_v6 = slaac.gateway();
                    self.use_resolvers();
                    self.tell(AddressEvent::Changed);
                }
            }
        }
    }

    /// Asks for routers: in our name if it is sure that it is ours (RFC 4861 section 6.3.7).
    fn solicit_routers(&mut self) {
        let (Medium::Ethernet(ours), Some(slaac)) = (self.config.medium, &self.learnt.slaac) else {
            return;
        };
        let own = slaac.link_local();
        let is_sure = self.owns(own.into()) && !self.is_tentative(own.into());
        let (src, mac) = match is_sure {
            true => (own, Some(ours)),
            false => (Ipv6Addr::UNSPECIFIED, None),
        };
        let ip = Ip {
            src: src.into(),
            dst: ALL_ROUTERS.into(),
            hop_limit: 255,
        };
        let option = mac.map(|mac| address_option(SOURCE_ADDRESS, mac));
        let body = option.as_ref().map_or(&[][..], |option| option);
        self.send_discovery(ours, ip, None, ROUTER_SOLICITATION, [0; 4], body);
    }

    /// An advertisement with the hop limit of one from this link.
    pub(super) fn handle_advert(&mut self, now: Instant, packet: &Packet<'_>) {
        let (Some(slaac), IpAddr::V6(from)) = (&mut self.learnt.slaac, packet.src) else {
            self.stats.dropped_protocol += 1;
            return;
        };
        let Some(advert) = Advert::parse(packet.payload()) else {
            self.stats.dropped_malformed += 1;
            return;
        };
        // RFC 4861 section 6.1.2; and not in our own name.
        if !from.is_unicast_link_local() || from == slaac.link_local() {
            self.stats.dropped_malformed += 1;
            return;
        }
        slaac.handle(now, from, &advert);
        let mac = address_of(advert.options, SOURCE_ADDRESS);
        if let Some(mac) = mac.filter(|_| slaac.is_router(from)) {
            self.neighbors.heard(now, packet.src, mac);
        }
        self.run_slaac(now);
    }

    /// A neighbour does not answer.
    pub(super) fn is_silent(&mut self, now: Instant, ip: IpAddr) {
        if let (Some(slaac), IpAddr::V6(ip)) = (&mut self.learnt.slaac, ip) {
            slaac.is_silent(now, ip);
            self.run_slaac(now);
        }
    }
}
