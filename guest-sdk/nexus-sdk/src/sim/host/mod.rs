//! The host of a simulated app: the functions of the generated imports, natively, on the node of whose turn it is.
//!
//! What each does, and in which order, is what nexus-caps does for a component; its files have the same names. The
//! records are the generated ones.

mod convert;
mod dial;
pub(crate) mod http;
pub(crate) mod insecure_seed;
pub(crate) mod monotonic_clock;
pub(crate) mod process;
mod resolve;
mod streams;
mod tcp_connection;
mod tcp_listener;
mod udp_socket;

pub(crate) use streams::{End, Incoming, Outgoing, StreamResult, wit_stream};

/// `nexus:net`.
pub(crate) mod net {
    pub(crate) use super::{http, tcp_connect, tcp_listen, udp_bind, udp_send};

    /// `nexus:net/types`. None of the resources has a constructor.
    pub(crate) mod types {
        pub(crate) use super::super::tcp_connection::TcpConnection;
        pub(crate) use super::super::tcp_listener::TcpListener;
        pub(crate) use super::super::udp_socket::UdpSocket;
        pub(crate) use crate::bindings::nexus::net::types::{
            Datagram, Destination, IpAddress, SocketAddress,
        };
    }
}

pub(crate) mod tcp_connect;
pub(crate) mod tcp_listen;
pub(crate) mod udp_bind;
pub(crate) mod udp_send;
