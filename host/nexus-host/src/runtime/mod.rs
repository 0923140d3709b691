//! From a file to a running app: load, look at its imports, link what it was granted, run it.
//!
//! ```text
//! file -> load (bounded, told apart) -> cache (compiled code) -> imports (what it wants)
//!      -> policy (what it gets) -> linker (only that) -> instance (limits, deadline) -> outcome
//! ```
//! No guest instruction runs before the last step.

pub mod cache;
pub mod clocks;
pub mod control;
pub mod early;
pub mod engine;
pub mod files;
mod held;
pub mod http;
pub mod imports;
pub mod instance;
pub mod limits;
pub mod linker;
mod listing;
pub mod load;
mod open;
mod outgoing;
pub mod owned;
pub mod revoked;
pub mod shown;
pub mod signals;
pub mod state;
pub mod stdio;
mod streams;
