//! TCP between two stacks: connecting, moving bytes, and every way to end.

use std::task::Poll;
use std::time::Duration;

use nexus_stack::{Config, ConnectError, ListenerClosed, TcpError, TcpOptions};
use nexus_types::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::pair::{A, APP, B, Count, Link, Pair, address, idle};

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|n| ((n * 31) >> 3) as u8).collect()
}

#[test]
fn bytes_arrive_both_ways_over_ipv4_and_ipv6() {
    for remote in ["10.0.0.2:80", "[fd00::2]:80"] {
        let mut pair = Pair::new(1);
        let (a, b, _) = pair.established(remote);
        let data = bytes(300_000);
        let mut received = Vec::new();
        let mut sent = 0;
        while received.len() < data.len() {
            if let Poll::Ready(queued) =
                pair.stacks[A].poll_write(pair.now, a, &data[sent..], idle())
            {
                sent += queued.expect("an open connection");
            }
            pair.run(Duration::from_millis(1));
            let mut buf = [0; 4_096];
            while let Poll::Ready(read) = pair.stacks[B].poll_read(pair.now, b, &mut buf, idle()) {
                received.extend_from_slice(&buf[..read.expect("an open connection")]);
            }
        }
        assert_eq!(received, data);
        pair.write_all(B, b, b"thanks");
        assert_eq!(pair.read(A, a).expect("an answer"), b"thanks");
        let (local, peer) = pair.stacks[A].tcp_addresses(a).expect("open");
        assert_eq!(peer, address(remote));
        assert!((49_152..).contains(&local.port()));
        assert_eq!(pair.stacks[B].tcp_addresses(b), Some((peer, local)));
    }
}

#[test]
fn bytes_are_read_and_written_in_place() {
    let mut pair = Pair::new(1);
    let (a, b, _) = pair.established("10.0.0.2:80");
    let written = pair.stacks[A].poll_write_with(pair.now, a, idle(), |room| {
        room[..5].copy_from_slice(b"hello");
        (5, "put")
    });
    assert_eq!(written, Poll::Ready(Ok("put")));
    pair.run(Duration::from_millis(50));
    let mut take = |count| {
        pair.stacks[B].poll_read_with(pair.now, b, idle(), |bytes| {
            (count, bytes[..count].to_vec())
        })
    };
    assert_eq!(take(2), Poll::Ready(Ok(Some(b"he".to_vec()))));
    assert_eq!(take(3), Poll::Ready(Ok(Some(b"llo".to_vec()))));
    assert_eq!(take(1), Poll::Pending);
}

#[test]
fn half_close_one_way_leaves_the_other_open() {
    for first in [A, B] {
        let mut pair = Pair::new(2);
        let (a, b, _) = pair.established("10.0.0.2:80");
        let ends = [a, b];
        let second = 1 - first;
        pair.write_all(first, ends[first], b"question");
        pair.stacks[first]
            .tcp_finish(pair.now, ends[first])
            .expect("open");
        assert_eq!(
            pair.stacks[first].poll_write(pair.now, ends[first], b"more", idle()),
            Poll::Ready(Err(TcpError::Finished))
        );
        assert_eq!(
            pair.read_to_end(second, ends[second]).expect("all of it"),
            b"question"
        );
        pair.write_all(second, ends[second], b"answer");
        pair.stacks[second]
            .tcp_finish(pair.now, ends[second])
            .expect("open");
        assert_eq!(
            pair.read_to_end(first, ends[first]).expect("all of it"),
            b"answer"
        );
        assert_eq!(pair.flushed(A, a), Ok(()));
        assert_eq!(pair.flushed(B, b), Ok(()));
        assert_eq!(pair.stacks[first].stats().time_wait, 1);
        for (stack, id) in [(A, a), (B, b)] {
            pair.stacks[stack].tcp_close(pair.now, id);
            assert_eq!(pair.stacks[stack].stats().flows, 0);
        }
    }
}

#[test]
fn finishing_before_the_handshake_is_done_still_finishes() {
    let mut pair = Pair::new(2);
    let listener = pair.listen(B, "10.0.0.2:80");
    let a = pair.connect(A, "10.0.0.2:80");
    pair.stacks[A].tcp_finish(pair.now, a).expect("open");
    let b = pair.accept(B, listener);
    assert_eq!(pair.read_to_end(B, b), Ok(Vec::new()));
    pair.write_all(B, b, b"still open this way");
    assert_eq!(pair.read(A, a).expect("open"), b"still open this way");
}

