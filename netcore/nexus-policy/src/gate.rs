//! The one decision function, and what it decides by.
//!
//! An act passes these in order; the first that refuses gives the reason:
//! 1. the instance is one that was admitted;
//! 2. the class of the address is one that rules can name (`infrastructure`, `unspecified` and
//!    `reserved` are not), and the port is not the host's own;
//! 3. no rule of the operator forbids it: not by its address in either form, not by its name,
//!    not by any name the address is bound to;
//! 4. the manifest asks for it (or `--allow` gives it, which answers 5 as well);
//! 5. the operator allows it. A matching `ask` rule wants consent, else a matching `allow` rule
//!    is enough, else nobody has said anything: then an app-class capability wants consent and a
//!    system-class one is refused, and so is a metadata service, whoever consents.
//!
//! Keys 4 and 5 are turned for the same reading of a target: its address, or its address as one
//! of its names. A name counts only while it is bound to the address, for this instance.
//!
//! The place of what comes later: terminal questions answer into [`Consent`] before `admit`;
//! audit wraps `decide`, which has the only two results there are to record; revocation is
//! `set_policies`, the epoch, and [`Gate::judge_again`].

use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeMap;

use nexus_types::{AppDigest, Duration, HostName, InstanceId, Instant, PolicyEpoch, Reason};

use crate::address::{AddressClass, Topology, canonical};
use crate::binding::Bindings;
use crate::capability::{Capability, Class, Status};
use crate::decide::Act;
use crate::denial::Denial;
use crate::index::{RemoteTarget, RuleIndex, RuleTable, name_means};
use crate::manifest::Manifest;
use crate::permit::{Permit, Stamp, Target, TargetName};
use crate::policy::{Policy, PolicyRule, Verdict};
use crate::rule::Rule;
use crate::wall::WallTime;

/// Which app an instance is: the host's own record, never what the app says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AppIdentity {
    /// For people: the manifest's id, or the file's name.
    pub id: String,
    /// What it is.
    pub digest: AppDigest,
}

/// What the person who runs an app has said for this run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Consent {
    /// `--allow-manifest`: yes to whatever the manifest asks and the operator leaves to a person.
    pub allow_manifest: bool,
    /// `--allow CAP=RULE`: both keys for these, short of a written forbid.
    pub allow: Vec<(Capability, Rule)>,
}

/// Number of capabilities, those of base WASI included.
const CAPABILITIES: usize = Capability::ALL.len() + Capability::WASI.len();

/// One thing per capability.
type PerCapability<T> = [Option<Box<T>>; CAPABILITIES];

/// The operator's rules of one capability.
#[derive(Default)]
pub(crate) struct OperatorTables {
    pub(crate) forbid: RuleTable,
    pub(crate) ask: RuleTable,
    pub(crate) allow: RuleTable,
}

/// What one instance has of one capability.
struct Grant {
    asked: RuleTable,
    given: RuleTable,
}

pub(crate) struct Instance {
    pub(crate) app: AppIdentity,
    pub(crate) manifest: Manifest,
    consent: Consent,
    grants: PerCapability<Grant>,
    bindings: Bindings,
}

/// A rule the operator wrote, where, and until when on the monotonic line.
pub(crate) struct Written {
    pub(crate) file: String,
    pub(crate) rule: PolicyRule,
    expires: Option<Instant>,
}

/// The authority. One a node.
pub struct Gate {
    topology: Topology,
    epoch: PolicyEpoch,
    policies: [Policy; 2],
    pub(crate) written: Vec<Written>,
    /// Rules for every app, and rules for one.
    everyone: PerCapability<OperatorTables>,
    one: BTreeMap<AppDigest, PerCapability<OperatorTables>>,
    next_expiry: Instant,
    instances: BTreeMap<InstanceId, Instance>,
}

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
    /// A written forbid.
    Forbidden(RuleIndex),
    /// A written ask, and no consent.
    Ask(RuleIndex),
    /// Nothing written, and no consent, or no consent is enough.
    Unmentioned,
    /// The capability does not have this act.
    WrongAct,
}

impl Gate {
    /// A gate with nobody behind it.
    pub fn new(topology: Topology) -> Self {
        Self {
            topology,
            epoch: PolicyEpoch(0),
            policies: [Policy::none(), Policy::none()],
            written: Vec::new(),
            everyone: Default::default(),
            one: BTreeMap::new(),
            next_expiry: Instant::FAR_FUTURE,
            instances: BTreeMap::new(),
        }
    }

