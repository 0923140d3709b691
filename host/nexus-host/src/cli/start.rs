//! Apps on their way from admitted to running: a host with its driver, nodes and instances.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::net::TcpListener;
use std::path::Path;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::{Either, Shared, select, try_join_all};
use nexus_caps::{NetCtx, RootsFor};
use nexus_node::Quota;
use nexus_policy::admission::{Missing, Provided, Standing};
use nexus_policy::switch::Site;
use nexus_policy::{
    Admission, AppIdentity, Consent, Gate, Learnt, Manifest, Mode, Remembered, render,
};
use nexus_types::{InstanceId, NodeId, Port, Seed, Transport, limits};
use wasmtime::component::{Component, Linker};

use super::admitting;
use super::app::Candidate;
use super::folders::{self, Folder, Folders};
use super::obey::{Files, Obedience};
use super::policies::Policies;
use super::recording::{self, Recording};
use super::{CliError, Kind};
use crate::driver::{AddedNode, Driver, Network, OsClock, Weight};
use crate::observe::denials::Denials;
use crate::observe::passed::Passed;
use crate::observe::report::Refusals;
use crate::observe::telemetry::{self, Telemetry, Wanted};
use crate::runtime::clocks::WallClock;
use crate::runtime::control::Control;
use crate::runtime::engine::HostEngine;
use crate::runtime::imports;
use crate::runtime::instance::{Ended, Outcome, PrepareError, Prepared};
use crate::runtime::limits::AppLimits;
use crate::runtime::linker;
use crate::runtime::signals::{Signals, Wait};
use crate::runtime::state::{AppStart, AppState, GrantedDir, Opened};
use crate::runtime::stdio::{Input, Output};
use crate::serve::{App, Handler, Servable};

/// How long the host stays after its last app for bytes the app has written and the kernel has
/// not taken yet. Stops a far end that never reads from keeping the host for ever.
const LINGER: Duration = Duration::from_secs(10);

/// Room for what a driver notices of a node. Where standard error takes no more it is not told:
/// apps run, and none may wait for who reads it.
const NOTICE_BYTES: usize = 4 << 10;

/// How long it stays after that for the kernel to take the word to a DHCP server that an address is free again: an
/// interface whose queue is full, or that is down, keeps nobody.
const RELEASE: Duration = Duration::from_millis(100);

/// How often it looks whether they are gone.
const LINGER_STEP: Duration = Duration::from_millis(1);

fn host_error(error: &dyn std::fmt::Display) -> CliError {
    CliError::new(Kind::Host, error)
}

/// One process that runs apps: an engine, a shard's driver, the operator's policies.
pub(super) struct Host {
    engine: HostEngine,
    files: Rc<RefCell<Files>>,
    by_digest: Rc<RefCell<BTreeSet<InstanceId>>>,
    mode: Mode,
    /// What each app could not have started without, were it not for the mode.
    observed: BTreeMap<InstanceId, Vec<Missing>>,
    driver: Driver,
    signals: Signals,
    seed: Seed,
    denials: Rc<RefCell<Denials>>,
    telemetry: Option<Telemetry>,
    outputs: [Output; 2],
    recording: Recording,
    control: Option<Control>,
    folders: Folders,
    nodes: Rc<RefCell<Vec<NodeId>>>,
    instances: u64,
    stop: Option<oneshot::Sender<()>>,
    stopped: Shared<oneshot::Receiver<()>>,
}

/// What an app is given beside what its manifest asks.
pub(super) struct Given {
    /// After its own name.
    pub(super) arguments: Vec<String>,
    pub(super) consent: Consent,
    pub(super) timeout: Option<Duration>,
    /// The most memory it may ask for.
    pub(super) memory_bytes_max: Option<u64>,
    pub(super) stdin: Option<Input>,
    pub(super) outputs: [Output; 2],
    /// Whom TLS trusts beside the public roots.
    pub(super) roots: Vec<RootsFor>,
}

/// An app that is admitted, linked and ready.
pub(super) struct Ready {
    pub(super) identity: AppIdentity,
    pub(super) instance: InstanceId,
    pub(super) limits: AppLimits,
    pub(super) quota: Quota,
    prepared: Prepared,
    state: AppState,
    outputs: [Output; 2],
}

