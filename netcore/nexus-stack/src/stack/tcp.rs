//! What an app does with a connection.

use core::num::NonZeroU8;
use core::task::{Poll, Waker};

use nexus_types::{Instant, IpAddr, SocketAddr, Transport};
use smoltcp::socket::tcp::{RecvError, State};

use super::{Place, Stack, is_unicast};
use crate::config::{KeepAlive, TcpOptions};
use crate::error::{ConnectError, TcpError};
use crate::flow::{Ends, Flow, Owner};
use crate::id::{Key, Scope, TcpId};
use crate::key::{FlowKey, Path, plain};
use crate::ports::EPHEMERAL;

impl Stack {
    /// Begins to connect. `local` fixes our address, our port, or both; an unspecified address or
    /// port 0 leaves that part to us.
    pub fn tcp_connect(
        &mut self,
        now: Instant,
        scope: Scope,
        local: Option<SocketAddr>,
        remote: SocketAddr,
        options: &TcpOptions,
    ) -> Result<TcpId, ConnectError> {
        self.now = now;
        let remote = plain(remote);
        self.check_remote(remote)?;
        let path = self.path_to(scope, remote.ip());
        let wanted = local.map(plain);
        let ip = self.local_for(path, wanted, remote)?;
        if path == Path::Wire && !self.has_route(remote.ip()) {
            return Err(ConnectError::NoRoute);
        }
        if self.flows.len() >= self.config.limits.flows as usize {
            return Err(ConnectError::TooManyFlows);
        }
        let is_free = |stack: &Self, port: u16| {
            let local = SocketAddr::new(ip, port);
            !stack.ports.is_taken(Transport::Tcp, local, scope)
                && stack
                    .places
                    .get(&FlowKey::new(path, local, remote))
                    .is_none()
        };
        let port = match wanted.map_or(0, |wanted| wanted.port()) {
            0 => self
                .outgoing_port(&FlowKey::new(path, SocketAddr::new(ip, 0), remote), is_free)
                .ok_or(ConnectError::NoPort)?,
            port if is_free(self, port) => port,
            _ => return Err(ConnectError::LocalInUse),
        };
        let local = SocketAddr::new(ip, port);
        if local == remote {
            return Err(ConnectError::RemoteIsLocal);
        }
        let mut flow = Flow::new(
            now,
            Ends {
                path,
                scope,
                local,
                remote,
            },
            &self.config.tcp,
            options,
            &mut self.arena,
        );
        let key = flow.key;
        let isn = self.isn(now, &key);
        let mut interface = self.engine.with_isn(path, isn);
        let ours = (smoltcp::wire::IpAddress::from(ip), port);
        let theirs = (smoltcp::wire::IpAddress::from(remote.ip()), remote.port());
        let connecting = flow
            .socket
            .with_mut(|socket| socket.connect(interface.context(), theirs, ours));
        if connecting.is_err() {
            debug_assert!(false, "what smoltcp refuses was refused above");
            return Err(ConnectError::NoSource);
        }
        flow.waiting_since = Some(now);
        flow.bound = wanted.is_some_and(|wanted| wanted.port() != 0);
        if flow.bound {
            self.ports.take(Transport::Tcp, local, scope);
        }
        let id = self.flows.insert(flow);
        self.stats.flows = self.flows.len() as u32;
        self.places.insert(key, Place::Flow(id.index));
        self.mark_dirty(id.index);
        Ok(TcpId(id))
    }

    /// A free port for one more connection to `destination`.
    fn outgoing_port(
        &mut self,
        destination: &FlowKey,
        is_free: impl Fn(&Self, u16) -> bool,
    ) -> Option<u16> {
        EPHEMERAL.into_iter().find_map(|_| {
            let port = self.turns.next(destination);
            is_free(self, port).then_some(port)
        })
    }

    fn check_remote(&self, remote: SocketAddr) -> Result<(), ConnectError> {
        let ip = remote.ip();
        if ip.is_unspecified() {
            Err(ConnectError::RemoteUnspecified)
        } else if remote.port() == 0 {
            Err(ConnectError::RemotePortZero)
        } else if ip.is_multicast() {
            Err(ConnectError::RemoteMulticast)
        } else if matches!(ip, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some()) {
            Err(ConnectError::RemoteMapped)
        } else if self.is_broadcast(ip) {
            Err(ConnectError::RemoteBroadcast)
        } else {
            Ok(())
        }
    }

