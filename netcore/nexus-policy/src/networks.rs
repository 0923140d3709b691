//! Networks and their ports, for several tables that are asked about the same address.
//!
//! The borders of all networks of a set of tables cut the addresses into places: two addresses of
//! one place are in the same networks. Finding the place of an address is one binary search
//! ([`Borders::place`]), done once a decision, however many of the tables are asked and however
//! often. From there a table walks up its networks around the place (networks nest or are apart,
//! so the walk is as long as the nesting is deep).

use core::cmp::Reverse;
use core::net::IpAddr;
use core::num::NonZeroU32;
use std::collections::{BTreeMap, BTreeSet};

use crate::address::{AddressClass, Network, class_named_by};
use crate::index::RuleIndex;
use crate::port_map::PortMap;

/// Where networks begin, and the first address after each, sorted.
#[derive(Clone, Debug, Default)]
pub(crate) struct Borders {
    v4: Vec<u32>,
    v6: Vec<u128>,
}

/// Where an address is: how many borders are not above it, those of IPv4 being below all of IPv6.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Place(u32);

impl Borders {
    pub(crate) fn of(networks: impl IntoIterator<Item = Network>) -> Self {
        let (mut v4, mut v6) = (BTreeSet::new(), BTreeSet::new());
        for network in networks {
            let (first, last) = network.bounds().into_inner();
            let borders = [Some(first), last.checked_add(1)].into_iter().flatten();
            if network.address().is_ipv4() {
                // What is after the last address is no border: there is nobody to tell apart.
                v4.extend(borders.filter_map(|border| u32::try_from(border).ok()));
            } else {
                v6.extend(borders);
            }
        }
        Self {
            v4: v4.into_iter().collect(),
            v6: v6.into_iter().collect(),
        }
    }

    pub(crate) fn place(&self, address: IpAddr) -> Place {
        let below = match address {
            IpAddr::V4(v4) => count(&self.v4, u32::from(v4)),
            // Below the first border of IPv6 is a place of its own.
            IpAddr::V6(v6) => self.v4.len() + 1 + count(&self.v6, u128::from(v6)),
        };
        // Rules are counted in a u32, and policies are far smaller than half of one.
        Place(below as u32)
    }
}

fn count<K: Ord + Copy>(borders: &[K], address: K) -> usize {
    borders.partition_point(|border| *border <= address)
}

/// The networks of one table.
#[derive(Clone, Debug, Default)]
pub(crate) struct NetTable {
    nets: Vec<Net>,
    /// The narrowest network around each place; empty if there is no network.
    narrowest: Vec<Option<NetNumber>>,
}

/// A network's place in [`NetTable::nets`], plus one.
type NetNumber = NonZeroU32;

#[derive(Clone, Debug)]
struct Net {
    /// The narrowest network around this one.
    parent: Option<NetNumber>,
    /// What it names when it allows.
    class: AddressClass,
    /// A single address also names itself where the topology makes it the node's own.
    is_host: bool,
    ports: PortMap,
}

/// The networks of one family on their way into a table: the wider before the narrower.
type Sorted = BTreeMap<(u128, Reverse<u128>), (Network, Vec<(u16, u16, RuleIndex)>)>;

impl NetTable {
    /// `borders` are those of these networks and of any others.
    pub(crate) fn build(
        borders: &Borders,
        networks: BTreeMap<Network, Vec<(u16, u16, RuleIndex)>>,
    ) -> Self {
        let (mut v4, mut v6) = (Sorted::new(), Sorted::new());
        for (network, ranges) in networks {
            let family = if network.address().is_ipv4() {
                &mut v4
            } else {
                &mut v6
            };
            let (first, last) = network.bounds().into_inner();
            family.insert((first, Reverse(last)), (network, ranges));
        }
        let mut table = Self::default();
        if !(v4.is_empty() && v6.is_empty()) {
            table.add(borders.v4.iter().map(|border| u128::from(*border)), v4);
            table.add(borders.v6.iter().copied(), v6);
        }
        table
    }

    /// Adds the networks and the places of one family.
    fn add(&mut self, borders: impl Iterator<Item = u128>, networks: Sorted) {
        let mut networks = networks.into_iter().peekable();
        let mut around: Vec<(NetNumber, u128)> = Vec::new();
        // Nothing is around what is below the first border.
        self.narrowest.push(None);
        for border in borders {
            around.retain(|(_, last)| *last >= border);
            while let Some(((_, Reverse(last)), (network, ranges))) =
                networks.next_if(|((first, _), _)| *first == border)
            {
                self.nets.push(Net {
                    parent: around.last().map(|(number, _)| *number),
                    class: class_named_by(network),
                    is_host: network.is_host(),
                    ports: PortMap::build(&ranges),
                });
                // A policy's rules are counted in a u32, and one was pushed just now.
                let number = u32::try_from(self.nets.len()).ok().and_then(NetNumber::new);
                around.extend(number.map(|number| (number, last)));
            }
            self.narrowest
                .push(around.last().map(|(number, _)| *number));
        }
    }

