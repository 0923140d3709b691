//! Which addresses answered which name, for one instance, and until when.
//!
//! This is what makes a name rule hold on a raw socket: an address counts as a name's only while
//! an answer this instance was given says so. Instances never share answers.

use core::net::IpAddr;
use std::collections::BTreeMap;

use nexus_types::limits::DNS_BINDINGS;
use nexus_types::{HostName, Instant};

/// Names one address can be bound to at once. Stops an app from making each decision about a
/// shared address slow; the binding that ends soonest makes room.
pub(crate) const NAMES_PER_ADDRESS: usize = 16;

/// One answer for one address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Binding {
    pub(crate) name: HostName,
    pub(crate) until: Instant,
}

/// The answers of one instance.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bindings {
    by_address: BTreeMap<IpAddr, Vec<Binding>>,
    count: usize,
}

impl Bindings {
    /// Remembers that `address` (canonical) answers `name` until `until`. A later answer for the
    /// same pair replaces an earlier one that ends before it.
    pub(crate) fn insert(&mut self, address: IpAddr, name: &HostName, until: Instant) {
        if let Some(old) = self.find(address, name) {
            old.until = old.until.max(until);
            return;
        }
        if self.of(address).len() >= NAMES_PER_ADDRESS {
            self.remove_soonest(Some(address));
        } else if self.count >= DNS_BINDINGS as usize {
            self.remove_soonest(None);
        }
        self.by_address.entry(address).or_default().push(Binding {
            name: name.clone(),
            until,
        });
        self.count += 1;
    }

    /// Every name `address` has answered, live or not.
    pub(crate) fn of(&self, address: IpAddr) -> &[Binding] {
        self.by_address.get(&address).map_or(&[], Vec::as_slice)
    }

    fn find(&mut self, address: IpAddr, name: &HostName) -> Option<&mut Binding> {
        self.by_address
            .get_mut(&address)?
            .iter_mut()
            .find(|binding| binding.name == *name)
    }

    fn remove_soonest(&mut self, only: Option<IpAddr>) {
        let soonest = self
            .by_address
            .iter()
            .filter(|(address, _)| only.is_none_or(|only| only == **address))
            .flat_map(|(address, list)| {
                list.iter()
                    .enumerate()
                    .map(move |(at, binding)| (binding.until, *address, at))
            })
            .min();
        let Some((_, address, at)) = soonest else {
            return;
        };
        if let Some(list) = self.by_address.get_mut(&address) {
            list.swap_remove(at);
            self.count -= 1;
            if list.is_empty() {
                self.by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use core::net::Ipv4Addr;

    use super::*;

    fn name(text: &str) -> HostName {
        HostName::parse(text).unwrap()
    }

    fn address(number: u32) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + number))
    }

    #[test]
    fn at_the_limit_all_are_kept_and_over_it_the_soonest_goes() {
        let mut bindings = Bindings::default();
        for number in 0..DNS_BINDINGS {
            bindings.insert(
                address(number),
                &name("a.example"),
                Instant::from_secs(100 + u64::from(number)),
            );
        }
        assert_eq!(bindings.count, DNS_BINDINGS as usize);
        assert_eq!(bindings.of(address(0)).len(), 1);
        bindings.insert(
            address(DNS_BINDINGS),
            &name("a.example"),
            Instant::from_secs(1),
        );
        assert_eq!(bindings.count, DNS_BINDINGS as usize);
        assert!(bindings.of(address(0)).is_empty());
        assert_eq!(bindings.of(address(1)).len(), 1);
        assert_eq!(bindings.of(address(DNS_BINDINGS)).len(), 1);
    }

    #[test]
    fn one_address_holds_a_few_names() {
        let mut bindings = Bindings::default();
        for number in 0..=NAMES_PER_ADDRESS {
            bindings.insert(
                address(1),
                &name(&format!("n{number}.example")),
                Instant::from_secs(number as u64),
            );
        }
        let left: Vec<_> = bindings
            .of(address(1))
            .iter()
            .map(|b| b.name.to_string())
            .collect();
        assert_eq!(left.len(), NAMES_PER_ADDRESS);
        assert!(!left.contains(&"n0.example".to_owned()));
    }

    #[test]
    fn a_shorter_answer_does_not_end_a_longer_one() {
        let mut bindings = Bindings::default();
        bindings.insert(address(1), &name("a.example"), Instant::from_secs(300));
        bindings.insert(address(1), &name("a.example"), Instant::from_secs(5));
        assert_eq!(bindings.of(address(1))[0].until, Instant::from_secs(300));
    }
}
