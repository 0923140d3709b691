//! What the author of an app for nexus-host sees: the network, as far as the app was granted it.
//!
//! # Getting started
//!
//! An app is a `cdylib`, compiled to a WebAssembly component:
//!
//! ```toml
//! # Cargo.toml
//! [lib]
//! crate-type = ["cdylib"]
//!
//! [dependencies]
//! nexus-sdk = "0.1"
//! ```
//!
//! ```no_run
//! // src/lib.rs
//! use std::time::Duration;
//! use nexus_sdk::{Error, svc::{net::TcpStream, time::timeout}};
//!
//! async fn run() -> Result<(), Error> {
//!     // By name: the rule in nexus.toml names it, and the host resolves it.
//!     let mut stream = TcpStream::connect("host.internal:7777").await?;
//!     stream.write_all("hello").await?;
//!     stream.finish()?;
//!     let answer = timeout(Duration::from_secs(5), stream.read_to_end(64 * 1024)).await?;
//!     println!("{}", String::from_utf8_lossy(&answer));
//!     Ok(())
//! }
//!
//! nexus_sdk::main!(run);
//! # fn main() {}
//! ```
//!
//! What it may reach is in its manifest, and the person who runs it has the last word:
//!
//! ```toml
//! # nexus.toml
//! [app]
//! id = "com.example.first"
//! version = "0.1.0"
//! class = "app"
//!
//! [capabilities."network.tcp.connect"]
//! allow = ["host.internal:7777"]
//! ```
//!
//! ```text
//! $ cargo build --release --target wasm32-wasip2
//! $ nexus-host run target/wasm32-wasip2/release/first.wasm --manifest nexus.toml --allow-manifest
//! ```
//!
//! # What an app is allowed
//!
//! Each interface of the host is one capability, and a component imports only the interfaces whose functions
//! it calls. So an app that only connects does not even contain the import that listens, and
//! `nexus-host inspect first.wasm` shows it. There are no Cargo features to choose: call less, import less.
//!
//! # Targets
//!
//! `wasm32-wasip2` is the ordinary one: `println!`, `std::env::args`, `HashMap` work. On
//! `wasm32-unknown-unknown` an app imports nothing but what it uses of this crate; there, use [`args`],
//! [`print()`], [`eprint()`] and [`svc::time::now`]. Natively everything compiles, but a call of the host panics:
//! there is none, except in tests.
//!
//! # Testing
//!
//! With the feature `sim` an app's own `cargo test` runs it natively on simulated nodes: the production stack and gate,
//! virtual time, one seed. It belongs into the [dev-dependencies], and nothing of it is in a wasm build:
//!
//! ```toml
//! [dev-dependencies]
//! nexus-sdk = { version = "0.1", features = ["sim"] }
//! ```
//!
//! ```
//! use std::time::Duration;
//! use nexus_sdk::{Error, print, sim::World, svc::net::{TcpListener, TcpStream}};
//!
//! // What `nexus_sdk::main!(run)` is given.
//! async fn run() -> Result<(), Error> {
//!     let mut stream = TcpStream::connect("10.0.0.1:7777").await?;
//!     print(&String::from_utf8_lossy(&stream.read_to_end(100).await?)).await;
//!     Ok(())
//! }
//!
//! // In a #[test]:
//! let mut world = World::from_env(1);
//! world.node("server", "10.0.0.1/24").peer(async || {
//!     let listener = TcpListener::bind("0.0.0.0:7777").await?;
//!     listener.accept().await?.write_all("hello").await
//! });
//! // include_str!("../nexus.toml") and .allow_manifest(), where the app has one.
//! let client = world.node("client", "10.0.0.2/24");
//! let app = client.app("").allow("network.tcp.connect=10.0.0.1:7777").start(run);
//! world.run(Duration::from_secs(60)).unwrap();
//! assert_eq!((app.exit_code(), app.stdout().as_str()), (Some(0), "hello"));
//! ```
//!
//! `cargo doc -p nexus-sdk --features sim --open` shows `nexus_sdk::sim`, and what it cannot show.
//!
//! # Not supported
//!
//! - `std::net` in the same app: it works, over `wasi:sockets`, but shares nothing with this crate.
//! - More than one thread: an app is one thread, tasks take turns at every `.await` ([`task`]).
//! - Resuming a read or write that was [timed out](svc::time::timeout).

#![allow(
    async_fn_in_trait,
    reason = "the generated traits are for this crate's macro alone"
)]

#[allow(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    dead_code,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::undocumented_unsafe_blocks,
    reason = "generated"
)]
#[doc(hidden)]
pub mod bindings;
#[allow(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    unused_qualifications,
    dead_code,
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::undocumented_unsafe_blocks,
    reason = "generated"
)]
#[doc(hidden)]
pub mod run;

mod app;
mod error;
mod host;
#[cfg(feature = "json")]
pub mod json;
pub mod router;
#[cfg(all(feature = "sim", not(target_family = "wasm")))]
pub mod sim;
pub mod svc;
pub mod task;

pub use app::{Outcome, args, eprint, exit, print, print_bytes};
pub use error::{Error, ErrorCode};

/// For `main!`, and for the probes, which check what the SDK does not let an app do. Not for apps.
#[doc(hidden)]
pub mod __private {
    pub use crate::app::app;
    pub use crate::bindings as raw;
    pub use crate::run;
    pub use wit_bindgen;
}
