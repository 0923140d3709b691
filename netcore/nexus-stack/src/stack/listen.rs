//! Listeners and their backlogs.

use std::collections::VecDeque;
use std::task::{Poll, Waker};

use nexus_types::{Instant, IpAddr, SocketAddr, Transport};

use super::{Bound, Stack};
use crate::config::TcpOptions;
use crate::error::{BindError, ListenerClosed};
use crate::flow::Owner;
use crate::id::{Key, ListenerId, Scope, TcpId};
use crate::key::{BoundKey, Path, plain};
use crate::ports::EPHEMERAL;
use crate::wakers::Wakers;

pub(super) struct Listener {
    pub(super) scope: Scope,
    pub(super) local: SocketAddr,
    backlog: usize,
    pub(super) options: TcpOptions,
    /// Complete connections nobody has accepted, oldest first.
    pub(super) queue: VecDeque<Key>,
    pub(super) wakers: Wakers,
}

impl Listener {
    pub(super) fn is_full(&self) -> bool {
        self.queue.len() >= self.backlog
    }
}

impl Stack {
    /// Listens. An unspecified address stands for all of ours and the scope's loopback, of its own
    /// family only; port 0 for a random ephemeral one. The backlog is cut to `Limits::backlog_max`
    /// and is at least 1.
    pub fn tcp_listen(
        &mut self,
        now: Instant,
        scope: Scope,
        local: SocketAddr,
        backlog: u32,
        options: &TcpOptions,
    ) -> Result<ListenerId, BindError> {
        self.now = now;
        if self.listeners.len() >= self.config.limits.listeners as usize {
            return Err(BindError::TooMany);
        }
        let local = self.bind(Transport::Tcp, scope, local)?;
        let key = self.listeners.insert(Listener {
            scope,
            local,
            backlog: backlog.clamp(1, self.config.limits.backlog_max.max(1)) as usize,
            options: options.clone(),
            queue: VecDeque::new(),
            wakers: Wakers::default(),
        });
        self.stats.listeners = self.listeners.len() as u32;
        self.publish(Transport::Tcp, scope, local, Bound::Listener(key));
        Ok(ListenerId(key))
    }

    /// The oldest connection nobody has accepted. Connections are complete before they come here, and gone
    /// again if the far end resets them first.
    pub fn poll_accept(
        &mut self,
        now: Instant,
        id: ListenerId,
        waker: &Waker,
    ) -> Poll<Result<TcpId, ListenerClosed>> {
        self.now = now;
        let Some(scope) = self.listeners.get(id.0).map(|listener| listener.scope) else {
            return Poll::Ready(Err(ListenerClosed::Closed));
        };
        let may_accept = self.may_accept(scope);
        let Some(listener) = self.listeners.get_mut(id.0) else {
            return Poll::Ready(Err(ListenerClosed::Closed));
        };
        let next = may_accept.then(|| listener.queue.pop_front()).flatten();
        let Some(key) = next else {
            listener.wakers.register(waker);
            return Poll::Pending;
        };
        if let Some(flow) = self.flows.get_mut(key) {
            flow.owner = Owner::App;
            self.end_waiting(scope);
        }
        Poll::Ready(Ok(TcpId(key)))
    }

    /// A scope may accept again.
    pub(super) fn wake_accepting(&mut self, scope: Scope) {
        for key in self
            .listeners
            .keys_where(|listener| listener.scope == scope && !listener.queue.is_empty())
        {
            if let Some(listener) = self.listeners.get_mut(key) {
                listener.wakers.wake();
            }
        }
    }

    /// Nobody will accept this one: it has failed while it waited.
    pub(super) fn leave_queue(&mut self, now: Instant, listener: Key, flow: Key) {
        if let Some(listener) = self.listeners.get_mut(listener) {
            listener.queue.retain(|waiting| *waiting != flow);
        }
        self.begin_lingering(flow, now);
    }

    /// Where it listens, with the port that was chosen.
    pub fn listener_local(&self, id: ListenerId) -> Option<SocketAddr> {
        self.listeners.get(id.0).map(|listener| listener.local)
    }

