//! One run of a scenario: the world of one seed, from its beginning to when all is done and nothing is left.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use nexus_caps::NetCtx;
use nexus_node::{Event, Quota};
use nexus_policy::Capability;
use nexus_policy::switch::Site;
use nexus_sim::checker::{Baseline, Checker, TcpRules};
use nexus_sim::{
    Action, Boot, Carries, Conditions, MachineId, MachineSpec, SegmentId, Station, TraceSink, World,
};
use nexus_types::{Instant, Seed};
use sha2::{Digest as _, Sha256};

use super::heard::Heard;
use super::place::Place;
use super::plan::{Planned, Prepared, Wrong};
use super::scenario::App;
use super::verdict::{self, Failure};
use crate::cli::{CliError, Kind, start};
use crate::driver::GuestMachine;
use crate::runtime::clocks::WallClock;
use crate::runtime::instance::Outcome;
use crate::runtime::limits::AppLimits;
use crate::runtime::state::{AppStart, AppState};
use crate::runtime::stdio::Kept;

/// What time of day it is when a world begins: 2026-01-01 00:00 UTC, in every run.
pub(super) const MIDNIGHT: Duration = Duration::from_secs(1_767_225_600);

/// When the last app has ended, the world goes on for so long before it is looked at what peers saw and nodes counted:
/// what was sent last is on its way, and may be lost a few times. Longer if links are slower.
const SETTLE: Duration = Duration::from_secs(10);

/// However slow a link is.
const SETTLE_MOST: Duration = Duration::from_secs(120);

/// When all apps have ended and the network is well, connections are gone so much later: what lingers does so for a
/// minute, and a far end that has vanished is noticed within one.
const REST: Duration = Duration::from_secs(150);

/// What became of an app.
#[derive(Default)]
pub(super) struct Fate {
    pub(super) outcome: Option<Outcome>,
    /// Of the world's time: when it was first started, and when it ended.
    began: Option<Instant>,
    ended: Option<Instant>,
    pub(super) stdout: Kept,
    pub(super) stderr: Kept,
    pub(super) denied: BTreeSet<Capability>,
    /// Why it was not started.
    pub(super) refused: Option<String>,
}

impl Fate {
    pub(super) fn is_over(&self) -> bool {
        self.outcome.is_some() || self.refused.is_some()
    }

    /// Whether its time to start came.
    pub(super) fn has_begun(&self) -> bool {
        self.began.is_some()
    }

    /// From its first start to its end.
    pub(super) fn took(&self) -> Option<Duration> {
        Some(self.ended? - self.began?)
    }
}

/// What the machines of a run share: it outlives their crashes.
pub(super) struct Shared {
    pub(super) fates: RefCell<Vec<Fate>>,
    /// Apps that the world waits for.
    waited_for: Cell<usize>,
    /// Nothing is started any more.
    over: Cell<bool>,
    /// Apps that were started, or ended (true), since it was looked what time it is.
    turned: RefCell<Vec<(usize, bool)>>,
    /// The machine we run on lacks something.
    lacks: RefCell<Option<String>>,
    /// Of each node.
    pub(super) heard: Vec<Heard>,
}

impl Shared {
    fn new(scene: &Prepared) -> Rc<Self> {
        let fates = scene.apps.iter().map(|app| Fate {
            refused: app.prepared.as_ref().err().cloned(),
            ..Fate::default()
        });
        let fates: Vec<_> = fates.collect();
        let waited_for = scene
            .apps
            .iter()
            .zip(&fates)
            .filter(|(app, fate)| !scene.given(app).background && !fate.is_over())
            .count();
        Rc::new(Self {
            fates: RefCell::new(fates),
            waited_for: Cell::new(waited_for),
            over: Cell::new(false),
            turned: RefCell::default(),
            lacks: RefCell::default(),
            heard: (0..scene.scenario.nodes.len())
                .map(|node| scene.heard(node))
                .collect(),
        })
    }

