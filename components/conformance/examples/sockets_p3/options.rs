//! Options of both kinds of sockets, in each state, and inherited by what a listener accepts.

use std::fmt::Debug;

use conformance::{Checked, Far, Kind, check, err, ok, option, same};
use wasip3::sockets::types::{ErrorCode, TcpSocket, UdpSocket};

use crate::Probe;
use crate::ends::{ANY, End, LOOPBACK, V4, connected, listening, local, next, tcp, udp, wit};

const SECOND: u64 = 1_000_000_000;

const BAD: ErrorCode = ErrorCode::InvalidArgument;

type Tcp<V> = Kind<TcpSocket, V, ErrorCode>;
type Udp<V> = Kind<UdpSocket, V, ErrorCode>;

const IDLE: Tcp<u64> = option!(
    TcpSocket,
    get_keep_alive_idle_time,
    set_keep_alive_idle_time,
    [123 * SECOND, 45 * SECOND],
    [1, u64::MAX]
);
const INTERVAL: Tcp<u64> = option!(
    TcpSocket,
    get_keep_alive_interval,
    set_keep_alive_interval,
    [12 * SECOND, 34 * SECOND],
    [1, u64::MAX]
);
const COUNT: Tcp<u32> = option!(
    TcpSocket,
    get_keep_alive_count,
    set_keep_alive_count,
    [5, 7],
    [1, u32::MAX]
);
const HOPS: Tcp<u8> = option!(
    TcpSocket,
    get_hop_limit,
    set_hop_limit,
    [42, 77],
    [1, u8::MAX]
);
const RECEIVE: Tcp<u64> = option!(
    TcpSocket,
    get_receive_buffer_size,
    set_receive_buffer_size,
    [32_768, 16_384],
    [1, u64::MAX]
);
const SEND: Tcp<u64> = option!(
    TcpSocket,
    get_send_buffer_size,
    set_send_buffer_size,
    [32_768, 16_384],
    [1, u64::MAX]
);
const UDP_HOPS: Udp<u8> = option!(
    UdpSocket,
    get_unicast_hop_limit,
    set_unicast_hop_limit,
    [42, 77],
    [1, u8::MAX]
);
const UDP_RECEIVE: Udp<u64> = option!(
    UdpSocket,
    get_receive_buffer_size,
    set_receive_buffer_size,
    [32_768, 16_384],
    [1, u64::MAX]
)
.may_be_clamped();
const UDP_SEND: Udp<u64> = option!(
    UdpSocket,
    get_send_buffer_size,
    set_send_buffer_size,
    [32_768, 16_384],
    [1, u64::MAX]
)
.may_be_clamped();

async fn of_tcp<V: Copy + PartialEq + Debug>(option: Tcp<V>) -> Checked {
    option.holds(&tcp(V4)?)?;
    let socket = crate::ends::bound(LOOPBACK)?;
    option.holds(&socket)?;
    let set = option.read(&socket)?;
    let mut comes = ok(socket.listen(), "listen")?;
    same(option.read(&socket)?, set, "listening")?;
    let client = connected(local(&socket)?).await?;
    let server = next(&mut comes).await?;
    // "The following properties are inherited from the listener socket."
    same(option.read(&server)?, set, "accepted")?;
    // Of a connection: taken, and the connection goes on.
    option.set(&server, option.plain[1])?;
    option.read(&server)?;
    option.refuses_zero(&client)?;
    let (mut client, mut server) = (End::of(client), End::of(server));
    client.write(b"still").await?;
    same(server.read(5).await?, b"still".to_vec(), "the connection")
}

async fn of_udp<V: Copy + PartialEq + Debug>(option: Udp<V>) -> Checked {
    let socket = udp(V4)?;
    option.holds(&socket)?;
    let set = option.read(&socket)?;
    ok(socket.bind(wit(ANY)), "bind")?;
    same(option.read(&socket)?, set, "bound")?;
    option.holds(&socket)
}

