//! What is done to a world at a time: starts, stops and faults.

use nexus_types::{Duration, Instant};

use super::{World, WorldError};
use crate::fault::{Fault, MachineFault, Plan};
use crate::limits;
use crate::machine::{Machine, MachineId};
use crate::queue::What;
use crate::trace::Kind;

/// Something to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// A machine is to run from now on.
    Start(MachineId),
    /// A machine is not to run any more.
    Stop(MachineId),
    /// Something goes wrong for a time; [`Duration::MAX`]: until [`World::calm`].
    Fault(Fault, Duration),
}

impl<M: Machine> World<M> {
    /// Does it at `at`, or next if that is over.
    ///
    /// # Errors
    /// It is about a machine that is not there, or too many wait.
    pub fn at(&mut self, at: Instant, action: Action) -> Result<(), WorldError> {
        let about = match &action {
            Action::Start(machine) | Action::Stop(machine) => Some(*machine),
            Action::Fault(Fault::Machine(machine, _), _) => Some(*machine),
            Action::Fault(Fault::Link(span, _), _) => span.from.max(span.to),
        };
        if about.is_some_and(|machine| machine.0 as usize >= self.places.len()) {
            return Err(WorldError::NoSuchMachine);
        }
        let index = match self.free_actions.pop() {
            Some(index) => index,
            None if self.actions.len() == limits::ACTIONS => {
                return Err(WorldError::TooManyActions);
            }
            None => {
                self.actions.push(None);
                self.actions.len() as u32 - 1
            }
        };
        self.actions[index as usize] = Some(action);
        self.net.queue.push(at.max(self.now), What::Action(index));
        Ok(())
    }

    /// Lets the faults of a plan happen.
    ///
    /// # Errors
    /// As of [`World::at`]; those before are planned.
    pub fn plan(&mut self, plan: &Plan) -> Result<(), WorldError> {
        plan.faults.iter().try_for_each(|planned| {
            let action = Action::Fault(planned.fault.clone(), planned.lasts);
            self.at(planned.at, action)
        })
    }

    /// Ends every fault, and forgets those to come and the frames kept for replays: from now on the world is as it
    /// was made.
    pub fn calm(&mut self) {
        for action in &mut self.actions {
            if matches!(action, Some(Action::Fault(..))) {
                *action = None;
            }
        }
        let numbers: Vec<_> = self.faults.iter().map(|(number, _)| *number).collect();
        for number in numbers {
            self.end_fault(number);
        }
        self.net.forget_captured();
    }

    /// Whether a fault is in force.
    pub fn is_calm(&self) -> bool {
        self.faults.is_empty()
    }

    pub(super) fn act(&mut self, action: Action) {
        match action {
            Action::Start(machine) => self.want(machine, true),
            Action::Stop(machine) => self.want(machine, false),
            Action::Fault(fault, lasts) => self.begin_fault(fault, lasts),
        }
    }

    fn want(&mut self, machine: MachineId, wanted: bool) {
        self.places[machine.0 as usize].wanted = wanted;
        self.settle(machine);
    }

    fn begin_fault(&mut self, fault: Fault, lasts: Duration) {
        if self.faults.len() == limits::FAULTS {
            self.net.counts.faults_refused += 1;
            return;
        }
        self.faults_begun += 1;
        let number = self.faults_begun;
        self.net.trace.event(
            self.now,
            Kind::FaultBegins,
            0,
            [number, lasts.as_nanos() as u64],
            |line| line.push_str(&format!("fault {number} begins: {fault:?} for {lasts:?}")),
        );
        let over = self.now + lasts;
        if over < Instant::FAR_FUTURE {
            self.net.queue.push(over, What::FaultOver(number));
        }
        let machine = match &fault {
            Fault::Link(..) => None,
            Fault::Machine(machine, kind) => Some((*machine, kind.clone())),
        };
        self.faults.push((number, fault));
        match machine {
            None => self.link_faults_changed(),
            Some((machine, kind)) => {
                self.strike(machine, &kind);
                self.settle(machine);
            }
        }
    }

    pub(super) fn end_fault(&mut self, number: u64) {
        let Some(at) = self.faults.iter().position(|(one, _)| *one == number) else {
            return;
        };
        self.net
            .trace
            .event(self.now, Kind::FaultEnds, 0, [number, 0], |line| {
                line.push_str(&format!("fault {number} is over"));
            });
        match self.faults.remove(at).1 {
            Fault::Link(..) => self.link_faults_changed(),
            Fault::Machine(machine, _) => self.settle(machine),
        }
    }

    fn link_faults_changed(&mut self) {
        let links = self.faults.iter().filter_map(|(_, fault)| match fault {
            Fault::Link(span, fault) => Some((*span, *fault)),
            Fault::Machine(..) => None,
        });
        self.net.set_faults(links.collect());
        self.net.refresh(self.now);
    }

    /// What happens once, when a fault begins.
    fn strike(&mut self, machine: MachineId, fault: &MachineFault) {
        let place = &mut self.places[machine.0 as usize];
        match fault {
            MachineFault::ClockStep(nanos) => {
                place.clock.step(self.now, *nanos);
                self.clock_changed(machine.0);
            }
            MachineFault::Crash if place.machine.is_some() => {
                place.store.crash(&mut self.dice);
                self.end(machine.0);
            }
            _ => {}
        }
    }

    /// Makes a machine what the faults in force make of it.
    fn settle(&mut self, machine: MachineId) {
        let index = machine.0 as usize;
        let (mut crashed, mut paused, mut up, mut drift) = (false, false, true, 0);
        let mut addresses = &self.places[index].own;
        for (_, fault) in &self.faults {
            match fault {
                Fault::Machine(of, fault) if *of == machine => match fault {
                    MachineFault::Crash => crashed = true,
                    MachineFault::Pause => paused = true,
                    MachineFault::NicDown => up = false,
                    MachineFault::ClockDrift(by) => drift = *by,
                    MachineFault::Addresses(others) => addresses = others,
                    MachineFault::ClockStep(_) => {}
                },
                _ => {}
            }
        }
        let addresses = addresses.clone();
        self.net.ports[index].up = up;
        let place = &mut self.places[index];
        if place.drift != drift {
            place.drift = drift;
            place.clock.set_drift(self.now, drift);
            self.clock_changed(machine.0);
        }
        if self.places[index].addresses != addresses {
            self.readdress(machine.0, addresses);
        }
        let place = &self.places[index];
        let runs = place.wanted && !crashed;
        match (place.machine.is_some(), runs) {
            (true, false) => self.end(machine.0),
            // What stands still does not boot.
            (false, true) if !paused => self.boot(machine.0),
            _ => {}
        }
        let resumes = self.places[index].paused && !paused;
        self.places[index].paused = paused;
        if resumes {
            for frame in core::mem::take(&mut self.places[index].inbox) {
                self.hand(machine.0, frame);
            }
            self.make_ready(machine.0);
        }
    }

    /// What is due when must be asked anew: it gets a turn in which something may be.
    fn clock_changed(&mut self, index: u32) {
        self.places[index as usize].due = Some(self.now);
        self.make_ready(index);
    }

    /// Gives a machine other addresses; if it runs, it is restarted.
    fn readdress(&mut self, index: u32, new: Vec<nexus_types::InterfaceAddress>) {
        let place = &mut self.places[index as usize];
        let old = core::mem::replace(&mut place.addresses, new);
        self.net.set_addresses(index, &old, &place.addresses);
        if place.machine.is_some() {
            self.end(index);
        }
    }
}
