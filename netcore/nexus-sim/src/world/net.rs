//! The wires of a world: segments, who is on them, and the frames on their way.

use core::fmt;
use std::borrow::Cow;
use std::collections::BTreeMap;

use nexus_types::{Instant, InterfaceAddress, IpAddr, Ipv4Addr, Seed};

use crate::checker::{Checkers, Seen};
use crate::dice::Dice;
use crate::fault::{LinkFault, Span};
use crate::frames::{FrameId, Frames};
use crate::limits;
use crate::link::{Conditions, Link};
use crate::machine::MachineId;
use crate::queue::{Queue, What};
use crate::trace::{Kind, Trace};
use crate::wire;

/// A segment of a world: who is on it hears the others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct SegmentId(pub u32);

/// What a segment carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Carries {
    /// Bare IP packets: each goes to whose address it has, multicast and broadcast to all.
    Packets,
    /// Ethernet frames: each goes to whose hardware address it has, group addresses to all. Nobody checks who
    /// claims an IP address, so neighbours can be lied to.
    Ethernet,
}

/// What became of frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// Left a machine.
    pub sent: u64,
    /// Bytes of them.
    pub sent_bytes: u64,
    /// Reached a machine.
    pub arrived: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Lost in a partition.
    pub cut: u64,
    /// Lost: longer than the direction carries.
    pub over_mtu: u64,
    /// Lost: the queue before a slow line was full.
    pub queue_full: u64,
    /// Lost: nobody has the address.
    pub nobody: u64,
    /// Lost: the NIC of either end was down.
    pub nic_down: u64,
    /// Lost: the machine they were for was not running.
    pub not_running: u64,
    /// Lost: a limit of [`crate::limits`] was reached.
    pub over_limit: u64,
    /// Came twice.
    pub duplicated: u64,
    /// Came late, past others.
    pub reordered: u64,
    /// Had a bit changed.
    pub flipped: u64,
    /// Came without their end.
    pub truncated: u64,
    /// Came again later.
    pub replayed: u64,
    /// Faults not begun: as many as [`limits::FAULTS`] were in force.
    pub faults_refused: u64,
}

/// Why something cannot be added to a world.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WorldError {
    /// Another machine of the segment has this address.
    AddressTaken(IpAddr),
    /// Another machine of the segment has this hardware address.
    HardwareAddressTaken([u8; 6]),
    /// On an Ethernet a machine needs a hardware address that is not a group's.
    HardwareAddress,
    /// The segment is not of this world.
    NoSuchSegment,
    /// The machine is not of this world.
    NoSuchMachine,
    /// There are [`limits::MACHINES`].
    TooManyMachines,
    /// [`limits::ACTIONS`] wait.
    TooManyActions,
}

impl fmt::Display for WorldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddressTaken(ip) => write!(f, "another machine of the segment has {ip}"),
            Self::HardwareAddressTaken(mac) => {
                write!(f, "another machine of the segment has {mac:02x?}")
            }
            Self::HardwareAddress => f.write_str(
                "on an Ethernet a machine needs a hardware address that is not a group's",
            ),
            Self::NoSuchSegment => f.write_str("the world has no such segment"),
            Self::NoSuchMachine => f.write_str("the world has no such machine"),
            Self::TooManyMachines => write!(f, "a world has at most {} machines", limits::MACHINES),
            Self::TooManyActions => write!(f, "at most {} actions wait", limits::ACTIONS),
        }
    }
}

impl core::error::Error for WorldError {}

struct Segment {
    carries: Carries,
    conditions: Conditions,
    members: Vec<u32>,
    by_address: BTreeMap<IpAddr, u32>,
    by_mac: BTreeMap<[u8; 6], u32>,
}

/// Where a machine is attached.
pub(super) struct Port {
    pub(super) name: String,
    segment: u32,
    pub(super) up: bool,
    /// Frames on their way to it.
    coming: u32,
}

pub(super) struct Net {
    seed: Seed,
    segments: Vec<Segment>,
    pub(super) ports: Vec<Port>,
    /// Directions that differ from their segment.
    directions: BTreeMap<(u32, u32), Conditions>,
    links: BTreeMap<(u32, u32), Link>,
    faults: Vec<(Span, LinkFault)>,
    /// Counts changes of conditions and faults.
    version: u64,
    pub(super) frames: Frames,
    pub(super) queue: Queue,
    pub(super) trace: Trace,
    pub(super) checkers: Checkers,
    pub(super) counts: Counts,
}

