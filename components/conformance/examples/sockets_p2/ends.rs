//! Sockets, and what is done with them in more than one probe.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use conformance::{Checked, Far, ok};
use wasip2::clocks::monotonic_clock::subscribe_duration;
use wasip2::io::poll::{Pollable, poll};
use wasip2::io::streams::{InputStream, OutputStream, StreamError};
use wasip2::sockets::instance_network::instance_network;
use wasip2::sockets::network::{
    ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
    Network,
};
use wasip2::sockets::tcp::{ShutdownType, TcpSocket};
use wasip2::sockets::tcp_create_socket::create_tcp_socket;
use wasip2::sockets::udp::{
    IncomingDatagram, IncomingDatagramStream, OutgoingDatagram, OutgoingDatagramStream, UdpSocket,
};
use wasip2::sockets::udp_create_socket::create_udp_socket;

pub(crate) use IpAddressFamily::{Ipv4 as V4, Ipv6 as V6};

/// A port of the host's choosing on the app's own loopback.
pub(crate) const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// All addresses, a port of the host's choosing.
pub(crate) const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Longer than what is ready takes to say so on a busy machine; nothing waits for it that goes well but a probe of
/// what is not ready.
const A_WHILE: u64 = 50_000_000;

/// What a probe stands on.
pub(crate) struct World {
    pub(crate) network: Network,
    pub(crate) far: Far,
}

pub(crate) fn wit(address: SocketAddr) -> IpSocketAddress {
    match address {
        SocketAddr::V4(v4) => {
            let [a, b, c, d] = v4.ip().octets();
            IpSocketAddress::Ipv4(Ipv4SocketAddress {
                port: v4.port(),
                address: (a, b, c, d),
            })
        }
        SocketAddr::V6(v6) => {
            let [a, b, c, d, e, f, g, h] = v6.ip().segments();
            IpSocketAddress::Ipv6(Ipv6SocketAddress {
                port: v6.port(),
                flow_info: 0,
                address: (a, b, c, d, e, f, g, h),
                scope_id: 0,
            })
        }
    }
}

pub(crate) fn plain(address: IpSocketAddress) -> SocketAddr {
    match address {
        IpSocketAddress::Ipv4(v4) => {
            SocketAddr::new(plain_ip(IpAddress::Ipv4(v4.address)), v4.port)
        }
        IpSocketAddress::Ipv6(v6) => {
            SocketAddr::new(plain_ip(IpAddress::Ipv6(v6.address)), v6.port)
        }
    }
}

pub(crate) fn plain_ip(address: IpAddress) -> IpAddr {
    match address {
        IpAddress::Ipv4((a, b, c, d)) => Ipv4Addr::new(a, b, c, d).into(),
        IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => Ipv6Addr::new(a, b, c, d, e, f, g, h).into(),
    }
}

pub(crate) fn at(text: &str) -> IpSocketAddress {
    wit(text.parse().expect("an address"))
}

/// One end of a connection. What is a child of the socket goes first.
pub(crate) struct End {
    pub(crate) input: InputStream,
    pub(crate) output: OutputStream,
    pub(crate) socket: TcpSocket,
}

/// A connection over the loopback, and who listened.
pub(crate) struct Pair {
    pub(crate) client: End,
    pub(crate) server: End,
    pub(crate) listener: TcpSocket,
}

/// A bound UDP socket that streams.
pub(crate) struct Udp {
    pub(crate) incoming: IncomingDatagramStream,
    pub(crate) outgoing: OutgoingDatagramStream,
    pub(crate) socket: UdpSocket,
    pub(crate) local: SocketAddr,
}

/// Tries; would it block, waits once on the pollable, which then must have told the truth.
pub(crate) fn waited<T>(
    pollable: &Pollable,
    mut act: impl FnMut() -> Result<T, ErrorCode>,
) -> Result<T, ErrorCode> {
    match act() {
        Err(ErrorCode::WouldBlock) => {
            pollable.block();
            act()
        }
        other => other,
    }
}

/// Whether it becomes ready within a while in which nothing happens that could make it so.
pub(crate) fn wakes_by_itself(pollable: &Pollable) -> bool {
    let timer = subscribe_duration(A_WHILE);
    pollable.ready() || poll(&[pollable, &timer]).contains(&0)
}

