//! A machine made of the production node: a mesh of one node, and native apps that reach it as guests do, through
//! the gate.
//!
//! An app is polled when it was woken and never else, so that a wake-up that is not given shows.

pub mod apps;
mod grants;
mod notes;
pub mod peers;

pub use grants::Grants;
use notes::Notes;

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Wake, Waker};

use nexus_node::{Mesh, MeshError, Node, NodeConfig, Quota};
use nexus_policy::{AppIdentity, Consent, Manifest, Policy, Topology, WallTime};
use nexus_stack::Config;
use nexus_types::{AppDigest, InstanceId, Instant, NodeId};

use crate::dice::Dice;
use crate::machine::{Boot, Machine, Note, Tables, Vitals};
use crate::nic::{SimNicHandle, sim_nic};
use crate::store::Store;

/// How often apps and stack may set each other going in one run; what is left goes on in the next turn.
const ROUNDS: u32 = 256;

/// Frames that wait until the stack takes them, as a driver does: more would be out of the processor's cache again.
const FRAMES_AT_A_TIME: usize = 32;

/// A native app.
pub trait App {
    /// Goes as far as it can. Ready: it is over. It is polled again when its waker was woken, or at the time it
    /// has set with [`Turn::wake_at`].
    fn poll(&mut self, turn: &mut Turn<'_>) -> Poll<()>;

    /// How much it has still to do that a working network lets it do.
    fn unfinished(&self) -> u64 {
        0
    }
}

/// What an app has while it is polled.
pub struct Turn<'a> {
    /// Its machine's clock.
    pub now: Instant,
    /// Its node.
    pub node: &'a mut Node,
    /// What it is to the node.
    pub instance: InstanceId,
    /// Wakes it.
    pub waker: &'a Waker,
    /// What its machine keeps across a crash.
    pub store: &'a Store,
    /// Its machine's.
    pub dice: &'a mut Dice,
    notes: &'a mut Notes,
    work: &'a mut u64,
    wake_at: &'a mut Option<Instant>,
    spawned: &'a mut Vec<Box<dyn App>>,
}

impl Turn<'_> {
    /// Has something in the trace, and shown to the checkers.
    pub fn note(&mut self, note: Note<'_>) {
        self.notes.push(note);
    }

    /// Says that it has come nearer to its end.
    pub fn work(&mut self) {
        *self.work += 1;
    }

    /// Is polled again at `at`, if not before; only the last one counts.
    pub fn wake_at(&mut self, at: Instant) {
        *self.wake_at = Some(at);
    }

    /// Starts another app of the same instance.
    pub fn spawn(&mut self, app: Box<dyn App>) {
        self.spawned.push(app);
    }
}

/// Which apps were woken.
#[derive(Debug, Default)]
struct Woken(Mutex<VecDeque<u32>>);

impl Woken {
    fn list(&self) -> MutexGuard<'_, VecDeque<u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct TaskWaker {
    task: u32,
    listed: AtomicBool,
    woken: Arc<Woken>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.listed.swap(true, Ordering::Relaxed) {
            self.woken.list().push_back(self.task);
        }
    }
}

struct Task {
    instance: InstanceId,
    app: Box<dyn App>,
    state: Arc<TaskWaker>,
    waker: Waker,
    wake_at: Option<Instant>,
}

/// See the module.
pub struct Station {
    mesh: Mesh,
    node: NodeId,
    nic: SimNicHandle,
    tasks: Vec<Option<Task>>,
    free: Vec<u32>,
    woken: Arc<Woken>,
    timers: BTreeSet<(Instant, u32)>,
    instances: u64,
    notes: Notes,
    work: u64,
    store: Store,
    dice: Dice,
}

impl Station {
    /// A station as it boots. What is in `config` of addresses is replaced by those of `boot`.
    ///
    /// # Errors
    /// The stack cannot be made of this.
    pub fn new(boot: &Boot<'_>, mut config: Config, policy: Policy) -> Result<Self, MeshError> {
        config.addresses = boot.addresses.to_vec();
        let mut mesh = Mesh::new();
        let topology = Topology {
            own: boot.addresses.to_vec(),
            ..Topology::default()
        };
        let seed = boot.seed.split("node");
        let config = NodeConfig {
            stack: config,
            topology,
            seed,
        };
        let node = mesh.add_node(config, boot.now)?;
        let (nic, handle) = sim_nic();
        mesh.attach_nic(node, Box::new(nic))?;
        let gate = mesh.node_mut(node).gate_mut();
        gate.set_policies(boot.now, WallTime(0), Policy::none(), policy);
        Ok(Self {
            mesh,
            node,
            nic: handle,
            tasks: Vec::new(),
            free: Vec::new(),
            woken: Arc::default(),
            timers: BTreeSet::new(),
            instances: 0,
            notes: Notes::default(),
            work: 0,
            store: boot.store.clone(),
            dice: Dice::new(&boot.seed.split("apps")),
        })
    }