    /// Notes the world's time of what has happened; no machine knows it.
    fn date(&self, now: Instant) {
        let mut turned = self.turned.borrow_mut();
        if turned.is_empty() {
            return;
        }
        let mut fates = self.fates.borrow_mut();
        for (index, ended) in turned.drain(..) {
            let fate = &mut fates[index];
            if ended {
                fate.ended = Some(now);
            } else {
                fate.began.get_or_insert(now);
            }
        }
    }

    /// An app is over, for good: its machine may boot again, and it is not started then.
    fn settle(&self, background: bool) {
        if !background {
            self.waited_for.set(self.waited_for.get() - 1);
        }
    }
}

/// What looks at a run from outside.
#[derive(Default)]
pub(super) struct Watch {
    /// What apps write is handed on.
    pub(super) output: bool,
    pub(super) trace: Option<TraceSink>,
    pub(super) frames: Option<Box<dyn Checker>>,
    /// Told from time to time how far the world's time has gone.
    pub(super) clock: Option<Box<dyn FnMut(Duration)>>,
}

/// How often, in steps of the world.
const TOLD_EVERY: u32 = 256;

/// A run that is over.
#[derive(Clone)]
pub(in crate::cli) struct Ran {
    pub(in crate::cli) seed: u64,
    /// Of every event and frame, and of what became of the apps.
    pub(in crate::cli) hash: String,
    /// Until the apps were done.
    pub(in crate::cli) time: Duration,
    pub(in crate::cli) frames: u64,
    /// What was not as expected.
    pub(in crate::cli) failures: Vec<Failure>,
    /// What each app wrote, in their order, if it was asked for; none: more than is kept.
    pub(in crate::cli) stdout: Vec<Option<Vec<u8>>>,
}

pub(super) fn host_error(error: impl std::fmt::Display) -> CliError {
    CliError::new(Kind::Host, error)
}

