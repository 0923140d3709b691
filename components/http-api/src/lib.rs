//! A small HTTP API: `nexus-host serve http-api.wasm`, then
//!
//! ```console
//! $ curl http://127.0.0.1:8080/hello/world
//! {"hello":"world"}
//! $ curl -d '1 2 39' http://127.0.0.1:8080/sum
//! {"sum":42}
//! $ curl -d 'any bytes' http://127.0.0.1:8080/echo
//! any bytes
//! ```
//!
//! What it answers is [`api`], which knows nothing of WASI and has its tests there; the glue to
//! `wasi:http/incoming-handler@0.2` is in `handler`.

pub mod api;
#[cfg(target_family = "wasm")]
mod handler;
