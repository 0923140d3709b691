//! smoltcp behind one door: per-flow demux, TCP, UDP, ICMP, fragments, loopback, resolver. Frames in, frames out.
//!
//! [`Stack`] is sans-IO: time and seed are arguments, frames go in by [`Stack::handle_frame`] and come out of
//! [`Stack::poll_transmit`], and [`Stack::poll_timeout`] says when [`Stack::handle_timeout`] must be called next.
//! Nothing here reads a clock, the OS or randomness of its own.
//!
//! The cost of a packet does not grow with the number of connections: each has a socket set of its own, found by
//! its four-tuple in a keyed table, and only connections with something to do are polled.
//!
//! Not supported: fragments on the way out, path MTU discovery, TCP timestamps and SYN cookies, receiving
//! multicast and broadcast, broadcast on the way out, MLD and IGMP, forwarding, DHCPv6. A selective
//! acknowledgement is sent, but smoltcp makes nothing of one it gets.

mod addressing;
mod bucket;
mod buffers;
mod checksum;
mod config;
mod cut;
mod datagrams;
mod emit;
mod engine;
mod error;
mod flow;
mod flow_map;
pub mod fragment;
mod frame;
mod half_open;
mod id;
mod key;
mod neighbors;
mod offer;
mod offload;
mod options;
mod packet;
mod ports;
mod recovery;
pub mod resolver;
mod rng;
mod slab;
mod socket;
mod stack;
mod stats;
mod time_wait;
mod timers;
mod wakers;

pub use addressing::dhcp::OfferFault;
pub use addressing::{AddressEvent, AddressingV4, AddressingV6, DuplicateDetection};
pub use config::{
    Checksums, Config, ConfigError, Congestion, KeepAlive, Limits, Medium, ResolverConfig,
    TcpConfig, TcpOptions, UdpOptions,
};
pub use error::{BindError, ConnectError, InvitationError, ListenerClosed, TcpError, UdpError};
pub use frame::Frame;
pub use id::{ListenerId, LookupId, ReservationId, Scope, TcpId, UdpId};
pub use offload::{Offload, Received};
pub use stack::Stack;
pub use stack::gateway::{Invitation, Refusal};
pub use stack::lookup::{Answer, ResolveError};
pub use stack::unheld::ScopeLimits;
pub use stats::Stats;
