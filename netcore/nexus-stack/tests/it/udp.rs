//! UDP sockets, and the ICMP errors they hear of.

use std::task::Poll;
use std::time::Duration;

use nexus_stack::{BindError, Config, UdpError, UdpOptions};
use nexus_types::IpAddr;

use crate::pair::{A, B, Count, Link, Pair, address, idle};
use crate::raw;

fn send(
    pair: &mut Pair,
    on: usize,
    id: nexus_stack::UdpId,
    data: &[u8],
    to: &str,
) -> Result<(), UdpError> {
    pair.stacks[on].udp_send(pair.now, id, data, address(to))
}

fn poll(pair: &mut Pair, on: usize, id: nexus_stack::UdpId) -> Poll<Result<Vec<u8>, UdpError>> {
    pair.stacks[on].poll_udp_recv(pair.now, id, idle(), |_, data| data.to_vec())
}

#[test]
fn datagrams_go_both_ways_over_ipv4_and_ipv6() {
    for (any, to) in [("0.0.0.0:0", "10.0.0.2:53"), ("[::]:0", "[fd00::2]:53")] {
        let mut pair = Pair::new(1);
        let server = pair.udp(B, to);
        let client = pair.udp(A, any);
        let local = pair.stacks[A].udp_local(client).expect("bound");
        assert!(local.port() >= 49_152);
        for data in [&b""[..], b"question", &[7; 1_400]] {
            send(&mut pair, A, client, data, to).expect("room");
            let (from, received) = pair.receive(B, server);
            assert_eq!(received, data);
            assert_eq!(from.port(), local.port());
            pair.stacks[B]
                .udp_send(pair.now, server, &received, from)
                .expect("room");
            assert_eq!(pair.receive(A, client), (address(to), data.to_vec()));
        }
    }
}

#[test]
fn a_datagram_at_the_mtu_is_sent_and_one_over_it_is_not() {
    for (any, to, most) in [
        ("0.0.0.0:0", "10.0.0.2:53", 1_472),
        ("[::]:0", "[fd00::2]:53", 1_452),
    ] {
        let mut pair = Pair::new(1);
        let server = pair.udp(B, to);
        let client = pair.udp(A, any);
        assert_eq!(
            send(&mut pair, A, client, &vec![1; most + 1], to),
            Err(UdpError::TooLong)
        );
        send(&mut pair, A, client, &vec![1; most], to).expect("fits");
        assert_eq!(pair.receive(B, server).1.len(), most);
    }
}

#[test]
fn a_connected_socket_hears_only_its_remote_also_of_what_was_queued() {
    let mut pair = Pair::new(2);
    let server = pair.udp(B, "10.0.0.2:53");
    let friend = pair.udp(A, "10.0.0.1:1000");
    let stranger = pair.udp(A, "10.0.0.1:2000");
    let to = "10.0.0.2:53";
    send(&mut pair, A, stranger, b"queued by a stranger", to).expect("room");
    send(&mut pair, A, friend, b"queued by the friend", to).expect("room");
    pair.run(Duration::from_millis(10));
    pair.stacks[B]
        .udp_connect(server, Some(address("10.0.0.1:1000")))
        .expect("a remote");
    assert_eq!(
        pair.stacks[B].udp_remote(server),
        Some(address("10.0.0.1:1000"))
    );
    send(&mut pair, A, stranger, b"later", to).expect("room");
    pair.run(Duration::from_millis(10));
    assert_eq!(
        poll(&mut pair, B, server),
        Poll::Ready(Ok(b"queued by the friend".to_vec()))
    );
    assert_eq!(poll(&mut pair, B, server), Poll::Pending);
    assert_eq!(pair.stacks[B].stats().dropped_udp_filter, 1);
    assert_eq!(
        send(&mut pair, B, server, b"x", "10.0.0.1:2000"),
        Err(UdpError::NotConnectedTo)
    );
    pair.stacks[B].udp_connect(server, None).expect("open");
    send(&mut pair, A, stranger, b"welcome again", to).expect("room");
    pair.run(Duration::from_millis(10));
    assert!(poll(&mut pair, B, server).is_ready());
}

#[test]
fn the_receive_queue_at_and_over_its_limits() {
    let mut pair = Pair::new(3);
    let server = pair.udp(B, "10.0.0.2:53");
    let client = pair.udp(A, "0.0.0.0:0");
    for _ in 0..300 {
        send(&mut pair, A, client, b"x", "10.0.0.2:53").expect("room");
        pair.transmit();
    }
    pair.run(Duration::from_millis(10));
    assert_eq!(pair.stacks[B].stats().dropped_udp_queue, 300 - 256);
    let mut count = 0;
    while poll(&mut pair, B, server).is_ready() {
        count += 1;
    }
    assert_eq!(count, 256);
}

