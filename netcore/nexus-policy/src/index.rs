//! Rules turned into tables, so that a decision costs the same with ten rules as with ten thousand.
//!
//! - A name is one probe of a hash table, and one for each of its parents.
//! - An address is one binary search for all tables that are asked together, then in each a walk
//!   up the networks around it (`networks.rs`).
//! - A class is an array element.
//! - Ports are a binary search among disjoint ranges.
//!
//! A table is built when a policy or a manifest is set and never changed. Where several rules
//! match, one of them is returned, the same each time.

use core::net::IpAddr;
use std::collections::BTreeMap;

use nexus_types::HostName;

use crate::address::{AddressClass, Canonical, Network, class_named_by, class_of};
use crate::names::{NameTable, QueryName};
use crate::networks::{Borders, NetTable, Place};
use crate::port_map::PortMap;
use crate::ports::{DYNAMIC_PORTS, PortSet};
use crate::rule::{Destination, HOST_INTERNAL, HostPattern, Local, LocalPattern, Rule};
use crate::urls::{UrlTable, UrlTableBuilder, UrlTarget};
use crate::wasi::{DirectoryMode, DirectoryRule, VariableName};

/// A rule's place in the list the table was built from.
pub(crate) type RuleIndex = u32;

/// A far end as rules see it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RemoteTarget {
    /// What is judged.
    pub(crate) canonical: Canonical,
    /// As the packets would carry it.
    pub(crate) dialled: IpAddr,
    pub(crate) class: AddressClass,
    pub(crate) port: u16,
}

/// Where a far end is among the networks of a set of tables ([`site`]).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Site {
    canonical: Place,
    dialled: Place,
}

/// Finds `target` among the networks of the tables that were built with `borders`.
pub(crate) fn site(borders: &Borders, target: &RemoteTarget) -> Site {
    let canonical = borders.place(target.canonical.address);
    let other = target.dialled != target.canonical.address;
    Site {
        canonical,
        dialled: if other {
            borders.place(target.dialled)
        } else {
            canonical
        },
    }
}

/// The borders of the networks among `rules`, for all tables they go into.
pub(crate) fn borders<'a>(rules: impl IntoIterator<Item = &'a Rule>) -> Borders {
    Borders::of(rules.into_iter().filter_map(|rule| match rule {
        Rule::Destination(Destination {
            host: HostPattern::Network(network),
            ..
        }) => Some(*network),
        _ => None,
    }))
}

/// All rules of one capability and one verdict.
#[derive(Clone, Debug, Default)]
pub(crate) struct RuleTable {
    names: NameTable<PortMap>,
    below: NameTable<PortMap>,
    nets: NetTable,
    classes: [PortMap; AddressClass::COUNT],
    /// Ports of any network that names `public`: what a name could resolve into.
    networks: PortMap,
    locals: LocalTable,
    directories: Vec<(DirectoryRule, RuleIndex)>,
    variables: BTreeMap<VariableName, RuleIndex>,
    /// Rules about requests.
    pub(crate) urls: UrlTable,
    /// A rule that names nothing and so means everything.
    every: Option<RuleIndex>,
}

#[derive(Clone, Debug, Default)]
struct LocalTable {
    any: PortMap,
    loopback: PortMap,
    addresses: BTreeMap<IpAddr, PortMap>,
    /// All of them together.
    all: PortMap,
}

impl RuleTable {
    /// A table of `rules`; a rule of `None` means every target. `borders` are those of these rules
    /// and of the rules of the tables that are asked together with this one.
    pub(crate) fn build<'a>(
        borders: &Borders,
        rules: impl IntoIterator<Item = (RuleIndex, Option<&'a Rule>)>,
    ) -> Self {
        let mut builder = Builder::default();
        for (index, rule) in rules {
            builder.add(index, rule);
        }
        builder.finish(borders)
    }

    /// A rule that covers `target` when it allows: by address if its class is the one the rule
    /// names, or by `name` if the class is the one names mean.
    pub(crate) fn allows(
        &self,
        target: &RemoteTarget,
        site: Site,
        name: Option<&QueryName<'_>>,
    ) -> Option<RuleIndex> {
        self.classes[target.class as usize]
            .find(target.port)
            .or_else(|| {
                self.nets
                    .find(site.canonical, target.port, |class, is_host| {
                        class == target.class || (is_host && target.class == AddressClass::Loopback)
                    })
            })
            .or_else(|| {
                let name = name.filter(|name| name_means(name.as_str()) == target.class)?;
                self.name(name, target.port)
            })
    }

    /// A rule that covers `target` when it forbids or asks: every address in a network, in
    /// either form, whatever its class; a name at any address; `host.internal` is the class `host`.
    pub(crate) fn catches(
        &self,
        target: &RemoteTarget,
        site: Site,
        name: Option<&QueryName<'_>>,
    ) -> Option<RuleIndex> {
        let every = |_, _| true;
        self.every
            .or_else(|| self.classes[target.class as usize].find(target.port))
            .or_else(|| self.nets.find(site.canonical, target.port, every))
            .or_else(|| {
                // In the same place it is in the same networks.
                let other = site.dialled != site.canonical;
                other
                    .then(|| self.nets.find(site.dialled, target.port, every))
                    .flatten()
            })
            .or_else(|| {
                let host = target.class == AddressClass::Host;
                host.then(|| {
                    self.names
                        .exact(&QueryName::new(HOST_INTERNAL))?
                        .find(target.port)
                })
                .flatten()
            })
            .or_else(|| self.name(name?, target.port))
    }

