//! One guest on one node, in virtual time, across a wire from a node that answers; everything is watched.
//!
//! Engine, linker, host calls, shard, node, gate and stack are those of `nexus-host run`. The wire is a segment
//! of the mesh whose frames are all looked at. The far node serves TCP, UDP, names and HTTP.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use nexus_caps::{Clock, NetCtx, Shard};
use nexus_host::runtime::clocks::WallClock;
use nexus_host::runtime::engine::{EngineOptions, HostEngine, Slices};
use nexus_host::runtime::imports;
use nexus_host::runtime::instance::{Outcome, Prepared};
use nexus_host::runtime::limits::AppLimits;
use nexus_host::runtime::linker;
use nexus_host::runtime::state::{AppStart, AppState};
use nexus_host::runtime::stdio::Kept;
use nexus_node::{
    Direction, Event, Mesh, Node, NodeConfig, Quota, TcpListener, TcpSocket, UdpSocket,
};
use nexus_policy::admission::Provided;
use nexus_policy::{
    Act, AppIdentity, Auditor, Consent, Entry, Import, Manifest, Policy, Recorded, Topology,
    Unrecorded, WallTime, render,
};
use nexus_stack::{Checksums, Config};
use nexus_types::{AppDigest, Duration, InstanceId, Instant, InterfaceAddress, NodeId, Seed};
use wasmtime::component::{Component, Linker};

use crate::guests;
use crate::web::Web;

/// What the guest sends, is told and has in its environment, and what may stand in no record.
pub(crate) const SECRET: &str = "CANARY-5f0a91c3";

/// The guest, and the far node's app.
const APP: InstanceId = InstanceId(1);
const PEER: InstanceId = InstanceId(2);

/// Far ends.
pub(crate) const FAR: &str = "93.184.216.34";
pub(crate) const OTHER: &str = "93.184.216.35";
/// Nobody is there.
pub(crate) const NOBODY: &str = "93.184.216.77";
pub(crate) const DNS: &str = "93.184.216.53";
/// Where HTTP is served.
const WEB: u16 = 80;
/// What stands for the machine.
pub(crate) const MACHINE: &str = "10.0.2.2";
/// The far node.
pub(crate) const THEIRS: [&str; 3] = ["93.184.216.34/24", "93.184.216.35/24", "93.184.216.53/24"];
/// The guest's node.
pub(crate) const OWN: &str = "10.0.0.1";

/// Longer than any run takes of virtual time.
const END: Duration = Duration::from_secs(400);

pub(crate) fn digest(of: u8) -> AppDigest {
    AppDigest([of; 32])
}

/// The guest's.
pub(crate) const DIGEST: u8 = 7;

/// Something that happens so long after the start.
#[derive(Clone)]
pub(crate) enum Happens {
    /// The operator's file is another one from now on.
    Policy(String),
    /// A name has other addresses from now on.
    Name(&'static str, Vec<IpAddr>),
    /// The far node connects to the guest's, at this port; 0: where the guest's last connection came from.
    Connect(u16),
    /// The far node sends a datagram to this port of the guest's; 0: to where its last one came from. Out of a
    /// port of its own that nobody has sent to.
    Datagram(u16),
    /// This far end answers whom it heard last.
    Answer(&'static str),
    /// The far end sends what it kept back of its answers.
    Serve,
}

/// Who acts.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) enum Program {
    /// Over `nexus:net`.
    #[default]
    Ours,
    /// Over WASI.
    Wasi,
}

/// A run.
#[derive(Clone, Default)]
pub(crate) struct Setup {
    pub(crate) program: Program,
    pub(crate) manifest: String,
    pub(crate) policy: String,
    pub(crate) names: Vec<(&'static str, Vec<IpAddr>)>,
    pub(crate) sockets: Option<u32>,
    pub(crate) acts: Vec<String>,
    pub(crate) happens: Vec<(u64, Happens)>,
}

/// What the guest said of one act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) verb: String,
    pub(crate) code: String,
    /// Of an error: its reason. Else what came of it.
    pub(crate) reason: String,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) verdict: Recorded,
    pub(crate) reason: String,
    pub(crate) text: String,
}

