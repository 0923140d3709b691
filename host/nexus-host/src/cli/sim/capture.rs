//! `--pcap`: every frame at the door of every machine, as `run --pcap` writes it.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use nexus_nic::{Capture, Direction, InterfaceId, LinkType};
use nexus_sim::MachineId;
use nexus_sim::checker::{Checker, Found, Seen};
use nexus_types::Instant;

use super::run::{MIDNIGHT, host_error};
use super::scenario::Scenario;
use crate::cli::CliError;

/// The file, while it is written.
pub(super) struct Frames {
    capture: Rc<RefCell<Capture>>,
    interfaces: Vec<InterfaceId>,
}

impl Frames {
    pub(super) fn create(path: &Path, scenario: &Scenario) -> Result<Self, CliError> {
        let mut capture = Capture::create(path).map_err(host_error)?;
        let nodes = scenario.nodes.iter();
        let interfaces = nodes.map(|node| capture.add_interface(LinkType::Ip, node.name.as_str()));
        Ok(Self {
            interfaces: interfaces.collect(),
            capture: Rc::new(RefCell::new(capture)),
        })
    }

    /// What a world shows its frames to.
    pub(super) fn checker(&self) -> Box<dyn Checker> {
        Box::new(Self {
            capture: self.capture.clone(),
            interfaces: self.interfaces.clone(),
        })
    }

    /// Writes the rest.
    pub(super) fn finish(self) -> Result<(), CliError> {
        let mut capture = self.capture.borrow_mut();
        capture.flush();
        capture
            .take_end()
            .map_or(Ok(()), |end| Err(host_error(end)))
    }
}

impl Checker for Frames {
    fn name(&self) -> &'static str {
        "capture"
    }

    fn see(&mut self, at: Instant, machine: MachineId, seen: &Seen<'_>, _: &mut Found<'_>) {
        let (direction, frame) = match seen {
            Seen::Sent { frame, .. } => (Direction::Out, frame),
            Seen::Arrived { frame, .. } => (Direction::In, frame),
            _ => return,
        };
        if let Some(interface) = self.interfaces.get(machine.0 as usize) {
            let since_epoch = MIDNIGHT + (at - Instant::ZERO);
            let mut capture = self.capture.borrow_mut();
            capture.record(*interface, since_epoch, direction, frame);
        }
    }
}
