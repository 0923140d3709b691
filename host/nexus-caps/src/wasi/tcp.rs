//! A TCP socket of `wasi:sockets`: its states, and what each call does in each.
//!
//! Both versions' calls end here. What waits is polled, so that one version can wrap it in a pollable and the other in
//! an `async func`.

use std::net::SocketAddr;
use std::num::{NonZeroU8, NonZeroU32};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use nexus_node::{NetError, TcpBound, TcpListener};
use nexus_policy::switch::Site;
use nexus_policy::{Act, Permit};

use super::address::Family;
use super::code::Code;
use super::options::{self, Options};
use crate::ctx::NetCtx;
use crate::types::Open;

/// One socket.
#[derive(Debug)]
pub(super) struct TcpSocket {
    ctx: NetCtx,
    family: Family,
    options: Options,
    backlog: Option<NonZeroU32>,
    state: State,
}

/// "The socket can be in one of the following states" (WIT of 0.2); what is in progress in 0.2 is `p2`'s.
#[derive(Debug)]
enum State {
    Unbound,
    /// Its permit is larger than all else here.
    Bound(Box<Bound>),
    Listening(Listening),
    Connecting(Connected),
    Connected(Connected),
    /// "The only valid action left is to `drop` the socket."
    Closed,
}

/// A port, given back when it is not used.
#[derive(Debug)]
struct Bound {
    ctx: NetCtx,
    bound: Option<TcpBound>,
}

impl Drop for Bound {
    fn drop(&mut self) {
        if let Some(bound) = self.bound.take() {
            self.ctx.node(|node, _| node.tcp_unbind(bound));
        }
    }
}

#[derive(Debug)]
struct Listening {
    ctx: NetCtx,
    listener: TcpListener,
    /// Accepted ahead, so that a pollable says "ready" only when there is one: whether the gate lets a connection in
    /// is not known before it is asked.
    ahead: Option<Connected>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.ctx
            .node(|node, now| node.listener_close(now, self.listener));
    }
}

/// A connection, and which of its directions have been handed out.
#[derive(Debug)]
struct Connected {
    open: Arc<Open>,
    local: SocketAddr,
    remote: SocketAddr,
    receive_taken: bool,
    send_taken: bool,
}

impl Connected {
    fn new(open: Open) -> Result<Self, Code> {
        // It may be gone already; then so is what it was between.
        let (local, remote) = open.addresses().ok_or(Code::ConnectionAborted)?;
        Ok(Self {
            open: Arc::new(open),
            local,
            remote,
            receive_taken: false,
            send_taken: false,
        })
    }
}

impl TcpSocket {
    /// A socket that can do nothing yet: "effectively an in-memory configuration object".
    pub(super) fn new(ctx: NetCtx, family: Family) -> Self {
        Self {
            ctx,
            family,
            options: Options::default(),
            backlog: None,
            state: State::Unbound,
        }
    }

    pub(super) fn family(&self) -> Family {
        self.family
    }

    pub(super) fn is_bound(&self) -> bool {
        !matches!(self.state, State::Unbound | State::Closed)
    }

    pub(super) fn is_listening(&self) -> bool {
        matches!(self.state, State::Listening(_))
    }

    /// Takes an address and port. A port of the host's choosing keeps nobody from anything and is had without asking;
    /// one that is named is asked for as what it can be had for, listening.
    pub(super) fn bind(&mut self, local: SocketAddr) -> Result<(), Code> {
        if !matches!(self.state, State::Unbound) {
            return Err(Code::InvalidState);
        }
        self.family.check_local(&self.ctx, local)?;
        let ctx = &self.ctx;
        let bound = if local.port() == 0 {
            ctx.node(|node, now| node.tcp_bind(now, ctx.instance, local.ip()))?
        } else {
            let permit = Site::WasiTcpBind.ask(|| ctx.permit(&Act::Listen { local }))?;
            ctx.node(|node, now| node.tcp_bind_at(now, permit))?
        };
        self.state = State::Bound(Box::new(Bound {
            ctx: self.ctx.clone(),
            bound: Some(bound),
        }));
        Ok(())
    }

    /// Begins to connect. An address that cannot be one changes nothing; any other failure closes the socket.
    pub(super) fn start_connect(&mut self, remote: SocketAddr) -> Result<(), Code> {
        if !matches!(self.state, State::Unbound | State::Bound(_)) {
            return Err(Code::InvalidState);
        }
        self.family.check_peer(remote)?;
        let from = match std::mem::replace(&mut self.state, State::Closed) {
            State::Bound(bound) => Some(bound),
            _ => None,
        };
        let begun = self.dial(remote, from)?;
        self.state = State::Connecting(begun);
        Ok(())
    }

    fn dial(&self, remote: SocketAddr, from: Option<Box<Bound>>) -> Result<Connected, Code> {
        let (ctx, options) = (&self.ctx, self.options.for_stack());
        let act = Act::Connect { remote, name: None };
        let permit = Site::WasiConnect.ask(|| ctx.permit(&act))?;
        let from = from.and_then(|mut from| from.bound.take());
        let socket = ctx.node(|node, now| node.tcp_connect_with(now, permit, from, &options))?;
        Connected::new(Open::new(ctx.clone(), socket))
    }

