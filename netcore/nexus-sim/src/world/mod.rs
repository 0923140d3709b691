//! The world: machines on segments, one thread, one queue of what happens next.
//!
//! Time moves to the next event and no further, so minutes of waiting cost nothing. What happens at one time
//! happens in the order it was set in motion. The same seed and the same calls give the same run, byte for byte:
//! [`World::trace_hash`] tells.

mod action;
mod net;

pub use action::Action;
pub use net::{Carries, Counts, SegmentId, WorldError};

use std::collections::VecDeque;

use nexus_types::{Duration, Instant, InterfaceAddress, Seed};

use crate::checker::{BusyLoop, Checker, Found, PastTimer, Seen, Violation};
use crate::clock::LocalClock;
use crate::dice::Dice;
use crate::fault::Fault;
use crate::frames::FrameId;
use crate::limits;
use crate::link::Conditions;
use crate::machine::{Boot, Factory, Machine, MachineId, Note};
use crate::queue::What;
use crate::store::Store;
use crate::trace::{Kind, TraceSink};
use net::Net;

/// A machine that was busy for ever at one instant goes on so much later, so that the run ends.
const BUSY_REST: Duration = Duration::from_millis(1);

/// What a machine is added with.
#[derive(Clone, Debug)]
pub struct MachineSpec {
    /// For people, and where its randomness comes from: another name, another run.
    pub name: String,
    /// Where its NIC is.
    pub segment: SegmentId,
    /// Its addresses. On a segment of bare packets, whom they go to.
    pub addresses: Vec<InterfaceAddress>,
    /// Its hardware address, on an Ethernet.
    pub mac: Option<[u8; 6]>,
    /// What its clock shows when the world begins.
    pub clock: Instant,
}

/// A machine and how it is.
struct Place<M> {
    machine: Option<M>,
    factory: Factory<M>,
    /// Whether it is to run, if no fault keeps it from that.
    wanted: bool,
    boots: u32,
    own: Vec<InterfaceAddress>,
    addresses: Vec<InterfaceAddress>,
    store: Store,
    clock: LocalClock,
    drift: i32,
    seed: Seed,
    paused: bool,
    /// What its NIC keeps while it is paused.
    inbox: Vec<FrameId>,
    /// When its processor is free.
    busy_until: Instant,
    /// When something is due, and the first time at which the queue says so.
    due: Option<Instant>,
    listed: Option<Instant>,
    /// It stands in `World::ready`.
    ready: bool,
    /// Frames handed to it since its last turn.
    received: u32,
    /// Turns at `instant`, and of these the last ones without a frame in or out.
    instant: Instant,
    turns: u32,
    idle: u32,
}

/// See the module.
pub struct World<M> {
    now: Instant,
    seed: Seed,
    dice: Dice,
    places: Vec<Place<M>>,
    /// Who has a turn, in this order.
    ready: VecDeque<u32>,
    net: Net,
    actions: Vec<Option<Action>>,
    free_actions: Vec<u32>,
    /// What is in force.
    faults: Vec<(u64, Fault)>,
    faults_begun: u64,
}

impl<M: Machine> World<M> {
    /// A world without machines, at [`Instant::ZERO`]. The checkers of time are in it.
    pub fn new(seed: &Seed) -> Self {
        let mut world = Self {
            now: Instant::ZERO,
            seed: seed.split("machines"),
            dice: Dice::new(&seed.split("world")),
            places: Vec::new(),
            ready: VecDeque::new(),
            net: Net::new(seed.split("links")),
            actions: Vec::new(),
            free_actions: Vec::new(),
            faults: Vec::new(),
            faults_begun: 0,
        };
        world.add_checker(Box::new(PastTimer));
        world.add_checker(Box::new(BusyLoop));
        world
    }

    /// Adds a segment.
    pub fn add_segment(&mut self, carries: Carries, conditions: Conditions) -> SegmentId {
        self.net.add_segment(carries, conditions)
    }

