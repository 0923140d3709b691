//! Connections that no handle holds stay within what their scope may have: they linger, or wait to
//! be accepted.

use std::task::Poll;
use std::time::Duration;

use nexus_stack::{ScopeLimits, TcpError, TcpId};
use nexus_types::Instant;

use crate::pair::{A, APP, B, Count, Pair, idle};

fn limit(pair: &mut Pair, on: usize, waiting: u32, lingering: u32) {
    let limits = ScopeLimits {
        waiting,
        lingering,
        accepting: true,
    };
    pair.stacks[on].limit_scope(APP, limits);
}

fn write_and_close(pair: &mut Pair, id: TcpId) {
    pair.write_all(A, id, b"last words");
    pair.stacks[A].tcp_close(pair.now, id);
}

/// Goal: at the limit all that was closed is delivered. Over it the oldest is reset, at once and on the
/// wire too, and the others are still delivered.
#[test]
fn reject_one_more_lingering_connection_than_the_scope_may_have() {
    for extra in [0, 1] {
        let mut pair = Pair::new(1);
        limit(&mut pair, A, u32::MAX, 2);
        let listener = pair.listen(B, "10.0.0.2:80");
        let ends: Vec<_> = (0..2 + extra)
            .map(|_| {
                let a = pair.connect(A, "10.0.0.2:80");
                (a, pair.accept(B, listener))
            })
            .collect();
        for (a, _) in &ends {
            write_and_close(&mut pair, *a);
        }
        assert_eq!(pair.stacks[A].lingering(APP), 2);
        assert_eq!(pair.stacks[A].stats().flows, 2);
        assert_eq!(pair.stacks[A].stats().linger_evicted, extra);
        for (number, (_, b)) in ends.iter().enumerate() {
            let got = pair.read_to_end(B, *b);
            if (number as u64) < extra {
                assert_eq!(got, Err(TcpError::Reset));
            } else {
                assert_eq!(got, Ok(b"last words".to_vec()));
            }
            pair.stacks[B].tcp_close(pair.now, *b);
        }
        pair.run(Duration::from_secs(1));
        assert_eq!(pair.stacks[A].lingering(APP), 0);
        assert_eq!(pair.stacks[A].stats().flows, 0);
    }
}

/// Goal: who connects, writes and drops in a loop to a far end that never finishes has its limit, not the node.
#[test]
fn reject_a_loop_that_would_leave_every_connection_lingering() {
    let mut pair = Pair::new(2);
    limit(&mut pair, A, u32::MAX, 8);
    let listener = pair.listen(B, "10.0.0.2:80");
    for _ in 0..500 {
        let a = pair.connect(A, "10.0.0.2:80");
        pair.accept(B, listener);
        pair.connected(A, a).unwrap();
        write_and_close(&mut pair, a);
        assert!(pair.stacks[A].stats().flows <= 8);
    }
    assert_eq!(pair.stacks[A].stats().linger_evicted, 492);
}

/// Goal: far ends that never finish cost others nothing: of 1,000 short connections a second beside them each
/// one is delivered. Method: the lingering ones of the silent are always older.
#[test]
fn silent_far_ends_cut_nobody_else_off() {
    let mut pair = Pair::new(3);
    limit(&mut pair, A, u32::MAX, 16);
    let listener = pair.listen(B, "10.0.0.2:80");
    for round in 0..1_000 {
        let a = pair.connect(A, "10.0.0.2:80");
        let b = pair.accept(B, listener);
        pair.connected(A, a).unwrap();
        write_and_close(&mut pair, a);
        if round % 10 != 0 {
            assert_eq!(
                pair.read_to_end(B, b),
                Ok(b"last words".to_vec()),
                "{round}"
            );
            pair.stacks[B].tcp_close(pair.now, b);
        }
    }
    assert!(pair.now < Instant::from_secs(10), "{:?}", pair.now);
    assert_eq!(pair.stacks[A].lingering(APP), 16);
}

#[test]
fn reject_more_lingering_connections_of_a_scope_that_has_ended() {
    let mut pair = Pair::new(4);
    limit(&mut pair, A, u32::MAX, 2);
    let listener = pair.listen(B, "10.0.0.2:80");
    for _ in 0..5 {
        let a = pair.connect(A, "10.0.0.2:80");
        pair.accept(B, listener);
        pair.connected(A, a).unwrap();
    }
    pair.stacks[A].end_scope(pair.now, APP);
    assert_eq!(pair.stacks[A].stats().flows, 2);
    assert_eq!(pair.stacks[A].stats().linger_evicted, 3);
    pair.run(Duration::from_secs(61));
    assert_eq!(pair.stacks[A].stats().flows, 0);
}

