//! One judgement, step by step.
//!
//! An act passes these in order; the first that refuses gives the reason:
//! 1. the instance is one that was admitted;
//! 2. the class of the address is one that rules can name (`infrastructure`, `unspecified` and
//!    `reserved` are not, and what a translator or tunnel makes of an address inside another is
//!    only trusted to be the internet), and the port is not the host's own;
//! 3. no rule of the operator forbids it: not by its address in either form, not by its name,
//!    not by any name the address is bound to;
//! 4. the manifest asks for it (or `--allow` gives it, which answers 5 as well);
//! 5. the operator allows it. A matching `ask` rule wants consent, else a matching `allow` rule
//!    is enough, else nobody has said anything: then an app-class capability wants consent and a
//!    system-class one is refused, and so is a metadata service, whoever consents. Consent is
//!    `--allow-manifest`, or a person's yes to a rule that covers the target and no no.
//!
//! Keys 4 and 5 are turned for the same reading of a target: its address, or its address as one
//! of its names. A name counts only while it is bound to the address, for this instance.

use core::iter;
use core::net::SocketAddr;

use nexus_types::{HostName, InstanceId, Instant};

use crate::address::{AddressClass, canonical};
use crate::binding::Binding;
use crate::capability::{Capability, Class};
use crate::decide::Act;
use crate::gate::{Gate, Instance};
use crate::grounds::Grounds;
use crate::index::{RemoteTarget, RuleIndex, RuleTable, Site, name_means, site};
use crate::names::QueryName;
use crate::permit::{Target, TargetName};
use crate::tables::{CONCERNS, Grant, OperatorTables};

/// Why a judgement went wrong; `denial` makes the sentence of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Cause {
    /// Not admitted, or ended.
    NotRunning,
    /// The manifest does not ask for the capability.
    NotAsked,
    /// No rule of the manifest covers the target.
    NoRule,
    /// No rule can name this.
    Never,
    /// The port is the host's.
    HostPort,
    /// No rule can name the method.
    NoMethod,
    /// A written forbid.
    Forbidden(RuleIndex),
    /// A written ask, and no consent.
    Ask(RuleIndex),
    /// A person said no: the answer's place among them.
    Declined(u32),
    /// Nothing written, and no consent, or no consent is enough.
    Unmentioned,
    /// It could not be recorded.
    Unrecorded,
    /// The capability does not have this act.
    WrongAct,
}

impl Gate {
    /// `open`: the act is done already and is judged again.
    pub(crate) fn judge(
        &self,
        now: Instant,
        instance: InstanceId,
        act: &Act<'_>,
        open: bool,
    ) -> Result<Grounds, Cause> {
        let instance = self.instance(instance);
        let instance = instance.filter(|instance| open || !instance.retired);
        let instance = instance.ok_or(Cause::NotRunning)?;
        let judge = Judge {
            gate: self,
            instance,
            capability: act.capability(),
            now,
            open,
        };
        match *act {
            Act::Resolve { name, via } => {
                let name = QueryName::new(name.as_str());
                match via {
                    Capability::NetworkHttpRequest => judge.name_of_requests(&name),
                    _ => judge.name(&name),
                }
            }
            Act::Request(ref request) => judge.request(act, request, None),
            Act::RequestConnect {
                ref request,
                remote,
            } => judge.request(act, request, Some(remote)),
            Act::Connect { remote, name } | Act::UdpSend { remote, name } => {
                judge.remote(act, remote, name)
            }
            Act::UdpAnswer { remote } => judge.answer(remote).map(|()| Grounds::Binding),
            // Judged rule by rule when the policy was set or the instance admitted.
            Act::UdpOpen => instance.udp_open,
            Act::Listen { local } | Act::UdpBind { local } | Act::Accept { local, .. } => {
                judge.local(act, local)
            }
            Act::OpenDirectory { path, mode } => judge.keys(
                |tables| tables.catches_directory(path, mode),
                |tables| tables.allows_directory(path, mode),
            ),
            Act::SetVariable { name } => judge.keys(
                |tables| tables.variable(name).or(tables.every()),
                |tables| tables.variable(name),
            ),
        }
    }
}