    /// A rule for `port` in a network around `place`, the narrowest that has one and `fits` by
    /// the class it names and whether it is a single address.
    pub(crate) fn find(
        &self,
        place: Place,
        port: u16,
        fits: impl Fn(AddressClass, bool) -> bool,
    ) -> Option<RuleIndex> {
        let mut next = *self.narrowest.get(place.0 as usize)?;
        while let Some(number) = next {
            let net = self.nets.get(number.get() as usize - 1)?;
            if fits(net.class, net.is_host)
                && let Some(rule) = net.ports.find(port)
            {
                return Some(rule);
            }
            next = net.parent;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// An address of a small part of either family: many networks are around it.
    fn address(v6: bool, low: u16) -> IpAddr {
        let [a, b] = low.to_be_bytes();
        if v6 {
            IpAddr::from([0x2a00, 0, 0, 0, 0, 0, 0, low])
        } else {
            IpAddr::from([93, 184, a, b])
        }
    }

    fn network(v6: bool, low: u16, wide: u8) -> Network {
        let bits = if v6 { 128 } else { 32 };
        Network::containing(address(v6, low), bits - wide).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

        /// Two tables over the borders of both find, each, the narrowest of its own networks.
        #[test]
        fn tables_that_share_borders_answer_as_a_walk_does(
            nets in proptest::collection::vec((any::<bool>(), any::<bool>(), any::<u16>(), 0_u8..=16), 0..40),
            probes in proptest::collection::vec((any::<bool>(), any::<u16>()), 20),
        ) {
            let mut tables = [BTreeMap::new(), BTreeMap::new()];
            for (index, (second, v6, low, wide)) in (0..).zip(&nets) {
                let table = &mut tables[usize::from(*second)];
                table.entry(network(*v6, *low, *wide)).or_insert_with(Vec::new).push((1, 9, index));
            }
            let borders = Borders::of(tables.iter().flat_map(|table| table.keys().copied()));
            let begins = nets.iter().map(|(_, v6, low, _)| (*v6, *low));
            for (v6, low) in probes.into_iter().chain(begins).flat_map(|(v6, low)| {
                [(v6, low.wrapping_sub(1)), (v6, low), (v6, low.wrapping_add(1))]
            }) {
                let address = address(v6, low);
                for table in &tables {
                    let narrowest = table.iter().filter(|(n, _)| n.contains(address)).max_by_key(|(n, _)| n.prefix());
                    let expected = narrowest.map(|(_, ranges)| ranges[0].2);
                    let built = NetTable::build(&borders, table.clone());
                    let found = built.find(borders.place(address), 5, |_, _| true);
                    prop_assert_eq!(found, expected, "{}", address);
                    prop_assert_eq!(built.find(borders.place(address), 10, |_, _| true), None);
                }
            }
        }
    }

    #[test]
    fn the_first_and_the_last_address_are_in_the_network_of_everything() {
        for text in ["0.0.0.0", "255.255.255.255", "::", "ffff::ffff"] {
            let address: IpAddr = text.parse().unwrap();
            let all = Network::containing(address, 0).unwrap();
            let borders = Borders::of([all]);
            let table = NetTable::build(&borders, BTreeMap::from([(all, vec![(1, 1, 7)])]));
            let found = table.find(borders.place(address), 1, |_, _| true);
            assert_eq!(found, Some(7), "{text}");
        }
    }

    #[test]
    fn a_network_without_the_port_leaves_it_to_the_one_around_it() {
        let (wide, narrow) = (network(false, 0, 16), network(false, 0, 4));
        let borders = Borders::of([wide, narrow]);
        let ports = |first| vec![(first, first, u32::from(first))];
        let networks = BTreeMap::from([(wide, ports(80)), (narrow, ports(443))]);
        let table = NetTable::build(&borders, networks);
        let find = |low, port| table.find(borders.place(address(false, low)), port, |_, _| true);
        assert_eq!([find(1, 443), find(1, 80)], [Some(443), Some(80)]);
        assert_eq!([find(16, 443), find(16, 80)], [None, Some(80)]);
    }
}