/// Goal: what is aborted is gone at once, also where nobody lets the stack send in between.
#[test]
fn reject_aborted_connections_that_pile_up() {
    let mut pair = Pair::new(5);
    let listener = pair.listen(B, "10.0.0.2:80");
    let ids: Vec<_> = (0..10)
        .map(|_| {
            let a = pair.connect(A, "10.0.0.2:80");
            (a, pair.accept(B, listener))
        })
        .collect();
    for (a, _) in &ids {
        pair.stacks[A].tcp_abort(pair.now, *a);
    }
    assert_eq!(pair.stacks[A].stats().flows, 0);
    assert_eq!(pair.stacks[A].lingering(APP), 0);
    for (_, b) in &ids {
        assert_eq!(pair.read(B, *b), Err(TcpError::Reset));
    }
}

/// Goal: of all listeners of a scope together no more than the limit wait; one more gets in when there is room,
/// because the far end tries again.
#[test]
fn reject_one_more_waiting_connection_than_the_scope_may_have() {
    let mut pair = Pair::new(6);
    limit(&mut pair, B, 2, u32::MAX);
    let first = pair.listen(B, "10.0.0.2:80");
    let second = pair.listen(B, "10.0.0.2:81");
    pair.connect(A, "10.0.0.2:80");
    pair.connect(A, "10.0.0.2:81");
    pair.run(Duration::from_millis(100));
    assert_eq!(pair.stacks[B].waiting(APP), 2);
    assert_eq!(pair.stacks[B].stats().dropped_backlog, 0);
    let third = pair.connect(A, "10.0.0.2:81");
    pair.run(Duration::from_secs(5));
    assert_eq!(pair.stacks[B].waiting(APP), 2);
    assert_eq!(pair.stacks[B].stats().flows, 2);
    assert!(pair.stacks[B].stats().dropped_backlog > 0);
    assert!(pair.stacks[A].poll_connected(third, idle()).is_pending());
    pair.accept(B, first);
    assert_eq!(pair.connected(A, third), Ok(()));
    pair.accept(B, second);
    pair.accept(B, second);
    assert_eq!(pair.stacks[B].waiting(APP), 0);
}

#[test]
fn what_a_closed_listener_had_waiting_waits_no_more() {
    let mut pair = Pair::new(7);
    let listener = pair.listen(B, "10.0.0.2:80");
    let a = pair.connect(A, "10.0.0.2:80");
    pair.connected(A, a).unwrap();
    pair.run(Duration::from_millis(10));
    assert_eq!(pair.stacks[B].waiting(APP), 1);
    pair.stacks[B].listener_close(pair.now, listener);
    assert_eq!(pair.stacks[B].waiting(APP), 0);
    assert_eq!(pair.stacks[B].lingering(APP), 0);
    assert_eq!(pair.read(A, a), Err(TcpError::Reset));
}

/// Goal: connections that their far end resets while they wait make room, for who is in the same backlog too,
/// and are never handed out.
#[test]
fn reject_waiting_connections_that_were_reset() {
    let mut pair = Pair::new(8);
    limit(&mut pair, B, 2, u32::MAX);
    let listener = pair.listen(B, "10.0.0.2:80");
    let ids: Vec<_> = (0..2).map(|_| pair.connect(A, "10.0.0.2:80")).collect();
    pair.run(Duration::from_millis(100));
    assert_eq!(pair.stacks[B].waiting(APP), 2);
    pair.stacks[A].tcp_abort(pair.now, ids[0]);
    pair.run(Duration::from_millis(10));
    assert_eq!(pair.stacks[B].waiting(APP), 1);
    assert_eq!(pair.stacks[B].lingering(APP), 0);
    assert_eq!(pair.stacks[B].stats().flows, 1);
    let local = |pair: &Pair, id| pair.stacks[A].tcp_addresses(id).map(|(local, _)| local);
    let (second, third) = (ids[1], pair.connect(A, "10.0.0.2:80"));
    for wanted in [second, third] {
        let accepted = pair.accept(B, listener);
        let (_, remote) = pair.stacks[B].tcp_addresses(accepted).unwrap();
        assert_eq!(Some(remote), local(&pair, wanted));
    }
    assert_eq!(pair.stacks[B].waiting(APP), 0);
}

/// Goal: a scope that may not accept leaves its connections waiting, and hears when it may.
#[test]
fn reject_accepting_while_the_scope_may_not() {
    let mut pair = Pair::new(9);
    let closed = ScopeLimits {
        accepting: false,
        ..ScopeLimits::NONE
    };
    pair.stacks[B].limit_scope(APP, closed);
    let listener = pair.listen(B, "10.0.0.2:80");
    let a = pair.connect(A, "10.0.0.2:80");
    pair.connected(A, a).unwrap();
    pair.run(Duration::from_millis(10));
    let (count, waker) = Count::new();
    let polled = pair.stacks[B].poll_accept(pair.now, listener, &waker);
    assert_eq!(polled, Poll::Pending);
    assert_eq!((count.get(), pair.stacks[B].waiting(APP)), (0, 1));
    pair.stacks[B].limit_scope(APP, ScopeLimits::NONE);
    assert_eq!(count.get(), 1);
    pair.accept(B, listener);
}
