//! Frames of every node, on their way to a capture file.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use nexus_nic::{Capture, CaptureError, Direction, InterfaceId};
use nexus_types::{Instant, NodeId};

pub(super) use nexus_nic::LinkType;

use super::{Driver, Network, Weight};

/// A capture, and which of its interfaces is which node.
#[derive(Debug)]
pub(super) struct Captured {
    capture: Capture,
    interfaces: BTreeMap<NodeId, InterfaceId>,
}

impl Driver {
    /// Writes down every frame at the door of every node that is added from now on, until the disk
    /// is full: then the capture ends, the operator is told, and traffic goes on.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn capture(&mut self, path: &Path) -> Result<(), CaptureError> {
        let captured = Arc::new(Mutex::new(Captured {
            capture: Capture::create(path)?,
            interfaces: BTreeMap::new(),
        }));
        // The shard counts from a moment of its own; a capture from 1970.
        let epoch = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let origin = epoch.saturating_sub(self.shard().now() - Instant::ZERO);
        let (shown, tell) = (captured.clone(), self.teller());
        self.shard().enter(|mesh, _| {
            mesh.observe_frames(Box::new(move |node, direction, now, frame| {
                let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
                let Some(interface) = shown.interfaces.get(&node).copied() else {
                    return;
                };
                let direction = match direction {
                    nexus_node::Direction::In => Direction::In,
                    nexus_node::Direction::Out => Direction::Out,
                };
                let at = origin + (now - Instant::ZERO);
                shown.capture.record(interface, at, direction, frame);
                if let Some(end) = shown.capture.take_end() {
                    tell(node, Weight::Warning, &end);
                }
            }));
        });
        self.captured = Some(captured);
        Ok(())
    }

    pub(super) fn capture_node(&mut self, node: NodeId, link: LinkType, network: &Network) {
        if let Some(captured) = &self.captured {
            let mut captured = captured.lock().unwrap_or_else(PoisonError::into_inner);
            let interface = captured.capture.add_interface(link, &network.to_string());
            captured.interfaces.insert(node, interface);
        }
    }
}
