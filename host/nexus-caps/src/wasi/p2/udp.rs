//! `udp`, `udp-create-socket`.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, Waker};

use nexus_types::limits;
use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::sockets::network::{IpAddressFamily, IpSocketAddress, Network};
use wasmtime_wasi::p2::bindings::sockets::udp::{
    Host, HostIncomingDatagramStream, HostOutgoingDatagramStream, HostUdpSocket, IncomingDatagram,
    IncomingDatagramStream, OutgoingDatagram, OutgoingDatagramStream, UdpSocket as Theirs,
};
use wasmtime_wasi::p2::bindings::sockets::udp_create_socket;
use wasmtime_wasi::p2::{SocketError, SocketResult};
use wasmtime_wasi_io::async_trait;
use wasmtime_wasi_io::poll::{DynPollable, Pollable, subscribe};

use super::super::code::Code;
use super::super::udp::{Datagram, OpenUdp, UdpSocket};
use super::super::{ours, theirs};
use super::network::told;
use crate::ctx::NetCtxView;

/// A socket, and what of it was started and not finished.
pub(super) struct Udp {
    socket: UdpSocket,
    binding: bool,
    /// Which call of `stream` was the last: "only the most recently returned pair of streams will be operational".
    streams: Arc<AtomicU64>,
}

#[async_trait]
impl Pollable for Udp {
    /// No operation of the socket itself takes time.
    async fn ready(&mut self) {}
}

/// One of the streams that a call of `stream` returned.
struct Stream {
    open: Arc<OpenUdp>,
    number: u64,
    latest: Arc<AtomicU64>,
}

impl Stream {
    fn operational(&self) -> Result<&OpenUdp, Code> {
        if self.latest.load(Ordering::Relaxed) == self.number {
            Ok(&self.open)
        } else {
            Err(Code::InvalidState)
        }
    }
}

/// What comes in.
pub(super) struct Incoming {
    stream: Stream,
    /// Taken ahead, so that a pollable says "ready" only when there is something: whether the socket may hear a
    /// datagram is not known before it is looked at.
    ahead: Option<Result<Datagram, Code>>,
}

impl Incoming {
    fn poll_ahead(&mut self, waker: &Waker) -> Poll<()> {
        if self.ahead.is_none() {
            let received = match self.stream.operational() {
                Ok(open) => open.poll_receive(waker),
                Err(code) => Poll::Ready(Err(code)),
            };
            match received {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(received) => self.ahead = Some(received),
            }
        }
        Poll::Ready(())
    }
}

#[async_trait]
impl Pollable for Incoming {
    async fn ready(&mut self) {
        poll_fn(|cx| self.poll_ahead(cx.waker())).await;
    }
}

/// What goes out.
pub(super) struct Outgoing {
    stream: Stream,
    /// Datagrams that the last `check-send` permitted.
    permitted: u64,
}

impl Outgoing {
    fn poll_writable(&self, waker: &Waker) -> Poll<Result<(), Code>> {
        match self.stream.operational() {
            Ok(open) => open.poll_writable(waker),
            Err(code) => Poll::Ready(Err(code)),
        }
    }
}

#[async_trait]
impl Pollable for Outgoing {
    async fn ready(&mut self) {
        poll_fn(|cx| self.poll_writable(cx.waker()).map(|_| ())).await;
    }
}

impl NetCtxView<'_> {
    fn udp(&mut self, socket: &Resource<Theirs>) -> Result<&mut Udp, SocketError> {
        Ok(self.table.get_mut(&ours::<_, Udp>(socket))?)
    }

    /// A socket that no `bind` is in progress of: until it is finished, the socket is not bound.
    fn bound_udp(&mut self, socket: &Resource<Theirs>) -> Result<&mut Udp, SocketError> {
        let udp = self.udp(socket)?;
        if udp.binding {
            return Err(told(Code::InvalidState));
        }
        Ok(udp)
    }

    fn get_udp<R>(
        &mut self,
        socket: &Resource<Theirs>,
        get: impl FnOnce(&UdpSocket) -> Result<R, Code>,
    ) -> SocketResult<R> {
        get(&self.udp(socket)?.socket).map_err(told)
    }

    fn set_udp(
        &mut self,
        socket: &Resource<Theirs>,
        set: impl FnOnce(&mut UdpSocket) -> Result<(), Code>,
    ) -> SocketResult<()> {
        set(&mut self.udp(socket)?.socket).map_err(told)
    }
}