    /// Adds a machine, not started yet: [`Action::Start`]. `factory` makes it, at each start.
    ///
    /// # Errors
    /// The segment has no place for it.
    pub fn add_machine(
        &mut self,
        spec: MachineSpec,
        factory: Factory<M>,
    ) -> Result<MachineId, WorldError> {
        let own = spec.addresses;
        let id = self
            .net
            .add_port(&spec.name, spec.segment, &own, spec.mac)?;
        self.places.push(Place {
            machine: None,
            factory,
            wanted: false,
            boots: 0,
            addresses: own.clone(),
            own,
            store: Store::new(),
            clock: LocalClock::new(spec.clock),
            drift: 0,
            seed: self.seed.split(&spec.name),
            paused: false,
            inbox: Vec::new(),
            busy_until: Instant::ZERO,
            due: None,
            listed: None,
            ready: false,
            received: 0,
            instant: Instant::FAR_FUTURE,
            turns: 0,
            idle: 0,
        });
        Ok(id)
    }

    /// Shows `checker` everything from now on.
    pub fn add_checker(&mut self, checker: Box<dyn Checker>) {
        self.net.checkers.add(checker);
    }

    /// Gives `sink` a line for every event from now on.
    pub fn set_trace(&mut self, sink: TraceSink) {
        self.net.trace.set_sink(sink);
    }

    /// How every direction of a segment is from now on that [`World::set_direction`] does not set.
    pub fn set_conditions(&mut self, segment: SegmentId, conditions: Conditions) {
        self.net.set_conditions(segment, conditions);
        self.net.refresh(self.now);
    }

    /// How one direction is from now on.
    pub fn set_direction(&mut self, from: MachineId, to: MachineId, conditions: Conditions) {
        self.net.set_direction(from, to, conditions);
        self.net.refresh(self.now);
    }

    /// The world's time. No machine knows it.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The machines, in the order they were added.
    pub fn machines(&self) -> impl Iterator<Item = MachineId> + use<M> {
        (0..self.places.len() as u32).map(MachineId)
    }

    /// A machine, if it is running.
    pub fn machine(&self, id: MachineId) -> Option<&M> {
        self.places.get(id.0 as usize)?.machine.as_ref()
    }

    /// A machine to act on, if it is running, and what its clock shows; it gets a turn.
    pub fn machine_mut(&mut self, id: MachineId) -> Option<(&mut M, Instant)> {
        self.make_ready(id.0);
        let place = self.places.get_mut(id.0 as usize)?;
        Some((place.machine.as_mut()?, place.clock.read(self.now)))
    }

    /// A machine's name.
    pub fn name(&self, id: MachineId) -> &str {
        let port = self.net.ports.get(id.0 as usize);
        port.map_or("", |port| &port.name)
    }

    /// What a machine keeps.
    pub fn store(&self, id: MachineId) -> Option<Store> {
        Some(self.places.get(id.0 as usize)?.store.clone())
    }

    /// What became of frames.
    pub fn counts(&self) -> &Counts {
        &self.net.counts
    }

    /// Frames and events the world holds now.
    pub fn held(&self) -> (usize, usize) {
        (self.net.frames.count(), self.net.queue.len())
    }

    /// The first of what was found, at most [`limits::VIOLATIONS`], and how much it was.
    pub fn violations(&self) -> (&[Violation], u64) {
        let violations = &self.net.checkers.violations;
        (&violations.kept, violations.count)
    }

    /// A hash of everything that happened: every event, and the bytes of every frame. Not a cryptographic one.
    pub fn trace_hash(&self) -> [u8; 32] {
        self.net.trace.hash()
    }

    /// Asks every running machine how it is and shows it to the checkers.
    pub fn look(&mut self) {
        for (index, place) in (0..).zip(&self.places) {
            if let Some(machine) = &place.machine {
                let seen = Seen::Looked(machine.vitals());
                self.net.checkers.see(self.now, MachineId(index), &seen);
            }
        }
    }

    /// Lets whoever drives the world report what it finds itself, as a checker would.
    pub fn report(&mut self, checker: &'static str, machine: MachineId, text: String) {
        let violations = &mut self.net.checkers.violations;
        let at = self.now;
        let mut found = Found {
            violations,
            checker,
            at,
            machine,
        };
        found.violation(|| text);
    }

