//! Ports held before a socket listens or connects, and what a socket may change while it is open.

use std::num::NonZeroU8;
use std::time::Duration;

use nexus_stack::{BindError, ConnectError, KeepAlive, TcpError, TcpOptions};

use crate::pair::{A, APP, B, Link, Pair, address, idle};

/// Goal: a held port is nobody else's, and nothing comes in by it. Method: others bind it, a SYN comes for it, it is
/// listened at, given back and held again.
#[test]
fn a_reserved_port_is_held_until_it_is_used_or_given_back() {
    let mut pair = Pair::new(1);
    let local = address("10.0.0.2:80");
    let held = pair.stacks[B].tcp_reserve(pair.now, APP, local).unwrap();
    assert_eq!(pair.stacks[B].reserved_local(held), Some(local));
    let again = pair.stacks[B].tcp_reserve(pair.now, APP, local);
    assert_eq!(again.unwrap_err(), BindError::InUse);
    let listens = pair.stacks[B].tcp_listen(pair.now, APP, local, 1, &TcpOptions::default());
    assert_eq!(listens.unwrap_err(), BindError::InUse);
    let refused = pair.connect(A, "10.0.0.2:80");
    assert_eq!(pair.connected(A, refused), Err(TcpError::Refused));

    let now = pair.now;
    let listener = pair.stacks[B].tcp_listen_reserved(now, held, 1, &TcpOptions::default());
    assert_eq!(
        pair.stacks[B].listener_local(listener.unwrap()),
        Some(local)
    );
    assert_eq!(pair.stacks[B].reserved_local(held), None, "used up");
    pair.stacks[B].listener_close(now, listener.unwrap());

    let held = pair.stacks[B].tcp_reserve(now, APP, local).unwrap();
    pair.stacks[B].tcp_release(held);
    let held = pair.stacks[B].tcp_reserve(now, APP, local).unwrap();
    pair.stacks[B].end_scope(now, APP);
    assert_eq!(
        pair.stacks[B].reserved_local(held),
        None,
        "it ends with its app"
    );
    let _ = pair.stacks[B].tcp_reserve(now, APP, local).unwrap();
}

/// Goal: a connection can come from a held port. Method: the far end looks where it is from.
#[test]
fn a_connection_from_a_reserved_port() {
    let mut pair = Pair::new(1);
    let listener = pair.listen(B, "10.0.0.2:80");
    let (now, remote) = (pair.now, address("10.0.0.2:80"));
    let from = address("0.0.0.0:4000");
    let held = pair.stacks[A].tcp_reserve(now, APP, from).unwrap();
    let options = TcpOptions::default();
    let a = pair.stacks[A].tcp_connect_reserved(now, held, remote, &options);
    let b = pair.accept(B, listener);
    pair.connected(A, a.unwrap()).unwrap();
    let (_, far) = pair.stacks[B].tcp_addresses(b).unwrap();
    assert_eq!(far, address("10.0.0.1:4000"));
    let again = pair.stacks[A].tcp_connect_reserved(now, held, remote, &options);
    assert_eq!(again.unwrap_err(), ConnectError::LocalNotOurs, "used up");
}

#[test]
fn reservations_at_and_over_the_limit() {
    let mut pair = Pair::with(1, Link::CLEAN, |config| config.limits.listeners = 3);
    let now = pair.now;
    let stack = &mut pair.stacks[A];
    let options = TcpOptions::default();
    let any = address("10.0.0.1:0");
    stack.tcp_listen(now, APP, any, 1, &options).unwrap();
    let first = stack.tcp_reserve(now, APP, any).unwrap();
    stack.tcp_reserve(now, APP, any).unwrap();
    assert_eq!(stack.tcp_reserve(now, APP, any), Err(BindError::TooMany));
    // One that is held already becomes a listener all the same.
    stack.tcp_listen_reserved(now, first, 1, &options).unwrap();
}

/// Goal: who reads no more does not stop the far end. Method: far more than the buffers hold is written to it, with
/// some of it received and not read before.
#[test]
fn what_comes_is_dropped_once_nobody_reads() {
    let mut pair = Pair::new(1);
    let (a, b, _) = pair.established("10.0.0.2:80");
    pair.write_all(A, a, &[1; 10_000]);
    pair.flushed(A, a).unwrap();
    assert!(pair.stacks[B].tcp_readable(b) > 0);
    let now = pair.now;
    pair.stacks[B].tcp_stop_reading(now, b);
    assert_eq!(pair.stacks[B].tcp_readable(b), 0);
    pair.write_all(A, a, &vec![2; 1 << 20]);
    pair.flushed(A, a).unwrap();
    assert_eq!(
        pair.read(B, b).unwrap(),
        b"",
        "as if the far end had finished"
    );
    // The other direction goes on.
    pair.write_all(B, b, b"still here");
    assert_eq!(pair.read(A, a).unwrap(), b"still here");
}

/// Goal: a silent peer is given up when it was asked for, and not before. Method: probes every 10 s, given up after
/// 25; and the bounds of both.
#[test]
fn a_silent_peer_is_given_up_in_time() {
    for (every, give_up, ends) in [(10, 25, 25), (10, 60, 60), (10, 1, 20), (0, 0, 2)] {
        let mut pair = Pair::new(1);
        let (a, _, _) = pair.established("10.0.0.2:80");
        let probes = KeepAlive {
            every: Duration::from_secs(every),
            give_up: Duration::from_secs(give_up),
        };
        pair.stacks[A].tcp_set_keep_alive(a, Some(probes));
        pair.run(Duration::from_millis(100));
        let silent = pair.now;
        pair.link.loss = 1_000;
        let error = pair.until(Duration::from_secs(100), |pair| {
            pair.stacks[A].poll_ended(a, idle())
        });
        assert_eq!(error, TcpError::TimedOut);
        let took = pair.now.saturating_since(silent).as_secs_f64();
        let ends = f64::from(ends);
        assert!(
            (ends - 1.0..ends + 1.0).contains(&took),
            "{every} {give_up}: {took}"
        );
    }
}

/// Goal: a hop limit can be changed while a connection is open, and a listener's for those to come. Method: the
/// packets on the link say so.
#[test]
fn hop_limits_of_what_is_open() {
    let mut pair = Pair::new(1);
    let listener = pair.listen(B, "10.0.0.2:80");
    let hops = |value| NonZeroU8::new(value);
    let options = TcpOptions {
        hop_limit: hops(9),
        ..TcpOptions::default()
    };
    pair.stacks[B].listener_set_options(listener, &options);
    let a = pair.connect(A, "10.0.0.2:80");
    let b = pair.accept(B, listener);
    pair.connected(A, a).unwrap();
    pair.run(Duration::from_millis(100));
    pair.log = Some(Vec::new());
    pair.write_all(B, b, b"nine");
    pair.stacks[A].tcp_set_hop_limit(a, hops(3).unwrap());
    pair.write_all(A, a, b"three");
    pair.run(Duration::from_millis(100));
    let log = pair.log.take().unwrap();
    let sent = |from: usize| {
        log.iter()
            .find(|(by, frame)| *by == from && frame.len() > 40)
    };
    assert_eq!(sent(B).unwrap().1[8], 9);
    assert_eq!(sent(A).unwrap().1[8], 3);
}
