//! The world of a test: nodes on one link, one thread, virtual time, one seed.

use core::fmt;
use core::time::Duration;
use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use nexus_sim::{Action, Boot, Carries, Conditions, MachineSpec, SegmentId};
use nexus_types::{HostName, Instant, InterfaceAddress, IpAddr, Seed};

use super::failure::Failure;
use super::fate::Fate;
use super::limits::NODES_MAX;
use super::machine::{AppMachine, Names, Panicked, Place};
use super::node::Node;

/// What says the seed of every world that asks for it: [`World::from_env`].
const SEED: &str = "NEXUS_SEED";

/// Characters of an app's last words that a failure repeats.
const SHOWN_CHARS: usize = 400;

/// A simulated network for a test: nodes on one link, which know each other by name.
///
/// The same seed and the same test give the same run, byte for byte; [`World::trace_hash`] tells. See the
/// [module](super).
pub struct World {
    world: nexus_sim::World<AppMachine>,
    segment: SegmentId,
    places: Vec<Rc<Place>>,
    names: Names,
    panicked: Panicked,
    seed: u64,
    /// The environment may give another seed.
    is_asked: bool,
}

impl World {
    /// A world of this seed, without nodes.
    pub fn new(seed: u64) -> Self {
        // With the checkers of time alone: what the stack does wrong on the wire is for the tests of netcore to find,
        // and nothing an app's author could mend.
        let mut world = nexus_sim::World::new(&Seed::from_number(seed));
        let segment = world.add_segment(Carries::Packets, Conditions::PLAIN);
        Self {
            world,
            segment,
            places: Vec::new(),
            names: Rc::new(OnceCell::new()),
            panicked: Rc::default(),
            seed,
            is_asked: false,
        }
    }

    /// A world of the seed in the variable `NEXUS_SEED`, else of this one: what a failure says to set shows that run
    /// again, and a loop around `cargo test` tries others.
    ///
    /// # Panics
    /// The variable is no number.
    #[track_caller]
    pub fn from_env(seed: u64) -> Self {
        let seed = match std::env::var(SEED) {
            Err(std::env::VarError::NotPresent) => seed,
            given => seed_of(given.ok().as_deref().unwrap_or_default()),
        };
        let mut world = Self::new(seed);
        world.is_asked = true;
        world
    }

    /// How the link is from now on, in both directions: latency, loss, what else a bad one does. Can be changed
    /// between two runs. At first it is [`Conditions::PLAIN`]: a millisecond, and nothing else.
    pub fn link(&mut self, conditions: Conditions) {
        self.world.set_conditions(self.segment, conditions);
    }

    /// Adds a node of this name with this address: `world.node("server", "10.0.0.1/24")`. The others reach it by
    /// that name.
    ///
    /// As outside, a rule for a name covers addresses of class `public` alone. So give a node that stands for
    /// `api.example.com` a public address, such as `93.184.215.1/24`, and its clients one of the same network; or let
    /// a rule name the address class, too.
    ///
    /// # Panics
    /// The name or the address is none, or another node's; the world has run already; or it has
    /// [`limits::NODES_MAX`](super::limits::NODES_MAX) nodes.
    #[track_caller]
    pub fn node(&mut self, name: &str, address: &str) -> Node {
        assert!(
            self.names.get().is_none(),
            "node {name:?} comes too late: add all nodes before the first `run`, for they know each other by name"
        );
        assert!(
            self.places.len() < NODES_MAX,
            "more than {NODES_MAX} nodes in one world"
        );
        let address = interface_address(address).unwrap_or_else(|| {
            panic!("{address:?} is not an address with its prefix, as in 10.0.0.2/24 or fd00::2/64")
        });
        let name = HostName::parse(name)
            .unwrap_or_else(|error| panic!("{name:?} cannot be a node's name: {error}"));
        for place in &self.places {
            assert!(place.name != name, "two nodes are called {name}");
            assert!(
                !place.addresses.contains(&address),
                "two nodes have {}",
                address.address()
            );
        }
        let place = Rc::new(Place {
            name,
            addresses: vec![address],
            started: Cell::new(0),
            starts: RefCell::default(),
            fates: RefCell::default(),
        });
        self.places.push(place.clone());
        Node(place)
    }