impl Net {
    pub(super) fn new(seed: Seed) -> Self {
        Self {
            seed,
            segments: Vec::new(),
            ports: Vec::new(),
            directions: BTreeMap::new(),
            links: BTreeMap::new(),
            faults: Vec::new(),
            version: 0,
            frames: Frames::default(),
            queue: Queue::default(),
            trace: Trace::new(),
            checkers: Checkers::default(),
            counts: Counts::default(),
        }
    }

    pub(super) fn add_segment(&mut self, carries: Carries, conditions: Conditions) -> SegmentId {
        self.segments.push(Segment {
            carries,
            conditions,
            members: Vec::new(),
            by_address: BTreeMap::new(),
            by_mac: BTreeMap::new(),
        });
        SegmentId(self.segments.len() as u32 - 1)
    }

    pub(super) fn add_port(
        &mut self,
        name: &str,
        segment: SegmentId,
        addresses: &[InterfaceAddress],
        mac: Option<[u8; 6]>,
    ) -> Result<MachineId, WorldError> {
        if self.ports.len() == limits::MACHINES {
            return Err(WorldError::TooManyMachines);
        }
        let index = self.ports.len() as u32;
        let place = self
            .segments
            .get_mut(segment.0 as usize)
            .ok_or(WorldError::NoSuchSegment)?;
        match place.carries {
            Carries::Packets => {
                let mut ips = addresses.iter().map(|own| own.address());
                if let Some(taken) = ips.find(|ip| place.by_address.contains_key(ip)) {
                    return Err(WorldError::AddressTaken(taken));
                }
            }
            Carries::Ethernet => {
                let mac = mac
                    .filter(|mac| mac[0] & 1 == 0)
                    .ok_or(WorldError::HardwareAddress)?;
                if place.by_mac.contains_key(&mac) {
                    return Err(WorldError::HardwareAddressTaken(mac));
                }
                place.by_mac.insert(mac, index);
            }
        }
        place.members.push(index);
        self.ports.push(Port {
            name: name.to_owned(),
            segment: segment.0,
            up: true,
            coming: 0,
        });
        self.set_addresses(index, &[], addresses);
        Ok(MachineId(index))
    }

    /// Packets for these addresses go to the machine from now on. Where another one has an address, it keeps it.
    pub(super) fn set_addresses(
        &mut self,
        machine: u32,
        old: &[InterfaceAddress],
        new: &[InterfaceAddress],
    ) {
        let segment = self.ports[machine as usize].segment;
        let by_address = &mut self.segments[segment as usize].by_address;
        for own in old {
            if by_address.get(&own.address()) == Some(&machine) {
                by_address.remove(&own.address());
            }
        }
        for own in new {
            by_address.entry(own.address()).or_insert(machine);
        }
    }

    pub(super) fn is_ethernet(&self, machine: u32) -> bool {
        let segment = self.ports[machine as usize].segment;
        self.segments[segment as usize].carries == Carries::Ethernet
    }

    pub(super) fn set_conditions(&mut self, segment: SegmentId, conditions: Conditions) {
        if let Some(segment) = self.segments.get_mut(segment.0 as usize) {
            segment.conditions = conditions;
        }
    }

    pub(super) fn set_direction(&mut self, from: MachineId, to: MachineId, conditions: Conditions) {
        self.directions.insert((from.0, to.0), conditions);
    }

    pub(super) fn set_faults(&mut self, faults: Vec<(Span, LinkFault)>) {
        self.faults = faults;
    }

    /// Conditions or faults have changed: what a clog held may come out.
    pub(super) fn refresh(&mut self, now: Instant) {
        self.version += 1;
        let clogged = self.links.iter().filter(|(_, link)| !link.held.is_empty());
        let clogged: Vec<_> = clogged.map(|(key, _)| *key).collect();
        for (from, to) in clogged {
            let conditions = *self.conditions(from, to);
            let Some(link) = self.links.get_mut(&(from, to)) else {
                continue;
            };
            link.conditions = conditions;
            if conditions.clogged {
                continue;
            }
            let (queue, coming) = (&mut self.queue, &mut self.ports[to as usize].coming);
            let mut over = 0;
            link.release(
                now,
                &mut self.frames,
                &mut self.counts,
                &mut |frames, at, frame| arrive(queue, frames, coming, &mut over, to, at, frame),
            );
            self.counts.over_limit += over;
        }
    }

