//! Rules about requests in tables: as `index.rs` has destinations.
//!
//! - A host is found as a destination's: a name by one probe and one for each parent, an address, a class.
//! - Scheme and port are a binary search among those of the host.
//! - A path is one more, and a walk up the folders around it. Of paths in order the last that is not after the one
//!   asked for is in every folder that this one is in (all that begin with a folder stand together), so that what
//!   encloses it is that one or around that one.

use core::net::IpAddr;
use std::collections::BTreeMap;

use nexus_types::HostName;

use crate::address::{AddressClass, class_of};
use crate::index::{RemoteTarget, RuleIndex, name_means};
use crate::names::{NameTable, QueryName};
use crate::parameter::url::path::encloses;
use crate::parameter::url::{Method, Methods, Scheme, UrlRule};
use crate::request::Request;
use crate::rule::{HOST_INTERNAL, HostPattern};

/// Scheme and port.
pub(crate) type Door = (Scheme, u16);

/// A request as rules see it, but for its name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UrlTarget<'a> {
    pub(crate) method: Method,
    pub(crate) door: Door,
    pub(crate) path: &'a str,
    /// Whether all servers read the path alike.
    pub(crate) is_plain: bool,
    /// Where to, once that is known.
    pub(crate) far: Option<&'a RemoteTarget>,
}

impl<'a> UrlTarget<'a> {
    /// A request with this method, at `far` if that is known.
    pub(crate) fn of(request: &Request<'a>, method: Method, far: Option<&'a RemoteTarget>) -> Self {
        let url = request.url;
        Self {
            method,
            door: (url.scheme(), url.port()),
            path: url.path(),
            is_plain: url.is_plain(),
            far,
        }
    }
}

/// All rules about requests of one verdict.
#[derive(Clone, Debug, Default)]
pub(crate) struct UrlTable {
    names: NameTable<Doors>,
    below: NameTable<Doors>,
    addresses: BTreeMap<IpAddr, Doors>,
    classes: [Doors; AddressClass::COUNT],
}

impl UrlTable {
    /// A rule that covers a request when an app asks by it: it names the name, and the far end is of the class that
    /// names mean; or, where the URL has an address, it names that or its class.
    pub(crate) fn asks(
        &self,
        target: &UrlTarget<'_>,
        name: Option<&QueryName<'_>>,
    ) -> Option<RuleIndex> {
        let Some(name) = name else {
            return self.at(target.far?).find_map(|doors| doors.covers(target));
        };
        leads_there(target, name)
            .then(|| self.naming(name).find_map(|doors| doors.covers(target)))
            .flatten()
    }

    /// A rule that covers a request when the operator allows it: as [`UrlTable::asks`], and a class covers the names
    /// that mean it. (An app that asks for a class names nothing that could be looked up.)
    pub(crate) fn allows(
        &self,
        target: &UrlTarget<'_>,
        name: Option<&QueryName<'_>>,
    ) -> Option<RuleIndex> {
        self.asks(target, name).or_else(|| {
            let name = name.filter(|name| leads_there(target, name))?;
            self.classes[name_means(name.as_str()) as usize].covers(target)
        })
    }

    /// A rule that covers a request when it forbids or asks: by its name, wherever that leads; by the address it
    /// leads to, in either form, and its class.
    pub(crate) fn catches(
        &self,
        target: &UrlTarget<'_>,
        name: Option<&QueryName<'_>>,
    ) -> Option<RuleIndex> {
        let named = || self.naming(name?).find_map(|doors| doors.catches(target));
        let Some(far) = target.far else {
            let class = || self.classes[name_means(name?.as_str()) as usize].catches(target);
            return named().or_else(class);
        };
        let address = |address| self.addresses.get(&address)?.catches(target);
        let other = far.dialled != far.canonical.address;
        self.classes[far.class as usize]
            .catches(target)
            .or_else(|| address(far.canonical.address))
            .or_else(|| other.then(|| address(far.dialled)).flatten())
            .or_else(|| {
                let host = far.class == AddressClass::Host;
                let internal = || self.names.exact(&QueryName::new(HOST_INTERNAL));
                host.then(internal).flatten()?.catches(target)
            })
            .or_else(named)
    }

