//! The addresses of nodes on real interfaces: awaited before an app starts, told of while it runs.
//!
//! ```text
//!  joined: asks the link --(each given one is free, DHCP and SLAAC gave one)--> apps start
//!              |                                                                  | lost, contested, others:
//!              +--(one is taken; nobody gave any in time)--> nothing starts       | told, and apps go on
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::task::{Poll, Waker};

use nexus_nic::{Mac, Target};
use nexus_node::AddressEvent;
use nexus_stack::{OfferFault, Stack};
use nexus_types::{Duration, Instant, InterfaceAddress, IpAddr, NodeId, SocketAddr, limits};

use super::{Driver, Weight};

/// How long a wait goes unsaid.
const LATE: Duration = Duration::from_secs(2);

/// How long a node may wait for its addresses.
const WAIT: Duration = Duration::from_micros(limits::ADDRESS_WAIT_MICROS);

/// Of one node, this many notices and this many warnings are told in this time. Stops a station of the link (which can
/// make addresses come, go and be fought over) from filling the operator's terminal; the rest is counted. Each weight
/// has its own, or who makes name servers come and go would keep warnings from being told.
const TOLD: usize = 16;
const TOLD_WITHIN: Duration = Duration::from_secs(60);

/// Where the addresses of a node on a real interface come from.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Addresses {
    /// Those it is given by its operator.
    pub fixed: Vec<InterfaceAddress>,
    /// IPv4 from a DHCP server, with gateway and DNS servers.
    pub dhcp: bool,
    /// IPv6 from what routers advertise, with gateway and DNS servers.
    pub slaac: bool,
}

/// Who gives addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Source {
    /// A DHCP server, of IPv4.
    Dhcp,
    /// Routers, of IPv6.
    Slaac,
}

impl Source {
    const fn of(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(_) => Self::Dhcp,
            IpAddr::V6(_) => Self::Slaac,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dhcp => "DHCP",
            Self::Slaac => "SLAAC",
        })
    }
}

/// Why the apps of a node cannot start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AddressError {
    /// An address it was given is another station's.
    Taken {
        /// Where.
        target: Target,
        /// Which.
        address: InterfaceAddress,
        /// Whose.
        mac: Mac,
    },
    /// What was given, or made of what a router advertised, is another station's, and there was no other in time.
    LearntTaken {
        /// Where.
        target: Target,
        /// Which.
        address: InterfaceAddress,
        /// Whose.
        mac: Mac,
    },
    /// Nobody gave an address.
    Nobody(Source, Target),
    /// A DHCP server offered what no host can live with, and there was no other offer in time.
    Refused(Target, OfferFault),
    /// It is not known whether these are free.
    Unsure(Target, Vec<InterfaceAddress>),
}

impl AddressError {
    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::Taken { .. } => {
                "give the node an address that no other station has, or that one another".to_owned()
            }
            Self::LearntTaken { .. } => {
                "take the address from that station, or see why it has what is not its own"
                    .to_owned()
            }
            Self::Refused(..) => {
                "mend what that server gives, or give the node an address of your own: 10.0.0.2/24 instead of dhcp"
                    .to_owned()
            }
            Self::Nobody(Source::Dhcp, _) => format!(
                "see that a server answers there (leases of {} s and more) and the interface is connected, or \
                 give the node an address of your own: 10.0.0.2/24 instead of dhcp",
                limits::DHCP_LEASE_SECS_MIN
            ),
            Self::Nobody(Source::Slaac, _) => format!(
                "see that a router advertises there a prefix for addresses (of {} s and more) and the interface \
                 is connected, or give the node an address of your own: fd00::2/64 instead of slaac",
                limits::SLAAC_LIFETIME_SECS_MIN
            ),
            Self::Unsure(..) => "start again".to_owned(),
        }
    }
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let within = WAIT.as_secs();
        match self {
            Self::Taken {
                target,
                address,
                mac,
            } => write!(f, "the address {address} is in use on {target}, by {mac}"),
            Self::LearntTaken {
                target,
                address,
                mac,
            } => write!(
                f,
                "the address {address}, from {} on {target}, is in use by {mac}, and there was no other within \
                 {within} s",
                Source::of(address.address())
            ),
            Self::Refused(target, fault) => write!(
                f,
                "what a DHCP server offered on {target} cannot be used ({fault}), and there was no other offer within \
                 {within} s"
            ),
            Self::Nobody(Source::Dhcp, target) => {
                write!(f, "no DHCP server answered on {target} within {within} s")
            }
            Self::Nobody(Source::Slaac, target) => write!(
                f,
                "no router on {target} advertised a prefix to take an address from within {within} s"
            ),
            Self::Unsure(target, addresses) => write!(
                f,
                "{target} could not be asked within {within} s whether {} is in use",
                list(addresses)
            ),
        }
    }
}

