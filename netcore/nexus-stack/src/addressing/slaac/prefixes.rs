//! The prefixes routers announce: what is on the link (RFC 4861 section 6.3.4), and the addresses made of them
//! (RFC 4862 section 5.5.3). The one says nothing about the other (RFC 5942 section 4).
//!
//! Who is known stays until its time is over, whatever a flood of others says. An address outlives what is said
//! of it by two hours, so that no forger ends connections with one packet; and one that would begin with less
//! than a minute is not made, or the forger had addresses come and go.

use core::time::Duration;

use nexus_types::{Instant, Ipv6Addr, limits};

use super::advert::{Announced, Prefix};
use super::identifier::Identifiers;

/// RFC 4862 section 5.5.3 e.
const TWO_HOURS: Duration = Duration::from_secs(7_200);

/// How often a network is tried with another identifier (RFC 7217 section 7: IDGEN_RETRIES).
const TRIES: u8 = 3;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    /// To be begun with.
    Wanted,
    InUse,
    /// All tries were somebody else's.
    GivenUp,
}

/// An address of ours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own {
    network: u64,
    pub(crate) address: Ipv6Addr,
    conflicts: u8,
    state: State,
    valid: Instant,
    preferred: Instant,
}

impl Own {
    pub(crate) fn new(
        network: u64,
        valid: Instant,
        preferred: Instant,
        identifiers: &Identifiers,
    ) -> Self {
        Self {
            network,
            address: identifiers.address(network, 0),
            conflicts: 0,
            state: State::Wanted,
            valid,
            preferred,
        }
    }

    /// The address, once, if it is to be begun with.
    pub(crate) fn take_wanted(&mut self) -> Option<Ipv6Addr> {
        let is_wanted = self.state == State::Wanted;
        is_wanted.then(|| {
            self.state = State::InUse;
            self.address
        })
    }

    /// It is somebody else's: another one is wanted, a few times.
    pub(crate) fn taken(&mut self, identifiers: &Identifiers) {
        self.conflicts += 1;
        if self.conflicts < TRIES {
            self.address = identifiers.address(self.network, self.conflicts);
            self.state = State::Wanted;
        } else {
            self.state = State::GivenUp;
        }
    }

    fn heard(&mut self, now: Instant, announced: &Announced) {
        let until = announced.valid.until(now);
        if until - now > TWO_HOURS || until > self.valid {
            self.valid = until;
        } else if self.valid - now > TWO_HOURS {
            self.valid = now + TWO_HOURS;
        }
        self.preferred = announced.preferred.until(now).min(self.valid);
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    prefix: Prefix,
    /// Until when it is on the link.
    on_link: Option<Instant>,
    own: Option<Own>,
}

/// See the module.
#[derive(Default, Debug)]
pub(crate) struct Prefixes(Vec<Entry>);

impl Prefixes {
    /// A router announces one; false if there is no room for it, or nothing to be made of it.
    pub(crate) fn heard(
        &mut self,
        now: Instant,
        announced: &Announced,
        identifiers: &Identifiers,
    ) -> bool {
        let lasts = u64::from(announced.valid.secs()) >= limits::SLAAC_LIFETIME_SECS_MIN;
        let known = self.0.iter();
        let at = known
            .clone()
            .position(|entry| entry.prefix == announced.prefix);
        let at = at.unwrap_or_else(|| {
            if lasts && self.0.len() < limits::SLAAC_PREFIXES as usize {
                self.0.push(Entry {
                    prefix: announced.prefix,
                    on_link: None,
                    own: None,
                });
            }
            self.0.len().saturating_sub(1)
        });
        let Some(entry) = self
            .0
            .get_mut(at)
            .filter(|entry| entry.prefix == announced.prefix)
        else {
            return false;
        };
        if announced.on_link {
            let until = announced.valid.until_unheard(now);
            entry.on_link = (until > now).then_some(until);
        }
        if let (true, Some(network)) = (announced.autonomous, announced.prefix.network()) {
            match &mut entry.own {
                Some(own) => own.heard(now, announced),
                None if lasts && announced.preferred.secs() > 0 => {
                    let valid = announced.valid.until(now);
                    let preferred = announced.preferred.until(now);
                    entry.own = Some(Own::new(network, valid, preferred, identifiers));
                }
                None => {}
            }
        }
        self.forget_empty();
        true
    }

    fn forget_empty(&mut self) {
        self.0
            .retain(|entry| entry.on_link.is_some() || entry.own.is_some());
    }

    /// One address whose time is over, if it was used.
    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<Ipv6Addr> {
        let mut lost = None;
        for entry in &mut self.0 {
            entry.on_link = entry.on_link.filter(|until| *until > now);
            if lost.is_none()
                && let Some(own) = entry.own.take_if(|own| own.valid <= now)
                && own.state == State::InUse
            {
                lost = Some(own.address);
            }
        }
        self.forget_empty();
        lost
    }

    /// One address to begin with.
    pub(crate) fn pop_wanted(&mut self) -> Option<Ipv6Addr> {
        self.own_mut().find_map(Own::take_wanted)
    }

    /// See [`Own::taken`].
    pub(crate) fn taken(&mut self, address: Ipv6Addr, identifiers: &Identifiers) {
        if let Some(own) = self.own_mut().find(|own| own.address == address) {
            own.taken(identifiers);
        }
    }

    fn own_mut(&mut self) -> impl Iterator<Item = &mut Own> {
        self.0.iter_mut().filter_map(|entry| entry.own.as_mut())
    }

    pub(crate) fn is_on_link(&self, address: Ipv6Addr) -> bool {
        self.0
            .iter()
            .any(|entry| entry.on_link.is_some() && entry.prefix.contains(address))
    }

    /// Whether it is ours and nothing new is to begin with it (RFC 4862 section 5.5.4).
    pub(crate) fn is_deprecated(&self, now: Instant, address: Ipv6Addr) -> bool {
        self.0
            .iter()
            .filter_map(|entry| entry.own.as_ref())
            .any(|own| own.address == address && own.preferred <= now)
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        let ends = |entry: &Entry| [entry.on_link, entry.own.map(|own| own.valid)];
        self.0.iter().flat_map(ends).flatten().min()
    }
}
