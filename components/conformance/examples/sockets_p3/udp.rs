//! `types.udp-socket`: datagrams, to whom they may go and from whom they are heard.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};

use conformance::{Checked, Far, bytes, check, err, ok, same, same_bytes};
use wasip3::sockets::types::{ErrorCode, UdpSocket};

use crate::Probe;
use crate::ends::{
    ANY, LOOPBACK, V4, V6, at, far_udp, heard, plain, soon, udp, udp_bound as bound, wit,
};

pub(crate) const PROBES: &[Probe] = &[
    ("types/udp-socket.create", |far| Box::pin(create(far))),
    ("types/udp-socket.bind", |far| Box::pin(bind(far))),
    ("types/udp-socket.connect", |far| Box::pin(connect(far))),
    ("types/udp-socket.disconnect", |far| {
        Box::pin(disconnect(far))
    }),
    ("types/udp-socket.send", |far| Box::pin(send(far))),
    ("types/udp-socket.receive", |far| Box::pin(receive(far))),
    ("types/udp-socket.get-local-address", |far| {
        Box::pin(local_address(far))
    }),
    ("types/udp-socket.get-remote-address", |far| {
        Box::pin(remote_address(far))
    }),
    ("types/udp-socket.get-address-family", |far| {
        Box::pin(address_family(far))
    }),
];

const STATE: ErrorCode = ErrorCode::InvalidState;
const BAD: ErrorCode = ErrorCode::InvalidArgument;

async fn create(_: &Far) -> Checked {
    for family in [V4, V6] {
        let socket = udp(family)?;
        same(socket.get_address_family(), family, "family")?;
        err(
            socket.get_local_address().map(plain),
            STATE,
            "get-local-address",
        )?;
    }
    // "On IPv6 sockets, IPV6_V6ONLY is enabled": both families have the port, and each hears its own.
    let (six, to_six) = bound("[::1]:0".parse().expect("an address"))?;
    let (four, to_four) = bound((std::net::Ipv4Addr::LOCALHOST, to_six.port()).into())?;
    ok(six.send(b"six".to_vec(), Some(wit(to_six))).await, "send")?;
    ok(
        four.send(b"four".to_vec(), Some(wit(to_four))).await,
        "send",
    )?;
    same(heard(&six).await?.0, b"six".to_vec(), "IPv6")?;
    same(heard(&four).await?.0, b"four".to_vec(), "IPv4")
}

async fn bind(_: &Far) -> Checked {
    for (family, wrong, right) in [
        (V4, "[::1]:0", "127.0.0.1:0"),
        (V6, "127.0.0.1:0", "[::1]:0"),
    ] {
        let socket = udp(family)?;
        err(socket.bind(at(wrong)), BAD, wrong)?;
        ok(socket.bind(at(right)), right)?;
        let local = plain(ok(socket.get_local_address(), "get-local-address")?);
        check(
            local.port() != 0 && local.ip().is_loopback(),
            "a free port of that address",
        )?;
        err(socket.bind(at(right)), STATE, "bound")?;
        let second = udp(family)?.bind(wit(local));
        err(second, ErrorCode::AddressInUse, "in use")?;
        drop(socket);
        ok(udp(family)?.bind(wit(local)), "given back")?;
    }
    let elsewhere = udp(V4)?.bind(at("192.0.2.99:0"));
    err(
        elsewhere,
        ErrorCode::AddressNotBindable,
        "another's address",
    )
}

