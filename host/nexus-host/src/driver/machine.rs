//! A machine of a simulated world: the production node with wasm guests on it, under virtual time.
//!
//! What is another one than under `run` is the clock (the world's), the NIC (the world's), and what makes a guest
//! give way: fuel instead of epochs, so that it does so at the same instruction every time. Stack, gate, host
//! calls, executor and linker are the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nexus_caps::{Clock, Shard};
use nexus_node::{Event, Mesh, MeshError, NodeConfig};
use nexus_policy::{Policy, Topology, WallTime};
use nexus_sim::{Boot, Machine, Note, SimNicHandle, Tables, Vitals, sim_nic};
use nexus_stack::{Config, Stats};
use nexus_types::{InstanceId, Instant, NodeId};

use super::executor::{Executor, GivingWay, Spawner};

/// What a guest uses up before it gives way, in instructions of WebAssembly, roughly.
pub(crate) const SLICE_FUEL: u64 = 100_000;

/// What a slice of a guest takes of its machine's time: a nanosecond an instruction. Time passes for a guest that
/// computes for ever, and for one that asks the time in a loop.
const SLICE: Duration = Duration::from_micros(100);

/// Turns of guests at one instant without any that used its slice up; then a slice is charged all the same. Stops
/// two guests that wake each other without end from stopping the world.
const TURNS: u32 = 10_000;

/// A clock that stands until it is set.
#[derive(Clone)]
struct Virtual(Arc<AtomicU64>);

impl Clock for Virtual {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// See the module.
pub(crate) struct GuestMachine {
    shard: Shard,
    clock: Virtual,
    node: NodeId,
    nic: SimNicHandle,
    executor: Executor,
    /// Of its apps; their number is the node's for each.
    instances: u64,
    on_event: Box<dyn FnMut(&Event)>,
    notes: Vec<String>,
}

impl GuestMachine {
    /// A machine as it boots, without apps. What is in `config` of addresses is replaced by those of `boot`.
    /// The operator's policy holds from this time of day on. `on_event` is told what its node has to tell.
    ///
    /// # Errors
    /// The stack cannot be made of this.
    pub(crate) fn new(
        boot: &Boot<'_>,
        mut config: Config,
        (policy, wall): (Policy, WallTime),
        on_event: impl FnMut(&Event) + 'static,
    ) -> Result<Self, MeshError> {
        config.addresses = boot.addresses.to_vec();
        let mut mesh = Mesh::new();
        // As on a real interface: an app has no business with who its node asks for names.
        let servers = config.resolver.servers.iter();
        let infrastructure = servers.map(|server| server.ip()).collect();
        let config = NodeConfig {
            stack: config,
            topology: Topology {
                own: boot.addresses.to_vec(),
                infrastructure,
                ..Topology::default()
            },
            seed: boot.seed.split("node"),
        };
        let node = mesh.add_node(config, boot.now)?;
        let (nic, handle) = sim_nic();
        mesh.attach_nic(node, Box::new(nic))?;
        let gate = mesh.node_mut(node).gate_mut();
        gate.set_policies(boot.now, wall, Policy::none(), policy);
        let clock = Virtual(Arc::new(AtomicU64::new(boot.now.as_nanos())));
        Ok(Self {
            shard: Shard::new(mesh, Box::new(clock.clone())),
            clock,
            node,
            nic: handle,
            executor: Executor::new(GivingWay::Counted, || {}),
            instances: 0,
            on_event: Box::new(on_event),
            notes: Vec::new(),
        })
    }

    /// Its shard, for host calls and for setting it up.
    pub(crate) fn shard(&self) -> &Shard {
        &self.shard
    }

    /// Its node.
    pub(crate) fn node(&self) -> NodeId {
        self.node
    }

    /// What the next app is called by its node: 0, 1, ...
    pub(crate) fn next_instance(&mut self) -> InstanceId {
        self.instances += 1;
        InstanceId(self.instances - 1)
    }

    /// Adds a task.
    pub(crate) fn spawn(&mut self, task: impl Future<Output = ()> + 'static) {
        drop(self.executor.spawn(task));
    }

    /// For tasks that add tasks.
    pub(crate) fn spawner(&self) -> Spawner {
        self.executor.spawner()
    }

    /// Ends every app where it stands, with all it has open: what was written is still delivered.
    pub(crate) fn end_apps(&mut self, now: Instant) {
        self.set_clock(now);
        self.executor = Executor::new(GivingWay::Counted, || {});
        self.shard.enter(|mesh, now| {
            for number in 0..self.instances {
                mesh.node_mut(self.node).end(now, InstanceId(number));
            }
        });
    }

    /// The counters of its stack, since it booted.
    pub(crate) fn stats(&self) -> Stats {
        self.shard
            .look(|mesh| *mesh.node(self.node).stack().stats())
    }

    fn set_clock(&self, now: Instant) {
        self.clock.0.store(now.as_nanos(), Ordering::Relaxed);
        // What guests see is the time that was read last.
        self.shard.now();
    }
}

impl Machine for GuestMachine {
    fn handle_frame(&mut self, now: Instant, frame: &[u8]) {
        self.set_clock(now);
        self.nic.deliver(frame);
        self.shard.enter(|mesh, _| mesh.touch_nic(self.node));
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.set_clock(now);
        self.shard.handle_timeout();
    }

    fn run(&mut self, now: Instant) -> Option<Instant> {
        self.set_clock(now);
        for _ in 0..TURNS {
            match self.executor.turn() {
                None => return None,
                Some(false) => {}
                // It would have gone on: its processor was busy with it.
                Some(true) => return Some(now + SLICE),
            }
        }
        Some(now + SLICE)
    }

    fn poll_transmit(&mut self, now: Instant, send: &mut dyn FnMut(&[u8])) {
        self.set_clock(now);
        self.shard.enter(|_, _| {});
        self.nic.take(send);
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.shard.poll_timeout()
    }

    fn take_notes(&mut self, note: &mut dyn FnMut(Note<'_>)) {
        while let Some((_, event)) = self.shard.poll_event() {
            (self.on_event)(&event);
            // Worlds enforce: nothing is let pass.
            let Event::Denied { denial, .. } = &event else {
                continue;
            };
            let (capability, target) = (denial.capability, denial.target.full());
            self.notes
                .push(format!("denied {capability} {target} {}", denial.reason));
        }
        for text in self.notes.drain(..) {
            note(Note::Text(&text));
        }
    }

    fn vitals(&self) -> Vitals {
        Vitals {
            // What its apps have still to do only the scenario knows.
            unfinished: 0,
            work: 0,
            tables: self
                .shard
                .look(|mesh| Tables::of(mesh.node(self.node), 0, self.instances)),
        }
    }
}