    /// A rule that names `name`.
    pub(crate) fn names(&self, name: &QueryName<'_>) -> Option<RuleIndex> {
        self.naming(name).find_map(Doors::any)
    }

    /// A rule by which a request by `name` could be allowed.
    pub(crate) fn allows_name(&self, name: &QueryName<'_>) -> Option<RuleIndex> {
        self.about(name).find_map(Doors::any)
    }

    /// Where in what names `name` there is something.
    pub(crate) fn doors<'a>(&'a self, name: &'a QueryName<'_>) -> impl Iterator<Item = Door> {
        self.naming(name)
            .flat_map(|doors| doors.0.iter().map(|(door, _)| *door))
    }

    /// The paths at which what is said of `name` at a door may change: one of each place that is said the same of.
    pub(crate) fn edges<'a>(
        &'a self,
        name: &'a QueryName<'_>,
        door: Door,
    ) -> impl Iterator<Item = &'a str> {
        self.about(name)
            .filter_map(move |doors| doors.at(door))
            .flat_map(|paths| paths.entries.iter().map(|entry| &*entry.path))
    }

    fn naming<'a>(&'a self, name: &'a QueryName<'_>) -> impl Iterator<Item = &'a Doors> {
        self.names
            .exact(name)
            .into_iter()
            .chain(self.below.parents(name))
    }

    fn about<'a>(&'a self, name: &'a QueryName<'_>) -> impl Iterator<Item = &'a Doors> {
        self.naming(name)
            .chain([&self.classes[name_means(name.as_str()) as usize]])
    }

    /// What names an address as the host of a URL. That one address is named says its class, also where it is the
    /// app's own; where it stands for the machine it is named by its name alone.
    fn at(&self, far: &RemoteTarget) -> impl Iterator<Item = &Doors> {
        let address = far.canonical.address;
        let named = far.class == class_of(address) || far.class == AddressClass::Loopback;
        let one = self.addresses.get(&address).filter(|_| named);
        [&self.classes[far.class as usize]].into_iter().chain(one)
    }
}

/// Whether the far end is one that a rule for the name means, as far as is known.
fn leads_there(target: &UrlTarget<'_>, name: &QueryName<'_>) -> bool {
    let means = name_means(name.as_str());
    target.far.is_none_or(|far| far.class == means)
}

/// What is said of one host, by scheme and port.
#[derive(Clone, Debug, Default)]
struct Doors(Vec<(Door, Paths)>);

impl Doors {
    fn at(&self, door: Door) -> Option<&Paths> {
        let at = self.0.binary_search_by_key(&door, |(door, _)| *door).ok()?;
        self.0.get(at).map(|(_, paths)| paths)
    }

    fn covers(&self, target: &UrlTarget<'_>) -> Option<RuleIndex> {
        self.at(target.door)?.covers(target)
    }

    fn catches(&self, target: &UrlTarget<'_>) -> Option<RuleIndex> {
        self.at(target.door)?.catches(target)
    }

    fn any(&self) -> Option<RuleIndex> {
        let (_, paths) = self.0.first()?;
        Method::ALL
            .into_iter()
            .find_map(|method| paths.any.get(method))
    }
}

/// A rule for each method.
#[derive(Clone, Copy, Debug, Default)]
struct ByMethod([Option<RuleIndex>; Method::ALL.len()]);

impl ByMethod {
    fn get(&self, method: Method) -> Option<RuleIndex> {
        self.0[method as usize]
    }

    /// The first rule is kept.
    fn add(&mut self, methods: Methods, rule: RuleIndex) {
        for method in methods.each() {
            self.0[method as usize].get_or_insert(rule);
        }
    }
}

/// What is said of one origin.
#[derive(Clone, Debug, Default)]
struct Paths {
    /// By [`crate::parameter::url::path::PathPattern::as_str`], in order.
    entries: Vec<Entry>,
    /// Of any path.
    any: ByMethod,
}

