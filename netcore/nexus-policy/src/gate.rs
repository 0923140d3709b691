//! The one decision function, and what it decides by.
//!
//! The steps of a judgement are in `judge.rs`.
//!
//! Questions are answered into [`Consent`] before `admit`; every answer of `decide` is recorded
//! before it is given ([`Auditor`]); revocation is `set_policies`, `set_consent` or `set_topology`,
//! the epoch, and [`Gate::judge_again`].

use core::net::{IpAddr, SocketAddr};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use nexus_types::{AppDigest, HostName, InstanceId, Instant, PolicyEpoch, Reason};

use crate::address::{Topology, canonical};
use crate::audit::{Auditor, Recorded};
use crate::binding::Bindings;
use crate::capability::Capability;
use crate::consent::{Answer, Consent};
use crate::decide::Act;
use crate::denial::Denial;
use crate::examine::Examiner;
use crate::grounds::Grounds;
use crate::index::{RemoteTarget, RuleIndex, name_means};
use crate::judge::{Cause, permitted};
use crate::learn::Learnt;
use crate::manifest::Manifest;
use crate::mode::Mode;
use crate::names::QueryName;
use crate::permit::{Permit, Stamp};
use crate::policy::{Policy, PolicyRule, Verdict};
use crate::publisher::PublisherKey;
use crate::standing::may_meet;
use crate::switch;
use crate::tables::{Grant, OperatorTables, PerCapability, Rulebook, grants};
use crate::wall::{WallTime, until};

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

/// What all instances of an app that was admitted once have in common.
pub(crate) struct App {
    pub(crate) identity: AppIdentity,
    pub(crate) manifest: Manifest,
    pub(crate) consent: Consent,
    pub(crate) grants: PerCapability<Grant>,
}

impl App {
    fn new(
        identity: AppIdentity,
        manifest: Manifest,
        consent: Consent,
        now: Instant,
        wall: (Instant, WallTime),
    ) -> Arc<Self> {
        Arc::new(Self {
            grants: grants(&manifest, &consent, now, wall),
            identity,
            manifest,
            consent,
        })
    }

    /// The same app, with what persons say of it at `now`.
    fn with(&self, consent: Consent, now: Instant, wall: (Instant, WallTime)) -> Arc<Self> {
        Self::new(
            self.identity.clone(),
            self.manifest.clone(),
            consent,
            now,
            wall,
        )
    }
}

pub(crate) struct Instance {
    pub(crate) app: Arc<App>,
    /// What admitted it.
    epoch: PolicyEpoch,
    pub(crate) bindings: Bindings,
    /// Whether it may open a UDP socket at all: [`Act::UdpOpen`] under the current policy.
    pub(crate) udp_open: Result<Grounds, Cause>,
    /// An allow that would have let it, had its time not been over.
    pub(crate) udp_over: Option<RuleIndex>,
    /// It has ended, and something it left behind has not.
    pub(crate) retired: bool,
}

/// [`Instance::udp_open`] and [`Instance::udp_over`].
type UdpOpen = (Result<Grounds, Cause>, Option<RuleIndex>);

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
    /// The operator's rules that hold, and those whose time is over: only to say so.
    held: Rulebook,
    pub(crate) over: Rulebook,
    next_expiry: Instant,
    instances: BTreeMap<InstanceId, Instance>,
    /// The time of day that was told, and when.
    wall: (Instant, WallTime),
    mode: Mode,
    pub(crate) auditor: Option<Box<dyn Auditor>>,
    /// What was let pass and nobody has taken, bounded by [`OBSERVED_MAX`].
    observed: VecDeque<Denial>,
    learnt: Learnt,
}

/// What was let pass and nobody has taken yet; beyond, the oldest is dropped: whoever tells of it
/// takes it after each act.
const OBSERVED_MAX: usize = 64;

impl Gate {
    /// A gate with nobody behind it.
    pub fn new(topology: Topology) -> Self {
        Self {
            topology,
            epoch: PolicyEpoch(0),
            policies: [Policy::none(), Policy::none()],
            written: Vec::new(),
            held: Rulebook::default(),
            over: Rulebook::default(),
            next_expiry: Instant::FAR_FUTURE,
            instances: BTreeMap::new(),
            wall: (Instant::ZERO, WallTime(0)),
            mode: Mode::Enforce,
            auditor: None,
            observed: VecDeque::new(),
            learnt: Learnt::default(),
        }
    }