/// Unread data outlives the connection: TIME-WAIT ends, the bytes are still there.
#[test]
fn what_was_received_can_be_read_long_after_the_end() {
    let mut pair = Pair::new(2);
    let (a, b, _) = pair.established("10.0.0.2:80");
    pair.stacks[A].tcp_finish(pair.now, a).expect("open");
    pair.write_all(B, b, b"late reader");
    pair.stacks[B].tcp_finish(pair.now, b).expect("open");
    pair.run(Duration::from_secs(100));
    assert_eq!(pair.stacks[A].stats().time_wait, 0);
    assert_eq!(pair.read_to_end(A, a).expect("still there"), b"late reader");
}

#[test]
fn a_closed_handle_delivers_what_was_queued() {
    let mut pair = Pair::new(4);
    let (a, b, _) = pair.established("10.0.0.2:80");
    let data = bytes(60_000);
    pair.write_all(A, a, &data);
    pair.stacks[A].tcp_close(pair.now, a);
    assert_eq!(
        pair.stacks[A].poll_write(pair.now, a, b"x", idle()),
        Poll::Ready(Err(TcpError::NotFound))
    );
    assert_eq!(pair.read_to_end(B, b).expect("all of it"), data);
    pair.stacks[B].tcp_close(pair.now, b);
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.stacks[A].stats().flows, 0);
    assert_eq!(pair.stacks[B].stats().flows, 0);
    assert_eq!(pair.stacks[A].stats().time_wait, 1);
    pair.run(Duration::from_secs(30));
    assert_eq!(pair.stacks[A].stats().time_wait, 0);
    assert_eq!(pair.stacks[A].poll_timeout(), None);
    assert_eq!(pair.stacks[B].poll_timeout(), None);
}

/// A closed handle takes and drops what still comes, so that the far end reaches its own end; once all
/// of ours is through, more of theirs is answered by a reset.
#[test]
fn data_for_a_closed_handle_is_dropped_and_then_reset() {
    let mut pair = Pair::new(4);
    let (a, b, _) = pair.established("10.0.0.2:80");
    pair.stacks[A].tcp_close(pair.now, a);
    assert_eq!(pair.read_to_end(B, b), Ok(Vec::new()));
    pair.write_all(B, b, b"anybody there?");
    pair.run(Duration::from_secs(1));
    assert_eq!(
        pair.stacks[B].poll_write(pair.now, b, b"x", idle()),
        Poll::Ready(Err(TcpError::Reset))
    );
    assert_eq!(pair.stacks[A].stats().flows, 0);
}

#[test]
fn an_abort_resets_the_far_end_and_wakes_all_who_wait() {
    let mut pair = Pair::new(5);
    let (a, b, _) = pair.established("10.0.0.2:80");
    let (reads, reader) = Count::new();
    let (other_reads, other_reader) = Count::new();
    let (ends, ended) = Count::new();
    let mut buf = [0; 10];
    for waker in [&reader, &other_reader] {
        assert!(
            pair.stacks[B]
                .poll_read(pair.now, b, &mut buf, waker)
                .is_pending()
        );
    }
    assert!(pair.stacks[B].poll_ended(b, &ended).is_pending());
    pair.stacks[A].tcp_abort(pair.now, a);
    pair.run(Duration::from_secs(1));
    assert_eq!((reads.get(), other_reads.get(), ends.get()), (1, 1, 1));
    assert_eq!(pair.read(B, b), Err(TcpError::Reset));
    assert_eq!(
        pair.stacks[B].poll_ended(b, idle()),
        Poll::Ready(TcpError::Reset)
    );
    assert_eq!(pair.flushed(B, b), Err(TcpError::Reset));
    assert_eq!(pair.stacks[A].stats().flows, 0);
}

#[test]
fn reject_a_closed_port_as_refused() {
    let mut pair = Pair::new(3);
    for remote in ["10.0.0.2:81", "[fd00::2]:81"] {
        let a = pair.connect(A, remote);
        assert_eq!(pair.connected(A, a), Err(TcpError::Refused));
        assert_eq!(pair.read(A, a), Err(TcpError::Refused));
    }
}

