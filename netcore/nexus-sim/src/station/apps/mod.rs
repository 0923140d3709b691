//! Apps for worlds without wasm. Each tries until it is done, whatever the network does, and none has a timer
//! that would hide a wake-up that was not given.

mod bulk;
mod dial;
mod echo;
mod ping;
mod scan;
mod transfer;

pub use bulk::{BulkClient, BulkServer};
pub use echo::{EchoClient, EchoServer};
pub use ping::{PingClient, PingServer};
pub use scan::{Scanner, Target};

use nexus_types::Duration;

/// How often a connection asks whether the far end is still there: a peer that crashed says nothing.
pub(super) const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Bytes an app reads and writes at a time.
pub(super) const CHUNK: usize = 16 << 10;
