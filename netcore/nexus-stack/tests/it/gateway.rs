//! Gateway mode: B is every host there is, and decides what becomes of what A dials.

use std::task::Poll;
use std::time::Duration;

use nexus_stack::{
    Config, Invitation, InvitationError, Refusal, Stack, TcpError, TcpOptions, UdpError,
};
use nexus_types::{Instant, Seed, Transport};

use crate::pair::{A, B, Link, Pair, address, config, idle};

fn pair(change: impl Fn(&mut Config)) -> Pair {
    let mut pair = Pair::with(1, Link::CLEAN, &change);
    let mut gateway = config(B);
    gateway.any_address = true;
    change(&mut gateway);
    pair.stacks[B] =
        Stack::new(gateway, Instant::ZERO, Seed::from_number(2)).expect("a sound configuration");
    pair
}

fn invitation(pair: &mut Pair) -> Invitation {
    pair.until(Duration::from_secs(1), |pair| {
        pair.stacks[B].poll_invitation(idle())
    })
}

#[test]
fn what_is_dialled_surfaces_and_is_accepted() {
    for remote in ["93.184.216.34:443", "[2001:db8::5]:443", "10.0.0.2:80"] {
        let mut pair = pair(|_| {});
        let a = pair.connect(A, remote);
        let invitation = invitation(&mut pair);
        assert_eq!(invitation.local(), address(remote));
        assert_eq!(
            invitation.remote(),
            pair.stacks[A].tcp_addresses(a).expect("open").0
        );
        // Nothing is answered before the decision, however long it takes.
        pair.run(Duration::from_secs(20));
        assert!(pair.stacks[A].poll_connected(a, idle()).is_pending());
        assert!(
            pair.stacks[B].poll_invitation(idle()).is_pending(),
            "asked once"
        );
        let b = pair.stacks[B]
            .accept(pair.now, invitation, &TcpOptions::default())
            .expect("room");
        pair.connected(A, a).expect("accepted");
        pair.write_all(A, a, b"hello");
        assert_eq!(pair.read(B, b).expect("open"), b"hello");
        pair.write_all(B, b, b"world");
        pair.stacks[B].tcp_close(pair.now, b);
        assert_eq!(pair.read_to_end(A, a).expect("open"), b"world");
    }
}

#[test]
fn what_is_written_before_the_handshake_is_done_waits() {
    let mut pair = pair(|_| {});
    let a = pair.connect(A, "192.0.2.1:25");
    let invitation = invitation(&mut pair);
    let b = pair.stacks[B]
        .accept(pair.now, invitation, &TcpOptions::default())
        .expect("room");
    assert!(
        pair.stacks[B]
            .poll_write(pair.now, b, b"220 hi", idle())
            .is_pending()
    );
    pair.write_all(B, b, b"220 hi");
    assert_eq!(pair.read(A, a).expect("open"), b"220 hi");
}

#[test]
fn refusals_say_what_they_are_told_to() {
    for remote in ["192.0.2.1:80", "[2001:db8::5]:80"] {
        for (how, error) in [
            (Refusal::Reset, TcpError::Refused),
            (Refusal::PortUnreachable, TcpError::Refused),
            (Refusal::HostUnreachable, TcpError::Unreachable),
            (Refusal::Prohibited, TcpError::Unreachable),
            (Refusal::Silent, TcpError::TimedOut),
        ] {
            let mut pair = pair(|_| {});
            let a = pair.connect(A, remote);
            let first = invitation(&mut pair);
            pair.stacks[B].refuse(pair.now, first, how);
            if how == Refusal::Silent {
                // The SYN comes again, and is an invitation again.
                let until = Duration::from_secs(80);
                let error = pair.until(until, |pair| {
                    if let Poll::Ready(again) = pair.stacks[B].poll_invitation(idle()) {
                        pair.stacks[B].refuse(pair.now, again, how);
                    }
                    pair.stacks[A].poll_connected(a, idle())
                });
                assert_eq!(error, Err(TcpError::TimedOut));
            } else {
                pair.run(Duration::from_millis(10));
                assert_eq!(pair.connected(A, a), Err(error), "{how:?} {remote}");
            }
            assert_eq!(pair.stacks[B].stats().half_open, 0);
        }
    }
}

#[test]
fn reject_an_invitation_whose_dialler_has_gone() {
    let mut pair = pair(|_| {});
    let first = pair.connect(A, "192.0.2.1:80");
    let taken = invitation(&mut pair);
    // A gives up silently; its place is taken back after the time a connection may take.
    pair.stacks[A].tcp_abort(pair.now, first);
    pair.run(Duration::from_secs(80));
    assert_eq!(pair.stacks[B].stats().half_open, 0);
    assert_eq!(
        pair.stacks[B].accept(pair.now, taken, &TcpOptions::default()),
        Err(InvitationError::Gone)
    );
}