impl std::error::Error for AddressError {}

/// The ways out of a node's link.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Ways {
    gateways: Vec<IpAddr>,
    resolvers: Vec<SocketAddr>,
}

impl Ways {
    pub(super) fn of(stack: &Stack) -> Self {
        Self {
            gateways: stack.gateways().collect(),
            resolvers: stack.resolvers().to_vec(),
        }
    }

    /// As the operator reads it; gateways of one family, or of both.
    fn text(&self, family: impl Fn(IpAddr) -> bool) -> String {
        let gateways: Vec<_> = self.gateways.iter().filter(|ip| family(**ip)).collect();
        let servers: Vec<_> = self.resolvers.iter().map(SocketAddr::ip).collect();
        let gateways = match &gateways[..] {
            [] => "no gateway".to_owned(),
            some => format!("gateway {}", list(some)),
        };
        match &servers[..] {
            [] => format!("{gateways}, no DNS server"),
            some => format!("{gateways}, DNS {}", list(some)),
        }
    }
}

fn list(items: &[impl fmt::Display]) -> String {
    let items: Vec<_> = items.iter().map(ToString::to_string).collect();
    items.join(" and ")
}

/// What is not to be said twice within [`TOLD_WITHIN`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Once {
    /// Somebody had it before us.
    Duplicate(IpAddr),
    /// Somebody uses what is ours.
    Contested(IpAddr),
}

/// What was told of a node lately, of one weight.
#[derive(Debug, Default)]
struct Told {
    /// When, and what of it is not to be repeated.
    lately: VecDeque<(Instant, Option<Once>)>,
    silent: u64,
}

impl Told {
    /// The notice as it is to be told, if it is to be.
    fn pass(&mut self, now: Instant, once: Option<Once>, mut notice: String) -> Option<String> {
        self.lately.retain(|(at, _)| now - *at < TOLD_WITHIN);
        if once.is_some() && self.lately.iter().any(|(_, of)| *of == once) {
            return None;
        }
        if self.lately.len() >= TOLD {
            self.silent += 1;
            return None;
        }
        self.lately.push_back((now, once));
        let silent = std::mem::take(&mut self.silent);
        if silent > 0 {
            notice.push_str(&format!(
                " ({silent} notices before this one were not told)"
            ));
        }
        Some(notice)
    }
}

/// One node on a real interface.
#[derive(Debug)]
struct Station {
    target: Target,
    wanted: Addresses,
    /// Given by the operator, and not known to be free yet.
    unsure: Vec<InterfaceAddress>,
    /// Given by the operator, and somebody else's.
    taken: Option<(InterfaceAddress, Mac)>,
    /// Learnt, and ours.
    learnt: Vec<InterfaceAddress>,
    /// Learnt, and somebody else's: the last one.
    learnt_taken: Option<(InterfaceAddress, Mac)>,
    /// Its apps have started.
    started: bool,
    /// The operator was warned that an address is gone, and not told of another since.
    warned: bool,
    /// What the operator knows.
    ways: Ways,
    told_notes: Told,
    told_warnings: Told,
    waker: Option<Waker>,
}