impl udp_create_socket::Host for NetCtxView<'_> {
    async fn create_udp_socket(
        &mut self,
        family: IpAddressFamily,
    ) -> SocketResult<Resource<Theirs>> {
        let udp = Udp {
            socket: UdpSocket::new(self.ctx.clone(), family.into()),
            binding: false,
            streams: Arc::default(),
        };
        let udp = self
            .table
            .push(udp)
            .map_err(|_| told(Code::TooManySockets))?;
        Ok(theirs(&udp))
    }
}

impl Host for NetCtxView<'_> {}

impl HostUdpSocket for NetCtxView<'_> {
    async fn start_bind(
        &mut self,
        this: Resource<Theirs>,
        network: Resource<Network>,
        local: IpSocketAddress,
    ) -> SocketResult<()> {
        self.check_network(&network)?;
        let udp = self.udp(&this)?;
        if udp.binding {
            return Err(told(Code::ConcurrencyConflict));
        }
        udp.socket.bind(local.into()).map_err(told)?;
        udp.binding = true;
        Ok(())
    }

    fn finish_bind(&mut self, this: Resource<Theirs>) -> SocketResult<()> {
        let udp = self.udp(&this)?;
        if !std::mem::take(&mut udp.binding) {
            return Err(told(Code::NotInProgress));
        }
        Ok(())
    }

    async fn stream(
        &mut self,
        this: Resource<Theirs>,
        remote: Option<IpSocketAddress>,
    ) -> SocketResult<(
        Resource<IncomingDatagramStream>,
        Resource<OutgoingDatagramStream>,
    )> {
        let udp = self.bound_udp(&this)?;
        // "Unlike in POSIX, the socket must already be explicitly bound."
        let open = udp.socket.open().map_err(told)?.clone();
        udp.socket.associate(remote.map(Into::into)).map_err(told)?;
        let number = udp.streams.fetch_add(1, Ordering::Relaxed) + 1;
        let latest = udp.streams.clone();
        let stream = || Stream {
            open: open.clone(),
            number,
            latest: latest.clone(),
        };
        let (incoming, outgoing) = (
            Incoming {
                stream: stream(),
                ahead: None,
            },
            Outgoing {
                stream: stream(),
                permitted: 0,
            },
        );
        let socket = ours::<_, Udp>(&this);
        Ok((
            theirs(&self.table.push_child(incoming, &socket)?),
            theirs(&self.table.push_child(outgoing, &socket)?),
        ))
    }

    fn local_address(&mut self, this: Resource<Theirs>) -> SocketResult<IpSocketAddress> {
        let local = self.bound_udp(&this)?.socket.local();
        local.map(Into::into).map_err(told)
    }

    fn remote_address(&mut self, this: Resource<Theirs>) -> SocketResult<IpSocketAddress> {
        self.get_udp(&this, |socket| socket.remote().map(Into::into))
    }

    fn address_family(&mut self, this: Resource<Theirs>) -> wasmtime::Result<IpAddressFamily> {
        Ok(self
            .table
            .get(&ours::<_, Udp>(&this))?
            .socket
            .family()
            .into())
    }

    fn unicast_hop_limit(&mut self, this: Resource<Theirs>) -> SocketResult<u8> {
        self.get_udp(&this, |socket| Ok(socket.hop_limit()))
    }

    fn set_unicast_hop_limit(&mut self, this: Resource<Theirs>, value: u8) -> SocketResult<()> {
        self.set_udp(&this, |socket| socket.set_hop_limit(value))
    }

    fn receive_buffer_size(&mut self, this: Resource<Theirs>) -> SocketResult<u64> {
        self.get_udp(&this, |socket| Ok(socket.buffer_bytes()))
    }

    fn set_receive_buffer_size(&mut self, this: Resource<Theirs>, value: u64) -> SocketResult<()> {
        self.set_udp(&this, |socket| socket.set_buffer_bytes(value))
    }

    fn send_buffer_size(&mut self, this: Resource<Theirs>) -> SocketResult<u64> {
        self.get_udp(&this, |socket| Ok(socket.buffer_bytes()))
    }

    fn set_send_buffer_size(&mut self, this: Resource<Theirs>, value: u64) -> SocketResult<()> {
        self.set_udp(&this, |socket| socket.set_buffer_bytes(value))
    }

    fn subscribe(&mut self, this: Resource<Theirs>) -> wasmtime::Result<Resource<DynPollable>> {
        let udp: Resource<Udp> = Resource::new_borrow(this.rep());
        subscribe(self.table, udp)
    }

    fn drop(&mut self, this: Resource<Theirs>) -> wasmtime::Result<()> {
        self.table.delete(ours::<_, Udp>(&this))?;
        Ok(())
    }
}

