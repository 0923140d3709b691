//! What an app does with TCP.

use core::num::{NonZeroU8, NonZeroU32};
use core::task::{Poll, Waker};
use core::time::Duration;

use nexus_policy::switch::Site;
use nexus_policy::{Act, Permit, Stamp, Target};
use nexus_stack::{KeepAlive, ListenerId, ReservationId, TcpId, TcpOptions};
use nexus_types::{ErrorCode, InstanceId, Instant, SocketAddr, limits};

use crate::revoke::{Handle, Open, OpenedAs};
use crate::{NetError, Node, TcpBound};

/// An open connection of an app, and the permit it was opened under.
#[derive(Clone, Copy, Debug)]
pub struct TcpSocket {
    id: TcpId,
    stamp: Stamp,
}

/// A listener of an app, and the permit it was opened under.
#[derive(Clone, Copy, Debug)]
pub struct TcpListener {
    id: ListenerId,
    stamp: Stamp,
}

impl Node {
    /// Begins to connect to the permit's target: that of a connection, or of a connection for a request.
    ///
    /// # Errors
    /// The policy forbids it by now, the app's quota is used up, or the stack says no.
    pub fn tcp_connect(&mut self, now: Instant, permit: Permit) -> Result<TcpSocket, NetError> {
        self.tcp_connect_with(now, permit, None, &TcpOptions::default())
    }

    /// As [`Node::tcp_connect`], from where a socket is bound, which is used up, and with options of its own.
    ///
    /// # Errors
    /// As there.
    pub fn tcp_connect_with(
        &mut self,
        now: Instant,
        permit: Permit,
        bound: Option<TcpBound>,
        options: &TcpOptions,
    ) -> Result<TcpSocket, NetError> {
        let from = bound.map(|bound| self.end_bound(bound));
        let connected = self.connect(now, permit, from, options);
        if connected.is_err()
            && let Some(from) = from
        {
            self.stack_mut().tcp_release(from);
        }
        connected
    }

    fn connect(
        &mut self,
        now: Instant,
        permit: Permit,
        from: Option<ReservationId>,
        options: &TcpOptions,
    ) -> Result<TcpSocket, NetError> {
        let (remote, opened) = match permit.target() {
            Target::Remote { at, .. } => {
                let name = permit.target().host_name();
                (*at, name.map_or(OpenedAs::Itself, OpenedAs::Name))
            }
            Target::RequestRemote { at, request } => (*at, OpenedAs::Request(request.clone())),
            _ => return Err(misused()),
        };
        let act = opened.connect(remote);
        if permit.capability() != act.capability() {
            return Err(misused());
        }
        let stamp = Site::StaleConnect.ask(|| self.still_permitted(now, permit.stamp(), &act))?;
        let scope = self.take(stamp.instance(), self.connection_bytes)?;
        let options = self.fitted(options);
        let stack = self.stack_mut();
        let begun = match from {
            None => stack.tcp_connect(now, scope, None, remote, &options),
            Some(from) => stack.tcp_connect_reserved(now, from, remote, &options),
        };
        match begun {
            Ok(id) => {
                self.open
                    .insert(Handle::Tcp(id), Open::Stands(stamp, opened));
                Ok(TcpSocket { id, stamp })
            }
            Err(error) => {
                self.give_back(stamp.instance(), self.connection_bytes);
                Err(error.into())
            }
        }
    }

    /// Has a connection that was opened for a request carry another one, of the same app to the same origin. From now on
    /// it is judged again as that. `permit`: of [`Act::RequestConnect`] to where the connection leads, as if it were opened
    /// for that request.
    ///
    /// # Errors
    /// The connection is not there any more, or not for such a request; or the policy forbids it by now. The request
    /// needs a connection of its own, which says why, if that is refused.
    pub fn tcp_carry(
        &mut self,
        now: Instant,
        socket: TcpSocket,
        permit: Permit,
    ) -> Result<(), NetError> {
        let Target::RequestRemote { at, request } = permit.target() else {
            return Err(misused());
        };
        self.check_tcp(now, socket)?;
        let handle = Handle::Tcp(socket.id);
        let (_, remote) = self.tcp_addresses(socket).ok_or_else(NetError::closed)?;
        let its = match self.open.get(&handle) {
            Some(Open::Stands(opened, OpenedAs::Request(before))) => {
                let url = request.request().url;
                opened.instance() == permit.instance()
                    && url.is_same_origin(before.request().url)
                    && remote == *at
            }
            _ => false,
        };
        if !its {
            let why = "the request may not go over this connection";
            return Err(NetError::new(ErrorCode::Denied, why));
        }
        let opened = OpenedAs::Request(request.clone());
        let act = opened.connect(remote);
        let stamp = Site::StaleConnect.ask(|| self.still_permitted(now, permit.stamp(), &act))?;
        self.open.insert(handle, Open::Stands(stamp, opened));
        Ok(())
    }

