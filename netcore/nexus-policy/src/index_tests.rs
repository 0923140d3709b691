//! The index finds what looking through all rules would find.

use proptest::prelude::*;

use super::*;
use crate::address::Network;

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_port_map_answers_as_its_ranges_do(ranges in proptest::collection::vec((1_u16..60, 0_u16..20, 0_u32..8), 0..12)) {
        let ranges: Vec<_> = ranges.into_iter().map(|(first, more, rule)| (first, first + more, rule)).collect();
        let map = PortMap::build(&ranges);
        let slow = |port| ranges.iter().filter(|(first, last, _)| (*first..=*last).contains(&port)).map(|r| r.2).min();
        for port in 1..90 {
            prop_assert_eq!(map.find(port), slow(port), "{}", port);
            // No answer changes between a port and its next edge.
            let next = map.next_edge(port).unwrap_or(90);
            prop_assert!(next > port);
            prop_assert!((port..next).all(|p| slow(p) == slow(port)), "{}..{}", port, next);
        }
        for (first, last) in [(1, 5), (10, 30), (20, 20), (1, 79)] {
            prop_assert_eq!(map.meets((first, last)).is_some(), (first..=last).any(|p| slow(p).is_some()));
            prop_assert_eq!(map.covers((first, last)).is_some(), (first..=last).all(|p| slow(p).is_some()));
        }
    }

    #[test]
    fn nested_networks_answer_as_a_walk_does(nets in proptest::collection::vec((any::<u16>(), 16_u8..=32), 0..40), probes in proptest::collection::vec(any::<u16>(), 20)) {
        let address = |low: u16| IpAddr::from([93, 184, (low >> 8) as u8, low as u8]);
        let rules: Vec<_> = nets
            .iter()
            .map(|(low, prefix)| {
                let network = Network::containing(address(*low), *prefix).unwrap();
                Rule::Destination(Destination { host: HostPattern::Network(network), ports: PortSet::any() })
            })
            .collect();
        let table = RuleTable::build((0..).zip(rules.iter().map(Some)));
        for low in probes.into_iter().chain(nets.iter().map(|(low, _)| *low)) {
            let found = table.nets(address(low), 1, |_, _| true);
            let walk: Vec<_> = (0..)
                .zip(&rules)
                .filter(|(_, rule)| matches!(rule, Rule::Destination(Destination { host: HostPattern::Network(n), .. }) if n.contains(address(low))))
                .map(|(index, _): (u32, _)| index)
                .collect();
            prop_assert_eq!(found.is_some(), !walk.is_empty());
            prop_assert!(found.is_none_or(|index| walk.contains(&index)));
        }
    }
}

#[test]
fn the_last_port_has_no_edge_after_it() {
    let map = PortMap::build(&[(65_535, 65_535, 0)]);
    assert_eq!(
        (map.find(65_535), map.next_edge(1), map.next_edge(65_535)),
        (Some(0), Some(65_535), None)
    );
    let all = PortMap::build(&[(1, 65_535, 0)]);
    assert_eq!(all.covers((1, 65_535)), Some(0));
    assert_eq!(all.next_edge(1), None);
}

/// Found by the property above: the edge after a range that ends at the very port asked about.
#[test]
fn the_edge_after_a_single_port_is_the_next_port() {
    assert_eq!(PortMap::build(&[(1, 1, 0)]).next_edge(1), Some(2));
}