    /// The current policy's number. A handle stamped with another is judged again.
    pub fn epoch(&self) -> PolicyEpoch {
        self.epoch
    }

    /// What the network looks like.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Replaces both of the operator's files: the machine's (`/etc`) and the one of `--policy` or
    /// of the user. They are read as one: a forbid or an ask of either holds against an allow of
    /// the other. `wall` is the time of day at `now`.
    pub fn set_policies(
        &mut self,
        now: Instant,
        wall: WallTime,
        machine: Policy,
        operator: Policy,
    ) {
        self.written = [&machine, &operator]
            .into_iter()
            .flat_map(|policy| {
                let file = policy.source().unwrap_or("policy.toml");
                policy.rules().iter().map(move |rule| Written {
                    file: file.to_owned(),
                    rule: rule.clone(),
                    expires: rule.expires.map(|expires| {
                        let left = expires.0.saturating_sub(wall.0);
                        now + Duration::from_secs(u64::try_from(left).unwrap_or(0))
                    }),
                })
            })
            .collect();
        self.policies = [machine, operator];
        self.compile(now);
    }

    /// When [`Gate::handle_timeout`] is due: a rule ends then. (`decide` notices by itself.)
    pub fn poll_timeout(&self) -> Option<Instant> {
        (self.next_expiry < Instant::FAR_FUTURE).then_some(self.next_expiry)
    }

    /// Ends rules whose time is over. The epoch changes if there were any.
    pub fn handle_timeout(&mut self, now: Instant) {
        if now >= self.next_expiry {
            self.compile(now);
        }
    }

    /// The file of the operator, for texts; the machine's if that is the only one.
    pub(crate) fn operator_file(&self) -> Option<String> {
        let [machine, operator] = &self.policies;
        operator.source().or(machine.source()).map(str::to_owned)
    }

    pub(crate) fn policies(&self) -> &[Policy; 2] {
        &self.policies
    }

    /// Whether a written rule still holds at `now`.
    pub(crate) fn holds(written: &Written, now: Instant) -> bool {
        written.expires.is_none_or(|expires| expires > now)
    }

    fn compile(&mut self, now: Instant) {
        self.epoch = self.epoch.next();
        let live = |written: &&Written| Self::holds(written, now);
        self.next_expiry = self
            .written
            .iter()
            .filter(live)
            .filter_map(|written| written.expires)
            .min()
            .unwrap_or(Instant::FAR_FUTURE);
        let apps = self
            .written
            .iter()
            .filter(live)
            .filter_map(|written| written.rule.app);
        let apps: std::collections::BTreeSet<_> = apps.collect();
        let tables = |app: Option<AppDigest>| -> PerCapability<OperatorTables> {
            let mine: Vec<_> = (0..)
                .zip(&self.written)
                .filter(|(_, written)| written.rule.app == app && Self::holds(written, now))
                .collect();
            per_capability(|capability| {
                let table = |verdict: Verdict| {
                    RuleTable::build(
                        mine.iter()
                            .filter(|(_, w)| {
                                w.rule.capability == capability && w.rule.verdict == verdict
                            })
                            .flat_map(|(index, w)| -> Box<dyn Iterator<Item = _>> {
                                match &w.rule.to {
                                    None => Box::new(core::iter::once((*index, None))),
                                    Some(to) => {
                                        Box::new(to.iter().map(|rule| (*index, Some(rule))))
                                    }
                                }
                            }),
                    )
                };
                mine.iter()
                    .any(|(_, w)| w.rule.capability == capability)
                    .then(|| OperatorTables {
                        forbid: table(Verdict::Forbid),
                        ask: table(Verdict::Ask),
                        allow: table(Verdict::Allow),
                    })
            })
        };
        let one = apps
            .into_iter()
            .map(|app| (app, tables(Some(app))))
            .collect();
        self.everyone = tables(None);
        self.one = one;
    }