    /// Ready when the connection is made, or cannot be. In the second case close it.
    pub fn poll_connected(
        &mut self,
        now: Instant,
        socket: TcpSocket,
        waker: &Waker,
    ) -> Poll<Result<(), NetError>> {
        self.check_tcp(now, socket)?;
        self.stack_mut()
            .poll_connected(socket.id, waker)
            .map_err(Into::into)
    }

    /// Listens at the permit's target. `backlog` none: the default.
    ///
    /// # Errors
    /// The policy forbids it by now, the app's quota is used up, or the stack says no.
    pub fn tcp_listen(
        &mut self,
        now: Instant,
        permit: Permit,
        backlog: Option<NonZeroU32>,
    ) -> Result<TcpListener, NetError> {
        self.listen(now, permit, None, backlog, &TcpOptions::default())
    }

    /// As [`Node::tcp_listen`], where a socket is bound, which is used up, and with options of its own. The permit
    /// must be for where it asked to be: see [`TcpBound::asked`].
    ///
    /// # Errors
    /// As there.
    pub fn tcp_listen_with(
        &mut self,
        now: Instant,
        permit: Permit,
        bound: TcpBound,
        backlog: Option<NonZeroU32>,
        options: &TcpOptions,
    ) -> Result<TcpListener, NetError> {
        let asked = bound.asked();
        let at = self.end_bound(bound);
        let listening = if permit.target().local() == Some(asked) {
            self.listen(now, permit, Some(at), backlog, options)
        } else {
            Err(misused())
        };
        if listening.is_err() {
            self.stack_mut().tcp_release(at);
        }
        listening
    }

    fn listen(
        &mut self,
        now: Instant,
        permit: Permit,
        at: Option<ReservationId>,
        backlog: Option<NonZeroU32>,
        options: &TcpOptions,
    ) -> Result<TcpListener, NetError> {
        let Some(local) = permit.target().local() else {
            return Err(misused());
        };
        let act = Act::Listen { local };
        let stamp = Site::StaleListen.ask(|| self.still_permitted(now, permit.stamp(), &act))?;
        let backlog = backlog.map_or(limits::BACKLOG, NonZeroU32::get);
        let scope = self.take(stamp.instance(), 0)?;
        let options = self.fitted(options);
        let stack = self.stack_mut();
        let begun = match at {
            None => stack.tcp_listen(now, scope, local, backlog, &options),
            Some(at) => stack.tcp_listen_reserved(now, at, backlog, &options),
        };
        match begun {
            Ok(id) => {
                self.open
                    .insert(Handle::Listener(id), Open::Stands(stamp, OpenedAs::Itself));
                Ok(TcpListener { id, stamp })
            }
            Err(error) => {
                self.give_back(stamp.instance(), 0);
                Err(error.into())
            }
        }
    }

    /// The oldest connection that the gate lets in. One it does not let in is reset, and the
    /// refusal is an event. While the app holds as much as it may, all go on waiting.
    pub fn poll_accept(
        &mut self,
        now: Instant,
        listener: TcpListener,
        waker: &Waker,
    ) -> Poll<Result<TcpSocket, NetError>> {
        self.check_listener(now, listener)?;
        let instance = listener.stamp.instance();
        loop {
            let id = match self.stack_mut().poll_accept(now, listener.id, waker) {
                Poll::Ready(Ok(id)) => id,
                Poll::Ready(Err(_closed)) => return Poll::Ready(Err(NetError::closed())),
                Poll::Pending => return Poll::Pending,
            };
            // It may be gone already; then there is nobody to judge.
            let Some((local, remote)) = self.stack().tcp_addresses(id) else {
                continue;
            };
            let act = Act::Accept { local, remote };
            match Site::Accept.ask(|| self.permit(now, instance, &act)) {
                Ok(permit) => {
                    // The stack hands none over without room for it; were it otherwise, this one is refused.
                    if let Err(full) = self.take(instance, self.connection_bytes) {
                        self.stack_mut().tcp_abort(now, id);
                        return Poll::Ready(Err(full));
                    }
                    let stamp = permit.stamp();
                    self.open
                        .insert(Handle::Tcp(id), Open::Stands(stamp, OpenedAs::Itself));
                    return Poll::Ready(Ok(TcpSocket { id, stamp }));
                }
                Err(_refused) => self.stack_mut().tcp_abort(now, id),
            }
        }
    }

    /// Where it listens, with the port that was chosen.
    pub fn listener_local(&self, listener: TcpListener) -> Option<SocketAddr> {
        self.stack().listener_local(listener.id)
    }

