//! TCP and UDP on the host's own stack.
//!
//! | to call | the app's `nexus.toml` asks for |
//! |---|---|
//! | [`TcpStream::connect`], [`resolve`] | `network.tcp.connect` |
//! | [`TcpListener::bind`] | `network.tcp.listen` |
//! | [`UdpSocket::connect`], [`UdpSocket::open`], [`resolve_for_udp`] | `network.udp.send` |
//! | [`UdpSocket::bind`] | `network.udp.bind` |
//! | [`http::Request`] | `network.http.request` |
//!
//! A connection goes by name wherever there is one: a rule for a name covers just the addresses the host's
//! resolver answered, so an address learned elsewhere is refused.

mod address;
pub mod http;
mod stream;
mod tcp;
mod udp;

pub use address::{Host, Remote, ToLocal, ToRemote};
pub use stream::{Receiver, Sender};
pub use tcp::{BACKLOG, ReadHalf, TcpListener, TcpStream, WriteHalf};
pub use udp::{DATAGRAMS_MAX, Datagram, Family, UdpSocket};

use core::net::IpAddr;

use crate::Error;
use crate::host::net::{tcp_connect, udp_send};

/// The addresses of a name that a `network.tcp.connect` rule names.
///
/// Only for those who must choose among them; [`TcpStream::connect`] resolves by itself.
pub async fn resolve(name: &str) -> Result<Vec<IpAddr>, Error> {
    let addresses = tcp_connect::resolve(name.to_owned()).await?;
    Ok(addresses.into_iter().map(address::from_wit_ip).collect())
}

/// The addresses of a name that a `network.udp.send` rule names: for [`UdpSocket::open`], which sends to
/// addresses.
pub async fn resolve_for_udp(name: &str) -> Result<Vec<IpAddr>, Error> {
    let addresses = udp_send::resolve(name.to_owned()).await?;
    Ok(addresses.into_iter().map(address::from_wit_ip).collect())
}
