//! What the link tells us: addresses, gateways and DNS servers, and what follows when they come and go.

use nexus_types::{Instant, InterfaceAddress, IpAddr, Ipv4Addr, Seed, SocketAddr, Transport};

use super::link::{broadcast_header, header};
use super::lookup::RESOLVER;
use super::{Stack, is_unicast};
use crate::addressing::dhcp::{Act, CLIENT_PORT, Dhcp, Lease, OfferFault, SERVER_PORT};
use crate::addressing::slaac::Slaac;
use crate::addressing::{AddressEvent, AddressingV4, AddressingV6};
use crate::config::{Medium, ResolverConfig};
use crate::emit::HOP_LIMIT;
use crate::key::Path;
use crate::neighbors::Mac;
use crate::packet::{Packet, UDP};

const DNS_PORT: u16 = 53;

/// See the module.
#[derive(Default)]
pub(super) struct Learnt {
    dhcp: Option<Dhcp>,
    leased: Option<InterfaceAddress>,
    /// Who brought the lease: its server, or the relay that is the way to it.
    leased_by: Mac,
    resolvers_v4: Vec<Ipv4Addr>,
    pub(super) slaac: Option<Slaac>,
}

impl Learnt {
    pub(super) fn next(&self) -> Option<Instant> {
        let dhcp = self.dhcp.as_ref().map(Dhcp::next);
        let slaac = self.slaac.as_ref().and_then(Slaac::next);
        dhcp.into_iter().chain(slaac).min()
    }
}

impl Stack {
    /// Where packets for other links go, of each family.
    pub fn gateways(&self) -> impl Iterator<Item = IpAddr> {
        let v4 = self.config.gateway_v4.map(IpAddr::V4);
        v4.into_iter().chain(self.config.gateway_v6.map(IpAddr::V6))
    }

    /// Who else serves the link: routers that may become the gateway, and the DHCP server we have a lease of.
    pub fn attendants(&self) -> impl Iterator<Item = IpAddr> {
        let gateway = |ip: &IpAddr| match ip {
            IpAddr::V4(ip) => self.config.gateway_v4 == Some(*ip),
            IpAddr::V6(ip) => self.config.gateway_v6 == Some(*ip),
        };
        let routers = self.learnt.slaac.as_ref().map_or(&[][..], Slaac::routers);
        let server = self.learnt.dhcp.as_ref().and_then(Dhcp::server);
        let routers = routers.iter().copied().map(IpAddr::V6);
        let all = routers.chain(server.map(IpAddr::V4));
        all.filter(move |ip| !gateway(ip))
    }

    /// Why the last offer of a DHCP server that was refused was.
    pub fn refused_offer(&self) -> Option<OfferFault> {
        self.learnt.dhcp.as_ref().and_then(Dhcp::refused)
    }

    /// The DNS servers, in the order they are asked.
    pub fn resolvers(&self) -> &[SocketAddr] {
        self.resolver.servers()
    }

