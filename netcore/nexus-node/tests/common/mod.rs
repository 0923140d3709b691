//! Two nodes on a segment, an app on each, and virtual time.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses what it needs of the harness"
)]

use std::task::{Poll, Waker};

use nexus_node::{Mesh, NetError, NodeConfig, Quota, TcpListener, TcpSocket, UdpSocket};
use nexus_policy::{Act, AppIdentity, Consent, Manifest, Policy, Topology, WallTime};
use nexus_stack::{Checksums, Config, Congestion};
use nexus_types::{
    AppDigest, Duration, InstanceId, Instant, InterfaceAddress, NodeId, Seed, SocketAddr,
};

pub const CLIENT: InstanceId = InstanceId(1);
pub const SERVER: InstanceId = InstanceId(2);

pub const CLIENT_MANIFEST: &str = r#"
[app]
id = "test.client"
[capabilities."network.tcp.connect"]
allow = ["10.0.0.2:80", "127.0.0.1:80"]
[capabilities."network.udp.send"]
allow = ["10.0.0.2:53"]
"#;

pub const SERVER_MANIFEST: &str = r#"
[app]
id = "test.server"
class = "system"
[capabilities."network.tcp.listen"]
allow = ["any:80"]
[capabilities."network.udp.bind"]
allow = ["any:53", "any:54"]
"#;

pub const SERVER_POLICY: &str = r#"
[[rule]]
id = "listen"
capability = "network.tcp.listen"
verdict = "allow"
to = ["any:80"]
[[rule]]
id = "bind"
capability = "network.udp.bind"
verdict = "allow"
to = ["any:53", "any:54"]
"#;

/// A policy that forbids this.
pub fn forbid(capability: &str, to: &str) -> String {
    format!(
        "[[rule]]\nid = \"no\"\ncapability = \"{capability}\"\nverdict = \"forbid\"\nto = [\"{to}\"]\n"
    )
}

pub struct World {
    pub mesh: Mesh,
    pub now: Instant,
    pub a: NodeId,
    pub b: NodeId,
}

impl World {
    pub fn new() -> Self {
        Self::on([10, 0, 0])
    }

    /// With these first three bytes of everybody's address.
    pub fn on(network: [u8; 3]) -> Self {
        Self::with(network, |_| {})
    }

    /// With stacks that are set so.
    pub fn with([first, second, third]: [u8; 3], change: impl Fn(&mut Config)) -> Self {
        let mut mesh = Mesh::new();
        let segment = mesh.add_segment();
        let now = Instant::from_secs(1);
        let mut add = |last: u8| {
            let own = vec![InterfaceAddress::new([first, second, third, last].into(), 24).unwrap()];
            let mut stack = Config::new(65_535, own.clone());
            stack.checksums = Checksums::None;
            stack.tcp.congestion = Congestion::None;
            stack.tcp.ack_delay = None;
            change(&mut stack);
            let topology = Topology {
                own,
                ..Topology::default()
            };
            let config = NodeConfig {
                stack,
                topology,
                seed: Seed::from_number(u64::from(last)),
            };
            let id = mesh.add_node(config, now).unwrap();
            mesh.attach_segment(id, segment).unwrap();
            id
        };
        let (a, b) = (add(1), add(2));
        let mut world = Self { mesh, now, a, b };
        world.set_policy(a, SERVER_POLICY);
        world.set_policy(b, SERVER_POLICY);
        world.admit(a, CLIENT, CLIENT_MANIFEST, Quota::default());
        world.admit(b, SERVER, SERVER_MANIFEST, Quota::default());
        world
    }

    pub fn set_policy(&mut self, node: NodeId, text: &str) {
        let policy = Policy::parse(text, "policy.toml").unwrap();
        let gate = self.mesh.node_mut(node).gate_mut();
        gate.set_policies(self.now, WallTime(0), Policy::none(), policy);
    }

    pub fn admit(&mut self, node: NodeId, instance: InstanceId, manifest: &str, quota: Quota) {
        let manifest = Manifest::parse(manifest, "nexus.toml").unwrap();
        let digest = AppDigest([instance.0 as u8; 32]);
        let id = manifest.app().map(|app| app.id.clone()).unwrap_or_default();
        let app = AppIdentity {
            id,
            digest,
            publisher: None,
        };
        let consent = Consent {
            allow_manifest: true,
            answers: Vec::new(),
            allow: Vec::new(),
        };
        let node = self.mesh.node_mut(node);
        let admitted = node
            .gate_mut()
            .admit(self.now, instance, app, manifest, consent, &[]);
        admitted.unwrap_or_else(|report| panic!("{}", report.text()));
        node.start(instance, quota);
    }

