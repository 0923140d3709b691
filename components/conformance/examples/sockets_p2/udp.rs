//! `udp`, `udp-create-socket`: datagrams, to whom they may go and from whom they are heard.

use conformance::{Checked, bytes, check, err, ok, same, same_bytes};
use wasip2::sockets::network::ErrorCode;

use crate::Probe;
use crate::ends::{
    ANY, LOOPBACK, V4, V6, World, at, datagram, plain, udp, waited, wakes_by_itself, wit,
};

pub(crate) const PROBES: &[Probe] = &[
    ("udp-create-socket/create-udp-socket", create),
    ("udp/udp-socket.start-bind", start_bind),
    ("udp/udp-socket.finish-bind", finish_bind),
    ("udp/udp-socket.stream", stream),
    ("udp/udp-socket.local-address", local_address),
    ("udp/udp-socket.remote-address", remote_address),
    ("udp/udp-socket.address-family", address_family),
    ("udp/udp-socket.subscribe", subscribe),
    ("udp/incoming-datagram-stream.receive", receive),
    ("udp/incoming-datagram-stream.subscribe", subscribe_incoming),
    ("udp/outgoing-datagram-stream.check-send", check_send),
    ("udp/outgoing-datagram-stream.send", send),
    ("udp/outgoing-datagram-stream.send!unasked", send_unasked),
    ("udp/outgoing-datagram-stream.send!more", send_more),
    ("udp/outgoing-datagram-stream.send!again", send_again),
    ("udp/outgoing-datagram-stream.subscribe", subscribe_outgoing),
];

fn create(world: &World) -> Checked {
    for family in [V4, V6] {
        let socket = udp(family)?;
        same(socket.address_family(), family, "family")?;
        err(
            socket.local_address().map(plain),
            ErrorCode::InvalidState,
            "local-address",
        )?;
    }
    // "On IPv6 sockets, IPV6_V6ONLY is enabled": both families have the port, and each hears its own.
    let six = world.udp("[::1]:0".parse().expect("an address"), None)?;
    let four = (std::net::Ipv4Addr::LOCALHOST, six.local.port()).into();
    let four = world.udp(four, None)?;
    ok(six.send(b"six", Some(six.local)), "send")?;
    ok(four.send(b"four", Some(four.local)), "send")?;
    same(six.next()?.data, b"six".to_vec(), "IPv6")?;
    same(four.next()?.data, b"four".to_vec(), "IPv4")
}

fn start_bind(world: &World) -> Checked {
    for (family, wrong, right) in [
        (V4, "[::1]:0", "127.0.0.1:0"),
        (V6, "127.0.0.1:0", "[::1]:0"),
    ] {
        let socket = udp(family)?;
        let got = socket.start_bind(&world.network, at(wrong));
        let got = got.and_then(|()| socket.finish_bind());
        err(got, ErrorCode::InvalidArgument, wrong)?;
        ok(socket.start_bind(&world.network, at(right)), right)?;
        let again = socket.start_bind(&world.network, at(right));
        err(again, ErrorCode::ConcurrencyConflict, "in progress")?;
        ok(
            waited(&socket.subscribe(), || socket.finish_bind()),
            "finish-bind",
        )?;
        let local = plain(ok(socket.local_address(), "local-address")?);
        check(
            local.port() != 0 && local.ip().is_loopback(),
            "a free port of that address",
        )?;
        let again = socket.start_bind(&world.network, at(right));
        err(again, ErrorCode::InvalidState, "bound")?;
        err(
            world.bind_udp(&udp(family)?, local),
            ErrorCode::AddressInUse,
            "in use",
        )?;
        drop(socket);
        ok(world.bind_udp(&udp(family)?, local), "given back")?;
    }
    let got = world.bind_udp(&udp(V4)?, "192.0.2.99:0".parse().expect("an address"));
    err(got, ErrorCode::AddressNotBindable, "another's address")
}

fn finish_bind(world: &World) -> Checked {
    let none = ErrorCode::NotInProgress;
    let socket = udp(V4)?;
    err(socket.finish_bind(), none, "nothing was started")?;
    ok(
        socket.start_bind(&world.network, wit(LOOPBACK)),
        "start-bind",
    )?;
    ok(
        waited(&socket.subscribe(), || socket.finish_bind()),
        "finish-bind",
    )?;
    ok(socket.local_address(), "bound").map(drop)?;
    err(socket.finish_bind(), none, "finished")
}

