//! Options of both kinds of sockets, in each state, and inherited by what a listener accepts.

use std::fmt::Debug;

use conformance::{Checked, Kind, err, ok, option, same};
use wasip2::sockets::network::ErrorCode;
use wasip2::sockets::tcp::TcpSocket;
use wasip2::sockets::udp::UdpSocket;

use crate::Probe;
use crate::ends::{ANY, LOOPBACK, V4, World, accepted, tcp, udp};

const SECOND: u64 = 1_000_000_000;

type Tcp<V> = Kind<TcpSocket, V, ErrorCode>;
type Udp<V> = Kind<UdpSocket, V, ErrorCode>;

const IDLE: Tcp<u64> = option!(
    TcpSocket,
    keep_alive_idle_time,
    set_keep_alive_idle_time,
    [123 * SECOND, 45 * SECOND],
    [1, u64::MAX]
);
const INTERVAL: Tcp<u64> = option!(
    TcpSocket,
    keep_alive_interval,
    set_keep_alive_interval,
    [12 * SECOND, 34 * SECOND],
    [1, u64::MAX]
);
const COUNT: Tcp<u32> = option!(
    TcpSocket,
    keep_alive_count,
    set_keep_alive_count,
    [5, 7],
    [1, u32::MAX]
);
const HOPS: Tcp<u8> = option!(TcpSocket, hop_limit, set_hop_limit, [42, 77], [1, u8::MAX]);
const RECEIVE: Tcp<u64> = option!(
    TcpSocket,
    receive_buffer_size,
    set_receive_buffer_size,
    [32_768, 16_384],
    [1, u64::MAX]
);
const SEND: Tcp<u64> = option!(
    TcpSocket,
    send_buffer_size,
    set_send_buffer_size,
    [32_768, 16_384],
    [1, u64::MAX]
);
const UDP_HOPS: Udp<u8> = option!(
    UdpSocket,
    unicast_hop_limit,
    set_unicast_hop_limit,
    [42, 77],
    [1, u8::MAX]
);
const UDP_RECEIVE: Udp<u64> = option!(
    UdpSocket,
    receive_buffer_size,
    set_receive_buffer_size,
    [32_768, 16_384],
    [1, u64::MAX]
)
.may_be_clamped();
const UDP_SEND: Udp<u64> = option!(
    UdpSocket,
    send_buffer_size,
    set_send_buffer_size,
    [32_768, 16_384],
    [1, u64::MAX]
)
.may_be_clamped();

/// Of a TCP socket in each state, inherited by what a listener accepts.
fn of_tcp<V: Copy + PartialEq + Debug>(world: &World, option: &Tcp<V>) -> Checked {
    option.holds(&tcp(V4)?)?;
    let bound = world.bound(LOOPBACK)?;
    option.holds(&bound)?;
    let set = option.read(&bound)?;
    let to = world.listen(&bound)?;
    same(option.read(&bound)?, set, "listening")?;
    let client = world.connected(to)?;
    let server = accepted(&bound)?;
    // "The following properties are inherited from the listener socket."
    same(option.read(&server.socket)?, set, "accepted")?;
    // Of a connection: taken, and the connection goes on.
    option.set(&server.socket, option.plain[1])?;
    option.read(&server.socket)?;
    option.refuses_zero(&client.socket)?;
    client.write(b"still")?;
    same(server.read(5)?, b"still".to_vec(), "the connection")
}

fn of_udp<V: Copy + PartialEq + Debug>(world: &World, option: &Udp<V>) -> Checked {
    let socket = udp(V4)?;
    option.holds(&socket)?;
    let set = option.read(&socket)?;
    ok(world.bind_udp(&socket, ANY), "bind")?;
    same(option.read(&socket)?, set, "bound")?;
    option.holds(&socket)
}

