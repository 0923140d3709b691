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
    /// Whether a forbid or an ask of the operator names it: then it makes room for nothing while it lives, or an app
    /// would shake the rule off by looking other names up.
    pub(crate) written: bool,
}

/// The answers of one instance.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bindings {
    by_address: BTreeMap<IpAddr, Vec<Binding>>,
    count: usize,
}

impl Bindings {
    /// Remembers that `address` (canonical) answers `name` until `until`. A later answer for the
    /// same pair replaces an earlier one that ends before it. Where nothing makes room it is not remembered, and does
    /// not count.
    pub(crate) fn insert(
        &mut self,
        now: Instant,
        address: IpAddr,
        name: &HostName,
        until: Instant,
        written: bool,
    ) {
        if let Some(old) = self.find(address, name) {
            old.until = old.until.max(until);
            return;
        }
        let room = if self.of(address).len() >= NAMES_PER_ADDRESS {
            self.remove_soonest(now, Some(address))
        } else if self.count >= DNS_BINDINGS as usize {
            self.remove_soonest(now, None)
        } else {
            true
        };
        if !room {
            return;
        }
        self.by_address.entry(address).or_default().push(Binding {
            name: name.clone(),
            until,
            written,
        });
        self.count += 1;
    }

    /// Asks anew which of the names the operator's rules are about.
    pub(crate) fn set_written(&mut self, is_written: impl Fn(&HostName) -> bool) {
        for binding in self.by_address.values_mut().flatten() {
            binding.written = is_written(&binding.name);
        }
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

    /// Whether there is room then.
    fn remove_soonest(&mut self, now: Instant, only: Option<IpAddr>) -> bool {
        let soonest = self
            .by_address
            .iter()
            .filter(|(address, _)| only.is_none_or(|only| only == **address))
            .flat_map(|(address, list)| {
                list.iter()
                    .enumerate()
                    .filter(|(_, binding)| !binding.written || binding.until <= now)
                    .map(move |(at, binding)| (binding.until, *address, at))
            })
            .min();
        let Some((_, address, at)) = soonest else {
            return false;
        };
        if let Some(list) = self.by_address.get_mut(&address) {
            list.swap_remove(at);
            self.count -= 1;
            if list.is_empty() {
                self.by_address.remove(&address);
            }
        }
        true
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

    fn put(bindings: &mut Bindings, address: IpAddr, host: &str, until: u64) {
        bindings.insert(
            Instant::ZERO,
            address,
            &name(host),
            Instant::from_secs(until),
            host.starts_with("evil"),
        );
    }

    fn names(bindings: &Bindings, number: u32) -> Vec<String> {
        let of = bindings.of(address(number)).iter();
        of.map(|b| b.name.to_string()).collect()
    }

    /// Goal: a name that a written rule is about is not shaken off, and goes when its time is over. Method: more names
    /// of one address than it holds, the written one the first to end.
    #[test]
    fn reject_to_forget_a_name_that_a_rule_is_about() {
        let mut bindings = Bindings::default();
        put(&mut bindings, address(1), "evil.example", 5);
        for number in 0..2 * NAMES_PER_ADDRESS {
            put(&mut bindings, address(1), &format!("n{number}.example"), 60);
        }
        assert!(names(&bindings, 1).contains(&"evil.example".to_owned()));
        let after = Instant::from_secs(5);
        let late = name("late.example");
        bindings.insert(after, address(1), &late, Instant::from_secs(90), false);
        assert!(!names(&bindings, 1).contains(&"evil.example".to_owned()));
        // Where all there is must stay, what is new does not count.
        let mut full = Bindings::default();
        for number in 0..=NAMES_PER_ADDRESS {
            put(&mut full, address(2), &format!("evil{number}.example"), 60);
        }
        assert_eq!(full.of(address(2)).len(), NAMES_PER_ADDRESS);
        put(&mut full, address(2), "n.example", 60);
        assert!(!names(&full, 2).contains(&"n.example".to_owned()));
        full.set_written(|_| false);
        put(&mut full, address(2), "n.example", 60);
        assert!(names(&full, 2).contains(&"n.example".to_owned()));
    }

    #[test]
    fn at_the_limit_all_are_kept_and_over_it_the_soonest_goes() {
        let mut bindings = Bindings::default();
        for number in 0..DNS_BINDINGS {
            put(
                &mut bindings,
                address(number),
                "a.example",
                100 + u64::from(number),
            );
        }
        assert_eq!(bindings.count, DNS_BINDINGS as usize);
        assert_eq!(bindings.of(address(0)).len(), 1);
        put(&mut bindings, address(DNS_BINDINGS), "a.example", 1);
        assert_eq!(bindings.count, DNS_BINDINGS as usize);
        assert!(bindings.of(address(0)).is_empty());
        assert_eq!(bindings.of(address(1)).len(), 1);
        assert_eq!(bindings.of(address(DNS_BINDINGS)).len(), 1);
    }

    #[test]
    fn one_address_holds_a_few_names() {
        let mut bindings = Bindings::default();
        for number in 0..=NAMES_PER_ADDRESS {
            put(
                &mut bindings,
                address(1),
                &format!("n{number}.example"),
                number as u64,
            );
        }
        let left = names(&bindings, 1);
        assert_eq!(left.len(), NAMES_PER_ADDRESS);
        assert!(!left.contains(&"n0.example".to_owned()));
    }

    #[test]
    fn a_shorter_answer_does_not_end_a_longer_one() {
        let mut bindings = Bindings::default();
        put(&mut bindings, address(1), "a.example", 300);
        put(&mut bindings, address(1), "a.example", 5);
        assert_eq!(bindings.of(address(1))[0].until, Instant::from_secs(300));
    }
}
