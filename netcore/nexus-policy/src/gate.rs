//! The one decision function, and what it decides by.
//!
//! The steps of a judgement are in `judge.rs`.
//!
//! The place of what comes later: terminal questions answer into [`Consent`] before `admit`;
//! audit wraps `decide`, which has the only two results there are to record; revocation is
//! `set_policies` or `set_topology`, the epoch, and [`Gate::judge_again`].

use core::net::{IpAddr, SocketAddr};
use std::collections::BTreeMap;
use std::sync::Arc;

use nexus_types::{AppDigest, Duration, HostName, InstanceId, Instant, PolicyEpoch, Reason};

use crate::address::{Topology, canonical};
use crate::binding::Bindings;
use crate::capability::{Capability, Status};
use crate::decide::Act;
use crate::denial::Denial;
use crate::examine::Examiner;
use crate::index::{self, RemoteTarget, RuleIndex, RuleTable};
use crate::judge::Cause;
use crate::manifest::Manifest;
use crate::networks::Borders;
use crate::permit::{Permit, Stamp};
use crate::policy::{Policy, PolicyRule, Verdict};
use crate::publisher::PublisherKey;
use crate::rule::Rule;
use crate::wall::WallTime;

/// Which app an instance is: the host's own record, never what the app says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AppIdentity {
    /// For people: the manifest's id, or the file's name.
    pub id: String,
    /// What it is.
    pub digest: AppDigest,
    /// Whose signature over it was verified; none: it has none that was.
    pub publisher: Option<PublisherKey>,
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

/// Rules on their way into tables, each with its place in [`Gate::written`].
type Group<'a> = BTreeMap<Capability, Vec<(RuleIndex, &'a PolicyRule)>>;

/// The operator's rules of one capability.
#[derive(Default)]
pub(crate) struct OperatorTables {
    pub(crate) borders: Borders,
    pub(crate) forbid: RuleTable,
    pub(crate) ask: RuleTable,
    pub(crate) allow: RuleTable,
}

/// What one instance has of one capability: by its manifest, and by `--allow`.
pub(crate) struct Grant {
    pub(crate) borders: Borders,
    pub(crate) asked: RuleTable,
    pub(crate) given: RuleTable,
}

/// What all instances of an app that was admitted once have in common.
pub(crate) struct App {
    pub(crate) identity: AppIdentity,
    pub(crate) manifest: Manifest,
    pub(crate) consent: Consent,
    pub(crate) grants: PerCapability<Grant>,
}

pub(crate) struct Instance {
    pub(crate) app: Arc<App>,
    /// What admitted it.
    epoch: PolicyEpoch,
    pub(crate) bindings: Bindings,
    /// Whether it may open a UDP socket at all: [`Act::UdpOpen`] under the current policy.
    pub(crate) udp_open: Result<(), Cause>,
}