impl Prepared {
    /// The world of a seed with this going wrong.
    pub(super) fn run(
        self: &Arc<Self>,
        seed: u64,
        wrong: &Wrong,
        mut watch: Watch,
    ) -> Result<Ran, CliError> {
        let mut world = World::new(&Seed::from_number(seed));
        world.add_checker(Box::new(TcpRules::default()));
        world.add_checker(Box::new(self.isolation()));
        if let Some(sink) = watch.trace {
            world.set_trace(sink);
        }
        if let Some(frames) = watch.frames {
            world.add_checker(frames);
        }
        let shared = Shared::new(self);
        let links = wrong.links.iter();
        let segments: Vec<_> = links
            .map(|conditions| world.add_segment(Carries::Packets, *conditions))
            .collect();
        for (index, node) in self.scenario.nodes.iter().enumerate() {
            let spec = MachineSpec {
                name: node.name.as_str().to_owned(),
                segment: segments[node.link],
                addresses: node.addresses.clone(),
                mac: None,
                clock: Instant::ZERO,
            };
            let (scene, shared) = (self.clone(), shared.clone());
            let factory = Box::new(move |boot: Boot<'_>| scene.boot(index, &boot, &shared));
            let machine = world.add_machine(spec, factory).map_err(host_error)?;
            let start = Action::Start(machine);
            world.at(Instant::ZERO, start).map_err(host_error)?;
        }
        world.plan(&wrong.plan).map_err(host_error)?;

        let until = Instant::ZERO + self.scenario.until;
        // The machines boot with the first step.
        let mut goes_on = world.step();
        let waits = || shared.waited_for.get() > 0;
        shared.date(world.now());
        let lacks = || shared.lacks.borrow().clone();
        let mut steps = 0_u32;
        while goes_on
            && waits()
            && lacks().is_none()
            && world.poll_timeout().is_some_and(|at| at <= until)
        {
            goes_on = world.step();
            shared.date(world.now());
            steps = steps.wrapping_add(1);
            if steps.is_multiple_of(TOLD_EVERY)
                && let Some(clock) = &mut watch.clock
            {
                clock(world.now() - Instant::ZERO);
            }
        }
        if let Some(text) = lacks() {
            return Err(host_error(format!("seed {seed}: {text}")));
        }
        // Somebody waits for something that will not come; or it would, after the end.
        let stuck = waits() && world.poll_timeout().is_none();
        if waits() && !stuck {
            world.run_until(until);
        }
        let (ended, frames) = (world.now().min(until), world.counts().sent);
        let stuck = stuck.then_some(ended);
        let done = !waits();
        if done {
            world.run_until(ended + self.settles_in());
            shared.date(world.now());
        }
        let down: Vec<bool> = world
            .machines()
            .map(|id| world.machine(id).is_none())
            .collect();
        let looked = verdict::Looked {
            ended: ended - Instant::ZERO,
            stuck: stuck.is_some(),
            down: &down,
        };
        let mut failures = verdict::of_apps(self, &shared.fates.borrow(), &looked);
        failures.extend(verdict::of_nodes(self, &world));
        failures.extend(shared.heard.iter().flat_map(Heard::failures));
        if done {
            drain(&mut world, &segments, &shared);
        }
        failures.extend(verdict::of_checkers(&world));
        let fates = shared.fates.borrow();
        let of = |fate: &Fate| (fate.stdout.lost() == 0).then(|| fate.stdout.bytes());
        let stdout = fates.iter().filter(|_| watch.output).map(of).collect();
        Ok(Ran {
            seed,
            hash: hash(&world, &fates),
            time: ended - Instant::ZERO,
            frames,
            failures,
            stdout,
        })
    }

    /// How long what was sent last may be on its way.
    fn settles_in(&self) -> Duration {
        let of = |link: &super::scenario::Link| {
            let slow = link.conditions;
            slow.latency
                .saturating_add(slow.jitter)
                .saturating_add(slow.reorder_by)
        };
        let slowest = self.scenario.links.iter().map(of).max().unwrap_or_default();
        SETTLE
            .saturating_add(slowest.saturating_mul(4))
            .min(SETTLE_MOST)
    }

    /// A machine as it boots, with its apps.
    fn boot(self: &Arc<Self>, node: usize, boot: &Boot<'_>, shared: &Rc<Shared>) -> Place {
        if !self.scenario.nodes[node].peers.is_empty() {
            let station = Station::of_peers(boot, self.stack(node), &shared.heard[node].peers());
            let station = station.expect("it was tried when the scenario was read");
            return Place::Peers(Box::new(station));
        }
        let to_start: Vec<_> = self
            .apps_of(node)
            .filter(|(index, _)| !shared.over.get() && !shared.fates.borrow()[*index].is_over())
            .collect();
        let indexes: Vec<_> = to_start.iter().map(|(index, _)| *index).collect();
        let heard = shared.clone();
        let on_event = move |event: &Event| {
            let Event::Denied { instance, denial } = event else {
                return;
            };
            if let Some(&index) = indexes.get(instance.0 as usize) {
                let mut fates = heard.fates.borrow_mut();
                fates[index].denied.insert(denial.capability);
            }
        };
        let mut machine = GuestMachine::new(boot, self.stack(node), self.policy(node), on_event)
            .expect("it was tried when the scenario was read");
        for (index, app) in to_start {
            if let Err(why) = self.start(&mut machine, boot, index, app, shared) {
                shared.fates.borrow_mut()[index].refused = Some(why);
                shared.settle(self.given(app).background);
            }
        }
        Place::Guests(machine)
    }

    /// Admits an app by the production gate and has it run.
    fn start(
        &self,
        machine: &mut GuestMachine,
        boot: &Boot<'_>,
        index: usize,
        app: &Planned,
        shared: &Rc<Shared>,
    ) -> Result<(), String> {
        let prepared = app.prepared.clone()?;
        let (shard, node) = (machine.shard().clone(), machine.node());
        let instance = machine.next_instance();
        let admission = shard
            .enter(|mesh, now| {
                let gate = mesh.node_mut(node).gate_mut();
                Site::AdmitSim.ask(|| {
                    gate.admit(
                        now,
                        instance,
                        app.candidate.identity.clone(),
                        app.candidate.manifest.clone(),
                        app.consent.clone(),
                        &app.candidate.asked,
                    )
                })
            })
            .map_err(|refused| refused.text())?;
        let manifest = &app.candidate.manifest;
        let limits = AppLimits {
            memory_bytes: start::memory(&admission, manifest, None)
                .map_err(|error| error.message)?,
            ..AppLimits::of(&admission.limits)
        };
        let quota = Quota {
            sockets: admission.limits.sockets,
            bytes_in_flight: admission.limits.bytes_in_flight,
        };
        shard.enter(|mesh, _| mesh.node_mut(node).start(instance, quota));
        let (stdout, stderr) = {
            let fate = &shared.fates.borrow()[index];
            (fate.stdout.clone(), fate.stderr.clone())
        };
        let state = AppStart {
            args: app.arguments.clone(),
            env: start::environment(&admission, manifest),
            dirs: start::directories(&admission, manifest),
            stdin: None,
            stdout: Some(stdout.into()),
            stderr: Some(stderr.into()),
            seed: boot.seed.split(&format!("instance {}", instance.0)),
            wall: WallClock::Virtual(MIDNIGHT),
            slices: self.engine.slices(),
            limits,
            roots: Vec::new(),
        };
        let net = NetCtx {
            shard: shard.clone(),
            node,
            instance,
        };
        let state = AppState::new(state, net).map_err(|error| error.to_string())?;
        let App {
            start, background, ..
        } = *self.given(app);
        let begin = boot.now + start;
        let (shared, name) = (shared.clone(), app.name.clone());
        machine.spawn(async move {
            shard.sleep_until(begin).await;
            shared.turned.borrow_mut().push((index, false));
            let ended = prepared
                .run(state, &[], std::future::pending(), || {})
                .await;
            if let Outcome::Failed(text) = &ended.outcome
                && !ended.over_limit
            {
                // No fault of the app's: another machine, or another hour, would have run it.
                let text = format!("{name}: {text}");
                shared.lacks.borrow_mut().get_or_insert(text);
            }
            shared.fates.borrow_mut()[index].outcome = Some(ended.outcome);
            shared.turned.borrow_mut().push((index, true));
            shared.settle(background);
        });
        Ok(())
    }
}

/// What the world's hash does not know: how apps ended, and what they wrote and were refused.
fn hash(world: &World<Place>, fates: &[Fate]) -> String {
    let mut hash = Sha256::new();
    hash.update(world.trace_hash());
    let mut part = |bytes: &[u8]| {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    };
    for fate in fates {
        let (word, code) = match (&fate.refused, &fate.outcome) {
            (Some(_), _) => ("refused", 77),
            (None, None) => ("", 0),
            (None, Some(outcome)) => (outcome.word(), outcome.code()),
        };
        part(word.as_bytes());
        part(&[code]);
        for text in [&fate.stdout, &fate.stderr] {
            part(&text.bytes());
            part(&text.lost().to_le_bytes());
        }
        for denied in &fate.denied {
            part(denied.as_str().as_bytes());
        }
        part(b"");
    }
    let hash = hash.finalize();
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Ends what is in the background, and looks whether anything of all that is left when it can no more be needed.
fn drain(world: &mut World<Place>, segments: &[SegmentId], shared: &Rc<Shared>) {
    shared.over.set(true);
    world.calm();
    for segment in segments {
        world.set_conditions(*segment, Conditions::PLAIN);
    }
    for id in world.machines().collect::<Vec<MachineId>>() {
        if let Some((machine, now)) = world.machine_mut(id) {
            machine.end_apps(now);
        }
    }
    let empty = world.now() + REST;
    world.add_checker(Box::new(Baseline::new(empty, empty)));
    world.run_until(empty);
    world.look();
}
