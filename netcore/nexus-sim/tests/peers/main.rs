//! Scripted peers in a world: a station of peers, and one whose app speaks with them.

mod caller;
mod dns;
mod http;
mod tcp;
mod udp;

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Poll, ready};

use nexus_node::{NetError, Quota, TcpSocket};
use nexus_policy::Act;
use nexus_sim::checker::{Isolation, Liveness, TcpRules};
use nexus_sim::peers::{Peer, Report, Role};
use nexus_sim::{
    Action, App, Boot, Carries, Conditions, Grants, Machine, MachineId, MachineSpec, Ppm, Station,
    Turn, World, limits,
};
use nexus_stack::{Config, Medium};
use nexus_types::{
    Duration, Instant, InterfaceAddress, IpAddr, Ipv4Addr, Ipv6Addr, Seed, SocketAddr,
};

const PEERS: MachineId = MachineId(0);
const CLIENT: MachineId = MachineId(1);

/// The latency of the good link: what a text says of time goes by it.
const LATENCY: Duration = Duration::from_millis(5);

/// Loses a frame in twenty, and lets others pass one in ten.
fn bad_link() -> Conditions {
    Conditions {
        loss: Ppm::per_mille(50),
        duplication: Ppm::per_mille(20),
        reorder: Ppm::per_mille(100),
        reorder_by: Duration::from_millis(20),
        jitter: Duration::from_millis(3),
        ..good_link()
    }
}

fn good_link() -> Conditions {
    Conditions {
        latency: LATENCY,
        ..Conditions::PLAIN
    }
}

fn peer_address() -> IpAddr {
    Wire::PLAIN.peer_address()
}

/// Where the peer is seen from outside.
fn remote(port: u16) -> SocketAddr {
    Wire::PLAIN.remote(port)
}

/// Where the peer is by itself.
fn local(port: u16) -> SocketAddr {
    Wire::PLAIN.local(port)
}

/// What a world's segment is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Wire {
    ipv6: bool,
    /// Machines have to find each other on it.
    ethernet: bool,
}

impl Wire {
    /// Bare packets of IPv4.
    const PLAIN: Self = Self {
        ipv6: false,
        ethernet: false,
    };

    /// All the others.
    const OTHERS: [Self; 3] = [
        Self {
            ipv6: true,
            ethernet: false,
        },
        Self {
            ipv6: false,
            ethernet: true,
        },
        Self {
            ipv6: true,
            ethernet: true,
        },
    ];

    /// Of the machine with this number.
    fn address(self, number: u8) -> InterfaceAddress {
        if self.ipv6 {
            let ip = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, number.into());
            InterfaceAddress::new(ip.into(), 64).unwrap()
        } else {
            InterfaceAddress::new([10, 0, 0, number].into(), 24).unwrap()
        }
    }

    fn peer_address(self) -> IpAddr {
        self.address(1).address()
    }

    fn remote(self, port: u16) -> SocketAddr {
        SocketAddr::new(self.peer_address(), port)
    }

    fn local(self, port: u16) -> SocketAddr {
        let any = if self.ipv6 {
            Ipv6Addr::UNSPECIFIED.into()
        } else {
            Ipv4Addr::UNSPECIFIED.into()
        };
        SocketAddr::new(any, port)
    }

    fn mac(self, number: u8) -> Option<[u8; 6]> {
        self.ethernet.then_some([2, 0, 0, 0, 0, number])
    }

    fn config(self, number: u8) -> Config {
        let mut config = Config::new(1_500, Vec::new());
        if let Some(mac) = self.mac(number) {
            config.medium = Medium::Ethernet(mac);
        }
        config
    }
}

/// What runs at the client, made anew at each boot.
type Apps = Box<dyn Fn() -> Vec<Box<dyn App>>>;

struct Bench {
    world: World<Station>,
    report: Report,
    /// What the peers have in the trace.
    notes: Rc<RefCell<Vec<String>>>,
}

impl Bench {
    fn new(seed: u64, conditions: Conditions, port: u16, role: Role, apps: Apps) -> Self {
        let link = (Wire::PLAIN, conditions);
        Self::with_peers(seed, link, vec![(port, role)], |_| {}, apps)
    }

    /// On a good link of this wire.
    fn on(wire: Wire, port: u16, role: Role, apps: Apps) -> Self {
        let link = (wire, good_link());
        Self::with_peers(1, link, vec![(port, role)], |_| {}, apps)
    }