    /// Puts an instance behind the gate, without asking whether it may start: see
    /// [`Gate::admit`](crate::admission).
    pub(crate) fn enter(
        &mut self,
        instance: InstanceId,
        app: AppIdentity,
        manifest: Manifest,
        consent: Consent,
    ) {
        let grants = per_capability(|capability| {
            let asked = manifest.asked(capability);
            let given = consent.allow.iter().filter(|(c, _)| *c == capability);
            if capability.status() == Status::Absent {
                return None;
            }
            let wasi = match capability {
                Capability::WasiDirs => !manifest.directories().is_empty(),
                Capability::WasiEnv => !manifest.variables().is_empty(),
                _ => false,
            };
            if asked.is_none() && !wasi && given.clone().next().is_none() {
                return None;
            }
            let asked: Vec<Rule> = match capability {
                Capability::WasiDirs => manifest
                    .directories()
                    .iter()
                    .filter_map(|d| {
                        Some(Rule::Directory(crate::wasi::DirectoryRule::new(
                            d.path.as_deref()?,
                            d.mode,
                        )?))
                    })
                    .collect(),
                Capability::WasiEnv => manifest
                    .variables()
                    .iter()
                    .map(|(name, _)| Rule::Variable(name.clone()))
                    .collect(),
                _ => asked.map(|asked| asked.rules.clone()).unwrap_or_default(),
            };
            Some(Grant {
                asked: RuleTable::build((0..).zip(asked.iter().map(Some))),
                given: RuleTable::build((0..).zip(given.map(|(_, rule)| Some(rule)))),
            })
        });
        let entered = Instance {
            app,
            manifest,
            consent,
            grants,
            bindings: Bindings::default(),
        };
        self.instances.insert(instance, entered);
    }

    /// An instance is gone. Its number is never used again.
    pub fn end(&mut self, instance: InstanceId) {
        self.instances.remove(&instance);
    }

    /// Which app an instance is.
    pub fn app(&self, instance: InstanceId) -> Option<&AppIdentity> {
        self.instances.get(&instance).map(|instance| &instance.app)
    }

    pub(crate) fn instance(&self, instance: InstanceId) -> Option<&Instance> {
        self.instances.get(&instance)
    }

    /// Remembers an answer this instance was given: until then, each of these addresses counts
    /// as `name` for it. Call it with what a permitted lookup answered, before judging the
    /// connection.
    pub fn bind_answer(
        &mut self,
        now: Instant,
        instance: InstanceId,
        name: &HostName,
        addresses: &[IpAddr],
        until: Instant,
    ) {
        if until <= now {
            return;
        }
        if let Some(instance) = self.instances.get_mut(&instance) {
            for address in addresses
                .iter()
                .take(nexus_types::limits::DNS_ANSWERS as usize)
            {
                instance
                    .bindings
                    .insert(canonical(*address).address, name, until);
            }
        }
    }

    /// Judges an act. The permit is for that act and nothing else; on a refusal nothing may have
    /// happened yet.
    pub fn decide(
        &mut self,
        now: Instant,
        instance: InstanceId,
        act: &Act<'_>,
    ) -> Result<Permit, Box<Denial>> {
        self.handle_timeout(now);
        match self.judge(now, instance, act, false) {
            Ok(target) => Ok(Permit::new(
                Stamp {
                    instance,
                    capability: act.capability(),
                    epoch: self.epoch,
                },
                target,
            )),
            Err(cause) => Err(self.denial(now, instance, act, cause)),
        }
    }

    /// Judges again what is open, after the epoch has changed: the handle's stamp, and the act
    /// that opened it. A name's answer may have ended meanwhile; that ends no connection.
    /// On a refusal the handle ends with `revoked`.
    pub fn judge_again(
        &mut self,
        now: Instant,
        stamp: Stamp,
        act: &Act<'_>,
    ) -> Result<Stamp, Box<Denial>> {
        self.handle_timeout(now);
        let judged = if act.capability() == stamp.capability {
            self.judge(now, stamp.instance, act, true)
        } else {
            Err(Cause::WrongAct)
        };
        match judged {
            Ok(_) => Ok(Stamp {
                epoch: self.epoch,
                ..stamp
            }),
            Err(cause) => {
                let mut denial = self.denial(now, stamp.instance, act, cause);
                denial.reason = Reason::Revoked;
                Err(denial)
            }
        }
    }

    /// Whether a handle may go on without being judged again: what a data call checks.
    pub fn is_current(&self, stamp: Stamp) -> bool {
        stamp.epoch == self.epoch
    }

