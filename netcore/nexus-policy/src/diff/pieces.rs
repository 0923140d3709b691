//! A rule cut where other rules have edges, so that each of them takes a piece whole or not at all
//! (but for names, which only a lookup places).

use std::collections::{BTreeMap, BTreeSet};

use crate::address::Network;
use crate::parameter::url::{Methods, UrlRule};
use crate::ports::PortSet;
use crate::rule::{Destination, HostPattern, Local, Rule};

/// Pieces of one rule. Two policies with thousands of nested networks would else be cut into every
/// address there is; past it a network is compared whole, and its difference said as "may".
const PIECES_MAX: usize = 4_096;

/// A piece of a rule; none: of everything.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Piece {
    pub(super) rule: Option<Rule>,
}

/// `place` cut at the edges of `others`.
pub(super) fn cut<'a>(
    place: Option<&'a Rule>,
    others: impl Iterator<Item = &'a Rule>,
) -> Vec<Piece> {
    let others: Vec<_> = others.collect();
    let rules: Vec<Rule> = match place {
        None => return vec![Piece { rule: None }],
        Some(Rule::Destination(rule)) => {
            let hosts = match &rule.host {
                HostPattern::Network(network) => networks(*network, &others)
                    .into_iter()
                    .map(HostPattern::Network)
                    .collect(),
                host => vec![host.clone()],
            };
            let ports = ports(&rule.ports, &others);
            let ports = if hosts.len() * ports.len() > PIECES_MAX {
                vec![rule.ports.clone()]
            } else {
                ports
            };
            let each = hosts.iter().flat_map(|host| {
                ports.iter().map(|ports| {
                    Rule::Destination(Destination {
                        host: host.clone(),
                        ports: ports.clone(),
                    })
                })
            });
            each.collect()
        }
        Some(Rule::Local(rule)) => ports(&rule.ports, &others)
            .into_iter()
            .map(|ports| Rule::Local(Local { at: rule.at, ports }))
            .collect(),
        Some(Rule::Url(rule)) => {
            let each = rule.methods.each();
            let each = each.map(|method| {
                Rule::Url(UrlRule {
                    methods: Methods::only(method),
                    ..rule.clone()
                })
            });
            each.collect()
        }
        Some(other) => vec![other.clone()],
    };
    rules
        .into_iter()
        .map(|rule| Piece { rule: Some(rule) })
        .collect()
}

/// What a forbid or an ask of a network takes besides the class that the network names: addresses of others.
pub(super) fn other_classes(place: &Rule) -> Vec<Rule> {
    let Rule::Destination(Destination {
        host: HostPattern::Network(network),
        ports,
    }) = place
    else {
        return Vec::new();
    };
    let parts = network.other_classes();
    let nameable = parts.filter(|(_, class)| class.is_nameable());
    let rules = nameable.map(|(part, _)| {
        Rule::Destination(Destination {
            host: HostPattern::Network(part),
            ports: ports.clone(),
        })
    });
    rules.collect()
}

fn ports(of: &PortSet, others: &[&Rule]) -> Vec<PortSet> {
    // Where a range begins, and after it ends.
    let mut edges = BTreeSet::new();
    for rule in others {
        let ranges = match rule {
            Rule::Destination(rule) => rule.ports.ranges(),
            Rule::Local(rule) => rule.ports.ranges(),
            _ => &[],
        };
        for (first, last) in ranges {
            edges.insert(u32::from(*first));
            edges.insert(u32::from(*last) + 1);
        }
    }
    let mut pieces = Vec::new();
    for (first, last) in of.ranges() {
        let mut from = u32::from(*first);
        let end = u32::from(*last) + 1;
        for edge in edges.range(from + 1..end).copied().chain([end]) {
            pieces.extend(range(from, edge - 1));
            from = edge;
        }
    }
    pieces
}

fn range(first: u32, last: u32) -> Option<PortSet> {
    PortSet::parse(&format!("{first}-{last}")).ok()
}

/// `network`, halved as long as one of the others lies within a half.
fn networks(network: Network, others: &[&Rule]) -> Vec<Network> {
    let within: Vec<Network> = others
        .iter()
        .filter_map(|rule| match rule {
            Rule::Destination(Destination {
                host: HostPattern::Network(other),
                ..
            }) => Some(*other),
            _ => None,
        })
        .filter(|other| network.covers(*other) && *other != network)
        .collect();
    let mut pieces = Vec::new();
    let mut open = vec![(network, within)];
    while let Some((part, within)) = open.pop() {
        let Some(halves) = part.halves().filter(|_| !within.is_empty()) else {
            pieces.push(part);
            continue;
        };
        for half in halves {
            let inside = within
                .iter()
                .copied()
                .filter(|other| half.covers(*other) && *other != half);
            open.push((half, inside.collect()));
        }
        if pieces.len() + open.len() > PIECES_MAX {
            return vec![network];
        }
    }
    pieces.sort_unstable();
    pieces
}

/// The texts of pieces of one rule, ports of the same host and methods of the same URL put together again.
pub(super) fn joined(pieces: &[&Piece]) -> Vec<String> {
    let mut texts = Vec::new();
    let mut by_url: Vec<UrlRule> = Vec::new();
    let mut by_host: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for piece in pieces {
        match &piece.rule {
            Some(Rule::Destination(rule)) => {
                by_host
                    .entry(rule.host.to_string())
                    .or_default()
                    .push(rule.ports.to_string());
            }
            Some(Rule::Local(rule)) => {
                let whole = rule.to_string();
                let at = whole
                    .strip_suffix(&format!(":{}", rule.ports))
                    .unwrap_or(&whole);
                by_host
                    .entry(at.to_owned())
                    .or_default()
                    .push(rule.ports.to_string());
            }
            Some(Rule::Url(rule)) => {
                let same =
                    |url: &&mut UrlRule| (&url.origin, &url.path) == (&rule.origin, &rule.path);
                match by_url.iter_mut().find(same) {
                    Some(url) => url.methods = url.methods.union(rule.methods),
                    None => by_url.push(rule.clone()),
                }
            }
            Some(other) => texts.push(other.to_string()),
            None => texts.push("everything".to_owned()),
        }
    }
    texts.extend(by_url.iter().map(UrlRule::to_string));
    for (host, ports) in by_host {
        let list = ports.join(",");
        let ports = PortSet::parse(&list).map_or(list, |ports| ports.to_string());
        texts.push(format!("{host}:{ports}"));
    }
    texts
}
