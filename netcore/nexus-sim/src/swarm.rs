//! What goes wrong, drawn from a seed: which kinds of faults are on, how strong they are, and when.
//!
//! Not all at once: a run in which everything goes wrong tests little, because nothing gets far. Each kind is on in
//! a part of the seeds.

use nexus_types::{Duration, Instant, InterfaceAddress, Seed};

use crate::dice::{Dice, Ppm};
use crate::fault::{Fault, LinkFault, MachineFault, Plan, Planned, Span};
use crate::link::Burst;
use crate::machine::MachineId;

/// A machine that things may happen to.
#[derive(Clone, Debug)]
pub struct Victim {
    /// Which.
    pub machine: MachineId,
    /// Addresses it may be given for a time; none: it keeps its own.
    pub others: Vec<InterfaceAddress>,
}

/// Draws plans. See the module.
pub struct Swarm<'a> {
    dice: Dice,
    victims: &'a [Victim],
    chaos: Duration,
    plan: Plan,
}

impl<'a> Swarm<'a> {
    /// What goes wrong among these machines between the beginning and `chaos`; all of it is over then.
    pub fn draw(seed: &Seed, victims: &'a [Victim], chaos: Duration) -> Plan {
        let mut swarm = Self {
            dice: Dice::new(&seed.split("swarm")),
            victims,
            chaos,
            plan: Plan::default(),
        };
        if !victims.is_empty() {
            swarm.links();
            swarm.machines();
        }
        swarm.plan
    }

    fn is_on(&mut self, per_mille: u32) -> bool {
        self.dice.chance(Ppm::per_mille(per_mille))
    }

    fn per_mille(&mut self, most: u64) -> Ppm {
        Ppm::new(self.dice.within(1_000, most * 1_000) as u32)
    }

    fn millis(&mut self, least: u64, most: u64) -> Duration {
        Duration::from_micros(self.dice.within(least * 1_000, most * 1_000))
    }

    fn machine(&mut self) -> MachineId {
        self.victims[self.dice.below(self.victims.len() as u64) as usize].machine
    }

    /// Everybody, what one sends, or what one gets.
    fn span(&mut self) -> Span {
        let machine = Some(self.machine());
        match self.dice.below(4) {
            0 => Span {
                from: machine,
                to: None,
            },
            1 => Span {
                from: None,
                to: machine,
            },
            _ => Span::ALL,
        }
    }

    /// A fault at a drawn time, of a drawn length of at most `most` milliseconds.
    fn episode(&mut self, most: u64, fault: Fault) {
        let chaos = u64::try_from(self.chaos.as_millis()).unwrap_or(u64::MAX);
        let lasts = self.millis(10, most.min(chaos.max(11)));
        let at = self.dice.up_to(self.chaos.saturating_sub(lasts));
        self.push(at, lasts, fault);
    }

    fn push(&mut self, at: Duration, lasts: Duration, fault: Fault) {
        let at = Instant::ZERO + at;
        self.plan.faults.push(Planned { at, lasts, fault });
    }

    /// For the whole of the chaos.
    fn throughout(&mut self, fault: LinkFault) {
        let span = self.span();
        self.push(Duration::ZERO, self.chaos, Fault::Link(span, fault));
    }

    fn links(&mut self) {
        if self.is_on(500) {
            let chance = self.per_mille(80);
            self.throughout(LinkFault::Loss(chance));
        }
        if self.is_on(300) {
            let burst = Burst {
                begin: self.per_mille(20),
                end: self.per_mille(300),
                loss: Ppm::per_mille(900),
            };
            self.throughout(LinkFault::Burst(burst));
        }
        if self.is_on(400) {
            let jitter = self.millis(1, 30);
            self.throughout(LinkFault::Jitter(jitter));
        }
        if self.is_on(400) {
            let (chance, by) = (self.per_mille(250), self.millis(1, 60));
            self.throughout(LinkFault::Reorder { chance, by });
        }
        if self.is_on(300) {
            let chance = self.per_mille(60);
            self.throughout(LinkFault::Duplication(chance));
        }
        if self.is_on(300) {
            let chance = self.per_mille(50);
            self.throughout(LinkFault::BitFlip(chance));
        }
        if self.is_on(200) {
            let chance = self.per_mille(30);
            self.throughout(LinkFault::Truncation(chance));
        }
        if self.is_on(250) {
            let chance = self.per_mille(200);
            self.throughout(LinkFault::Replay(chance));
        }
        if self.is_on(250) {
            let rate = self.dice.within(200_000, 50_000_000);
            let queue = self.dice.within(4_000, 200_000);
            self.throughout(LinkFault::Rate { rate, queue });
        }
        self.episodes();
    }

