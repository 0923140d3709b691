//! A node: stack and policy wired. Commands that carry a `Permit` in, events out; and the
//! in-process links between nodes.
//!
//! This wiring is what the host drives under real time and the simulator under virtual time.

mod mesh;

pub use mesh::Mesh;
