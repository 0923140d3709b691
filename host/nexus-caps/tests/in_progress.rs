//! Sockets of `wasi:sockets` 0.2 between `start-` and `finish-`: called as wasmtime calls for a guest. What the fuzz
//! target `wasi_sockets` found; it goes through all states.

use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use nexus_caps::{Clock, NetCtx, NetCtxView, Shard};
use nexus_node::{Mesh, NodeConfig, Quota};
use nexus_policy::{AppIdentity, Consent, Manifest, Policy, Topology, WallTime};
use nexus_stack::Config;
use nexus_types::{AppDigest, InstanceId, Instant, InterfaceAddress, Seed, SocketAddr};
use wasmtime::component::{Resource, ResourceTable};
use wasmtime_wasi::p2::SocketResult;
use wasmtime_wasi::p2::bindings::sockets::instance_network::Host as _;
use wasmtime_wasi::p2::bindings::sockets::network::{ErrorCode, IpAddressFamily, Network};
use wasmtime_wasi::p2::bindings::sockets::tcp::{HostTcpSocket, TcpSocket};
use wasmtime_wasi::p2::bindings::sockets::tcp_create_socket::Host as _;
use wasmtime_wasi::p2::bindings::sockets::udp::{HostUdpSocket, UdpSocket};
use wasmtime_wasi::p2::bindings::sockets::udp_create_socket::Host as _;
use wasmtime_wasi_io::bindings::wasi::io::poll::HostPollable as _;
use wasmtime_wasi_io::poll::DynPollable;

struct Stopped;

impl Clock for Stopped {
    fn now(&self) -> Instant {
        Instant::ZERO
    }
}

struct App {
    ctx: NetCtx,
    table: ResourceTable,
}

impl App {
    /// One that needs no grant for what it does here: a port of the host's choosing is had without.
    fn new() -> Self {
        let own = vec![InterfaceAddress::new([10, 0, 0, 1].into(), 24).unwrap()];
        let mut mesh = Mesh::new();
        let config = NodeConfig {
            stack: Config::new(1_500, own.clone()),
            topology: Topology {
                own,
                ..Topology::default()
            },
            seed: Seed::from_number(1),
        };
        let node = mesh.add_node(config, Instant::ZERO).unwrap();
        let manifest = "[app]\nid = \"test\"\nclass = \"system\"\n[capabilities.\"network.tcp.listen\"]\nallow = [\"any:*\"]\n[capabilities.\"network.udp.send\"]\nallow = [\"lan:*\"]\n";
        let policy = "[[rule]]\nid = \"listen\"\ncapability = \"network.tcp.listen\"\nverdict = \"allow\"\nto = [\"any:*\"]\n";
        let app = AppIdentity {
            id: "test".to_owned(),
            digest: AppDigest([1; 32]),
            publisher: None,
        };
        let consent = Consent {
            allow_manifest: true,
            ..Consent::default()
        };
        let policy = Policy::parse(policy, "p").unwrap();
        let manifest = Manifest::parse(manifest, "m").unwrap();
        let instance = InstanceId(1);
        let gate = mesh.node_mut(node).gate_mut();
        gate.set_policies(Instant::ZERO, WallTime(0), Policy::none(), policy);
        let admitted = gate.admit(Instant::ZERO, instance, app, manifest, consent, &[]);
        admitted.unwrap_or_else(|report| panic!("{}", report.text()));
        mesh.node_mut(node).start(instance, Quota::default());
        Self {
            ctx: NetCtx {
                shard: Shard::new(mesh, Box::new(Stopped)),
                node,
                instance,
            },
            table: ResourceTable::new(),
        }
    }

    fn host(&mut self) -> NetCtxView<'_> {
        NetCtxView {
            ctx: &self.ctx,
            table: &mut self.table,
        }
    }

    fn network(&mut self) -> Resource<Network> {
        self.host().instance_network().unwrap()
    }

    fn is_ready(&mut self, pollable: Resource<DynPollable>) -> bool {
        at_once(self.table.ready(pollable)).unwrap()
    }
}

fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a call waits that may not"),
    }
}

fn code<T>(result: SocketResult<T>) -> Option<ErrorCode> {
    result.err().map(|error| error.downcast().unwrap())
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 0))
}

fn bind(app: &mut App, socket: Resource<TcpSocket>, network: Resource<Network>) {
    let mut host = app.host();
    let bound = HostTcpSocket::start_bind(&mut host, socket, network, any_port().into());
    at_once(bound).unwrap();
}

/// Goal: a program that waits for what it has started goes on. Method: a pollable of a TCP socket after each `start-`
/// whose `finish-` succeeds at once, nobody connecting.
#[test]
fn what_is_started_is_ready_to_be_finished() {
    let mut app = App::new();
    let network = app.network();
    let socket = app.host().create_tcp_socket(IpAddressFamily::Ipv4).unwrap();
    let this = || Resource::<TcpSocket>::new_borrow(socket.rep());
    bind(&mut app, this(), network);
    let pollable = HostTcpSocket::subscribe(&mut app.host(), this()).unwrap();
    assert!(app.is_ready(pollable), "finish-bind would not block");
    HostTcpSocket::finish_bind(&mut app.host(), this()).unwrap();
    at_once(app.host().start_listen(this())).unwrap();
    let pollable = HostTcpSocket::subscribe(&mut app.host(), this()).unwrap();
    assert!(app.is_ready(pollable), "finish-listen would not block");
    app.host().finish_listen(this()).unwrap();
    let pollable = HostTcpSocket::subscribe(&mut app.host(), this()).unwrap();
    assert!(!app.is_ready(pollable), "accept would block");
}

/// Goal: "bound" is "in the `bound` state or higher", which `bind-in-progress` is not (tcp.wit). Method: its address
/// asked for before and after `finish-bind`.
#[test]
fn reject_the_address_of_a_tcp_socket_while_it_is_being_bound() {
    let mut app = App::new();
    let network = app.network();
    let socket = app.host().create_tcp_socket(IpAddressFamily::Ipv4).unwrap();
    let this = || Resource::<TcpSocket>::new_borrow(socket.rep());
    bind(&mut app, this(), network);
    let local = HostTcpSocket::local_address(&mut app.host(), this());
    assert_eq!(code(local), Some(ErrorCode::InvalidState));
    HostTcpSocket::finish_bind(&mut app.host(), this()).unwrap();
    assert!(HostTcpSocket::local_address(&mut app.host(), this()).is_ok());
}

/// Goal: the same of UDP, and "the socket must already be explicitly bound" for `stream` (udp.wit).
/// Method: both asked for before and after `finish-bind`.
#[test]
fn reject_the_use_of_a_udp_socket_while_it_is_being_bound() {
    let mut app = App::new();
    let network = app.network();
    let socket = at_once(app.host().create_udp_socket(IpAddressFamily::Ipv4)).unwrap();
    let this = || Resource::<UdpSocket>::new_borrow(socket.rep());
    let mut host = app.host();
    let bound = HostUdpSocket::start_bind(&mut host, this(), network, any_port().into());
    at_once(bound).unwrap();
    let local = HostUdpSocket::local_address(&mut app.host(), this());
    assert_eq!(code(local), Some(ErrorCode::InvalidState));
    let streams = at_once(app.host().stream(this(), None));
    assert_eq!(code(streams), Some(ErrorCode::InvalidState));
    HostUdpSocket::finish_bind(&mut app.host(), this()).unwrap();
    assert!(HostUdpSocket::local_address(&mut app.host(), this()).is_ok());
    assert!(at_once(app.host().stream(this(), None)).is_ok());
}