pub(crate) fn tcp(family: IpAddressFamily) -> Checked<TcpSocket> {
    ok(create_tcp_socket(family), "create-tcp-socket")
}

pub(crate) fn udp(family: IpAddressFamily) -> Checked<UdpSocket> {
    ok(create_udp_socket(family), "create-udp-socket")
}

impl World {
    pub(crate) fn new(far: Far) -> Self {
        Self {
            network: instance_network(),
            far,
        }
    }

    pub(crate) fn far_tcp(&self) -> SocketAddr {
        SocketAddr::new(self.far.ip, self.far.tcp)
    }

    pub(crate) fn far_udp(&self) -> SocketAddr {
        SocketAddr::new(self.far.ip, self.far.udp)
    }

    pub(crate) fn bind(&self, socket: &TcpSocket, local: SocketAddr) -> Result<(), ErrorCode> {
        socket.start_bind(&self.network, wit(local))?;
        waited(&socket.subscribe(), || socket.finish_bind())
    }

    pub(crate) fn bound(&self, local: SocketAddr) -> Checked<TcpSocket> {
        let socket = tcp(if local.is_ipv4() { V4 } else { V6 })?;
        ok(self.bind(&socket, local), "bind")?;
        Ok(socket)
    }

    pub(crate) fn listen(&self, socket: &TcpSocket) -> Checked<SocketAddr> {
        ok(socket.start_listen(), "start-listen")?;
        ok(
            waited(&socket.subscribe(), || socket.finish_listen()),
            "finish-listen",
        )?;
        Ok(plain(ok(socket.local_address(), "local-address")?))
    }

    pub(crate) fn listening(&self) -> Checked<(TcpSocket, SocketAddr)> {
        let socket = self.bound(LOOPBACK)?;
        let local = self.listen(&socket)?;
        Ok((socket, local))
    }

    pub(crate) fn connect(
        &self,
        socket: &TcpSocket,
        to: SocketAddr,
    ) -> Result<(InputStream, OutputStream), ErrorCode> {
        socket.start_connect(&self.network, wit(to))?;
        waited(&socket.subscribe(), || socket.finish_connect())
    }

    pub(crate) fn connected(&self, to: SocketAddr) -> Checked<End> {
        let socket = tcp(if to.is_ipv4() { V4 } else { V6 })?;
        let (input, output) = ok(self.connect(&socket, to), "connect")?;
        Ok(End {
            input,
            output,
            socket,
        })
    }

    pub(crate) fn pair(&self) -> Checked<Pair> {
        let (listener, local) = self.listening()?;
        let client = self.connected(local)?;
        let server = accepted(&listener)?;
        Ok(Pair {
            client,
            server,
            listener,
        })
    }

    pub(crate) fn bind_udp(&self, socket: &UdpSocket, local: SocketAddr) -> Result<(), ErrorCode> {
        socket.start_bind(&self.network, wit(local))?;
        waited(&socket.subscribe(), || socket.finish_bind())
    }

    pub(crate) fn udp(&self, local: SocketAddr, remote: Option<SocketAddr>) -> Checked<Udp> {
        let socket = udp(if local.is_ipv4() { V4 } else { V6 })?;
        ok(self.bind_udp(&socket, local), "bind")?;
        let (incoming, outgoing) = ok(socket.stream(remote.map(wit)), "stream")?;
        let local = plain(ok(socket.local_address(), "local-address")?);
        Ok(Udp {
            incoming,
            outgoing,
            socket,
            local,
        })
    }
}

pub(crate) fn accepted(listener: &TcpSocket) -> Checked<End> {
    let accepted = waited(&listener.subscribe(), || listener.accept());
    let (socket, input, output) = ok(accepted, "accept")?;
    Ok(End {
        input,
        output,
        socket,
    })
}

impl Udp {
    /// Streams to someone else from now on.
    pub(crate) fn restream(self, remote: Option<SocketAddr>) -> Checked<Self> {
        let Self { socket, local, .. } = self;
        let (incoming, outgoing) = ok(socket.stream(remote.map(wit)), "stream")?;
        Ok(Self {
            incoming,
            outgoing,
            socket,
            local,
        })
    }

