//! What an app does with UDP.
//!
//! A socket of `network.udp.send` hears only whom it has sent to; one of `network.udp.bind`
//! hears everyone and may answer whom it has heard, short of a written forbid of
//! `network.udp.send`. One decision covers a (socket, remote, epoch): the remotes a socket may
//! send to are remembered, and those it has heard, a bounded number of them each.

use core::num::NonZeroU8;
use core::task::{Poll, Waker};
use std::collections::{BTreeSet, VecDeque};

use nexus_policy::switch::Site;
use nexus_policy::{Act, Permit, Stamp, Target};
use nexus_stack::{UdpId, UdpOptions};
use nexus_types::{
    ErrorCode, HostName, InstanceId, Instant, IpAddr, Ipv4Addr, Ipv6Addr, PolicyEpoch, SocketAddr,
    limits,
};

use crate::revoke::{Handle, Open, OpenedAs};
use crate::tcp::misused;
use crate::{NetError, Node};

/// A UDP socket of an app.
#[derive(Clone, Copy, Debug)]
pub struct UdpSocket {
    id: UdpId,
    instance: InstanceId,
}

impl UdpSocket {
    pub(crate) const fn of(id: UdpId, instance: InstanceId) -> Self {
        Self { id, instance }
    }
}

/// What a socket was permitted: to be where it is, and to send to these without asking again.
#[derive(Debug)]
pub(crate) struct Remotes {
    instance: InstanceId,
    /// The act that opened it, and its stamp.
    opened: Opened,
    stamp: Stamp,
    /// The policy all of this was decided under.
    epoch: PolicyEpoch,
    permitted: FarEnds,
    /// Whom it might send to under older policies, and was not asked about under this one.
    earlier: FarEnds,
    /// Whom a bound socket has heard, whatever the policy says of it.
    heard: FarEnds,
}

/// A bounded set of far ends.
#[derive(Debug, Default)]
struct FarEnds {
    set: BTreeSet<SocketAddr>,
    oldest_first: VecDeque<SocketAddr>,
}

