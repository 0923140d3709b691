//! `wasi:sockets` 0.2 and 0.3 on a node: the sockets of programs that know nothing of us.
//!
//! `tcp`, `udp` and `lookup` are the one core; `p2` and `p3` dress it in each version's interfaces, whose traits
//! wasmtime-wasi generates (no WIT of WASI's is kept here). A resource of the linker is a number and a host type, so
//! theirs and ours change into each other by number ([`theirs`], [`ours`]); only this module makes or reads either.
//!
//! An interface here is coarser than a capability: a program that only connects imports listening, too. The family
//! is linked where any of the four capabilities is granted, and each act is judged as what it is: see
//! `docs/guide/wasi.md`.

mod address;
mod code;
mod lookup;
mod options;
mod p2;
mod p3;
mod tcp;
mod udp;

pub use p2::link as link_p2;
pub use p3::link as link_p3;

use wasmtime::component::Resource;

/// The same resource, as wasmtime-wasi's bindings call it.
fn theirs<Ours: 'static, Theirs: 'static>(resource: &Resource<Ours>) -> Resource<Theirs> {
    Resource::new_own(resource.rep())
}

/// The same resource, as the table holds it. What is owned is deleted by who was handed it.
fn ours<Theirs: 'static, Ours: 'static>(resource: &Resource<Theirs>) -> Resource<Ours> {
    Resource::new_own(resource.rep())
}
