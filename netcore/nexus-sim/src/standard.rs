//! The standard world: a server and clients that move bytes, in which a seed decides everything else.
//!
//! Three phases. Chaos: what the swarm draws goes wrong. Heal: nothing does any more, and everybody must get done.
//! Drain: all is done, and tables must be as they were.

use nexus_node::Quota;
use nexus_policy::Policy;
use nexus_stack::{Config, Congestion, Medium};
use nexus_types::{
    Duration, Instant, InterfaceAddress, IpAddr, Ipv4Addr, Ipv6Addr, Seed, SocketAddr,
};

use crate::checker::{Baseline, Isolation, Liveness, StreamPrefix, TcpRules, Violation};
use crate::dice::Dice;
use crate::fault::Plan;
use crate::link::Conditions;
use crate::machine::{Boot, MachineId};
use crate::station::apps::{
    BulkClient, BulkServer, EchoClient, EchoServer, PingClient, PingServer, Scanner, Target,
};
use crate::station::{Grants, Station};
use crate::swarm::{Swarm, Victim};
use crate::trace::TraceSink;
use crate::world::{Action, Carries, Counts, MachineSpec, World, WorldError};

/// Ports of the server.
const BULK: u16 = 80;
const ECHO: u16 = 7;
const PING: u16 = 9;

/// In the heal phase somebody must get on within this: longer than the longest wait between two retransmissions
/// (a minute, RFC 6298 section 2.5), with the wait before a new connection and its handshake.
pub const PROGRESS_WITHIN: Duration = Duration::from_secs(200);

/// The heal phase is over after this, done or not.
const HEAL_MOST: Duration = Duration::from_secs(3_600);

/// How often it is looked whether all is done.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Connections are gone so long after all is done: a peer that has vanished is noticed by its keep-alives within
/// 50 s, or by retransmissions it resets within a minute; what lingers does so for a minute, and TIME-WAIT is
/// shorter.
const REST: Duration = Duration::from_secs(150);

/// What a standard world is like where the seed does not say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Machines; the first is the server. At least 2.
    pub stations: u32,
    /// Bytes each client sends and gets.
    pub bytes: u64,
    /// Whether something goes wrong.
    pub faults: bool,
    /// Whether clients send small messages and datagrams too, and try what they may not.
    pub manifold: bool,
    /// Whether the checkers look, beside those of time.
    pub checked: bool,
}

impl Default for Options {
    /// Two machines, 64 KiB each way, everything on.
    fn default() -> Self {
        Self {
            stations: 2,
            bytes: 64 << 10,
            faults: true,
            manifold: true,
            checked: true,
        }
    }
}

/// How a run went.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// [`World::trace_hash`].
    pub hash: [u8; 32],
    /// How far the world's time went.
    pub time: Instant,
    /// What became of frames.
    pub counts: Counts,
    /// The first violations, and how many there were.
    pub violations: Vec<Violation>,
    /// How many.
    pub violation_count: u64,
    /// What is left to do: 0.
    pub unfinished: u64,
}

/// Runs the world of a seed.
///
/// # Errors
/// The options make no world.
pub fn run(seed: u64, options: &Options) -> Result<Outcome, WorldError> {
    run_plan(seed, options, &plan(seed, options), None)
}

/// What goes wrong in the world of a seed.
pub fn plan(seed: u64, options: &Options) -> Plan {
    let setting = Setting::draw(seed, options);
    if !options.faults {
        return Plan::default();
    }
    let victims: Vec<_> = (0..options.stations)
        .map(|number| Victim {
            machine: MachineId(number),
            others: vec![setting.address(number + 100)],
        })
        .collect();
    Swarm::draw(&setting.seed, &victims, setting.chaos)
}

