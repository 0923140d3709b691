//! `tcp`, `tcp-create-socket`: the states of a socket, and the bytes of a connection.

use conformance::{Checked, bytes, check, err, ok, same, same_bytes};
use wasip2::io::streams::StreamError;
use wasip2::sockets::network::{ErrorCode, IpSocketAddress};
use wasip2::sockets::tcp::ShutdownType;

use crate::Probe;
use crate::ends::{
    ANY, End, LOOPBACK, Pair, V4, V6, World, accepted, at, is_closed, plain, tcp, waited,
    wakes_by_itself, wit,
};

pub(crate) const PROBES: &[Probe] = &[
    ("tcp-create-socket/create-tcp-socket", create),
    ("tcp/tcp-socket.start-bind", start_bind),
    ("tcp/tcp-socket.finish-bind", finish_bind),
    ("tcp/tcp-socket.start-connect", start_connect),
    ("tcp/tcp-socket.finish-connect", finish_connect),
    ("tcp/tcp-socket.start-listen", start_listen),
    ("tcp/tcp-socket.finish-listen", finish_listen),
    ("tcp/tcp-socket.accept", accept),
    ("tcp/tcp-socket.local-address", local_address),
    ("tcp/tcp-socket.remote-address", remote_address),
    ("tcp/tcp-socket.is-listening", is_listening),
    ("tcp/tcp-socket.address-family", address_family),
    ("tcp/tcp-socket.subscribe", subscribe),
    ("tcp/tcp-socket.shutdown", shutdown),
];

/// More than the buffers on the way hold together.
const MUCH: usize = 3_000_000;

/// Addresses of this family that no socket can be bound to, whoever asks.
const NO_LOCALS: &[&str] = &["[::1]:0", "224.0.0.1:0", "255.255.255.255:0"];
const NO_LOCALS_V6: &[&str] = &["127.0.0.1:0", "[ff02::1]:0", "[::ffff:127.0.0.1]:0"];

fn create(world: &World) -> Checked {
    for (family, want) in [(V4, V4), (V6, V6)] {
        let socket = tcp(family)?;
        same(socket.address_family(), want, "family")?;
        // "The socket is effectively an in-memory configuration object."
        err(
            socket.local_address().map(plain),
            ErrorCode::InvalidState,
            "local-address",
        )?;
        same(socket.is_listening(), false, "is-listening")?;
    }
    // "On IPv6 sockets, IPV6_V6ONLY is enabled": both families have the port, and each hears its own.
    let six = world.bound("[::1]:0".parse().expect("an address"))?;
    let to = world.listen(&six)?;
    let four = world.bound((std::net::Ipv4Addr::LOCALHOST, to.port()).into())?;
    drop(four);
    let client = world.connected(to)?;
    client.write(b"six")?;
    same(accepted(&six)?.read(3)?, b"six".to_vec(), "over IPv6")
}

fn start_bind(world: &World) -> Checked {
    let bad = ErrorCode::InvalidArgument;
    for (family, locals) in [(V4, NO_LOCALS), (V6, NO_LOCALS_V6)] {
        let socket = tcp(family)?;
        for local in locals {
            let got = socket.start_bind(&world.network, at(local));
            let got = got.and_then(|()| socket.finish_bind());
            err(got, bad, local)?;
        }
        // "Bind can be attempted multiple times on the same socket ... as long as the previous bind failed."
        let local = if family == V4 {
            "127.0.0.1:0"
        } else {
            "[::1]:0"
        };
        ok(socket.start_bind(&world.network, at(local)), local)?;
        // What is in progress, another operation is in conflict with.
        for got in [
            socket.start_bind(&world.network, at(local)),
            socket.start_listen(),
            socket.start_connect(&world.network, wit(world.far_tcp())),
        ] {
            err(got, ErrorCode::ConcurrencyConflict, "while binding")?;
        }
        ok(
            waited(&socket.subscribe(), || socket.finish_bind()),
            "finish-bind",
        )?;
        // "If the TCP/UDP port is zero, the socket will be bound to a random free port."
        let got = plain(ok(socket.local_address(), "local-address")?);
        check(
            got.port() != 0 && got.ip().is_loopback(),
            "a free port of that address",
        )?;
        // "`invalid-state`: The socket is already bound."
        let again = socket.start_bind(&world.network, at(local));
        err(again, ErrorCode::InvalidState, "bound")?;
        // "Address is already in use."
        let second = tcp(family)?;
        err(world.bind(&second, got), ErrorCode::AddressInUse, "in use")?;
        ok(world.bind(&second, at_port(got, 0)), "another port")?;
    }
    // "`local-address` is not an address that the `network` can bind to."
    let got = world.bind(&tcp(V4)?, "192.0.2.99:0".parse().expect("an address"));
    err(got, ErrorCode::AddressNotBindable, "another's address")?;
    // A port that was given back can be had again, whatever became of its connections ("TIME_WAIT").
    let Pair {
        client,
        server,
        listener,
    } = world.pair()?;
    let local = plain(ok(listener.local_address(), "local-address")?);
    drop((server, client, listener));
    ok(world.bind(&tcp(V4)?, local), "after TIME_WAIT")
}

