//! Ports to rules: a binary search among disjoint ranges.

use std::collections::{BTreeMap, BTreeSet};

use crate::index::RuleIndex;

/// Ports to rules: sorted, disjoint ranges.
#[derive(Clone, Debug, Default)]
pub(crate) struct PortMap(Vec<PortRange>);

#[derive(Clone, Copy, Debug)]
struct PortRange {
    first: u16,
    last: u16,
    rule: RuleIndex,
}

impl PortMap {
    /// Where ranges overlap the rule that comes first is kept.
    pub(crate) fn build(ranges: &[(u16, u16, RuleIndex)]) -> Self {
        let mut edges: BTreeSet<u32> = BTreeSet::new();
        let mut begins: BTreeMap<u32, Vec<(u32, RuleIndex)>> = BTreeMap::new();
        for (first, last, rule) in ranges {
            let (first, end) = (u32::from(*first), u32::from(*last) + 1);
            edges.extend([first, end]);
            begins.entry(first).or_default().push((end, *rule));
        }
        let mut open: BTreeSet<(RuleIndex, u32)> = BTreeSet::new();
        let mut map: Vec<PortRange> = Vec::new();
        let edges: Vec<_> = edges.into_iter().collect();
        for (at, edge) in edges.iter().enumerate() {
            open.extend(
                begins
                    .remove(edge)
                    .unwrap_or_default()
                    .into_iter()
                    .map(|(end, rule)| (rule, end)),
            );
            while open.first().is_some_and(|(_, end)| end <= edge) {
                open.pop_first();
            }
            let (Some((rule, _)), Some(next)) = (open.first().copied(), edges.get(at + 1)) else {
                continue;
            };
            let (first, last) = (*edge as u16, (*next - 1) as u16);
            match map.last_mut() {
                Some(before) if before.rule == rule && u32::from(before.last) + 1 == *edge => {
                    before.last = last
                }
                _ => map.push(PortRange { first, last, rule }),
            }
        }
        Self(map)
    }

    /// The rule for `port`.
    pub(crate) fn find(&self, port: u16) -> Option<RuleIndex> {
        let at = self.0.partition_point(|range| range.first <= port);
        let range = self.0.get(at.checked_sub(1)?)?;
        (port <= range.last).then_some(range.rule)
    }

    /// A rule for any port there is.
    pub(crate) fn any(&self) -> Option<RuleIndex> {
        Some(self.0.first()?.rule)
    }

    /// The first port there is a rule for.
    pub(crate) fn first(&self) -> Option<u16> {
        Some(self.0.first()?.first)
    }

    /// The first port after `port` where the answer may be another.
    pub(crate) fn next_edge(&self, port: u16) -> Option<u16> {
        let at = self.0.partition_point(|range| range.last < port);
        let range = self.0.get(at)?;
        if range.first > port {
            Some(range.first)
        } else {
            range.last.checked_add(1)
        }
    }

    /// A rule that has any port of the range.
    pub(crate) fn meets(&self, (first, last): (u16, u16)) -> Option<RuleIndex> {
        let at = self.0.partition_point(|range| range.last < first);
        self.0
            .get(at)
            .filter(|range| range.first <= last)
            .map(|range| range.rule)
    }

    /// Whether the rules have every port of the range between them.
    pub(crate) fn covers(&self, (first, last): (u16, u16)) -> Option<RuleIndex> {
        let rule = self.find(first)?;
        let mut port = first;
        loop {
            let at = self.0.partition_point(|range| range.last < port);
            let range = self.0.get(at).filter(|range| range.first <= port)?;
            if range.last >= last {
                return Some(rule);
            }
            port = range.last + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
}