    /// How connections are that come from now on; their buffers stay as they were, for windows have been offered.
    pub fn listener_set_options(&mut self, id: ListenerId, options: &TcpOptions) {
        if let Some(listener) = self.listeners.get_mut(id.0) {
            let (rx_bytes, tx_bytes) = (listener.options.rx_bytes, listener.options.tx_bytes);
            listener.options = TcpOptions {
                rx_bytes,
                tx_bytes,
                ..options.clone()
            };
        }
    }

    /// Ends the listener. Connections nobody accepted are reset.
    pub fn listener_close(&mut self, now: Instant, id: ListenerId) {
        self.now = now;
        self.close_listener(now, id.0);
    }

    pub(super) fn close_listener(&mut self, now: Instant, key: Key) {
        let Some(mut listener) = self.listeners.remove(key) else {
            return;
        };
        self.stats.listeners = self.listeners.len() as u32;
        self.unbind(Transport::Tcp, listener.scope, listener.local);
        for half_open in self
            .half_open
            .keys_where(|entry| entry.listener == Some(key))
        {
            self.forget_half_open(half_open);
        }
        for flow in listener.queue.drain(..) {
            self.abort_flow(now, flow);
        }
        listener.wakers.wake();
    }

    /// Checks and takes an address and port for a listener or a datagram socket.
    pub(super) fn bind(
        &mut self,
        transport: Transport,
        scope: Scope,
        local: SocketAddr,
    ) -> Result<SocketAddr, BindError> {
        let mut local = plain(local);
        let ip = local.ip();
        if let IpAddr::V6(v6) = ip
            && v6.to_ipv4_mapped().is_some()
        {
            return Err(BindError::Mapped);
        }
        if !ip.is_unspecified() && !ip.is_loopback() && !self.owns(ip) {
            return Err(BindError::NotOurs);
        }
        let is_free = |stack: &Self, port: u16| {
            let local = SocketAddr::new(ip, port);
            let resolving = transport == Transport::Udp && stack.resolver.owns_port(port);
            !resolving && !stack.ports.is_taken(transport, local, scope)
        };
        if local.port() == 0 {
            local.set_port(self.ephemeral(is_free).ok_or(BindError::NoPort)?);
        } else if !is_free(self, local.port()) {
            return Err(BindError::InUse);
        }
        self.ports.take(transport, local, scope);
        Ok(local)
    }

    /// Lets packets find who is bound.
    pub(super) fn publish(
        &mut self,
        transport: Transport,
        scope: Scope,
        local: SocketAddr,
        bound: Bound,
    ) {
        if !local.ip().is_loopback() {
            self.bound
                .insert(BoundKey::new(transport, Path::Wire, local), bound);
        }
        self.bound
            .insert(BoundKey::new(transport, Path::Loop(scope), local), bound);
    }

    pub(super) fn unbind(&mut self, transport: Transport, scope: Scope, local: SocketAddr) {
        if !local.ip().is_loopback() {
            self.bound
                .remove(&BoundKey::new(transport, Path::Wire, local));
        }
        self.bound
            .remove(&BoundKey::new(transport, Path::Loop(scope), local));
        self.ports.release(transport, local, scope);
    }

    /// An ephemeral port that is free, for something that listens: random, so that nobody outside
    /// can guess it (RFC 6056 section 3.3.1).
    pub(super) fn ephemeral(&mut self, is_free: impl Fn(&Self, u16) -> bool) -> Option<u16> {
        let (first, count) = (*EPHEMERAL.start(), EPHEMERAL.len() as u32);
        let start = self.random.below(count);
        // A few more throws of the dice, then all of them in turn.
        for _ in 0..8 {
            let port = first + self.random.below(count) as u16;
            if is_free(self, port) {
                return Some(port);
            }
        }
        (0..count)
            .map(|step| first + ((start + step) % count) as u16)
            .find(|port| is_free(self, *port))
    }
}
