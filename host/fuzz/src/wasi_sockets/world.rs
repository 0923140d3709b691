//! Two nodes of a shard with an app on each, a wire between them, and virtual time.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use nexus_caps::{Clock, NetCtx, NetCtxView, Shard};
use nexus_node::{Mesh, Nic, NodeConfig, Quota};
use nexus_policy::{AppIdentity, Consent, Manifest, Policy, Topology, WallTime};
use nexus_stack::{Config, Offload, Received};
use nexus_types::{
    AppDigest, Duration, InstanceId, Instant, InterfaceAddress, IpAddr, NodeId, Seed,
};
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::p2::SocketError;
use wasmtime_wasi::p2::bindings::sockets::instance_network::Host as _;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, Host as _, Network};
use wasmtime_wasi_io::poll::DynPollable;
use wasmtime_wasi_io::streams::StreamError;

/// Everywhere, but for one port.
const MANIFEST: &str = r#"
[app]
id = "fuzz"
class = "system"
[capabilities."network.tcp.connect"]
allow = ["loopback:*", "lan:*"]
[capabilities."network.tcp.listen"]
allow = ["any:*"]
[capabilities."network.udp.send"]
allow = ["loopback:*", "lan:*"]
[capabilities."network.udp.bind"]
allow = ["any:*"]
"#;

/// The port that nobody may listen at or bind to.
pub(super) const FORBIDDEN: u16 = 82;

/// What an app is told.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Code(ErrorCode),
    /// A stream's end.
    Closed,
    Trap,
}

/// In one word: theirs is a paragraph.
impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Code(code) => code.name(),
            Self::Closed => "closed",
            Self::Trap => "trap",
        })
    }
}

pub(super) type Told<T> = Result<T, Word>;

/// One of the two.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Side(pub(super) usize);

impl Side {
    pub(super) fn addresses(self) -> [IpAddr; 2] {
        let last = u8::try_from(self.0 + 1).expect("two sides");
        [
            IpAddr::from([10, 0, 0, last]),
            IpAddr::from([0xfd00, 0, 0, 0, 0, 0, 0, last.into()]),
        ]
    }
}

struct Virtual(Arc<AtomicU64>);

impl Clock for Virtual {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

type Queue = Arc<Mutex<VecDeque<(Instant, Vec<u8>)>>>;

/// One end of a wire that carries everything, a while later, in order.
struct End {
    latency: Duration,
    to_peer: Queue,
    to_node: Queue,
}

impl Nic for End {
    fn handle_frame(&mut self, now: Instant, frame: &[u8], _: Offload) {
        let arrives = (now + self.latency, frame.to_vec());
        self.to_peer.lock().expect("no panic").push_back(arrives);
    }

    fn poll_transmit(
        &mut self,
        now: Instant,
        max: usize,
        deliver: &mut dyn FnMut(&[u8], Received),
    ) -> usize {
        let mut count = 0;
        let mut queue = self.to_node.lock().expect("no panic");
        while count < max
            && let Some((_, frame)) = queue.pop_front_if(|(at, _)| *at <= now)
        {
            deliver(&frame, Received::PLAIN);
            count += 1;
        }
        count
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.to_node
            .lock()
            .expect("no panic")
            .front()
            .map(|(at, _)| *at)
    }

    fn handle_timeout(&mut self, _: Instant) {}

    fn undelivered(&self) -> usize {
        0
    }
}

/// See the module.
pub(super) struct World {
    time: Arc<AtomicU64>,
    shard: Shard,
    /// What is on the wire to each side.
    queues: [Queue; 2],
    apps: [(NetCtx, ResourceTable, Resource<Network>); 2],
}

impl World {
    pub(super) fn new(latency: Duration) -> Self {
        let time = Arc::new(AtomicU64::new(1_000_000_000));
        let now = Instant::from_nanos(1_000_000_000);
        let mut mesh = Mesh::new();
        let queues: [Queue; 2] = Default::default();
        let mut nodes = Vec::new();
        for side in [Side(0), Side(1)] {
            let [v4, v6] = side.addresses();
            let own = vec![
                InterfaceAddress::new(v4, 24).expect("a prefix"),
                InterfaceAddress::new(v6, 64).expect("a prefix"),
            ];
            let config = NodeConfig {
                stack: Config::new(1_500, own.clone()),
                topology: Topology {
                    own,
                    ..Topology::default()
                },
                seed: Seed::from_number(side.0 as u64),
            };
            let node = mesh.add_node(config, now).expect("a good configuration");
            let end = End {
                latency,
                to_peer: queues[1 - side.0].clone(),
                to_node: queues[side.0].clone(),
            };
            mesh.attach_nic(node, Box::new(end)).expect("not attached");
            admit(&mut mesh, node, now);
            nodes.push(node);
        }
        let shard = Shard::new(mesh, Box::new(Virtual(time.clone())));
        let app = |side: usize| {
            let ctx = NetCtx {
                shard: shard.clone(),
                node: nodes[side],
                instance: InstanceId(1),
            };
            let mut table = ResourceTable::new();
            let mut view = NetCtxView {
                ctx: &ctx,
                table: &mut table,
            };
            let network = view.instance_network().expect("room in the table");
            (ctx, table, network)
        };
        let apps = [app(0), app(1)];
        Self {
            time,
            shard,
            queues,
            apps,
        }
    }

