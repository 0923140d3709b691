//! A simulated network for an app's own tests: natively compiled, in virtual time, from one seed.
//!
//! The app is what it is: the function that [`main!`](crate::main) is given runs unchanged, and so does the SDK above
//! the host's calls. Below are the stack, the node and the gate of production; what is simulated is the wire and the
//! time. No wasm, no threads, nothing of the machine the test runs on.
//!
//! An app turns it on for its tests alone:
//!
//! ```toml
//! [dev-dependencies]
//! nexus-sdk = { version = "0.1", features = ["sim"] }
//! ```
//!
//! ```
//! use std::time::Duration;
//! use nexus_sdk::sim::{Conditions, Ppm, World};
//! use nexus_sdk::svc::net::{TcpListener, TcpStream};
//! use nexus_sdk::{Error, args, print};
//!
//! // The app: what `nexus_sdk::main!(run)` is given.
//! async fn run() -> Result<(), Error> {
//!     let mut stream = TcpStream::connect(format!("{}:7", args()[0])).await?;
//!     stream.write_all("hello").await?;
//!     stream.finish()?;
//!     let answer = stream.read_to_end(1_000).await?;
//!     print(&String::from_utf8_lossy(&answer)).await;
//!     Ok(())
//! }
//!
//! // As it ships it: include_str!("../nexus.toml").
//! const MANIFEST: &str = r#"
//!     [app]
//!     id = "com.example.first"
//!     [capabilities."network.tcp.connect"]
//!     allow = ["echo.example.com:7"]
//! "#;
//!
//! // In a #[test]:
//! let mut world = World::from_env(1);
//! world.link(Conditions {
//!     latency: Duration::from_millis(5),
//!     loss: Ppm::per_mille(20),
//!     ..Conditions::PLAIN
//! });
//! let server = world.node("echo.example.com", "93.184.215.1/24");
//! let client = world.node("client", "93.184.215.2/24");
//! // The far end is the test's own, so it may do what it likes.
//! server.peer(async || {
//!     let listener = TcpListener::bind("0.0.0.0:7").await?;
//!     let mut stream = listener.accept().await?;
//!     let question = stream.read_to_end(1_000).await?;
//!     stream.write_all(question).await
//! });
//! let app = client.app(MANIFEST).allow_manifest().args(["echo.example.com"]).start(run);
//! // The same without a yes to its manifest, as under `nexus-host run` without `--allow-manifest`.
//! let refused = client.app(MANIFEST).args(["echo.example.com"]).start(run);
//!
//! world.run(Duration::from_secs(60)).unwrap();
//! assert_eq!((app.exit_code(), app.stdout().as_str()), (Some(0), "hello"));
//! assert_eq!(refused.exit_code(), Some(77));
//! ```
//!
//! # What is as in production
//!
//! - The stack with its limits and errors, the gate with manifest, grants and quotas (`sockets`, `bytes-in-flight`,
//!   `timeout`), exit codes, the end of an app: what it has open is closed, what it wrote is still delivered.
//! - Names: each node knows all of the link by their names. A rule for a name covers public addresses alone
//!   ([`World::node`]).
//! - A task that gives way although it could go on uses up time of its node ([`limits::SLICE`]), so that one that yields
//!   for ever stops nobody.
//!
//! # What is not
//!
//! - Code is native: memory and handles of the manifest's limits do not count, and what the app finds in `std::env`, the
//!   file system or the clock of `std` is the test's. The arguments are those of [`args`](crate::args).
//! - [`print()`](crate::print()) and [`eprint()`](crate::eprint()) are kept for the test ([`App::stdout`]);
//!   `println!` goes to the test's own output.
//! - Which interfaces an app imports is not known: those of what its manifest asks for count as imported. So an app
//!   whose manifest does not ask for what it calls starts here and is refused when it calls, where `nexus-host` does not
//!   start it.
//! - Nothing interrupts an app: one that loops without an `.await` hangs its test. A `spawn`ed task that is left when
//!   the app ends is dropped, where a component's memory is just gone.
//!
//! # When it fails
//!
//! A run is its seed's: an app that panics, an `assert!` of the test, a [`Failure`] of [`World::run`] all end with the
//! seed and how to run it again. With [`World::from_env`] that is `NEXUS_SEED=... cargo test NAME`, and a loop over seeds
//! is a loop around `cargo test`, or around [`World::new`]. [`World::trace`] shows every event.

/// Its example is compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../../docs/guide/testing-natively.md")]
mod guide {}

mod app;
mod caller;
mod failure;
mod fate;
pub(crate) mod host;
pub mod limits;
mod machine;
mod node;
mod shell;
mod world;

pub use app::App;
pub use failure::Failure;
pub use nexus_sim::{Burst, Conditions, Ppm};
pub use node::{Node, Starting};
pub use world::World;