impl Station {
    fn new(target: Target, wanted: Addresses) -> Self {
        Self {
            target,
            unsure: wanted.fixed.clone(),
            wanted,
            taken: None,
            learnt: Vec::new(),
            learnt_taken: None,
            started: false,
            warned: false,
            ways: Ways::default(),
            told_notes: Told::default(),
            told_warnings: Told::default(),
            waker: None,
        }
    }

    /// Takes a word of the stack; what the operator is to know.
    fn handle(
        &mut self,
        now: Instant,
        event: AddressEvent,
        ways: Ways,
    ) -> Option<(Weight, String)> {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
        let (weight, once, notice) = self.take(event, ways)?;
        let told = match weight {
            Weight::Note => &mut self.told_notes,
            Weight::Warning => &mut self.told_warnings,
        };
        Some((weight, told.pass(now, once, notice)?))
    }

    fn take(&mut self, event: AddressEvent, ways: Ways) -> Option<(Weight, Option<Once>, String)> {
        let is_fixed = |address: &InterfaceAddress| self.wanted.fixed.contains(address);
        match event {
            AddressEvent::Ready(address) if is_fixed(&address) => {
                self.unsure.retain(|unsure| *unsure != address);
                None
            }
            // What the node speaks to routers with, and is no app's choice.
            AddressEvent::Ready(address) if is_link_local(address.address()) => None,
            AddressEvent::Ready(address) => {
                self.learnt.retain(|old| old.address() != address.address());
                self.learnt.push(address);
                let source = Source::of(address.address());
                let text = format!(
                    "got {address} from {source}; {}",
                    ways.text(|ip| Source::of(ip) == source)
                );
                self.ways = ways;
                // Who heard of the loss is to hear of its end.
                let weight = if std::mem::take(&mut self.warned) {
                    Weight::Warning
                } else {
                    Weight::Note
                };
                Some((weight, None, text))
            }
            AddressEvent::Duplicate { address, mac } if is_fixed(&address) => {
                self.taken = Some((address, Mac::new(mac)));
                None
            }
            AddressEvent::Duplicate { address, mac } => {
                let mac = Mac::new(mac);
                self.learnt.retain(|old| *old != address);
                self.learnt_taken = Some((address, mac));
                self.warned = true;
                let source = Source::of(address.address());
                let then = match source {
                    Source::Dhcp => "another is asked for",
                    Source::Slaac => "another is made, but no fourth one",
                };
                let text = format!("{address}, from {source}, is in use by {mac}: {then}");
                let once = Once::Duplicate(address.address());
                Some((Weight::Warning, Some(once), text))
            }
            AddressEvent::Lost(address) => {
                self.learnt.retain(|old| *old != address);
                self.warned = true;
                let why = match Source::of(address.address()) {
                    Source::Dhcp => {
                        "the DHCP server took it back, gave another, or was silent until its time was over"
                    }
                    Source::Slaac => {
                        "no router advertised its network again before its time was over"
                    }
                };
                let text =
                    format!("{address} is lost: {why}; connections on it have ended, apps go on");
                Some((Weight::Warning, None, text))
            }
            AddressEvent::Contested { address, mac } => {
                let text = format!(
                    "{} uses {address}, which is this node's: packets for it may go there; give one of the two \
                     another address",
                    Mac::new(mac)
                );
                Some((Weight::Warning, Some(Once::Contested(address)), text))
            }
            AddressEvent::Changed => {
                if !self.started || self.learnt.is_empty() || self.ways == ways {
                    return None;
                }
                let text = format!("now {}", ways.text(|_| true));
                self.ways = ways;
                Some((Weight::Note, None, text))
            }
        }
    }

    /// What its apps wait for, in words; none: nothing.
    fn waits_for(&self) -> Option<String> {
        let mut missing: Vec<_> = self.unsure.iter().map(ToString::to_string).collect();
        missing.extend(
            self.silent()
                .map(|source| format!("an address from {source}")),
        );
        (!missing.is_empty()).then(|| list(&missing))
    }

