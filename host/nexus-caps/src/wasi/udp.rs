//! A UDP socket of `wasi:sockets`.
//!
//! A program binds before it sends, whatever it is for. A port of the host's choosing is therefore had for either
//! capability: for `network.udp.bind`, and it hears everyone; else for `network.udp.send`, and it hears whom it has
//! sent to.

use std::net::SocketAddr;
use std::num::NonZeroU8;
use std::sync::Arc;
use std::task::{Poll, Waker};

use nexus_node::UdpSocket as Socket;
use nexus_policy::switch::Site;
use nexus_policy::{Act, Capability};
use nexus_types::limits;

use super::address::{Family, plain};
use super::code::Code;
use super::options::{self, HOP_LIMIT};
use crate::ctx::NetCtx;

/// One socket.
#[derive(Debug)]
pub(super) struct UdpSocket {
    ctx: NetCtx,
    family: Family,
    hop_limit: NonZeroU8,
    open: Option<Arc<OpenUdp>>,
}

/// The socket on the node, shared with what sends and receives on it.
#[derive(Debug)]
pub(super) struct OpenUdp {
    ctx: NetCtx,
    family: Family,
    socket: Socket,
}

impl Drop for OpenUdp {
    fn drop(&mut self) {
        self.ctx.node(|node, _| node.udp_close(self.socket));
    }
}

/// What came, and from whom.
pub(super) type Datagram = (Vec<u8>, SocketAddr);

impl OpenUdp {
    /// Sends one datagram; `to` none: to whom it is connected. `would-block`: see [`OpenUdp::poll_writable`].
    pub(super) fn send(&self, data: &[u8], to: Option<SocketAddr>) -> Result<(), Code> {
        let to = to.map(plain);
        let connected = self.remote();
        match (to, connected) {
            (Some(to), None) => self.family.check_remote(to)?,
            // "... `some` value that does not match the address passed to `connect`."
            (Some(to), Some(remote)) if to != remote => return Err(Code::InvalidArgument),
            // "The socket is not "connected" and no value for `remote-address` was provided."
            (None, None) => return Err(Code::InvalidArgument),
            (_, Some(_)) => {}
        }
        let sent = self
            .ctx
            .node(|node, now| node.udp_send(now, self.socket, data, to));
        Ok(sent?)
    }

    pub(super) fn poll_writable(&self, waker: &Waker) -> Poll<Result<(), Code>> {
        self.ctx
            .node(|node, now| node.poll_udp_writable(now, self.socket, waker))
            .map_err(Code::from)
    }

    pub(super) fn poll_receive(&self, waker: &Waker) -> Poll<Result<Datagram, Code>> {
        self.ctx
            .node(|node, now| {
                node.poll_udp_receive(now, self.socket, waker, |remote, data| {
                    (data.to_vec(), remote)
                })
            })
            .map_err(Code::from)
    }

    fn remote(&self) -> Option<SocketAddr> {
        self.ctx.node(|node, _| node.udp_remote(self.socket))
    }
}

impl UdpSocket {
    /// A socket that can do nothing yet.
    pub(super) fn new(ctx: NetCtx, family: Family) -> Self {
        Self {
            ctx,
            family,
            hop_limit: HOP_LIMIT,
            open: None,
        }
    }

    pub(super) fn family(&self) -> Family {
        self.family
    }

    /// Takes an address and port.
    pub(super) fn bind(&mut self, local: SocketAddr) -> Result<(), Code> {
        if self.open.is_some() {
            return Err(Code::InvalidState);
        }
        self.family.check_local(&self.ctx, local)?;
        let ctx = &self.ctx;
        // A port of the host's choosing is what a socket that only sends has, too.
        let sends = (local.port() == 0).then_some(Act::UdpOpen);
        let acts = [Act::UdpBind { local }].into_iter().chain(sends);
        let permit = Site::WasiUdpBind
            .ask(|| ctx.node(|node, now| node.permit_first(now, ctx.instance, acts)))?;
        let socket = ctx.node(|node, now| match permit.capability() {
            Capability::NetworkUdpBind => node.udp_bind(now, permit),
            _ => node.udp_open_at(now, permit, local.ip()),
        })?;
        let open = OpenUdp {
            ctx: ctx.clone(),
            family: self.family,
            socket,
        };
        let hops = self.hop_limit;
        if hops != HOP_LIMIT {
            ctx.node(|node, now| node.udp_set_hop_limit(now, socket, hops))?;
        }
        self.open = Some(Arc::new(open));
        Ok(())
    }

    /// The socket on the node. "The socket is not bound."
    pub(super) fn open(&self) -> Result<&Arc<OpenUdp>, Code> {
        self.open.as_ref().ok_or(Code::InvalidState)
    }

    /// The same, bound to a port of the host's choosing if it is not bound yet.
    pub(super) fn open_or_bind(&mut self) -> Result<&Arc<OpenUdp>, Code> {
        if self.open.is_none() {
            self.bind(SocketAddr::new(self.family.any(), 0))?;
        }
        self.open()
    }

    /// Speaks with `remote` alone, or with everyone again.
    pub(super) fn associate(&mut self, remote: Option<SocketAddr>) -> Result<(), Code> {
        let remote = remote.map(plain);
        if let Some(remote) = remote {
            self.family.check_remote(remote)?;
        }
        let (ctx, socket) = (&self.ctx, self.open()?.socket);
        Ok(ctx.node(|node, now| node.udp_associate(now, socket, remote))?)
    }

    pub(super) fn local(&self) -> Result<SocketAddr, Code> {
        let socket = self.open()?.socket;
        self.ctx
            .node(|node, _| node.udp_local(socket))
            .ok_or(Code::InvalidState)
    }

    /// "The socket is not streaming to a specific remote address."
    pub(super) fn remote(&self) -> Result<SocketAddr, Code> {
        self.open()?.remote().ok_or(Code::InvalidState)
    }

    pub(super) fn hop_limit(&self) -> u8 {
        self.hop_limit.get()
    }

    pub(super) fn set_hop_limit(&mut self, value: u8) -> Result<(), Code> {
        let hops = options::hop_limit(value)?;
        if let Some(open) = &self.open {
            self.ctx
                .node(|node, now| node.udp_set_hop_limit(now, open.socket, hops))?;
        }
        self.hop_limit = hops;
        Ok(())
    }

    /// What a queue holds, either way. "It might be silently clamped": to this, which every socket has.
    pub(super) fn buffer_bytes(&self) -> u64 {
        limits::UDP_QUEUE_BYTES.into()
    }

    pub(super) fn set_buffer_bytes(&mut self, value: u64) -> Result<(), Code> {
        options::buffer_bytes(value).map(|_| ())
    }
}
