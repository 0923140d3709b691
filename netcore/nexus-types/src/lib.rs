//! Ids, addresses, time, limits, error codes and the bounded backoff: the words every other crate shares.
//!
//! Nothing here depends on anything, reads a clock or allocates without a bound.

pub mod backoff;
pub mod error;
pub mod id;
pub mod limits;
pub mod name;
pub mod net;
pub mod seed;
pub mod time;

pub use backoff::{Backoff, BackoffConfig};
pub use error::{ErrorCode, Reason, Why};
pub use id::{AppDigest, InstanceId, NodeId, PolicyEpoch};
pub use name::{HostName, HostNameError};
pub use net::{InterfaceAddress, Port, Transport};
pub use seed::Seed;
pub use time::Instant;

pub use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
pub use core::time::Duration;