    pub(crate) fn send(&self, data: &[u8], to: Option<SocketAddr>) -> Result<u64, ErrorCode> {
        self.send_all(&[(data, to)])
    }

    pub(crate) fn send_all(
        &self,
        datagrams: &[(&[u8], Option<SocketAddr>)],
    ) -> Result<u64, ErrorCode> {
        if self.outgoing.check_send()? < datagrams.len() as u64 {
            self.outgoing.subscribe().block();
            self.outgoing.check_send()?;
        }
        let datagrams: Vec<_> = datagrams
            .iter()
            .map(|(data, to)| datagram(data, *to))
            .collect();
        self.outgoing.send(&datagrams)
    }

    /// The next datagram. Is there none yet, it is waited for, and is there when the pollable says so.
    pub(crate) fn next(&self) -> Checked<IncomingDatagram> {
        let mut got = ok(self.incoming.receive(1), "receive")?;
        if got.is_empty() {
            self.incoming.subscribe().block();
            got = ok(self.incoming.receive(1), "receive")?;
        }
        got.pop()
            .ok_or_else(|| "ready to receive, and nothing is there".to_owned())
    }
}

pub(crate) fn datagram(data: &[u8], to: Option<SocketAddr>) -> OutgoingDatagram {
    OutgoingDatagram {
        data: data.to_vec(),
        remote_address: to.map(wit),
    }
}

impl End {
    /// Writes all of it.
    pub(crate) fn write(&self, mut data: &[u8]) -> Checked {
        while !data.is_empty() {
            let room = ok(self.output.check_write(), "check-write")?;
            if room == 0 {
                self.output.subscribe().block();
                continue;
            }
            let (now, rest) = data.split_at(data.len().min(room as usize));
            ok(self.output.write(now), "write")?;
            data = rest;
        }
        Ok(())
    }

    /// As much as it takes without waiting, at most this.
    pub(crate) fn write_some(&self, data: &[u8]) -> Checked<usize> {
        let mut written = 0;
        while written < data.len() {
            let room = ok(self.output.check_write(), "check-write")? as usize;
            if room == 0 {
                break;
            }
            let now = &data[written..data.len().min(written + room)];
            ok(self.output.write(now), "write")?;
            written += now.len();
        }
        Ok(written)
    }

    /// Reads exactly so many bytes.
    pub(crate) fn read(&self, count: usize) -> Checked<Vec<u8>> {
        let mut got = Vec::new();
        while got.len() < count {
            let more = self.input.blocking_read((count - got.len()) as u64);
            got.extend(ok(more, "read")?);
        }
        Ok(got)
    }

    /// Reads until the other end has no more.
    pub(crate) fn read_to_end(&self) -> Checked<Vec<u8>> {
        let mut got = Vec::new();
        loop {
            match self.input.blocking_read(65_536) {
                Ok(more) => got.extend(more),
                Err(StreamError::Closed) => return Ok(got),
                Err(error) => return Err(format!("read: {error:?}")),
            }
        }
    }

    /// Sends all of it to who sends it back, says that there is no more, and returns what came back.
    pub(crate) fn echo(&self, data: &[u8]) -> Checked<Vec<u8>> {
        let (mut sent, mut got, mut over) = (0, Vec::new(), false);
        loop {
            let written = self.write_some(&data[sent..])?;
            sent += written;
            if sent == data.len() && !over {
                ok(self.socket.shutdown(ShutdownType::Send), "shutdown")?;
                over = true;
            }
            match self.input.read(65_536) {
                Ok(more) if more.is_empty() => {}
                Ok(more) => {
                    got.extend(more);
                    continue;
                }
                Err(StreamError::Closed) => return Ok(got),
                Err(error) => return Err(format!("read: {error:?}")),
            }
            let readable = self.input.subscribe();
            match over {
                true => readable.block(),
                false => _ = poll(&[&readable, &self.output.subscribe()]),
            }
        }
    }
}

/// Whether the stream has come to its end.
pub(crate) fn is_closed<T>(got: &Result<T, StreamError>) -> bool {
    matches!(got, Err(StreamError::Closed))
}
