//! `sim`: one guest on one node, in virtual time, across a wire from a node that echoes and answers names.
//!
//! Engine, linker, host calls, shard, node, gate and stack are those of `nexus-host run`.

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use nexus_caps::{Clock, NetCtx, Shard};
use nexus_host::runtime::clocks::WallClock;
use nexus_host::runtime::engine::{EngineOptions, HostEngine, Slices};
use nexus_host::runtime::imports::{self, Import};
use nexus_host::runtime::instance::{Outcome, Prepared};
use nexus_host::runtime::limits::AppLimits;
use nexus_host::runtime::linker;
use nexus_host::runtime::state::{AppStart, AppState};
use nexus_host::runtime::stdio::Kept;
use nexus_node::{Mesh, Node, NodeConfig, Quota, TcpListener, TcpSocket, UdpSocket};
use nexus_policy::{
    Act, AppIdentity, Consent, Import as Asked, Manifest, Policy, Topology, WallTime,
};
use nexus_stack::Config;
use nexus_types::{AppDigest, Duration, InstanceId, Instant, InterfaceAddress, NodeId, Seed};
use wasmtime::component::{Component, Linker};

use crate::{far, guests, names};

/// The guest, and the far node's app.
const APP: InstanceId = InstanceId(1);
const PEER: InstanceId = InstanceId(2);

const FAR: &str = "10.0.0.34";
const DNS: &str = "10.0.0.53";
pub(crate) const NAME: &str = "far.example";
const TCP: u16 = 7;
const UDP: u16 = 9;

/// Longer than any run takes of virtual time: a probe that waits for ever waits so long.
const END: Duration = Duration::from_secs(400);
/// A probe that asks for ever without waiting has so many turns of a million instructions; all together take fewer.
const TURNS: usize = 10_000;

struct Virtual(Arc<AtomicU64>);

impl Clock for Virtual {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// A guest, compiled once.
pub(crate) struct Guest {
    engine: HostEngine,
    pub(crate) component: Component,
    imports: Vec<Import>,
    pub(crate) manifest: String,
}

impl Guest {
    pub(crate) fn new(name: &str) -> Self {
        let options = EngineOptions {
            instances: 64,
            pooling: false,
            slices: Slices::Fuel(1_000_000),
            ..EngineOptions::default()
        };
        let engine = HostEngine::new(options).expect("an engine");
        let file = guests::component(name);
        let component = Component::from_file(engine.engine(), file).expect("it compiles");
        let imports = imports::of_component(engine.engine(), &component);
        let manifest = guests::root().join("components/conformance/nexus.toml");
        let manifest = std::fs::read_to_string(manifest).expect("it is there");
        Self {
            engine,
            component,
            imports,
            manifest,
        }
    }

    /// The functions of `wasi:sockets` that it calls: interface as it imports it, and function.
    pub(crate) fn functions(&self) -> Vec<(String, String)> {
        let sockets = |import: &&Import| imports::wasi(&import.name, "sockets").is_some();
        let of = |import: &Import| {
            let name = import.name.clone();
            let functions = import.functions.clone().into_iter();
            functions.map(move |function| (name.clone(), function))
        };
        self.imports.iter().filter(sockets).flat_map(of).collect()
    }

