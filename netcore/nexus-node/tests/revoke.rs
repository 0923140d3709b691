//! A new policy ends what it no longer allows at once, and nothing else.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Poll, Wake, Waker};

use common::{CLIENT, SERVER, SERVER_POLICY, World, forbid};
use nexus_node::{Event, NetError};
use nexus_types::{Duration, ErrorCode, InstanceId, Reason};

#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn revoked<T: std::fmt::Debug>(polled: Poll<Result<T, NetError>>) {
    let Poll::Ready(Err(error)) = polled else {
        panic!("not ended: {polled:?}")
    };
    assert_eq!(
        (error.code, error.reason),
        (ErrorCode::Denied, Reason::Revoked.as_str())
    );
}

fn ended(world: &mut World) -> Vec<(InstanceId, String)> {
    let mut ended = Vec::new();
    while let Some((_, event)) = world.mesh.poll_event() {
        let Event::Denied { instance, denial } = event else {
            panic!("nothing is let pass")
        };
        assert_eq!(denial.reason, Reason::Revoked);
        ended.push((instance, denial.target.full()));
    }
    ended
}

/// Goal: who waits in `read` is told at once, the far end too, and the place is free again. Method: nobody calls
/// anything after the policy is set but the mesh's own step.
#[test]
fn a_connection_that_waits_is_ended_without_a_call() {
    let mut world = World::new();
    let (client, server) = world.pair();
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(woken.clone());
    let now = world.now;
    let node = world.mesh.node_mut(world.a);
    assert!(node.poll_read_vec(now, client, 100, &waker).is_pending());
    world.set_policy(world.a, &forbid("network.tcp.connect", "10.0.0.2:80"));
    world.settle();
    assert_eq!(woken.0.load(Ordering::Relaxed), 1);
    assert_eq!(ended(&mut world), [(CLIENT, "10.0.0.2:80".to_owned())]);
    let usage = world.mesh.node(world.a).usage(CLIENT);
    assert_eq!((usage.sockets, usage.bytes_in_flight), (0, 0));
    let Poll::Ready(Err(error)) = world.read(world.b, server) else {
        panic!("the far end was not told")
    };
    assert_eq!(error.code, ErrorCode::Reset);
    // However often it is asked; and closing it gives nothing back twice.
    for _ in 0..2 {
        revoked(world.read(world.a, client));
        revoked(world.write(world.a, client, b"x"));
    }
    let node = world.mesh.node_mut(world.a);
    node.tcp_close(now, client);
    assert_eq!(node.usage(CLIENT).sockets, 0);
    assert!(ended(&mut world).is_empty());
}

/// Goal: a connection that is still being made, a listener and its queue, and sockets of UDP end as well.
#[test]
fn whatever_is_open_is_ended() {
    let mut world = World::new();
    let listener = world.listen("0.0.0.0:80").unwrap();
    let bound = world.bind("0.0.0.0:53");
    let queued = world.connect("10.0.0.2:80").unwrap();
    let sender = world.open_udp().unwrap();
    let remote = "10.0.0.2:53".parse().unwrap();
    world.send(world.a, sender, b"x", remote).unwrap();
    assert!(world.receive(world.b, bound).is_ready());
    world.set_policy(world.b, "");
    let nothing_to_send =
        "[[rule]]\nid = \"no\"\ncapability = \"network.udp.send\"\nverdict = \"forbid\"\n";
    world.set_policy(world.a, nothing_to_send);
    world.settle();
    let mut told = ended(&mut world);
    told.sort();
    assert_eq!(
        told,
        [
            (CLIENT, "anywhere".to_owned()),
            (SERVER, "0.0.0.0:53".to_owned()),
            (SERVER, "0.0.0.0:80".to_owned()),
        ]
    );
    revoked(world.accept(listener));
    revoked(world.receive(world.b, bound));
    revoked(world.receive(world.a, sender));
    let Poll::Ready(Err(error)) = world.read(world.a, queued) else {
        panic!("what waited to be accepted was not ended")
    };
    assert_eq!(error.code, ErrorCode::Reset);
    assert_eq!(world.mesh.node(world.b).usage(SERVER).sockets, 0);
}

/// Goal: what the new policy allows goes on, without a gap in its bytes, however often it is set.
#[test]
fn what_is_still_allowed_goes_on() {
    let mut world = World::new();
    let (client, server) = world.pair();
    for round in 0..3 {
        world.set_policy(world.a, &forbid("network.tcp.connect", "10.0.0.9:80"));
        world.set_policy(world.b, SERVER_POLICY);
        world.settle();
        let text = format!("round {round}").into_bytes();
        assert_eq!(world.write(world.a, client, &text), Poll::Ready(Ok(7)));
        assert_eq!(world.read(world.b, server), Poll::Ready(Ok(text)));
    }
    assert!(ended(&mut world).is_empty());
}

/// Goal: a rule that ends by its time ends what it let, at that time. Method: time passes, nobody calls.
#[test]
fn what_a_rule_let_ends_with_it() {
    let mut world = World::new();
    let expiring = SERVER_POLICY.replacen(
        "verdict = \"allow\"",
        "verdict = \"allow\"\nexpires = \"1970-01-01T00:01:00Z\"",
        1,
    );
    world.set_policy(world.b, &expiring);
    let (_client, server) = world.pair();
    world.pass(Duration::from_secs(59));
    assert!(world.read(world.b, server).is_pending());
    world.pass(Duration::from_secs(2));
    revoked(world.read(world.b, server));
    // The connection and its listener.
    assert_eq!(ended(&mut world).len(), 2);
}

/// Goal: what an app wrote and closed, or ended with, is delivered as long as its target is allowed, and no longer.
/// Method: a server that does not read until it is over; then a policy that is about its target, and one that is not.
#[test]
fn what_lingers_ends_with_what_allowed_it() {
    for (ends, forbidden) in [(false, true), (true, true), (false, false), (true, false)] {
        let mut world = World::new();
        let (client, server) = world.pair();
        let mut written = 0;
        while let Poll::Ready(Ok(count)) = world.write(world.a, client, &[7; 10_000]) {
            written += count;
        }
        let now = world.now;
        let node = world.mesh.node_mut(world.a);
        if ends {
            node.end(now, CLIENT);
        } else {
            node.tcp_close(now, client);
        }
        world.settle();
        let to = if forbidden {
            "10.0.0.2:80"
        } else {
            "10.0.0.3:80"
        };
        world.set_policy(world.a, &forbid("network.tcp.connect", to));
        world.settle();
        assert_eq!(ended(&mut world).len(), usize::from(forbidden));
        let mut read = 0;
        let error = loop {
            match world.read(world.b, server) {
                Poll::Ready(Ok(bytes)) if bytes.is_empty() => break None,
                Poll::Ready(Ok(bytes)) => read += bytes.len(),
                Poll::Ready(Err(error)) => break Some(error.code),
                Poll::Pending => panic!("neither more nor an end"),
            }
        };
        if forbidden {
            assert_eq!(error, Some(ErrorCode::Reset));
        } else {
            assert_eq!((error, read), (None, written));
        }
        // Nothing new for who has ended, whatever it has left.
        if ends {
            let act = nexus_policy::Act::Connect {
                remote: "10.0.0.2:80".parse().unwrap(),
                name: None,
            };
            let node = world.mesh.node_mut(world.a);
            assert!(node.permit(now, CLIENT, &act).is_err());
        }
    }
}