    /// `configure`: the client's stack.
    fn with_peers(
        seed: u64,
        (wire, conditions): (Wire, Conditions),
        roles: Vec<(u16, Role)>,
        configure: impl Fn(&mut Config) + 'static,
        apps: Apps,
    ) -> Self {
        let report = Report::new();
        let peer = |(port, role)| Peer::new(wire.local(port), role, report.clone()).unwrap();
        let peers: Vec<_> = roles.into_iter().map(peer).collect();
        let mut world = World::new(&Seed::from_number(seed));
        let notes = Rc::<RefCell<Vec<String>>>::default();
        let kept = notes.clone();
        world.set_trace(Box::new(move |line| {
            kept.borrow_mut().push(line.to_owned());
        }));
        let carries = if wire.ethernet {
            Carries::Ethernet
        } else {
            Carries::Packets
        };
        let segment = world.add_segment(carries, conditions);
        let spec = |name: &str, number| MachineSpec {
            name: name.to_owned(),
            segment,
            addresses: vec![wire.address(number)],
            mac: wire.mac(number),
            clock: Instant::ZERO,
        };
        let granted = Peer::all_grants(&peers);
        let at_peer = match wire.peer_address() {
            IpAddr::V4(ip) => format!("{ip}:*"),
            IpAddr::V6(ip) => format!("[{ip}]:*"),
        };
        let grants = Grants {
            connect: vec![at_peer.clone(), "*.peers.example:*".to_owned()],
            send: vec![at_peer],
            ..Grants::default()
        };
        let asked = grants.clone();
        let factory =
            move |boot: Boot<'_>| Station::of_peers(&boot, wire.config(1), &peers).unwrap();
        world
            .add_machine(spec("peers", 1), Box::new(factory))
            .unwrap();
        let factory = move |boot: Boot<'_>| {
            let mut config = wire.config(2);
            configure(&mut config);
            let mut station = Station::new(&boot, config, grants.policy()).unwrap();
            let manifest = grants.manifest("test.client");
            let instance = station.admit(boot.now, manifest, Quota::default()).unwrap();
            for app in apps() {
                station.spawn(instance, app);
            }
            station
        };
        world
            .add_machine(spec("client", 2), Box::new(factory))
            .unwrap();
        let mut isolation = Isolation::default();
        isolation.grant(PEERS, &granted, &[]).unwrap();
        isolation.grant(CLIENT, &asked, &[]).unwrap();
        world.add_checker(Box::new(isolation));
        world.add_checker(Box::new(TcpRules::default()));
        let patience = Duration::from_secs(60);
        world.add_checker(Box::new(Liveness::new(Instant::ZERO, patience)));
        for id in [PEERS, CLIENT] {
            world.at(Instant::ZERO, Action::Start(id)).unwrap();
        }
        Self {
            world,
            report,
            notes,
        }
    }

    /// So long, with a look at the machines now and then: the peers may never have anything to do.
    fn run(&mut self, time: Duration) {
        for _ in 0..20 {
            self.world.run_until(self.world.now() + time / 20);
            self.world.look();
            if let Some(peers) = self.world.machine(PEERS) {
                assert_eq!(peers.vitals().unfinished, 0);
            }
        }
        assert_eq!(self.world.violations().0, []);
    }

    fn failures(&self) -> Vec<String> {
        self.report.failures()
    }

    /// What every wire has to show: nothing failed, and neighbours were asked for where there are some. (A question of
    /// ARP, or a neighbour solicitation.)
    #[track_caller]
    fn assert_on(&self, wire: Wire) {
        assert_eq!(self.failures(), [""; 0], "{wire:?}");
        let asked = self.noted(if wire.ipv6 {
            "protocol 58 type 135"
        } else {
            " arp"
        });
        assert_eq!(asked > 0, wire.ethernet, "{wire:?}");
    }

    fn noted(&self, text: &str) -> usize {
        let notes = self.notes.borrow();
        notes.iter().filter(|line| line.contains(text)).count()
    }
}

/// What became of a client: what it has read, and how it ended.
#[derive(Clone, Default)]
struct Outcome {
    read: Rc<RefCell<Vec<u8>>>,
    ended: Rc<RefCell<Option<Result<(), String>>>>,
    at: Rc<Cell<Instant>>,
}

impl Outcome {
    fn read(&self) -> Vec<u8> {
        self.read.borrow().clone()
    }

    /// Whether it has read to the end.
    #[track_caller]
    fn assert_whole(&self, expected: &[u8]) {
        assert_eq!(*self.ended.borrow(), Some(Ok(())));
        assert!(*self.read.borrow() == expected, "{:?}", self.read.borrow());
    }

    #[track_caller]
    fn assert_failed(&self, with: &str) {
        let ended = self.ended.borrow();
        let Some(Err(error)) = &*ended else {
            panic!("{ended:?}");
        };
        assert!(error.contains(with), "{error}");
    }

    fn is_open(&self) -> bool {
        self.ended.borrow().is_none()
    }
}