impl FarEnds {
    /// Remembers `remote`; the one remembered longest makes room.
    fn remember(&mut self, remote: SocketAddr) {
        if !self.set.insert(remote) {
            return;
        }
        if self.oldest_first.len() >= limits::UDP_REMOTES as usize
            && let Some(oldest) = self.oldest_first.pop_front()
        {
            self.set.remove(&oldest);
        }
        self.oldest_first.push_back(remote);
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Opened {
    /// `network.udp.send`: says whom it sends to when it does.
    Unconnected,
    /// `network.udp.send`, to speak with one remote, by this name if it said one.
    Connected(SocketAddr, Option<HostName>),
    /// `network.udp.bind`: hears everyone.
    Bound(SocketAddr),
}

impl Remotes {
    fn new(opened: Opened, stamp: Stamp, epoch: PolicyEpoch) -> Self {
        Self {
            instance: stamp.instance(),
            opened,
            stamp,
            epoch,
            permitted: FarEnds::default(),
            earlier: FarEnds::default(),
            heard: FarEnds::default(),
        }
    }

    pub(crate) fn instance(&self) -> InstanceId {
        self.instance
    }

    fn is_bound(&self) -> bool {
        matches!(self.opened, Opened::Bound(_))
    }

    fn permits(&self, remote: SocketAddr) -> bool {
        self.permitted.set.contains(&remote)
    }

    /// Whether it hears whom it sent to under an older policy: `may` asks this one, once for each.
    fn still_permits(&mut self, remote: SocketAddr, may: impl FnOnce(&Act<'_>) -> bool) -> bool {
        let may = self.earlier.set.remove(&remote) && may(&Act::UdpSend { remote, name: None });
        if may {
            self.permitted.remember(remote);
        }
        may
    }

    /// What sending there is.
    fn act(&self, remote: SocketAddr) -> Act<'static> {
        if self.is_bound() && self.heard.set.contains(&remote) {
            Act::UdpAnswer { remote }
        } else {
            Act::UdpSend { remote, name: None }
        }
    }
}

/// What one socket's queues count for in [`Usage::bytes_in_flight`](crate::Usage).
const BUFFER_BYTES: u64 = 2 * limits::UDP_QUEUE_BYTES as u64;

impl Node {
    /// A socket on an ephemeral port that speaks with the permit's target and nobody else.
    ///
    /// # Errors
    /// The policy forbids it by now, the app's quota is used up, or the stack says no.
    pub fn udp_connect(&mut self, now: Instant, permit: Permit) -> Result<UdpSocket, NetError> {
        let Some(remote) = permit.target().remote() else {
            return Err(misused());
        };
        let name = permit.target().host_name();
        let act = Act::UdpSend {
            remote,
            name: name.as_ref(),
        };
        if permit.capability() != act.capability() {
            return Err(misused());
        }
        let stamp =
            Site::StaleUdpConnect.ask(|| self.still_permitted(now, permit.stamp(), &act))?;
        let opened = Opened::Connected(remote, name);
        let socket = self.udp_socket(now, opened, stamp, unspecified(remote.is_ipv4()))?;
        if let Err(error) = self.stack_mut().udp_connect(socket.id, Some(remote)) {
            self.udp_close(socket);
            return Err(error.into());
        }
        if let Some(remotes) = self.remotes.get_mut(&socket.id) {
            remotes.permitted.remember(remote);
        }
        Ok(socket)
    }

    /// A socket on an ephemeral port. Whom it sends to is judged when it does, and it hears
    /// nobody else.
    ///
    /// # Errors
    /// The policy forbids it by now, the app's quota is used up, or the stack says no.
    pub fn udp_open(
        &mut self,
        now: Instant,
        permit: Permit,
        ipv4: bool,
    ) -> Result<UdpSocket, NetError> {
        self.udp_open_at(now, permit, unspecified(ipv4).ip())
    }

    /// As [`Node::udp_open`], on this address of ours.
    ///
    /// # Errors
    /// As there.
    pub fn udp_open_at(
        &mut self,
        now: Instant,
        permit: Permit,
        local: IpAddr,
    ) -> Result<UdpSocket, NetError> {
        if *permit.target() != Target::Unconnected {
            return Err(misused());
        }
        let stamp =
            Site::StaleUdpOpen.ask(|| self.still_permitted(now, permit.stamp(), &Act::UdpOpen))?;
        self.udp_socket(now, Opened::Unconnected, stamp, SocketAddr::new(local, 0))
    }

    /// Speaks with `remote` alone from now on, or with everyone again. Nothing is sent. Whom a socket of
    /// `network.udp.send` speaks with is judged here; a bound one's, when it sends.
    ///
    /// # Errors
    /// The gate's refusal, or what the stack says of the address.
    pub fn udp_associate(
        &mut self,
        now: Instant,
        socket: UdpSocket,
        remote: Option<SocketAddr>,
    ) -> Result<(), NetError> {
        self.check_udp(now, socket)?;
        let remotes = self.remotes.get(&socket.id).ok_or_else(NetError::closed)?;
        if let Opened::Connected(..) = remotes.opened {
            return Err(NetError::new(
                ErrorCode::InvalidState,
                "the socket was opened to speak with one address",
            ));
        }
        if let Some(remote) = remote
            && !remotes.is_bound()
        {
            self.may_send(now, socket, remote)?;
        }
        Ok(self.stack_mut().udp_connect(socket.id, remote)?)
    }

    /// TTL or hop limit of what is sent from now on.
    ///
    /// # Errors
    /// The policy has changed since it was opened.
    pub fn udp_set_hop_limit(
        &mut self,
        now: Instant,
        socket: UdpSocket,
        hops: NonZeroU8,
    ) -> Result<(), NetError> {
        self.check_udp(now, socket)?;
        self.stack_mut().udp_set_hop_limit(socket.id, hops);
        Ok(())
    }

    /// A socket at the permit's target.
    ///
    /// # Errors
    /// The policy forbids it by now, the app's quota is used up, or the stack says no.
    pub fn udp_bind(&mut self, now: Instant, permit: Permit) -> Result<UdpSocket, NetError> {
        let Some(local) = permit.target().local() else {
            return Err(misused());
        };
        let act = Act::UdpBind { local };
        let stamp = Site::StaleUdpBind.ask(|| self.still_permitted(now, permit.stamp(), &act))?;
        self.udp_socket(now, Opened::Bound(local), stamp, local)
    }

    fn udp_socket(
        &mut self,
        now: Instant,
        opened: Opened,
        stamp: Stamp,
        local: SocketAddr,
    ) -> Result<UdpSocket, NetError> {
        let instance = stamp.instance();
        let scope = self.take(instance, BUFFER_BYTES)?;
        match self
            .stack
            .udp_bind(now, scope, local, &UdpOptions::default())
        {
            Ok(id) => {
                let remotes = Remotes::new(opened, stamp, self.gate().epoch());
                self.remotes.insert(id, remotes);
                self.open
                    .insert(Handle::Udp(id), Open::Stands(stamp, OpenedAs::Itself));
                Ok(UdpSocket { id, instance })
            }
            Err(error) => {
                self.give_back(instance, BUFFER_BYTES);
                Err(error.into())
            }
        }
    }

    /// Where it is bound, with the port that was chosen.
    pub fn udp_local(&self, socket: UdpSocket) -> Option<SocketAddr> {
        self.stack().udp_local(socket.id)
    }

    /// Whom it is connected to.
    pub fn udp_remote(&self, socket: UdpSocket) -> Option<SocketAddr> {
        self.stack().udp_remote(socket.id)
    }

    /// Sends one datagram; `to` none: to whom the socket is connected.
    ///
    /// # Errors
    /// `would-block`: wait for [`Node::poll_udp_writable`]. Else the gate's refusal, or the stack's.
    pub fn udp_send(
        &mut self,
        now: Instant,
        socket: UdpSocket,
        data: &[u8],
        to: Option<SocketAddr>,
    ) -> Result<(), NetError> {
        self.check_udp(now, socket)?;
        let remote = match (to, self.udp_remote(socket)) {
            (Some(to), None) => to,
            (None, Some(remote)) => remote,
            (Some(to), Some(remote)) if to == remote => remote,
            (Some(_), Some(_)) => {
                return Err(NetError::new(
                    ErrorCode::InvalidState,
                    "the socket is connected to another address",
                ));
            }
            (None, None) => {
                return Err(NetError::new(
                    ErrorCode::InvalidArgument,
                    "the datagram says no address to send it to",
                ));
            }
        };
        self.may_send(now, socket, remote)?;
        self.stack_mut().udp_send(now, socket.id, data, remote)?;
        self.instance(socket.instance)?.usage.bytes_out += data.len() as u64;
        Ok(())
    }

    /// Judges, once an epoch, that the socket may send there.
    fn may_send(
        &mut self,
        now: Instant,
        socket: UdpSocket,
        remote: SocketAddr,
    ) -> Result<(), NetError> {
        let remotes = self.remotes.get(&socket.id).ok_or_else(NetError::closed)?;
        if !remotes.permits(remote) {
            let act = remotes.act(remote);
            // Whom it sent to before the policy changed is no new far end.
            let goes_on = remotes.earlier.set.contains(&remote)
                && Site::UdpSendAgain.ask(|| self.gate.goes_on(now, remotes.stamp, &act));
            if !goes_on {
                let _permit = Site::UdpSend.ask(|| self.permit(now, socket.instance, &act))?;
            }
            if let Some(remotes) = self.remotes.get_mut(&socket.id) {
                remotes.permitted.remember(remote);
            }
        }
        Ok(())
    }

    /// Ready when a datagram can be queued.
    pub fn poll_udp_writable(
        &mut self,
        now: Instant,
        socket: UdpSocket,
        waker: &Waker,
    ) -> Poll<Result<(), NetError>> {
        self.check_udp(now, socket)?;
        self.stack_mut()
            .poll_udp_writable(socket.id, waker)
            .map_err(Into::into)
    }

    /// Hands the oldest datagram that the socket may hear to `f`.
    pub fn poll_udp_receive<R>(
        &mut self,
        now: Instant,
        socket: UdpSocket,
        waker: &Waker,
        mut f: impl FnMut(SocketAddr, &[u8]) -> R,
    ) -> Poll<Result<R, NetError>> {
        self.check_udp(now, socket)?;
        // What a socket that only sends has not sent to is dropped one by one; the socket's
        // bounded queue bounds how often this goes round.
        loop {
            let remotes = self
                .remotes
                .get_mut(&socket.id)
                .ok_or_else(NetError::closed)?;
            // What a socket for one far end hears is from there, and its own permit was judged above.
            let hears_everyone = !matches!(remotes.opened, Opened::Unconnected);
            let (gate, stamp) = (&mut self.gate, remotes.stamp);
            let mut length = 0;
            let received = self
                .stack
                .poll_udp_recv(now, socket.id, waker, |remote, data| {
                    if remotes.is_bound() {
                        remotes.heard.remember(remote);
                    }
                    length = data.len() as u64;
                    let hears = hears_everyone
                        || remotes.permits(remote)
                        || remotes.still_permits(remote, |act| {
                            Site::UdpReceiveAgain
                                .ask(|| gate.judge_again(now, stamp, act))
                                .is_ok()
                        });
                    hears.then(|| f(remote, data))
                });
            match received {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error.into())),
                Poll::Ready(Ok(None)) => {}
                Poll::Ready(Ok(Some(result))) => {
                    self.instance(socket.instance)?.usage.bytes_in += length;
                    return Poll::Ready(Ok(result));
                }
            }
        }
    }

