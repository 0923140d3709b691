//! One file = one WIT interface: what a granted import of an app reaches, behind the gate and its quota.

mod shard;

pub use shard::{Clock, Shard, Sleep};
