//! UDP sockets.

use core::num::NonZeroU8;
use core::task::{Poll, Waker};

use nexus_types::{Instant, SocketAddr, Transport};

use super::{Bound, Stack, is_unicast};
use crate::config::UdpOptions;
use crate::datagrams::Datagrams;
use crate::emit::HOP_LIMIT;
use crate::error::{BindError, UdpError};
use crate::id::{Key, Scope, UdpId};
use crate::key::{Path, plain};
use crate::packet::{Datagram, Packet};
use crate::wakers::Wakers;

/// How many of the last remotes an unconnected socket remembers, to tell ICMP errors about them
/// from forged ones.
const REMOTES: usize = 8;

pub(super) struct UdpSocket {
    pub(super) scope: Scope,
    pub(super) local: SocketAddr,
    remote: Option<SocketAddr>,
    options: UdpOptions,
    received: Datagrams<SocketAddr>,
    /// Datagrams, and their bytes, on the way to the wire.
    sending: (u32, usize),
    error: Option<UdpError>,
    sent_to: [Option<SocketAddr>; REMOTES],
    sent_next: usize,
    readers: Wakers,
    writers: Wakers,
}

impl UdpSocket {
    /// Something is wrong: its owner is told once.
    pub(super) fn fail(&mut self, error: UdpError) {
        self.error = Some(error);
        self.readers.wake();
    }
}

impl Stack {
    /// Binds. An unspecified address stands for all of ours and the scope's loopback, of its own
    /// family only; port 0 for a random ephemeral one.
    pub fn udp_bind(
        &mut self,
        now: Instant,
        scope: Scope,
        local: SocketAddr,
        options: &UdpOptions,
    ) -> Result<UdpId, BindError> {
        self.now = now;
        if self.udp.len() >= self.config.limits.udp_sockets as usize {
            return Err(BindError::TooMany);
        }
        let local = self.bind(Transport::Udp, scope, local)?;
        let limits = &self.config.limits;
        let key = self.udp.insert(UdpSocket {
            scope,
            local,
            remote: None,
            options: options.clone(),
            received: Datagrams::new(limits.udp_queue_datagrams, limits.udp_queue_bytes),
            sending: (0, 0),
            error: None,
            sent_to: [None; REMOTES],
            sent_next: 0,
            readers: Wakers::default(),
            writers: Wakers::default(),
        });
        self.stats.udp_sockets = self.udp.len() as u32;
        self.publish(Transport::Udp, scope, local, Bound::Udp(key));
        Ok(UdpId(key))
    }

    /// Receives from `remote` only, and sends there only; datagrams of others are dropped, those
    /// already queued too. `None` lifts it.
    pub fn udp_connect(&mut self, id: UdpId, remote: Option<SocketAddr>) -> Result<(), BindError> {
        let remote = remote.map(plain);
        if remote.is_some_and(|remote| !self.may_be_remote(remote)) {
            return Err(BindError::RemoteInvalid);
        }
        let socket = self.udp.get_mut(id.0).ok_or(BindError::NotFound)?;
        if let Some(remote) = remote {
            if remote.is_ipv4() != socket.local.is_ipv4() {
                return Err(BindError::RemoteInvalid);
            }
            socket.received.retain(|from| *from == remote);
        }
        socket.remote = remote;
        socket.error = None;
        Ok(())
    }

    /// TTL or hop limit of what is sent from now on.
    pub fn udp_set_hop_limit(&mut self, id: UdpId, hops: NonZeroU8) {
        if let Some(socket) = self.udp.get_mut(id.0) {
            socket.options.hop_limit = Some(hops);
        }
    }

    /// Where it is bound, with the port that was chosen.
    pub fn udp_local(&self, id: UdpId) -> Option<SocketAddr> {
        self.udp.get(id.0).map(|socket| socket.local)
    }

    /// What it is connected to.
    pub fn udp_remote(&self, id: UdpId) -> Option<SocketAddr> {
        self.udp.get(id.0)?.remote
    }

    /// Sends one datagram. A larger one than fits a packet is refused: we send no fragments.
    pub fn udp_send(
        &mut self,
        now: Instant,
        id: UdpId,
        data: &[u8],
        to: SocketAddr,
    ) -> Result<(), UdpError> {
        self.now = now;
        let to = plain(to);
        let limits = &self.config.limits;
        let (most, most_bytes) = (limits.udp_queue_datagrams, limits.udp_queue_bytes as usize);
        let socket = self.udp.get(id.0).ok_or(UdpError::NotFound)?;
        if to.is_ipv4() != socket.local.is_ipv4() {
            return Err(UdpError::FamilyMismatch);
        }
        if socket.remote.is_some_and(|remote| remote != to) {
            return Err(UdpError::NotConnectedTo);
        }
        if !self.may_be_remote(to) {
            return Err(UdpError::RemoteInvalid);
        }
        let path = self.path_to(socket.scope, to.ip());
        let source = match socket.local.ip() {
            ip if ip.is_unspecified() => self.source_for(path, to.ip()),
            ip if ip.is_loopback() && path == Path::Wire => None,
            // It was ours when the socket was bound.
            ip if path == Path::Wire && !self.config.any_address && !self.owns(ip) => None,
            ip => Some(ip),
        };
        let from = SocketAddr::new(source.ok_or(UdpError::NoSource)?, socket.local.port());
        if data.len() > self.datagram_max(path, to) {
            return Err(UdpError::TooLong);
        }
        let (count, bytes) = socket.sending;
        if count >= most || (count > 0 && bytes + data.len() > most_bytes) {
            return Err(UdpError::WouldBlock);
        }
        // Multicast stays on its link unless somebody says otherwise (RFC 1112 section 6.1).
        let hops = if to.ip().is_multicast() { 1 } else { HOP_LIMIT };
        let hops = socket.options.hop_limit.map_or(hops, |hops| hops.get());
        let mut frame = self.emit(path).datagram(from, to, hops, data);
        frame.owner = Some(id.0);
        if let Some(socket) = self.udp.get_mut(id.0) {
            socket.sending = (count + 1, bytes + frame.packet().len());
            if socket.remote.is_none() && !socket.sent_to.contains(&Some(to)) {
                socket.sent_to[socket.sent_next % REMOTES] = Some(to);
                socket.sent_next += 1;
            }
        }
        self.send(path, frame);
        Ok(())
    }

