//! `nexus:net/udp-bind`: `network.udp.bind`.

use nexus_policy::Act;

use super::super::caller::Caller;
use super::convert::from_wit;
use super::udp_socket::UdpSocket;
use crate::bindings::nexus::error::types::Error;
use crate::bindings::nexus::net::types::SocketAddress;

pub(crate) async fn bind(local: SocketAddress) -> Result<UdpSocket, Error> {
    let caller = Caller::current("UdpSocket::bind");
    let local = from_wit(local);
    let permit = caller.permit(&Act::UdpBind { local })?;
    let socket = caller.node(|node, now| node.udp_bind(now, permit))?;
    Ok(UdpSocket::new(caller, socket))
}