    /// Our address of a connection: the one asked for, if it may be, else a fitting one.
    fn local_for(
        &self,
        path: Path,
        wanted: Option<SocketAddr>,
        remote: SocketAddr,
    ) -> Result<IpAddr, ConnectError> {
        let wanted = wanted.map(|wanted| wanted.ip());
        if wanted.is_some_and(|ip| ip.is_ipv4() != remote.is_ipv4()) {
            return Err(ConnectError::FamilyMismatch);
        }
        let Some(ip) = wanted.filter(|ip| !ip.is_unspecified()) else {
            return self
                .source_for(path, remote.ip())
                .ok_or(ConnectError::NoSource);
        };
        let fits = match path {
            Path::Loop(_) => ip.is_loopback() || self.owns(ip),
            // A gateway speaks in anybody's name.
            Path::Wire if self.config.any_address => is_unicast(ip) && !ip.is_loopback(),
            Path::Wire => self.owns(ip),
        };
        fits.then_some(ip).ok_or(ConnectError::LocalNotOurs)
    }

    /// Ready when the connection is made, or cannot be.
    pub fn poll_connected(&mut self, id: TcpId, waker: &Waker) -> Poll<Result<(), TcpError>> {
        let Some(flow) = self.app_flow(id) else {
            return Poll::Ready(Err(TcpError::NotFound));
        };
        if let Some(error) = flow.error {
            return Poll::Ready(Err(error));
        }
        match flow.socket.state() {
            State::SynSent | State::SynReceived => {
                flow.writers.register(waker);
                Poll::Pending
            }
            State::Listen => Poll::Ready(Err(TcpError::Closed)),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// Local and remote address.
    pub fn tcp_addresses(&self, id: TcpId) -> Option<(SocketAddr, SocketAddr)> {
        let flow = self.flows.get(id.0)?;
        (flow.owner == Owner::App).then_some((flow.local, flow.remote))
    }

    /// Reads what is queued. `Ok(0)` with a buffer that is not empty: the far end has finished.
    /// With an empty one nothing is read: it is ready when a read of more would be.
    pub fn poll_read(
        &mut self,
        now: Instant,
        id: TcpId,
        buf: &mut [u8],
        waker: &Waker,
    ) -> Poll<Result<usize, TcpError>> {
        self.now = now;
        let Some(flow) = self.app_flow(id) else {
            return Poll::Ready(Err(TcpError::NotFound));
        };
        if flow.deaf {
            return Poll::Ready(Ok(0));
        }
        match flow.socket.with_mut(|socket| socket.recv_slice(buf)) {
            // Nothing there, or no room for it.
            Ok(0) if buf.is_empty() && flow.socket.recv_queue() > 0 => return Poll::Ready(Ok(0)),
            Ok(0) => {}
            Ok(taken) => {
                flow.count_read(taken);
                self.mark_dirty(id.0.index);
                return Poll::Ready(Ok(taken));
            }
            Err(RecvError::Finished) => return Poll::Ready(Ok(0)),
            Err(RecvError::InvalidState) => {}
        }
        wait_readable(flow, waker)
    }

    /// Reads in place: `f` gets the first contiguous part of what is queued (never empty) and says
    /// how much of it it took. `None`: the far end has finished.
    pub fn poll_read_with<R>(
        &mut self,
        now: Instant,
        id: TcpId,
        waker: &Waker,
        mut f: impl FnMut(&[u8]) -> (usize, R),
    ) -> Poll<Result<Option<R>, TcpError>> {
        self.now = now;
        let Some(flow) = self.app_flow(id) else {
            return Poll::Ready(Err(TcpError::NotFound));
        };
        if flow.deaf {
            return Poll::Ready(Ok(None));
        }
        let mut taken = 0;
        let read = flow.socket.with_mut(|socket| {
            socket.recv(|bytes| {
                if bytes.is_empty() {
                    return (0, None);
                }
                let (count, result) = f(bytes);
                taken = count.min(bytes.len());
                (taken, Some(result))
            })
        });
        match read {
            Ok(Some(result)) => {
                flow.count_read(taken);
                self.mark_dirty(id.0.index);
                Poll::Ready(Ok(Some(result)))
            }
            Err(RecvError::Finished) => Poll::Ready(Ok(None)),
            Ok(None) | Err(RecvError::InvalidState) => wait_readable(flow, waker),
        }
    }

    /// Queues as much of `data` as fits, at least one byte. Empty `data` queues nothing: it is ready
    /// when a write of more would be.
    pub fn poll_write(
        &mut self,
        now: Instant,
        id: TcpId,
        data: &[u8],
        waker: &Waker,
    ) -> Poll<Result<usize, TcpError>> {
        self.now = now;
        let Some(flow) = self.app_flow(id) else {
            return Poll::Ready(Err(TcpError::NotFound));
        };
        if let Err(error) = may_write(flow) {
            return Poll::Ready(Err(error));
        }
        match flow.socket.with_mut(|socket| socket.send_slice(data)) {
            Ok(0) if data.is_empty() && flow.socket.send_room() > 0 => Poll::Ready(Ok(0)),
            Ok(queued @ 1..) => {
                flow.waiting_since.get_or_insert(now);
                self.mark_dirty(id.0.index);
                Poll::Ready(Ok(queued))
            }
            // Full, or not connected yet.
            _ => {
                flow.writers.register(waker);
                Poll::Pending
            }
        }
    }

    /// Writes in place: `f` gets the first contiguous free part of the send buffer (never empty)
    /// and says how much of it it filled. The twin of [`Stack::poll_read_with`].
    pub fn poll_write_with<R>(
        &mut self,
        now: Instant,
        id: TcpId,
        waker: &Waker,
        mut f: impl FnMut(&mut [u8]) -> (usize, R),
    ) -> Poll<Result<R, TcpError>> {
        self.now = now;
        let Some(flow) = self.app_flow(id) else {
            return Poll::Ready(Err(TcpError::NotFound));
        };
        if let Err(error) = may_write(flow) {
            return Poll::Ready(Err(error));
        }
        let mut queued = 0;
        let written = flow.socket.with_mut(|socket| {
            socket.send(|room| {
                if room.is_empty() {
                    return (0, None);
                }
                let (count, result) = f(room);
                queued = count.min(room.len());
                (queued, Some(result))
            })
        });
        match written {
            Ok(Some(result)) => {
                if queued > 0 {
                    flow.waiting_since.get_or_insert(now);
                    self.mark_dirty(id.0.index);
                }
                Poll::Ready(Ok(result))
            }
            _ => {
                flow.writers.register(waker);
                Poll::Pending
            }
        }
    }

    /// Ready when the connection is no more: reset, timed out, or not there. Ends that both sides
    /// agreed on do not count. For who waits on something else and would not hear of it.
    pub fn poll_ended(&mut self, id: TcpId, waker: &Waker) -> Poll<TcpError> {
        let Some(flow) = self.app_flow(id) else {
            return Poll::Ready(TcpError::NotFound);
        };
        match flow.error {
            Some(error) => Poll::Ready(error),
            None => {
                // Both lists are woken when a connection ends.
                flow.readers.register(waker);
                Poll::Pending
            }
        }
    }

    /// Bytes that can be read at once.
    pub fn tcp_readable(&self, id: TcpId) -> usize {
        self.flows
            .get(id.0)
            .filter(|flow| flow.owner == Owner::App)
            .map_or(0, |flow| flow.socket.recv_queue())
    }

    /// Bytes that can be written at once.
    pub fn tcp_writable(&self, id: TcpId) -> usize {
        self.flows
            .get(id.0)
            .filter(|flow| {
                flow.owner == Owner::App
                    && !flow.finished
                    && flow.socket.with(|socket| socket.may_send())
            })
            .map_or(0, |flow| flow.socket.send_room())
    }

    /// Finishes our direction: what is queued is still delivered, then the far end reads the end.
    pub fn tcp_finish(&mut self, now: Instant, id: TcpId) -> Result<(), TcpError> {
        self.now = now;
        let flow = self.app_flow(id).ok_or(TcpError::NotFound)?;
        if flow.finished {
            return Ok(());
        }
        may_write(flow)?;
        finish(flow, now);
        self.mark_dirty(id.0.index);
        Ok(())
    }

    /// Ready when the far end has acknowledged all that was written, and the end if it was finished.
    pub fn poll_flushed(&mut self, id: TcpId, waker: &Waker) -> Poll<Result<(), TcpError>> {
        let Some(flow) = self.app_flow(id) else {
            return Poll::Ready(Err(TcpError::NotFound));
        };
        if let Some(error) = flow.error {
            return Poll::Ready(Err(error));
        }
        if flow.is_flushed() {
            return Poll::Ready(Ok(()));
        }
        flow.writers.register(waker);
        Poll::Pending
    }

    /// Ends the handle. What is queued is delivered in the background, within the linger time.
    pub fn tcp_close(&mut self, now: Instant, id: TcpId) {
        self.now = now;
        if self.app_flow(id).is_some() {
            self.close_flow(now, id.0);
        }
    }

    /// The owner of a connection is gone, as at the end of a process: what an app had open is
    /// closed, what nobody accepted is reset.
    pub(super) fn leave_flow(&mut self, now: Instant, key: Key) {
        match self.flows.get(key).map(|flow| flow.owner) {
            Some(Owner::App) => self.close_flow(now, key),
            Some(Owner::Listener(_)) => self.abort_flow(now, key),
            Some(Owner::Lingering(_)) | None => {}
        }
    }

    fn close_flow(&mut self, now: Instant, key: Key) {
        let linger = self.config.limits.linger;
        let Some(flow) = self.flows.get_mut(key) else {
            return;
        };
        let state = flow.socket.state();
        if state == State::SynSent && !flow.off_wire {
            return self.abort_flow(now, key);
        }
        let scope = flow.scope;
        if !flow.off_wire {
            finish(flow, now);
            // What was received and not read is dropped: acknowledging it lets the far end come to its end.
            flow.discard();
        }
        self.begin_lingering(key, now + linger);
        self.free_if_unheld(key.index);
        self.mark_dirty(key.index);
        self.keep_lingering_within(now, scope);
    }

    /// Ends the handle and the connection: the far end gets a reset.
    pub fn tcp_abort(&mut self, now: Instant, id: TcpId) {
        self.now = now;
        if self.app_flow(id).is_some() {
            self.abort_flow(now, id.0);
        }
    }

    /// Local and remote address of a connection whose handle is closed, while it lingers.
    pub fn tcp_lingering(&self, id: TcpId) -> Option<(SocketAddr, SocketAddr)> {
        let flow = self.flows.get(id.0)?;
        matches!(flow.owner, Owner::Lingering(_)).then_some((flow.local, flow.remote))
    }

    /// Ends a connection that lingers: the far end gets a reset, and nothing of what was queued.
    pub fn tcp_abort_lingering(&mut self, now: Instant, id: TcpId) {
        self.now = now;
        if self.tcp_lingering(id).is_some() {
            self.abort_flow(now, id.0);
        }
    }

    /// Reads no more: what was received and not read is dropped, and so is what still comes, all of it acknowledged, so
    /// that the far end comes to its end. Reading says from now on that the far end has finished.
    pub fn tcp_stop_reading(&mut self, now: Instant, id: TcpId) {
        self.now = now;
        let Some(flow) = self.app_flow(id) else {
            return;
        };
        flow.deaf = true;
        flow.discard();
        flow.readers.wake();
        self.mark_dirty(id.0.index);
    }

    /// Probes a silent peer, or no longer.
    pub fn tcp_set_keep_alive(&mut self, id: TcpId, keep_alive: Option<KeepAlive>) {
        let Some(flow) = self.app_flow(id) else {
            return;
        };
        flow.set_keep_alive(keep_alive);
        self.mark_dirty(id.0.index);
    }

    /// TTL or hop limit of what is sent from now on.
    pub fn tcp_set_hop_limit(&mut self, id: TcpId, hops: NonZeroU8) {
        if let Some(flow) = self.app_flow(id) {
            flow.socket
                .with_mut(|socket| socket.set_hop_limit(Some(hops.get())));
        }
    }

    /// A connection by its handle, which only an app has.
    fn app_flow(&mut self, id: TcpId) -> Option<&mut Flow> {
        self.flows
            .get_mut(id.0)
            .filter(|flow| flow.owner == Owner::App)
    }
}

/// Nothing to read now: is there ever going to be?
fn wait_readable<T>(flow: &mut Flow, waker: &Waker) -> Poll<Result<T, TcpError>> {
    if let Some(error) = flow.error {
        return Poll::Ready(Err(error));
    }
    if flow.off_wire {
        return Poll::Ready(Err(TcpError::Closed));
    }
    flow.readers.register(waker);
    Poll::Pending
}

fn may_write(flow: &Flow) -> Result<(), TcpError> {
    if let Some(error) = flow.error {
        return Err(error);
    }
    if flow.finished {
        return Err(TcpError::Finished);
    }
    if flow.off_wire {
        return Err(TcpError::Closed);
    }
    Ok(())
}

/// Ends our direction; before the handshake is done only the wish is noted.
fn finish(flow: &mut Flow, now: Instant) {
    flow.finished = true;
    flow.waiting_since.get_or_insert(now);
    if flow.socket.state() != State::SynSent {
        flow.socket.close();
    }
}
