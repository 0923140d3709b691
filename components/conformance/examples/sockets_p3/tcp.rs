//! `types.tcp-socket`: the states of a socket, and the bytes of a connection.

use conformance::{Checked, Far, bytes, check, err, ok, same, same_bytes};
use wasip3::sockets::types::{ErrorCode, TcpSocket};
use wasip3::wit_stream;

use crate::Probe;
use crate::ends::{
    ANY, End, LOOPBACK, Pair, V4, V6, at, bound, connected, far_tcp, listening, local, next, pair,
    plain, read, remote, soon, tcp, wit,
};

pub(crate) const PROBES: &[Probe] = &[
    ("types/tcp-socket.create", |far| Box::pin(create(far))),
    ("types/tcp-socket.bind", |far| Box::pin(bind(far))),
    ("types/tcp-socket.connect", |far| Box::pin(connect(far))),
    ("types/tcp-socket.listen", |far| Box::pin(listen(far))),
    ("types/tcp-socket.send", |far| Box::pin(send(far))),
    ("types/tcp-socket.receive", |far| Box::pin(receive(far))),
    ("types/tcp-socket.get-local-address", |far| {
        Box::pin(local_address(far))
    }),
    ("types/tcp-socket.get-remote-address", |far| {
        Box::pin(remote_address(far))
    }),
    ("types/tcp-socket.get-is-listening", |far| {
        Box::pin(is_listening(far))
    }),
    ("types/tcp-socket.get-address-family", |far| {
        Box::pin(address_family(far))
    }),
];

/// More than the buffers on the way hold together.
const MUCH: usize = 3_000_000;
/// What they hold.
const LITTLE: usize = 10_000;

const STATE: ErrorCode = ErrorCode::InvalidState;
const BAD: ErrorCode = ErrorCode::InvalidArgument;

async fn create(_: &Far) -> Checked {
    for family in [V4, V6] {
        let socket = tcp(family)?;
        same(socket.get_address_family(), family, "family")?;
        err(
            socket.get_local_address().map(plain),
            STATE,
            "get-local-address",
        )?;
        same(socket.get_is_listening(), false, "get-is-listening")?;
    }
    // "On IPv6 sockets, IPV6_V6ONLY is enabled": both families have the port, and each hears its own.
    let mut six = listening("[::1]:0".parse().expect("an address"))?;
    bound((std::net::Ipv4Addr::LOCALHOST, six.at.port()).into()).map(drop)?;
    let mut client = End::of(connected(six.at).await?);
    client.write(b"six").await?;
    let mut server = End::of(six.accept().await?);
    same(server.read(3).await?, b"six".to_vec(), "over IPv6")
}

async fn bind(_: &Far) -> Checked {
    for (family, right, wrong) in [
        (
            V4,
            "127.0.0.1:0",
            ["[::1]:0", "224.0.0.1:0", "255.255.255.255:0"],
        ),
        (
            V6,
            "[::1]:0",
            ["127.0.0.1:0", "[ff02::1]:0", "[::ffff:127.0.0.1]:0"],
        ),
    ] {
        let socket = tcp(family)?;
        for local in wrong {
            err(socket.bind(at(local)), BAD, local)?;
        }
        // "Bind can be attempted multiple times on the same socket ... as long as the previous bind failed."
        ok(socket.bind(at(right)), right)?;
        // "If the TCP/UDP port is zero, the socket will be bound to a random free port."
        let got = local(&socket)?;
        check(
            got.port() != 0 && got.ip().is_loopback(),
            "a free port of that address",
        )?;
        err(socket.bind(at(right)), STATE, "bound")?;
        let second = tcp(family)?;
        err(second.bind(wit(got)), ErrorCode::AddressInUse, "in use")?;
        ok(second.bind(at(right)), "another port")?;
    }
    let elsewhere = tcp(V4)?.bind(at("192.0.2.99:0"));
    err(
        elsewhere,
        ErrorCode::AddressNotBindable,
        "another's address",
    )?;
    // "The bind operation shouldn't be affected by the TIME_WAIT state of a recently closed socket."
    let Pair {
        client,
        server,
        listening,
    } = pair().await?;
    let at = listening.at;
    drop((server, client, listening));
    // The closing host may need a moment to see the streams dropped.
    soon(std::future::pending::<()>()).await;
    ok(tcp(V4)?.bind(wit(at)), "after TIME_WAIT")
}