    /// A rule that names `name` at `port`.
    pub(crate) fn name(&self, name: &QueryName<'_>, port: u16) -> Option<RuleIndex> {
        self.names
            .exact(name)
            .and_then(|ports| ports.find(port))
            .or_else(|| self.below.parents(name).find_map(|ports| ports.find(port)))
    }

    /// As `catches`, for a name that has no address yet.
    pub(crate) fn catches_name(&self, name: &QueryName<'_>, port: u16) -> Option<RuleIndex> {
        self.every
            .or_else(|| self.name(name, port))
            .or_else(|| self.classes[name_means(name.as_str()) as usize].find(port))
    }

    /// As `allows`, for a name that has no address yet: some address it may have is covered.
    pub(crate) fn allows_name(&self, name: &QueryName<'_>, port: u16) -> Option<RuleIndex> {
        let class = name_means(name.as_str());
        self.name(name, port)
            .or_else(|| self.classes[class as usize].find(port))
            .or_else(|| {
                (class == AddressClass::Public)
                    .then(|| self.networks.find(port))
                    .flatten()
            })
    }

    /// As `allows_name`, at any port.
    pub(crate) fn allows_name_somewhere(&self, name: &QueryName<'_>) -> Option<RuleIndex> {
        let class = name_means(name.as_str());
        self.port_maps_of(name)
            .chain([&self.classes[class as usize]])
            .chain((class == AddressClass::Public).then_some(&self.networks))
            .find_map(PortMap::any)
    }

    /// A port at which `name` is named.
    pub(crate) fn first_port(&self, name: &QueryName<'_>) -> Option<u16> {
        self.port_maps_of(name).find_map(PortMap::first)
    }

    /// The first port after `port` where an answer about `name` may be another.
    pub(crate) fn next_edge(&self, name: &QueryName<'_>, port: u16) -> Option<u16> {
        self.port_maps_of(name)
            .chain([
                &self.classes[name_means(name.as_str()) as usize],
                &self.networks,
            ])
            .filter_map(|ports| ports.next_edge(port))
            .min()
    }

    fn port_maps_of<'a>(&'a self, name: &'a QueryName<'a>) -> impl Iterator<Item = &'a PortMap> {
        self.names
            .exact(name)
            .into_iter()
            .chain(self.below.parents(name))
    }

    /// A rule that lets an app listen at `address` (canonical) and `port`; 0 is any dynamic port.
    pub(crate) fn allows_local(&self, address: IpAddr, port: u16) -> Option<RuleIndex> {
        let has = |ports: &PortMap| {
            if port == 0 {
                ports.covers(DYNAMIC_PORTS)
            } else {
                ports.find(port)
            }
        };
        let locals = &self.locals;
        has(&locals.any)
            .or_else(|| {
                (class_of(address) == AddressClass::Loopback)
                    .then(|| has(&locals.loopback))
                    .flatten()
            })
            .or_else(|| locals.addresses.get(&address).and_then(has))
    }

    /// A rule that forbids (or asks about) some part of `address` and `port`. Listening on
    /// `0.0.0.0` is listening on all of the node's addresses.
    pub(crate) fn catches_local(&self, address: IpAddr, port: u16) -> Option<RuleIndex> {
        let range = if port == 0 {
            DYNAMIC_PORTS
        } else {
            (port, port)
        };
        let locals = &self.locals;
        if self.every.is_some() || address.is_unspecified() {
            return self.every.or_else(|| locals.all.meets(range));
        }
        locals
            .any
            .meets(range)
            .or_else(|| {
                (class_of(address) == AddressClass::Loopback)
                    .then(|| locals.loopback.meets(range))
                    .flatten()
            })
            .or_else(|| {
                locals
                    .addresses
                    .get(&address)
                    .and_then(|ports| ports.meets(range))
            })
    }

    /// A rule that gives this folder.
    pub(crate) fn allows_directory(&self, path: &str, mode: DirectoryMode) -> Option<RuleIndex> {
        self.directories
            .iter()
            .find(|(rule, _)| rule.gives(path, mode))
            .map(|(_, index)| *index)
    }

    /// A rule that forbids (or asks about) some part of this folder: around it, or inside it.
    pub(crate) fn catches_directory(&self, path: &str, mode: DirectoryMode) -> Option<RuleIndex> {
        let caught = |rule: &DirectoryRule| rule.touches(path, mode);
        self.every.or_else(|| {
            self.directories
                .iter()
                .find(|(rule, _)| caught(rule))
                .map(|(_, index)| *index)
        })
    }

    /// A rule about this variable.
    pub(crate) fn variable(&self, name: &str) -> Option<RuleIndex> {
        self.variables.get(name).copied()
    }

    /// A rule that forbids (or asks about) a request.
    pub(crate) fn catches_request(
        &self,
        target: &UrlTarget<'_>,
        name: Option<&QueryName<'_>>,
    ) -> Option<RuleIndex> {
        self.every.or_else(|| self.urls.catches(target, name))
    }

    /// A rule that is about `name` in so many words, at whatever port or path.
    pub(crate) fn names(&self, name: &QueryName<'_>) -> Option<RuleIndex> {
        self.port_maps_of(name)
            .find_map(PortMap::any)
            .or_else(|| self.urls.names(name))
    }

    /// A rule that means every target.
    pub(crate) fn every(&self) -> Option<RuleIndex> {
        self.every
    }
}