#[derive(Clone, Debug)]
struct Entry {
    path: Box<str>,
    /// The smallest folder around it.
    parent: Option<u32>,
    rules: ByMethod,
}

impl Paths {
    fn build(patterns: BTreeMap<&str, ByMethod>, any: ByMethod) -> Self {
        let mut entries: Vec<Entry> = Vec::with_capacity(patterns.len());
        let mut around: Vec<u32> = Vec::new();
        for (place, (path, rules)) in (0..).zip(patterns) {
            while let Some(folder) = around.last()
                && !path.starts_with(&*entries[*folder as usize].path)
            {
                around.pop();
            }
            entries.push(Entry {
                path: path.into(),
                parent: around.last().copied(),
                rules,
            });
            if path.ends_with('/') {
                around.push(place);
            }
        }
        Self { entries, any }
    }

    fn covers(&self, target: &UrlTarget<'_>) -> Option<RuleIndex> {
        if !target.is_plain {
            let whole = self.entries.first().filter(|first| &*first.path == "/")?;
            return whole.rules.get(target.method);
        }
        let after = self
            .entries
            .partition_point(|entry| &*entry.path <= target.path);
        let mut entry = self.entries.get(after.checked_sub(1)?)?;
        loop {
            let here = encloses(&entry.path, target.path);
            if let Some(rule) = entry.rules.get(target.method).filter(|_| here) {
                return Some(rule);
            }
            entry = self.entries.get(entry.parent? as usize)?;
        }
    }

    fn catches(&self, target: &UrlTarget<'_>) -> Option<RuleIndex> {
        if target.is_plain {
            self.covers(target)
        } else {
            self.any.get(target.method)
        }
    }
}

/// Rules on their way into a table.
#[derive(Default)]
pub(crate) struct UrlTableBuilder<'a> {
    names: BTreeMap<&'a HostName, Building<'a>>,
    below: BTreeMap<&'a HostName, Building<'a>>,
    addresses: BTreeMap<IpAddr, Building<'a>>,
    classes: [Building<'a>; AddressClass::COUNT],
}

#[derive(Default)]
struct Building<'a>(BTreeMap<Door, (BTreeMap<&'a str, ByMethod>, ByMethod)>);

impl<'a> Building<'a> {
    fn add(&mut self, rule: &'a UrlRule, index: RuleIndex) {
        let door = (rule.origin.scheme, rule.origin.port);
        let (paths, any) = self.0.entry(door).or_default();
        paths
            .entry(rule.path.as_str())
            .or_default()
            .add(rule.methods, index);
        any.add(rule.methods, index);
    }

    fn finish(self) -> Doors {
        let doors = self.0.into_iter();
        Doors(
            doors
                .map(|(door, (paths, any))| (door, Paths::build(paths, any)))
                .collect(),
        )
    }
}

impl<'a> UrlTableBuilder<'a> {
    pub(crate) fn add(&mut self, index: RuleIndex, rule: &'a UrlRule) {
        let host = match &rule.origin.host {
            HostPattern::Name(name) => self.names.entry(name).or_default(),
            HostPattern::Below(parent) => self.below.entry(parent).or_default(),
            HostPattern::Class(class) => &mut self.classes[*class as usize],
            // One address: a URL names no network.
            HostPattern::Network(network) => self.addresses.entry(network.address()).or_default(),
        };
        host.add(rule, index);
    }

    pub(crate) fn finish(self) -> UrlTable {
        let named = |names: BTreeMap<&HostName, Building<'_>>| {
            NameTable::build(
                names
                    .into_iter()
                    .map(|(name, host)| (name.clone(), host.finish())),
            )
        };
        UrlTable {
            names: named(self.names),
            below: named(self.below),
            addresses: self
                .addresses
                .into_iter()
                .map(|(at, host)| (at, host.finish()))
                .collect(),
            classes: self.classes.map(Building::finish),
        }
    }
}