/// An app that is admitted and can be served.
pub(super) struct ReadyToServe {
    pub(super) identity: AppIdentity,
    pub(super) net: NetCtx,
    pub(super) limits: AppLimits,
    pub(super) quota: Quota,
    pub(super) app: App,
}

/// An app that is admitted and linked.
struct Admitted {
    identity: AppIdentity,
    component: Component,
    limits: AppLimits,
    quota: Quota,
    linker: Linker<AppState>,
    start: AppStart,
    net: NetCtx,
    folders: Vec<Folder>,
}

/// What a component is not for, with what it is for.
fn unfit(error: &PrepareError, component: &Component, linker: &Linker<AppState>) -> CliError {
    let exports = || imports::exports(linker.engine(), component);
    let told = host_error(error);
    match error {
        PrepareError::NothingToRun(exports) if Handler::of(exports).is_some() => {
            told.hint("it answers HTTP requests: nexus-host serve APP.wasm")
        }
        PrepareError::NothingToServe(_)
            if exports()
                .iter()
                .any(|export| export.starts_with("wasi:cli/run@")) =>
        {
            told.hint("it is a program that runs to its end: nexus-host run APP.wasm")
        }
        _ => told,
    }
}

impl Host {
    pub(super) fn new(
        engine: HostEngine,
        policies: Policies,
        recording: Recording,
        signals: Signals,
        quiet: bool,
    ) -> Result<Self, CliError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| host_error(&error))?;
        signals.install().map_err(|error| host_error(&error))?;
        engine
            .start_ticking(Some(signals.clone()))
            .map_err(|error| host_error(&error))?;
        let mut driver = Driver::new(nexus_node::Mesh::new(), OsClock::start())
            .map_err(|error| host_error(&error))?;
        let outputs = Output::both();
        crate::observe::log::write_to(outputs[1].clone());
        let stderr = outputs[1].clone();
        driver.tell(move |node, weight, notice| {
            let line = match weight {
                Weight::Note if quiet => return,
                Weight::Note => format!("{node}: {notice}\n"),
                Weight::Warning => format!("warning: {node}: {notice}\n"),
            };
            if stderr.has_room(NOTICE_BYTES) {
                stderr.say(&line);
            }
        });
        let told = (!quiet).then(|| outputs[1].clone());
        let stderr = outputs[1].clone();
        let denials = Rc::new(RefCell::new(Denials::new(told)));
        // What is refused while no app is polled: what ends because the policy has changed.
        let (taken, at) = (Rc::clone(&denials), driver.shard().clone());
        driver.observe(move |_, event| taken.borrow_mut().take(at.latest(), event));
        let (stop, stopped) = oneshot::channel();
        let (flushed, shard) = (recording.clone(), driver.shard().clone());
        let folders = Folders::default();
        let (judged, told) = (folders.clone(), Rc::clone(&denials));
        // For as long as the shard is driven; nobody waits for it.
        drop(driver.spawn(async move {
            loop {
                shard.sleep_until(shard.now() + recording::FLUSH).await;
                // A rule whose time is over, say; after a reload it was done already.
                judged.judge(&shard, &told);
                flushed.poll(shard.latest());
                if stderr.has_room(NOTICE_BYTES) {
                    stderr.say(&flushed.warnings());
                }
            }
        }));
        Ok(Self {
            engine,
            files: Rc::new(RefCell::new(Files {
                policies,
                remembered: Remembered::default(),
            })),
            by_digest: Rc::default(),
            mode: Mode::Enforce,
            observed: BTreeMap::new(),
            driver,
            signals,
            seed: Seed::new(seed),
            denials,
            telemetry: None,
            outputs,
            recording,
            control: None,
            folders,
            nodes: Rc::default(),
            instances: 0,
            stop: Some(stop),
            stopped: stopped.shared(),
        })
    }

    /// Has spans, numbers and calls told as asked; to be called before there is a node.
    pub(super) fn observe(&mut self, wanted: Wanted) -> Result<(), CliError> {
        // Or an app that may speak with this machine would read what all others do.
        let page = wanted.page.as_ref().map(TcpListener::local_addr);
        if let Some(page) = page.transpose().map_err(|error| host_error(&error))?
            && let Some(port) = Port::new(page.port())
        {
            self.driver.keep_port(Transport::Tcp, port);
        }
        let Some(telemetry) = Telemetry::start(wanted).map_err(|error| host_error(&error))? else {
            return Ok(());
        };
        let shard = self.driver.shard().clone();
        shard.set_observer(telemetry.observer());
        let sampled = telemetry.clone();
        // For as long as the shard is driven; nobody waits for it.
        drop(self.driver.spawn(async move {
            loop {
                shard.sleep_until(shard.now() + telemetry::SAMPLE).await;
                sampled.sample(&shard);
            }
        }));
        self.telemetry = Some(telemetry);
        Ok(())
    }

    /// Has the operator's files read anew when they say so, and once now: what they say is what apps are to be admitted
    /// by. `policy` is the file of `--policy`, `state` the folder of the control socket.
    ///
    /// # Errors
    /// They cannot be read.
    pub(super) fn obey(
        &mut self,
        policy: Option<&Path>,
        state: Option<&Path>,
        quiet: bool,
    ) -> Result<Files, CliError> {
        let obedience = Obedience {
            named: policy.map(Path::to_owned),
            state: state.map(Path::to_owned),
            files: Rc::clone(&self.files),
            by_digest: Rc::clone(&self.by_digest),
            shard: self.driver.shard().clone(),
            nodes: Rc::clone(&self.nodes),
            folders: self.folders.clone(),
            denials: Rc::clone(&self.denials),
            recording: self.recording.clone(),
            stderr: self.outputs[1].clone(),
            quiet,
        };
        let signals = self.signals.clone();
        drop(self.driver.spawn(obedience.clone().on_hangup(signals)));
        let listening = state.map(Control::listen);
        match listening {
            Some(Ok((control, asked))) => {
                drop(self.driver.spawn(obedience.clone().on_request(asked)));
                self.control = Some(control);
            }
            Some(Err(error)) => self.outputs[1].say(&format!(
                "warning: `policy reload` will not reach this host, SIGHUP does: {error}\n"
            )),
            None => {}
        }
        // Who changes them from here on and asks is heard; who did before is heard by this.
        obedience.begin()
    }

    /// Whether an app may start, by what the files say now.
    pub(super) fn look(
        &self,
        gate: &mut Gate,
        candidate: &Candidate,
        consent: &Consent,
    ) -> Result<Admission, Box<Admission>> {
        let now = self.driver.shard().now();
        admitting::look(now, gate, &self.recording, candidate, consent)
    }

    /// What is done with refusals; to be called before there is a node.
    pub(super) fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
    }

    pub(super) fn driver(&mut self) -> &mut Driver {
        &mut self.driver
    }

    /// What its apps were refused and nobody was told yet.
    pub(super) fn rest_of_denials(&self) -> String {
        self.denials.borrow().rest()
    }

    /// Where apps and we write, in the order it is written.
    pub(super) fn outputs(&self) -> &[Output; 2] {
        &self.outputs
    }

    /// Says what a run ends with; a signal ends the wait for who reads it.
    pub(super) fn finish(&self, text: &str) {
        // After a first signal the next ends the process, see `Signals::deliver`.
        let already = self.signals.raised();
        self.recording.close(self.driver.shard().latest());
        let text = self.recording.warnings() + &self.recording.lost() + text;
        self.outputs[1].finish(&text, &|| self.signals.raised() != already);
        if let Some(telemetry) = &self.telemetry {
            telemetry.finish();
        }
    }

    /// A node, with the operator's policies at its gate.
    pub(super) fn add_node(&mut self, network: &Network) -> Result<AddedNode, CliError> {
        let number = self.nodes.borrow().len();
        let seed = self.seed.split(&format!("node {number}"));
        let node = self
            .driver
            .add_node(network, &seed)
            .map_err(|error| host_error(&error))?;
        let policies = &self.files.borrow().policies;
        self.driver.shard().enter(|mesh, now| {
            let gate = mesh.node_mut(node.id).gate_mut();
            gate.set_mode(self.mode);
            policies.set(gate, now);
            let log = self.recording.auditor();
            gate.set_auditor(match &self.telemetry {
                Some(telemetry) => Box::new(telemetry.auditor(Some(log))),
                None => log,
            });
        });
        self.nodes.borrow_mut().push(node.id);
        Ok(node)
    }

    /// Waits until these nodes can use their addresses; each with what an error calls it.
    pub(super) fn await_addresses(&mut self, nodes: &[(NodeId, String)]) -> Result<(), CliError> {
        let signal = self.signals.wait();
        let joined: Vec<_> = nodes
            .iter()
            .map(|(node, name)| {
                let (joined, name) = (self.driver.joined(*node), name.clone());
                async move {
                    joined
                        .await
                        .map_err(|error| host_error(&format!("{name}{error}")).hint(error.hint()))
                }
            })
            .collect();
        let joined = try_join_all(joined);
        self.drive(async move {
            match select(pin!(joined), signal).await {
                Either::Left((joined, _)) => joined.map(|_| ()),
                Either::Right((signal, _)) => Err(CliError::new(
                    Kind::Interrupted(signal),
                    "interrupted while waiting for addresses: no app was started",
                )),
            }
        })?
    }

    /// Admits an app to a node, links what it was granted, and puts together what it starts with.
    pub(super) fn ready(
        &mut self,
        node: NodeId,
        candidate: Candidate,
        given: Given,
    ) -> Result<Ready, CliError> {
        let outputs = given.outputs.clone();
        let admitted = self.take_in(node, candidate, given)?;
        let prepared = Prepared::new(&admitted.linker, &admitted.component)
            .map_err(|error| unfit(&error, &admitted.component, &admitted.linker))?;
        let state = AppState::new(admitted.start, admitted.net.clone())
            .map_err(|error| host_error(&error))?;
        self.folders.hold(
            node,
            admitted.net.instance,
            admitted.folders,
            state.revocations(),
        );
        Ok(Ready {
            identity: admitted.identity,
            instance: admitted.net.instance,
            limits: admitted.limits,
            quota: admitted.quota,
            prepared,
            state,
            outputs,
        })
    }

    /// The same for an app that answers requests: it has any number of instances, and one name at the gate.
    pub(super) fn ready_to_serve(
        &mut self,
        node: NodeId,
        candidate: Candidate,
        given: Given,
    ) -> Result<ReadyToServe, CliError> {
        let admitted = self.take_in(node, candidate, given)?;
        let servable = Servable::new(&admitted.linker, &admitted.component)
            .map_err(|error| unfit(&error, &admitted.component, &admitted.linker))?;
        let opened = Opened::new(&admitted.start.dirs).map_err(|error| host_error(&error))?;
        self.folders.hold(
            node,
            admitted.net.instance,
            admitted.folders,
            opened.revocations(),
        );
        let app = App::new(servable, admitted.start, opened, admitted.net.clone());
        Ok(ReadyToServe {
            identity: admitted.identity,
            net: admitted.net,
            limits: admitted.limits,
            quota: admitted.quota,
            app,
        })
    }

    fn take_in(
        &mut self,
        node: NodeId,
        candidate: Candidate,
        given: Given,
    ) -> Result<Admitted, CliError> {
        self.instances += 1;
        let instance = InstanceId(self.instances);
        let shard = self.driver.shard().clone();
        let admission = shard
            .enter(|mesh, now| {
                let gate = mesh.node_mut(node).gate_mut();
                Site::AdmitRun.ask(|| {
                    gate.admit(
                        now,
                        instance,
                        candidate.identity.clone(),
                        candidate.manifest.clone(),
                        given.consent.clone(),
                        &candidate.asked,
                    )
                })
            })
            .map_err(|refused| refusal(&refused))?;
        if candidate.answering().publisher.is_none() {
            self.by_digest.borrow_mut().insert(instance);
        }
        self.observed.insert(instance, admission.observed.clone());
        let memory_bytes = memory(&admission, &candidate.manifest, given.memory_bytes_max)?;
        let env = environment(&admission, &candidate.manifest);
        let dirs = directories(&admission, &candidate.manifest);
        let folders = shard
            .enter(|mesh, now| {
                let gate = mesh.node_mut(node).gate_mut();
                folders::decide(gate, now, instance, &env, &dirs)
            })
            .map_err(|denial| {
                let text = render(&denial, &candidate.identity);
                CliError::new(Kind::Refused, text.trim_end())
            })?;
        let limits = AppLimits {
            memory_bytes,
            deadline: [given.timeout, admission.limits.timeout]
                .into_iter()
                .flatten()
                .min(),
            ..AppLimits::of(&admission.limits)
        };
        let quota = Quota {
            sockets: admission.limits.sockets,
            bytes_in_flight: admission.limits.bytes_in_flight,
        };
        shard.enter(|mesh, _| mesh.node_mut(node).start(instance, quota));
        if let Some(telemetry) = &self.telemetry {
            telemetry.started(node, instance, &candidate.identity);
        }

        let linker = self
            .link(&candidate, &admission)
            .map_err(|error| host_error(&format!("{error:#}")))?;
        let start = AppStart {
            args: arguments(&candidate, given.arguments)?,
            env,
            dirs,
            stdin: given.stdin,
            stdout: Some(given.outputs[0].clone().into()),
            stderr: Some(given.outputs[1].clone().into()),
            seed: self.seed.split(&format!("instance {}", instance.0)),
            wall: WallClock::Os,
            slices: self.engine.slices(),
            limits,
            roots: given.roots,
        };
        let net = NetCtx {
            shard,
            node,
            instance,
        };
        self.denials
            .borrow_mut()
            .name(instance, candidate.identity.clone());
        Ok(Admitted {
            identity: candidate.identity,
            component: candidate.component,
            limits,
            quota,
            linker,
            start,
            net,
            folders,
        })
    }

    fn link(
        &self,
        candidate: &Candidate,
        admission: &Admission,
    ) -> wasmtime::Result<Linker<AppState>> {
        link(&self.engine, candidate, admission)
    }

    /// An app from its start to its end, as a task of the shard. One in the background ends
    /// when the stop handle is used.
    pub(super) fn task(
        &self,
        ready: Ready,
        background: bool,
    ) -> impl Future<Output = Ended> + 'static {
        let denials = Rc::clone(&self.denials);
        let telemetry = self.telemetry.clone();
        let (instance, identity) = (ready.instance, ready.identity.clone());
        let mut recording = self.recording.clone();
        let signal = self.signals.wait();
        let stopped = self.stopped.clone();
        let shard = self.driver.shard().clone();
        let ended_by = async move {
            if !background {
                return Outcome::Interrupted(signal.await);
            }
            match select(signal, stopped).await {
                Either::Left((signal, _)) => Outcome::Interrupted(signal),
                Either::Right(_) => Outcome::Stopped,
            }
        };
        async move {
            let told = shard.clone();
            let collect = move || denials.borrow_mut().collect(&told);
            let ended = ready
                .prepared
                .run(ready.state, &ready.outputs, ended_by, collect)
                .await;
            if let Some(telemetry) = telemetry {
                telemetry.ended(instance, ended.outcome.word(), &ended.usage.net);
            }
            recording.ended(shard.latest(), instance, &identity, ended.outcome.word());
            ended
        }
    }

    /// Completes when what is in the background is to end: by the stop handle, a signal, or after this long.
    pub(super) fn enough(
        &self,
        timeout: Option<Duration>,
    ) -> impl Future<Output = Outcome> + 'static {
        let (signal, stopped) = (self.signals.wait(), self.stopped.clone());
        let shard = self.driver.shard().clone();
        async move {
            let late = async {
                match timeout {
                    Some(timeout) => {
                        shard.sleep_until(shard.now() + timeout).await;
                        timeout
                    }
                    None => std::future::pending().await,
                }
            };
            match select(pin!(select(signal, stopped)), pin!(late)).await {
                Either::Left(_) => Outcome::Stopped,
                Either::Right((timeout, _)) => Outcome::Deadline(timeout),
            }
        }
    }

    /// Completes when a person or a supervisor says that it is enough.
    pub(super) fn signal(&self) -> Wait {
        self.signals.wait()
    }

    /// An app that was served has ended, with all its instances. What it used of its node.
    pub(super) fn ended(
        &mut self,
        net: &NetCtx,
        identity: &AppIdentity,
        outcome: &Outcome,
    ) -> nexus_node::Usage {
        let (usage, now) = net
            .shard
            .enter(|mesh, now| (mesh.node_mut(net.node).end(now, net.instance), now));
        if let Some(telemetry) = &self.telemetry {
            telemetry.ended(net.instance, outcome.word(), &usage);
        }
        self.recording
            .ended(now, net.instance, identity, outcome.word());
        usage
    }

    /// What an instance on a node was refused, for its report.
    pub(super) fn refusals(&self, node: NodeId, instance: InstanceId) -> Refusals {
        let denials = self.denials.borrow();
        Refusals {
            listed: denials.of(instance),
            others: denials.others(instance),
            events_dropped: self
                .driver
                .shard()
                .enter(|mesh, _| mesh.node_mut(node).events_dropped()),
            audit_records_dropped: self.recording.dropped(),
            passed: Passed {
                mode: self.mode,
                observed: self.observed.get(&instance).cloned().unwrap_or_default(),
                listed: denials.passed(instance),
                others: denials.passed_others(instance),
            },
        }
    }

    /// What the apps of a node used, with `--mode learn`.
    pub(super) fn learnt(&self, node: NodeId) -> Learnt {
        self.driver
            .shard()
            .enter(|mesh, _| mesh.node_mut(node).gate_mut().learnt().clone())
    }

    /// Ends the apps in the background once it is dropped.
    pub(super) fn stop_handle(&mut self) -> Option<oneshot::Sender<()>> {
        self.stop.take()
    }

    /// Drives the shard until `task` has ended.
    pub(super) fn drive<T: 'static>(
        &mut self,
        task: impl Future<Output = T> + 'static,
    ) -> Result<T, CliError> {
        self.driver
            .block_on(task)
            .map_err(|error| host_error(&error))
    }

    /// Stays until what the apps wrote has been handed to the kernel, for a bounded time; then gives back the
    /// addresses that were lent. The number of connections that still had bytes when it was over.
    pub(super) fn linger(&mut self) -> Result<usize, CliError> {
        let signals = self.signals.clone();
        let left = self.deliver(LINGER, move || signals.raised().is_some())?;
        if self.release() {
            self.deliver(RELEASE, || false)?;
        }
        Ok(left)
    }

    /// Stays until nothing is on its way any more, for this long and until `stop` says so; what is left.
    fn deliver(
        &mut self,
        time: Duration,
        stop: impl Fn() -> bool + 'static,
    ) -> Result<usize, CliError> {
        let shard = self.driver.shard().clone();
        let nodes = self.nodes.borrow().clone();
        let end = shard.now() + time;
        self.drive(async move {
            loop {
                let left: usize =
                    shard.enter(|mesh, _| nodes.iter().map(|node| mesh.undelivered(*node)).sum());
                if left == 0 || shard.now() >= end || stop() {
                    return left;
                }
                shard.sleep_until(shard.now() + LINGER_STEP).await;
            }
        })
    }

    /// Gives back the addresses that DHCP servers lent: the hardware address is new with each run, so else each run
    /// would keep one until its lease ends. Whether there was any.
    fn release(&self) -> bool {
        self.driver.shard().enter(|mesh, now| {
            let nodes = self.nodes.borrow();
            let told = nodes.iter().map(|node| mesh.node_mut(*node).release(now));
            told.fold(false, |any, told| any | told)
        })
    }
}