    fn check_udp(&mut self, now: Instant, socket: UdpSocket) -> Result<(), NetError> {
        let epoch = self.gate().epoch();
        if self
            .remotes
            .get(&socket.id)
            .is_some_and(|r| r.epoch == epoch)
            || Site::CheckUdp.is_off()
        {
            return Ok(());
        }
        self.check_handle(now, Handle::Udp(socket.id))
    }

    /// Judges again, once an epoch, that the socket may be where it is; whom it may send to or
    /// answer is judged again when it does.
    pub(crate) fn judge_udp_again(
        &mut self,
        now: Instant,
        id: UdpId,
        stamp: Stamp,
    ) -> Result<Stamp, NetError> {
        let epoch = self.gate().epoch();
        let remotes = self.remotes.get_mut(&id).ok_or_else(NetError::closed)?;
        remotes.epoch = epoch;
        for remote in core::mem::take(&mut remotes.permitted).oldest_first {
            remotes.earlier.remember(remote);
        }
        let opened = remotes.opened.clone();
        let act = match &opened {
            Opened::Unconnected => Act::UdpOpen,
            Opened::Connected(remote, name) => Act::UdpSend {
                remote: *remote,
                name: name.as_ref(),
            },
            Opened::Bound(local) => Act::UdpBind { local: *local },
        };
        let stamp = Site::JudgeUdp.ask(|| self.judge_again(now, stamp, &act))?;
        if let Some(remotes) = self.remotes.get_mut(&id) {
            remotes.stamp = stamp;
            if let Opened::Connected(remote, _) = opened {
                remotes.permitted.remember(remote);
            }
        }
        Ok(stamp)
    }