#[test]
fn a_full_receiver_closes_its_window_and_opens_it_again() {
    let mut pair = Pair::new(6);
    let (a, b, _) = pair.established("10.0.0.2:80");
    let data = bytes(200_000);
    let mut sent = 0;
    // Nobody reads for ten minutes: the sender probes, and does not give up on a host that answers.
    for _ in 0..600 {
        while let Poll::Ready(queued) =
            pair.stacks[A].poll_write(pair.now, a, &data[sent..], idle())
        {
            sent += queued.expect("open");
        }
        pair.run(Duration::from_secs(1));
    }
    assert_eq!(sent, 128 << 10, "one buffer at each end");
    assert_eq!(pair.stacks[B].tcp_readable(b), 64 << 10);
    assert_eq!(pair.stacks[A].tcp_writable(a), 0);
    let mut received = Vec::new();
    while received.len() < data.len() {
        received.extend(pair.read(B, b).expect("open"));
        if let Poll::Ready(queued) = pair.stacks[A].poll_write(pair.now, a, &data[sent..], idle()) {
            sent += queued.expect("open");
        }
    }
    assert_eq!(received, data);
}

#[test]
fn two_full_ends_go_on_as_soon_as_one_reads() {
    // Found by an echo over the user NIC: A writes into an empty send buffer while B has no room,
    // which makes a probe; if that counted as sent, B would not take A's window update later.
    let mut pair = Pair::new(2);
    let (a, b, _) = pair.established("10.0.0.2:80");
    let data = bytes(64 << 10);
    pair.write_all(A, a, &data);
    pair.run(Duration::from_millis(500));
    assert_eq!(pair.stacks[B].tcp_readable(b), data.len(), "B has no room");
    pair.write_all(A, a, &data);
    pair.write_all(B, b, &data);
    pair.run(Duration::from_millis(500));
    assert_eq!(pair.stacks[A].tcp_readable(a), data.len(), "nor has A");
    pair.write_all(B, b, &data);
    pair.run(Duration::from_millis(500));
    assert_eq!(pair.stacks[B].tcp_writable(b), 0, "B waits for A");

    let mut buf = vec![0; data.len()];
    let read = pair.stacks[A].poll_read(pair.now, a, &mut buf, idle());
    assert_eq!(read, Poll::Ready(Ok(data.len())));
    pair.run(Duration::from_millis(20));
    assert_ne!(pair.stacks[B].tcp_writable(b), 0, "B goes on");
}

#[test]
fn connections_complete_before_they_are_accepted() {
    let mut pair = Pair::new(7);
    let listener = pair.listen(B, "0.0.0.0:80");
    let a = pair.connect(A, "10.0.0.2:80");
    pair.connected(A, a).expect("nobody has accepted yet");
    pair.write_all(A, a, b"early");
    pair.stacks[A].tcp_close(pair.now, a);
    pair.run(Duration::from_secs(5));
    let b = pair.accept(B, listener);
    assert_eq!(pair.read_to_end(B, b).expect("kept"), b"early");
}

/// At the backlog all connect; over it the SYN is dropped and tried again, and gets in once there is room.
#[test]
fn a_backlog_at_and_over_its_limit() {
    let mut pair = Pair::new(8);
    let listener = pair.stacks[B]
        .tcp_listen(
            pair.now,
            APP,
            address("10.0.0.2:80"),
            3,
            &TcpOptions::default(),
        )
        .expect("free");
    let ids: Vec<_> = (0..3).map(|_| pair.connect(A, "10.0.0.2:80")).collect();
    for id in &ids {
        pair.connected(A, *id).expect("within the backlog");
    }
    let over = pair.connect(A, "10.0.0.2:80");
    pair.run(Duration::from_secs(2));
    assert!(pair.stacks[A].poll_connected(over, idle()).is_pending());
    assert!(pair.stacks[B].stats().dropped_backlog > 0);
    assert_eq!(pair.stacks[B].stats().flows, 3);
    pair.accept(B, listener);
    pair.connected(A, over).expect("there is room now");
}

#[test]
fn closing_a_listener_resets_what_nobody_accepted() {
    let mut pair = Pair::new(9);
    let listener = pair.listen(B, "10.0.0.2:80");
    let a = pair.connect(A, "10.0.0.2:80");
    pair.connected(A, a).expect("open");
    pair.run(Duration::from_secs(1));
    let (woken, waker) = Count::new();
    let accepted = pair.connect(A, "10.0.0.2:80");
    let kept = pair.accept(B, listener);
    pair.connected(A, accepted).expect("open");
    pair.run(Duration::from_secs(1));
    let _ = pair.accept(B, listener);
    assert!(
        pair.stacks[B]
            .poll_accept(pair.now, listener, &waker)
            .is_pending()
    );
    let waiting = pair.connect(A, "10.0.0.2:80");
    pair.connected(A, waiting).expect("open");
    pair.stacks[B].listener_close(pair.now, listener);
    assert!(woken.get() > 0);
    assert_eq!(
        pair.stacks[B].poll_accept(pair.now, listener, idle()),
        Poll::Ready(Err(ListenerClosed::Closed))
    );
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.read(A, waiting), Err(TcpError::Reset));
    assert!(pair.stacks[B].poll_ended(kept, idle()).is_pending());
    let late = pair.connect(A, "10.0.0.2:80");
    assert_eq!(pair.connected(A, late), Err(TcpError::Refused));
}