/// Runs the world of a seed with this going wrong, which must be over when [`plan`] would be; `trace` gets a line
/// for every event.
///
/// # Errors
/// As [`run`].
pub fn run_plan(
    seed: u64,
    options: &Options,
    plan: &Plan,
    trace: Option<TraceSink>,
) -> Result<Outcome, WorldError> {
    let setting = Setting::draw(seed, options);
    let mut world = setting.world(options)?;
    if let Some(sink) = trace {
        world.set_trace(sink);
    }
    world.plan(plan)?;
    let calm = if options.faults {
        Instant::ZERO + setting.chaos
    } else {
        Instant::ZERO
    };
    world.add_checker(Box::new(Liveness::new(calm, PROGRESS_WITHIN)));
    world.run_until(calm);
    world.calm();
    let unfinished = heal(&mut world);
    if unfinished == 0 {
        drain(&mut world);
    }
    let (violations, violation_count) = world.violations();
    Ok(Outcome {
        hash: world.trace_hash(),
        time: world.now(),
        counts: *world.counts(),
        violations: violations.to_vec(),
        violation_count,
        unfinished,
    })
}

/// Until all is done, a checker has found something, or it takes too long. What is left to do.
fn heal(world: &mut World<Station>) -> u64 {
    let until = world.now() + HEAL_MOST;
    loop {
        world.run_until(world.now() + LOOK_EVERY);
        world.look();
        let unfinished = unfinished(world);
        if unfinished == 0 || world.violations().1 > 0 || world.now() > until {
            return unfinished;
        }
    }
}

fn unfinished(world: &World<Station>) -> u64 {
    use crate::Machine as _;
    let machines = world.machines().filter_map(|id| world.machine(id));
    machines.map(|machine| machine.vitals().unfinished).sum()
}

fn drain(world: &mut World<Station>) {
    let rest = world.now() + REST;
    let empty = rest + REST;
    world.add_checker(Box::new(Baseline::new(rest, empty)));
    world.run_until(rest);
    world.look();
    for id in world.machines().collect::<Vec<_>>() {
        if let Some((station, now)) = world.machine_mut(id) {
            station.end_apps(now);
        }
    }
    world.run_until(empty);
    world.look();
    let (frames, _) = world.held();
    if frames > 0 {
        let text = format!("{frames} frames are still on their way");
        world.report("baseline", MachineId(0), text);
    }
}

/// What a seed decides.
struct Setting {
    seed: Seed,
    chaos: Duration,
    ethernet: bool,
    ipv6: bool,
    mtu: usize,
    congestion: Congestion,
    buffer: usize,
    conditions: Conditions,
    slow: Option<Duration>,
}

impl Setting {
    fn draw(seed: u64, options: &Options) -> Self {
        let seed = Seed::from_number(seed);
        let mut dice = Dice::new(&seed.split("setting"));
        let micros = |dice: &mut Dice, least, most| Duration::from_micros(dice.within(least, most));
        Self {
            chaos: micros(&mut dice, 1_000_000, 20_000_000),
            ethernet: dice.below(4) == 0,
            ipv6: dice.below(3) == 0,
            mtu: [1_500, 1_500, 1_280, 9_000][dice.below(4) as usize],
            congestion: match dice.below(4) {
                0 => Congestion::None,
                1 => Congestion::Reno,
                _ => Congestion::Cubic,
            },
            buffer: [8 << 10, 32 << 10, 64 << 10][dice.below(3) as usize],
            conditions: Conditions {
                latency: micros(&mut dice, 50, 30_000),
                ..Conditions::PLAIN
            },
            slow: (options.manifold && dice.below(4) == 0)
                .then(|| micros(&mut dice, 1_000, 300_000)),
            seed,
        }
    }