    /// Ends the listener; connections nobody accepted are reset.
    pub fn listener_close(&mut self, now: Instant, listener: TcpListener) {
        if self.forget(Handle::Listener(listener.id)).is_some() {
            self.stack_mut().listener_close(now, listener.id);
            self.give_back(listener.stamp.instance(), 0);
        }
    }

    /// Local and remote address.
    pub fn tcp_addresses(&self, socket: TcpSocket) -> Option<(SocketAddr, SocketAddr)> {
        self.stack().tcp_addresses(socket.id)
    }

    /// Bytes that can be read at once.
    pub fn tcp_readable(&self, socket: TcpSocket) -> usize {
        self.stack().tcp_readable(socket.id)
    }

    /// Bytes that can be written at once.
    pub fn tcp_writable(&self, socket: TcpSocket) -> usize {
        self.stack().tcp_writable(socket.id)
    }

    /// Reads what is queued into `buf`. 0: the far end has finished.
    pub fn poll_read(
        &mut self,
        now: Instant,
        socket: TcpSocket,
        buf: &mut [u8],
        waker: &Waker,
    ) -> Poll<Result<usize, NetError>> {
        self.check_tcp(now, socket)?;
        match self.stack.poll_read(now, socket.id, buf, waker) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(count)) => {
                self.instance(socket.stamp.instance())?.usage.bytes_in += count as u64;
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
        }
    }

    /// Reads what is queued, at most `max` bytes, without zeroing a buffer first. Empty: the far
    /// end has finished.
    pub fn poll_read_vec(
        &mut self,
        now: Instant,
        socket: TcpSocket,
        max: usize,
        waker: &Waker,
    ) -> Poll<Result<Vec<u8>, NetError>> {
        self.check_tcp(now, socket)?;
        let mut bytes = Vec::with_capacity(self.stack.tcp_readable(socket.id).min(max));
        loop {
            let polled = self.stack.poll_read_with(now, socket.id, waker, |queued| {
                let count = queued.len().min(max - bytes.len());
                bytes.extend_from_slice(&queued[..count]);
                (count, ())
            });
            match polled {
                // The queue is a ring: what has wrapped comes as a second part.
                Poll::Ready(Ok(Some(())))
                    if bytes.len() < max && self.stack.tcp_readable(socket.id) > 0 => {}
                Poll::Ready(Ok(_)) => break,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Pending => return Poll::Pending,
            }
        }
        self.instance(socket.stamp.instance())?.usage.bytes_in += bytes.len() as u64;
        Poll::Ready(Ok(bytes))
    }

    /// Queues as much of `data` as fits, at least one byte.
    pub fn poll_write(
        &mut self,
        now: Instant,
        socket: TcpSocket,
        data: &[u8],
        waker: &Waker,
    ) -> Poll<Result<usize, NetError>> {
        self.check_tcp(now, socket)?;
        match self.stack.poll_write(now, socket.id, data, waker) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(count)) => {
                self.instance(socket.stamp.instance())?.usage.bytes_out += count as u64;
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
        }
    }

    /// Finishes our direction.
    ///
    /// # Errors
    /// The connection is not there any more.
    pub fn tcp_finish(&mut self, now: Instant, socket: TcpSocket) -> Result<(), NetError> {
        self.check_tcp(now, socket)?;
        self.stack_mut()
            .tcp_finish(now, socket.id)
            .map_err(Into::into)
    }

    /// Ready when the far end has acknowledged all that was written.
    pub fn poll_flushed(
        &mut self,
        now: Instant,
        socket: TcpSocket,
        waker: &Waker,
    ) -> Poll<Result<(), NetError>> {
        self.check_tcp(now, socket)?;
        self.stack_mut()
            .poll_flushed(socket.id, waker)
            .map_err(Into::into)
    }

    /// Probes a silent peer this often, and gives it up after the fourth probe; see [`KeepAlive::every`].
    ///
    /// # Errors
    /// The policy has changed since it was opened.
    pub fn tcp_set_keep_alive(
        &mut self,
        now: Instant,
        socket: TcpSocket,
        interval: Option<Duration>,
    ) -> Result<(), NetError> {
        self.tcp_set_probes(now, socket, interval.map(KeepAlive::every))
    }

    /// Probes a silent peer, or no longer.
    ///
    /// # Errors
    /// As above.
    pub fn tcp_set_probes(
        &mut self,
        now: Instant,
        socket: TcpSocket,
        probes: Option<KeepAlive>,
    ) -> Result<(), NetError> {
        self.check_tcp(now, socket)?;
        self.stack_mut().tcp_set_keep_alive(socket.id, probes);
        Ok(())
    }

    /// TTL or hop limit of what is sent from now on.
    ///
    /// # Errors
    /// As above.
    pub fn tcp_set_hop_limit(
        &mut self,
        now: Instant,
        socket: TcpSocket,
        hops: NonZeroU8,
    ) -> Result<(), NetError> {
        self.check_tcp(now, socket)?;
        self.stack_mut().tcp_set_hop_limit(socket.id, hops);
        Ok(())
    }

    /// Reads no more: what was received is dropped, and what still comes; reading says that the far end has finished.
    ///
    /// # Errors
    /// As above.
    pub fn tcp_stop_reading(&mut self, now: Instant, socket: TcpSocket) -> Result<(), NetError> {
        self.check_tcp(now, socket)?;
        self.stack_mut().tcp_stop_reading(now, socket.id);
        Ok(())
    }

    /// How connections of a listener are that come from now on. Buffers stay as they were.
    ///
    /// # Errors
    /// As above.
    pub fn listener_set_options(
        &mut self,
        now: Instant,
        listener: TcpListener,
        options: &TcpOptions,
    ) -> Result<(), NetError> {
        self.check_listener(now, listener)?;
        self.stack_mut().listener_set_options(listener.id, options);
        Ok(())
    }

    /// An app may have smaller buffers than the node's, not larger: each counts as one of the node's.
    fn fitted(&self, options: &TcpOptions) -> TcpOptions {
        let (rx, tx) = self.buffer_bytes;
        TcpOptions {
            rx_bytes: options.rx_bytes.map(|bytes| bytes.min(rx)),
            tx_bytes: options.tx_bytes.map(|bytes| bytes.min(tx)),
            ..options.clone()
        }
    }

    /// What a connection's buffers are, which options may only make smaller: receive, send.
    pub fn tcp_buffer_bytes(&self) -> (usize, usize) {
        self.buffer_bytes
    }

    /// Ends the handle; what was written is delivered in the background.
    pub fn tcp_close(&mut self, now: Instant, socket: TcpSocket) {
        if let Some((stamp, opened)) = self.forget(Handle::Tcp(socket.id)) {
            self.stack_mut().tcp_close(now, socket.id);
            self.give_back(socket.stamp.instance(), self.connection_bytes);
            self.linger(socket.id, stamp, opened);
            self.keep_lingering_few();
        }
    }

    /// Ends the handle and the connection.
    pub fn tcp_abort(&mut self, now: Instant, socket: TcpSocket) {
        if self.forget(Handle::Tcp(socket.id)).is_some() {
            self.stack_mut().tcp_abort(now, socket.id);
            self.give_back(socket.stamp.instance(), self.connection_bytes);
        }
    }

    /// What every data call pays: one comparison, as long as the policy does not change.
    #[inline]
    fn check_tcp(&mut self, now: Instant, socket: TcpSocket) -> Result<(), NetError> {
        if self.gate().is_current(socket.stamp) || Site::CheckTcp.is_off() {
            return Ok(());
        }
        self.check_tcp_again(now, socket)
    }

    #[cold]
    fn check_tcp_again(&mut self, now: Instant, socket: TcpSocket) -> Result<(), NetError> {
        self.check_handle(now, Handle::Tcp(socket.id))
    }

    fn check_listener(&mut self, now: Instant, listener: TcpListener) -> Result<(), NetError> {
        if self.gate().is_current(listener.stamp) || Site::CheckListener.is_off() {
            return Ok(());
        }
        self.check_handle(now, Handle::Listener(listener.id))
    }

    pub(crate) fn take(
        &mut self,
        instance: InstanceId,
        bytes: u64,
    ) -> Result<nexus_stack::Scope, NetError> {
        let taker = self.instance(instance)?;
        let scope = taker.scope;
        taker.usage.take(&taker.quota, bytes)?;
        self.limit_unheld(instance);
        Ok(scope)
    }

    pub(crate) fn give_back(&mut self, instance: InstanceId, bytes: u64) {
        // An instance that has ended has given everything back at once.
        if let Ok(giver) = self.instance(instance) {
            giver.usage.give_back(bytes);
            self.limit_unheld(instance);
        }
    }

    /// Tells the stack what it may hold for an app beside what the app holds itself.
    pub(crate) fn limit_unheld(&mut self, instance: InstanceId) {
        let connection = self.connection_bytes;
        if let Ok(limited) = self.instance(instance) {
            let limits = limited.usage.scope_limits(&limited.quota, connection);
            let scope = limited.scope;
            self.stack_mut().limit_scope(scope, limits);
        }
    }
}

/// A permit for something else: a fault of the host, never of an app.
pub(crate) fn misused() -> NetError {
    debug_assert!(false, "a permit was used for what it does not permit");
    NetError::new(
        ErrorCode::Internal,
        "a permit was used for what it does not permit",
    )
}