async fn connect(far: &Far) -> Checked {
    let socket = udp(V4)?;
    for remote in ["[::1]:9", "0.0.0.0:9", "127.0.0.1:0"] {
        err(socket.connect(at(remote)), BAD, remote)?;
    }
    for remote in ["127.0.0.1:9", "[::]:9", "[::1]:0", "[::ffff:127.0.0.1]:9"] {
        err(udp(V6)?.connect(at(remote)), BAD, remote)?;
    }
    // "If the socket was not already explicitly bound, this function will implicitly bind the socket."
    ok(socket.connect(wit(far_udp(far))), "unbound")?;
    let local = plain(ok(socket.get_local_address(), "get-local-address")?);
    check(local.port() != 0, "a random free port")?;
    ok(socket.send(b"to the far end".to_vec(), None).await, "send")?;
    let want = (b"to the far end".to_vec(), far_udp(far));
    same(heard(&socket).await?, want, "echo")?;

    // "`receive` will only return datagrams sent from the provided `remote-address`", also of those that came before.
    let ((friend, to_friend), (other, to_other)) = (bound(LOOPBACK)?, bound(LOOPBACK)?);
    let (one, to_one) = bound(LOOPBACK)?;
    let say = async |who: &UdpSocket, text: &[u8]| {
        ok(who.send(text.to_vec(), Some(wit(to_one))).await, "send")
    };
    say(&other, b"early").await?;
    ok(one.connect(wit(to_friend)), "connect")?;
    say(&other, b"late").await?;
    say(&friend, b"friend").await?;
    same(heard(&one).await?, (b"friend".to_vec(), to_friend), "heard")?;
    check(soon(one.receive()).await.is_none(), "nobody else is heard")?;
    // "This method may be called multiple times ... only the most recent one will be effective."
    ok(one.connect(wit(to_other)), "connect")?;
    say(&friend, b"friend").await?;
    say(&other, b"other").await?;
    same(
        heard(&one).await?,
        (b"other".to_vec(), to_other),
        "the other association",
    )?;

    // A scope or flow that a program adds is of no packet: `to` is who answers.
    let (six, to_six) = bound(SocketAddr::new(Ipv6Addr::LOCALHOST.into(), 0))?;
    let scoped = SocketAddrV6::new(Ipv6Addr::LOCALHOST, to_six.port(), 5, 7);
    ok(six.connect(wit(scoped.into())), "connect with a scope")?;
    let sent = six.send(b"myself".to_vec(), Some(wit(scoped.into())));
    ok(sent.await, "send with a scope")?;
    same(heard(&six).await?, (b"myself".to_vec(), to_six), "heard")
}

async fn disconnect(_: &Far) -> Checked {
    err(udp(V4)?.disconnect(), STATE, "unbound")?;
    let (one, to_one) = bound(LOOPBACK)?;
    let (friend, to_friend) = bound(LOOPBACK)?;
    let (other, to_other) = bound(LOOPBACK)?;
    err(one.disconnect(), STATE, "not connected")?;
    ok(one.connect(wit(to_friend)), "connect")?;
    ok(one.disconnect(), "disconnect")?;
    err(
        one.get_remote_address().map(plain),
        STATE,
        "get-remote-address",
    )?;
    err(one.disconnect(), STATE, "disconnected")?;
    // "`send` & `receive` are free to communicate with any remote address again."
    for (socket, to, text) in [
        (&friend, to_friend, b"friend"),
        (&other, to_other, b"other!"),
    ] {
        ok(socket.send(text.to_vec(), Some(wit(to_one))).await, "send")?;
        same(heard(&one).await?, (text.to_vec(), to), "heard")?;
        ok(one.send(text.to_vec(), Some(wit(to))).await, "send")?;
        same(heard(socket).await?, (text.to_vec(), to_one), "answered")?;
    }
    err(one.send(b"text".to_vec(), None).await, BAD, "to nobody")
}

