//! Two stations, one connection, as many bytes as go.

use std::cell::Cell;
use std::rc::Rc;
use std::task::Poll;

use nexus_node::{Quota, TcpListener, TcpSocket};
use nexus_policy::Act;
use nexus_sim::{
    Action, App, Boot, Carries, Conditions, Grants, MachineSpec, Station, Turn, World,
};
use nexus_stack::{Config, Congestion};
use nexus_types::{Duration, Instant, InterfaceAddress, Seed, SocketAddr};

const PORT: u16 = 80;

/// How far a frame is from one machine to the other: less than a window takes.
const LATENCY: Duration = Duration::from_micros(10);

/// Bytes the sink has read.
type Read = Rc<Cell<usize>>;

/// A connection that is full.
pub(crate) struct Flood {
    world: World<Station>,
    read: Read,
}

impl Flood {
    pub(crate) fn new(mtu: usize, buffer: usize) -> Self {
        let mut world = World::new(&Seed::from_number(1));
        let conditions = Conditions {
            latency: LATENCY,
            ..Conditions::PLAIN
        };
        let segment = world.add_segment(Carries::Packets, conditions);
        let read = Read::default();
        for number in 0..2_u8 {
            let own = InterfaceAddress::new([10, 0, 0, number + 1].into(), 24);
            let spec = MachineSpec {
                name: format!("station-{number}"),
                segment,
                addresses: vec![own.expect("a prefix that fits")],
                mac: None,
                clock: Instant::ZERO,
            };
            let mut config = Config::new(mtu, Vec::new());
            config.tcp.congestion = Congestion::None;
            config.tcp.ack_delay = None;
            config.tcp.rx_bytes = buffer;
            config.tcp.tx_bytes = buffer;
            let read = read.clone();
            let factory = move |boot: Boot<'_>| station(&boot, &config, number == 0, &read);
            let id = world
                .add_machine(spec, Box::new(factory))
                .expect("there is room");
            world
                .at(Instant::ZERO, Action::Start(id))
                .expect("there is room");
        }
        let mut flood = Self { world, read };
        flood.bulk(1);
        flood
    }

    /// Moves at least `bytes`; says how many packets that took, both ways.
    pub(crate) fn bulk(&mut self, bytes: usize) -> u64 {
        let before = self.world.counts().sent;
        self.read.set(0);
        while self.read.get() < bytes {
            assert!(self.world.step(), "the connection stands still");
        }
        self.world.counts().sent - before
    }
}

fn station(boot: &Boot<'_>, config: &Config, sends: bool, read: &Read) -> Station {
    let grants = if sends {
        Grants {
            connect: vec![format!("10.0.0.2:{PORT}")],
            ..Grants::default()
        }
    } else {
        Grants {
            listen: vec![format!("any:{PORT}")],
            ..Grants::default()
        }
    };
    let mut station =
        Station::new(boot, config.clone(), grants.policy()).expect("a sound configuration");
    let manifest = grants.manifest("bench.flood");
    let instance = station
        .admit(boot.now, manifest, Quota::default())
        .expect("what it asks for is allowed");
    if sends {
        station.spawn(instance, Box::<Source>::default());
    } else {
        station.spawn(
            instance,
            Box::new(Sink {
                listener: None,
                socket: None,
                read: read.clone(),
                buf: vec![0; 64 << 10],
            }),
        );
    }
    station
}

/// Writes for ever.
struct Source {
    socket: Option<TcpSocket>,
    connected: bool,
    chunk: Vec<u8>,
}

impl Default for Source {
    fn default() -> Self {
        Self {
            socket: None,
            connected: false,
            chunk: vec![7; 64 << 10],
        }
    }
}

impl App for Source {
    fn poll(&mut self, turn: &mut Turn<'_>) -> Poll<()> {
        let socket = *self.socket.get_or_insert_with(|| {
            let remote = SocketAddr::from(([10, 0, 0, 2], PORT));
            let act = Act::Connect { remote, name: None };
            let permit = turn.node.permit(turn.now, turn.instance, &act);
            let permit = permit.expect("it is granted");
            turn.node
                .tcp_connect(turn.now, permit)
                .expect("it can be tried")
        });
        if !self.connected {
            match turn.node.poll_connected(turn.now, socket, turn.waker) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(connected) => connected.expect("somebody listens"),
            }
            self.connected = true;
        }
        loop {
            match turn
                .node
                .poll_write(turn.now, socket, &self.chunk, turn.waker)
            {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(written) => _ = written.expect("the connection is open"),
            }
        }
    }
}

/// Reads what comes.
struct Sink {
    listener: Option<TcpListener>,
    socket: Option<TcpSocket>,
    read: Read,
    buf: Vec<u8>,
}

impl App for Sink {
    fn poll(&mut self, turn: &mut Turn<'_>) -> Poll<()> {
        let listener = *self.listener.get_or_insert_with(|| {
            let local = SocketAddr::from(([0, 0, 0, 0], PORT));
            let permit = turn
                .node
                .permit(turn.now, turn.instance, &Act::Listen { local });
            let permit = permit.expect("it is granted");
            turn.node
                .tcp_listen(turn.now, permit, None)
                .expect("the port is free")
        });
        let socket = match self.socket {
            Some(socket) => socket,
            None => match turn.node.poll_accept(turn.now, listener, turn.waker) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(socket) => *self.socket.insert(socket.expect("it listens")),
            },
        };
        loop {
            match turn
                .node
                .poll_read(turn.now, socket, &mut self.buf, turn.waker)
            {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(count) => {
                    let count = count.expect("the connection is open");
                    self.read.set(self.read.get() + count);
                }
            }
        }
    }
}