    /// Ready when the connection is made, or is not going to be. None: nothing is being connected.
    pub(super) fn poll_connect(&mut self, waker: &Waker) -> Option<Poll<Result<(), Code>>> {
        let State::Connecting(connecting) = &self.state else {
            return None;
        };
        let socket = connecting.open.socket();
        let polled = self
            .ctx
            .node(|node, now| node.poll_connected(now, socket, waker));
        Some(match polled {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) => {
                if let State::Connecting(made) = std::mem::replace(&mut self.state, State::Closed) {
                    self.state = State::Connected(made);
                }
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => {
                self.state = State::Closed;
                Poll::Ready(Err(error.into()))
            }
        })
    }

    /// As [`TcpSocket::poll_connect`], and changes nothing: for a pollable.
    pub(super) fn poll_connect_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.state {
            State::Connecting(connecting) => {
                let socket = connecting.open.socket();
                self.ctx
                    .node(|node, now| node.poll_connected(now, socket, cx.waker()))
                    .map(|_| ())
            }
            _ => Poll::Ready(()),
        }
    }

    /// A connection that is being made is given up.
    pub(super) fn cancel_connect(&mut self) {
        if matches!(self.state, State::Connecting(_)) {
            self.state = State::Closed;
        }
    }

    /// Listens where it is bound; binds it to a port of the host's choosing if it is not.
    pub(super) fn listen(&mut self) -> Result<(), Code> {
        if matches!(self.state, State::Unbound) {
            self.bind(SocketAddr::new(self.family.any(), 0))?;
        }
        let State::Bound(bound) = &mut self.state else {
            return Err(Code::InvalidState);
        };
        let held = bound.bound.as_mut().ok_or(Code::InvalidState)?;
        let permit = match held.take_permit() {
            Some(permit) => permit,
            None => Self::may_listen(&self.ctx, held)?,
        };
        let held = bound.bound.take().ok_or(Code::InvalidState)?;
        let (ctx, backlog) = (&self.ctx, self.backlog);
        let options = self.options.for_stack();
        self.state = State::Closed;
        let listener =
            ctx.node(|node, now| node.tcp_listen_with(now, permit, held, backlog, &options))?;
        self.state = State::Listening(Listening {
            ctx: self.ctx.clone(),
            listener,
            ahead: None,
        });
        Ok(())
    }

    fn may_listen(ctx: &NetCtx, bound: &TcpBound) -> Result<Permit, NetError> {
        let local = bound.asked();
        Site::WasiListen.ask(|| ctx.permit(&Act::Listen { local }))
    }

    /// The oldest connection that the gate lets in, as a socket with the listener's options.
    pub(super) fn poll_accept(&mut self, waker: &Waker) -> Poll<Result<Self, Code>> {
        if let Poll::Ready(Err(error)) = self.poll_ahead(waker) {
            return Poll::Ready(Err(error));
        }
        let State::Listening(listening) = &mut self.state else {
            return Poll::Ready(Err(Code::InvalidState));
        };
        let Some(accepted) = listening.ahead.take() else {
            return Poll::Pending;
        };
        Poll::Ready(Ok(Self {
            ctx: self.ctx.clone(),
            family: self.family,
            options: self.options.clone(),
            backlog: None,
            state: State::Connected(accepted),
        }))
    }

    /// Ready when `poll_accept` is.
    pub(super) fn poll_ahead(&mut self, waker: &Waker) -> Poll<Result<(), Code>> {
        let State::Listening(listening) = &mut self.state else {
            return Poll::Ready(Err(Code::InvalidState));
        };
        while listening.ahead.is_none() {
            let (ctx, listener) = (&listening.ctx, listening.listener);
            let socket = match ctx.node(|node, now| node.poll_accept(now, listener, waker)) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Ready(Ok(socket)) => socket,
            };
            // One that is gone already is passed over (implementor's note of `listen` in 0.3).
            listening.ahead = Connected::new(Open::new(ctx.clone(), socket)).ok();
        }
        Poll::Ready(Ok(()))
    }

    /// Whether it is connected, or was.
    pub(super) fn open(&self) -> Result<&Arc<Open>, Code> {
        match &self.state {
            State::Connected(connected) => Ok(&connected.open),
            _ => Err(Code::InvalidState),
        }
    }

    /// The direction that comes in, once.
    pub(super) fn take_receive(&mut self) -> Result<Arc<Open>, Code> {
        match &mut self.state {
            State::Connected(connected) if !connected.receive_taken => {
                connected.receive_taken = true;
                Ok(connected.open.clone())
            }
            _ => Err(Code::InvalidState),
        }
    }

    /// The direction that goes out, once.
    pub(super) fn take_send(&mut self) -> Result<Arc<Open>, Code> {
        match &mut self.state {
            State::Connected(connected) if !connected.send_taken => {
                connected.send_taken = true;
                Ok(connected.open.clone())
            }
            _ => Err(Code::InvalidState),
        }
    }

    /// Where it is bound. "WASI is stricter and requires ... `invalid-state` when the socket hasn't been bound yet."
    pub(super) fn local(&self) -> Result<SocketAddr, Code> {
        match &self.state {
            State::Unbound | State::Closed => Err(Code::InvalidState),
            State::Bound(bound) => {
                let bound = bound.bound.as_ref().ok_or(Code::InvalidState)?;
                self.ctx
                    .node(|node, _| node.bound_local(bound))
                    .ok_or(Code::InvalidState)
            }
            State::Listening(listening) => self
                .ctx
                .node(|node, _| node.listener_local(listening.listener))
                .ok_or(Code::InvalidState),
            State::Connecting(ends) | State::Connected(ends) => Ok(ends.local),
        }
    }

    /// Whom it is connected to.
    pub(super) fn remote(&self) -> Result<SocketAddr, Code> {
        match &self.state {
            State::Connected(connected) => Ok(connected.remote),
            _ => Err(Code::InvalidState),
        }
    }

    /// "Hints the desired listen queue size." The stack has its own most.
    pub(super) fn set_backlog(&mut self, value: u64) -> Result<(), Code> {
        let value = u32::try_from(value).unwrap_or(u32::MAX);
        let value = NonZeroU32::new(value).ok_or(Code::InvalidArgument)?;
        match self.state {
            State::Unbound | State::Bound(_) => {
                self.backlog = Some(value);
                Ok(())
            }
            // "The platform does not support changing the backlog size after the initial listen."
            State::Listening(_) => Err(Code::NotSupported),
            State::Connecting(_) | State::Connected(_) | State::Closed => Err(Code::InvalidState),
        }
    }

    pub(super) fn options(&self) -> Result<&Options, Code> {
        match self.state {
            State::Closed => Err(Code::InvalidState),
            _ => Ok(&self.options),
        }
    }

    /// Changes an option, where there is a connection or a listener already, there, too.
    pub(super) fn set(
        &mut self,
        change: impl FnOnce(&mut Options) -> Result<(), Code>,
    ) -> Result<(), Code> {
        self.options()?;
        let before = (self.options.probes(), self.options.hop_limit);
        change(&mut self.options)?;
        let (probes, hops) = (self.options.probes(), self.options.hop_limit);
        match &self.state {
            State::Listening(listening) => {
                let options = self.options.for_stack();
                self.ctx.node(|node, now| {
                    node.listener_set_options(now, listening.listener, &options)
                })?;
            }
            State::Connecting(ends) | State::Connected(ends) => {
                let socket = ends.open.socket();
                if probes != before.0 {
                    self.ctx
                        .node(|node, now| node.tcp_set_probes(now, socket, probes))?;
                }
                if hops != before.1 {
                    self.ctx
                        .node(|node, now| node.tcp_set_hop_limit(now, socket, hops))?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn set_hop_limit(&mut self, value: u8) -> Result<(), Code> {
        let hops: NonZeroU8 = options::hop_limit(value)?;
        self.set(|options| {
            options.hop_limit = hops;
            Ok(())
        })
    }

    /// The receive buffer as it is, or will be: what was asked for, within what the node has.
    pub(super) fn receive_buffer_bytes(&self) -> Result<u64, Code> {
        let (most, _) = self.ctx.node(|node, _| node.tcp_buffer_bytes());
        Ok(self
            .options()?
            .rx_bytes
            .map_or(most, |bytes| fit(bytes, most)) as u64)
    }

    pub(super) fn set_receive_buffer_bytes(&mut self, value: u64) -> Result<(), Code> {
        let bytes = options::buffer_bytes(value)?;
        self.set_before_it_is_open(|options| options.rx_bytes = Some(bytes))
    }

    /// The send buffer, likewise.
    pub(super) fn send_buffer_bytes(&self) -> Result<u64, Code> {
        let (_, most) = self.ctx.node(|node, _| node.tcp_buffer_bytes());
        Ok(self
            .options()?
            .tx_bytes
            .map_or(most, |bytes| fit(bytes, most)) as u64)
    }

    pub(super) fn set_send_buffer_bytes(&mut self, value: u64) -> Result<(), Code> {
        let bytes = options::buffer_bytes(value)?;
        self.set_before_it_is_open(|options| options.tx_bytes = Some(bytes))
    }

    /// Buffers are made with the connection: later it is a hint that is not taken, and reads back as it is.
    fn set_before_it_is_open(&mut self, change: impl FnOnce(&mut Options)) -> Result<(), Code> {
        self.options()?;
        if matches!(self.state, State::Unbound | State::Bound(_)) {
            change(&mut self.options);
        }
        Ok(())
    }
}

/// As the stack brings a buffer into its bounds.
fn fit(bytes: usize, most: usize) -> usize {
    let least = *nexus_node::TcpConfig::BUFFER_BYTES.start();
    bytes.min(most).max(least)
}
