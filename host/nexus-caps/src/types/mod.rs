//! `nexus:net/types`: the resources. None has a constructor, so importing them grants nothing.

mod streams;
mod tcp_connection;
mod tcp_listener;
mod udp_socket;

pub(crate) use streams::{Receiving, Sending, WhenDropped, waiting};
pub(crate) use tcp_connection::Open;

pub use tcp_connection::TcpConnection;
pub use tcp_listener::TcpListener;
pub use udp_socket::UdpSocket;

use crate::bindings::nexus::net::types;
use crate::ctx::NetCtxView;

impl types::Host for NetCtxView<'_> {}