impl Drop for Host {
    /// Also what ends before an app runs gives back what it was lent, as far as the kernel takes it at once.
    fn drop(&mut self) {
        // A panic may have come from within the shard, which is entered by one alone.
        if !std::thread::panicking() {
            self.release();
            self.recording.close(self.driver.shard().latest());
            if let Some(telemetry) = &self.telemetry {
                telemetry.finish();
            }
        }
    }
}

/// A linker that holds what an app was granted and nothing else.
pub(super) fn link(
    engine: &HostEngine,
    candidate: &Candidate,
    admission: &Admission,
) -> wasmtime::Result<Linker<AppState>> {
    let mut linker = Linker::new(engine.engine());
    linker::link_base(&mut linker, &candidate.imports)?;
    if candidate
        .imports
        .iter()
        .any(|import| import.name.starts_with("nexus:"))
    {
        nexus_caps::link_types(&mut linker)?;
    }
    let mut linked = BTreeSet::new();
    let mut linked_wasi = BTreeSet::new();
    for import in &admission.imports {
        // A stub is the same interface: with nothing granted, every act is refused.
        if !matches!(import.provided, Provided::Granted | Provided::Stub) {
            continue;
        }
        let name = &import.import;
        if let Some(interface) = imports::wasi(name, "sockets").or(imports::wasi(name, "http")) {
            // Two versions of one interface are one.
            if linked_wasi.insert(interface) {
                let _ = linker::link_sockets(&mut linker, name)?
                    || linker::link_http(&mut linker, name)?;
            }
            continue;
        }
        for capability in &import.capabilities {
            if linked.insert(*capability) {
                nexus_caps::link(&mut linker, *capability)?;
            }
        }
    }
    Ok(linker)
}