fn keep_alive(world: &World) -> Checked {
    let (listener, to) = world.listening()?;
    same(
        ok(listener.keep_alive_enabled(), "get")?,
        false,
        "by default, as in POSIX",
    )?;
    for value in [true, false, true] {
        ok(listener.set_keep_alive_enabled(value), "set")?;
        same(
            ok(listener.keep_alive_enabled(), "get")?,
            value,
            "read back",
        )?;
    }
    let client = world.connected(to)?;
    let server = accepted(&listener)?;
    same(
        ok(server.socket.keep_alive_enabled(), "get")?,
        true,
        "inherited",
    )?;
    ok(server.socket.set_keep_alive_enabled(false), "set")?;
    same(
        ok(server.socket.keep_alive_enabled(), "get")?,
        false,
        "connected",
    )?;
    same(
        ok(client.socket.keep_alive_enabled(), "get")?,
        false,
        "the other's",
    )?;
    // "These properties can be configured while `keep-alive-enabled` is false."
    ok(server.socket.set_keep_alive_idle_time(9 * SECOND), "set")?;
    ok(server.socket.set_keep_alive_enabled(true), "set").map(drop)
}

/// "Hints the desired listen queue size. Implementations are free to ignore this."
fn backlog(world: &World) -> Checked {
    let set = |socket: &TcpSocket, value| socket.set_listen_backlog_size(value);
    let zero = |socket: &TcpSocket| err(set(socket, 0), ErrorCode::InvalidArgument, "0");
    let socket = tcp(V4)?;
    zero(&socket)?;
    for value in [1, u64::MAX, 8] {
        ok(set(&socket, value), "unbound")?;
    }
    ok(world.bind(&socket, LOOPBACK), "bind")?;
    zero(&socket)?;
    ok(set(&socket, 8), "bound")?;
    let to = world.listen(&socket)?;
    // "`not-supported`: The platform does not support changing the backlog size after the initial listen."
    if let Err(code) = set(&socket, 4) {
        same(code, ErrorCode::NotSupported, "listening")?;
    }
    // As many as were asked for wait to be accepted.
    let clients = (0..8)
        .map(|_| world.connected(to))
        .collect::<Checked<Vec<_>>>()?;
    for _ in &clients {
        accepted(&socket)?;
    }
    let state = set(&clients[0].socket, 4);
    err(state, ErrorCode::InvalidState, "connected")
}

pub(crate) const PROBES: &[Probe] = &[
    ("tcp/tcp-socket.set-listen-backlog-size", backlog),
    ("tcp/tcp-socket.keep-alive-enabled", keep_alive),
    ("tcp/tcp-socket.set-keep-alive-enabled", keep_alive),
    ("tcp/tcp-socket.keep-alive-idle-time", |w| of_tcp(w, &IDLE)),
    ("tcp/tcp-socket.set-keep-alive-idle-time", |w| {
        of_tcp(w, &IDLE)
    }),
    ("tcp/tcp-socket.keep-alive-interval", |w| {
        of_tcp(w, &INTERVAL)
    }),
    ("tcp/tcp-socket.set-keep-alive-interval", |w| {
        of_tcp(w, &INTERVAL)
    }),
    ("tcp/tcp-socket.keep-alive-count", |w| of_tcp(w, &COUNT)),
    ("tcp/tcp-socket.set-keep-alive-count", |w| of_tcp(w, &COUNT)),
    ("tcp/tcp-socket.hop-limit", |w| of_tcp(w, &HOPS)),
    ("tcp/tcp-socket.set-hop-limit", |w| of_tcp(w, &HOPS)),
    ("tcp/tcp-socket.receive-buffer-size", |w| {
        of_tcp(w, &RECEIVE)
    }),
    ("tcp/tcp-socket.set-receive-buffer-size", |w| {
        of_tcp(w, &RECEIVE)
    }),
    ("tcp/tcp-socket.send-buffer-size", |w| of_tcp(w, &SEND)),
    ("tcp/tcp-socket.set-send-buffer-size", |w| of_tcp(w, &SEND)),
    ("udp/udp-socket.unicast-hop-limit", |w| of_udp(w, &UDP_HOPS)),
    ("udp/udp-socket.set-unicast-hop-limit", |w| {
        of_udp(w, &UDP_HOPS)
    }),
    ("udp/udp-socket.receive-buffer-size", |w| {
        of_udp(w, &UDP_RECEIVE)
    }),
    ("udp/udp-socket.set-receive-buffer-size", |w| {
        of_udp(w, &UDP_RECEIVE)
    }),
    ("udp/udp-socket.send-buffer-size", |w| of_udp(w, &UDP_SEND)),
    ("udp/udp-socket.set-send-buffer-size", |w| {
        of_udp(w, &UDP_SEND)
    }),
];