    /// Lets the world go on until every app has ended that is not in the background, for this much virtual time at
    /// most. Apps that were not started yet are started first.
    ///
    /// # Errors
    /// An app had not ended by then, or waits for what will never come; or a checker saw what must never be: a timer in
    /// the past, a machine that is busy without time passing.
    ///
    /// # Panics
    /// An app panicked: the test panics with the same. Or there is no app to wait for.
    #[track_caller]
    pub fn run(&mut self, limit: Duration) -> Result<(), Failure> {
        let mut waiting = self.foreground();
        assert!(
            !waiting.is_empty(),
            "no app to wait for: start one that is not in the background, or let time `pass`"
        );
        let until = self.begin(limit);
        loop {
            while let Some(fate) = waiting.last()
                && fate.borrow().ended.is_some()
            {
                waiting.pop();
            }
            if waiting.is_empty() || self.world.poll_timeout().is_none_or(|at| at > until) {
                break;
            }
            self.step();
        }
        waiting.retain(|fate| fate.borrow().ended.is_none());
        let is_stuck = self.world.poll_timeout().is_none();
        let what = if is_stuck {
            format!(
                "waits for ever: nothing happened after {:?}",
                self.elapsed()
            )
        } else {
            format!("still running after {limit:?}")
        };
        if !waiting.is_empty() && !is_stuck {
            self.world.run_until(until);
        }
        let problems = waiting
            .iter()
            .map(|fate| unfinished(&fate.borrow(), &what))
            .collect();
        self.judged(problems)
    }

    /// Lets this much virtual time pass, whatever the apps do in it: for what goes on after their end, such as bytes
    /// that are still being delivered, and for faults between two runs.
    ///
    /// # Errors
    /// A checker saw what must never be.
    ///
    /// # Panics
    /// An app panicked: the test panics with the same.
    pub fn pass(&mut self, time: Duration) -> Result<(), Failure> {
        let until = self.begin(time);
        while self.world.poll_timeout().is_some_and(|at| at <= until) {
            self.step();
        }
        self.world.run_until(until);
        self.judged(Vec::new())
    }

    /// The virtual time that has passed since the world began.
    pub fn elapsed(&self) -> Duration {
        self.world.now().saturating_since(Instant::ZERO)
    }

    /// The seed it runs with.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// A hash of everything that happened, in hexadecimal digits: every event, the bytes of every frame, what the apps
    /// printed. Two runs with equal hashes were the same.
    pub fn trace_hash(&self) -> String {
        let hash = self.world.trace_hash();
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Gives `sink` a line for every event from now on: `world.trace(|line| println!("{line}"))`.
    pub fn trace(&mut self, sink: impl FnMut(&str) + 'static) {
        self.world.set_trace(Box::new(sink));
    }

    /// Makes every machine go on, and sets them up the first time. When `time` will be over.
    fn begin(&mut self, time: Duration) -> Instant {
        if self.names.get().is_none() {
            self.set_up();
        }
        for machine in self.world.machines().collect::<Vec<_>>() {
            // It may have an app to start, or one that the test has woken.
            let _ = self.world.machine_mut(machine);
        }
        self.world.now() + time
    }

    fn set_up(&mut self) {
        let names = self.places.iter().map(|place| {
            let addresses = place.addresses.iter().map(|address| address.address());
            (place.name.clone(), addresses.collect::<Vec<IpAddr>>())
        });
        self.names.get_or_init(|| names.collect());
        for place in self.places.clone() {
            let spec = MachineSpec {
                name: place.name.as_str().to_owned(),
                segment: self.segment,
                addresses: place.addresses.clone(),
                mac: None,
                clock: Instant::ZERO,
            };
            let (names, panicked) = (self.names.clone(), self.panicked.clone());
            let factory = Box::new(move |boot: Boot<'_>| {
                AppMachine::new(&boot, place.clone(), &names, &panicked)
            });
            let added = self.world.add_machine(spec, factory).and_then(|machine| {
                let start = Action::Start(machine);
                self.world.at(Instant::ZERO, start)
            });
            added.unwrap_or_else(|error| panic!("{error}"));
        }
    }

