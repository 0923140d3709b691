//! Sockets, and what is done with them in more than one probe.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;

use conformance::{Checked, Far, check, ok};
use futures::future::{Either, join, select};
use wasip3::clocks::monotonic_clock::wait_for;
use wasip3::sockets::types::{
    ErrorCode, IpAddress, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, Ipv6SocketAddress,
    TcpSocket, UdpSocket,
};
use wasip3::wit_bindgen::rt::async_support::{
    FutureReader, StreamReader, StreamResult, StreamWriter,
};
use wasip3::wit_stream;

pub(crate) use IpAddressFamily::{Ipv4 as V4, Ipv6 as V6};

/// A port of the host's choosing on the app's own loopback.
pub(crate) const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// All addresses, a port of the host's choosing.
pub(crate) const ANY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

/// Longer than what is ready takes to say so on a busy machine; nothing waits for it that goes well but a probe of
/// what is not ready.
const A_WHILE: u64 = 50_000_000;

/// What ends a stream of bytes.
pub(crate) type Outcome = FutureReader<Result<(), ErrorCode>>;

pub(crate) fn far_tcp(far: &Far) -> SocketAddr {
    SocketAddr::new(far.ip, far.tcp)
}

pub(crate) fn far_udp(far: &Far) -> SocketAddr {
    SocketAddr::new(far.ip, far.udp)
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
                flow_info: v6.flowinfo(),
                address: (a, b, c, d, e, f, g, h),
                scope_id: v6.scope_id(),
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

/// What comes of it within a while; none: nothing.
pub(crate) async fn soon<T>(act: impl Future<Output = T>) -> Option<T> {
    match select(pin!(act), pin!(wait_for(A_WHILE))).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => None,
    }
}

fn family(of: SocketAddr) -> IpAddressFamily {
    if of.is_ipv4() { V4 } else { V6 }
}

pub(crate) fn tcp(family: IpAddressFamily) -> Checked<TcpSocket> {
    ok(TcpSocket::create(family), "create")
}

pub(crate) fn bound(local: SocketAddr) -> Checked<TcpSocket> {
    let socket = tcp(family(local))?;
    ok(socket.bind(wit(local)), "bind")?;
    Ok(socket)
}

pub(crate) fn local(socket: &TcpSocket) -> Checked<SocketAddr> {
    Ok(plain(ok(socket.get_local_address(), "get-local-address")?))
}

pub(crate) fn remote(socket: &TcpSocket) -> Checked<SocketAddr> {
    Ok(plain(ok(
        socket.get_remote_address(),
        "get-remote-address",
    )?))
}

/// A socket that listens, and the stream of who comes.
pub(crate) struct Listening {
    pub(crate) socket: TcpSocket,
    pub(crate) comes: StreamReader<TcpSocket>,
    pub(crate) at: SocketAddr,
}

pub(crate) fn listening(at: SocketAddr) -> Checked<Listening> {
    let socket = bound(at)?;
    let comes = ok(socket.listen(), "listen")?;
    let at = local(&socket)?;
    Ok(Listening { socket, comes, at })
}

impl Listening {
    pub(crate) async fn accept(&mut self) -> Checked<TcpSocket> {
        next(&mut self.comes).await
    }
}

pub(crate) async fn next(comes: &mut StreamReader<TcpSocket>) -> Checked<TcpSocket> {
    let next = comes.next().await;
    next.ok_or_else(|| "the stream of connections ended".to_owned())
}

pub(crate) async fn connected(to: SocketAddr) -> Checked<TcpSocket> {
    let socket = tcp(family(to))?;
    ok(socket.connect(wit(to)).await, "connect")?;
    Ok(socket)
}

/// One end of a connection, with both its directions.
pub(crate) struct End {
    pub(crate) socket: TcpSocket,
    pub(crate) to: StreamWriter<u8>,
    pub(crate) sent: Outcome,
    pub(crate) from: StreamReader<u8>,
    pub(crate) received: Outcome,
}

/// A connection over the loopback, and who listened.
pub(crate) struct Pair {
    pub(crate) client: End,
    pub(crate) server: End,
    pub(crate) listening: Listening,
}

pub(crate) async fn pair() -> Checked<Pair> {
    let mut listening = listening(LOOPBACK)?;
    let client = End::of(connected(listening.at).await?);
    let server = End::of(listening.accept().await?);
    Ok(Pair {
        client,
        server,
        listening,
    })
}

impl End {
    pub(crate) fn of(socket: TcpSocket) -> Self {
        let (to, data) = wit_stream::new();
        let sent = socket.send(data);
        let (from, received) = socket.receive();
        Self {
            socket,
            to,
            sent,
            from,
            received,
        }
    }

    pub(crate) async fn write(&mut self, data: &[u8]) -> Checked {
        let rest = self.to.write_all(data.to_vec()).await;
        check(rest.is_empty(), "all that is written is taken")
    }

    pub(crate) async fn read(&mut self, count: usize) -> Checked<Vec<u8>> {
        read(&mut self.from, count).await
    }

    /// Sends all of it to who sends it back, says that there is no more, and returns what came back.
    pub(crate) async fn echo(self, data: &[u8]) -> Checked<Vec<u8>> {
        let Self {
            socket: _socket,
            mut to,
            sent,
            from,
            received,
        } = self;
        let sending = async {
            let rest = to.write_all(data.to_vec()).await;
            drop(to);
            check(rest.is_empty(), "all that is written is taken")?;
            ok(sent.await, "sent")
        };
        let (sent, got) = join(sending, from.collect()).await;
        sent?;
        ok(received.await, "received")?;
        Ok(got)
    }
}

/// Reads exactly so many bytes.
pub(crate) async fn read(from: &mut StreamReader<u8>, count: usize) -> Checked<Vec<u8>> {
    let mut got = Vec::new();
    while got.len() < count {
        let (result, more) = from.read(Vec::with_capacity(count - got.len())).await;
        got.extend(more);
        if let StreamResult::Dropped = result
            && got.len() < count
        {
            return Err(format!("the stream ended after {} bytes", got.len()));
        }
    }
    Ok(got)
}

pub(crate) fn udp(family: IpAddressFamily) -> Checked<UdpSocket> {
    ok(UdpSocket::create(family), "create")
}

pub(crate) fn udp_bound(at: SocketAddr) -> Checked<(UdpSocket, SocketAddr)> {
    let socket = udp(family(at))?;
    ok(socket.bind(wit(at)), "bind")?;
    let at = plain(ok(socket.get_local_address(), "get-local-address")?);
    Ok((socket, at))
}

/// The next datagram, and from whom.
pub(crate) async fn heard(socket: &UdpSocket) -> Checked<(Vec<u8>, SocketAddr)> {
    let (data, from) = ok(socket.receive().await, "receive")?;
    Ok((data, plain(from)))
}
