//! A DHCP client (RFC 2131 section 4.4).
//!
//! ```text
//!               offer                 ack
//!  Selecting ---------> Requesting ---------> Bound --(half the lease)--> renewing: asks its server
//!    ^    ^                 |                 ^ |  \                       | 7/8 of the lease
//!    |    |  nak, silence   |             ack | |   +--(somebody has it)   v
//!    |    +-----------------+                 +-+ <---------------------- rebinding: asks all
//!    |                                              |   |                  | end of the lease, or nak
//!    +----------------------------------------------+---+------------------+   the address is lost
//! ```
//!
//! Whoever is on the link can play the server; RFC 2131 has nothing against it. What is checked: that an answer is
//! for our question (an id that cannot be guessed from elsewhere, our hardware address), from the server we
//! chose, and about an address that a host can have, with a router on its link.
//!
//! Not supported: several offers compared, INFORM, INIT-REBOOT, classless routes (RFC 3442), a host name.

mod message;

use core::fmt;
use core::time::Duration;

use nexus_types::{Instant, InterfaceAddress, IpAddr, Ipv4Addr, Seed, limits};

use crate::config::ResolverConfig;
use crate::neighbors::Mac;
use crate::rng::Random;
use message::{Ask, Message, Reply, Say};

/// Where servers listen, and clients.
pub(crate) const SERVER_PORT: u16 = 67;
pub(crate) const CLIENT_PORT: u16 = 68;

/// After these many requests without an answer another offer is sought.
const REQUESTS: u32 = 4;
/// After an address turned out to be taken (RFC 2131 section 3.1 step 5), or was refused.
const PAUSE: Duration = Duration::from_secs(10);
/// Least between two renewals (RFC 2131 section 4.4.5).
const RENEW_AGAIN: Duration = Duration::from_secs(60);
/// Soonest it is renewed: half of the shortest lease. A server that says sooner would be asked without end.
const RENEW_SECS_MIN: u64 = limits::DHCP_LEASE_SECS_MIN / 2;
/// Longest between two questions (RFC 2131 section 4.1).
const BACKOFF_MAX: u32 = 64;

/// What a server gave us.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Lease {
    pub(crate) address: InterfaceAddress,
    pub(crate) gateway: Option<Ipv4Addr>,
    pub(crate) resolvers: Vec<Ipv4Addr>,
    server: Ipv4Addr,
    /// From when it was asked for.
    renew: Duration,
    rebind: Duration,
    expire: Option<Duration>,
}

/// Why an offer of a DHCP server is none to live with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OfferFault {
    /// No network mask, or one no network has.
    Mask,
    /// No address a host of that network can have.
    Address(Ipv4Addr),
    /// No address a server can have.
    Server(Ipv4Addr),
    /// The gateway is no other host of the network that the mask makes.
    Gateway {
        /// What is offered.
        address: InterfaceAddress,
        /// What is not on its network.
        gateway: Ipv4Addr,
    },
    /// Not for so many seconds as [`limits::DHCP_LEASE_SECS_MIN`].
    Lease(Option<u32>),
}

impl fmt::Display for OfferFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mask => f.write_str("it has no network mask, or none of a network"),
            Self::Address(ip) => write!(f, "no host of its network can have the address {ip}"),
            Self::Server(ip) => write!(f, "no server can have the address {ip}"),
            Self::Gateway { address, gateway } => {
                write!(
                    f,
                    "its gateway {gateway} is no other host of the network of {address}"
                )
            }
            Self::Lease(None) => f.write_str("it does not say for how long"),
            Self::Lease(Some(secs)) => write!(f, "it is for {secs} s only"),
        }
    }
}

/// What is to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Act {
    /// Send this to all, from nobody.
    Broadcast(Vec<u8>),
    /// Send this to a server, from the address we have.
    Send(Ipv4Addr, Ipv4Addr, Vec<u8>),
    /// Use this.
    Configure(Lease),
    /// Use it no more.
    Lose(IpAddr),
}

/// An address is given back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Release {
    pub(crate) address: Ipv4Addr,
    pub(crate) server: Ipv4Addr,
    pub(crate) message: Vec<u8>,
}

#[derive(Debug)]
enum State {
    Selecting,
    Requesting {
        offer: Lease,
        address: Ipv4Addr,
    },
    Bound {
        lease: Lease,
        address: Ipv4Addr,
        since: Instant,
    },
}

/// See the module.
pub(crate) struct Dhcp {
    mac: Mac,
    random: Random,
    state: State,
    xid: u32,
    /// When the exchange began, and when the last question of it went out.
    begun: Instant,
    asked: Instant,
    tries: u32,
    again: Instant,
    /// Why the last offer was refused.
    refused: Option<OfferFault>,
}