#[test]
fn an_ended_scope_takes_its_connections_along_and_no_others() {
    let mut pair = Pair::new(9);
    let (a, b, _) = pair.established("10.0.0.2:80");
    let other = nexus_stack::Scope(2);
    let kept = pair.stacks[A]
        .tcp_connect(
            pair.now,
            other,
            None,
            address("10.0.0.2:80"),
            &TcpOptions::default(),
        )
        .expect("room");
    pair.connected(A, kept).expect("open");
    pair.stacks[A].end_scope(pair.now, APP);
    assert_eq!(
        pair.stacks[A].stats().flows,
        1 + 1,
        "its end is still to go out"
    );
    // As when a process ends: closed, not reset.
    assert_eq!(pair.read_to_end(B, b), Ok(Vec::new()));
    pair.stacks[B].tcp_close(pair.now, b);
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.stacks[A].stats().flows, 1);
    assert_eq!(pair.read(A, a), Err(TcpError::NotFound));
    assert!(pair.stacks[A].poll_ended(kept, idle()).is_pending());
}

#[test]
fn reject_remotes_that_cannot_be_one() {
    let mut pair = Pair::new(10);
    let mut connect = |local: Option<&str>, remote: &str| {
        pair.stacks[A]
            .tcp_connect(
                pair.now,
                APP,
                local.map(address),
                address(remote),
                &TcpOptions::default(),
            )
            .map(|_| ())
    };
    for (remote, error) in [
        ("0.0.0.0:80", ConnectError::RemoteUnspecified),
        ("[::]:80", ConnectError::RemoteUnspecified),
        ("10.0.0.2:0", ConnectError::RemotePortZero),
        ("224.0.0.1:80", ConnectError::RemoteMulticast),
        ("[ff02::1]:80", ConnectError::RemoteMulticast),
        ("255.255.255.255:80", ConnectError::RemoteBroadcast),
        ("10.0.0.255:80", ConnectError::RemoteBroadcast),
        ("[::ffff:10.0.0.2]:80", ConnectError::RemoteMapped),
    ] {
        assert_eq!(connect(None, remote), Err(error), "{remote}");
    }
    for (local, remote, error) in [
        ("[fd00::1]:0", "10.0.0.2:80", ConnectError::FamilyMismatch),
        ("10.0.0.9:0", "10.0.0.2:80", ConnectError::LocalNotOurs),
        ("127.0.0.1:0", "10.0.0.2:80", ConnectError::LocalNotOurs),
        ("127.0.0.1:80", "127.0.0.1:80", ConnectError::RemoteIsLocal),
    ] {
        assert_eq!(connect(Some(local), remote), Err(error), "{local} {remote}");
    }
    assert_eq!(connect(Some("10.0.0.1:5000"), "10.0.0.2:80"), Ok(()));
    assert_eq!(
        connect(Some("10.0.0.1:5000"), "10.0.0.2:81"),
        Err(ConnectError::LocalInUse)
    );
}

#[test]
fn reject_connections_over_the_limit_of_flows() {
    let mut pair = Pair::with(11, Link::CLEAN, |config: &mut Config| {
        config.limits.flows = 2;
    });
    let (first, _, _) = pair.established("10.0.0.2:80");
    let _second = pair.connect(A, "10.0.0.2:80");
    let third = |pair: &mut Pair| {
        pair.stacks[A].tcp_connect(
            pair.now,
            APP,
            None,
            address("10.0.0.2:80"),
            &TcpOptions::default(),
        )
    };
    assert_eq!(third(&mut pair), Err(ConnectError::TooManyFlows));
    pair.stacks[A].tcp_abort(pair.now, first);
    pair.run(Duration::from_secs(1));
    assert!(third(&mut pair).is_ok());
}