    /// How a direction is now.
    fn conditions(&self, from: u32, to: u32) -> Cow<'_, Conditions> {
        let segment = self.ports[from as usize].segment;
        let mut conditions = Cow::Borrowed(&self.segments[segment as usize].conditions);
        if !self.directions.is_empty()
            && let Some(own) = self.directions.get(&(from, to))
        {
            conditions = Cow::Borrowed(own);
        }
        for (span, fault) in &self.faults {
            if span.holds(MachineId(from), MachineId(to)) {
                fault.change(conditions.to_mut());
            }
        }
        conditions
    }

    /// A machine sends a frame.
    pub(super) fn send(&mut self, now: Instant, from: u32, bytes: &[u8]) {
        let ethernet = self.is_ethernet(from);
        let name = &self.ports[from as usize].name;
        self.counts.sent += 1;
        self.counts.sent_bytes += bytes.len() as u64;
        let detail = [bytes.len() as u64, 0];
        self.trace.event(now, Kind::Sent, from, detail, |line| {
            line.push_str(name);
            line.push_str(" sends ");
            wire::describe(ethernet, bytes, line);
        });
        self.trace.bytes(bytes);
        let frame = bytes;
        let seen = Seen::Sent { ethernet, frame };
        self.checkers.see(now, MachineId(from), &seen);
        if !self.ports[from as usize].up {
            self.counts.nic_down += 1;
            return;
        }
        if bytes.len() > limits::FRAME_BYTES {
            self.counts.over_limit += 1;
            return;
        }
        let segment = &self.segments[self.ports[from as usize].segment as usize];
        let to = match segment.carries {
            Carries::Packets => wire::destination(bytes).map(|ip| {
                let all = ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST);
                (all, segment.by_address.get(&ip))
            }),
            Carries::Ethernet => wire::Ethernet::parse(bytes)
                .map(|header| (header.is_group(), segment.by_mac.get(&header.to))),
        };
        let to = to.map(|(all, one)| (all, one.copied()));
        let (Some((true, _)) | Some((_, Some(_)))) = to else {
            self.counts.nobody += 1;
            return;
        };
        let Some(frame) = self.frames.add(bytes) else {
            self.counts.over_limit += 1;
            return;
        };
        match to {
            Some((true, _)) => {
                let segment = self.ports[from as usize].segment as usize;
                for place in 0..self.segments[segment].members.len() {
                    let to = self.segments[segment].members[place];
                    if to != from {
                        self.carry(now, from, to, frame);
                    }
                }
            }
            Some((_, Some(to))) => self.carry(now, from, to, frame),
            _ => {}
        }
        self.frames.release(frame);
    }

    fn carry(&mut self, now: Instant, from: u32, to: u32, frame: FrameId) {
        let (mut over, key) = (0, (from, to));
        if self.links.is_empty() || !self.links.contains_key(&key) {
            let conditions = self.conditions(from, to);
            if let Some(latency) = conditions.plain() {
                self.frames.hold(frame);
                let coming = &mut self.ports[to as usize].coming;
                let (queue, frames) = (&mut self.queue, &mut self.frames);
                arrive(queue, frames, coming, &mut over, to, now + latency, frame);
                self.counts.over_limit += over;
                return;
            }
            let conditions = *conditions;
            let dice = Dice::new(&self.seed.split(&format!("{from} > {to}")));
            let link = Link::new(dice, conditions, self.version, self.is_ethernet(from));
            self.links.insert(key, link);
        }
        let conditions = match self.links.get(&key) {
            Some(link) if link.version == self.version => link.conditions,
            _ => *self.conditions(from, to),
        };
        let Some(link) = self.links.get_mut(&key) else {
            return;
        };
        (link.conditions, link.version) = (conditions, self.version);
        let (queue, coming) = (&mut self.queue, &mut self.ports[to as usize].coming);
        link.carry(
            now,
            frame,
            &mut self.frames,
            &mut self.counts,
            &mut |frames, at, frame| arrive(queue, frames, coming, &mut over, to, at, frame),
        );
        self.counts.over_limit += over;
    }

    /// A frame comes to a machine's NIC; whether that takes it.
    pub(super) fn arrived(&mut self, machine: u32) -> bool {
        let port = &mut self.ports[machine as usize];
        port.coming -= 1;
        self.counts.nic_down += u64::from(!port.up);
        port.up
    }

    /// What was captured for replays is let go.
    pub(super) fn forget_captured(&mut self) {
        for link in self.links.values_mut() {
            link.forget(&mut self.frames);
        }
    }
}

/// Puts a frame on its way; it has a holder for this.
fn arrive(
    queue: &mut Queue,
    frames: &mut Frames,
    coming: &mut u32,
    over_limit: &mut u64,
    machine: u32,
    at: Instant,
    frame: FrameId,
) {
    if *coming == limits::FRAMES_TO_ONE || !queue.has_room() {
        *over_limit += 1;
        frames.release(frame);
        return;
    }
    *coming += 1;
    queue.push(at, What::Arrival { machine, frame });
}