    /// When the next thing happens.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.ready.is_empty() {
            self.net.queue.next_at()
        } else {
            Some(self.now)
        }
    }

    /// Moves to the next time at which something happens, and lets it happen, with all that follows without time
    /// passing. False: nothing will.
    pub fn step(&mut self) -> bool {
        let Some(at) = self.poll_timeout() else {
            return false;
        };
        self.now = self.now.max(at);
        loop {
            while let Some(what) = self.net.queue.pop_due(self.now) {
                self.happen(what);
            }
            let Some(index) = self.ready.pop_front() else {
                return true;
            };
            self.turn(index);
        }
    }

    /// Lets everything up to `until`, that included, happen.
    pub fn run_until(&mut self, until: Instant) {
        while self.poll_timeout().is_some_and(|at| at <= until) {
            self.step();
        }
        self.now = self.now.max(until);
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Arrival { machine, frame } => self.handle_arrival(machine, frame),
            What::Due(index) => {
                let place = &mut self.places[index as usize];
                // What is listed later was listed anew, and this is left over.
                if place.listed.is_some_and(|listed| listed <= self.now) {
                    place.listed = None;
                    if place.due.is_some_and(|due| due <= self.now) {
                        self.make_ready(index);
                    } else {
                        self.list(index);
                    }
                }
            }
            What::Free(index) => self.make_ready(index),
            What::Action(index) => {
                self.free_actions.push(index);
                if let Some(action) = self.actions[index as usize].take() {
                    self.act(action);
                }
            }
            What::FaultOver(number) => self.end_fault(number),
        }
    }

    fn handle_arrival(&mut self, index: u32, frame: FrameId) {
        let place = &mut self.places[index as usize];
        if !self.net.arrived(index) {
            self.net.frames.release(frame);
        } else if place.machine.is_none() {
            self.net.counts.not_running += 1;
            self.net.frames.release(frame);
        } else if !place.paused {
            self.hand(index, frame);
            self.make_ready(index);
        } else if place.inbox.len() < limits::FRAMES_HELD {
            place.inbox.push(frame);
        } else {
            self.net.counts.over_limit += 1;
            self.net.frames.release(frame);
        }
    }

    /// Hands a frame to a running machine.
    fn hand(&mut self, index: u32, frame: FrameId) {
        let ethernet = self.net.is_ethernet(index);
        let (place, net) = (&mut self.places[index as usize], &mut self.net);
        let bytes = net.frames.bytes(frame);
        net.counts.arrived += 1;
        let detail = [bytes.len() as u64, 0];
        let name = &net.ports[index as usize].name;
        net.trace
            .event(self.now, Kind::Arrived, index, detail, |line| {
                line.push_str(name);
                line.push_str(" gets ");
                crate::wire::describe(ethernet, bytes, line);
            });
        let seen = Seen::Arrived {
            ethernet,
            frame: bytes,
        };
        net.checkers.see(self.now, MachineId(index), &seen);
        if let Some(machine) = &mut place.machine {
            machine.handle_frame(place.clock.read(self.now), bytes);
            place.received += 1;
        }
        net.frames.release(frame);
    }

    fn make_ready(&mut self, index: u32) {
        if let Some(place) = self.places.get_mut(index as usize)
            && !place.ready
        {
            place.ready = true;
            self.ready.push_back(index);
        }
    }

    /// A machine's turn. See [`Machine`].
    fn turn(&mut self, index: u32) {
        let now = self.now;
        let (place, net) = (&mut self.places[index as usize], &mut self.net);
        place.ready = false;
        let Some(machine) = place.machine.as_mut().filter(|_| !place.paused) else {
            return;
        };
        let local = place.clock.read(now);
        if place.instant != now {
            (place.instant, place.turns, place.idle) = (now, 0, 0);
        }
        place.turns += 1;
        let name = &net.ports[index as usize].name;
        let is_due = place.due.is_some_and(|due| due <= now);
        if is_due {
            machine.handle_timeout(local);
        }
        let is_free = place.busy_until <= now;
        let kind = if is_free { Kind::Run } else { Kind::Due };
        let detail = [local.as_nanos(), u64::from(is_due)];
        net.trace.event(now, kind, index, detail, |line| {
            line.push_str(name);
            line.push_str(if is_due { " is due" } else { " has a turn" });
        });
        if is_free && let Some(until) = machine.run(local) {
            place.busy_until = place.clock.when(until).max(now);
            if place.busy_until > now {
                net.queue.push(place.busy_until, What::Free(index));
            }
        }
        let before = net.counts.sent;
        machine.poll_transmit(local, &mut |frame| net.send(now, index, frame));
        machine.take_notes(&mut |note| take_note(net, now, index, &note));
        let due = machine.poll_timeout();
        if net.counts.sent == before && place.received == 0 {
            place.idle += 1;
        } else {
            place.idle = 0;
        }
        place.received = 0;
        let seen = Seen::Turned {
            now: local,
            due,
            idle: place.idle,
            turns: place.turns,
        };
        net.checkers.see(now, MachineId(index), &seen);
        let tired = place.idle >= limits::IDLE_TURNS || place.turns >= limits::TURNS;
        // Busy, it can do no more at once than it has done; it goes on when it is free.
        let stuck = place.busy_until > now && place.idle > 0;
        place.due = match due {
            None => None,
            Some(due) if due > local => Some(place.clock.when(due).max(now)),
            Some(_) if tired => Some(now + BUSY_REST),
            Some(_) if stuck => Some(place.busy_until),
            Some(_) => Some(now),
        };
        if place.due.is_some_and(|due| due <= now) {
            self.make_ready(index);
        } else {
            self.list(index);
        }
    }

    /// Sees to it that the queue says when a machine is due.
    fn list(&mut self, index: u32) {
        let place = &mut self.places[index as usize];
        // What is put off moves when its old time comes up: a timer that is moved with every packet costs nothing.
        if let Some(due) = place.due
            && due < Instant::FAR_FUTURE
            && place.listed.is_none_or(|listed| listed > due)
        {
            place.listed = Some(due);
            self.net.queue.push(due, What::Due(index));
        }
    }

    fn boot(&mut self, index: u32) {
        let (place, net) = (&mut self.places[index as usize], &mut self.net);
        place.boots += 1;
        let (boot, name) = (place.boots, &net.ports[index as usize].name);
        let local = place.clock.read(self.now);
        let detail = [u64::from(boot), local.as_nanos()];
        net.trace
            .event(self.now, Kind::Boot, index, detail, |line| {
                line.push_str(name);
                line.push_str(" boots");
            });
        let addresses = &place.addresses;
        let seen = Seen::Booted { boot, addresses };
        net.checkers.see(self.now, MachineId(index), &seen);
        place.machine = Some((place.factory)(Boot {
            number: boot,
            now: local,
            addresses: &place.addresses,
            store: place.store.clone(),
            seed: place.seed.split(&format!("boot {boot}")),
        }));
        self.make_ready(index);
    }

    fn end(&mut self, index: u32) {
        let (place, net) = (&mut self.places[index as usize], &mut self.net);
        place.machine = None;
        place.busy_until = Instant::ZERO;
        (place.due, place.listed) = (None, None);
        for frame in place.inbox.drain(..) {
            net.counts.not_running += 1;
            net.frames.release(frame);
        }
        let name = &net.ports[index as usize].name;
        net.trace.event(self.now, Kind::End, index, [0; 2], |line| {
            line.push_str(name);
            line.push_str(" is gone");
        });
        net.checkers.see(self.now, MachineId(index), &Seen::Ended);
    }
}