async fn connect(far: &Far) -> Checked {
    let socket = tcp(V4)?;
    for to in [
        "[::1]:80",
        "224.0.0.1:80",
        "255.255.255.255:80",
        "0.0.0.0:80",
        "127.0.0.1:0",
    ] {
        err(socket.connect(at(to)).await, BAD, to)?;
    }
    let six = tcp(V6)?;
    for to in [
        "127.0.0.1:80",
        "[ff02::1]:80",
        "[::]:80",
        "[::1]:0",
        "[::ffff:127.0.0.1]:80",
    ] {
        err(six.connect(at(to)).await, BAD, to)?;
    }
    // "On success, the socket is transitioned into the `connected` state and the `remote-address` ... is updated."
    ok(socket.connect(wit(far_tcp(far))).await, "far")?;
    same(remote(&socket)?, far_tcp(far), "get-remote-address")?;
    err(socket.connect(wit(far_tcp(far))).await, STATE, "connected")?;
    let mut end = End::of(socket);
    end.write(b"text").await?;
    same(end.read(4).await?, b"text".to_vec(), "echo")?;
    let mut listening = listening(LOOPBACK)?;
    let to = wit(listening.at);
    err(listening.socket.connect(to).await, STATE, "listening")?;
    // From the address it was bound to.
    let socket = bound(LOOPBACK)?;
    ok(socket.connect(to).await, "bound")?;
    let server = listening.accept().await?;
    same(remote(&server)?, local(&socket)?, "who connects")?;
    // "`connection-refused`", and then: "the socket will be in the `closed` state".
    let nobody = bound(LOOPBACK)?;
    let to = wit(local(&nobody)?);
    drop(nobody);
    let socket = tcp(V4)?;
    err(
        socket.connect(to).await,
        ErrorCode::ConnectionRefused,
        "nobody listens",
    )?;
    err(socket.connect(to).await, STATE, "a second attempt")?;
    err(socket.bind(wit(LOOPBACK)), STATE, "closed")
}

async fn listen(_: &Far) -> Checked {
    // "If the socket is not already explicitly bound, this function will implicitly bind the socket."
    let socket = tcp(V4)?;
    let mut comes = ok(socket.listen(), "unbound")?;
    let port = local(&socket)?.port();
    check(port != 0, "a random free port")?;
    err(socket.listen().map(drop), STATE, "listening")?;
    check(
        soon(comes.next()).await.is_none(),
        "nobody connects, and somebody comes",
    )?;
    // A client may have written and gone before it is accepted.
    let to = (std::net::Ipv4Addr::LOCALHOST, port).into();
    let mut early = End::of(connected(to).await?);
    let from = local(&early.socket)?;
    early.write(b"early").await?;
    drop(early.to);
    ok(early.sent.await, "sent")?;
    drop((early.from, early.received, early.socket));
    let late = connected(to).await?;
    let first = next(&mut comes).await?;
    same(remote(&first)?, from, "the oldest comes first")?;
    let (data, over) = first.receive();
    same(
        data.collect().await,
        b"early".to_vec(),
        "what the client had written",
    )?;
    ok(over.await, "received")?;
    // "Normally, the returned sockets are bound, in the `connected` state and immediately ready for I/O."
    let second = next(&mut comes).await?;
    same(local(&second)?, to, "its local address")?;
    err(second.listen().map(drop), STATE, "connected")?;
    err(late.listen().map(drop), STATE, "connected")?;
    // "The stream returned by `listen`" remains functional "after the original `tcp-socket` handle is dropped".
    drop(socket);
    let third = connected(to).await?;
    let accepted = next(&mut comes).await?;
    same(remote(&accepted)?, local(&third)?, "the handle was dropped")?;
    // "Client sockets ... are independent and do not keep the listening socket alive."
    drop(comes);
    soon(std::future::pending::<()>()).await;
    let got = tcp(V4)?.connect(wit(to)).await;
    err(
        got,
        ErrorCode::ConnectionRefused,
        "the stream was dropped, too",
    )?;
    let (mut third, mut accepted) = (End::of(third), End::of(accepted));
    third.write(b"alive").await?;
    same(
        accepted.read(5).await?,
        b"alive".to_vec(),
        "what was accepted lives on",
    )
}

/// What `send` says of a socket that is in no state for it.
async fn refused(socket: &TcpSocket, when: &str) -> Checked {
    let (to, data) = wit_stream::new::<u8>();
    let sent = socket.send(data);
    drop(to);
    err(sent.await, STATE, when)
}

async fn send(far: &Far) -> Checked {
    refused(&tcp(V4)?, "unbound").await?;
    refused(&bound(LOOPBACK)?, "bound").await?;
    refused(&listening(LOOPBACK)?.socket, "listening").await?;
    // More than all buffers hold, there and back; closing the stream ends it.
    let data = bytes(MUCH);
    let end = End::of(connected(far_tcp(far)).await?);
    same_bytes(&end.echo(&data).await?, &data, "there and back")?;
    // "This function may be called at most once."
    let Pair {
        mut client,
        mut server,
        ..
    } = pair().await?;
    refused(&client.socket, "a second time").await?;
    // "Closing the stream is equivalent to calling `shutdown(SHUT_WR)`": the other direction goes on.
    client.write(b"question").await?;
    drop(client.to);
    ok(client.sent.await, "it was transmitted")?;
    let asked = server.from.collect().await;
    same(asked, b"question".to_vec(), "up to the end")?;
    ok(server.received.await, "a graceful end")?;
    let rest = server.to.write_all(b"answer".to_vec()).await;
    check(rest.is_empty(), "all is taken")?;
    same(
        read(&mut client.from, 6).await?,
        b"answer".to_vec(),
        "the other direction",
    )?;
    // "Send/receive streams remain functional after the original `tcp-socket` handle is dropped": nothing is lost.
    let Pair {
        mut client, server, ..
    } = pair().await?;
    let data = &data[..LITTLE];
    drop(client.socket);
    let rest = client.to.write_all(data.to_vec()).await;
    check(rest.is_empty(), "all is taken")?;
    drop((client.to, client.from, client.received, client.sent));
    same_bytes(
        &server.from.collect().await,
        data,
        "sent after the handle was dropped",
    )
}

