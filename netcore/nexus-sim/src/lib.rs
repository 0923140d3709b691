//! A simulated network: machines that are production nodes, on one thread, in virtual time, from one seed.
//!
//! A [`World`] has segments and machines. What a [`Machine`] is, the world does not know: here it is a
//! [`Station`], a production [`nexus_node::Mesh`] with native apps behind the production gate; in nexus-host it is
//! one with wasm guests. Its wire is a [`SimNic`]. Frames go over links that delay, lose, change, cut and hold
//! ([`Conditions`], [`LinkFault`]), machines crash, pause and have clocks of their own ([`MachineFault`]), and
//! checkers that share nothing with what they check look at everything ([`checker`]).
//!
//! Pure like all of netcore: the same seed and the same calls give the same run, byte for byte, in every build;
//! [`World::trace_hash`] says so.

pub mod checker;
pub mod limits;
pub mod standard;
pub mod station;
pub mod wire;

mod clock;
mod dice;
mod fault;
mod frames;
mod link;
mod machine;
mod nic;
mod queue;
mod shrink;
mod store;
mod stream;
mod swarm;
mod trace;
mod world;

pub use clock::{DRIFT_MAX, LocalClock};
pub use dice::{Dice, Ppm};
pub use fault::{Fault, LinkFault, MachineFault, Plan, Planned, Span};
pub use link::{Burst, Conditions};
pub use machine::{Boot, Factory, Machine, MachineId, Note, Tables, Vitals};
pub use nic::{SimNic, SimNicHandle, sim_nic};
pub use shrink::{TRIES, shrink};
pub use station::{App, Grants, Station, Turn, peers};
pub use store::{Store, StoreFull};
pub use stream::{stream_byte, stream_fill, stream_number};
pub use swarm::{Swarm, Victim};
pub use trace::TraceSink;
pub use world::{Action, Carries, Counts, MachineSpec, SegmentId, World, WorldError};