    /// Has every decision recorded by `auditor` from now on.
    pub fn set_auditor(&mut self, auditor: Box<dyn Auditor>) {
        self.auditor = Some(auditor);
    }

    /// What is done with refusals. To be set before an app is admitted.
    pub fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
    }

    /// The time of day that was told last, and when.
    pub(crate) fn wall(&self) -> (Instant, WallTime) {
        self.wall
    }

    /// What is done with refusals.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The oldest refusal that [`Mode::Observe`] let pass and nobody has taken.
    pub fn poll_observed(&mut self) -> Option<Denial> {
        self.observed.pop_front()
    }

    /// What apps used, in [`Mode::Learn`].
    pub fn learnt(&self) -> &Learnt {
        &self.learnt
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
                    expires: rule.expires.map(|expires| until((now, wall), expires)),
                })
            })
            .collect();
        self.policies = [machine, operator];
        self.wall = (now, wall);
        self.compile(now);
    }

    /// Replaces what persons have said of one running app: what it has open is judged again.
    pub fn set_consent(&mut self, now: Instant, instance: InstanceId, consent: Consent) {
        let wall = self.wall;
        let Some(entered) = self.instances.get_mut(&instance) else {
            return;
        };
        entered.app = entered.app.with(consent, now, wall);
        self.compile(now);
    }

    /// What persons have said of one running app.
    pub fn consent(&self, instance: InstanceId) -> Option<&Consent> {
        Some(&self.instances.get(&instance)?.app.consent)
    }

    /// The apps that are behind the gate.
    pub fn apps(&self) -> impl Iterator<Item = (InstanceId, &AppIdentity)> {
        self.instances
            .iter()
            .map(|(id, instance)| (*id, &instance.app.identity))
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

    /// Takes answers out of the tables of those whose time is over.
    fn end_answers(&mut self, now: Instant) {
        let wall = self.wall;
        for instance in self.instances.values_mut() {
            let app = &instance.app;
            let over = |answer: &Answer| answer.expires.is_some_and(|at| until(wall, at) <= now);
            if app.consent.answers.iter().any(over) {
                instance.app = app.with(app.consent.clone(), now, wall);
            }
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
        self.end_answers(now);
        self.epoch = self.epoch.next();
        let wall = self.wall;
        let rules = self.written.iter().filter_map(|written| written.expires);
        let answers = self
            .instances
            .values()
            .flat_map(|instance| &instance.app.consent.answers)
            .filter_map(|answer| Some(until(wall, answer.expires?)));
        self.next_expiry = rules
            .chain(answers)
            .filter(|expires| *expires > now)
            .min()
            .unwrap_or(Instant::FAR_FUTURE);
        let (held, over) = (0..)
            .zip(&self.written)
            .partition::<Vec<_>, _>(|(_, written)| Self::holds(written, now));
        let rules = |all: Vec<(RuleIndex, &'_ Written)>| {
            Rulebook::of(
                all.into_iter()
                    .map(|(index, written)| (index, &written.rule)),
            )
        };
        (self.held, self.over) = (rules(held), rules(over));
        let mut instances = core::mem::take(&mut self.instances);
        for instance in instances.values_mut() {
            let app = &instance.app.identity;
            instance
                .bindings
                .set_written(|name| self.is_written(app, name));
        }
        self.instances = instances;
        self.judge_udp_open(now);
    }

    /// Judges anew, for every instance, whether it may open a UDP socket.
    fn judge_udp_open(&mut self, now: Instant) {
        let udp_open: Vec<_> = self
            .instances
            .iter()
            .map(|(id, instance)| (*id, self.may_open_udp(now, instance)))
            .collect();
        for (id, answers) in udp_open {
            if let Some(instance) = self.instances.get_mut(&id) {
                (instance.udp_open, instance.udp_over) = answers;
            }
        }
    }

    fn may_open_udp(&self, now: Instant, instance: &Instance) -> UdpOpen {
        let app = &instance.app;
        let capability = Capability::NetworkUdpSend;
        let examiner = Examiner {
            gate: self,
            now,
            app: &app.identity,
            manifest: &app.manifest,
            consent: &app.consent,
        };
        let open = examiner.any_target(capability);
        if open != Err(Cause::Unmentioned) {
            return (open, None);
        }
        let asked = app.manifest.asked(capability);
        let asked = asked.map_or(&[][..], |asked| &asked.rules);
        let over = (0..).zip(&self.written).find(|(_, written)| {
            let rule = &written.rule;
            rule.capability == capability
                && rule.verdict == Verdict::Allow
                && !Self::holds(written, now)
                && rule.app.concerns(&app.identity)
                && rule.to.iter().flatten().any(|to| {
                    let mut asked = asked.iter();
                    asked.any(|asked| may_meet(&self.topology, to, asked))
                })
        });
        (open, over.map(|(index, _)| index))
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
        let mut entered = Instance {
            app: App::new(app, manifest, consent, now, self.wall),
            epoch: self.epoch,
            bindings: Bindings::default(),
            udp_open: Err(Cause::NotAsked),
            udp_over: None,
            retired: false,
        };
        (entered.udp_open, entered.udp_over) = self.may_open_udp(now, &entered);
        let expires = entered.app.consent.answers.iter();
        let expires = expires.filter_map(|answer| Some(until(self.wall, answer.expires?)));
        let expires = expires.filter(|at| *at > now).min();
        self.next_expiry = expires.map_or(self.next_expiry, |at| self.next_expiry.min(at));
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
        if like.epoch != self.epoch || like.retired {
            return Err(Stale);
        }
        let entered = Instance {
            app: like.app.clone(),
            epoch: like.epoch,
            bindings: Bindings::default(),
            udp_open: like.udp_open,
            udp_over: like.udp_over,
            retired: false,
        };
        self.instances.insert(instance, entered);
        Ok(())
    }

    /// An instance has ended, and has left connections that still deliver what it wrote: nothing new is decided for it,
    /// and what is left is judged again until [`Gate::end`].
    pub fn retire(&mut self, instance: InstanceId) {
        if let Some(instance) = self.instances.get_mut(&instance) {
            instance.retired = true;
        }
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
        let Some(app) = self.app(instance) else {
            return;
        };
        let written = self.is_written(app, name);
        if let Some(instance) = self.instances.get_mut(&instance) {
            for address in addresses
                .iter()
                .take(nexus_types::limits::DNS_ANSWERS as usize)
            {
                let address = canonical(*address).address;
                instance.bindings.insert(now, address, name, until, written);
            }
        }
    }

    /// Whether a forbid or an ask that concerns an app is about this name.
    fn is_written(&self, app: &AppIdentity, name: &HostName) -> bool {
        let name = QueryName::new(name.as_str());
        [
            Capability::NetworkTcpConnect,
            Capability::NetworkUdpSend,
            Capability::NetworkHttpRequest,
        ]
        .into_iter()
        .flat_map(|capability| self.operator(app, capability))
        .flat_map(|tables| [&tables.forbid, &tables.ask])
        .any(|table| table.names(&name).is_some())
    }

    /// Judges an act. The permit is for that act and nothing else; on a refusal nothing may have
    /// happened yet.
    pub fn decide(
        &mut self,
        now: Instant,
        instance: InstanceId,
        act: &Act<'_>,
    ) -> Result<Permit, Box<Denial>> {
        match self.consider(now, instance, act) {
            Ok(permit) => Ok(permit),
            Err(denial) => {
                self.record_refused(now, &denial, Recorded::Deny);
                Err(denial)
            }
        }
    }

    /// Judges several ways to do one thing, as the addresses of one name. What is permitted comes
    /// back in order. Only if nothing is, the thing was refused: once, for the reason of the first.
    /// At most [`nexus_types::limits::DNS_ANSWERS`] are judged; the rest is dropped.
    ///
    /// # Errors
    /// The refusal. None, with an empty list, if there was nothing to judge.
    pub fn decide_some<'a>(
        &mut self,
        now: Instant,
        instance: InstanceId,
        acts: impl IntoIterator<Item = Act<'a>>,
    ) -> Result<Vec<Permit>, Box<Denial>> {
        let acts = acts
            .into_iter()
            .take(nexus_types::limits::DNS_ANSWERS as usize);
        if self.mode.lets_pass() {
            let mut acts: Vec<_> = acts.collect();
            self.keep_the_likeliest(now, instance, &mut acts);
            self.consider_each(now, instance, acts)
        } else {
            self.consider_each(now, instance, acts)
        }
    }

    /// As [`Gate::decide_some`], and stops at the first that is permitted.
    ///
    /// # Errors
    /// The refusal. None, without a permit, if there was nothing to judge.
    pub fn decide_first<'a>(
        &mut self,
        now: Instant,
        instance: InstanceId,
        acts: impl IntoIterator<Item = Act<'a>>,
    ) -> Result<Option<Permit>, Box<Denial>> {
        let mut acts: Vec<_> = acts
            .into_iter()
            .take(nexus_types::limits::DNS_ANSWERS as usize)
            .collect();
        if self.mode.lets_pass() {
            self.keep_the_likeliest(now, instance, &mut acts);
        }
        let mut first = None;
        for act in acts {
            match self.consider(now, instance, &act) {
                Ok(permit) => return Ok(Some(permit)),
                Err(denial) => {
                    first.get_or_insert(denial);
                }
            }
        }
        match first {
            Some(denial) => {
                self.record_refused(now, &denial, Recorded::Deny);
                Err(denial)
            }
            None => Ok(None),
        }
    }

    /// Judges several ways that are all to be open for one thing to be done, as the addresses of a name that a request
    /// goes to: whoever answers for the name does not choose which of them is tried. Where one is not permitted none
    /// is, and the refusal is of that one. At most [`nexus_types::limits::DNS_ANSWERS`] are judged; the rest is
    /// dropped.
    ///
    /// # Errors
    /// The refusal. None, with an empty list, if there was nothing to judge.
    pub fn decide_all<'a>(
        &mut self,
        now: Instant,
        instance: InstanceId,
        acts: impl IntoIterator<Item = Act<'a>>,
    ) -> Result<Vec<Permit>, Box<Denial>> {
        let acts: Vec<_> = acts
            .into_iter()
            .take(nexus_types::limits::DNS_ANSWERS as usize)
            .collect();
        self.handle_timeout(now);
        for act in acts.iter().filter(|_| !switch::is_within()) {
            if let Err(cause) = self.judge(now, instance, act, false)
                && !self.lets_pass(instance, act, cause)
            {
                let denial = self.denial(now, instance, act, cause);
                self.record_refused(now, &denial, Recorded::Deny);
                return Err(denial);
            }
        }
        let permits = acts.iter().map(|act| self.decide(now, instance, act));
        permits.collect()
    }

    fn consider_each<'a>(
        &mut self,
        now: Instant,
        instance: InstanceId,
        acts: impl IntoIterator<Item = Act<'a>>,
    ) -> Result<Vec<Permit>, Box<Denial>> {
        let mut permits = Vec::new();
        let mut first = None;
        for act in acts {
            match self.consider(now, instance, &act) {
                Ok(permit) => permits.push(permit),
                Err(denial) => {
                    first.get_or_insert(denial);
                }
            }
        }
        match first {
            Some(denial) if permits.is_empty() => {
                self.record_refused(now, &denial, Recorded::Deny);
                Err(denial)
            }
            _ => Ok(permits),
        }
    }

    /// Of several ways to do one thing under a mode that lets pass: those that are allowed anyway; else those that
    /// mean what a name means, the internet; else all. The others are dropped, as they are where nothing is let
    /// pass: who answers for a name does not choose what is tried, or learnt.
    fn keep_the_likeliest(&mut self, now: Instant, instance: InstanceId, acts: &mut Vec<Act<'_>>) {
        self.handle_timeout(now);
        let rank = |act: &Act<'_>| match self.judge(now, instance, act, false) {
            Ok(_) => 0,
            Err(cause) if !self.lets_pass(instance, act, cause) => 3,
            Err(_) => match *act {
                Act::Connect {
                    remote,
                    name: Some(name),
                }
                | Act::UdpSend {
                    remote,
                    name: Some(name),
                } if self.remote_target(remote, false).class != name_means(name.as_str()) => 2,
                _ => 1,
            },
        };
        let ranks: Vec<_> = acts.iter().map(rank).collect();
        let best = ranks.iter().min().copied();
        let mut ranks = ranks.into_iter();
        acts.retain(|_| ranks.next() == best);
    }

    /// Judges an act, and has it recorded if it is allowed.
    fn consider(
        &mut self,
        now: Instant,
        instance: InstanceId,
        act: &Act<'_>,
    ) -> Result<Permit, Box<Denial>> {
        if switch::is_within() {
            return Ok(self.permit(instance, act));
        }
        self.handle_timeout(now);
        let grounds = match self.judge(now, instance, act, false) {
            Ok(grounds) => grounds,
            Err(cause) if self.lets_pass(instance, act, cause) => {
                let denial = self.denial(now, instance, act, cause);
                if self.observed.len() == OBSERVED_MAX {
                    self.observed.pop_front();
                }
                let reason = denial.reason;
                self.observed.push_back(*denial);
                Grounds::Observed(reason)
            }
            Err(cause) => return Err(self.denial(now, instance, act, cause)),
        };
        let kept = self.record_allowed(now, instance, act, grounds);
        if kept.is_err() && act.capability().is_sensitive() {
            return Err(self.denial(now, instance, act, Cause::Unrecorded));
        }
        if self.mode == Mode::Learn {
            self.learn(now, instance, act);
        }
        Ok(self.permit(instance, act))
    }

    fn permit(&self, instance: InstanceId, act: &Act<'_>) -> Permit {
        let stamp = Stamp {
            instance,
            capability: act.capability(),
            epoch: self.epoch,
        };
        Permit::new(stamp, permitted(act))
    }

    /// Keeps what an act needs of a manifest.
    fn learn(&mut self, now: Instant, instance: InstanceId, act: &Act<'_>) {
        let far = act.far_end();
        let class = far.map(|remote| self.remote_target(remote, false).class);
        let names = match act {
            Act::Connect { remote, name: None } | Act::UdpSend { remote, name: None } => {
                self.bound_names(now, instance, canonical(remote.ip()).address)
            }
            _ => Vec::new(),
        };
        let name = names.into_iter().find(|(_, live)| *live);
        self.learnt.add(act, class, name.map(|(name, _)| name));
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
        if switch::is_within() {
            return Ok(Stamp {
                epoch: self.epoch,
                ..stamp
            });
        }
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
            Err(cause) if self.lets_pass(stamp.instance, act, cause) => Ok(Stamp {
                epoch: self.epoch,
                ..stamp
            }),
            Err(cause) => {
                let mut denial = self.denial(now, stamp.instance, act, cause);
                denial.reason = Reason::Revoked;
                self.record_refused(now, &denial, Recorded::Revoke);
                Err(denial)
            }
        }
    }

    /// As [`Gate::judge_again`], of a part of a handle, or of less than it was opened for: its app is asked about
    /// the rest, or it is judged again. Nothing is recorded, since nothing has ended yet.
    pub fn goes_on(&mut self, now: Instant, stamp: Stamp, act: &Act<'_>) -> bool {
        if switch::is_within() {
            return true;
        }
        self.handle_timeout(now);
        act.capability() == stamp.capability
            && match self.judge(now, stamp.instance, act, true) {
                Ok(_) => true,
                Err(cause) => self.lets_pass(stamp.instance, act, cause),
            }
    }

    /// Whether a handle may go on without being judged again: what a data call checks.
    #[inline]
    pub fn is_current(&self, stamp: Stamp) -> bool {
        stamp.epoch == self.epoch
    }

    /// The operator's rules about `capability` that concern an app: at most [`crate::tables::CONCERNS`] tables.
    pub(crate) fn operator(
        &self,
        app: &AppIdentity,
        capability: Capability,
    ) -> impl Iterator<Item = &OperatorTables> + Clone {
        self.held.concerning(app, capability)
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