    /// Ready when a datagram can be queued.
    pub fn poll_udp_writable(&mut self, id: UdpId, waker: &Waker) -> Poll<Result<(), UdpError>> {
        let limits = &self.config.limits;
        let Some(socket) = self.udp.get_mut(id.0) else {
            return Poll::Ready(Err(UdpError::NotFound));
        };
        let (count, bytes) = socket.sending;
        if count < limits.udp_queue_datagrams && bytes < limits.udp_queue_bytes as usize {
            return Poll::Ready(Ok(()));
        }
        socket.writers.register(waker);
        Poll::Pending
    }

    /// Hands the oldest datagram and its sender to `f`.
    pub fn poll_udp_recv<R>(
        &mut self,
        now: Instant,
        id: UdpId,
        waker: &Waker,
        mut f: impl FnMut(SocketAddr, &[u8]) -> R,
    ) -> Poll<Result<R, UdpError>> {
        self.now = now;
        let Some(socket) = self.udp.get_mut(id.0) else {
            return Poll::Ready(Err(UdpError::NotFound));
        };
        if let Some(error) = socket.error.take() {
            return Poll::Ready(Err(error));
        }
        if let Some((from, data)) = socket.received.pop() {
            return Poll::Ready(Ok(f(from, data)));
        }
        socket.readers.register(waker);
        Poll::Pending
    }

    /// Ends the socket. What is queued to be sent is still sent.
    pub fn udp_close(&mut self, id: UdpId) {
        self.close_udp(id.0);
    }

    pub(super) fn close_udp(&mut self, key: Key) {
        let Some(mut socket) = self.udp.remove(key) else {
            return;
        };
        self.stats.udp_sockets = self.udp.len() as u32;
        self.unbind(Transport::Udp, socket.scope, socket.local);
        socket.readers.wake();
        socket.writers.wake();
    }

    /// The longest datagram that fits one packet.
    pub(super) fn datagram_max(&self, path: Path, to: SocketAddr) -> usize {
        self.engine.mtu(path) - if to.is_ipv4() { 28 } else { 48 }
    }

    /// Where a datagram can be sent: not to a broadcast address, nobody can ask for that here.
    fn may_be_remote(&self, remote: SocketAddr) -> bool {
        let ip = remote.ip();
        remote.port() != 0 && (is_unicast(ip) || ip.is_multicast()) && !self.is_broadcast(ip)
    }

    /// A datagram left the queue.
    pub(super) fn udp_sent(&mut self, owner: Key, bytes: usize) {
        if let Some(socket) = self.udp.get_mut(owner) {
            socket.sending.0 = socket.sending.0.saturating_sub(1);
            socket.sending.1 = socket.sending.1.saturating_sub(bytes);
            socket.writers.wake();
        }
    }

    pub(super) fn handle_udp(&mut self, now: Instant, path: Path, packet: &Packet<'_>) {
        let checksums = self.checksums && path == Path::Wire;
        let datagram = match Datagram::parse(packet, checksums) {
            Ok(datagram) => datagram,
            Err(cause) => return self.count_drop(cause),
        };
        let local = SocketAddr::new(packet.dst, datagram.dst_port);
        let from = SocketAddr::new(packet.src, datagram.src_port);
        if path == Path::Wire && self.takes_dhcp(from, local) {
            return self.handle_dhcp(now, datagram.data);
        }
        let socket = match self.find_bound(Transport::Udp, path, local) {
            Some(Bound::Udp(key)) => self.udp.get_mut(key),
            _ if self.config.any_address && path == Path::Wire => {
                return self.surface_datagram(from, local, datagram.data);
            }
            _ => None,
        };
        let Some(socket) = socket else {
            if path == Path::Wire && self.resolver.owns_port(local.port()) {
                self.resolver
                    .handle_datagram(now, from, local.port(), datagram.data);
                return self.pump_resolver(now);
            }
            return self.answer_unreachable_port(now, path, packet);
        };
        if socket.remote.is_some_and(|remote| remote != from) {
            self.stats.dropped_udp_filter += 1;
        } else if socket.received.push(from, datagram.data) {
            self.stats.datagrams_in += 1;
            socket.readers.wake();
        } else {
            self.stats.dropped_udp_queue += 1;
        }
    }

    /// An ICMP error about a datagram of ours; false if it quotes none.
    pub(super) fn udp_error(
        &mut self,
        path: Path,
        local: SocketAddr,
        remote: SocketAddr,
        error: UdpError,
    ) -> bool {
        let Some(Bound::Udp(key)) = self.find_bound(Transport::Udp, path, local) else {
            return false;
        };
        let Some(socket) = self.udp.get_mut(key) else {
            return false;
        };
        let ours = match socket.remote {
            Some(connected) => connected == remote,
            None => socket.sent_to.contains(&Some(remote)),
        };
        if ours {
            socket.fail(error);
        }
        ours
    }
}