fn stream(world: &World) -> Checked {
    let far = world.far_udp();
    // "Unlike in POSIX, the socket must already be explicitly bound."
    err(udp(V4)?.stream(None), ErrorCode::InvalidState, "not bound")?;
    err(
        udp(V4)?.stream(Some(wit(far))),
        ErrorCode::InvalidState,
        "not bound",
    )?;
    let socket = udp(V4)?;
    ok(world.bind_udp(&socket, ANY), "bind")?;
    for remote in ["[::1]:9", "0.0.0.0:9", "127.0.0.1:0"] {
        let got = socket.stream(Some(at(remote)));
        err(got, ErrorCode::InvalidArgument, remote)?;
    }
    let six = udp(V6)?;
    ok(
        world.bind_udp(&six, "[::]:0".parse().expect("an address")),
        "bind",
    )?;
    for remote in ["127.0.0.1:9", "[::]:9", "[::1]:0", "[::ffff:127.0.0.1]:9"] {
        let got = six.stream(Some(at(remote)));
        err(got, ErrorCode::InvalidArgument, remote)?;
    }
    // To one far end, and back from it.
    let one = world.udp(ANY, Some(far))?;
    ok(one.send(b"to the far end", None), "send")?;
    let got = one.next()?;
    same(
        (got.data, plain(got.remote_address)),
        (b"to the far end".to_vec(), far),
        "echo",
    )?;

    // "`receive` will only return datagrams sent from the provided `remote-address`", also of those that came before.
    let (friend, other) = (world.udp(LOOPBACK, None)?, world.udp(LOOPBACK, None)?);
    let one = world.udp(LOOPBACK, None)?;
    ok(other.send(b"early", Some(one.local)), "send")?;
    let one = one.restream(Some(friend.local))?;
    ok(other.send(b"late", Some(one.local)), "send")?;
    ok(friend.send(b"friend", Some(one.local)), "send")?;
    let got = one.next()?;
    same(
        (got.data, plain(got.remote_address)),
        (b"friend".to_vec(), friend.local),
        "heard",
    )?;
    same(
        ok(one.incoming.receive(8), "receive")?.len(),
        0,
        "nobody else is heard",
    )?;
    // "This method may be called multiple times on the same socket to change its association."
    let one = one.restream(Some(other.local))?;
    ok(friend.send(b"friend", Some(one.local)), "send")?;
    ok(other.send(b"other", Some(one.local)), "send")?;
    same(one.next()?.data, b"other".to_vec(), "the other association")?;
    let one = one.restream(None)?;
    ok(friend.send(b"friend", Some(one.local)), "send")?;
    same(one.next()?.data, b"friend".to_vec(), "no association")
}

fn local_address(world: &World) -> Checked {
    let socket = udp(V4)?;
    err(
        socket.local_address().map(plain),
        ErrorCode::InvalidState,
        "not bound",
    )?;
    ok(world.bind_udp(&socket, ANY), "bind")?;
    let got = plain(ok(socket.local_address(), "bound")?);
    check(
        got.ip().is_unspecified() && got.port() != 0,
        "as it was bound, with its port",
    )?;
    let (one, two) = (world.udp(LOOPBACK, None)?, world.udp(LOOPBACK, None)?);
    ok(one.send(b"from", Some(two.local)), "send")?;
    let seen = plain(two.next()?.remote_address);
    same(seen, one.local, "what the other sees")
}

fn remote_address(world: &World) -> Checked {
    let state = ErrorCode::InvalidState;
    let remote = |socket: &wasip2::sockets::udp::UdpSocket| socket.remote_address().map(plain);
    err(remote(&udp(V4)?), state, "not bound")?;
    let one = world.udp(ANY, None)?;
    err(remote(&one.socket), state, "streams to everybody")?;
    let one = one.restream(Some(world.far_udp()))?;
    same(
        ok(remote(&one.socket), "streams")?,
        world.far_udp(),
        "whom it streams to",
    )?;
    let one = one.restream(None)?;
    err(remote(&one.socket), state, "streams to everybody again")
}