fn at_port(mut address: std::net::SocketAddr, port: u16) -> std::net::SocketAddr {
    address.set_port(port);
    address
}

fn finish_bind(world: &World) -> Checked {
    let none = ErrorCode::NotInProgress;
    let socket = tcp(V4)?;
    err(socket.finish_bind(), none, "nothing was started")?;
    ok(
        socket.start_bind(&world.network, wit(LOOPBACK)),
        "start-bind",
    )?;
    err(socket.finish_listen(), none, "another is in progress")?;
    ok(
        waited(&socket.subscribe(), || socket.finish_bind()),
        "finish-bind",
    )?;
    ok(socket.local_address(), "bound").map(drop)?;
    err(socket.finish_bind(), none, "finished")
}

fn start_connect(world: &World) -> Checked {
    let start = |socket: &wasip2::sockets::tcp::TcpSocket, to: IpSocketAddress| {
        socket.start_connect(&world.network, to)
    };
    let socket = tcp(V4)?;
    for to in [
        "[::1]:80",
        "224.0.0.1:80",
        "255.255.255.255:80",
        "0.0.0.0:80",
        "127.0.0.1:0",
    ] {
        let got = start(&socket, at(to)).and_then(|()| socket.finish_connect());
        err(got, ErrorCode::InvalidArgument, to)?;
    }
    let six = tcp(V6)?;
    for to in [
        "127.0.0.1:80",
        "[ff02::1]:80",
        "[::]:80",
        "[::1]:0",
        "[::ffff:127.0.0.1]:80",
    ] {
        let got = start(&six, at(to)).and_then(|()| six.finish_connect());
        err(got, ErrorCode::InvalidArgument, to)?;
    }
    let end = world.connected(world.far_tcp())?;
    let to = wit(world.far_tcp());
    err(start(&end.socket, to), ErrorCode::InvalidState, "connected")?;
    let (listener, to) = world.listening()?;
    err(
        start(&listener, wit(to)),
        ErrorCode::InvalidState,
        "listening",
    )?;
    // From the address it was bound to.
    let bound = world.bound(LOOPBACK)?;
    let from = plain(ok(bound.local_address(), "local-address")?);
    let (input, output) = ok(world.connect(&bound, to), "bound")?;
    let server = accepted(&listener)?;
    let seen = plain(ok(server.socket.remote_address(), "remote-address")?);
    same(seen, from, "who connects")?;
    drop((input, output));
    // "While connecting": nothing else.
    let socket = tcp(V4)?;
    ok(start(&socket, wit(to)), "start-connect")?;
    err(
        start(&socket, wit(to)),
        ErrorCode::ConcurrencyConflict,
        "connecting",
    )?;
    err(
        socket.start_listen(),
        ErrorCode::ConcurrencyConflict,
        "listen, connecting",
    )?;
    err(
        socket.finish_bind(),
        ErrorCode::NotInProgress,
        "finish-bind, connecting",
    )
}

fn finish_connect(world: &World) -> Checked {
    let socket = tcp(V4)?;
    err(
        socket.finish_connect(),
        ErrorCode::NotInProgress,
        "nothing was started",
    )?;
    // Bytes there and back, more than all buffers hold.
    let (input, output) = ok(world.connect(&socket, world.far_tcp()), "far")?;
    let end = End {
        input,
        output,
        socket,
    };
    err(
        end.socket.finish_connect(),
        ErrorCode::NotInProgress,
        "finished",
    )?;
    let sent = bytes(MUCH);
    same_bytes(&end.echo(&sent)?, &sent, "there and back")?;
    // "`connection-refused`", and then: "the socket will be in the `closed` state".
    let nobody = world.bound(LOOPBACK)?;
    let to = plain(ok(nobody.local_address(), "local-address")?);
    drop(nobody);
    let socket = tcp(V4)?;
    err(
        world.connect(&socket, to),
        ErrorCode::ConnectionRefused,
        "nobody listens",
    )?;
    let again = socket.start_connect(&world.network, wit(to));
    err(again, ErrorCode::InvalidState, "a second attempt")
}

