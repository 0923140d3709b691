//! `nexus:net/udp-send`: `network.udp.send`.

use core::future::ready;

use nexus_policy::{Act, Capability};

use super::super::caller::Caller;
use super::dial::{Reach, dial};
use super::resolve;
use super::udp_socket::UdpSocket;
use crate::bindings::nexus::error::types::Error;
use crate::bindings::nexus::net::types::{Destination, IpAddress};
use crate::bindings::nexus::net::udp_send::IpFamily;

pub(crate) async fn connect(to: Destination, port: u16) -> Result<UdpSocket, Error> {
    let caller = Caller::current("UdpSocket::connect");
    let reach: Reach = |remote, name| Act::UdpSend { remote, name };
    let socket = dial(&caller, to, port, reach, |permit| {
        ready(caller.node(|node, now| node.udp_connect(now, permit)))
    })
    .await?;
    Ok(UdpSocket::new(caller, socket))
}

pub(crate) async fn open(family: IpFamily) -> Result<UdpSocket, Error> {
    let caller = Caller::current("UdpSocket::open");
    let ipv4 = matches!(family, IpFamily::Ipv4);
    let permit = caller.permit(&Act::UdpOpen)?;
    let socket = caller.node(|node, now| node.udp_open(now, permit, ipv4))?;
    Ok(UdpSocket::new(caller, socket))
}

pub(crate) async fn resolve(name: String) -> Result<Vec<IpAddress>, Error> {
    let caller = Caller::current("resolve_for_udp");
    Ok(resolve::addresses(&caller, Capability::NetworkUdpSend, &name).await?)
}