fn address_family(world: &World) -> Checked {
    same(udp(V4)?.address_family(), V4, "as it was created")?;
    let six = udp(V6)?;
    same(six.address_family(), V6, "as it was created")?;
    ok(
        world.bind_udp(&six, "[::1]:0".parse().expect("an address")),
        "bind",
    )?;
    same(six.address_family(), V6, "bound")
}

/// "Create a `pollable` which will resolve once the socket is ready for I/O."
fn subscribe(world: &World) -> Checked {
    let socket = udp(V4)?;
    let ready = socket.subscribe();
    ok(
        socket.start_bind(&world.network, wit(LOOPBACK)),
        "start-bind",
    )?;
    ready.block();
    ok(socket.finish_bind(), "it was ready")
}

fn receive(world: &World) -> Checked {
    let (one, two) = (world.udp(LOOPBACK, None)?, world.udp(LOOPBACK, None)?);
    // "`max-results` is greater than 0, but no results are immediately available."
    same(
        ok(two.incoming.receive(8), "none came")?.len(),
        0,
        "none came",
    )?;
    for text in [&b"one"[..], b"", b"three"] {
        ok(one.send(text, Some(two.local)), "send")?;
    }
    two.incoming.subscribe().block();
    same(
        ok(two.incoming.receive(0), "max 0")?.len(),
        0,
        "`max-results` is 0",
    )?;
    // "The returned list may contain fewer elements than requested, but never more."
    let mut got = Vec::new();
    while got.len() < 3 {
        let some = ok(two.incoming.receive(2), "receive")?;
        check(some.len() <= 2, "no more than were asked for")?;
        check(!some.is_empty(), "all have come over the loopback")?;
        got.extend(
            some.into_iter()
                .map(|got| (got.data, plain(got.remote_address))),
        );
    }
    let want = [&b"one"[..], b"", b"three"].map(|text| (text.to_vec(), one.local));
    same(got, want.to_vec(), "each whole, with who sent it")?;
    // A large one, whole; and through the wire.
    let large = bytes(8_000);
    ok(one.send(&large, Some(two.local)), "send")?;
    same_bytes(&two.next()?.data, &large, "8000 bytes")?;
    let wide = world.udp(ANY, None)?;
    ok(wide.send(&large[..1_000], Some(world.far_udp())), "send")?;
    let got = wide.next()?;
    same_bytes(&got.data, &large[..1_000], "through the wire")?;
    same(plain(got.remote_address), world.far_udp(), "from whom")
}

/// "Create a `pollable` which will resolve once the stream is ready to receive again."
fn subscribe_incoming(world: &World) -> Checked {
    let (one, two) = (world.udp(LOOPBACK, None)?, world.udp(LOOPBACK, None)?);
    let ready = two.incoming.subscribe();
    check(!wakes_by_itself(&ready), "nothing came, and it is ready")?;
    ok(one.send(b"text", Some(two.local)), "send")?;
    ready.block();
    same(
        ok(two.incoming.receive(8), "receive")?.len(),
        1,
        "it was ready",
    )?;
    check(
        !wakes_by_itself(&ready),
        "nothing more came, and it is ready",
    )?;
    // What the association keeps out wakes nobody.
    drop(ready);
    let two = two.restream(Some(world.far_udp()))?;
    ok(one.send(b"not heard", Some(two.local)), "send")?;
    check(
        !wakes_by_itself(&two.incoming.subscribe()),
        "a stranger's, and it is ready",
    )
}

/// "Returns the number of datagrams permitted for the next call to `send`."
fn check_send(world: &World) -> Checked {
    let (one, two) = (world.udp(LOOPBACK, None)?, world.udp(LOOPBACK, None)?);
    let many = ok(one.outgoing.check_send(), "check-send")?;
    check(many > 0, "of a socket that has sent nothing")?;
    let text = [datagram(b"text", Some(two.local))];
    same(
        ok(one.outgoing.send(&text), "send")?,
        1,
        "one was permitted",
    )?;
    same(two.next()?.data, b"text".to_vec(), "it came")?;
    // "When this function returns ok(0), the `subscribe` pollable will become ready when ... at least ok(1)."
    for _ in 0..3 {
        if ok(one.outgoing.check_send(), "check-send")? == 0 {
            one.outgoing.subscribe().block();
            check(
                ok(one.outgoing.check_send(), "check-send")? > 0,
                "it was ready",
            )?;
        }
    }
    Ok(())
}