async fn send(far: &Far) -> Checked {
    let (two, to_two) = bound(LOOPBACK)?;
    let one = udp(V4)?;
    for remote in ["[::1]:9", "0.0.0.0:9", "127.0.0.1:0"] {
        err(
            one.send(b"text".to_vec(), Some(at(remote))).await,
            BAD,
            remote,
        )?;
    }
    // "The socket is not "connected" and no value for `remote-address` was provided."
    err(one.send(b"text".to_vec(), None).await, BAD, "to nobody")?;
    // "If the socket has not been explicitly bound, it will be implicitly bound to a random free port."
    let one = udp(V4)?;
    ok(
        one.send(b"one".to_vec(), Some(wit(to_two))).await,
        "unbound",
    )?;
    let port = plain(ok(one.get_local_address(), "get-local-address")?).port();
    let (data, from) = heard(&two).await?;
    same((data, from.port()), (b"one".to_vec(), port), "it came")?;
    for text in [&b""[..], b"three"] {
        ok(one.send(text.to_vec(), Some(wit(to_two))).await, "send")?;
        same(heard(&two).await?.0, text.to_vec(), "it came")?;
    }
    // "The datagram is too large."
    let large = one.send(bytes(65_530), Some(wit(to_two))).await;
    err(large, ErrorCode::DatagramTooLarge, "65,530 bytes")?;
    let large = bytes(8_000);
    ok(
        one.send(large.clone(), Some(wit(to_two))).await,
        "8000 bytes",
    )?;
    same_bytes(&heard(&two).await?.0, &large, "8000 bytes")?;
    // Connected: to it, named or not, and to nobody else.
    ok(one.connect(wit(to_two)), "connect")?;
    ok(one.send(b"d".to_vec(), None).await, "connected")?;
    ok(
        one.send(b"e".to_vec(), Some(wit(to_two))).await,
        "and named",
    )?;
    same(heard(&two).await?.0, b"d".to_vec(), "connected")?;
    same(heard(&two).await?.0, b"e".to_vec(), "and named")?;
    err(
        one.send(b"f".to_vec(), Some(wit(far_udp(far)))).await,
        BAD,
        "to another",
    )
}

async fn receive(far: &Far) -> Checked {
    // "The socket has not been bound yet."
    err(udp(V4)?.receive().await.map(drop), STATE, "not bound")?;
    let ((one, to_one), (two, to_two)) = (bound(LOOPBACK)?, bound(LOOPBACK)?);
    check(
        soon(two.receive()).await.is_none(),
        "nothing was sent, and something came",
    )?;
    for text in ["one", "", "three"] {
        ok(one.send(text.into(), Some(wit(to_two))).await, "send")?;
    }
    for text in ["one", "", "three"] {
        same(
            heard(&two).await?,
            (text.into(), to_one),
            "each whole, with who sent it",
        )?;
    }
    // Through the wire.
    let wide = udp(V4)?;
    let data = bytes(1_000);
    ok(
        wide.send(data.clone(), Some(wit(far_udp(far)))).await,
        "send",
    )?;
    let (got, from) = heard(&wide).await?;
    same_bytes(&got, &data, "through the wire")?;
    same(from, far_udp(far), "from whom")?;
    // What waits is woken.
    let waiting = heard(&two);
    let sending = one.send(b"late".to_vec(), Some(wit(to_two)));
    let (got, sent) = futures::future::join(waiting, sending).await;
    ok(sent, "send")?;
    same(got?.0, b"late".to_vec(), "what waits is woken")
}

async fn local_address(_: &Far) -> Checked {
    let socket = udp(V4)?;
    err(socket.get_local_address().map(plain), STATE, "not bound")?;
    ok(socket.bind(wit(ANY)), "bind")?;
    let got = plain(ok(socket.get_local_address(), "bound")?);
    check(
        got.ip().is_unspecified() && got.port() != 0,
        "as it was bound, with its port",
    )?;
    let ((one, to_one), (two, to_two)) = (bound(LOOPBACK)?, bound(LOOPBACK)?);
    ok(one.send(b"from".to_vec(), Some(wit(to_two))).await, "send")?;
    same(heard(&two).await?.1, to_one, "what the other sees")
}

async fn remote_address(far: &Far) -> Checked {
    let get = |socket: &UdpSocket| socket.get_remote_address().map(plain);
    let socket = udp(V4)?;
    err(get(&socket), STATE, "not bound")?;
    ok(socket.bind(wit(ANY)), "bind")?;
    err(get(&socket), STATE, "not connected")?;
    ok(socket.connect(wit(far_udp(far))), "connect")?;
    same(
        ok(get(&socket), "connected")?,
        far_udp(far),
        "whom it is connected to",
    )?;
    ok(socket.disconnect(), "disconnect")?;
    err(get(&socket), STATE, "disconnected")
}

async fn address_family(_: &Far) -> Checked {
    same(udp(V4)?.get_address_family(), V4, "as it was created")?;
    let six = udp(V6)?;
    same(six.get_address_family(), V6, "as it was created")?;
    ok(six.bind(at("[::1]:0")), "bind")?;
    same(six.get_address_family(), V6, "bound")
}