/// A packet that left the guest's node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) to: IpAddr,
    pub(crate) port: u16,
    /// Milliseconds since the start.
    pub(crate) at: u64,
    /// It resets a connection.
    pub(crate) resets: bool,
}

/// What came of a run.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) said: Vec<Said>,
    pub(crate) alive: bool,
    pub(crate) records: Vec<Record>,
    pub(crate) denials: Vec<String>,
    pub(crate) frames: Vec<Frame>,
    /// Every text that somebody other than the app may read, and what the app was told.
    pub(crate) sinks: String,
    /// The far node's own connections, as far as they were refused or cut.
    pub(crate) peer_refused: usize,
}

pub(crate) struct Virtual(pub(crate) Arc<AtomicU64>);

impl Clock for Virtual {
    fn now(&self) -> Instant {
        Instant::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// How often it was woken.
#[derive(Default)]
pub(crate) struct Woken(pub(crate) AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Keeps everything it is given, every text of it.
struct Keeps(Arc<Mutex<Vec<Record>>>);

impl Auditor for Keeps {
    fn record(&mut self, _: Instant, entry: &Entry<'_>) -> Result<(), Unrecorded> {
        if entry.instance != Some(APP) {
            return Ok(());
        }
        let target = entry.target.map(ToString::to_string).unwrap_or_default();
        let text = format!(
            "{} {:?} {target} {} {:?} {}",
            entry.app.map_or("", |app| app.id.as_str()),
            entry.capability,
            entry.reason,
            entry.rule,
            entry.source
        );
        self.0.lock().expect("one thread").push(Record {
            verdict: entry.verdict,
            reason: entry.reason.to_owned(),
            text,
        });
        Ok(())
    }
}

struct Guest {
    engine: HostEngine,
    component: Component,
    imports: Vec<imports::Import>,
    asked: Vec<Import>,
}

/// Each compiled once.
static OURS: LazyLock<Guest> = LazyLock::new(|| compiled("probes/policy_matrix"));
static WASI: LazyLock<Guest> = LazyLock::new(|| compiled("probes/policy_matrix_wasi"));

fn compiled(name: &str) -> Guest {
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
    let asked = imports.iter().map(|import| Import {
        name: import.name.clone(),
        functions: import.functions.clone(),
    });
    Guest {
        asked: asked.collect(),
        imports,
        component,
        engine,
    }
}

/// What serves on the far node.
pub(crate) struct Peer {
    node: NodeId,
    listeners: Vec<TcpListener>,
    streams: Vec<TcpSocket>,
    dns: UdpSocket,
    echoes: Vec<(&'static str, UdpSocket, Option<SocketAddr>)>,
    dialled: Vec<TcpSocket>,
    stranger: UdpSocket,
    pub(crate) web: Web,
    names: BTreeMap<String, Vec<IpAddr>>,
}

const PEER_MANIFEST: &str = r#"
[app]
id = "test.peer"
class = "system"
[capabilities."network.tcp.listen"]
allow = ["any:443", "any:444", "any:80"]
[capabilities."network.udp.bind"]
allow = ["any:53", "any:443", "any:9001"]
[capabilities."network.tcp.connect"]
allow = ["10.0.0.0/8:*"]
[capabilities."network.udp.send"]
allow = ["10.0.0.0/8:*"]
"#;

const PEER_POLICY: &str = r#"
[[rule]]
id = "listen"
capability = "network.tcp.listen"
verdict = "allow"
to = ["any:443", "any:444", "any:80"]
[[rule]]
id = "bind"
capability = "network.udp.bind"
verdict = "allow"
to = ["any:53", "any:443", "any:9001"]
"#;

/// A node of the wire.
pub(crate) fn add(mesh: &mut Mesh, addresses: &[&str], topology: Topology, now: Instant) -> NodeId {
    let own: Vec<_> = addresses
        .iter()
        .map(|text| {
            let (address, prefix) = text.split_once('/').expect("a prefix");
            let address = address.parse().expect("an address");
            InterfaceAddress::new(address, prefix.parse().expect("a number")).expect("valid")
        })
        .collect();
    let mut stack = Config::new(1_500, own.clone());
    stack.checksums = Checksums::None;
    stack.resolver.servers = vec![SocketAddr::new(DNS.parse().expect("an address"), 53)];
    let config = NodeConfig {
        stack,
        topology: Topology { own, ..topology },
        seed: Seed::from_number(u64::try_from(addresses.len()).unwrap_or(0)),
    };
    mesh.add_node(config, now).expect("a node")
}

fn admit_peer(node: &mut Node, now: Instant) {
    let policy = Policy::parse(PEER_POLICY, "peer.toml").expect("a policy");
    let gate = node.gate_mut();
    gate.set_policies(now, WallTime(0), Policy::none(), policy);
    let manifest = Manifest::parse(PEER_MANIFEST, "peer.toml").expect("a manifest");
    let consent = Consent {
        allow_manifest: true,
        ..Consent::default()
    };
    let app = AppIdentity {
        id: "test.peer".to_owned(),
        digest: digest(1),
        publisher: None,
    };
    let admitted = gate.admit(now, PEER, app, manifest, consent, &[]);
    admitted.unwrap_or_else(|report| panic!("{}", report.text()));
    node.start(PEER, Quota::default());
}

impl Peer {
    pub(crate) fn new(
        mesh: &mut Mesh,
        node: NodeId,
        now: Instant,
        names: BTreeMap<String, Vec<IpAddr>>,
    ) -> Self {
        admit_peer(mesh.node_mut(node), now);
        let peer = mesh.node_mut(node);
        let at = |address: &str, port| SocketAddr::new(address.parse().expect("an address"), port);
        let any = |port| at("0.0.0.0", port);
        let listeners = [443, 444, WEB].map(|port| {
            let permit = peer.permit(now, PEER, &Act::Listen { local: any(port) });
            let listener = peer.tcp_listen(now, permit.expect("allowed"), None);
            listener.expect("it listens")
        });
        let mut bind = |local| {
            let permit = peer.permit(now, PEER, &Act::UdpBind { local });
            peer.udp_bind(now, permit.expect("allowed")).expect("bound")
        };
        let (dns, stranger) = (bind(at(DNS, 53)), bind(any(9_001)));
        let echoes = [FAR, OTHER].map(|address| (address, bind(at(address, 443)), None));
        Self {
            node,
            listeners: listeners.to_vec(),
            web: Web::default(),
            streams: Vec::new(),
            dialled: Vec::new(),
            dns,
            echoes: echoes.to_vec(),
            stranger,
            names,
        }
    }

    /// Does what there is to do. Whether there was anything.
    pub(crate) fn turn(&mut self, mesh: &mut Mesh, now: Instant) -> bool {
        let mut busy = false;
        let node = mesh.node_mut(self.node);
        for listener in &self.listeners {
            while let Poll::Ready(Ok(stream)) = node.poll_accept(now, *listener, Waker::noop()) {
                busy = true;
                let local = node.tcp_addresses(stream).map(|(local, _)| local.port());
                if local == Some(WEB) {
                    self.web.accept(stream);
                    continue;
                }
                let _ = node.poll_write(now, stream, b"hello", Waker::noop());
                self.streams.push(stream);
            }
        }
        busy |= self.web.turn(node, now);
        while let Poll::Ready(Ok((from, question))) = receive(node, now, self.dns) {
            busy = true;
            if let Some(answer) = answer(&question, &self.names) {
                let _ = node.udp_send(now, self.dns, &answer, Some(from));
            }
        }
        for (_, socket, heard) in &mut self.echoes {
            while let Poll::Ready(Ok((from, _))) = receive(node, now, *socket) {
                busy = true;
                *heard = Some(from);
            }
        }
        busy
    }
}

fn receive(
    node: &mut Node,
    now: Instant,
    socket: UdpSocket,
) -> Poll<Result<(SocketAddr, Vec<u8>), nexus_node::NetError>> {
    node.poll_udp_receive(now, socket, Waker::noop(), |from, data| {
        (from, data.to_vec())
    })
}

/// The answer to a question about a name: what is known, for a minute.
fn answer(question: &[u8], names: &BTreeMap<String, Vec<IpAddr>>) -> Option<Vec<u8>> {
    let (mut at, mut name) = (12, String::new());
    loop {
        let length = usize::from(*question.get(at)?);
        if length == 0 {
            break;
        }
        let label = question.get(at + 1..at + 1 + length)?;
        name.push_str(&String::from_utf8_lossy(label).to_lowercase());
        name.push('.');
        at += 1 + length;
    }
    let end = at + 5;
    let kind = *question.get(at + 2)?;
    let known = names.get(name.trim_end_matches('.'))?;
    let data: Vec<Vec<u8>> = known
        .iter()
        .filter_map(|address| match address {
            IpAddr::V4(v4) if kind == 1 => Some(v4.octets().to_vec()),
            IpAddr::V6(v6) if kind == 28 => Some(v6.octets().to_vec()),
            _ => None,
        })
        .collect();
    let mut out = question.get(..2)?.to_vec();
    out.extend([
        0x81,
        0x80,
        0,
        1,
        0,
        u8::try_from(data.len()).ok()?,
        0,
        0,
        0,
        0,
    ]);
    out.extend(question.get(12..end)?);
    for data in data {
        out.extend([0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0]);
        out.push(u8::try_from(data.len()).ok()?);
        out.extend(data);
    }
    Some(out)
}

/// Where a packet goes.
fn frame(packet: &[u8], at: u64) -> Option<Frame> {
    let (to, protocol, header): (IpAddr, u8, usize) = match packet.first()? >> 4 {
        4 => {
            let to: [u8; 4] = packet.get(16..20)?.try_into().ok()?;
            let header = usize::from(packet[0] & 15) * 4;
            (Ipv4Addr::from(to).into(), packet[9], header)
        }
        _ => {
            let to: [u8; 16] = packet.get(24..40)?.try_into().ok()?;
            (Ipv6Addr::from(to).into(), packet[6], 40)
        }
    };
    let port = packet.get(header + 2..header + 4)?;
    Some(Frame {
        to,
        port: u16::from_be_bytes([port[0], port[1]]),
        at,
        resets: protocol == 6 && packet.get(header + 13).is_some_and(|flags| flags & 4 != 0),
    })
}

pub(crate) fn set_policy(shard: &Shard, node: NodeId, text: &str) {
    let policy = Policy::parse(text, "policy.toml").unwrap_or_else(|e| panic!("{e:?}\n{text}"));
    shard.enter(|mesh, now| {
        let gate = mesh.node_mut(node).gate_mut();
        gate.set_policies(now, WallTime(0), Policy::none(), policy);
    });
}

/// Runs it to its end.
pub(crate) fn run(setup: &Setup) -> Seen {
    let guest = match setup.program {
        Program::Ours => &*OURS,
        Program::Wasi => &*WASI,
    };
    let start = Instant::from_secs(1);
    let time = Arc::new(AtomicU64::new(start.as_nanos()));
    let mut mesh = Mesh::new();
    let segment = mesh.add_segment();
    let dns: IpAddr = DNS.parse().expect("an address");
    let topology = Topology {
        host: vec![MACHINE.parse().expect("an address")],
        infrastructure: vec![dns],
        ..Topology::default()
    };
    let ours = add(&mut mesh, &["10.0.0.1/24", "fd00:7::1/64"], topology, start);
    let theirs = add(&mut mesh, &THEIRS, Topology::default(), start);
    for node in [ours, theirs] {
        mesh.attach_segment(node, segment).expect("attached");
    }
    let names = setup.names.iter();
    let names = names.map(|(name, to)| ((*name).to_owned(), to.clone()));
    let mut peer = Peer::new(&mut mesh, theirs, start, names.collect());

    let frames = Arc::new(Mutex::new(Vec::new()));
    let seen = frames.clone();
    mesh.observe_frames(Box::new(move |node, direction, now, packet| {
        if node == ours && direction == Direction::Out {
            let at = (now - start).as_millis() as u64;
            seen.lock().expect("one thread").extend(frame(packet, at));
        }
    }));
    let records = Arc::new(Mutex::new(Vec::new()));
    let gate = mesh.node_mut(ours).gate_mut();
    gate.set_auditor(Box::new(Keeps(records.clone())));
    let shard = Shard::new(mesh, Box::new(Virtual(time.clone())));
    set_policy(&shard, ours, &setup.policy);

    let manifest = Manifest::parse(&setup.manifest, "nexus.toml")
        .unwrap_or_else(|e| panic!("{e:?}\n{}", setup.manifest));
    let identity = AppIdentity {
        id: "org.nexus.matrix".to_owned(),
        digest: digest(DIGEST),
        publisher: None,
    };
    let admission = shard.enter(|mesh, now| {
        let node = mesh.node_mut(ours);
        let consent = Consent::default();
        let admitted =
            node.gate_mut()
                .admit(now, APP, identity.clone(), manifest, consent, &guest.asked);
        let admission = admitted.unwrap_or_else(|report| panic!("{}", report.text()));
        let quota = Quota {
            sockets: setup.sockets.unwrap_or(64),
            ..Quota::default()
        };
        node.start(APP, quota);
        admission
    });
    let mut linker = Linker::new(guest.engine.engine());
    linker::link_base(&mut linker, &guest.imports).expect("links");
    nexus_caps::link_types(&mut linker).expect("links");
    let mut linked = BTreeSet::new();
    for import in &admission.imports {
        if matches!(import.provided, Provided::Granted | Provided::Stub) {
            let name = &import.import;
            if linker::link_sockets(&mut linker, name).expect("links")
                || linker::link_http(&mut linker, name).expect("links")
            {
                continue;
            }
            for capability in &import.capabilities {
                if linked.insert(*capability) {
                    nexus_caps::link(&mut linker, *capability).expect("links");
                }
            }
        }
    }
    let prepared = Prepared::new(&linker, &guest.component).expect("it fits");
    let (stdout, stderr) = (Kept::default(), Kept::default());
    let mut args = vec!["matrix".to_owned(), SECRET.to_owned()];
    args.extend(setup.acts.iter().cloned());
    let state = AppStart {
        args,
        env: vec![("SECRET".to_owned(), SECRET.to_owned())],
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

    let mut happens: Vec<_> = setup.happens.clone();
    happens.sort_by_key(|(at, _)| *at);
    happens.reverse();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let denials = Rc::new(RefCell::new(Vec::new()));
    let collected = Denials {
        identity: &identity,
        denials: &denials,
    };
    let ended = {
        let mut task = pin!(prepared.run(state, &[], std::future::pending(), || {}));
        loop {
            let before = woken.0.load(Ordering::Relaxed);
            shard.now();
            if let Poll::Ready(ended) = task.as_mut().poll(&mut Context::from_waker(&waker)) {
                break Some(ended);
            }
            let busy = shard.enter(|mesh, now| peer.turn(mesh, now));
            collected.collect(&shard);
            if busy || woken.0.load(Ordering::Relaxed) != before {
                continue;
            }
            // Nothing goes on without time.
            let now = shard.now();
            let next = happens
                .last()
                .map(|(at, _)| start + Duration::from_millis(*at));
            let due = [shard.poll_timeout(), next].into_iter().flatten().min();
            let Some(due) = due.map(|due| due.max(now)).filter(|due| *due < start + END) else {
                break None;
            };
            time.store(due.as_nanos(), Ordering::Relaxed);
            if next.is_some_and(|next| next <= due) {
                let (_, what) = happens.pop().expect("it is there");
                happen(&shard, ours, &mut peer, what);
            }
            shard.handle_timeout();
        }
    };
    collected.collect(&shard);
    let text = stdout.text();
    let said: Vec<_> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.splitn(5, ' ');
            words.next()?.parse::<usize>().ok()?;
            let (verb, code) = (words.next()?, words.next()?);
            let mut reason = words.next().unwrap_or_default().to_owned();
            if code == "ok" {
                reason = [reason.as_str(), words.next().unwrap_or_default()].join(" ");
            }
            Some(Said {
                verb: verb.to_owned(),
                code: code.to_owned(),
                reason: reason.trim().to_owned(),
            })
        })
        .collect();
    let alive = text.lines().any(|line| line == "alive")
        && ended.is_some_and(|ended| ended.outcome == Outcome::Exit(0));
    let peer_refused = shard.enter(|mesh, now| {
        let node = mesh.node_mut(theirs);
        let dialled = peer.dialled.iter();
        let refused = dialled.filter(|stream| {
            matches!(
                node.poll_connected(now, **stream, Waker::noop()),
                Poll::Ready(Err(_))
            )
        });
        refused.count()
    });
    let records = records.lock().expect("one thread").clone();
    let frames = frames.lock().expect("one thread").clone();
    let denials = denials.borrow().clone();
    let mut sinks = denials.join("\n");
    sinks.extend(records.iter().map(|record| format!("\n{}", record.text)));
    sinks.push_str(&text);
    sinks.push_str(&stderr.text());
    Seen {
        said,
        alive,
        records,
        denials,
        frames,
        sinks,
        peer_refused,
    }
}

/// Takes what the node tells: what a terminal and a report would show of it.
struct Denials<'a> {
    identity: &'a AppIdentity,
    denials: &'a RefCell<Vec<String>>,
}

impl Denials<'_> {
    fn collect(&self, shard: &Shard) {
        while let Some((_, event)) = shard.poll_event() {
            if let Event::Denied { instance, denial } = event
                && instance == APP
            {
                let json = serde_json::to_string(&denial).expect("JSON");
                let text = format!(
                    "{}\n{json}\n{}",
                    render(&denial, self.identity),
                    denial.why()
                );
                self.denials.borrow_mut().push(text);
            }
        }
    }
}

fn happen(shard: &Shard, ours: NodeId, peer: &mut Peer, what: Happens) {
    let own: IpAddr = OWN.parse().expect("an address");
    match what {
        Happens::Policy(text) => set_policy(shard, ours, &text),
        Happens::Name(name, to) => _ = peer.names.insert(name.to_owned(), to),
        Happens::Connect(port) => shard.enter(|mesh, now| {
            let node = mesh.node_mut(peer.node);
            let last = peer.streams.last();
            let last = last.and_then(|stream| node.tcp_addresses(*stream));
            let last = last.map(|(_, remote)| remote);
            let remote = match (port, last.or_else(|| peer.web.last_from(node))) {
                (0, Some(remote)) => remote,
                _ => SocketAddr::new(own, port),
            };
            let permit = node.permit(now, PEER, &Act::Connect { remote, name: None });
            let stream = node.tcp_connect(now, permit.expect("allowed"));
            peer.dialled.push(stream.expect("it begins"));
        }),
        Happens::Datagram(port) => {
            let heard = peer.echoes.iter().find_map(|(_, _, heard)| *heard);
            let to = match (port, heard) {
                (0, heard) => heard.expect("the guest has sent one"),
                (port, _) => SocketAddr::new(own, port),
            };
            send(shard, peer, peer.stranger, to);
        }
        Happens::Serve => shard.enter(|mesh, now| {
            peer.web.go_on(mesh.node_mut(peer.node), now);
        }),
        Happens::Answer(from) => {
            let mut echoes = peer.echoes.iter();
            let (_, socket, heard) = echoes.find(|(at, ..)| *at == from).expect("it is there");
            send(shard, peer, *socket, heard.expect("the guest has sent one"));
        }
    }
}

fn send(shard: &Shard, peer: &Peer, socket: UdpSocket, to: SocketAddr) {
    shard.enter(|mesh, now| {
        let node = mesh.node_mut(peer.node);
        let sent = node.udp_send(now, socket, b"answer", Some(to));
        sent.expect("allowed");
    });
}
