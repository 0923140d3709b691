//! A node: stack and policy wired. Commands that carry a `Permit` in, events out; and the
//! in-process links between nodes.
//!
//! This wiring is what the host drives under real time and the simulator under virtual time.
//!
//! Every act of an app goes through [`Node::permit`] (which asks `nexus-policy`'s `decide`, and
//! remembers a refusal as an event), and the command that performs it takes the permit by value.
//! Data operations on what is open check the policy epoch and the quota, and nothing else.

mod bound;
mod error;
mod event;
mod mesh;
mod node;
mod quota;
mod revoke;
mod tcp;
mod udp;

pub use bound::TcpBound;
pub use error::{Cause, NetError};
pub use event::Event;
pub use mesh::{Direction, FrameObserver, Mesh, MeshError, Nic, SegmentId};
pub use nexus_stack::{
    AddressEvent, BindError, ConnectError, KeepAlive, ResolveError, TcpConfig, TcpError,
    TcpOptions, UdpError,
};
pub use node::{Lookup, Node, NodeConfig};
pub use quota::{Quota, Usage};
pub use tcp::{TcpListener, TcpSocket};
pub use udp::UdpSocket;