#[test]
fn the_send_queue_at_and_over_its_limit() {
    let mut pair = Pair::new(3);
    let client = pair.udp(A, "0.0.0.0:0");
    for _ in 0..256 {
        send(&mut pair, A, client, b"x", "10.0.0.2:53").expect("room");
    }
    assert_eq!(
        send(&mut pair, A, client, b"x", "10.0.0.2:53"),
        Err(UdpError::WouldBlock)
    );
    let (woken, waker) = Count::new();
    assert!(
        pair.stacks[A]
            .poll_udp_writable(client, &waker)
            .is_pending()
    );
    pair.transmit();
    assert_eq!(woken.get(), 1);
    assert!(pair.stacks[A].poll_udp_writable(client, &waker).is_ready());
    send(&mut pair, A, client, b"x", "10.0.0.2:53").expect("room");
}

#[test]
fn a_closed_port_is_told_once_to_who_sent_there() {
    for (any, to) in [("0.0.0.0:0", "10.0.0.2:9"), ("[::]:0", "[fd00::2]:9")] {
        for connected in [false, true] {
            let mut pair = Pair::new(4);
            let client = pair.udp(A, any);
            let bystander = pair.udp(A, any);
            if connected {
                pair.stacks[A]
                    .udp_connect(client, Some(address(to)))
                    .expect("a remote");
            }
            let (woken, waker) = Count::new();
            let waits = pair.stacks[A].poll_udp_recv(pair.now, client, &waker, |_, _| ());
            assert!(waits.is_pending());
            send(&mut pair, A, client, b"anybody?", to).expect("room");
            pair.run(Duration::from_millis(10));
            assert_eq!(woken.get(), 1);
            assert_eq!(
                poll(&mut pair, A, client),
                Poll::Ready(Err(UdpError::Refused))
            );
            assert_eq!(poll(&mut pair, A, client), Poll::Pending);
            assert_eq!(poll(&mut pair, A, bystander), Poll::Pending);
        }
    }
}

/// An ICMP error counts only if it quotes a packet we may have sent.
#[test]
fn reject_icmp_errors_that_quote_nothing_of_ours() {
    let mut pair = Pair::new(5);
    let client = pair.udp(A, "10.0.0.1:4000");
    let router: IpAddr = "10.0.0.254".parse().expect("an address");
    let us: IpAddr = "10.0.0.1".parse().expect("an address");
    send(&mut pair, A, client, b"x", "10.0.0.2:53").expect("room");
    let error = |from: &str, to: &str| {
        let quote = raw::datagram(address(from), address(to), b"x");
        raw::icmp(router, us, 3, 1, &quote)
    };
    for (from, to) in [
        ("10.0.0.1:4000", "10.0.0.2:54"),
        ("10.0.0.1:4000", "10.0.0.3:53"),
        ("10.0.0.1:4001", "10.0.0.2:53"),
        ("10.0.0.9:4000", "10.0.0.2:53"),
    ] {
        let before = pair.stacks[A].stats().dropped_icmp;
        pair.deliver(A, &error(from, to));
        assert_eq!(
            pair.stacks[A].stats().dropped_icmp,
            before + 1,
            "{from} {to}"
        );
        assert_eq!(poll(&mut pair, A, client), Poll::Pending);
    }
    pair.deliver(A, &error("10.0.0.1:4000", "10.0.0.2:53"));
    assert_eq!(
        poll(&mut pair, A, client),
        Poll::Ready(Err(UdpError::Unreachable))
    );
}

/// While connecting, an ICMP error with our sequence number ends the attempt; with another one, and once
/// the connection stands, it does not.
#[test]
fn icmp_errors_end_attempts_to_connect_but_no_connections() {
    use crate::raw::Segment;
    use nexus_stack::TcpError;
    let error = |packet: &[u8], seq: u32, code: u8| {
        let mut segment = Segment::read(packet).expect("a segment");
        segment.seq = segment.seq.wrapping_add(seq);
        let (to, router) = (segment.src.ip(), segment.dst.ip());
        raw::icmp(router, to, 3, code, &segment.packet()[..28])
    };
    for (code, expected) in [
        (0, TcpError::Unreachable),
        (1, TcpError::Unreachable),
        (3, TcpError::Refused),
        (13, TcpError::Unreachable),
    ] {
        let mut pair = Pair::new(6);
        let a = pair.connect(A, "10.0.0.2:80");
        let syn = pair.stacks[A]
            .poll_transmit(pair.now)
            .expect("a SYN")
            .to_vec();
        pair.deliver(A, &error(&syn, 1, code));
        pair.deliver(A, &error(&syn, 0, 4));
        assert!(pair.stacks[A].poll_connected(a, idle()).is_pending());
        pair.deliver(A, &error(&syn, 0, code));
        assert_eq!(pair.connected(A, a), Err(expected));
    }
    let mut pair = Pair::new(6);
    pair.log = Some(Vec::new());
    let (a, _, _) = pair.established("10.0.0.2:80");
    let syn = pair.log.take().expect("kept")[0].1.clone();
    pair.deliver(A, &error(&syn, 0, 3));
    assert!(pair.stacks[A].poll_ended(a, idle()).is_pending());
}