    /// Who was asked for an address and has given none.
    fn silent(&self) -> impl Iterator<Item = Source> {
        let asked = [
            (Source::Dhcp, self.wanted.dhcp),
            (Source::Slaac, self.wanted.slaac),
        ];
        let has = |source| {
            let mut learnt = self.learnt.iter();
            learnt.any(|address| Source::of(address.address()) == source)
        };
        let silent = asked
            .into_iter()
            .filter(move |(source, asked)| *asked && !has(*source));
        silent.map(|(source, _)| source)
    }

    /// Whether its apps may start.
    fn standing(&self) -> Poll<Result<(), AddressError>> {
        if let Some((address, mac)) = self.taken {
            let target = self.target.clone();
            return Poll::Ready(Err(AddressError::Taken {
                target,
                address,
                mac,
            }));
        }
        match self.waits_for() {
            None => Poll::Ready(Ok(())),
            Some(_) => Poll::Pending,
        }
    }

    /// Why they may not, once they have waited long enough. `offered`: what was wrong with what a DHCP server offered.
    fn overdue(&self, offered: Option<OfferFault>) -> AddressError {
        let target = self.target.clone();
        if !self.unsure.is_empty() {
            return AddressError::Unsure(target, self.unsure.clone());
        }
        let silent = self.silent().next().unwrap_or(Source::Dhcp);
        match self.learnt_taken {
            Some((address, mac)) if Source::of(address.address()) == silent => {
                AddressError::LearntTaken {
                    target,
                    address,
                    mac,
                }
            }
            _ => match offered {
                Some(fault) if silent == Source::Dhcp => AddressError::Refused(target, fault),
                _ => AddressError::Nobody(silent, target),
            },
        }
    }
}

fn is_link_local(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// Every node on a real interface.
#[derive(Debug, Default)]
pub(super) struct Stations(BTreeMap<NodeId, Station>);

impl Stations {
    pub(super) fn add(&mut self, node: NodeId, target: Target, wanted: Addresses) {
        self.0.insert(node, Station::new(target, wanted));
    }

    /// Takes a word of a node's stack; what the operator is to know.
    pub(super) fn handle(
        &mut self,
        now: Instant,
        node: NodeId,
        event: AddressEvent,
        ways: Ways,
    ) -> Option<(Weight, String)> {
        self.0.get_mut(&node)?.handle(now, event, ways)
    }
}

impl Driver {
    /// Completes once a node can use its addresses: each it was given, and one from each who is to give some. At
    /// once for a node that is on no real interface.
    ///
    /// # Errors
    /// One is somebody else's; or nobody has given any for [`limits::ADDRESS_WAIT_MICROS`].
    pub fn joined(
        &self,
        node: NodeId,
    ) -> impl Future<Output = Result<(), AddressError>> + use<> + 'static {
        let (shard, stations, teller) = (self.shard.clone(), self.stations.clone(), self.teller());
        async move {
            let begun = shard.now();
            let mut late = pin!(shard.sleep_until(begun + LATE));
            let mut end = pin!(shard.sleep_until(begun + WAIT));
            let mut said = false;
            std::future::poll_fn(|cx| {
                let mut stations = stations.borrow_mut();
                let Some(station) = stations.0.get_mut(&node) else {
                    return Poll::Ready(Ok(()));
                };
                if let Poll::Ready(standing) = station.standing() {
                    station.started = true;
                    return Poll::Ready(standing);
                }
                if end.as_mut().poll(cx).is_ready() {
                    let offered = shard.enter(|mesh, _| mesh.node(node).stack().refused_offer());
                    return Poll::Ready(Err(station.overdue(offered)));
                }
                if !said && late.as_mut().poll(cx).is_ready() {
                    said = true;
                    let missing = station.waits_for().unwrap_or_default();
                    let notice = format!("waiting for {missing} on {}", station.target);
                    teller(node, Weight::Note, &notice);
                }
                station.waker = Some(cx.waker().clone());
                Poll::Pending
            })
            .await
        }
    }
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