    /// Ends the socket. What is queued to be sent is still sent.
    pub fn udp_close(&mut self, socket: UdpSocket) {
        if self.forget(Handle::Udp(socket.id)).is_some() {
            self.end_udp(socket);
        }
    }

    pub(crate) fn end_udp(&mut self, socket: UdpSocket) {
        if self.remotes.remove(&socket.id).is_some() {
            self.stack_mut().udp_close(socket.id);
            self.give_back(socket.instance, BUFFER_BYTES);
        }
    }
}

fn unspecified(ipv4: bool) -> SocketAddr {
    let address = if ipv4 {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    } else {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    };
    SocketAddr::new(address, 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remotes_at_and_over_the_limit() {
        let remote = |n: u32| SocketAddr::new(Ipv4Addr::from(0x0a00_0000 + n).into(), 53);
        let mut ends = FarEnds::default();
        for n in 0..limits::UDP_REMOTES {
            ends.remember(remote(n));
        }
        assert!(ends.set.contains(&remote(0)));
        ends.remember(remote(limits::UDP_REMOTES));
        assert!(
            !ends.set.contains(&remote(0)),
            "the one remembered longest has made room"
        );
        assert!(ends.set.contains(&remote(limits::UDP_REMOTES)));
        assert_eq!(ends.set.len(), limits::UDP_REMOTES as usize);
    }
}