    fn step(&mut self) {
        self.world.step();
        if let Some(payload) = self.panicked.take() {
            std::panic::resume_unwind(payload);
        }
    }

    /// All apps that are not in the background.
    fn foreground(&self) -> Vec<Rc<RefCell<Fate>>> {
        let fates = self
            .places
            .iter()
            .flat_map(|place| place.fates.borrow().clone());
        fates.filter(|fate| !fate.borrow().background).collect()
    }

    /// With what the checkers found.
    fn judged(&self, mut problems: Vec<String>) -> Result<(), Failure> {
        let (violations, count) = self.world.violations();
        problems.extend(violations.iter().map(ToString::to_string));
        if count > violations.len() as u64 {
            problems.push(format!("and {} more", count - violations.len() as u64));
        }
        if problems.is_empty() {
            return Ok(());
        }
        Err(Failure {
            problems,
            replay: self.replay(),
        })
    }

    /// How to see this run again.
    fn replay(&self) -> String {
        let seed = self.seed;
        if !self.is_asked {
            return format!("seed {seed}: World::new({seed}) shows the same run again");
        }
        let test = std::thread::current();
        let test = test.name().filter(|name| *name != "main").unwrap_or("");
        format!("seed {seed}; replay: {SEED}={seed} cargo test {test}")
            .trim_end()
            .to_owned()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Whatever it was that failed, an `assert!` of the test or of an app: this was its world.
        if std::thread::panicking() {
            eprintln!("{}", self.replay());
        }
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("seed", &self.seed)
            .field("elapsed", &self.elapsed())
            .finish_non_exhaustive()
    }
}

fn unfinished(fate: &Fate, what: &str) -> String {
    let said = [&fate.stderr, &fate.stdout].map(|kept| kept.text());
    let last = said.iter().find_map(|text| text.lines().last());
    let said = last.map_or_else(String::new, |line| {
        let line: String = line.chars().take(SHOWN_CHARS).collect();
        format!("\n  it said: {}", line.escape_debug())
    });
    format!("{}: {what}{said}", fate.name)
}

#[track_caller]
fn seed_of(text: &str) -> u64 {
    text.parse()
        .unwrap_or_else(|_| panic!("{SEED}={text:?} is not a number"))
}

/// `10.0.0.2/24`: an address that a node can have.
fn interface_address(text: &str) -> Option<InterfaceAddress> {
    let (address, prefix) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    if address.is_unspecified() || address.is_multicast() || address.is_loopback() {
        return None;
    }
    InterfaceAddress::new(address, prefix.parse().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_says_how_to_see_it_again() {
        assert_eq!(
            World::new(7).replay(),
            "seed 7: World::new(7) shows the same run again"
        );
        let mut asked = World::new(7);
        asked.is_asked = true;
        assert_eq!(
            asked.replay(),
            "seed 7; replay: NEXUS_SEED=7 cargo test sim::world::tests::a_failure_says_how_to_see_it_again"
        );
    }

    #[test]
    fn reject_what_no_node_can_have() {
        for text in ["10.0.0.1", "10.0.0.1/33", "127.0.0.1/8", "0.0.0.0/0", "x/8"] {
            assert_eq!(interface_address(text), None, "{text}");
        }
    }

    #[test]
    #[should_panic(expected = "is not a number")]
    fn reject_a_seed_that_is_no_number() {
        seed_of("0x7");
    }
}
