//! `resource tcp-listener`.

use core::future::poll_fn;
use std::rc::Rc;

use super::super::caller::Caller;
use super::convert::{to_wit, unspecified};
use super::tcp_connection::TcpConnection;
use crate::bindings::nexus::error::types::Error;
use crate::bindings::nexus::net::types::SocketAddress;

/// A listener; dropping it resets what nobody accepted.
pub(crate) struct TcpListener {
    caller: Rc<Caller>,
    listener: nexus_node::TcpListener,
}

impl TcpListener {
    pub(super) fn new(caller: Rc<Caller>, listener: nexus_node::TcpListener) -> Self {
        Self { caller, listener }
    }

    pub(crate) fn local_address(&self) -> SocketAddress {
        let local = self
            .caller
            .node(|node, _| node.listener_local(self.listener));
        local.map_or_else(unspecified, to_wit)
    }

    pub(crate) async fn accept(&self) -> Result<TcpConnection, Error> {
        self.caller.check("TcpListener::accept");
        let accept = poll_fn(|context| {
            self.caller
                .node(|node, now| node.poll_accept(now, self.listener, context.waker()))
        });
        Ok(TcpConnection::new(self.caller.clone(), accept.await?))
    }
}

impl core::fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.listener.fmt(f)
    }
}

impl Drop for TcpListener {
    fn drop(&mut self) {
        self.caller
            .node(|node, now| node.listener_close(now, self.listener));
    }
}