    /// Of the machine with this number.
    fn address(&self, number: u32) -> InterfaceAddress {
        let last = number + 1;
        let (ip, prefix) = if self.ipv6 {
            let (high, low) = ((last >> 16) as u16, last as u16);
            (
                IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, high, low)),
                64,
            )
        } else {
            (IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + last)), 8)
        };
        InterfaceAddress::new(ip, prefix).expect("the prefixes fit their families")
    }

    fn config(&self, number: u32) -> Config {
        let mut config = Config::new(self.mtu, Vec::new());
        config.tcp.congestion = self.congestion;
        config.tcp.rx_bytes = self.buffer;
        config.tcp.tx_bytes = self.buffer;
        if self.ethernet {
            config.medium = Medium::Ethernet(mac(number));
        }
        config
    }

    fn world(&self, options: &Options) -> Result<World<Station>, WorldError> {
        let mut world = World::new(&self.seed);
        let carries = if self.ethernet {
            Carries::Ethernet
        } else {
            Carries::Packets
        };
        let segment = world.add_segment(carries, self.conditions);
        let mut isolation = Isolation::default();
        let mut dice = Dice::new(&self.seed.split("clocks"));
        for number in 0..options.stations.max(2) {
            let grants = self.grants(number);
            let spec = MachineSpec {
                name: if number == 0 {
                    "server".to_owned()
                } else {
                    format!("client-{number}")
                },
                segment,
                addresses: vec![self.address(number)],
                mac: self.ethernet.then(|| mac(number)),
                clock: Instant::from_micros(dice.within(1, 1_000_000_000)),
            };
            let factory = self.factory(number, options, &grants);
            let id = world.add_machine(spec, factory)?;
            isolation
                .grant(id, &grants, &[])
                .expect("the rules are ours");
            world.at(Instant::ZERO, Action::Start(id))?;
        }
        if options.checked {
            world.add_checker(Box::new(StreamPrefix::default()));
            world.add_checker(Box::new(TcpRules::default()));
            world.add_checker(Box::new(isolation));
        }
        Ok(world)
    }

    fn grants(&self, number: u32) -> Grants {
        if number == 0 {
            return Grants {
                listen: vec![format!("any:{ECHO},{BULK}")],
                bind: vec![format!("any:{PING}")],
                ..Grants::default()
            };
        }
        let server = |port| SocketAddr::new(self.address(0).address(), port).to_string();
        Grants {
            connect: vec![server(BULK), server(ECHO)],
            send: vec![server(PING)],
            ..Grants::default()
        }
    }

    fn factory(&self, number: u32, options: &Options, grants: &Grants) -> crate::Factory<Station> {
        let (config, options) = (self.config(number), *options);
        let manifest = grants.manifest(if number == 0 {
            "sim.server"
        } else {
            "sim.client"
        });
        let policy: Policy = grants.policy();
        let server = self.address(0).address();
        let (slow, ipv6) = (self.slow, self.ipv6);
        Box::new(move |boot: Boot<'_>| {
            let mut station = Station::new(&boot, config.clone(), policy.clone())
                .expect("the configuration is sound");
            let instance = station
                .admit(boot.now, manifest.clone(), Quota::default())
                .unwrap_or_else(|report| panic!("{report}"));
            let any = if ipv6 {
                IpAddr::V6(Ipv6Addr::UNSPECIFIED)
            } else {
                IpAddr::V4(Ipv4Addr::UNSPECIFIED)
            };
            let mut spawn = |app| station.spawn(instance, app);
            if number == 0 {
                let local = |port| SocketAddr::new(any, port);
                spawn(Box::new(BulkServer::new(local(BULK), options.bytes, slow)));
                spawn(Box::new(EchoServer::new(local(ECHO))));
                spawn(Box::new(PingServer::new(local(PING))));
                return station;
            }
            let remote = |port| SocketAddr::new(server, port);
            spawn(Box::new(BulkClient::new(
                "bulk",
                remote(BULK),
                options.bytes,
            )));
            if options.manifold {
                let every = Duration::from_millis(400);
                spawn(Box::new(EchoClient::new("echo", remote(ECHO), 16, every)));
                spawn(Box::new(PingClient::new(remote(PING), 8)));
                let targets = forbidden(server);
                spawn(Box::new(Scanner::new(
                    targets,
                    Duration::from_millis(150),
                    2,
                )));
            }
            station
        })
    }
}

/// Near what a client may do, and not that.
fn forbidden(server: IpAddr) -> Vec<Target> {
    let beside = match server {
        IpAddr::V4(ip) => IpAddr::V4(Ipv4Addr::from_bits(ip.to_bits() ^ 0x40)),
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() ^ 0x40)),
    };
    let at = SocketAddr::new;
    vec![
        Target::Tcp(at(server, BULK + 1)),
        Target::Tcp(at(beside, BULK)),
        Target::Tcp(at(server, PING)),
        Target::Udp(at(server, PING + 1)),
        Target::Udp(at(beside, PING)),
        Target::Udp(at(server, BULK)),
        Target::Tcp("203.0.113.9:443".parse().expect("an address")),
        Target::Udp("[2001:db8::9]:53".parse().expect("an address")),
    ]
}

fn mac(number: u32) -> [u8; 6] {
    let [a, b, c, d] = number.to_be_bytes();
    [2, 0, a, b, c, d]
}
