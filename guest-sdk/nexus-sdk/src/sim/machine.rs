//! A machine of a world: the production node, and natively compiled apps that reach it through the gate.
//!
//! The counterpart of nexus-host's machine of wasm guests. An app is one task; it is polled when it was woken and
//! never else, so that a wake-up that is not given shows.

use std::any::Any;
use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use nexus_node::{Event, Mesh, NodeConfig, Quota};
use nexus_policy::{
    AppIdentity, Capability, Consent, Import, Manifest, Policy, Rule, Topology, WallTime,
};
use nexus_sim::{Boot, Dice, Machine, Note, SimNicHandle, sim_nic};
use nexus_stack::Config;
use nexus_types::{AppDigest, HostName, InstanceId, Instant, InterfaceAddress, IpAddr, Seed};

use super::caller::Caller;
use super::fate::{Ended, Fate};
use super::host::process::Exit;
use super::limits::{SLICE, TURNS_MAX};
use super::shell::{Ready, Shell, Ticket};

/// Of every link. What a wire carries.
const MTU: usize = 1_500;

/// The whole of an app, with its exit code.
pub(super) type Whole = Pin<Box<dyn Future<Output = u8>>>;

/// What an app is to be started with.
pub(super) struct Start {
    pub(super) manifest: Manifest,
    pub(super) allow_manifest: bool,
    pub(super) allow: Vec<(Capability, Rule)>,
    /// It may reach everybody and be everything: a test's own far end.
    pub(super) peer: bool,
    pub(super) arguments: Vec<String>,
    pub(super) fate: Rc<RefCell<Fate>>,
    pub(super) app: Box<dyn FnOnce() -> Whole>,
}

/// Every node of a world by its name, once that is known.
pub(super) type Names = Rc<OnceCell<Vec<(HostName, Vec<IpAddr>)>>>;

/// What apps panicked with, if one did.
pub(super) type Panicked = Rc<RefCell<Option<Box<dyn Any + Send>>>>;

/// A node of a world, running or not: what the test's handle and the machine share.
pub(super) struct Place {
    pub(super) name: HostName,
    pub(super) addresses: Vec<InterfaceAddress>,
    pub(super) started: Cell<usize>,
    /// Apps that are started with its next turn.
    pub(super) starts: RefCell<Vec<Start>>,
    /// What becomes of all that were.
    pub(super) fates: RefCell<Vec<Rc<RefCell<Fate>>>>,
}

struct Running {
    caller: Rc<Caller>,
    app: Pin<Box<dyn Future<Output = Ended>>>,
    ticket: Arc<Ticket>,
    waker: Waker,
}

/// See the module.
pub(super) struct AppMachine {
    place: Rc<Place>,
    names: Names,
    panicked: Panicked,
    shell: Rc<Shell>,
    nic: SimNicHandle,
    ready: Arc<Ready>,
    apps: BTreeMap<usize, Running>,
    instances: u64,
    seed: Seed,
    busy_until: Instant,
    notes: Vec<String>,
}

impl AppMachine {
    /// A machine as it boots.
    ///
    /// # Panics
    /// The stack cannot be made with these addresses.
    pub(super) fn new(
        boot: &Boot<'_>,
        place: Rc<Place>,
        names: &Names,
        panicked: &Panicked,
    ) -> Self {
        let mut stack = Config::new(MTU, boot.addresses.to_vec());
        stack.resolver.hosts = names.get().cloned().unwrap_or_default();
        let mut mesh = Mesh::new();
        let config = NodeConfig {
            stack,
            topology: Topology {
                own: boot.addresses.to_vec(),
                ..Topology::default()
            },
            seed: boot.seed.split("node"),
        };
        let node = mesh
            .add_node(config, boot.now)
            .unwrap_or_else(|error| panic!("node {}: {error}", place.name));
        let (nic, handle) = sim_nic();
        mesh.attach_nic(node, Box::new(nic))
            .unwrap_or_else(|error| panic!("node {}: {error}", place.name));
        let gate = mesh.node_mut(node).gate_mut();
        gate.set_policies(boot.now, WallTime(0), Policy::none(), Policy::none());
        Self {
            place,
            names: names.clone(),
            panicked: panicked.clone(),
            shell: Shell::new(mesh, node, boot.now),
            nic: handle,
            ready: Arc::default(),
            apps: BTreeMap::new(),
            instances: 0,
            seed: boot.seed.clone(),
            busy_until: Instant::ZERO,
            notes: Vec::new(),
        }
    }

