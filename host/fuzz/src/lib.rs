//! What the host's fuzzers run: bytes in, invariants asserted, nothing out.
//!
//! Modules of nexus-host that are under test are built here from its own files, with the little they use of it, so
//! that a build with libFuzzer has no Cranelift in it: minutes less, and coverage that is of the reader. That they need
//! no more of nexus-host is a property of theirs that this keeps.
//!
//! One module a target; [`TARGETS`] lists them for the replay of `corpus/`, which runs with plain
//! `cargo test` on stable. How to fuzz, and what was found: `netcore/fuzz/README.md`.

pub mod audit_reader;
pub mod http_response;
mod input;
pub mod wasi_sockets;

/// nexus-host's, of which only a part is used.
#[allow(dead_code, reason = "a part is used")]
#[path = "../../nexus-host/src/observe/audit/mod.rs"]
pub mod audit;

/// As above; what the log uses of `nexus_host::runtime`.
#[allow(dead_code, reason = "a part is used")]
#[path = "../../nexus-host/src/runtime/owned.rs"]
pub mod owned;

/// As above; what `owned` uses of it.
#[allow(dead_code, reason = "a part is used")]
#[path = "../../nexus-host/src/runtime/shown.rs"]
pub mod shown;

mod runtime {
    pub(crate) use crate::owned;
}

/// A target's name, which is its corpus folder's too, and what it runs.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: &[Target] = &[
    ("audit_reader", audit_reader::run),
    ("http_response", http_response::run),
    ("wasi_sockets", wasi_sockets::run),
];