/// A stale handle never reaches another one's connection, though the slot is used again.
#[test]
fn reject_stale_handles() {
    let mut pair = Pair::new(12);
    let (a, _, _) = pair.established("10.0.0.2:80");
    pair.stacks[A].tcp_abort(pair.now, a);
    pair.run(Duration::from_secs(1));
    let again = pair.connect(A, "10.0.0.2:80");
    pair.connected(A, again).expect("open");
    assert_ne!(a, again);
    let stack = &mut pair.stacks[A];
    let gone = TcpError::NotFound;
    let mut buf = [0; 4];
    assert_eq!(
        stack.poll_read(pair.now, a, &mut buf, idle()),
        Poll::Ready(Err(gone))
    );
    assert_eq!(
        stack.poll_write(pair.now, a, b"x", idle()),
        Poll::Ready(Err(gone))
    );
    assert_eq!(stack.tcp_finish(pair.now, a), Err(gone));
    assert_eq!(stack.tcp_addresses(a), None);
    assert_eq!(stack.tcp_readable(a) + stack.tcp_writable(a), 0);
    stack.tcp_close(pair.now, a);
    stack.tcp_abort(pair.now, a);
    assert!(stack.poll_ended(again, idle()).is_pending());
}

/// The same tuple again while the old connection is in TIME-WAIT: the new SYN is beyond what was
/// received, so it opens a new connection at once (RFC 6191, RFC 9293 section 3.6.1).
#[test]
fn time_wait_gives_way_to_a_new_syn() {
    let mut pair = Pair::new(13);
    let listener = pair.listen(B, "10.0.0.2:80");
    let local = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 6_000);
    for round in 0..3_u8 {
        let a = pair.stacks[A]
            .tcp_connect(
                pair.now,
                APP,
                Some(local),
                address("10.0.0.2:80"),
                &TcpOptions::default(),
            )
            .expect("the client is not the one in TIME-WAIT");
        let b = pair.accept(B, listener);
        pair.connected(A, a).expect("open");
        // The server closes first, so the server waits.
        pair.stacks[B].tcp_finish(pair.now, b).expect("open");
        assert_eq!(pair.read_to_end(A, a), Ok(Vec::new()));
        pair.write_all(A, a, &[round; 100]);
        pair.stacks[A].tcp_close(pair.now, a);
        assert_eq!(pair.read_to_end(B, b), Ok(vec![round; 100]));
        pair.stacks[B].tcp_close(pair.now, b);
        pair.run(Duration::from_millis(100));
        assert_eq!(pair.stacks[B].stats().time_wait, 1);
        assert_eq!(pair.stacks[A].stats().flows, 0);
    }
}

#[test]
fn ephemeral_ports_are_neither_in_order_nor_the_same_for_another_seed() {
    let ports = |seed| {
        let mut pair = Pair::new(seed);
        (0..50)
            .map(|_| {
                let id = pair.connect(A, "10.0.0.2:80");
                pair.stacks[A].tcp_addresses(id).expect("open").0.port()
            })
            .collect::<Vec<_>>()
    };
    let first = ports(1);
    assert!(first.iter().all(|port| *port >= 49_152));
    let steps = first.windows(2).filter(|pair| pair[1] == pair[0] + 1);
    assert!(steps.count() < 3);
    assert_eq!(first, ports(1), "the seed decides");
    assert_ne!(first, ports(2));
}

/// All 16,384 ephemeral ports towards one destination, then one more; another destination has them all again.
#[test]
fn reject_when_every_ephemeral_port_is_taken() {
    let mut pair = Pair::new(14);
    let mut connect = |remote: &str| {
        pair.stacks[A]
            .tcp_connect(pair.now, APP, None, address(remote), &TcpOptions::default())
            .map(|_| ())
    };
    for _ in 0..16_384 {
        assert_eq!(connect("10.0.0.2:80"), Ok(()));
    }
    assert_eq!(connect("10.0.0.2:80"), Err(ConnectError::NoPort));
    assert_eq!(connect("10.0.0.2:81"), Ok(()));
}

#[test]
fn a_link_local_remote_is_reached_from_a_link_local_address() {
    let link_local: Ipv6Addr = "fe80::1".parse().expect("an address");
    let mut pair = Pair::with(15, Link::CLEAN, |config| {
        config.addresses.push(crate::pair::interface("fe80::1", 64));
    });
    let id = pair.connect(A, "[fe80::77]:80");
    let (local, _) = pair.stacks[A].tcp_addresses(id).expect("open");
    assert_eq!(local.ip(), IpAddr::V6(link_local));
    let id = pair.connect(A, "[2001:db8::1]:80");
    let (local, _) = pair.stacks[A].tcp_addresses(id).expect("open");
    assert_eq!(local.ip().to_string(), "fd00::1");
}
