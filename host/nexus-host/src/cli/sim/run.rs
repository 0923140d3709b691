//! One run of a scenario: the world of one seed, from its beginning to when all is done.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use nexus_caps::NetCtx;
use nexus_node::{Event, Quota};
use nexus_policy::{Capability, Consent, Gate, Policy, Topology};
use nexus_sim::checker::TcpRules;
use nexus_sim::{Action, Boot, Carries, MachineSpec, Store, TraceSink, World};
use nexus_stack::Config;
use nexus_types::{HostName, InstanceId, Instant, IpAddr, Seed};

use super::scenario::{App, Scenario};
use crate::cli::app::Candidate;
use crate::cli::{CliError, Kind, start};
use crate::driver::GuestMachine;
use crate::runtime::cache::CodeCache;
use crate::runtime::clocks::WallClock;
use crate::runtime::engine::HostEngine;
use crate::runtime::instance::{Outcome, Prepared};
use crate::runtime::limits::AppLimits;
use crate::runtime::state::{AppStart, AppState};
use crate::runtime::stdio::Kept;

/// What time of day it is when a world begins: 2026-01-01 00:00 UTC, in every run.
const MIDNIGHT: Duration = Duration::from_secs(1_767_225_600);

/// A scenario, ready to be run with any seed.
pub(super) struct Plan {
    scenario: Scenario,
    engine: HostEngine,
    apps: Vec<Planned>,
}

/// An app of it.
struct Planned {
    /// Index of its node, and its name for people.
    node: usize,
    name: String,
    candidate: Candidate,
    arguments: Vec<String>,
    consent: Consent,
    /// Linked; or why it was refused before it started.
    prepared: Result<Rc<Prepared>, String>,
}

/// What became of an app.
#[derive(Default)]
struct Fate {
    outcome: Option<Outcome>,
    stdout: Kept,
    stderr: Kept,
    denied: BTreeSet<Capability>,
    refused: Option<String>,
}

type Fates = Rc<RefCell<Vec<Fate>>>;

/// A run that is over.
pub(super) struct Ran {
    pub(super) seed: u64,
    /// Of everything that happened.
    pub(super) hash: String,
    pub(super) time: Duration,
    pub(super) frames: u64,
    /// What was not as expected.
    pub(super) failures: Vec<String>,
}

fn host_error(error: impl std::fmt::Display) -> CliError {
    CliError::new(Kind::Host, error)
}

impl Plan {
    /// Reads and compiles the apps, and sees whether its nodes can stand.
    pub(super) fn new(
        scenario: Scenario,
        engine: HostEngine,
        cache: &mut CodeCache,
    ) -> Result<Rc<Self>, CliError> {
        let mut apps = Vec::new();
        for (index, node) in scenario.nodes.iter().enumerate() {
            for app in &node.apps {
                apps.push(planned(index, node.name.as_str(), app, &engine, cache)?);
            }
        }
        let plan = Self {
            scenario,
            engine,
            apps,
        };
        for (index, node) in plan.scenario.nodes.iter().enumerate() {
            let boot = Boot {
                number: 0,
                now: Instant::ZERO,
                addresses: &node.addresses,
                store: Store::new(),
                seed: Seed::from_number(0),
            };
            GuestMachine::new(&boot, plan.stack(index), Policy::none(), |_| {}).map_err(
                |error| {
                    CliError::new(
                        Kind::Config,
                        format!("node {}: {error}", node.name.as_str()),
                    )
                },
            )?;
        }
        Ok(Rc::new(plan))
    }

    fn stack(&self, node: usize) -> Config {
        let link = self.scenario.nodes[node].link;
        let mut config = Config::new(self.scenario.links[link].mtu, Vec::new());
        config.resolver.hosts = self.names(link);
        config
    }

    /// Every node of a link by its name.
    fn names(&self, link: usize) -> Vec<(HostName, Vec<IpAddr>)> {
        let nodes = self.scenario.nodes.iter().filter(|node| node.link == link);
        let names = nodes.map(|node| {
            let addresses = node.addresses.iter().map(|address| address.address());
            (node.name.clone(), addresses.collect())
        });
        names.collect()
    }

    fn apps_of(&self, node: usize) -> impl Iterator<Item = (usize, &Planned, &App)> {
        let given = self.scenario.nodes.iter().flat_map(|node| &node.apps);
        let all = self.apps.iter().zip(given).enumerate();
        all.filter(move |(_, (app, _))| app.node == node)
            .map(|(index, (app, given))| (index, app, given))
    }

