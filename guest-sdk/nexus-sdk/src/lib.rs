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
//! [`print()`], [`eprint()`] and [`svc::time::now`]. Natively everything compiles, for unit tests of the pure
//! parts, but a call of the host panics: there is none.
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