/// The class of addresses a name rule means.
pub(crate) fn name_means(name: &str) -> AddressClass {
    if name == HOST_INTERNAL {
        AddressClass::Host
    } else {
        AddressClass::Public
    }
}

#[derive(Default)]
struct Builder<'a> {
    names: BTreeMap<HostName, Vec<(u16, u16, RuleIndex)>>,
    below: BTreeMap<HostName, Vec<(u16, u16, RuleIndex)>>,
    nets: BTreeMap<Network, Vec<(u16, u16, RuleIndex)>>,
    classes: [Vec<(u16, u16, RuleIndex)>; AddressClass::COUNT],
    networks: Vec<(u16, u16, RuleIndex)>,
    any: Vec<(u16, u16, RuleIndex)>,
    loopback: Vec<(u16, u16, RuleIndex)>,
    addresses: BTreeMap<IpAddr, Vec<(u16, u16, RuleIndex)>>,
    directories: Vec<(DirectoryRule, RuleIndex)>,
    variables: BTreeMap<VariableName, RuleIndex>,
    urls: UrlTableBuilder<'a>,
    every: Option<RuleIndex>,
}

fn push(list: &mut Vec<(u16, u16, RuleIndex)>, ports: &PortSet, index: RuleIndex) {
    list.extend(
        ports
            .ranges()
            .iter()
            .map(|(first, last)| (*first, *last, index)),
    );
}

impl<'a> Builder<'a> {
    fn add(&mut self, index: RuleIndex, rule: Option<&'a Rule>) {
        match rule {
            None => self.every = self.every.or(Some(index)),
            Some(Rule::Destination(rule)) => self.add_destination(index, rule),
            Some(Rule::Local(rule)) => self.add_local(index, rule),
            Some(Rule::Directory(rule)) => self.directories.push((rule.clone(), index)),
            Some(Rule::Variable(name)) => {
                self.variables.entry(name.clone()).or_insert(index);
            }
            Some(Rule::Url(rule)) => self.urls.add(index, rule),
            // Of capabilities this build does not have: nothing is ever decided by them.
            Some(
                Rule::Operation(_)
                | Rule::Label(_)
                | Rule::Peer(_)
                | Rule::Purpose(_)
                | Rule::Function(_)
                | Rule::Scopes(_),
            ) => {}
        }
    }

    fn add_destination(&mut self, index: RuleIndex, rule: &Destination) {
        let list = match &rule.host {
            HostPattern::Name(name) => self.names.entry(name.clone()).or_default(),
            HostPattern::Below(parent) => self.below.entry(parent.clone()).or_default(),
            HostPattern::Class(class) => &mut self.classes[*class as usize],
            HostPattern::Network(network) => {
                if class_named_by(*network) == AddressClass::Public {
                    push(&mut self.networks, &rule.ports, index);
                }
                self.nets.entry(*network).or_default()
            }
        };
        push(list, &rule.ports, index);
    }

    fn add_local(&mut self, index: RuleIndex, rule: &Local) {
        let list = match rule.at {
            LocalPattern::Any => &mut self.any,
            LocalPattern::Loopback => &mut self.loopback,
            LocalPattern::Address(address) => self.addresses.entry(address).or_default(),
        };
        push(list, &rule.ports, index);
    }

    fn finish(self, borders: &Borders) -> RuleTable {
        let all: Vec<_> = [&self.any, &self.loopback]
            .into_iter()
            .chain(self.addresses.values())
            .flatten()
            .copied()
            .collect();
        let named = |names: BTreeMap<HostName, Vec<_>>| {
            let ports = names.into_iter();
            NameTable::build(ports.map(|(name, ranges)| (name, PortMap::build(&ranges))))
        };
        RuleTable {
            names: named(self.names),
            below: named(self.below),
            nets: NetTable::build(borders, self.nets),
            classes: self.classes.map(|ranges| PortMap::build(&ranges)),
            networks: PortMap::build(&self.networks),
            locals: LocalTable {
                any: PortMap::build(&self.any),
                loopback: PortMap::build(&self.loopback),
                addresses: self
                    .addresses
                    .into_iter()
                    .map(|(at, ranges)| (at, PortMap::build(&ranges)))
                    .collect(),
                all: PortMap::build(&all),
            },
            directories: self.directories,
            variables: self.variables,
            urls: self.urls.finish(),
            every: self.every,
        }
    }
}