async fn receive(far: &Far) -> Checked {
    let refused = async |socket: &TcpSocket, when: &str| {
        // "... a closed stream and a future resolved to `err(invalid-state)`."
        let (data, over) = socket.receive();
        same(data.collect().await, Vec::new(), when)?;
        err(over.await, STATE, when)
    };
    refused(&tcp(V4)?, "unbound").await?;
    refused(&bound(LOOPBACK)?, "bound").await?;
    refused(&listening(LOOPBACK)?.socket, "listening").await?;
    let mut end = End::of(connected(far_tcp(far)).await?);
    refused(&end.socket, "a second time").await?;
    check(
        soon(end.from.next()).await.is_none(),
        "nothing was sent, and something came",
    )?;
    end.write(b"text").await?;
    same(end.read(4).await?, b"text".to_vec(), "echo")?;
    // "`ok` after a graceful shutdown from the peer."
    drop(end.to);
    same(end.from.collect().await, Vec::new(), "nothing more")?;
    ok(end.received.await, "a graceful shutdown")?;
    // "If the caller is not expecting to receive any more data from the peer, they should drop the stream": the
    // other direction goes on.
    let Pair {
        mut client,
        mut server,
        ..
    } = pair().await?;
    drop((client.from, client.received));
    client.to.write_all(b"still".to_vec()).await;
    same(
        server.read(5).await?,
        b"still".to_vec(),
        "the other direction",
    )?;
    // "Receive streams remain functional after the original `tcp-socket` handle is dropped."
    let Pair {
        mut client,
        mut server,
        ..
    } = pair().await?;
    drop(client.socket);
    server.write(b"late").await?;
    same(
        read(&mut client.from, 4).await?,
        b"late".to_vec(),
        "the handle was dropped",
    )
}

async fn local_address(far: &Far) -> Checked {
    let socket = tcp(V4)?;
    err(socket.get_local_address().map(plain), STATE, "not bound")?;
    ok(socket.bind(wit(ANY)), "bind")?;
    let got = local(&socket)?;
    check(
        got.ip().is_unspecified() && got.port() != 0,
        "as it was bound, with its port",
    )?;
    let socket = connected(far_tcp(far)).await?;
    let got = local(&socket)?;
    check(
        !got.ip().is_unspecified() && got.port() != 0,
        "of a connection",
    )?;
    check(got.ip() != far.ip, "ours, not theirs")?;
    let Pair { client, server, .. } = pair().await?;
    let (ours, theirs) = (local(&client.socket)?, remote(&server.socket)?);
    same(ours, theirs, "one's local address is the other's remote")
}

async fn remote_address(far: &Far) -> Checked {
    let get = |socket: &TcpSocket| socket.get_remote_address().map(plain);
    err(get(&tcp(V4)?), STATE, "unbound")?;
    err(get(&bound(LOOPBACK)?), STATE, "bound")?;
    err(get(&listening(LOOPBACK)?.socket), STATE, "listening")?;
    let socket = connected(far_tcp(far)).await?;
    same(remote(&socket)?, far_tcp(far), "whom it is connected to")
}

async fn is_listening(_: &Far) -> Checked {
    same(tcp(V4)?.get_is_listening(), false, "unbound")?;
    same(bound(LOOPBACK)?.get_is_listening(), false, "bound")?;
    let mut listening = listening(LOOPBACK)?;
    same(listening.socket.get_is_listening(), true, "listening")?;
    let client = connected(listening.at).await?;
    same(client.get_is_listening(), false, "connected")?;
    same(
        listening.accept().await?.get_is_listening(),
        false,
        "accepted",
    )?;
    same(listening.socket.get_is_listening(), true, "still")
}

async fn address_family(_: &Far) -> Checked {
    same(tcp(V4)?.get_address_family(), V4, "as it was created")?;
    same(tcp(V6)?.get_address_family(), V6, "as it was created")?;
    let mut six = listening("[::1]:0".parse().expect("an address"))?;
    let client = connected(six.at).await?;
    same(client.get_address_family(), V6, "connected")?;
    same(six.accept().await?.get_address_family(), V6, "inherited")
}
