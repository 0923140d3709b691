//! What can go wrong, and a plan of it.

use nexus_types::{Duration, Instant, InterfaceAddress};

use crate::dice::Ppm;
use crate::link::{Burst, Conditions};
use crate::machine::MachineId;

/// Which directions: from anybody or one machine, to anybody or one machine.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Span {
    /// None: anybody.
    pub from: Option<MachineId>,
    /// None: anybody.
    pub to: Option<MachineId>,
}

impl Span {
    /// All directions.
    pub const ALL: Self = Self {
        from: None,
        to: None,
    };

    /// One direction.
    pub const fn between(from: MachineId, to: MachineId) -> Self {
        Self {
            from: Some(from),
            to: Some(to),
        }
    }

    pub(crate) fn holds(&self, from: MachineId, to: MachineId) -> bool {
        self.from.is_none_or(|one| one == from) && self.to.is_none_or(|one| one == to)
    }
}

/// What happens to directions. Where several are in force, delays add up, the larger chance holds and the
/// narrower limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkFault {
    /// So much more latency.
    Latency(Duration),
    /// See [`Conditions::jitter`].
    Jitter(Duration),
    /// See [`Conditions::rate`] and [`Conditions::queue`].
    Rate {
        /// Bits a second; 0 counts as 1.
        rate: u64,
        /// Bytes.
        queue: u64,
    },
    /// See [`Conditions::loss`].
    Loss(Ppm),
    /// See [`Conditions::burst`].
    Burst(Burst),
    /// See [`Conditions::duplication`].
    Duplication(Ppm),
    /// See [`Conditions::reorder`].
    Reorder {
        /// How many.
        chance: Ppm,
        /// By how much, at most.
        by: Duration,
    },
    /// See [`Conditions::bit_flip`].
    BitFlip(Ppm),
    /// See [`Conditions::truncation`].
    Truncation(Ppm),
    /// See [`Conditions::mtu`].
    Mtu(usize),
    /// See [`Conditions::replay`].
    Replay(Ppm),
    /// See [`Conditions::cut`]. One direction of two makes a partition that only one end notices.
    Cut,
    /// See [`Conditions::clogged`].
    Clog,
}

impl LinkFault {
    /// Makes conditions those of a direction it is in force for.
    pub fn change(&self, conditions: &mut Conditions) {
        let larger = |held: &mut Ppm, other: Ppm| *held = (*held).max(other);
        match *self {
            Self::Latency(more) => conditions.latency += more,
            Self::Jitter(more) => conditions.jitter += more,
            Self::Rate { rate, queue } => {
                let rate = core::num::NonZeroU64::new(rate).unwrap_or(core::num::NonZeroU64::MIN);
                conditions.rate = Some(conditions.rate.map_or(rate, |held| held.min(rate)));
                conditions.queue = conditions.queue.min(queue);
            }
            Self::Loss(chance) => larger(&mut conditions.loss, chance),
            Self::Burst(burst) => conditions.burst = Some(burst),
            Self::Duplication(chance) => larger(&mut conditions.duplication, chance),
            Self::Reorder { chance, by } => {
                larger(&mut conditions.reorder, chance);
                conditions.reorder_by = conditions.reorder_by.max(by);
            }
            Self::BitFlip(chance) => larger(&mut conditions.bit_flip, chance),
            Self::Truncation(chance) => larger(&mut conditions.truncation, chance),
            Self::Mtu(mtu) => {
                conditions.mtu = Some(conditions.mtu.map_or(mtu, |held| held.min(mtu)));
            }
            Self::Replay(chance) => larger(&mut conditions.replay, chance),
            Self::Cut => conditions.cut = true,
            Self::Clog => conditions.clogged = true,
        }
    }
}

/// What happens to a machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum MachineFault {
    /// It stands still; its NIC keeps some frames meanwhile.
    Pause,
    /// It is gone at once, and what its store had not synced may be; when the fault is over it boots.
    Crash,
    /// Its NIC carries nothing.
    NicDown,
    /// Its clock is stepped once, by nanoseconds.
    ClockStep(i64),
    /// Its clock is fast by parts of a million.
    ClockDrift(i32),
    /// It is configured anew and restarted with these addresses; when the fault is over, with its own.
    Addresses(Vec<InterfaceAddress>),
}

/// Something that goes wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// With directions.
    Link(Span, LinkFault),
    /// With a machine.
    Machine(MachineId, MachineFault),
}

/// A fault with its time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Planned {
    /// When it begins.
    pub at: Instant,
    /// How long it is in force.
    pub lasts: Duration,
    /// What it is.
    pub fault: Fault,
}

/// What goes wrong in a run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// In any order.
    pub faults: Vec<Planned>,
}

impl Plan {
    /// When the last fault is over.
    pub fn over(&self) -> Instant {
        let ends = self.faults.iter().map(|fault| fault.at + fault.lasts);
        ends.max().unwrap_or(Instant::ZERO)
    }
}