fn start_listen(world: &World) -> Checked {
    let state = ErrorCode::InvalidState;
    // "Unlike POSIX, the socket must already be explicitly bound."
    err(tcp(V4)?.start_listen(), state, "not bound")?;
    let (listener, to) = world.listening()?;
    err(listener.start_listen(), state, "listening")?;
    let client = world.connected(to)?;
    err(client.socket.start_listen(), state, "connected")?;
    let socket = world.bound(LOOPBACK)?;
    ok(socket.start_listen(), "bound")?;
    err(
        socket.start_listen(),
        ErrorCode::ConcurrencyConflict,
        "in progress",
    )?;
    ok(
        waited(&socket.subscribe(), || socket.finish_listen()),
        "finish-listen",
    )?;
    same(socket.is_listening(), true, "is-listening")
}

fn finish_listen(world: &World) -> Checked {
    let none = ErrorCode::NotInProgress;
    let socket = world.bound(LOOPBACK)?;
    err(socket.finish_listen(), none, "nothing was started")?;
    let to = world.listen(&socket)?;
    err(socket.finish_listen(), none, "finished")?;
    let client = world.connected(to)?;
    client.write(b"hello")?;
    same(
        accepted(&socket)?.read(5)?,
        b"hello".to_vec(),
        "who listens is found",
    )
}

fn accept(world: &World) -> Checked {
    let state = ErrorCode::InvalidState;
    err(tcp(V4)?.accept().map(drop), state, "unbound")?;
    let socket = world.bound(LOOPBACK)?;
    err(socket.accept().map(drop), state, "bound")?;
    let to = world.listen(&socket)?;
    err(
        socket.accept().map(drop),
        ErrorCode::WouldBlock,
        "no pending connections",
    )?;
    // A client may have written and gone before it is accepted.
    let early = world.connected(to)?;
    early.write(b"early")?;
    let from = plain(ok(early.socket.local_address(), "local-address")?);
    drop(early);
    let late = world.connected(to)?;
    let first = accepted(&socket)?;
    let remote = plain(ok(first.socket.remote_address(), "remote-address")?);
    same(remote, from, "the oldest comes first")?;
    same(
        first.read_to_end()?,
        b"early".to_vec(),
        "what the client had written",
    )?;
    // "The returned socket is bound and in the `connected` state."
    let second = accepted(&socket)?;
    let local = plain(ok(second.socket.local_address(), "local-address")?);
    same(local, to, "its local address")?;
    err(second.socket.accept().map(drop), state, "connected")?;
    late.write(b"there")?;
    same(second.read(5)?, b"there".to_vec(), "there")?;
    second.write(b"back")?;
    same(late.read(4)?, b"back".to_vec(), "back")?;
    err(
        socket.accept().map(drop),
        ErrorCode::WouldBlock,
        "none is left",
    )
}

fn local_address(world: &World) -> Checked {
    let state = ErrorCode::InvalidState;
    let socket = tcp(V4)?;
    err(socket.local_address().map(plain), state, "not bound")?;
    ok(world.bind(&socket, ANY), "bind")?;
    let got = plain(ok(socket.local_address(), "bound")?);
    check(
        got.ip().is_unspecified() && got.port() != 0,
        "as it was bound, with its port",
    )?;
    // A connection is between two addresses that are some, and the implicit bind gives a port.
    let end = world.connected(world.far_tcp())?;
    let got = plain(ok(end.socket.local_address(), "connected")?);
    check(
        !got.ip().is_unspecified() && got.port() != 0,
        "of a connection",
    )?;
    check(got.ip() != world.far.ip, "ours, not theirs")?;
    let Pair { client, server, .. } = world.pair()?;
    let local = plain(ok(client.socket.local_address(), "client")?);
    let remote = plain(ok(server.socket.remote_address(), "server")?);
    same(local, remote, "one's local address is the other's remote")
}

fn remote_address(world: &World) -> Checked {
    let state = ErrorCode::InvalidState;
    let socket = tcp(V4)?;
    err(socket.remote_address().map(plain), state, "unbound")?;
    ok(world.bind(&socket, LOOPBACK), "bind")?;
    err(socket.remote_address().map(plain), state, "bound")?;
    world.listen(&socket)?;
    err(socket.remote_address().map(plain), state, "listening")?;
    let end = world.connected(world.far_tcp())?;
    let got = plain(ok(end.socket.remote_address(), "connected")?);
    same(got, world.far_tcp(), "whom it is connected to")
}

fn is_listening(world: &World) -> Checked {
    let socket = tcp(V4)?;
    same(socket.is_listening(), false, "unbound")?;
    ok(world.bind(&socket, LOOPBACK), "bind")?;
    same(socket.is_listening(), false, "bound")?;
    let to = world.listen(&socket)?;
    same(socket.is_listening(), true, "listening")?;
    let client = world.connected(to)?;
    same(client.socket.is_listening(), false, "connected")?;
    same(accepted(&socket)?.socket.is_listening(), false, "accepted")?;
    same(socket.is_listening(), true, "still")
}