    fn judge(
        &self,
        now: Instant,
        instance: InstanceId,
        act: &Act<'_>,
        open: bool,
    ) -> Result<Target, Cause> {
        let instance = self.instances.get(&instance).ok_or(Cause::NotRunning)?;
        let judge = Judge {
            gate: self,
            instance,
            capability: act.capability(),
            now,
            open,
        };
        match *act {
            Act::Resolve { name, .. } => judge
                .name(name)
                .map(|()| Target::Name(TargetName::new(name))),
            Act::Connect { remote, name } | Act::UdpSend { remote, name } => judge
                .remote(act, remote, name)
                .map(|()| Target::Remote(plain(remote))),
            Act::Listen { local } | Act::UdpBind { local } => judge
                .local(act, local)
                .map(|()| Target::Local(plain(local))),
            Act::Accept { local, remote } => judge.local(act, local).map(|()| Target::Accepted {
                local: plain(local),
                remote: plain(remote),
            }),
            Act::OpenDirectory { path, mode } => judge
                .keys(
                    |tables| tables.catches_directory(path, mode),
                    |tables| tables.allows_directory(path, mode).is_some(),
                )
                .map(|()| Target::Directory(path.into(), mode)),
            Act::SetVariable { name } => judge
                .keys(
                    |tables| tables.variable(name).or(tables.every()),
                    |tables| tables.variable(name).is_some(),
                )
                .map(|()| Target::Variable(name.into())),
        }
    }

    /// The operator's rules about `capability` that concern an app.
    pub(crate) fn operator(
        &self,
        app: &AppDigest,
        capability: Capability,
    ) -> impl Iterator<Item = &OperatorTables> + Clone {
        let one = if self.one.is_empty() {
            None
        } else {
            self.one.get(app)
        };
        let at = capability as usize;
        self.everyone[at]
            .as_deref()
            .into_iter()
            .chain(one.and_then(|one| one[at].as_deref()))
    }

    /// What is judged of a far end.
    pub(crate) fn remote_target(&self, remote: SocketAddr) -> RemoteTarget {
        let canonical = canonical(remote.ip());
        let class = self.topology.classify_canonical(canonical.address);
        RemoteTarget {
            canonical,
            dialled: remote.ip(),
            class,
            port: remote.port(),
        }
    }

    /// The names `address` is bound to for an instance, and whether each still is.
    pub(crate) fn bound_names(
        &self,
        now: Instant,
        instance: InstanceId,
        address: IpAddr,
    ) -> Vec<(HostName, bool)> {
        let bound = self
            .instances
            .get(&instance)
            .map_or(&[][..], |i| i.bindings.of(address));
        bound
            .iter()
            .map(|binding| (binding.name.clone(), binding.until > now))
            .collect()
    }
}

/// One judgement: who, for what, when.
struct Judge<'a> {
    gate: &'a Gate,
    instance: &'a Instance,
    capability: Capability,
    now: Instant,
    /// The connection is open already: its name stays its name.
    open: bool,
}

