//! Addresses, routers and name servers from router advertisements: RFC 4861 section 6.3, RFC 4862, RFC 8106.
//!
//! ```text
//!  begun: fe80:: address, asks for routers --(4 s, 8 s, ... an hour: RFC 7559)--> asks again, until one answers
//!                              |
//!     router lifetime          | advertisement          prefix: on-link / autonomous
//!    +-------------------------+--------------------------------+
//!    v                                                          v
//!  Routers: one is used; silent, over or resigned: the next   Prefixes: what is on the link; addresses, with
//!    none left: asks again                                      their lifetimes and tries
//! ```
//!
//! Whoever is on the link can play the router, and take the way of every packet: RFC 4861 has nothing against it,
//! and no more do we. What is checked: that it is on the link (hop limit, link-local source), and that it says
//! something a host can live with. What it cannot do is end what others began: see [`prefixes`] and [`routers`];
//! and whatever it says, routers and name servers change once a second at most.
//!
//! Identifiers are those of RFC 7217. Not supported: DHCPv6 (the flags M and O say nothing to us), temporary
//! addresses (RFC 8981), routes to single networks (RFC 4191 section 2.3), search lists (RFC 8106 section 5.2),
//! redirects, and what a router says of the MTU, the hop limit and timers: the MTU is the operator's.

pub(crate) mod advert;
mod identifier;
mod prefixes;
mod routers;

use core::time::Duration;

use nexus_types::{Instant, Ipv6Addr, Seed, limits};

use crate::config::ResolverConfig;
use crate::rng::Random;
use advert::{Advert, Lifetime};
use identifier::Identifiers;
use prefixes::{Own, Prefixes};
use routers::Routers;

/// The upper half of link-local addresses (RFC 4291 section 2.5.6).
const LINK_LOCAL: u64 = 0xfe80 << 48;

/// First and longest time between two questions (RFC 4861 section 10: RTR_SOLICITATION_INTERVAL, RFC 7559
/// section 2.1: MRT).
const ASK_MILLIS: u32 = 4_000;
const ASK_MILLIS_MAX: u32 = 3_600_000;
/// Not all at once after a power cut (RFC 4861 section 6.3.7 allows a second; an app waits for this).
const ASK_SPREAD_MILLIS: u32 = 250;

/// Between two changes of gateway and name servers.
const SETTLE: Duration = Duration::from_secs(1);

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Act {
    /// Ask for routers.
    Solicit,
    /// Begin with this address.
    Use(Ipv6Addr),
    /// Use it no more: its time is over.
    Lose(Ipv6Addr),
    /// [`Slaac::gateway`], [`Slaac::resolvers`] or [`Slaac::routers`] are others now.
    Changed,
}

/// See the module.
pub(crate) struct Slaac {
    random: Random,
    identifiers: Identifiers,
    link_local: Own,
    prefixes: Prefixes,
    routers: Routers,
    /// Name servers, and until when.
    named: Vec<(Ipv6Addr, Instant)>,
    /// When routers are asked for next, and how often they were.
    ask: Option<(Instant, u32)>,
    asked: Option<Instant>,
    gateway: Option<Ipv6Addr>,
    resolvers: Vec<Ipv6Addr>,
    /// All routers there are, the gateway included.
    attending: Vec<Ipv6Addr>,
    /// From when these may change again.
    settled: Instant,
    next: Option<Instant>,
}

impl Slaac {
    /// Most addresses it has at a time: the link-local one, and one a prefix.
    pub(crate) const ADDRESSES_MAX: usize = 1 + limits::SLAAC_PREFIXES as usize;

    pub(crate) fn new(now: Instant, seed: &Seed) -> Self {
        let identifiers = Identifiers::new(&seed.split("identifiers"));
        let ever = Instant::FAR_FUTURE;
        let mut slaac = Self {
            random: Random::new(&seed.split("random")),
            link_local: Own::new(LINK_LOCAL, ever, ever, &identifiers),
            identifiers,
            prefixes: Prefixes::default(),
            routers: Routers::default(),
            named: Vec::new(),
            ask: None,
            asked: None,
            gateway: None,
            resolvers: Vec::new(),
            attending: Vec::new(),
            settled: now,
            next: Some(now),
        };
        slaac.begin_asking(now);
        slaac
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.next
    }

    pub(crate) fn link_local(&self) -> Ipv6Addr {
        self.link_local.address
    }

    /// Where packets for other links go.
    pub(crate) fn gateway(&self) -> Option<Ipv6Addr> {
        self.gateway
    }

    pub(crate) fn resolvers(&self) -> &[Ipv6Addr] {
        &self.resolvers
    }

    /// All routers there are, the gateway included.
    pub(crate) fn routers(&self) -> &[Ipv6Addr] {
        &self.attending
    }