    /// The world of a seed; `trace` gets a line for every event.
    pub(super) fn run(
        self: &Rc<Self>,
        seed: u64,
        trace: Option<TraceSink>,
    ) -> Result<Ran, CliError> {
        let mut world = World::new(&Seed::from_number(seed));
        world.add_checker(Box::new(TcpRules::default()));
        if let Some(sink) = trace {
            world.set_trace(sink);
        }
        let links = self.scenario.links.iter();
        let segments: Vec<_> = links
            .map(|link| world.add_segment(Carries::Packets, link.conditions))
            .collect();
        let fates: Fates = Rc::default();
        fates
            .borrow_mut()
            .resize_with(self.apps.len(), Fate::default);
        for (index, node) in self.scenario.nodes.iter().enumerate() {
            let spec = MachineSpec {
                name: node.name.as_str().to_owned(),
                segment: segments[node.link],
                addresses: node.addresses.clone(),
                mac: None,
                clock: Instant::ZERO,
            };
            let (plan, fates) = (self.clone(), fates.clone());
            let factory = Box::new(move |boot: Boot<'_>| plan.boot(index, &boot, &fates));
            let machine = world.add_machine(spec, factory).map_err(host_error)?;
            world
                .at(Instant::ZERO, Action::Start(machine))
                .map_err(host_error)?;
        }
        let until = Instant::ZERO + self.scenario.until;
        let waits = |fates: &Fates| {
            let fates = fates.borrow();
            let given = self.scenario.nodes.iter().flat_map(|node| &node.apps);
            let mut all = fates.iter().zip(given);
            all.any(|(fate, app)| {
                !app.background && fate.outcome.is_none() && fate.refused.is_none()
            })
        };
        // The machines boot with the first step.
        let mut goes_on = world.step();
        while goes_on && waits(&fates) && world.poll_timeout().is_some_and(|at| at <= until) {
            goes_on = world.step();
        }
        // Somebody waits for something that will not come; or it would, after the end.
        let stuck = waits(&fates) && world.poll_timeout().is_none();
        if waits(&fates) && !stuck {
            world.run_until(until);
        }
        let mut failures = self.failures(&fates.borrow(), stuck.then(|| world.now()));
        let (violations, count) = world.violations();
        failures.extend(violations.iter().map(ToString::to_string));
        if count > violations.len() as u64 {
            failures.push(format!("and {} more", count - violations.len() as u64));
        }
        let hash = world.trace_hash();
        Ok(Ran {
            seed,
            hash: hash.iter().map(|byte| format!("{byte:02x}")).collect(),
            time: world.now().min(until) - Instant::ZERO,
            frames: world.counts().sent,
            failures,
        })
    }

    /// A machine as it boots, with its apps.
    fn boot(&self, node: usize, boot: &Boot<'_>, fates: &Fates) -> GuestMachine {
        let indexes: Vec<usize> = self.apps_of(node).map(|(index, ..)| index).collect();
        let heard = fates.clone();
        let on_event = move |event: &Event| {
            let Event::Denied { instance, denial } = event;
            if let Some(&index) = indexes.get(instance.0 as usize) {
                heard.borrow_mut()[index].denied.insert(denial.capability);
            }
        };
        let mut machine = GuestMachine::new(boot, self.stack(node), Policy::none(), on_event)
            .expect("it was tried when the scenario was read");
        for (number, (index, app, given)) in self.apps_of(node).enumerate() {
            let started = self.start(
                &mut machine,
                boot,
                InstanceId(number as u64),
                index,
                given,
                fates,
            );
            fates.borrow_mut()[index].refused = started.err();
            debug_assert_eq!(app.node, node);
        }
        machine
    }

    /// Admits an app by the production gate and has it run.
    fn start(
        &self,
        machine: &mut GuestMachine,
        boot: &Boot<'_>,
        instance: InstanceId,
        index: usize,
        given: &App,
        fates: &Fates,
    ) -> Result<(), String> {
        let app = &self.apps[index];
        let prepared = app.prepared.clone()?;
        let (shard, node) = (machine.shard().clone(), machine.node());
        let admission = shard
            .enter(|mesh, now| {
                mesh.node_mut(node).gate_mut().admit(
                    now,
                    instance,
                    app.candidate.identity.clone(),
                    app.candidate.manifest.clone(),
                    app.consent.clone(),
                    &app.candidate.asked,
                )
            })
            .map_err(|refused| refused.text())?;
        let manifest = &app.candidate.manifest;
        let limits = AppLimits {
            memory_bytes: start::memory(&admission, manifest, None)
                .map_err(|error| error.message)?,
            handles: admission.limits.handles,
            deadline: admission.limits.timeout,
            ..AppLimits::default()
        };
        let quota = Quota {
            sockets: admission.limits.sockets,
            bytes_in_flight: admission.limits.bytes_in_flight,
        };
        shard.enter(|mesh, _| mesh.node_mut(node).start(instance, quota));
        let (stdout, stderr) = {
            let mut fates = fates.borrow_mut();
            let fate = &mut fates[index];
            fate.outcome = None;
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
        };
        let net = NetCtx {
            shard: shard.clone(),
            node,
            instance,
        };
        let state = AppState::new(state, net).map_err(|error| error.to_string())?;
        let begin = boot.now + given.start;
        let fates = fates.clone();
        machine.spawn(async move {
            shard.sleep_until(begin).await;
            let ended = prepared
                .run(state, &[], std::future::pending(), || {})
                .await;
            fates.borrow_mut()[index].outcome = Some(ended.outcome);
        });
        Ok(())
    }

    /// What is not as the scenario expects it; `stuck`: since when nothing more happened.
    fn failures(&self, fates: &[Fate], stuck: Option<Instant>) -> Vec<String> {
        let mut failures = Vec::new();
        let given = self.scenario.nodes.iter().flat_map(|node| &node.apps);
        for ((app, given), fate) in self.apps.iter().zip(given).zip(fates) {
            let mut fail = |text: String| failures.push(format!("{}: {text}", app.name));
            let found = match (&fate.refused, &fate.outcome) {
                (Some(_), _) => Some(Kind::Refused.exit_code()),
                (None, outcome) => outcome.as_ref().map(Outcome::code),
            };
            if let Some(exit) = given.expect.exit
                && found != Some(exit)
            {
                let what = match (&fate.refused, &fate.outcome) {
                    (Some(text), _) => format!("refused with 77\n{}", text.trim_end()),
                    (None, None) => match stuck {
                        Some(since) => format!("waits for ever: nothing happened after {since}"),
                        None => format!("still running after {:?}", self.scenario.until),
                    },
                    (None, Some(Outcome::Trap(text) | Outcome::Failed(text))) => {
                        format!(
                            "{}: {text}",
                            fate.outcome.as_ref().map_or("", Outcome::word)
                        )
                    }
                    (None, Some(outcome)) => format!("ended with {}", outcome.code()),
                };
                let said = fate.stderr.text();
                let said = said.lines().last().map_or_else(String::new, |line| {
                    format!("\n  it said: {}", nexus_policy::explain::escape(line))
                });
                fail(format!("{what}; expected is {exit}{said}"));
            }
            let text = fate.stdout.text();
            for wanted in &given.expect.stdout {
                if !text.contains(wanted) {
                    let shown: String = text.chars().take(400).collect();
                    fail(format!("wrote no {wanted:?}; it wrote {shown:?}"));
                }
            }
            if let Some(wanted) = &given.expect.denied
                && *wanted != fate.denied
            {
                let names = |set: &BTreeSet<Capability>| {
                    let names: Vec<_> = set.iter().map(|one| one.as_str()).collect();
                    names.join(", ")
                };
                let (found, wanted) = (names(&fate.denied), names(wanted));
                fail(format!("was denied [{found}]; expected is [{wanted}]"));
            }
        }
        failures
    }
}

fn planned(
    node: usize,
    name: &str,
    app: &App,
    engine: &HostEngine,
    cache: &mut CodeCache,
) -> Result<Planned, CliError> {
    let candidate = Candidate::read(&app.component, app.manifest.as_deref(), engine, cache)?;
    let arguments = start::arguments(&candidate, app.arguments.clone())?;
    let consent = Consent {
        allow_manifest: app.allow_manifest,
        allow: app.allow.clone(),
    };
    let admission = candidate.examine(&Gate::new(Topology::default()), &consent);
    let prepared = if admission.admitted {
        let linker = start::link(engine, &candidate, &admission)
            .map_err(|error| host_error(format!("{error:#}")))?;
        let prepared = Prepared::new(&linker, &candidate.component).map_err(host_error)?;
        Ok(Rc::new(prepared))
    } else {
        Err(admission.text())
    };
    Ok(Planned {
        node,
        name: format!("{name}, {}", candidate.identity.id),
        candidate,
        arguments,
        consent,
        prepared,
    })
}