impl Dhcp {
    pub(crate) fn new(now: Instant, mac: Mac, seed: &Seed) -> Self {
        let mut random = Random::new(seed);
        let xid = random.word();
        Self {
            mac,
            random,
            state: State::Selecting,
            xid,
            begun: now,
            asked: now,
            tries: 0,
            again: now,
            refused: None,
        }
    }

    /// Why the last offer that was refused was.
    pub(crate) fn refused(&self) -> Option<OfferFault> {
        self.refused
    }

    pub(crate) fn next(&self) -> Instant {
        self.again
    }

    /// Whose lease we have.
    pub(crate) fn server(&self) -> Option<Ipv4Addr> {
        match &self.state {
            State::Bound { lease, .. } => Some(lease.server),
            State::Selecting | State::Requesting { .. } => None,
        }
    }

    /// Whether a message to an address that is not ours may be for us.
    pub(crate) fn is_waiting(&self) -> bool {
        self.tries > 0
    }

    fn restart(&mut self, at: Instant) {
        self.state = State::Selecting;
        self.xid = self.random.word();
        self.begun = at;
        self.tries = 0;
        self.again = at;
    }

    /// 1 s, 2 s, 4 s and so on, a quarter of a second more or less (RFC 2131 section 4.1 begins with 4 s).
    fn wait(&mut self) -> Duration {
        let base = (1_u32 << self.tries.min(6)).min(BACKOFF_MAX) * 1_000 - 250;
        Duration::from_millis((base + self.random.below(500)).into())
    }

    fn message(&self, now: Instant, ask: Ask) -> Message {
        Message {
            ask,
            xid: self.xid,
            secs: (now - self.begun).as_secs().min(u16::MAX.into()) as u16,
            mac: self.mac,
            own: None,
            requested: None,
            server: None,
        }
    }

    /// One thing that is due.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Act> {
        if self.again > now {
            return None;
        }
        if matches!(self.state, State::Requesting { .. }) && self.tries >= REQUESTS {
            self.restart(now);
        }
        let act = match &self.state {
            State::Selecting => Act::Broadcast(self.message(now, Ask::Discover).write()),
            State::Requesting { offer, address } => {
                let mut message = self.message(now, Ask::Request);
                (message.requested, message.server) = (Some(*address), Some(offer.server));
                Act::Broadcast(message.write())
            }
            State::Bound {
                lease,
                address,
                since,
            } => {
                let (address, rebind, server) = (*address, *since + lease.rebind, lease.server);
                let end = lease
                    .expire
                    .map_or(Instant::FAR_FUTURE, |expire| *since + expire);
                if now >= end {
                    self.restart(now);
                    return Some(Act::Lose(address.into()));
                }
                if self.tries == 0 {
                    self.xid = self.random.word();
                    self.begun = now;
                }
                let mut message = self.message(now, Ask::Request);
                message.own = Some(address);
                let stage = if now < rebind { rebind } else { end };
                self.tries = self.tries.saturating_add(1);
                self.asked = now;
                // Halfway to the next stage, but not more often than once a minute (RFC 2131 section 4.4.5).
                self.again = stage.min(now + ((stage - now) / 2).max(RENEW_AGAIN));
                let to = if now < rebind {
                    server
                } else {
                    Ipv4Addr::BROADCAST
                };
                return Some(Act::Send(address, to, message.write()));
            }
        };
        self.asked = now;
        self.again = now + self.wait();
        self.tries = self.tries.saturating_add(1);
        Some(act)
    }

    /// A server's message. What comes of it; and false if it is not for us, or not sound.
    pub(crate) fn handle(&mut self, now: Instant, bytes: &[u8]) -> (Option<Act>, bool) {
        let Some(reply) = Reply::parse(bytes) else {
            return (None, false);
        };
        if reply.xid != self.xid || reply.mac != self.mac || self.tries == 0 {
            return (None, false);
        }
        match (&self.state, reply.say) {
            (State::Selecting, Say::Offer) => {
                let offer = match Lease::read(&reply) {
                    Ok(offer) => offer,
                    Err(fault) => {
                        self.refused = Some(fault);
                        return (None, false);
                    }
                };
                self.state = State::Requesting {
                    offer,
                    address: reply.address,
                };
                self.tries = 0;
                self.again = now;
                (self.pop_due(now), true)
            }
            (State::Requesting { offer, address }, Say::Ack)
                if reply.address == *address && reply.server == offer.server =>
            {
                self.bind(now, &reply)
            }
            // Any server may answer once all are asked.
            (
                State::Bound {
                    lease,
                    address,
                    since,
                },
                Say::Ack,
            ) if reply.address == *address
                && (reply.server == lease.server || self.asked >= *since + lease.rebind) =>
            {
                self.bind(now, &reply)
            }
            (State::Requesting { offer, .. }, Say::Nak) if reply.server == offer.server => {
                self.restart(now + PAUSE);
                (None, true)
            }
            (
                State::Bound {
                    lease,
                    address,
                    since,
                },
                Say::Nak,
            ) if reply.server == lease.server || self.asked >= *since + lease.rebind => {
                let lost = Act::Lose((*address).into());
                self.restart(now + PAUSE);
                (Some(lost), true)
            }
            _ => (None, false),
        }
    }

    fn bind(&mut self, now: Instant, reply: &Reply<'_>) -> (Option<Act>, bool) {
        let Ok(lease) = Lease::read(reply) else {
            return (None, false);
        };
        self.again = self.asked + lease.renew;
        self.tries = 0;
        self.state = State::Bound {
            lease: lease.clone(),
            address: reply.address,
            // It counts from the question (RFC 2131 section 4.4.1).
            since: self.asked,
        };
        debug_assert!(self.asked <= now);
        (Some(Act::Configure(lease)), true)
    }

    /// Somebody has the address we were given: the server is told.
    pub(crate) fn decline(&mut self, now: Instant, ip: IpAddr) -> Option<Act> {
        let State::Bound { lease, address, .. } = &self.state else {
            return None;
        };
        if IpAddr::V4(*address) != ip {
            return None;
        }
        let mut message = self.message(now, Ask::Decline);
        (message.requested, message.server) = (Some(*address), Some(lease.server));
        self.restart(now + PAUSE);
        Some(Act::Broadcast(message.write()))
    }

    /// Ends the client. If it has a lease: what to tell its server (RFC 2131 section 4.4.6).
    pub(crate) fn release(mut self, now: Instant) -> Option<Release> {
        let State::Bound {
            lease,
            address,
            since,
        } = &self.state
        else {
            return None;
        };
        if lease.expire.is_some_and(|expire| *since + expire <= now) {
            return None;
        }
        let (address, server) = (*address, lease.server);
        // An exchange of its own, without an answer; `secs` is 0 then (RFC 2131 table 5).
        self.xid = self.random.word();
        self.begun = now;
        let mut message = self.message(now, Ask::Release);
        (message.own, message.server) = (Some(address), Some(server));
        Some(Release {
            address,
            server,
            message: message.write(),
        })
    }
}