impl Judge<'_> {
    fn operator(&self) -> impl Iterator<Item = &OperatorTables> + Clone {
        self.gate
            .operator(&self.instance.app.digest, self.capability)
    }

    fn grant(&self) -> Result<&Grant, Cause> {
        self.instance.grants[self.capability as usize]
            .as_deref()
            .ok_or(Cause::NotAsked)
    }

    /// Steps 3 to 5 where a target has one reading.
    fn keys(
        &self,
        catches: impl Fn(&RuleTable) -> Option<RuleIndex>,
        allows: impl Fn(&RuleTable) -> bool,
    ) -> Result<(), Cause> {
        if let Some(rule) = self.operator().find_map(|tables| catches(&tables.forbid)) {
            return Err(Cause::Forbidden(rule));
        }
        let grant = self.grant()?;
        if allows(&grant.given) {
            return Ok(());
        }
        if !allows(&grant.asked) {
            return Err(Cause::NoRule);
        }
        self.second_key(catches, allows, false)
    }

    /// Step 5. `explicit`: nothing short of an operator's own rule is enough.
    fn second_key(
        &self,
        catches: impl Fn(&RuleTable) -> Option<RuleIndex>,
        allows: impl Fn(&RuleTable) -> bool,
        explicit: bool,
    ) -> Result<(), Cause> {
        let consent = self.instance.consent.allow_manifest;
        if let Some(rule) = self.operator().find_map(|tables| catches(&tables.ask)) {
            let named = !explicit
                || self
                    .operator()
                    .any(|tables| allows(&tables.ask) || allows(&tables.allow));
            return if consent && named {
                Ok(())
            } else {
                Err(Cause::Ask(rule))
            };
        }
        if self.operator().any(|tables| allows(&tables.allow)) {
            return Ok(());
        }
        if consent && !explicit && self.capability.class() == Class::App {
            return Ok(());
        }
        Err(Cause::Unmentioned)
    }

    fn remote(
        &self,
        act: &Act<'_>,
        remote: SocketAddr,
        name: Option<&HostName>,
    ) -> Result<(), Cause> {
        let target = self.gate.remote_target(remote);
        if !target.class.is_nameable() || target.port == 0 {
            return Err(Cause::Never);
        }
        if target.class == AddressClass::Host
            && self.gate.topology.owns_port(act.transport(), target.port)
        {
            return Err(Cause::HostPort);
        }
        let bound = self.instance.bindings.of(target.canonical.address);
        let live = |candidate: &HostName| {
            bound
                .iter()
                .any(|b| b.name == *candidate && b.until > self.now)
        };
        // Forbids hold for what an act says it is and for all that the address is known to be.
        let others = bound
            .iter()
            .filter(|b| name.is_none() && b.until > self.now)
            .map(|b| Some(&b.name));
        for reading in core::iter::once(name).chain(others.clone()) {
            if let Some(rule) = self
                .operator()
                .find_map(|tables| tables.forbid.catches(&target, reading))
            {
                return Err(Cause::Forbidden(rule));
            }
        }
        let grant = self.grant()?;
        let mut refusal = Cause::NoRule;
        let own = name.filter(|name| self.open || live(name));
        for reading in core::iter::once(own).chain(others) {
            if grant.given.allows(&target, reading).is_some() {
                return Ok(());
            }
            if grant.asked.allows(&target, reading).is_none() {
                continue;
            }
            let judged = self.second_key(
                |tables| tables.catches(&target, reading),
                |tables| tables.allows(&target, reading).is_some(),
                target.class == AddressClass::Metadata,
            );
            match judged {
                Ok(()) => return Ok(()),
                Err(cause) => refusal = cause,
            }
        }
        Err(refusal)
    }

    fn local(&self, act: &Act<'_>, local: SocketAddr) -> Result<(), Cause> {
        let found = canonical(local.ip());
        if !found.is_direct() {
            return Err(Cause::Never);
        }
        if self.gate.topology.owns_port(act.transport(), local.port()) {
            return Err(Cause::HostPort);
        }
        self.keys(
            |tables| tables.catches_local(found.address, local.port()),
            |tables| tables.allows_local(found.address, local.port()).is_some(),
        )
    }

    /// A lookup is allowed if, at some port, a connection by that name could be: the manifest
    /// names the name there, nothing forbids it, and the second key turns for it.
    ///
    /// The answer changes only at the edges of port ranges, so only those are looked at.
    fn name(&self, name: &HostName) -> Result<(), Cause> {
        if !matches!(
            self.capability,
            Capability::NetworkTcpConnect | Capability::NetworkUdpSend
        ) {
            return Err(Cause::WrongAct);
        }
        let mut worst: Option<Cause> = None;
        let mut port = 1;
        loop {
            let cause = match self.name_at(name, port) {
                Ok(()) => return Ok(()),
                Err(cause) => worst.map_or(cause, |worst| worse(worst, cause)),
            };
            worst = Some(cause);
            let grant = self.grant().ok();
            let asked = grant
                .into_iter()
                .flat_map(|grant| [&grant.asked, &grant.given]);
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

    fn name_at(&self, name: &HostName, port: u16) -> Result<(), Cause> {
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
            return Ok(());
        }
        self.second_key(
            |tables| tables.catches_name(name, port),
            |tables| tables.allows_name(name, port).is_some(),
            name_means(name) == AddressClass::Metadata,
        )
    }
}

/// Of two causes at two ports, the one that says more: a rule beats a default, any beats none.
fn worse(a: Cause, b: Cause) -> Cause {
    let rank = |cause: &Cause| match cause {
        Cause::Forbidden(_) => 4,
        Cause::Ask(_) => 3,
        Cause::Unmentioned => 2,
        _ => 1,
    };
    if rank(&b) > rank(&a) { b } else { a }
}

/// An IPv4-mapped address is the IPv4 address: the same packet. Anything else stays as dialled.
fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn per_capability<T>(mut make: impl FnMut(Capability) -> Option<T>) -> PerCapability<T> {
    let mut all: PerCapability<T> = core::array::from_fn(|_| None);
    for capability in Capability::ALL.into_iter().chain(Capability::WASI) {
        all[capability as usize] = make(capability).map(Box::new);
    }
    all
}