fn take_note(net: &mut Net, now: Instant, index: u32, note: &Note<'_>) {
    let name = &net.ports[index as usize].name;
    let (detail, bytes) = match *note {
        Note::Text(text) => ([text.len() as u64, 1], text.as_bytes()),
        Note::Wrote { stream, end } => ([stream, end], &[][..]),
        Note::Finished { stream, end } | Note::Ended { stream, end } => ([stream, !end], &[][..]),
        Note::Read {
            stream,
            start,
            bytes,
        }
        | Note::Datagram {
            stream,
            start,
            bytes,
        } => ([stream ^ bytes.len() as u64, start], bytes),
    };
    net.trace.event(now, Kind::Note, index, detail, |line| {
        line.push_str(name);
        line.push_str(&match *note {
            Note::Text(text) => format!(": {text}"),
            Note::Wrote { stream, end } => format!(" wrote {stream:x} up to {end}"),
            Note::Finished { stream, end } => format!(" finished {stream:x} at {end}"),
            Note::Ended { stream, end } => format!(" was told that {stream:x} ends at {end}"),
            Note::Read { stream, start, .. } => {
                format!(" read {} of {stream:x} at {start}", bytes.len())
            }
            Note::Datagram { stream, start, .. } => {
                format!(" got a datagram, {} of {stream:x} at {start}", bytes.len())
            }
        });
    });
    net.trace.bytes(bytes);
    net.checkers.see(now, MachineId(index), &Seen::Noted(*note));
}
