//! TCP between two stations, over links that lose, damage and fall silent: what one connection makes of them.

#[path = "../common/mod.rs"]
mod common;

mod ends;
mod losses;
mod silence;
mod stuck;
mod talk;

use nexus_node::Quota;
use nexus_sim::checker::{Baseline, Checker, Found, Isolation, Seen, StreamPrefix, TcpRules};
use nexus_sim::{
    Action, App, Boot, Carries, Conditions, Grants, Machine, MachineId, MachineSpec, Note,
    SegmentId, Station, World,
};
use nexus_stack::Config;
use nexus_types::{Duration, Instant, InterfaceAddress, Ipv4Addr, Seed, SocketAddr};

const CLIENT: MachineId = MachineId(0);
const SERVER: MachineId = MachineId(1);

const PORT: u16 = 80;

/// Nothing is left of a connection so long after its end: what lingers does so for a minute, and an end that a keep-alive
/// has to find takes less.
const REST: Duration = Duration::from_secs(150);

/// The server, seen from the client.
fn remote() -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 2], PORT))
}

/// The server, seen by itself.
fn local() -> SocketAddr {
    SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), PORT)
}

/// An app, made anew at each boot.
type Make = Box<dyn Fn() -> Box<dyn App>>;

/// A client may connect once: what its app has to say is that its connection has failed, or could not be made.
struct OneConnection;

impl Checker for OneConnection {
    fn name(&self) -> &'static str {
        "one-connection"
    }

    fn looks_at_frames(&self) -> bool {
        false
    }

    fn see(&mut self, _: Instant, _: MachineId, seen: &Seen<'_>, found: &mut Found<'_>) {
        if let Seen::Noted(Note::Text(text)) = seen {
            found.violation(|| (*text).to_owned());
        }
    }
}

/// A client at 10.0.0.1 and a server at 10.0.0.2, an app on each, and the checkers.
struct Pair {
    world: World<Station>,
    segment: SegmentId,
}

impl Pair {
    fn new(
        seed: u64,
        conditions: Conditions,
        configure: impl Fn(&mut Config) + Clone + 'static,
        client: Make,
        server: Make,
    ) -> Self {
        let mut world = World::new(&Seed::from_number(seed));
        let segment = world.add_segment(Carries::Packets, conditions);
        let mut isolation = Isolation::default();
        let connects = Grants {
            connect: vec![remote().to_string()],
            ..Grants::default()
        };
        for (name, last, grants, app) in [
            ("client", 1, connects, client),
            ("server", 2, Grants::listening(PORT), server),
        ] {
            let spec = MachineSpec {
                name: name.to_owned(),
                segment,
                addresses: vec![InterfaceAddress::new([10, 0, 0, last].into(), 24).unwrap()],
                mac: None,
                clock: Instant::ZERO,
            };
            let (configure, granted) = (configure.clone(), grants.clone());
            let factory = move |boot: Boot<'_>| {
                let mut config = Config::new(1_500, Vec::new());
                configure(&mut config);
                let mut station = Station::new(&boot, config, grants.policy()).unwrap();
                let manifest = grants.manifest("test.app");
                let instance = station.admit(boot.now, manifest, Quota::default()).unwrap();
                station.spawn(instance, app());
                station
            };
            let id = world.add_machine(spec, Box::new(factory)).unwrap();
            isolation.grant(id, &granted, &[]).unwrap();
            world.at(Instant::ZERO, Action::Start(id)).unwrap();
        }
        world.add_checker(Box::new(isolation));
        world.add_checker(Box::new(StreamPrefix::default()));
        world.add_checker(Box::new(TcpRules::default()));
        Self { world, segment }
    }

    fn unfinished(&self) -> u64 {
        let machines = [CLIENT, SERVER].map(|id| self.world.machine(id));
        let vitals = machines.iter().flatten().map(|machine| machine.vitals());
        vitals.map(|vitals| vitals.unfinished).sum()
    }

    /// The first thing that is wrong.
    fn wrong(&self) -> Option<String> {
        self.world.violations().0.first().map(ToString::to_string)
    }

    /// All is done: on a link that does nothing to frames, tables become what they were.
    fn come_to_rest(&mut self) {
        self.world.set_conditions(self.segment, Conditions::PLAIN);
        let rest = self.world.now() + REST;
        let empty = rest + REST;
        self.world.add_checker(Box::new(Baseline::new(rest, empty)));
        self.world.run_until(rest);
        self.world.look();
        for id in [CLIENT, SERVER] {
            if let Some((station, now)) = self.world.machine_mut(id) {
                station.end_apps(now);
            }
        }
        self.world.run_until(empty);
        self.world.look();
    }
}