    /// The host's functions, as the app of a side calls them, and the handle on the network.
    pub(super) fn app(&mut self, side: Side) -> (NetCtxView<'_>, Resource<Network>) {
        let (ctx, table, network) = &mut self.apps[side.0];
        let network = Resource::new_borrow(network.rep());
        (NetCtxView { ctx, table }, network)
    }

    pub(super) fn table(&mut self, side: Side) -> &mut ResourceTable {
        &mut self.apps[side.0].1
    }

    /// Lets this much time pass, and everything happen that is due meanwhile.
    pub(super) fn pass(&mut self, duration: Duration) {
        let end = self.shard.now() + duration;
        loop {
            // Frames that were sent to it are due for a node, which only it can say; what one of them sends as it is
            // asked, the other does not know of yet.
            let nodes = [self.apps[0].0.node, self.apps[1].0.node];
            self.shard
                .enter(|mesh, _| nodes.map(|node| mesh.touch_nic(node)));
            let arrives = |queue: &Queue| {
                let queue = queue.lock().expect("no panic");
                queue.front().map(|(at, _)| *at)
            };
            let arrives = self.queues.iter().filter_map(arrives);
            let due = arrives.chain(self.shard.poll_timeout()).min();
            match due.filter(|due| *due <= end) {
                None => break,
                Some(due) => {
                    let now = self.shard.now().max(due);
                    self.time.store(now.as_nanos(), Ordering::Relaxed);
                    self.shard.handle_timeout();
                }
            }
        }
        self.time.store(end.as_nanos(), Ordering::Relaxed);
        self.shard.now();
    }

    /// What a call of the sockets' interfaces said.
    pub(super) fn told<T>(&mut self, side: Side, result: Result<T, SocketError>) -> Told<T> {
        let (mut view, _) = self.app(side);
        result.map_err(|error| match view.convert_error_code(error) {
            Ok(code) => Word::Code(code),
            Err(_) => Word::Trap,
        })
    }

    /// What a stream said.
    pub(super) fn said<T>(&mut self, side: Side, result: Result<T, StreamError>) -> Told<T> {
        let (mut view, _) = self.app(side);
        result.map_err(|error| match error {
            StreamError::Closed => Word::Closed,
            StreamError::Trap(_) => Word::Trap,
            StreamError::LastOperationFailed(error) => {
                let error = view.table.push(error).expect("room in the table");
                let borrowed = Resource::new_borrow(error.rep());
                let code = view.network_error_code(borrowed).expect("it is an error");
                view.table.delete(error).expect("it is there");
                Word::Code(code.expect("an error of a socket's stream is of the network"))
            }
        })
    }

    /// Whether a pollable is ready; it is dropped.
    pub(super) fn is_ready(&mut self, side: Side, pollable: Resource<DynPollable>) -> bool {
        use wasmtime_wasi_io::bindings::wasi::io::poll::HostPollable;
        let table = self.table(side);
        let borrowed = Resource::new_borrow(pollable.rep());
        let ready = at_once(table.ready(borrowed)).expect("it is a pollable");
        HostPollable::drop(table, pollable).expect("it is there");
        ready
    }
}

fn admit(mesh: &mut Mesh, node: NodeId, now: Instant) {
    let mut policy = String::new();
    for (capability, verdict, to) in [
        ("network.tcp.listen", "allow", "any:*"),
        ("network.udp.bind", "allow", "any:*"),
        ("network.tcp.listen", "forbid", "any:82"),
        ("network.udp.bind", "forbid", "any:82"),
    ] {
        policy += &format!(
            "[[rule]]\nid = \"{verdict}-{}\"\ncapability = \"{capability}\"\nverdict = \"{verdict}\"\nto = [\"{to}\"]\n",
            capability.replace('.', "-")
        );
    }
    let node = mesh.node_mut(node);
    let policy = Policy::parse(&policy, "p").expect("a policy");
    node.gate_mut()
        .set_policies(now, WallTime(0), Policy::none(), policy);
    let app = AppIdentity {
        id: "fuzz".to_owned(),
        digest: AppDigest([7; 32]),
        publisher: None,
    };
    let consent = Consent {
        allow_manifest: true,
        ..Consent::default()
    };
    let manifest = Manifest::parse(MANIFEST, "m").expect("a manifest");
    let admitted = node
        .gate_mut()
        .admit(now, InstanceId(1), app, manifest, consent, &[]);
    assert!(admitted.is_ok(), "it imports nothing");
    node.start(InstanceId(1), Quota::default());
}

/// What a function that never waits gives.
pub(super) fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a call waits that may not"),
    }
}
