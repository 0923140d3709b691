//! The nodes of one shard and the links between them, stepped together.

use nexus_types::Instant;

/// Every node one thread owns, with the segments that join them.
#[derive(Debug, Default)]
pub struct Mesh {}

impl Mesh {
    /// No node yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Moves what is to be moved between nodes, links and NICs, a bounded amount.
    pub fn step(&mut self, _now: Instant) {}

    /// When [`Mesh::handle_timeout`] is due next.
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        None
    }

    /// Lets every node whose timer is due act.
    pub fn handle_timeout(&mut self, _now: Instant) {}
}
