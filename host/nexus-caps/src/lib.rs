//! One file = one WIT interface: what a granted import of an app reaches, behind the gate and its quota.
//!
//! [`link`] gives a linker the interface of one capability; what was not granted is not linked.
//! Every act asks the node for a permit first (`NetCtx::permit`), every datum goes through a
//! handle that carries the permit's stamp.

mod bindings;
mod convert;
mod ctx;
mod dial;
mod error;
mod http;
mod observe;
mod resolve;
mod shard;
mod tcp_connect;
mod tcp_listen;
mod types;
mod udp_bind;
mod udp_send;
mod wasi;

pub use ctx::{Net, NetCtx, NetCtxView, NetView};
pub use error::Failure;
pub use http::{Http, HttpCtx, HttpCtxView, HttpView, NodeNetwork, RootsFor, Trust};
pub use link::{link, link_types};
pub use observe::{Call, CallEnd, Observer};
pub use shard::{Clock, Shard, Sleep};
pub use types::{TcpConnection, TcpListener, UdpSocket};
pub use wasi::{link_p2, link_p3};

mod link;
