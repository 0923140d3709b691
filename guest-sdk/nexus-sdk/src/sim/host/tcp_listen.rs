//! `nexus:net/tcp-listen`: `network.tcp.listen`.

use core::num::NonZeroU32;

use nexus_policy::Act;

use super::super::caller::Caller;
use super::convert::from_wit;
use super::tcp_listener::TcpListener;
use crate::bindings::nexus::error::types::Error;
use crate::bindings::nexus::net::types::SocketAddress;

pub(crate) async fn listen(local: SocketAddress, backlog: u32) -> Result<TcpListener, Error> {
    let caller = Caller::current("TcpListener::bind");
    let local = from_wit(local);
    let permit = caller.permit(&Act::Listen { local })?;
    let listener =
        caller.node(|node, now| node.tcp_listen(now, permit, NonZeroU32::new(backlog)))?;
    Ok(TcpListener::new(caller, listener))
}
