//! Loopback: an app reaches its own listeners, and never another's.

use std::task::Poll;
use std::time::Duration;

use nexus_stack::{BindError, Scope, TcpError, TcpOptions, UdpError, UdpOptions};

use crate::pair::{A, B, Pair, address, idle};

const ONE: Scope = Scope(1);
const TWO: Scope = Scope(2);

fn listen(
    pair: &mut Pair,
    scope: Scope,
    local: &str,
) -> Result<nexus_stack::ListenerId, BindError> {
    pair.stacks[A].tcp_listen(pair.now, scope, address(local), 8, &TcpOptions::default())
}

fn connect(pair: &mut Pair, scope: Scope, remote: &str) -> nexus_stack::TcpId {
    pair.stacks[A]
        .tcp_connect(
            pair.now,
            scope,
            None,
            address(remote),
            &TcpOptions::default(),
        )
        .expect("it can be tried")
}

#[test]
fn an_app_reaches_its_own_listeners_without_a_wire() {
    for (bound, dialled) in [
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("127.0.0.5:80", "127.0.0.5:80"),
        ("0.0.0.0:80", "127.9.9.9:80"),
        ("0.0.0.0:80", "10.0.0.1:80"),
        ("10.0.0.1:80", "10.0.0.1:80"),
        ("[::1]:80", "[::1]:80"),
        ("[::]:80", "[::1]:80"),
        ("[::]:80", "[fd00::1]:80"),
    ] {
        let mut pair = Pair::new(1);
        pair.log = Some(Vec::new());
        let listener = listen(&mut pair, ONE, bound).expect("free");
        let client = connect(&mut pair, ONE, dialled);
        let server = pair.accept(A, listener);
        pair.connected(A, client).expect("open");
        let data = vec![5; 300_000];
        let mut received = Vec::new();
        let mut sent = 0;
        let mut buf = vec![0; 65_536];
        while received.len() < data.len() {
            let (now, stack) = (pair.now, &mut pair.stacks[A]);
            if let Poll::Ready(queued) = stack.poll_write(now, client, &data[sent..], idle()) {
                sent += queued.expect("open");
            }
            pair.transmit();
            let stack = &mut pair.stacks[A];
            while let Poll::Ready(read) = stack.poll_read(now, server, &mut buf, idle()) {
                received.extend_from_slice(&buf[..read.expect("open")]);
            }
        }
        assert_eq!(received, data, "{bound} {dialled}");
        pair.stacks[A].tcp_close(pair.now, client);
        assert_eq!(pair.read_to_end(A, server), Ok(Vec::new()));
        assert_eq!(pair.now, nexus_types::Instant::ZERO, "nothing had to wait");
        assert_eq!(pair.log, Some(Vec::new()), "nothing went over the wire");
    }
}

#[test]
fn reject_another_scopes_listeners_as_refused() {
    for (bound, dialled) in [
        ("127.0.0.1:80", "127.0.0.1:80"),
        ("0.0.0.0:80", "127.0.0.1:80"),
        ("0.0.0.0:80", "10.0.0.1:80"),
        ("10.0.0.1:80", "10.0.0.1:80"),
        ("[::]:80", "[::1]:80"),
        ("[fd00::1]:80", "[fd00::1]:80"),
    ] {
        let mut pair = Pair::new(2);
        pair.log = Some(Vec::new());
        let listener = listen(&mut pair, ONE, bound).expect("free");
        let client = connect(&mut pair, TWO, dialled);
        assert_eq!(
            pair.connected(A, client),
            Err(TcpError::Refused),
            "{dialled}"
        );
        assert!(
            pair.stacks[A]
                .poll_accept(pair.now, listener, idle())
                .is_pending()
        );
        assert_eq!(pair.log, Some(Vec::new()), "and nothing went over the wire");
    }
}

#[test]
fn reject_another_scopes_datagrams() {
    for (bound, to) in [
        ("127.0.0.1:53", "127.0.0.1:53"),
        ("0.0.0.0:53", "10.0.0.1:53"),
        ("[::]:53", "[::1]:53"),
    ] {
        let mut pair = Pair::new(3);
        let any = if to.starts_with('[') {
            "[::]:0"
        } else {
            "0.0.0.0:0"
        };
        let mut bind = |scope, local: &str| {
            pair.stacks[A]
                .udp_bind(pair.now, scope, address(local), &UdpOptions::default())
                .expect("free")
        };
        let server = bind(ONE, bound);
        let own = bind(ONE, any);
        let other = bind(TWO, any);
        for client in [own, other] {
            pair.stacks[A]
                .udp_send(pair.now, client, b"x", address(to))
                .expect("room");
        }
        pair.run(Duration::from_millis(1));
        let (now, stack) = (pair.now, &mut pair.stacks[A]);
        let mut poll = |id| stack.poll_udp_recv(now, id, idle(), |_, data| data.to_vec());
        assert_eq!(poll(server), Poll::Ready(Ok(b"x".to_vec())));
        assert_eq!(poll(server), Poll::Pending);
        assert_eq!(poll(other), Poll::Ready(Err(UdpError::Refused)));
    }
}

/// The wire is shared: one scope's listener has the port for all of them, its loopback is its own.
#[test]
fn ports_of_two_scopes() {
    let mut pair = Pair::new(4);
    listen(&mut pair, ONE, "127.0.0.1:80").expect("free");
    listen(&mut pair, TWO, "127.0.0.1:80").expect("another loopback");
    listen(&mut pair, ONE, "10.0.0.1:80").expect("another address");
    assert_eq!(listen(&mut pair, TWO, "10.0.0.1:80"), Err(BindError::InUse));
    assert_eq!(listen(&mut pair, TWO, "0.0.0.0:80"), Err(BindError::InUse));
    listen(&mut pair, TWO, "[::]:80").expect("IPv6 only");
    assert_eq!(
        listen(&mut pair, ONE, "[fd00::1]:80"),
        Err(BindError::InUse)
    );
    let random = listen(&mut pair, ONE, "0.0.0.0:0").expect("some port");
    let local = pair.stacks[A].listener_local(random).expect("open");
    assert!(local.port() >= 49_152);
    pair.stacks[A].listener_close(pair.now, random);
    let port = format!("0.0.0.0:{}", local.port());
    listen(&mut pair, TWO, &port).expect("free again");
}

/// A listener on the loopback alone is not there for the wire.
#[test]
fn reject_the_wire_at_a_loopback_listener() {
    let mut pair = Pair::new(5);
    listen(&mut pair, ONE, "127.0.0.1:80").expect("free");
    let client = pair.connect(B, "10.0.0.1:80");
    assert_eq!(pair.connected(B, client), Err(TcpError::Refused));
}

/// Loopback is not stopped by the limit on answers to strangers: a refusal is told each time.
#[test]
fn refusals_within_a_scope_are_all_told() {
    let mut pair = Pair::new(6);
    for _ in 0..500 {
        let client = connect(&mut pair, ONE, "127.0.0.1:81");
        assert_eq!(pair.connected(A, client), Err(TcpError::Refused));
        pair.stacks[A].tcp_close(pair.now, client);
    }
    assert_eq!(pair.stacks[A].stats().flows, 0);
}