#[test]
fn invitations_at_and_over_the_limit() {
    let mut pair = pair(|config| config.limits.invitations = 3);
    let ids: Vec<_> = (0..4).map(|_| pair.connect(A, "192.0.2.1:80")).collect();
    pair.run(Duration::from_millis(100));
    assert_eq!(pair.stacks[B].stats().half_open, 3);
    assert_eq!(pair.stacks[B].stats().dropped_backlog, 1);
    // Once one is answered the fourth, which tries again, surfaces too.
    for id in ids {
        let invitation = pair.until(Duration::from_secs(5), |pair| {
            pair.stacks[B].poll_invitation(idle())
        });
        pair.stacks[B]
            .accept(pair.now, invitation, &TcpOptions::default())
            .expect("room");
        let _ = id;
    }
    pair.run(Duration::from_secs(1));
    assert_eq!(pair.stacks[B].stats().flows, 4);
}

#[test]
fn reject_invitations_over_the_limit_of_flows() {
    let mut pair = pair(|config| config.limits.flows = 1);
    let a = pair.connect(A, "192.0.2.1:80");
    let first = invitation(&mut pair);
    let _b = pair.stacks[B]
        .accept(pair.now, first, &TcpOptions::default())
        .expect("room");
    pair.connected(A, a).expect("accepted");
    pair.stacks[A].tcp_abort(pair.now, a);
    pair.transmit();
    let _ = pair.connect(A, "192.0.2.1:80");
    let over = pair.until(Duration::from_secs(5), |pair| {
        pair.stacks[B].poll_invitation(idle())
    });
    assert_eq!(
        pair.stacks[B].accept(pair.now, over, &TcpOptions::default()),
        Err(InvitationError::TooManyFlows)
    );
}

#[test]
fn datagrams_to_anywhere_surface_and_are_answered() {
    for (any, to) in [
        ("0.0.0.0:0", "192.0.2.1:123"),
        ("[::]:0", "[2001:db8::5]:123"),
    ] {
        let mut pair = pair(|_| {});
        let a = pair.udp(A, any);
        pair.stacks[A]
            .udp_send(pair.now, a, b"what time is it?", address(to))
            .expect("room");
        let (from, dialled, data) = pair.until(Duration::from_secs(1), |pair| {
            pair.stacks[B].poll_datagram(idle(), |from, to, data| (from, to, data.to_vec()))
        });
        assert_eq!(
            (dialled, &data[..]),
            (address(to), &b"what time is it?"[..])
        );
        pair.stacks[B]
            .send_datagram(pair.now, dialled, from, b"late")
            .expect("room");
        assert_eq!(pair.receive(A, a), (address(to), b"late".to_vec()));
        for (how, error) in [
            (Refusal::Reset, UdpError::Refused),
            (Refusal::PortUnreachable, UdpError::Refused),
            (Refusal::HostUnreachable, UdpError::Unreachable),
            (Refusal::Prohibited, UdpError::Unreachable),
        ] {
            pair.stacks[B].send_unreachable(pair.now, from, dialled, Transport::Udp, how);
            let heard = pair.until(Duration::from_secs(1), |pair| {
                pair.stacks[A].poll_udp_recv(pair.now, a, idle(), |_, _| ())
            });
            assert_eq!(heard, Err(error), "{how:?}");
        }
    }
}

#[test]
fn datagrams_over_the_queue_are_dropped_and_counted() {
    let mut pair = pair(|config| config.limits.udp_queue_datagrams = 2);
    let a = pair.udp(A, "0.0.0.0:0");
    for _ in 0..20 {
        pair.stacks[A]
            .udp_send(pair.now, a, b"x", address("192.0.2.1:9"))
            .expect("room");
        pair.transmit();
    }
    pair.run(Duration::from_millis(10));
    assert_eq!(pair.stacks[B].stats().datagrams_in, 8);
    assert_eq!(pair.stacks[B].stats().dropped_udp_queue, 12);
}

/// The gateway dials in as somebody else: that is what a published port is.
#[test]
fn a_gateway_connects_in_anybodys_name() {
    let mut pair = pair(|_| {});
    let listener = pair.listen(A, "10.0.0.1:80");
    let b = pair.stacks[B]
        .tcp_connect(
            pair.now,
            nexus_stack::Scope(0),
            Some(address("203.0.113.9:0")),
            address("10.0.0.1:80"),
            &TcpOptions::default(),
        )
        .expect("any unicast address");
    let a = pair.accept(A, listener);
    pair.connected(B, b).expect("open");
    let (_, remote) = pair.stacks[A].tcp_addresses(a).expect("open");
    assert_eq!(remote.ip(), address("203.0.113.9:1").ip());
}