    fn episodes(&mut self) {
        type Drawn = fn(&mut Swarm<'_>) -> LinkFault;
        let kinds: [(u32, u64, Drawn); 4] = [
            (300, 8_000, |_| LinkFault::Cut),
            (200, 5_000, |_| LinkFault::Clog),
            (200, 4_000, |swarm| LinkFault::Latency(swarm.millis(1, 800))),
            (150, 4_000, |swarm| {
                LinkFault::Mtu(swarm.dice.within(100, 1_400) as usize)
            }),
        ];
        for (per_mille, most, draw) in kinds {
            while self.is_on(per_mille) {
                let (span, fault) = (self.span(), draw(self));
                self.episode(most, Fault::Link(span, fault));
            }
        }
    }

    fn machines(&mut self) {
        type Drawn = fn(&mut Swarm<'_>) -> MachineFault;
        let kinds: [(u32, u64, Drawn); 5] = [
            (200, 3_000, |_| MachineFault::Pause),
            (150, 8_000, |_| MachineFault::Crash),
            (150, 5_000, |_| MachineFault::NicDown),
            (150, 10, |swarm| {
                let nanos = swarm.dice.below(40_000_000_000).cast_signed();
                MachineFault::ClockStep(nanos - 20_000_000_000)
            }),
            (200, 60_000, |swarm| {
                let drift = swarm.dice.below(100_000) as i32;
                MachineFault::ClockDrift(drift - 50_000)
            }),
        ];
        for (per_mille, most, draw) in kinds {
            while self.is_on(per_mille) {
                let (machine, fault) = (self.machine(), draw(self));
                self.episode(most, Fault::Machine(machine, fault));
            }
        }
        if self.is_on(100) {
            let at = self.dice.below(self.victims.len() as u64) as usize;
            let Victim { machine, others } = self.victims[at].clone();
            if !others.is_empty() {
                let fault = MachineFault::Addresses(others);
                self.episode(8_000, Fault::Machine(machine, fault));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: every kind of fault is drawn, none outlasts the chaos, and a seed always gives the same.
    #[test]
    fn every_kind_is_drawn_and_all_is_over_in_time() {
        let own = InterfaceAddress::new([10, 0, 0, 9].into(), 24).unwrap();
        let victims = [0, 1].map(|number| Victim {
            machine: MachineId(number),
            others: vec![own],
        });
        let chaos = Duration::from_secs(9);
        let mut kinds = std::collections::BTreeSet::new();
        let mut quiet = 0;
        for number in 0..500 {
            let seed = Seed::from_number(number);
            let plan = Swarm::draw(&seed, &victims, chaos);
            assert_eq!(plan, Swarm::draw(&seed, &victims, chaos));
            assert!(plan.over() <= Instant::ZERO + chaos, "{plan:?}");
            quiet += u32::from(plan.faults.len() < 3);
            for planned in plan.faults {
                let said = match planned.fault {
                    Fault::Link(_, fault) => format!("{fault:?}"),
                    Fault::Machine(_, fault) => format!("{fault:?}"),
                };
                kinds.insert(said.split(['(', ' ']).next().unwrap_or("").to_owned());
            }
        }
        assert_eq!(kinds.len(), 13 + 6, "{kinds:?}");
        assert!(quiet > 20 && quiet < 200, "{quiet}");
    }
}
