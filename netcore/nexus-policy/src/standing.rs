//! Two rules compared: what can be said at load, before there is a target.

use core::net::IpAddr;

use crate::address::{AddressClass, Topology, class_named_by, class_of};
use crate::index::name_means;
use crate::parameter::url::UrlRule;
use crate::policy::Verdict;
use crate::rule::{Destination, HostPattern, Local, LocalPattern, Rule};
use crate::wasi::DirectoryMode;

/// Whether `allow` gives all that `asked` asks. What cannot be told without a target is no.
pub(crate) fn allows_all(allow: &Rule, asked: &Rule) -> bool {
    match (allow, asked) {
        (Rule::Destination(a), Rule::Destination(b)) => a.covers(b),
        (Rule::Local(a), Rule::Local(b)) => a.covers(b),
        (Rule::Directory(a), Rule::Directory(b)) => a.gives(b.path(), b.mode()),
        (Rule::Url(a), Rule::Url(b)) => a.has_all(b) && a.origin.host.covers(&b.origin.host),
        (a, b) => a == b,
    }
}

/// The same of what a person gives for one run (`--allow`), which asks for it as well: of requests it covers no name
/// but those it names ([`crate::urls::UrlTable::asks`]).
pub(crate) fn gives_all(given: &Rule, asked: &Rule) -> bool {
    let named = |rule: &Rule| match rule {
        Rule::Url(rule) => matches!(
            rule.origin.host,
            HostPattern::Name(_) | HostPattern::Below(_)
        ),
        _ => false,
    };
    allows_all(given, asked) && named(given) == named(asked)
}

/// Whether `forbid` takes all that `asked` asks; a forbid of `None` takes everything. What cannot
/// be told without a target is no: the act itself is judged again.
pub(crate) fn catches_all(topology: &Topology, forbid: Option<&Rule>, asked: &Rule) -> bool {
    match (forbid, asked) {
        (None, _) => true,
        (Some(Rule::Destination(a)), Rule::Destination(b)) => {
            host_catches_all(topology, &a.host, &b.host) && a.ports.covers(&b.ports)
        }
        (Some(Rule::Local(a)), Rule::Local(b)) => a.covers(b),
        (Some(Rule::Directory(a)), Rule::Directory(b)) => a.touches(b.path(), b.mode()),
        (Some(Rule::Url(a)), Rule::Url(b)) => {
            a.has_all(b) && host_catches_all(topology, &a.origin.host, &b.origin.host)
        }
        (Some(a), b) => a == b,
    }
}

fn host_catches_all(topology: &Topology, forbid: &HostPattern, asked: &HostPattern) -> bool {
    use HostPattern as H;
    match (forbid, asked) {
        (H::Name(a), H::Name(b)) => a == b,
        (H::Below(a), H::Name(b)) => b.is_below(a),
        (H::Below(a), H::Below(b)) => a == b || b.is_below(a),
        (H::Class(a), H::Name(b)) => *a == name_means(b.as_str()),
        (H::Class(a), H::Below(_)) => *a == AddressClass::Public,
        (H::Class(a), H::Class(b)) => a == b,
        // One address is of the class it has here; a network allows the class it names alone.
        (H::Class(a), H::Network(b)) if b.is_host() => *a == topology.classify(b.address()),
        (H::Class(a), H::Network(b)) => *a == class_named_by(*b),
        (H::Network(a), H::Network(b)) => a.covers(*b),
        _ => false,
    }
}

/// Whether some target could be in both, when both allow. What cannot be told without a target is yes.
pub(crate) fn may_meet(topology: &Topology, a: &Rule, b: &Rule) -> bool {
    match (a, b) {
        (Rule::Destination(a), Rule::Destination(b)) => {
            (hosts_may_meet(topology, &a.host, &b.host)
                || hosts_may_meet(topology, &b.host, &a.host))
                && a.ports.meets(&b.ports)
        }
        (Rule::Url(a), Rule::Url(b)) => {
            a.has_some(b)
                && (host_catches_all(topology, &a.origin.host, &b.origin.host)
                    || host_catches_all(topology, &b.origin.host, &a.origin.host))
        }
        (a, b) => others_meet(a, b),
    }
}