#[test]
fn echo_requests_are_answered() {
    let mut pair = Pair::new(7);
    for (from, to, request, reply) in [
        ("10.0.0.1", "10.0.0.2", 8, 0),
        ("fd00::1", "fd00::2", 128, 129),
    ] {
        let (from, to): (IpAddr, IpAddr) = (
            from.parse().expect("an address"),
            to.parse().expect("an address"),
        );
        pair.deliver(B, &raw::icmp(from, to, request, 0, b"abcdefgh"));
        let answer = pair.stacks[B].poll_transmit(pair.now).expect("an answer");
        assert_eq!(*answer, raw_reply(to, from, reply));
    }
}

/// What is expected of an echo reply, made independently (its TTL and "don't fragment" as ours).
fn raw_reply(src: IpAddr, dst: IpAddr, kind: u8) -> Vec<u8> {
    raw::icmp(src, dst, kind, 0, b"abcdefgh")
}

#[test]
fn reject_remotes_that_cannot_be_one() {
    let mut pair = Pair::new(8);
    let v4 = pair.udp(A, "0.0.0.0:0");
    let v6 = pair.udp(A, "[::]:0");
    let looped = pair.udp(A, "127.0.0.1:0");
    for (id, to, error) in [
        (v4, "0.0.0.0:53", UdpError::RemoteInvalid),
        (v4, "10.0.0.2:0", UdpError::RemoteInvalid),
        (v4, "255.255.255.255:53", UdpError::RemoteInvalid),
        (v4, "10.0.0.255:53", UdpError::RemoteInvalid),
        (v4, "[fd00::2]:53", UdpError::FamilyMismatch),
        (v6, "10.0.0.2:53", UdpError::FamilyMismatch),
        (v6, "[::ffff:10.0.0.2]:53", UdpError::RemoteInvalid),
        (looped, "10.0.0.2:53", UdpError::NoSource),
    ] {
        assert_eq!(send(&mut pair, A, id, b"x", to), Err(error), "{to}");
    }
    for remote in ["0.0.0.0:53", "10.0.0.2:0", "[fd00::2]:53"] {
        assert_eq!(
            pair.stacks[A].udp_connect(v4, Some(address(remote))),
            Err(BindError::RemoteInvalid)
        );
    }
    pair.stacks[A].udp_close(v4);
    assert_eq!(
        send(&mut pair, A, v4, b"x", "10.0.0.2:53"),
        Err(UdpError::NotFound)
    );
    assert_eq!(poll(&mut pair, A, v4), Poll::Ready(Err(UdpError::NotFound)));
}

#[test]
fn reject_binding_what_is_taken_or_not_ours() {
    let mut pair = Pair::with(9, Link::CLEAN, |config: &mut Config| {
        config.limits.udp_sockets = 6;
    });
    let mut bind = |scope: u32, local: &str| {
        pair.stacks[A]
            .udp_bind(
                pair.now,
                nexus_stack::Scope(scope),
                address(local),
                &UdpOptions::default(),
            )
            .map(|_| ())
    };
    assert_eq!(bind(1, "10.0.0.1:53"), Ok(()));
    assert_eq!(bind(1, "10.0.0.1:53"), Err(BindError::InUse));
    assert_eq!(bind(2, "0.0.0.0:53"), Err(BindError::InUse));
    assert_eq!(bind(1, "[::]:53"), Ok(()), "IPv6 sockets are IPv6 only");
    assert_eq!(bind(2, "127.0.0.1:53"), Ok(()));
    assert_eq!(
        bind(3, "127.0.0.1:53"),
        Ok(()),
        "each scope has its loopback"
    );
    assert_eq!(bind(3, "127.0.0.1:53"), Err(BindError::InUse));
    assert_eq!(bind(1, "10.0.0.9:53"), Err(BindError::NotOurs));
    assert_eq!(bind(1, "[::ffff:10.0.0.1]:54"), Err(BindError::Mapped));
    assert_eq!(bind(1, "0.0.0.0:0"), Ok(()));
    assert_eq!(bind(1, "0.0.0.0:0"), Ok(()));
    assert_eq!(bind(1, "0.0.0.0:0"), Err(BindError::TooMany));
}
