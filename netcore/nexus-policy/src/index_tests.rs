//! The index finds what looking through all rules would find.

use proptest::prelude::*;

use super::*;
use crate::address::Network;

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

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