/// [`Gate::admit_like`] has no admission to go by: the instance has ended, or the policy has
/// changed since it was admitted. [`Gate::admit`] must judge anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stale;

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

    /// Replaces what the network looks like, as when an address was given to the node or taken from it. Where
    /// that is not what it was, the policy has another number from now on and what is open is judged again:
    /// what an address is decides which rules are about it. Admissions and bindings stay.
    pub fn set_topology(&mut self, now: Instant, topology: Topology) {
        if topology == self.topology {
            return;
        }
        self.topology = topology;
        self.epoch = self.epoch.next();
        self.judge_udp_open(now);
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
        let live = |written: &Written| Self::holds(written, now);
        self.next_expiry = self
            .written
            .iter()
            .filter(|written| live(written))
            .filter_map(|written| written.expires)
            .min()
            .unwrap_or(Instant::FAR_FUTURE);
        // Grouped by app first: a policy may have as many apps as rules.
        let mut groups: BTreeMap<Option<AppDigest>, Group<'_>> =
            BTreeMap::from([(None, BTreeMap::new())]);
        for (index, written) in (0..)
            .zip(&self.written)
            .filter(|(_, written)| live(written))
        {
            let group = groups.entry(written.rule.app).or_default();
            group
                .entry(written.rule.capability)
                .or_default()
                .push((index, &written.rule));
        }
        let tables = |group: &Group<'_>| -> PerCapability<OperatorTables> {
            per_capability(|capability| {
                let rules = group.get(&capability)?;
                let to = rules.iter().filter_map(|(_, rule)| rule.to.as_deref());
                let borders = index::borders(to.flatten());
                Some(OperatorTables {
                    forbid: table(&borders, rules, Verdict::Forbid),
                    ask: table(&borders, rules, Verdict::Ask),
                    allow: table(&borders, rules, Verdict::Allow),
                    borders,
                })
            })
        };
        let mut compiled: BTreeMap<_, _> = groups
            .iter()
            .map(|(app, group)| (*app, tables(group)))
            .collect();
        let everyone = compiled.remove(&None).unwrap_or_default();
        self.one = compiled
            .into_iter()
            .filter_map(|(app, tables)| Some((app?, tables)))
            .collect();
        self.everyone = everyone;
        self.judge_udp_open(now);
    }

    /// Judges anew, for every instance, whether it may open a UDP socket.
    fn judge_udp_open(&mut self, now: Instant) {
        let udp_open: Vec<_> = self
            .instances
            .iter()
            .map(|(id, instance)| (*id, self.may_open_udp(now, instance)))
            .collect();
        for (id, answer) in udp_open {
            if let Some(instance) = self.instances.get_mut(&id) {
                instance.udp_open = answer;
            }
        }
    }

    fn may_open_udp(&self, now: Instant, instance: &Instance) -> Result<(), Cause> {
        let examiner = Examiner {
            gate: self,
            now,
            app: &instance.app.identity,
            manifest: &instance.app.manifest,
            consent: &instance.app.consent,
        };
        examiner.any_target(Capability::NetworkUdpSend)
    }

    /// Puts an instance behind the gate, without asking whether it may start: see
    /// [`Gate::admit`](crate::admission).
    pub(crate) fn enter(
        &mut self,
        now: Instant,
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
            let given = given.map(|(_, rule)| rule);
            let borders = index::borders(asked.iter().chain(given.clone()));
            Some(Grant {
                asked: RuleTable::build(&borders, (0..).zip(asked.iter().map(Some))),
                given: RuleTable::build(&borders, (0..).zip(given.map(Some))),
                borders,
            })
        });
        let mut entered = Instance {
            app: Arc::new(App {
                identity: app,
                manifest,
                consent,
                grants,
            }),
            epoch: self.epoch,
            bindings: Bindings::default(),
            udp_open: Err(Cause::NotAsked),
        };
        entered.udp_open = self.may_open_udp(now, &entered);
        self.instances.insert(instance, entered);
    }

    /// Puts another instance of an app behind the gate, by the admission of `like`: a host that
    /// starts an instance for each request asks once an app, not once a request. The two share
    /// nothing but what was granted: no DNS answer of one counts for the other.
    ///
    /// # Errors
    /// There is no admission to go by; nobody was let in.
    pub fn admit_like(
        &mut self,
        now: Instant,
        instance: InstanceId,
        like: InstanceId,
    ) -> Result<(), Stale> {
        self.handle_timeout(now);
        let like = self.instances.get(&like).ok_or(Stale)?;
        if like.epoch != self.epoch {
            return Err(Stale);
        }
        let entered = Instance {
            app: like.app.clone(),
            epoch: like.epoch,
            bindings: Bindings::default(),
            udp_open: like.udp_open,
        };
        self.instances.insert(instance, entered);
        Ok(())
    }

    /// An instance is gone. Its number is never used again.
    pub fn end(&mut self, instance: InstanceId) {
        self.instances.remove(&instance);
    }

    /// Which app an instance is.
    pub fn app(&self, instance: InstanceId) -> Option<&AppIdentity> {
        self.instances
            .get(&instance)
            .map(|instance| &instance.app.identity)
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
    /// that opened it. A name's answer may have ended meanwhile, and the link may have named the far end a gateway
    /// or a name server ([`Topology::learnt`]); neither ends a connection.
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
    #[inline]
    pub fn is_current(&self, stamp: Stamp) -> bool {
        stamp.epoch == self.epoch
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

    /// What is judged of a far end; `open`: of what is open already.
    pub(crate) fn remote_target(&self, remote: SocketAddr, open: bool) -> RemoteTarget {
        let canonical = canonical(remote.ip());
        let class = if open {
            self.topology.classify_open(remote.ip())
        } else {
            self.topology.classify(remote.ip())
        };
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

/// The table of the rules of one verdict.
fn table(borders: &Borders, rules: &[(RuleIndex, &PolicyRule)], verdict: Verdict) -> RuleTable {
    let mut list = Vec::new();
    for (index, rule) in rules.iter().filter(|(_, rule)| rule.verdict == verdict) {
        match &rule.to {
            None => list.push((*index, None)),
            Some(to) => list.extend(to.iter().map(|text| (*index, Some(text)))),
        }
    }
    RuleTable::build(borders, list)
}

fn per_capability<T>(mut make: impl FnMut(Capability) -> Option<T>) -> PerCapability<T> {
    let mut all: PerCapability<T> = core::array::from_fn(|_| None);
    for capability in Capability::ALL.into_iter().chain(Capability::WASI) {
        all[capability as usize] = make(capability).map(Box::new);
    }
    all
}