/// What `--mode` lets pass of what is refused.
impl Gate {
    pub(crate) fn lets_pass(&self, instance: InstanceId, act: &Act<'_>, cause: Cause) -> bool {
        let missing = matches!(
            cause,
            Cause::NotAsked | Cause::NoRule | Cause::Ask(_) | Cause::Unmentioned
        );
        // A name that is forbidden at one port may be meant for another.
        let missing = missing || matches!((act, cause), (Act::Resolve { .. }, Cause::Forbidden(_)));
        if !self.mode().lets_pass() || !missing {
            return false;
        }
        match *act {
            Act::OpenDirectory { .. } | Act::SetVariable { .. } => false,
            Act::Connect { remote, .. }
            | Act::UdpSend { remote, .. }
            | Act::UdpAnswer { remote } => {
                self.remote_target(remote, false).class != AddressClass::Metadata
            }
            Act::Request(_) => act.far_end().is_none_or(|remote| {
                self.remote_target(remote, false).class != AddressClass::Metadata
            }),
            // Where names do not lead no rule leads them.
            Act::RequestConnect { request, remote } => {
                let class = self.remote_target(remote, false).class;
                match request.url.name() {
                    Some(name) => class == name_means(name.as_str()),
                    None => class != AddressClass::Metadata,
                }
            }
            Act::Resolve { name, via } => {
                let Some(instance) = self.instance(instance) else {
                    return false;
                };
                let name = QueryName::new(name.as_str());
                let forbid = self
                    .operator(&instance.app.identity, via)
                    .map(|tables| &tables.forbid);
                !everywhere(&name, forbid)
            }
            _ => true,
        }
    }
}

/// What a permit for an act is for.
pub(crate) fn permitted(act: &Act<'_>) -> Target {
    match *act {
        Act::Resolve { name, .. } => Target::Name(TargetName::new(name)),
        Act::Connect { remote, name } | Act::UdpSend { remote, name } => Target::Remote {
            at: plain(remote),
            name: name.map(TargetName::new),
        },
        Act::UdpAnswer { remote } => Target::Answered(plain(remote)),
        Act::UdpOpen => Target::Unconnected,
        Act::Listen { local } | Act::UdpBind { local } => Target::Local(plain(local)),
        Act::Accept { local, remote } => Target::Accepted {
            local: plain(local),
            remote: plain(remote),
        },
        Act::Request(request) => Target::Request(request.kept()),
        Act::RequestConnect { request, remote } => Target::RequestRemote {
            at: plain(remote),
            request: request.kept(),
        },
        Act::OpenDirectory { path, mode } => Target::Directory(path.into(), mode),
        Act::SetVariable { name } => Target::Variable(name.into()),
    }
}

/// Whether a name is caught at every port.
fn everywhere<'a>(
    name: &QueryName<'_>,
    tables: impl Iterator<Item = &'a RuleTable> + Clone,
) -> bool {
    let mut port = 1;
    loop {
        if tables
            .clone()
            .all(|table| table.catches_name(name, port).is_none())
        {
            return false;
        }
        match tables
            .clone()
            .filter_map(|table| table.next_edge(name, port))
            .min()
        {
            Some(next) => port = next,
            None => return true,
        }
    }
}

/// One judgement: who, for what, when.
pub(crate) struct Judge<'a> {
    pub(crate) gate: &'a Gate,
    pub(crate) instance: &'a Instance,
    capability: Capability,
    pub(crate) now: Instant,
    /// The connection is open already: its name stays its name, and its far end is nothing the link made of it since.
    pub(crate) open: bool,
}