impl HostIncomingDatagramStream for NetCtxView<'_> {
    fn receive(
        &mut self,
        this: Resource<IncomingDatagramStream>,
        max: u64,
    ) -> SocketResult<Vec<IncomingDatagram>> {
        let incoming = self.table.get_mut(&ours::<_, Incoming>(&this))?;
        let max = max.min(limits::DATAGRAMS_PER_CALL.into());
        let mut datagrams: Vec<IncomingDatagram> = Vec::new();
        while (datagrams.len() as u64) < max && incoming.poll_ahead(Waker::noop()).is_ready() {
            match incoming.ahead.take() {
                Some(Ok((data, remote))) => datagrams.push(IncomingDatagram {
                    data,
                    remote_address: remote.into(),
                }),
                // An error is told by the next call: what has come is not lost.
                Some(Err(code)) if !datagrams.is_empty() => {
                    incoming.ahead = Some(Err(code));
                    break;
                }
                Some(Err(code)) => return Err(told(code)),
                None => break,
            }
        }
        Ok(datagrams)
    }

    fn subscribe(
        &mut self,
        this: Resource<IncomingDatagramStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        let incoming: Resource<Incoming> = Resource::new_borrow(this.rep());
        subscribe(self.table, incoming)
    }

    fn drop(&mut self, this: Resource<IncomingDatagramStream>) -> wasmtime::Result<()> {
        self.table.delete(ours::<_, Incoming>(&this))?;
        Ok(())
    }
}

impl HostOutgoingDatagramStream for NetCtxView<'_> {
    fn check_send(&mut self, this: Resource<OutgoingDatagramStream>) -> SocketResult<u64> {
        let outgoing = self.table.get_mut(&ours::<_, Outgoing>(&this))?;
        outgoing.permitted = match outgoing.poll_writable(Waker::noop()) {
            Poll::Pending => 0,
            Poll::Ready(Ok(())) => limits::DATAGRAMS_PER_CALL.into(),
            Poll::Ready(Err(code)) => return Err(told(code)),
        };
        Ok(outgoing.permitted)
    }

    fn send(
        &mut self,
        this: Resource<OutgoingDatagramStream>,
        datagrams: Vec<OutgoingDatagram>,
    ) -> SocketResult<u64> {
        let outgoing = self.table.get_mut(&ours::<_, Outgoing>(&this))?;
        // "If the input list is empty, the function returns `ok(0)`."
        if datagrams.is_empty() {
            return Ok(0);
        }
        // "Implementations must trap if either `check-send` was not called or `datagrams` contains more items than
        // `check-send` permitted."
        let permitted = std::mem::take(&mut outgoing.permitted);
        if datagrams.len() as u64 > permitted {
            let why = format!(
                "{} datagrams where {permitted} were permitted",
                datagrams.len()
            );
            return Err(SocketError::trap(wasmtime::Error::msg(why)));
        }
        let open = outgoing.stream.operational().map_err(told)?;
        let mut sent = 0;
        for datagram in datagrams {
            match open.send(&datagram.data, datagram.remote_address.map(Into::into)) {
                Ok(()) => sent += 1,
                // "If at least one datagram has been sent successfully, this function never returns an error."
                Err(_) if sent > 0 => break,
                // "This function never returns `error(would-block)`."
                Err(Code::WouldBlock) => break,
                Err(code) => return Err(told(code)),
            }
        }
        Ok(sent)
    }

    fn subscribe(
        &mut self,
        this: Resource<OutgoingDatagramStream>,
    ) -> wasmtime::Result<Resource<DynPollable>> {
        let outgoing: Resource<Outgoing> = Resource::new_borrow(this.rep());
        subscribe(self.table, outgoing)
    }

    async fn drop(&mut self, this: Resource<OutgoingDatagramStream>) -> wasmtime::Result<()> {
        self.table.delete(ours::<_, Outgoing>(&this))?;
        Ok(())
    }
}
