//! What stands on a node of a scenario: apps under test, or peers that answer as a script says.

use nexus_sim::{Machine, Note, Station, Vitals};
use nexus_stack::Stats;
use nexus_types::Instant;

use crate::driver::GuestMachine;

/// See the module.
pub(super) enum Place {
    Guests(GuestMachine),
    Peers(Box<Station>),
}

impl Place {
    /// Ends what runs on it, with all it has open.
    pub(super) fn end_apps(&mut self, now: Instant) {
        match self {
            Self::Guests(machine) => machine.end_apps(now),
            Self::Peers(station) => station.end_apps(now),
        }
    }

    /// The counters of its stack.
    pub(super) fn stats(&self) -> Stats {
        match self {
            Self::Guests(machine) => machine.stats(),
            Self::Peers(station) => *station.node().stack().stats(),
        }
    }

    fn machine(&mut self) -> &mut dyn Machine {
        match self {
            Self::Guests(machine) => machine,
            Self::Peers(station) => &mut **station,
        }
    }
}

impl Machine for Place {
    fn handle_frame(&mut self, now: Instant, frame: &[u8]) {
        self.machine().handle_frame(now, frame);
    }

    fn handle_timeout(&mut self, now: Instant) {
        self.machine().handle_timeout(now);
    }

    fn run(&mut self, now: Instant) -> Option<Instant> {
        self.machine().run(now)
    }

    fn poll_transmit(&mut self, now: Instant, send: &mut dyn FnMut(&[u8])) {
        self.machine().poll_transmit(now, send);
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        self.machine().poll_timeout()
    }

    fn take_notes(&mut self, note: &mut dyn FnMut(Note<'_>)) {
        self.machine().take_notes(note);
    }

    fn vitals(&self) -> Vitals {
        match self {
            Self::Guests(machine) => machine.vitals(),
            Self::Peers(station) => station.vitals(),
        }
    }
}