impl Lease {
    /// What an offer or acknowledgement gives, if a host can live with it.
    fn read(reply: &Reply<'_>) -> Result<Self, OfferFault> {
        let mask = reply.mask.ok_or(OfferFault::Mask)?.to_bits();
        let prefix = mask.leading_ones();
        // A shorter prefix would make most of the world our neighbours.
        if mask.count_ones() != prefix || prefix < 8 {
            return Err(OfferFault::Mask);
        }
        // Of both, the first and the last address of a link are nobody's (RFC 3021: but on one of two).
        let on_link = |ip: Ipv4Addr| {
            let host = ip.to_bits() & !mask;
            is_host(ip)
                && ip.to_bits() & mask == reply.address.to_bits() & mask
                && (prefix >= 31 || (host != 0 && host != !mask))
        };
        let router = reply.router.filter(|router| !router.is_unspecified());
        let address = InterfaceAddress::new(reply.address.into(), prefix as u8)
            .filter(|_| on_link(reply.address))
            .ok_or(OfferFault::Address(reply.address))?;
        if !is_host(reply.server) {
            return Err(OfferFault::Server(reply.server));
        }
        let elsewhere = |router: &Ipv4Addr| !on_link(*router) || *router == reply.address;
        if let Some(gateway) = router.filter(elsewhere) {
            return Err(OfferFault::Gateway { address, gateway });
        }
        let lease = reply.lease_secs.map(u64::from);
        let lease = lease.filter(|lease| *lease >= limits::DHCP_LEASE_SECS_MIN);
        let lease = lease.ok_or(OfferFault::Lease(reply.lease_secs))?;
        let forever = lease == u64::from(u32::MAX);
        let secs = |option: Option<u32>, or: u64| option.map_or(or, u64::from);
        let mut rebind = secs(reply.rebinding_secs, lease / 8 * 7);
        let mut renew = secs(reply.renewal_secs, lease / 2);
        if !(RENEW_SECS_MIN <= renew && renew < rebind && rebind < lease) {
            (renew, rebind) = (lease / 2, lease / 8 * 7);
        }
        Ok(Self {
            address,
            gateway: router,
            resolvers: reply
                .dns()
                .filter(|server| is_host(*server) && *server != reply.address)
                .take(ResolverConfig::SERVERS_MAX)
                .collect(),
            server: reply.server,
            renew: Duration::from_secs(renew),
            rebind: Duration::from_secs(rebind),
            expire: (!forever).then(|| Duration::from_secs(lease)),
        })
    }
}

/// An address one host can have on a link.
fn is_host(ip: Ipv4Addr) -> bool {
    let first = ip.octets()[0];
    first != 0 && first < 224 && !ip.is_loopback()
}