    /// Lets everything that is in motion come to rest, without letting time pass.
    pub fn settle(&mut self) {
        for _ in 0..64 {
            self.mesh.step(self.now);
        }
    }

    /// Lets time pass, timer by timer.
    pub fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(due) = self.mesh.poll_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.mesh.handle_timeout(self.now);
            self.mesh.step(self.now);
        }
        self.now = end;
    }

    /// A socket of the client that says whom it sends to when it does.
    pub fn open_udp(&mut self) -> Result<UdpSocket, NetError> {
        let now = self.now;
        let node = self.mesh.node_mut(self.a);
        let permit = node.permit(now, CLIENT, &Act::UdpOpen)?;
        node.udp_open(now, permit, true)
    }

    pub fn listen(&mut self, local: &str) -> Result<TcpListener, NetError> {
        let now = self.now;
        let node = self.mesh.node_mut(self.b);
        let permit = node.permit(
            now,
            SERVER,
            &Act::Listen {
                local: local.parse().unwrap(),
            },
        )?;
        node.tcp_listen(now, permit, None)
    }

    pub fn connect(&mut self, remote: &str) -> Result<TcpSocket, NetError> {
        let now = self.now;
        let remote: SocketAddr = remote.parse().unwrap();
        let node = self.mesh.node_mut(self.a);
        let permit = node.permit(now, CLIENT, &Act::Connect { remote, name: None })?;
        let socket = node.tcp_connect(now, permit)?;
        self.settle();
        Ok(socket)
    }

    pub fn connected(&mut self, socket: TcpSocket) -> Poll<Result<(), NetError>> {
        let now = self.now;
        self.mesh
            .node_mut(self.a)
            .poll_connected(now, socket, Waker::noop())
    }

    pub fn accept(&mut self, listener: TcpListener) -> Poll<Result<TcpSocket, NetError>> {
        let now = self.now;
        self.mesh
            .node_mut(self.b)
            .poll_accept(now, listener, Waker::noop())
    }

    /// A connection from the client to the server.
    pub fn pair(&mut self) -> (TcpSocket, TcpSocket) {
        let listener = self.listen("0.0.0.0:80").unwrap();
        let client = self.connect("10.0.0.2:80").unwrap();
        assert_eq!(self.connected(client), Poll::Ready(Ok(())));
        let Poll::Ready(Ok(server)) = self.accept(listener) else {
            panic!("nothing to accept")
        };
        (client, server)
    }

    pub fn write(
        &mut self,
        node: NodeId,
        socket: TcpSocket,
        data: &[u8],
    ) -> Poll<Result<usize, NetError>> {
        let now = self.now;
        let written = self
            .mesh
            .node_mut(node)
            .poll_write(now, socket, data, Waker::noop());
        self.settle();
        written
    }

    pub fn read(&mut self, node: NodeId, socket: TcpSocket) -> Poll<Result<Vec<u8>, NetError>> {
        let now = self.now;
        let read = self
            .mesh
            .node_mut(node)
            .poll_read_vec(now, socket, 1 << 20, Waker::noop());
        self.settle();
        read
    }

    pub fn bind(&mut self, local: &str) -> UdpSocket {
        let now = self.now;
        let node = self.mesh.node_mut(self.b);
        let permit = node
            .permit(
                now,
                SERVER,
                &Act::UdpBind {
                    local: local.parse().unwrap(),
                },
            )
            .unwrap();
        node.udp_bind(now, permit).unwrap()
    }

    pub fn send(
        &mut self,
        node: NodeId,
        socket: UdpSocket,
        data: &[u8],
        to: SocketAddr,
    ) -> Result<(), NetError> {
        let now = self.now;
        let sent = self
            .mesh
            .node_mut(node)
            .udp_send(now, socket, data, Some(to));
        self.settle();
        sent
    }

    pub fn receive(
        &mut self,
        node: NodeId,
        socket: UdpSocket,
    ) -> Poll<Result<(SocketAddr, Vec<u8>), NetError>> {
        let now = self.now;
        let node = self.mesh.node_mut(node);
        node.poll_udp_receive(now, socket, Waker::noop(), |remote, data| {
            (remote, data.to_vec())
        })
    }

    pub fn frames_out(&self, node: NodeId) -> u64 {
        self.mesh.node(node).stack().stats().frames_out
    }
}
