//! What netcore's fuzzers run: bytes in, invariants asserted, nothing out.
//!
//! One module a target; [`TARGETS`] lists them for the replay of `corpus/`, which runs with plain
//! `cargo test` on stable. How to fuzz, and what was found: `README.md`.

pub mod dns;
pub mod ethernet;
pub mod frame;
mod input;
pub mod manifest;
pub mod policy;
pub mod reassembler;
pub mod rule;
pub mod rule_vs_address;
mod text;
pub mod url_decision;
mod wire;

/// A target's name, which is its corpus folder's too, and what it runs.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("dns", dns::run),
    ("ethernet", ethernet::run),
    ("frame", frame::run),
    ("manifest", manifest::run),
    ("policy", policy::run),
    ("reassembler", reassembler::run),
    ("rule", rule::run),
    ("rule_vs_address", rule_vs_address::run),
    ("url_decision", url_decision::run),
];
