//! A peer that is a name server (RFC 1034, RFC 1035): it knows some names and says of all others that there is no such
//! name, as if it held the root.

mod answer;
mod serve;

pub(super) use serve::DnsPeer;

use std::collections::BTreeMap;
use std::sync::Arc;

use nexus_types::{Duration, HostName, IpAddr};

use super::check;
use super::error::ScriptError;
use crate::limits;

/// What a name has.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DnsData {
    /// These addresses; none of a family, or none at all: the name is there and has none (NODATA).
    Addresses(Vec<IpAddr>),
    /// Another name. It need not be in the zone, and a ring of them is answered as far as
    /// [`limits::DNS_CHAIN`] goes.
    Alias(HostName),
}

/// What goes wrong when a name is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DnsFault {
    /// SERVFAIL.
    ServFail,
    /// There is no answer.
    Silent,
    /// Before the answer comes one with another address (192.0.2.66, 2001:db8::66) and another transaction id, as of
    /// somebody who guesses. Not over TCP.
    Spoof,
    /// Over UDP the answer is always truncated.
    Truncate,
}

/// A name of a zone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DnsEntry {
    /// What it has.
    pub data: DnsData,
    /// Seconds its records hold.
    pub ttl: u32,
    /// An answer to a question for it comes so much later.
    pub delay: Duration,
    /// What goes wrong with an answer to a question for it.
    pub fault: Option<DnsFault>,
}

impl DnsEntry {
    /// A name with these addresses, for five minutes, with nothing wrong.
    pub fn addresses(addresses: Vec<IpAddr>) -> Self {
        Self {
            data: DnsData::Addresses(addresses),
            ttl: 300,
            delay: Duration::ZERO,
            fault: None,
        }
    }

    /// Another name of `name`.
    pub fn alias(name: HostName) -> Self {
        Self {
            data: DnsData::Alias(name),
            ..Self::addresses(Vec::new())
        }
    }

    fn check(&self) -> Result<(), ScriptError> {
        if let DnsData::Addresses(addresses) = &self.data {
            check::count("addresses", addresses.len(), limits::DNS_ADDRESSES)?;
        }
        // RFC 2181 section 8.
        if self.ttl > i32::MAX.unsigned_abs() {
            let why = format!("a ttl of {} seconds: at most {}", self.ttl, i32::MAX);
            return Err(ScriptError::new(why));
        }
        check::wait(self.delay)
    }
}

/// What a name server knows.
#[derive(Clone, Debug)]
pub struct DnsZone {
    names: Arc<BTreeMap<HostName, DnsEntry>>,
}

impl DnsZone {
    /// A zone of these.
    ///
    /// # Errors
    /// Names, addresses, a ttl or a delay over their limit; a name that is there twice.
    pub fn new(names: Vec<(HostName, DnsEntry)>) -> Result<Self, ScriptError> {
        check::count("names", names.len(), limits::DNS_NAMES)?;
        let mut kept = BTreeMap::new();
        for (name, entry) in names {
            entry
                .check()
                .map_err(|why| ScriptError::new(format!("{name}: {why}")))?;
            if kept.contains_key(&name) {
                return Err(ScriptError::new(format!("{name} is there twice")));
            }
            kept.insert(name, entry);
        }
        let names = kept.into();
        Ok(Self { names })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> HostName {
        HostName::parse(text).unwrap()
    }

    fn refused(names: Vec<(HostName, DnsEntry)>) -> String {
        DnsZone::new(names).unwrap_err().to_string()
    }

    /// Goal: names, addresses, times to live and delays have a bound that is exact. Method: at each and one past it.
    #[test]
    fn zones_at_and_over_the_limits() {
        let names = |count: usize| {
            let entry = DnsEntry::addresses(Vec::new());
            let names = (0..count).map(|number| (host(&format!("n{number}")), entry.clone()));
            names.collect::<Vec<_>>()
        };
        DnsZone::new(names(limits::DNS_NAMES)).unwrap();
        assert!(refused(names(limits::DNS_NAMES + 1)).contains("4097 names"));
        let one = |entry| vec![(host("a"), entry)];
        let addresses = |count| DnsEntry::addresses(vec![[192, 0, 2, 1].into(); count]);
        DnsZone::new(one(addresses(limits::DNS_ADDRESSES))).unwrap();
        let over = one(addresses(limits::DNS_ADDRESSES + 1));
        assert!(refused(over).contains("a: 1025 addresses"));
        let mut entry = addresses(1);
        entry.ttl = 0x7fff_ffff;
        entry.delay = Duration::from_secs(limits::PEER_WAIT_SECONDS);
        DnsZone::new(one(entry.clone())).unwrap();
        let mut late = entry.clone();
        late.delay += Duration::from_nanos(1);
        assert!(refused(one(late)).contains("a: a wait"));
        entry.ttl += 1;
        assert!(refused(one(entry)).contains("a: a ttl"));
    }

    /// Goal: a name says one thing. Method: one that is there twice.
    #[test]
    fn reject_a_name_that_is_there_twice() {
        let entry = DnsEntry::addresses(Vec::new());
        let names = vec![(host("a.b"), entry.clone()), (host("A.B."), entry)];
        assert_eq!(refused(names), "a.b is there twice");
    }
}