    /// A linker with everything it imports, as `nexus-host run` would make it.
    pub(crate) fn linker(&self) -> Linker<AppState> {
        let mut linker = Linker::new(self.engine.engine());
        linker::link_base(&mut linker, &self.imports).expect("links");
        for import in &self.imports {
            linker::link_sockets(&mut linker, &import.name).expect("links");
        }
        linker
    }
}

/// What came of a run. No outcome: it waits, or asks, for ever.
pub(crate) struct Ran {
    pub(crate) outcome: Option<Outcome>,
    pub(crate) said: String,
}

const PEER_MANIFEST: &str = r#"
[app]
id = "test.peer"
class = "system"
[capabilities."network.tcp.listen"]
allow = ["any:7"]
[capabilities."network.udp.bind"]
allow = ["any:9", "any:53"]
[capabilities."network.udp.send"]
allow = ["10.0.0.0/8:*"]
"#;

const PEER_POLICY: &str = r#"
[[rule]]
id = "listen"
capability = "network.tcp.listen"
verdict = "allow"
to = ["any:7"]
[[rule]]
id = "bind"
capability = "network.udp.bind"
verdict = "allow"
to = ["any:9", "any:53"]
"#;

fn add(mesh: &mut Mesh, addresses: &[&str], topology: Topology, now: Instant) -> NodeId {
    let own: Vec<_> = addresses
        .iter()
        .map(|text| {
            let (address, prefix) = text.split_once('/').expect("a prefix");
            let address = address.parse().expect("an address");
            InterfaceAddress::new(address, prefix.parse().expect("a number")).expect("valid")
        })
        .collect();
    let mut stack = Config::new(1_500, own.clone());
    stack.resolver.servers = vec![SocketAddr::new(DNS.parse().expect("an address"), 53)];
    let config = NodeConfig {
        stack,
        topology: Topology { own, ..topology },
        seed: Seed::from_number(u64::try_from(addresses.len()).unwrap_or(0)),
    };
    mesh.add_node(config, now).expect("a node")
}

fn admit(
    node: &mut Node,
    now: Instant,
    app: InstanceId,
    manifest: &str,
    policy: &str,
    imports: &[Asked],
) {
    let policy = Policy::parse(policy, "policy.toml").expect("a policy");
    let gate = node.gate_mut();
    gate.set_policies(now, WallTime(0), Policy::none(), policy);
    let manifest = Manifest::parse(manifest, "nexus.toml").expect("a manifest");
    let consent = Consent {
        allow_manifest: true,
        ..Consent::default()
    };
    let identity = AppIdentity {
        id: "org.nexus.conformance".to_owned(),
        digest: AppDigest([app.0 as u8; 32]),
        publisher: None,
    };
    let admitted = gate.admit(now, app, identity, manifest, consent, imports);
    admitted.unwrap_or_else(|report| panic!("{}", report.text()));
    node.start(app, Quota::default());
}

/// A connection, what is to go back, and whether its client has no more.
struct Echo {
    stream: TcpSocket,
    back: Vec<u8>,
    over: bool,
}

/// What serves on the far node.
struct Peer {
    node: NodeId,
    listener: TcpListener,
    echoes: Vec<Echo>,
    datagrams: UdpSocket,
    dns: UdpSocket,
}

impl Peer {
    fn new(mesh: &mut Mesh, node: NodeId, now: Instant) -> Self {
        let peer = mesh.node_mut(node);
        admit(peer, now, PEER, PEER_MANIFEST, PEER_POLICY, &[]);
        let any = |port| SocketAddr::new("0.0.0.0".parse().expect("an address"), port);
        let permit = peer.permit(now, PEER, &Act::Listen { local: any(TCP) });
        let listener = peer.tcp_listen(now, permit.expect("allowed"), None);
        let mut bind = |local| {
            let permit = peer.permit(now, PEER, &Act::UdpBind { local });
            peer.udp_bind(now, permit.expect("allowed")).expect("bound")
        };
        Self {
            node,
            listener: listener.expect("it listens"),
            echoes: Vec::new(),
            datagrams: bind(any(UDP)),
            dns: bind(SocketAddr::new(DNS.parse().expect("an address"), 53)),
        }
    }