    pub(crate) fn is_on_link(&self, ip: Ipv6Addr) -> bool {
        self.prefixes.is_on_link(ip)
    }

    pub(crate) fn is_deprecated(&self, now: Instant, ip: Ipv6Addr) -> bool {
        self.prefixes.is_deprecated(now, ip)
    }

    pub(crate) fn is_router(&self, ip: Ipv6Addr) -> bool {
        self.routers.knows(ip)
    }

    fn begin_asking(&mut self, now: Instant) {
        let soon = now + Duration::from_millis(self.random.below(ASK_SPREAD_MILLIS).into());
        let first = Duration::from_millis(ASK_MILLIS.into());
        let at = self.asked.map_or(soon, |asked| soon.max(asked + first));
        self.ask = Some((at, 0));
    }

    /// A router's advertisement. What follows from it is due.
    pub(crate) fn handle(&mut self, now: Instant, from: Ipv6Addr, advert: &Advert<'_>) {
        if advert.lifetime.is_zero() {
            self.routers.forget(from);
        } else {
            let until = now + advert.lifetime;
            self.routers.heard(from, advert.preference, until);
            self.ask = None;
        }
        for announced in advert.prefixes() {
            self.prefixes.heard(now, &announced, &self.identifiers);
        }
        for (ip, lifetime) in advert.resolvers() {
            self.hear_resolver(now, ip, lifetime);
        }
    }

    fn hear_resolver(&mut self, now: Instant, ip: Ipv6Addr, lifetime: Lifetime) {
        let until = lifetime.until_unheard(now);
        match self.named.iter().position(|(known, _)| *known == ip) {
            Some(at) => self.named[at].1 = until,
            None if self.named.len() < limits::SLAAC_RESOLVERS as usize => {
                self.named.push((ip, until));
            }
            None => {}
        }
        self.named.retain(|(_, until)| *until > now);
    }

    /// A neighbour does not answer: if it is a router, another one's turn.
    pub(crate) fn is_silent(&mut self, now: Instant, ip: Ipv6Addr) {
        self.routers.failed(now, ip);
        if self.routers.knows(ip) && !self.routers.is_any_well() && self.ask.is_none() {
            self.begin_asking(now);
        }
    }

    /// An address of ours turned out to be somebody else's.
    pub(crate) fn taken(&mut self, ip: Ipv6Addr) {
        if self.link_local.address == ip {
            self.link_local.taken(&self.identifiers);
        } else {
            self.prefixes.taken(ip, &self.identifiers);
        }
    }

    /// What is due, one thing at a time; to be asked until there is none after anything else here.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Act> {
        if let Some(ip) = self.link_local.take_wanted() {
            return Some(Act::Use(ip));
        }
        if let Some(ip) = self.prefixes.pop_expired(now) {
            return Some(Act::Lose(ip));
        }
        if let Some(ip) = self.prefixes.pop_wanted() {
            return Some(Act::Use(ip));
        }
        self.routers.expire(now);
        self.named.retain(|(_, until)| *until > now);
        if self.routers.used().is_none() && self.ask.is_none() {
            self.begin_asking(now);
        }
        if let Some((at, times)) = self.ask
            && at <= now
        {
            let wait = ASK_MILLIS << times.min(10);
            let wait = wait.min(ASK_MILLIS_MAX);
            // A tenth more or less (RFC 7559 section 2).
            let wait = wait - wait / 10 + self.random.below(wait / 5);
            let at = now + Duration::from_millis(wait.into());
            self.ask = Some((at, times.saturating_add(1)));
            self.asked = Some(now);
            return Some(Act::Solicit);
        }
        let unsettled = self.is_changed();
        if unsettled && self.settled <= now {
            self.gateway = self.routers.used();
            self.resolvers = self.named().collect();
            self.attending = self.routers.all().collect();
            self.settled = now + SETTLE;
            return Some(Act::Changed);
        }
        self.next = [
            self.ask.map(|(at, _)| at),
            unsettled.then_some(self.settled),
            self.routers.next(),
            self.prefixes.next(),
            self.named.iter().map(|(_, until)| *until).min(),
        ]
        .into_iter()
        .flatten()
        .filter(|at| *at != Instant::FAR_FUTURE)
        .min();
        None
    }

    fn named(&self) -> impl Iterator<Item = Ipv6Addr> {
        let most = ResolverConfig::SERVERS_MAX;
        self.named.iter().map(|(ip, _)| *ip).take(most)
    }

    fn is_changed(&self) -> bool {
        self.gateway != self.routers.used()
            || !self.named().eq(self.resolvers.iter().copied())
            || !self.routers.all().eq(self.attending.iter().copied())
    }
}