fn address_family(world: &World) -> Checked {
    same(tcp(V4)?.address_family(), V4, "as it was created")?;
    same(tcp(V6)?.address_family(), V6, "as it was created")?;
    let six = world.bound("[::1]:0".parse().expect("an address"))?;
    let to = world.listen(&six)?;
    let client = world.connected(to)?;
    same(client.socket.address_family(), V6, "connected")?;
    same(accepted(&six)?.socket.address_family(), V6, "inherited")
}

/// "When `finish-bind`, `finish-listen`, `finish-connect` or `accept` return `error(would-block)`, this pollable can
/// be used to wait for their success or failure." One is enough "for the remainder of the socket's lifetime".
fn subscribe(world: &World) -> Checked {
    let socket = tcp(V4)?;
    let ready = socket.subscribe();
    ok(
        socket.start_bind(&world.network, wit(LOOPBACK)),
        "start-bind",
    )?;
    ok(waited(&ready, || socket.finish_bind()), "finish-bind")?;
    ok(socket.start_listen(), "start-listen")?;
    ok(waited(&ready, || socket.finish_listen()), "finish-listen")?;
    let to = plain(ok(socket.local_address(), "local-address")?);
    err(socket.accept().map(drop), ErrorCode::WouldBlock, "accept")?;
    check(!wakes_by_itself(&ready), "nobody connects, and it is ready")?;
    let client = world.connected(to)?;
    ready.block();
    let (accepted, input, output) = ok(socket.accept(), "it was ready")?;
    check(
        !wakes_by_itself(&ready),
        "nobody else connects, and it is ready",
    )?;
    drop((input, output, accepted, client));
    // A failure wakes, too.
    let nobody = world.bound(LOOPBACK)?;
    let to = plain(ok(nobody.local_address(), "local-address")?);
    drop(nobody);
    let socket = tcp(V4)?;
    ok(
        socket.start_connect(&world.network, wit(to)),
        "start-connect",
    )?;
    socket.subscribe().block();
    err(
        socket.finish_connect(),
        ErrorCode::ConnectionRefused,
        "it was ready",
    )
}

fn shutdown(world: &World) -> Checked {
    const WAYS: [ShutdownType; 3] = [
        ShutdownType::Receive,
        ShutdownType::Send,
        ShutdownType::Both,
    ];
    let state = ErrorCode::InvalidState;
    for how in WAYS {
        err(tcp(V4)?.shutdown(how), state, "unbound")?;
        err(world.listening()?.0.shutdown(how), state, "listening")?;
    }
    // `send`: what was written arrives, then the end; "the `output-stream` ... will be closed"; the other way goes on.
    let Pair { client, server, .. } = world.pair()?;
    let sent = bytes(MUCH);
    let written = client.write_some(&sent)?;
    check(written > 0, "something was written")?;
    for _ in 0..2 {
        // "This function is idempotent."
        ok(client.socket.shutdown(ShutdownType::Send), "send")?;
    }
    check(
        is_closed(&client.output.check_write()),
        "the output stream is closed",
    )?;
    same_bytes(&server.read_to_end()?, &sent[..written], "what was queued")?;
    server.write(b"answer")?;
    same(client.read(6)?, b"answer".to_vec(), "the other direction")?;
    // "The shutdown function does not close (drop) the socket."
    ok(
        client.socket.remote_address().map(plain),
        "it stays connected",
    )?;
    // `receive`: "Any data still in the receive queue ... will be discarded", the input stream is closed.
    server.write(b"never read")?;
    ok(client.socket.shutdown(ShutdownType::Receive), "receive")?;
    ok(
        client.socket.shutdown(ShutdownType::Receive),
        "receive, again",
    )?;
    let read = client.input.blocking_read(100);
    check(
        matches!(read, Err(StreamError::Closed)),
        "the input stream is closed",
    )?;
    // `both`, and what is dropped at once afterwards has arrived none the less.
    let Pair { client, server, .. } = world.pair()?;
    let written = client.write_some(&sent)?;
    ok(client.socket.shutdown(ShutdownType::Both), "both")?;
    check(
        is_closed(&client.output.check_write()),
        "the output stream is closed",
    )?;
    check(
        is_closed(&client.input.read(1)),
        "the input stream is closed",
    )?;
    drop(client);
    same_bytes(&server.read_to_end()?, &sent[..written], "what was queued")?;
    // Dropped without a shutdown: the same.
    let Pair { client, server, .. } = world.pair()?;
    let written = client.write_some(&sent)?;
    drop(client);
    same_bytes(
        &server.read_to_end()?,
        &sent[..written],
        "queued when it was dropped",
    )
}