/// What refused an app, as the error that ends the command.
pub(super) fn refusal(admission: &Admission) -> CliError {
    CliError::new(Kind::Refused, admission.text().trim_end())
}

/// Whether a node of this app needs a network at all.
pub(super) fn needs_network(admission: &Admission) -> bool {
    admission
        .imports
        .iter()
        .any(|import| !import.capabilities.is_empty() && import.provided != Provided::Missing)
}

pub(super) fn memory(
    admission: &Admission,
    manifest: &Manifest,
    max: Option<u64>,
) -> Result<u64, CliError> {
    let Some(max) = max else {
        return Ok(admission.limits.memory);
    };
    // What was asked for is refused, not cut in silence; what nobody asked for is a default.
    match manifest.limits().memory {
        Some(asked) if asked > max => Err(CliError::new(
            Kind::Refused,
            format!(
                "refused  {}: its manifest asks for {} of memory, --max-memory allows {}",
                admission.app,
                crate::observe::summary::bytes(asked),
                crate::observe::summary::bytes(max)
            ),
        )),
        _ => Ok(admission.limits.memory.min(max)),
    }
}

pub(super) fn arguments(
    candidate: &Candidate,
    given: Vec<String>,
) -> Result<Vec<String>, CliError> {
    let name = candidate.file.path.file_name().unwrap_or_default();
    let mut arguments = vec![name.to_string_lossy().into_owned()];
    arguments.extend(given);
    let bytes: usize = arguments.iter().map(|argument| argument.len() + 1).sum();
    if bytes as u64 > limits::ARGUMENT_BYTES {
        return Err(CliError::new(
            Kind::Usage,
            format!(
                "the app's arguments take {bytes} bytes; the most is {}",
                limits::ARGUMENT_BYTES
            ),
        ));
    }
    Ok(arguments)
}

fn granted(standing: Standing) -> bool {
    matches!(standing, Standing::Granted | Standing::Narrowed)
}

pub(super) fn environment(admission: &Admission, manifest: &Manifest) -> Vec<(String, String)> {
    manifest
        .variables()
        .iter()
        .zip(&admission.variables)
        .filter(|(_, report)| granted(report.standing))
        .map(|((name, value), _)| (name.as_str().to_owned(), value.clone()))
        .collect()
}

pub(super) fn directories(admission: &Admission, manifest: &Manifest) -> Vec<GrantedDir> {
    manifest
        .directories()
        .iter()
        .zip(&admission.directories)
        .filter(|(_, report)| granted(report.standing))
        .filter_map(|(asked, _)| {
            Some(GrantedDir {
                host: asked.path.clone()?.into(),
                guest: asked.guest.clone(),
                writable: asked.mode == nexus_policy::wasi::DirectoryMode::Rw,
            })
        })
        .collect()
}