    /// Admits an app by the production gate; what its manifest asks for is consented to.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn admit(
        &mut self,
        now: Instant,
        manifest: Manifest,
        quota: Quota,
    ) -> Result<InstanceId, String> {
        self.instances += 1;
        let instance = InstanceId(self.instances);
        let app = AppIdentity {
            id: manifest.app().map(|app| app.id.clone()).unwrap_or_default(),
            digest: AppDigest([self.instances as u8; 32]),
            publisher: None,
        };
        let consent = Consent {
            allow_manifest: true,
            answers: Vec::new(),
            allow: Vec::new(),
        };
        let node = self.mesh.node_mut(self.node);
        node.gate_mut()
            .admit(now, instance, app, manifest, consent, &[])
            .map_err(|report| report.text())?;
        node.start(instance, quota);
        Ok(instance)
    }

    /// Starts an app of an instance.
    pub fn spawn(&mut self, instance: InstanceId, app: Box<dyn App>) {
        let task = self.free.pop().unwrap_or_else(|| {
            self.tasks.push(None);
            self.tasks.len() as u32 - 1
        });
        let state = Arc::new(TaskWaker {
            task,
            listed: AtomicBool::new(false),
            woken: self.woken.clone(),
        });
        state.wake_by_ref();
        self.tasks[task as usize] = Some(Task {
            instance,
            app,
            waker: Waker::from(state.clone()),
            state,
            wake_at: None,
        });
    }

    /// Ends every instance with all it has open: what was written is still delivered.
    pub fn end_apps(&mut self, now: Instant) {
        self.tasks.clear();
        self.free.clear();
        self.timers.clear();
        self.woken.list().clear();
        for number in 1..=self.instances {
            self.mesh.node_mut(self.node).end(now, InstanceId(number));
        }
    }

    /// Its node.
    pub fn node(&self) -> &Node {
        self.mesh.node(self.node)
    }

    fn next_woken(&self) -> Option<u32> {
        self.woken.list().pop_front()
    }

    fn poll_task(&mut self, index: u32, now: Instant) {
        // It may have ended since it was woken.
        let Some(mut task) = self.tasks.get_mut(index as usize).and_then(Option::take) else {
            return;
        };
        task.state.listed.store(false, Ordering::Relaxed);
        if let Some(at) = task.wake_at.take() {
            self.timers.remove(&(at, index));
        }
        let mut spawned = Vec::new();
        let over = task.app.poll(&mut Turn {
            now,
            node: self.mesh.node_mut(self.node),
            instance: task.instance,
            waker: &task.waker,
            store: &self.store,
            dice: &mut self.dice,
            notes: &mut self.notes,
            work: &mut self.work,
            wake_at: &mut task.wake_at,
            spawned: &mut spawned,
        });
        let instance = task.instance;
        if over.is_ready() {
            // A waker that is still held somewhere is of a task that is gone.
            task.state.listed.store(true, Ordering::Relaxed);
            self.free.push(index);
        } else {
            if let Some(at) = task.wake_at {
                self.timers.insert((at, index));
            }
            self.tasks[index as usize] = Some(task);
        }
        for app in spawned {
            self.spawn(instance, app);
        }
    }
}

impl Machine for Station {
    fn handle_frame(&mut self, now: Instant, frame: &[u8]) {
        let waiting = self.nic.deliver(frame);
        self.mesh.touch_nic(self.node);
        if waiting == FRAMES_AT_A_TIME {
            self.mesh.step(now);
        }
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.mesh.handle_timeout(now);
        while let Some(&(at, index)) = self.timers.first()
            && at <= now
        {
            self.timers.pop_first();
            if let Some(Some(task)) = self.tasks.get_mut(index as usize) {
                task.wake_at = None;
                task.waker.wake_by_ref();
            }
        }
    }

    fn run(&mut self, now: Instant) -> Option<Instant> {
        self.mesh.step(now);
        for _ in 0..ROUNDS {
            let Some(index) = self.next_woken() else {
                break;
            };
            self.poll_task(index, now);
            self.mesh.step(now);
        }
        None
    }

    fn poll_transmit(&mut self, now: Instant, send: &mut dyn FnMut(&[u8])) {
        self.mesh.step(now);
        self.nic.take(send);
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        if !self.woken.list().is_empty() {
            return Some(Instant::ZERO);
        }
        let timer = self.timers.first().map(|(at, _)| *at);
        [self.mesh.poll_timeout(), timer]
            .into_iter()
            .flatten()
            .min()
    }

    fn take_notes(&mut self, note: &mut dyn FnMut(Note<'_>)) {
        // What the gate and the link have to say nobody here needs; it must not pile up.
        while self.mesh.poll_event().is_some() {}
        while self.mesh.poll_address_event().is_some() {}
        self.notes.take(note);
    }

    fn vitals(&self) -> Vitals {
        Vitals {
            unfinished: self
                .tasks
                .iter()
                .flatten()
                .map(|task| task.app.unfinished())
                .sum(),
            work: self.work,
            tables: Tables::of(self.node(), 1, self.instances),
        }
    }
}