    pub(super) fn begin_learning(&mut self, now: Instant, seed: &Seed) {
        let Medium::Ethernet(ours) = self.config.medium else {
            return;
        };
        if self.config.addressing_v4 == AddressingV4::Dhcp {
            self.learnt.dhcp = Some(Dhcp::new(now, ours, &seed.split("dhcp")));
            // No app speaks or listens in the node's place.
            let local = SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), CLIENT_PORT);
            self.ports.take(Transport::Udp, local, RESOLVER);
        }
        if self.config.addressing_v6 == AddressingV6::Slaac {
            self.begin_slaac(now, &seed.split("slaac"));
        }
    }

    pub(super) fn handle_learning_timeout(&mut self, now: Instant) {
        while let Some(dhcp) = &mut self.learnt.dhcp
            && let Some(act) = dhcp.pop_due(now)
        {
            self.act_dhcp(now, act);
        }
        let slaac = self.learnt.slaac.as_ref().and_then(Slaac::next);
        if slaac.is_some_and(|at| at <= now) {
            self.run_slaac(now);
        }
    }

    /// Whether a packet that is for nobody here may be a DHCP server's answer.
    pub(super) fn is_dhcp(&self, packet: &Packet<'_>) -> bool {
        let waiting = self.learnt.dhcp.as_ref().is_some_and(Dhcp::is_waiting);
        let ports = [SERVER_PORT.to_be_bytes(), CLIENT_PORT.to_be_bytes()].concat();
        waiting
            && packet.protocol == UDP
            && packet.src.is_ipv4()
            && !packet.fragment
            && is_unicast(packet.src)
            && !packet.src.is_loopback()
            && !self.owns(packet.src)
            && !packet.dst.is_loopback()
            && (is_unicast(packet.dst) || packet.dst == IpAddr::V4(Ipv4Addr::BROADCAST))
            && packet.payload().starts_with(&ports)
    }

    pub(super) fn takes_dhcp(&self, from: SocketAddr, local: SocketAddr) -> bool {
        self.learnt.dhcp.is_some()
            && from.is_ipv4()
            && from.port() == SERVER_PORT
            && local.port() == CLIENT_PORT
    }

    pub(super) fn handle_dhcp(&mut self, now: Instant, bytes: &[u8]) {
        let Some(dhcp) = &mut self.learnt.dhcp else {
            return;
        };
        let (act, sound) = dhcp.handle(now, bytes);
        self.stats.dropped_malformed += u64::from(!sound);
        if let Some(act) = act {
            self.act_dhcp(now, act);
        }
    }

    fn act_dhcp(&mut self, now: Instant, act: Act) {
        match act {
            Act::Broadcast(message) => {
                self.send_dhcp(Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST, &message);
            }
            Act::Send(from, to, message) => self.send_dhcp(from, to, &message),
            Act::Configure(lease) => self.configure(now, lease),
            Act::Lose(ip) => self.lose(ip),
        }
    }

    fn send_dhcp(&mut self, from: Ipv4Addr, to: Ipv4Addr, message: &[u8]) {
        let Medium::Ethernet(ours) = self.config.medium else {
            return;
        };
        let src = SocketAddr::new(from.into(), CLIENT_PORT);
        let dst = SocketAddr::new(to.into(), SERVER_PORT);
        let mut frame = self.emit(Path::Wire).datagram(src, dst, HOP_LIMIT, message);
        if to.is_broadcast() {
            frame.set_link_header(&broadcast_header(ours));
            self.send_now(frame);
        } else {
            self.send(Path::Wire, frame);
        }
    }

    fn configure(&mut self, now: Instant, lease: Lease) {
        let ip = lease.address.address();
        self.learnt.leased_by = self.heard_from;
        match self.learnt.leased.replace(lease.address) {
            Some(old) if old == lease.address => {}
            Some(old) if old.address() == ip => {
                // The same address on a link of another size.
                let mut own = self.config.addresses.iter_mut();
                if let Some(own) = own.find(|own| own.address() == ip) {
                    *own = lease.address;
                }
                self.tell(AddressEvent::Ready(lease.address));
            }
            old => {
                if let Some(old) = old {
                    self.drop_address(old.address());
                    self.tell(AddressEvent::Lost(old));
                }
                self.config.addresses.push(lease.address);
                self.begin_address(now, ip);
            }
        }
        self.use_v4(lease.gateway, lease.resolvers);
    }

    fn lose(&mut self, ip: IpAddr) {
        self.drop_address(ip);
        if let Some(leased) = self.learnt.leased.take() {
            self.tell(AddressEvent::Lost(leased));
        }
        self.use_v4(None, Vec::new());
    }

    /// Gives back the address that a DHCP server gave, if one did, for others to have (RFC 2131 section 4.4.6). For
    /// the end of a node: no other is asked for. Whether a word to the server waits to be transmitted, behind what
    /// was queued before.
    ///
    /// The address is not ours from now on, and what is open on it has ended; no event tells of that. While it may
    /// still be somebody else's nothing is sent from it (RFC 5227 section 1.1), so it is dropped in silence then.
    pub fn release(&mut self, now: Instant) -> bool {
        self.now = now;
        let Some(dhcp) = self.learnt.dhcp.take() else {
            return false;
        };
        let Some(leased) = self.learnt.leased.take() else {
            return false;
        };
        let ip = leased.address();
        let sure = !self.is_tentative(ip);
        // What is queued was sent while the address was ours.
        let queued = core::mem::take(&mut self.out);
        self.drop_address(ip);
        self.out = queued;
        self.config.gateway_v4 = None;
        self.learnt.resolvers_v4 = Vec::new();
        self.use_resolvers();
        let Some(release) = dhcp.release(now).filter(|_| sure) else {
            return false;
        };
        let Medium::Ethernet(ours) = self.config.medium else {
            return false;
        };
        let src = SocketAddr::new(release.address.into(), CLIENT_PORT);
        let dst = SocketAddr::new(release.server.into(), SERVER_PORT);
        let mut emit = self.emit(Path::Wire);
        let mut frame = emit.datagram(src, dst, HOP_LIMIT, &release.message);
        // Back the way the lease came: nobody need be asked who the server is, in the name of an address that is
        // ours no more.
        frame.set_link_header(&header(self.learnt.leased_by, ours, dst.ip()));
        // Whatever the queue holds: it is one frame, once.
        self.out.push_back(frame);
        true
    }

    /// An address of ours turned out to be somebody else's: if it was given to us, we ask for another; if we made
    /// it, we make another.
    pub(super) fn learnt_is_taken(&mut self, now: Instant, ip: IpAddr) {
        if let (Some(slaac), IpAddr::V6(ip)) = (&mut self.learnt.slaac, ip) {
            slaac.taken(ip);
            return self.run_slaac(now);
        }
        let declined = self.learnt.dhcp.as_mut();
        if let Some(act) = declined.and_then(|dhcp| dhcp.decline(now, ip)) {
            self.learnt.leased = None;
            self.use_v4(None, Vec::new());
            self.act_dhcp(now, act);
        }
    }

    fn use_v4(&mut self, gateway: Option<Ipv4Addr>, resolvers: Vec<Ipv4Addr>) {
        let changed = self.config.gateway_v4 != gateway || self.learnt.resolvers_v4 != resolvers;
        self.config.gateway_v4 = gateway;
        self.learnt.resolvers_v4 = resolvers;
        if changed {
            self.use_resolvers();
            self.tell(AddressEvent::Changed);
        }
    }

    /// Servers that are configured, else those the link told: DHCP first, and some of each (RFC 8106 section 5.3.1).
    pub(super) fn use_resolvers(&mut self) {
        if !self.config.resolver.servers.is_empty() {
            return;
        }
        let v4 = self.learnt.resolvers_v4.iter().copied().map(IpAddr::V4);
        let v6 = self.learnt.slaac.as_ref().map_or(&[][..], Slaac::resolvers);
        let v6 = v6.iter().copied().map(IpAddr::V6);
        let first = v4.clone().take(1).chain(v6.clone().take(1));
        let servers = first
            .chain(v4.skip(1))
            .chain(v6.skip(1))
            .take(ResolverConfig::SERVERS_MAX)
            .map(|ip| SocketAddr::new(ip, DNS_PORT))
            .collect();
        self.resolver.set_servers(servers);
    }
}