    /// Admits an app by the production gate and has it run.
    fn start(&mut self, start: Start) {
        self.instances += 1;
        let number = self.instances;
        let instance = InstanceId(number);
        let identity = AppIdentity {
            id: start.fate.borrow().name.clone(),
            digest: AppDigest([number as u8; 32]),
            publisher: None,
        };
        let mut allow = start.allow;
        if start.peer {
            allow.extend(grants_of_a_peer(self.names.get().into_iter().flatten()));
        }
        let consent = Consent {
            allow_manifest: start.allow_manifest,
            answers: Vec::new(),
            allow,
        };
        let imports = imports(&start.manifest);
        let admission = self.shell.node(|node, now| {
            let admitted = node.gate_mut().admit(
                now,
                instance,
                identity,
                start.manifest,
                consent,
                &imports,
            )?;
            let quota = Quota {
                sockets: admitted.limits.sockets,
                bytes_in_flight: admitted.limits.bytes_in_flight,
            };
            node.start(instance, quota);
            Ok::<_, Box<nexus_policy::Admission>>(admitted)
        });
        let admission = match admission {
            Ok(admission) => admission,
            Err(refused) => {
                let text = refused.text();
                self.notes.push(format!("refused: {text}"));
                start.fate.borrow_mut().ended = Some(Ended::Refused(text));
                return;
            }
        };
        let mut dice = Dice::new(&self.seed.split(&format!("instance {number}")));
        let caller = Rc::new(Caller {
            shell: self.shell.clone(),
            instance,
            arguments: start.arguments,
            insecure_seed: (dice.word(), dice.word()),
            fate: start.fate,
            written: RefCell::default(),
        });
        let deadline = admission.limits.timeout;
        let app = until_deadline(
            start.app,
            self.shell.clone(),
            deadline.map(|it| self.shell.now() + it),
        );
        let index = number as usize;
        let ticket = Ticket::new(index, &self.ready);
        self.apps.insert(
            index,
            Running {
                caller,
                app: Box::pin(app),
                waker: Waker::from(ticket.clone()),
                ticket,
            },
        );
    }

    /// Polls an app once. True: it could go on, and gave way.
    fn turn(&mut self, index: usize) -> bool {
        // It may have ended since it was woken.
        let Some(running) = self.apps.get_mut(&index) else {
            return false;
        };
        running.ticket.begin();
        let entered = running.caller.enter();
        let mut context = Context::from_waker(&running.waker);
        let app = running.app.as_mut();
        let polled = catch_unwind(AssertUnwindSafe(|| app.poll(&mut context)));
        drop(entered);
        let written = running.caller.written.take();
        if !written.is_empty() {
            self.notes
                .push(format!("wrote {}", String::from_utf8_lossy(&written)));
        }
        let ended = match polled {
            Ok(Poll::Pending) => return running.ticket.is_queued(),
            Ok(Poll::Ready(ended)) => ended,
            Err(payload) => match payload.downcast::<Exit>() {
                Ok(exit) => Ended::Exit(exit.0),
                Err(payload) => {
                    *self.panicked.borrow_mut() = Some(payload);
                    Ended::Panicked
                }
            },
        };
        self.end(index, ended);
        false
    }

    /// Takes what the node has to tell.
    fn hear(&mut self) {
        while let Some((_, event)) = self.shell.mesh(|mesh, _| mesh.poll_event()) {
            let Event::Denied { instance, denial } = event else {
                continue;
            };
            let (capability, target) = (denial.capability, denial.target.full());
            let text = format!("{capability} {target} {}", denial.reason);
            self.notes.push(format!("denied {text}"));
            if let Some(app) = self.apps.get(&(instance.0 as usize)) {
                app.caller.fate.borrow_mut().deny(text);
            }
        }
    }

