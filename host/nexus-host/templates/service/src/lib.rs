//! A small HTTP API: JSON in, JSON out. What is answered is in [`api`], which knows nothing of a host and is tested by
//! `cargo test`; `handler` hands requests to it.

pub mod api;
#[cfg(target_family = "wasm")]
mod handler;