/// Whether `forbid` may take some of what `asked` asks; a forbid of `None` takes everything. It takes
/// more than an allow of the same words gives: every address of a network, and a name at any address
/// (`RuleTable::catches`). What cannot be told without a target is yes.
pub(crate) fn may_catch(topology: &Topology, forbid: Option<&Rule>, asked: &Rule) -> bool {
    match (forbid, asked) {
        (None, _) => true,
        (Some(Rule::Destination(a)), Rule::Destination(b)) => {
            host_may_catch(topology, &a.host, &b.host) && a.ports.meets(&b.ports)
        }
        (Some(Rule::Url(a)), Rule::Url(b)) => {
            a.has_some(b) && host_may_catch(topology, &a.origin.host, &b.origin.host)
        }
        (Some(a), b) => others_meet(a, b),
    }
}

/// A rule of `verdict` and one that asks.
pub(crate) fn may_concern(
    topology: &Topology,
    verdict: Verdict,
    rule: Option<&Rule>,
    asked: &Rule,
) -> bool {
    match (verdict, rule) {
        (Verdict::Allow, Some(allow)) => may_meet(topology, allow, asked),
        _ => may_catch(topology, rule, asked),
    }
}

fn others_meet(a: &Rule, b: &Rule) -> bool {
    match (a, b) {
        (Rule::Local(a), Rule::Local(b)) => locals_meet(a, b),
        (Rule::Directory(a), Rule::Directory(b)) => {
            a.touches(b.path(), DirectoryMode::Rw) || b.touches(a.path(), DirectoryMode::Rw)
        }
        (a, b) => a == b,
    }
}

fn hosts_may_meet(topology: &Topology, a: &HostPattern, b: &HostPattern) -> bool {
    use HostPattern as H;
    match (a, b) {
        // A name may resolve to any public address, and to no other.
        (H::Name(name), H::Network(network)) => {
            name_means(name.as_str()) == class_named_by(*network)
        }
        (H::Below(_), H::Network(network)) => class_named_by(*network) == AddressClass::Public,
        (H::Network(a), H::Network(b)) => a.covers(*b),
        (a, b) => host_catches_all(topology, a, b),
    }
}

fn host_may_catch(topology: &Topology, forbid: &HostPattern, asked: &HostPattern) -> bool {
    use HostPattern as H;
    match (forbid, asked) {
        (H::Network(a), H::Network(b)) if a.covers(*b) => true,
        (H::Network(a), H::Network(b)) => b.covers(*a) && topology.may_hold(*a, class_named_by(*b)),
        (H::Network(a), H::Class(class)) => topology.may_hold(*a, *class),
        (H::Network(a), H::Name(name)) => topology.may_hold(*a, name_means(name.as_str())),
        (H::Network(a), H::Below(_)) => topology.may_hold(*a, AddressClass::Public),
        // Who connects by this name is caught, wherever it leads.
        (H::Name(_) | H::Below(_), H::Network(_) | H::Class(_)) => true,
        (a, b) => host_catches_all(topology, a, b) || hosts_may_meet(topology, b, a),
    }
}

fn locals_meet(a: &Local, b: &Local) -> bool {
    let loopback = |address: IpAddr| class_of(address) == AddressClass::Loopback;
    let at = match (a.at, b.at) {
        (LocalPattern::Any, _) | (_, LocalPattern::Any) => true,
        (LocalPattern::Loopback, LocalPattern::Address(x))
        | (LocalPattern::Address(x), LocalPattern::Loopback) => loopback(x),
        (x, y) => x == y,
    };
    at && a.ports.meets(&b.ports)
}

/// Whether a rule names a class that nothing short of an operator's own rule opens.
pub(crate) fn wants_operator(asked: &Rule) -> bool {
    let host = match asked {
        Rule::Destination(Destination { host, .. }) => host,
        Rule::Url(UrlRule { origin, .. }) => &origin.host,
        _ => return false,
    };
    match host {
        HostPattern::Class(class) => *class == AddressClass::Metadata,
        HostPattern::Network(network) => class_named_by(*network) == AddressClass::Metadata,
        HostPattern::Name(_) | HostPattern::Below(_) => false,
    }
}
