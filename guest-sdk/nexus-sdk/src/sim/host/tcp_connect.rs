//! `nexus:net/tcp-connect`: `network.tcp.connect`.

use core::future::poll_fn;

use nexus_node::{NetError, TcpSocket};
use nexus_policy::{Act, Capability, Permit};

use super::super::caller::Caller;
use super::dial::{Reach, dial};
use super::resolve;
use super::tcp_connection::TcpConnection;
use crate::bindings::nexus::error::types::Error;
use crate::bindings::nexus::net::types::{Destination, IpAddress};

pub(crate) async fn connect(to: Destination, port: u16) -> Result<TcpConnection, Error> {
    let caller = Caller::current("TcpStream::connect");
    let reach: Reach = |remote, name| Act::Connect { remote, name };
    let socket = dial(&caller, to, port, reach, |permit| {
        connected(&caller, permit)
    })
    .await?;
    Ok(TcpConnection::new(caller, socket))
}

pub(crate) async fn resolve(name: String) -> Result<Vec<IpAddress>, Error> {
    let caller = Caller::current("resolve");
    Ok(resolve::addresses(&caller, Capability::NetworkTcpConnect, &name).await?)
}

async fn connected(caller: &Caller, permit: Permit) -> Result<TcpSocket, NetError> {
    let socket = caller.node(|node, now| node.tcp_connect(now, permit))?;
    let mut dialling = Dialling {
        caller,
        socket: Some(socket),
    };
    poll_fn(|context| caller.node(|node, now| node.poll_connected(now, socket, context.waker())))
        .await?;
    dialling.socket = None;
    Ok(socket)
}

/// A connection attempt that ends when its call does.
struct Dialling<'a> {
    caller: &'a Caller,
    socket: Option<TcpSocket>,
}

impl Drop for Dialling<'_> {
    fn drop(&mut self) {
        if let Some(socket) = self.socket.take() {
            self.caller.node(|node, now| node.tcp_abort(now, socket));
        }
    }
}