    /// Its handles end, each in its own way; what is still open then, with the instance.
    fn end(&mut self, index: usize, ended: Ended) {
        self.hear();
        let Some(running) = self.apps.remove(&index) else {
            return;
        };
        self.notes.push(format!("ended with {}", ended.code()));
        running.caller.fate.borrow_mut().ended = Some(ended);
        let caller = running.caller.clone();
        leave(running);
        self.shell.node(|node, now| node.end(now, caller.instance));
    }
}

/// Drops an app while it is its own turn: what is dropped with it may call the host.
fn leave(running: Running) {
    let entered = running.caller.enter();
    drop(running.app);
    crate::task::forget_spawned();
    drop(entered);
}

/// Runs an app until it ends or its time is over. What ends by itself at its deadline has ended by itself.
async fn until_deadline(
    app: Box<dyn FnOnce() -> Whole>,
    shell: Rc<Shell>,
    deadline: Option<Instant>,
) -> Ended {
    let mut over = deadline.map(|deadline| Box::pin(shell.sleep_until(deadline)));
    let mut app = pin!(async { app().await });
    poll_fn(|context| {
        if let Poll::Ready(code) = app.as_mut().poll(context) {
            return Poll::Ready(Ended::Exit(code));
        }
        match &mut over {
            Some(over) => over.as_mut().poll(context).map(|()| Ended::Deadline),
            None => Poll::Pending,
        }
    })
    .await
}

/// What a component with this manifest would import: the interfaces of what it asks for. What else it calls is refused
/// when it does, where the component would not start.
fn imports(manifest: &Manifest) -> Vec<Import> {
    let interfaces = manifest
        .capabilities()
        .filter_map(|(capability, _)| capability.interface());
    let import = |name: &str| Import {
        name: name.to_owned(),
        functions: Vec::new(),
    };
    interfaces.map(import).collect()
}

/// What a test's own far end is granted: to reach everybody, by address and by name, and to listen anywhere.
fn grants_of_a_peer<'a>(
    names: impl Iterator<Item = &'a (HostName, Vec<IpAddr>)>,
) -> impl Iterator<Item = (Capability, Rule)> {
    let classes = ["public", "lan", "link-local", "multicast"];
    let hosts: Vec<&str> = classes
        .into_iter()
        .chain(names.map(|(name, _)| name.as_str()))
        .collect();
    let reach = ["network.tcp.connect", "network.udp.send"]
        .into_iter()
        .flat_map(|capability| {
            hosts
                .iter()
                .map(move |host| format!("{capability}={host}:*"))
        });
    let be = ["network.tcp.listen=any:*", "network.udp.bind=any:*"].map(str::to_owned);
    let grants: Vec<_> = reach
        .chain(be)
        .map(|text| Rule::parse_grant(&text).expect("a rule of ours"))
        .collect();
    grants.into_iter()
}

impl Machine for AppMachine {
    fn handle_frame(&mut self, now: Instant, frame: &[u8]) {
        self.shell.set_now(now);
        self.nic.deliver(frame);
        self.shell.touch_nic();
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.shell.set_now(now);
        self.shell.handle_timeout();
    }

    fn run(&mut self, now: Instant) -> Option<Instant> {
        self.shell.set_now(now);
        for start in self.place.starts.take() {
            self.start(start);
        }
        for _ in 0..TURNS_MAX {
            let index = self.ready.pop()?;
            // It would have gone on: its processor was busy with it.
            if self.turn(index) {
                break;
            }
        }
        self.busy_until = now + SLICE;
        Some(self.busy_until)
    }

    fn poll_transmit(&mut self, now: Instant, send: &mut dyn FnMut(&[u8])) {
        self.shell.set_now(now);
        self.shell.mesh(|_, _| {});
        self.nic.take(send);
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        let now = self.shell.now();
        if !self.ready.is_empty() && self.busy_until <= now {
            return Some(Instant::ZERO);
        }
        self.shell.poll_timeout()
    }

    fn take_notes(&mut self, note: &mut dyn FnMut(Note<'_>)) {
        self.hear();
        while self
            .shell
            .mesh(|mesh, _| mesh.poll_address_event())
            .is_some()
        {}
        for text in self.notes.drain(..) {
            note(Note::Text(&text));
        }
    }
}

impl Drop for AppMachine {
    fn drop(&mut self) {
        for (_, running) in core::mem::take(&mut self.apps) {
            leave(running);
        }
    }
}