/// Connects once, writes, and reads to the end.
struct Client {
    remote: SocketAddr,
    send: Vec<u8>,
    written: usize,
    /// Whether it finishes when all is written, or once it has read the end.
    finish: bool,
    /// Begins then.
    from: Instant,
    /// Resets the connection then, if it is still there.
    reset_at: Option<Instant>,
    socket: Option<TcpSocket>,
    outcome: Outcome,
}

impl Client {
    fn new(port: u16, send: &[u8], outcome: &Outcome) -> Self {
        Self::to(remote(port), send, outcome)
    }

    fn to(remote: SocketAddr, send: &[u8], outcome: &Outcome) -> Self {
        Self {
            remote,
            send: send.to_vec(),
            written: 0,
            finish: true,
            from: Instant::ZERO,
            reset_at: None,
            socket: None,
            outcome: outcome.clone(),
        }
    }

    fn go_on(&mut self, turn: &mut Turn<'_>) -> Poll<Result<(), NetError>> {
        let socket = match self.socket {
            Some(socket) => socket,
            None => {
                let act = Act::Connect {
                    remote: self.remote,
                    name: None,
                };
                let permit = turn.node.permit(turn.now, turn.instance, &act)?;
                *self.socket.insert(turn.node.tcp_connect(turn.now, permit)?)
            }
        };
        ready!(turn.node.poll_connected(turn.now, socket, turn.waker))?;
        while self.written < self.send.len() {
            let rest = &self.send[self.written..];
            match turn.node.poll_write(turn.now, socket, rest, turn.waker) {
                Poll::Pending => break,
                Poll::Ready(count) => self.written += count?,
            }
        }
        if self.written == self.send.len() && self.finish {
            turn.node.tcp_finish(turn.now, socket)?;
            self.finish = false;
        }
        loop {
            let mut chunk = [0; 4096];
            let polled = turn
                .node
                .poll_read(turn.now, socket, &mut chunk, turn.waker);
            let count = ready!(polled)?;
            if count == 0 {
                return Poll::Ready(Ok(()));
            }
            let mut read = self.outcome.read.borrow_mut();
            read.extend_from_slice(&chunk[..count]);
        }
    }
}

impl App for Client {
    fn poll(&mut self, turn: &mut Turn<'_>) -> Poll<()> {
        if turn.now < self.from {
            turn.wake_at(self.from);
            return Poll::Pending;
        }
        if let Some(at) = self.reset_at {
            if at <= turn.now {
                if let Some(socket) = self.socket {
                    turn.node.tcp_abort(turn.now, socket);
                }
                return Poll::Ready(());
            }
            turn.wake_at(at);
        }
        let ended = ready!(self.go_on(turn));
        if let Some(socket) = self.socket {
            turn.node.tcp_close(turn.now, socket);
        }
        self.outcome.at.set(turn.now);
        let ended = ended.map_err(|error| error.to_string());
        *self.outcome.ended.borrow_mut() = Some(ended);
        Poll::Ready(())
    }
}

/// One client that sends this; what became of it.
fn one_client(port: u16, send: &[u8]) -> (Apps, Outcome) {
    one_client_to(remote(port), send)
}

fn one_client_to(remote: SocketAddr, send: &[u8]) -> (Apps, Outcome) {
    let outcome = Outcome::default();
    let (send, kept) = (send.to_vec(), outcome.clone());
    let apps = move || -> Vec<Box<dyn App>> { vec![Box::new(Client::to(remote, &send, &kept))] };
    (Box::new(apps), outcome)
}

/// Goal: a station has a bounded number of peers. Method: at the limit, and one more.
#[test]
fn peers_at_and_over_the_limit() {
    let peers: Vec<_> = (1_u16..)
        .map(|port| {
            let script = nexus_sim::peers::TcpScript::silent();
            Peer::new(local(port), Role::Tcp(script), Report::new()).unwrap()
        })
        .take(limits::PEERS + 1)
        .collect();
    let addresses = [InterfaceAddress::new(peer_address(), 24).unwrap()];
    let boot = || Boot {
        number: 1,
        now: Instant::ZERO,
        addresses: &addresses,
        store: Default::default(),
        seed: Seed::from_number(1),
    };
    let config = || Config::new(1_500, Vec::new());
    Station::of_peers(&boot(), config(), &peers[1..]).unwrap();
    let refused = Station::of_peers(&boot(), config(), &peers);
    assert_eq!(refused.err().unwrap(), "65 peers: at most 64");
}

/// Goal: a peer is somewhere. Method: port 0.
#[test]
fn reject_a_peer_at_port_0() {
    let script = nexus_sim::peers::TcpScript::silent();
    let refused = Peer::new(local(0), Role::Tcp(script), Report::new());
    assert_eq!(
        refused.unwrap_err().to_string(),
        "a peer at port 0 is nowhere"
    );
}