async fn keep_alive(_: &Far) -> Checked {
    let mut listening = listening(LOOPBACK)?;
    let get = |socket: &TcpSocket| ok(socket.get_keep_alive_enabled(), "get");
    let set = |socket: &TcpSocket, value| ok(socket.set_keep_alive_enabled(value), "set");
    same(get(&listening.socket)?, false, "by default, as in POSIX")?;
    for value in [true, false, true] {
        set(&listening.socket, value)?;
        same(get(&listening.socket)?, value, "read back")?;
    }
    let client = connected(listening.at).await?;
    let server = listening.accept().await?;
    same(get(&server)?, true, "inherited")?;
    set(&server, false)?;
    same(get(&server)?, false, "connected")?;
    same(get(&client)?, false, "the other's")?;
    // "These properties can be configured while `keep-alive-enabled` is false."
    ok(server.set_keep_alive_idle_time(9 * SECOND), "set")?;
    set(&server, true)
}

/// "Hints the desired listen queue size. Implementations are free to ignore this."
async fn backlog(_: &Far) -> Checked {
    let set = |socket: &TcpSocket, value| socket.set_listen_backlog_size(value);
    let zero = |socket: &TcpSocket| err(set(socket, 0), BAD, "0");
    let socket = tcp(V4)?;
    zero(&socket)?;
    for value in [1, u64::MAX, 8] {
        ok(set(&socket, value), "unbound")?;
    }
    ok(socket.bind(wit(LOOPBACK)), "bind")?;
    zero(&socket)?;
    ok(set(&socket, 8), "bound")?;
    let mut comes = ok(socket.listen(), "listen")?;
    // "`not-supported`: The platform does not support changing the backlog size after the initial listen."
    if let Err(code) = set(&socket, 4) {
        check(
            matches!(code, ErrorCode::NotSupported),
            "listening: not-supported",
        )?;
    }
    // As many as were asked for wait to be accepted.
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(connected(local(&socket)?).await?);
    }
    for _ in &clients {
        next(&mut comes).await?;
    }
    err(set(&clients[0], 4), ErrorCode::InvalidState, "connected")
}

macro_rules! both {
    ($of:ident, $option:expr) => {
        |_| Box::pin($of($option))
    };
}

pub(crate) const PROBES: &[Probe] = &[
    ("types/tcp-socket.set-listen-backlog-size", |far| {
        Box::pin(backlog(far))
    }),
    ("types/tcp-socket.get-keep-alive-enabled", |far| {
        Box::pin(keep_alive(far))
    }),
    ("types/tcp-socket.set-keep-alive-enabled", |far| {
        Box::pin(keep_alive(far))
    }),
    (
        "types/tcp-socket.get-keep-alive-idle-time",
        both!(of_tcp, IDLE),
    ),
    (
        "types/tcp-socket.set-keep-alive-idle-time",
        both!(of_tcp, IDLE),
    ),
    (
        "types/tcp-socket.get-keep-alive-interval",
        both!(of_tcp, INTERVAL),
    ),
    (
        "types/tcp-socket.set-keep-alive-interval",
        both!(of_tcp, INTERVAL),
    ),
    (
        "types/tcp-socket.get-keep-alive-count",
        both!(of_tcp, COUNT),
    ),
    (
        "types/tcp-socket.set-keep-alive-count",
        both!(of_tcp, COUNT),
    ),
    ("types/tcp-socket.get-hop-limit", both!(of_tcp, HOPS)),
    ("types/tcp-socket.set-hop-limit", both!(of_tcp, HOPS)),
    (
        "types/tcp-socket.get-receive-buffer-size",
        both!(of_tcp, RECEIVE),
    ),
    (
        "types/tcp-socket.set-receive-buffer-size",
        both!(of_tcp, RECEIVE),
    ),
    ("types/tcp-socket.get-send-buffer-size", both!(of_tcp, SEND)),
    ("types/tcp-socket.set-send-buffer-size", both!(of_tcp, SEND)),
    (
        "types/udp-socket.get-unicast-hop-limit",
        both!(of_udp, UDP_HOPS),
    ),
    (
        "types/udp-socket.set-unicast-hop-limit",
        both!(of_udp, UDP_HOPS),
    ),
    (
        "types/udp-socket.get-receive-buffer-size",
        both!(of_udp, UDP_RECEIVE),
    ),
    (
        "types/udp-socket.set-receive-buffer-size",
        both!(of_udp, UDP_RECEIVE),
    ),
    (
        "types/udp-socket.get-send-buffer-size",
        both!(of_udp, UDP_SEND),
    ),
    (
        "types/udp-socket.set-send-buffer-size",
        both!(of_udp, UDP_SEND),
    ),
];
