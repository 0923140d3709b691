//! What netcore's fuzzers run: bytes in, invariants asserted, nothing out.
//!
//! One module a target; [`TARGETS`] lists them for the replay of `corpus/`, which runs with plain
//! `cargo test` on stable. To fuzz (cargo-fuzz installed), from this folder:
//!
//! ```text
//! RUSTC_BOOTSTRAP=1 cargo fuzz run --fuzz-dir . --features libfuzzer dns target/corpus/dns corpus/dns
//! ```
//!
//! New inputs go to the first folder, which is not committed. What finds a bug, or reaches code that
//! the committed ones do not, is added to `corpus/` by hand, kept small.

pub mod config;
pub mod dns;
pub mod ethernet;
pub mod frame;
mod input;
pub mod reassembler;
pub mod rule;
mod wire;

/// A target's name, which is its corpus folder's too, and what it runs.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("config", config::run),
    ("dns", dns::run),
    ("ethernet", ethernet::run),
    ("frame", frame::run),
    ("reassembler", reassembler::run),
    ("rule", rule::run),
];