    /// Does what there is to do. Whether there was anything.
    fn turn(&mut self, mesh: &mut Mesh, now: Instant) -> bool {
        let mut busy = false;
        let node = mesh.node_mut(self.node);
        while let Poll::Ready(Ok(stream)) = node.poll_accept(now, self.listener, Waker::noop()) {
            busy = true;
            self.echoes.push(Echo {
                stream,
                back: Vec::new(),
                over: false,
            });
        }
        self.echoes.retain_mut(|echo| match echo.turn(node, now) {
            Ok(did) => {
                busy |= did;
                true
            }
            Err(()) => {
                node.tcp_close(now, echo.stream);
                false
            }
        });
        let known: [(&str, IpAddr); 1] = [(NAME, FAR.parse().expect("an address"))];
        while let Some((from, question)) = receive(node, now, self.dns) {
            busy = true;
            if let Some(answer) = names::answer(&question, &known) {
                let _ = node.udp_send(now, self.dns, &answer, Some(from));
            }
        }
        while let Some((from, data)) = receive(node, now, self.datagrams) {
            busy = true;
            let _ = node.udp_send(now, self.datagrams, &data, Some(from));
        }
        busy
    }
}

impl Echo {
    /// Whether anything was done; the error: it is over.
    fn turn(&mut self, node: &mut Node, now: Instant) -> Result<bool, ()> {
        let mut busy = false;
        loop {
            let done = if !self.back.is_empty() {
                node.poll_write(now, self.stream, &self.back, Waker::noop())
            } else if self.over {
                let _ = node.tcp_finish(now, self.stream);
                return Err(());
            } else {
                let read = node.poll_read_vec(now, self.stream, 65_536, Waker::noop());
                read.map_ok(|bytes| {
                    self.over = bytes.is_empty();
                    self.back = bytes;
                    0
                })
            };
            match done {
                Poll::Pending => return Ok(busy),
                Poll::Ready(Err(_)) => return Err(()),
                Poll::Ready(Ok(written)) => {
                    busy = true;
                    self.back.drain(..written);
                }
            }
        }
    }
}

fn receive(node: &mut Node, now: Instant, socket: UdpSocket) -> Option<(SocketAddr, Vec<u8>)> {
    let received = node.poll_udp_receive(now, socket, Waker::noop(), |from, data| {
        (from, data.to_vec())
    });
    match received {
        Poll::Ready(received) => received.ok(),
        Poll::Pending => None,
    }
}

/// Runs probes of the guest to their end: of one function, or all.
pub(crate) fn run(guest: &Guest, linker: &Linker<AppState>, what: &str) -> Ran {
    let start = Instant::from_secs(1);
    let time = Arc::new(AtomicU64::new(start.as_nanos()));
    let mut mesh = Mesh::new();
    let segment = mesh.add_segment();
    let topology = Topology {
        infrastructure: vec![DNS.parse().expect("an address")],
        ..Topology::default()
    };
    // One network: there is no router in it.
    let ours = add(&mut mesh, &["10.0.0.9/24", "fd00:7::1/64"], topology, start);
    let theirs = [FAR, DNS].map(|address| format!("{address}/24"));
    let theirs = theirs.each_ref().map(String::as_str);
    let theirs = add(&mut mesh, &theirs, Topology::default(), start);
    for node in [ours, theirs] {
        mesh.attach_segment(node, segment).expect("attached");
    }
    let mut peer = Peer::new(&mut mesh, theirs, start);
    let asked: Vec<_> = guest
        .imports
        .iter()
        .map(|import| Asked {
            name: import.name.clone(),
            functions: import.functions.clone(),
        })
        .collect();
    let policy = far::policy(&format!(r#""loopback:*", "{NAME}:*", "lan:*""#));
    admit(
        mesh.node_mut(ours),
        start,
        APP,
        &guest.manifest,
        &policy,
        &asked,
    );
    let shard = Shard::new(mesh, Box::new(Virtual(time.clone())));

    let prepared = Prepared::new(linker, &guest.component).expect("it fits");
    let (stdout, stderr) = (Kept::default(), Kept::default());
    let words = [
        "conformance",
        FAR,
        &TCP.to_string(),
        &UDP.to_string(),
        NAME,
        what,
    ];
    let state = AppStart {
        args: words.iter().map(|word| (*word).to_owned()).collect(),
        env: Vec::new(),
        dirs: Vec::new(),
        stdin: None,
        stdout: Some(stdout.clone().into()),
        stderr: Some(stderr.clone().into()),
        seed: Seed::from_number(3),
        wall: WallClock::Virtual(Duration::ZERO),
        slices: guest.engine.slices(),
        limits: AppLimits::default(),
        roots: Vec::new(),
    };
    let net = NetCtx {
        shard: shard.clone(),
        node: ours,
        instance: APP,
    };
    let state = AppState::new(state, net).expect("no folders");
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let mut task = pin!(prepared.run(state, &[], std::future::pending(), || {}));
    let mut turns = 0;
    let outcome = loop {
        let before = woken.0.load(Ordering::Relaxed);
        shard.now();
        if let Poll::Ready(ended) = task.as_mut().poll(&mut Context::from_waker(&waker)) {
            break Some(ended.outcome);
        }
        turns += 1;
        if turns == TURNS {
            break None;
        }
        let busy = shard.enter(|mesh, now| peer.turn(mesh, now));
        while shard.poll_event().is_some() {}
        if busy || woken.0.load(Ordering::Relaxed) != before {
            continue;
        }
        // Nothing goes on without time.
        let now = shard.now();
        let due = shard.poll_timeout().map(|due| due.max(now));
        let Some(due) = due.filter(|due| *due < start + END) else {
            break None;
        };
        time.store(due.as_nanos(), Ordering::Relaxed);
        shard.handle_timeout();
    };
    let said = [stdout.text(), stderr.text()].concat();
    Ran { outcome, said }
}