fn send(world: &World) -> Checked {
    let bad = ErrorCode::InvalidArgument;
    let (one, two) = (world.udp(LOOPBACK, None)?, world.udp(LOOPBACK, None)?);
    let to = |text: &str| Some(text.parse().expect("an address"));
    for remote in ["[::1]:9", "0.0.0.0:9", "127.0.0.1:0"] {
        err(one.send(b"text", to(remote)), bad, remote)?;
    }
    // "The socket is not "connected" and no value for `remote-address` was provided."
    err(one.send(b"text", None), bad, "to nobody")?;
    // "If the input list is empty, the function returns `ok(0)`."
    same(ok(one.outgoing.send(&[]), "none")?, 0, "none")?;
    let sent = one.send_all(&[(b"a", Some(two.local)), (b"b", Some(two.local))]);
    same(ok(sent, "two")?, 2, "how many were sent")?;
    same(two.next()?.data, b"a".to_vec(), "the first")?;
    same(two.next()?.data, b"b".to_vec(), "the second")?;
    // "If at least one datagram has been sent successfully, this function never returns an error": up to the first.
    let sent = one.send_all(&[
        (b"c", Some(two.local)),
        (b"x", None),
        (b"y", Some(two.local)),
    ]);
    same(
        ok(sent, "good, bad, good")?,
        1,
        "until the first error occurred",
    )?;
    same(two.next()?.data, b"c".to_vec(), "the good one")?;
    same(
        ok(two.incoming.receive(8), "receive")?.len(),
        0,
        "what stood behind it",
    )?;
    // "The datagram is too large."
    let large = bytes(65_536);
    err(
        one.send(&large, Some(two.local)),
        ErrorCode::DatagramTooLarge,
        "65,536 bytes",
    )?;
    // Connected: to it, named or not, and to nobody else.
    let one = one.restream(Some(two.local))?;
    same(ok(one.send(b"d", None), "connected")?, 1, "sent")?;
    same(ok(one.send(b"e", Some(two.local)), "and named")?, 1, "sent")?;
    same(two.next()?.data, b"d".to_vec(), "connected")?;
    same(two.next()?.data, b"e".to_vec(), "and named")?;
    err(one.send(b"f", Some(world.far_udp())), bad, "to another")
}

/// "Implementations must trap if ... `check-send` was not called."
fn send_unasked(world: &World) -> Checked {
    let one = world.udp(LOOPBACK, None)?;
    let got = one.outgoing.send(&[datagram(b"text", Some(one.local))]);
    Err(format!("did not trap: {got:?}"))
}

/// "... or `datagrams` contains more items than `check-send` permitted."
fn send_more(world: &World) -> Checked {
    let one = world.udp(LOOPBACK, None)?;
    let many = ok(one.outgoing.check_send(), "check-send")?;
    let datagrams = vec![datagram(b"text", Some(one.local)); many as usize + 1];
    let got = one.outgoing.send(&datagrams);
    Err(format!("did not trap: {got:?}"))
}

/// "Each call to `send` must be permitted by a preceding `check-send`."
fn send_again(world: &World) -> Checked {
    let one = world.udp(LOOPBACK, None)?;
    let text = [datagram(b"text", Some(one.local))];
    ok(one.outgoing.check_send(), "check-send")?;
    ok(one.outgoing.send(&text), "permitted")?;
    let got = one.outgoing.send(&text);
    Err(format!("did not trap: {got:?}"))
}

/// "Create a `pollable` which will resolve once the stream is ready to send again."
fn subscribe_outgoing(world: &World) -> Checked {
    let one = world.udp(LOOPBACK, None)?;
    let ready = one.outgoing.subscribe();
    for _ in 0..3 {
        ready.block();
        check(
            ok(one.outgoing.check_send(), "check-send")? > 0,
            "it was ready",
        )?;
        same(ok(one.send(b"text", Some(one.local)), "send")?, 1, "sent")?;
        same(one.next()?.data, b"text".to_vec(), "it came")?;
    }
    Ok(())
}