/// A far end, and where it is in the operator's tables: found once, asked about often.
struct Far<'a> {
    target: RemoteTarget,
    /// The rules for every app, those for this one, and those for its publisher.
    operator: [Option<(&'a OperatorTables, Site)>; CONCERNS],
}

impl Far<'_> {
    fn operator(&self) -> impl Iterator<Item = (&OperatorTables, Site)> {
        self.operator.iter().flatten().copied()
    }

    /// Step 3, for one reading of it.
    fn not_forbidden(&self, name: Option<&QueryName<'_>>) -> Result<(), Cause> {
        match self
            .operator()
            .find_map(|(tables, at)| tables.forbid.catches(&self.target, at, name))
        {
            Some(rule) => Err(Cause::Forbidden(rule)),
            None => Ok(()),
        }
    }

    /// An ask that catches it, for one reading of it.
    fn asks(&self, name: Option<&QueryName<'_>>) -> Option<RuleIndex> {
        self.operator()
            .find_map(|(tables, at)| tables.ask.catches(&self.target, at, name))
    }
}

impl Judge<'_> {
    pub(crate) fn operator(&self) -> impl Iterator<Item = &OperatorTables> + Clone {
        self.gate
            .operator(&self.instance.app.identity, self.capability)
    }

    pub(crate) fn grant(&self) -> Result<&Grant, Cause> {
        self.instance.app.grants[self.capability as usize]
            .as_deref()
            .ok_or(Cause::NotAsked)
    }

    /// Steps 3 to 5 where a target has one reading.
    fn keys(
        &self,
        catches: impl Fn(&RuleTable) -> Option<RuleIndex>,
        allows: impl Fn(&RuleTable) -> Option<RuleIndex>,
    ) -> Result<Grounds, Cause> {
        if let Some(rule) = self.operator().find_map(|tables| catches(&tables.forbid)) {
            return Err(Cause::Forbidden(rule));
        }
        let grant = self.grant()?;
        if allows(&grant.given).is_some() {
            return Ok(Grounds::Allow);
        }
        if allows(&grant.asked).is_none() {
            return Err(Cause::NoRule);
        }
        self.second_key(
            self.operator().find_map(|tables| catches(&tables.ask)),
            |verdict| self.operator().find_map(|tables| allows(verdict(tables))),
            allows(&grant.declined),
            || allows(&grant.consented),
            false,
        )
    }

    /// Step 5. `asks`: an ask that catches the target. `allows`: a rule of that verdict that
    /// covers it. `declined`, `consented`: an answer that does. `explicit`: nothing short of an operator's
    /// own rule is enough.
    pub(crate) fn second_key(
        &self,
        asks: Option<RuleIndex>,
        allows: impl Fn(fn(&OperatorTables) -> &RuleTable) -> Option<RuleIndex>,
        declined: Option<RuleIndex>,
        consented: impl Fn() -> Option<RuleIndex>,
        explicit: bool,
    ) -> Result<Grounds, Cause> {
        let consent = || {
            if self.instance.app.consent.allow_manifest {
                return Ok(Some(Grounds::AllowManifest));
            }
            if let Some(answer) = declined {
                return Err(Cause::Declined(answer));
            }
            Ok(consented().map(Grounds::Answer))
        };
        if let Some(rule) = asks {
            let named = || allows(|tables| &tables.ask).or(allows(|tables| &tables.allow));
            if explicit && named().is_none() {
                return Err(Cause::Ask(rule));
            }
            return consent()?.ok_or(Cause::Ask(rule));
        }
        if let Some(rule) = allows(|tables| &tables.allow) {
            return Ok(Grounds::Operator(rule));
        }
        if explicit || self.capability.class() != Class::App {
            return Err(Cause::Unmentioned);
        }
        consent()?.ok_or(Cause::Unmentioned)
    }

    fn far(&self, remote: SocketAddr) -> Far<'_> {
        let target = self.gate.remote_target(remote, self.open);
        let mut operator = self.operator();
        Far {
            target,
            operator: core::array::from_fn(|_| {
                let tables = operator.next()?;
                Some((tables, site(&tables.borders, &target)))
            }),
        }
    }

    /// What a far end was bound to for this instance, live or not.
    fn bound(&self, far: &Far<'_>) -> &[Binding] {
        self.instance.bindings.of(far.target.canonical.address)
    }

    /// The names of those that count: the live ones, and of what is open all.
    pub(crate) fn names<'b>(&self, bound: &'b [Binding]) -> impl Iterator<Item = QueryName<'b>> {
        bound
            .iter()
            .filter(|b| self.open || b.until > self.now)
            .map(|b| QueryName::new(b.name.as_str()))
    }

    /// Step 3 alone, for the far end of a socket whose binding was granted.
    fn answer(&self, remote: SocketAddr) -> Result<(), Cause> {
        let far = self.far(remote);
        far.not_forbidden(None)?;
        self.names(self.bound(&far))
            .try_for_each(|name| far.not_forbidden(Some(&name)))?;
        // After the forbids: what is missing may be let pass (`Gate::lets_pass`), what is forbidden not.
        match self.instance.app.grants[Capability::NetworkUdpBind as usize] {
            Some(_) => Ok(()),
            None => Err(Cause::NotAsked),
        }
    }

    /// Step 2, for a far end.
    pub(crate) fn reachable(&self, act: &Act<'_>, target: &RemoteTarget) -> Result<(), Cause> {
        let carried = !target.canonical.is_direct() && target.class != AddressClass::Public;
        if !target.class.is_nameable() || target.port == 0 || carried {
            return Err(Cause::Never);
        }
        let topology = self.gate.topology();
        if target.class == AddressClass::Host
            && topology.owns_machine_port(act.transport(), target.port)
        {
            return Err(Cause::HostPort);
        }
        Ok(())
    }

    fn remote(
        &self,
        act: &Act<'_>,
        remote: SocketAddr,
        name: Option<&HostName>,
    ) -> Result<Grounds, Cause> {
        let far = self.far(remote);
        let target = far.target;
        self.reachable(act, &target)?;
        let said = name.map(|name| QueryName::new(name.as_str()));
        let bound = self.bound(&far);
        let others = || self.names(bound).filter(|_| name.is_none());
        // Forbids, asks and a person's no hold for the name an act says, and where it says none for all that the
        // address is known to be: many names share an address, and who says one is not about the others.
        far.not_forbidden(said.as_ref())?;
        for other in others() {
            far.not_forbidden(Some(&other))?;
        }
        let grant = self.grant()?;
        let at = site(&grant.borders, &target);
        let known = || iter::once(None).chain(others().map(Some));
        let asks = match said {
            Some(_) => far.asks(said.as_ref()),
            None => known().find_map(|name| far.asks(name.as_ref())),
        };
        let declined = match said {
            Some(_) => grant.declined.allows(&target, at, said.as_ref()),
            None => known().find_map(|name| grant.declined.allows(&target, at, name.as_ref())),
        };
        let live = |name: &&HostName| bound.iter().any(|b| b.name == **name && b.until > self.now);
        let counts = self.open || name.as_ref().is_some_and(live);
        let reading =
            |name: Option<&QueryName<'_>>| self.reading((grant, at), &far, (asks, declined), name);
        let mut answer = reading(said.as_ref().filter(|_| counts));
        for other in others() {
            if answer.is_ok() {
                break;
            }
            match reading(Some(&other)) {
                Err(Cause::NoRule) => {}
                other => answer = other,
            }
        }
        answer
    }

    /// Steps 4 and 5, for one reading of a far end.
    fn reading(
        &self,
        (grant, at): (&Grant, Site),
        far: &Far<'_>,
        (asks, declined): (Option<RuleIndex>, Option<RuleIndex>),
        name: Option<&QueryName<'_>>,
    ) -> Result<Grounds, Cause> {
        let target = &far.target;
        if grant.given.allows(target, at, name).is_some() {
            return Ok(Grounds::Allow);
        }
        if grant.asked.allows(target, at, name).is_none() {
            return Err(Cause::NoRule);
        }
        self.second_key(
            asks,
            |verdict| {
                far.operator()
                    .find_map(|(tables, at)| verdict(tables).allows(target, at, name))
            },
            declined,
            || grant.consented.allows(target, at, name),
            target.class == AddressClass::Metadata,
        )
    }

    fn local(&self, act: &Act<'_>, local: SocketAddr) -> Result<Grounds, Cause> {
        let found = canonical(local.ip());
        if !found.is_direct() {
            return Err(Cause::Never);
        }
        if self
            .gate
            .topology()
            .owns_port(act.transport(), local.port())
        {
            return Err(Cause::HostPort);
        }
        self.keys(
            |tables| tables.catches_local(found.address, local.port()),
            |tables| tables.allows_local(found.address, local.port()),
        )
    }

    /// A lookup is allowed if, at some port, a connection by that name could be: the manifest
    /// names the name there, nothing forbids it, and the second key turns for it.
    ///
    /// The answer changes only at the edges of port ranges, so only those are looked at.
    fn name(&self, name: &QueryName<'_>) -> Result<Grounds, Cause> {
        if !matches!(
            self.capability,
            Capability::NetworkTcpConnect | Capability::NetworkUdpSend
        ) {
            return Err(Cause::WrongAct);
        }
        // Nearly always the first port the manifest names is the one that answers.
        if let Ok(grant) = self.grant() {
            let first = [&grant.asked, &grant.given]
                .into_iter()
                .find_map(|table| table.first_port(name));
            if let Some(Ok(grounds)) = first.map(|port| self.name_at(name, port)) {
                return Ok(grounds);
            }
        }
        let mut worst: Option<Cause> = None;
        let mut port = 1;
        loop {
            let cause = match self.name_at(name, port) {
                Ok(grounds) => return Ok(grounds),
                Err(cause) => worst.map_or(cause, |worst| worse(worst, cause)),
            };
            worst = Some(cause);
            let grant = self.grant().ok();
            let asked = grant.into_iter().flat_map(|grant| {
                [
                    &grant.asked,
                    &grant.given,
                    &grant.consented,
                    &grant.declined,
                ]
            });
            let written = self
                .operator()
                .flat_map(|tables| [&tables.forbid, &tables.ask, &tables.allow]);
            match asked
                .chain(written)
                .filter_map(|table| table.next_edge(name, port))
                .min()
            {
                Some(next) => port = next,
                None => return Err(cause),
            }
        }
    }

    fn name_at(&self, name: &QueryName<'_>, port: u16) -> Result<Grounds, Cause> {
        let forbidden = self
            .operator()
            .find_map(|tables| tables.forbid.catches_name(name, port));
        let grant = match (self.grant(), forbidden) {
            (Ok(grant), _) => grant,
            (Err(_), Some(rule)) => return Err(Cause::Forbidden(rule)),
            (Err(cause), None) => return Err(cause),
        };
        let given = grant.given.name(name, port).is_some();
        if !given && grant.asked.name(name, port).is_none() {
            return Err(Cause::NoRule);
        }
        if let Some(rule) = forbidden {
            return Err(Cause::Forbidden(rule));
        }
        if given {
            return Ok(Grounds::Allow);
        }
        self.second_key(
            self.operator()
                .find_map(|tables| tables.ask.catches_name(name, port)),
            |verdict| {
                self.operator()
                    .find_map(|tables| verdict(tables).allows_name(name, port))
            },
            grant.declined.name(name, port),
            || grant.consented.name(name, port),
            false,
        )
    }
}

/// Of two causes at two ports, the one that says more: a rule beats a default, any beats none.
pub(crate) fn worse(a: Cause, b: Cause) -> Cause {
    let rank = |cause: &Cause| match cause {
        Cause::Forbidden(_) => 5,
        Cause::Declined(_) => 4,
        Cause::Ask(_) => 3,
        Cause::Unmentioned => 2,
        _ => 1,
    };
    if rank(&b) > rank(&a) { b } else { a }
}

/// An IPv4-mapped address is the IPv4 address: the same packet. Anything else stays as dialled.
pub(crate) fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
