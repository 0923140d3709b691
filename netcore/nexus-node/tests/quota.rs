//! An app's quota counts what the stack still holds for it: what waits to be accepted, and what lingers.

mod common;

use std::task::Poll;

use common::{CLIENT, CLIENT_MANIFEST, SERVER, SERVER_MANIFEST, World};
use nexus_node::{NetError, Quota, TcpListener, TcpSocket};
use nexus_types::{Duration, ErrorCode};

fn quota(sockets: u32) -> Quota {
    Quota {
        sockets,
        ..Quota::default()
    }
}

/// The client with a quota of its own, against a server that listens.
fn client_with(quota: Quota) -> (World, TcpListener) {
    let mut world = World::new();
    let now = world.now;
    world.mesh.node_mut(world.a).end(now, CLIENT);
    world.admit(world.a, CLIENT, CLIENT_MANIFEST, quota);
    let listener = world.listen("0.0.0.0:80").unwrap();
    (world, listener)
}

fn server_with(quota: Quota) -> (World, TcpListener) {
    let mut world = World::new();
    let now = world.now;
    world.mesh.node_mut(world.b).end(now, SERVER);
    world.admit(world.b, SERVER, SERVER_MANIFEST, quota);
    let listener = world.listen("0.0.0.0:80").unwrap();
    (world, listener)
}

fn close(world: &mut World, socket: TcpSocket) {
    let now = world.now;
    world.mesh.node_mut(world.a).tcp_close(now, socket);
    world.settle();
}

fn accepted(world: &mut World, listener: TcpListener) -> TcpSocket {
    let Poll::Ready(Ok(socket)) = world.accept(listener) else {
        panic!("nothing to accept")
    };
    socket
}

/// Goal: who connects, writes and drops in a loop, to a far end that never finishes, has as many lingering
/// connections as it may have sockets, while it runs and after it. Method: the stack's own count.
#[test]
fn reject_a_loop_that_would_fill_the_node_with_lingering_connections() {
    let (mut world, listener) = client_with(quota(3));
    for _ in 0..50 {
        let client = world.connect("10.0.0.2:80").unwrap();
        accepted(&mut world, listener);
        assert_eq!(world.write(world.a, client, b"x"), Poll::Ready(Ok(1)));
        close(&mut world, client);
        assert!(world.mesh.node(world.a).stack().stats().flows <= 3);
    }
    let now = world.now;
    for _ in 0..3 {
        world.connect("10.0.0.2:80").unwrap();
        accepted(&mut world, listener);
    }
    assert_eq!(
        world.mesh.node(world.a).stack().stats().flows,
        6,
        "held and lingering are counted apart"
    );
    world.mesh.node_mut(world.a).end(now, CLIENT);
    world.settle();
    assert_eq!(world.mesh.node(world.a).stack().stats().flows, 3);
    world.pass(Duration::from_secs(61));
    assert_eq!(world.mesh.node(world.a).stack().stats().flows, 0);
}

#[test]
fn buffers_of_lingering_connections_are_bounded_too() {
    let (mut world, listener) = client_with(Quota {
        sockets: 100,
        bytes_in_flight: 256 << 10,
    });
    for _ in 0..5 {
        let client = world.connect("10.0.0.2:80").unwrap();
        accepted(&mut world, listener);
        close(&mut world, client);
    }
    assert_eq!(world.mesh.node(world.a).stack().stats().flows, 2);
}

/// Goal: with a single socket, each connection is closed and the next one made at once, and nothing is lost as
/// long as the far end takes part.
#[test]
fn one_socket_after_the_other_loses_nothing() {
    let (mut world, listener) = client_with(quota(1));
    for _ in 0..20 {
        let client = world.connect("10.0.0.2:80").unwrap();
        let server = accepted(&mut world, listener);
        assert_eq!(
            world.write(world.a, client, &[7; 9_000]),
            Poll::Ready(Ok(9_000))
        );
        close(&mut world, client);
        assert_eq!(world.read(world.b, server), Poll::Ready(Ok(vec![7; 9_000])));
        let now = world.now;
        world.mesh.node_mut(world.b).tcp_close(now, server);
        world.settle();
    }
}

/// Goal: strangers that fill a server's backlog take nothing that is its own: as many as half its sockets wait,
/// the others try again, and the server still opens all its sockets.
#[test]
fn reject_waiting_connections_over_their_share() {
    let (mut world, everywhere) = server_with(quota(4));
    let now = world.now;
    world.mesh.node_mut(world.b).listener_close(now, everywhere);
    let listener = world.listen("10.0.0.2:80").unwrap();
    let clients: Vec<TcpSocket> = (0..3)
        .map(|_| world.connect("10.0.0.2:80").unwrap())
        .collect();
    world.settle();
    let connected = |world: &mut World| -> Vec<bool> {
        clients
            .iter()
            .map(|client| world.connected(*client) == Poll::Ready(Ok(())))
            .collect()
    };
    assert_eq!(connected(&mut world), [true, true, false]);
    assert_eq!(world.mesh.node(world.b).stack().stats().flows, 2);
    let own: Vec<TcpListener> = ["127.0.0.1:80", "127.0.0.2:80", "127.0.0.3:80"]
        .map(|local| world.listen(local).unwrap())
        .into();
    let over: NetError = world.listen("127.0.0.4:80").unwrap_err();
    assert_eq!(over.code, ErrorCode::NoCapacity);

    // Without room they go on waiting, and accepting one makes room for who tries again.
    assert!(world.accept(listener).is_pending());
    let now = world.now;
    world.mesh.node_mut(world.b).listener_close(now, own[0]);
    let first = accepted(&mut world, listener);
    assert!(world.accept(listener).is_pending());
    assert_eq!(world.mesh.node(world.b).usage(SERVER).sockets, 4);
    world.pass(Duration::from_secs(10));
    assert_eq!(connected(&mut world), [true, true, true]);
    let now = world.now;
    world.mesh.node_mut(world.b).tcp_close(now, first);
    accepted(&mut world, listener);
    assert_eq!(world.mesh.node(world.b).usage(SERVER).sockets, 4);
}

#[test]
fn waiting_for_a_connection_takes_no_socket() {
    let (mut world, listener) = server_with(quota(2));
    assert!(world.accept(listener).is_pending());
    let usage = world.mesh.node(world.b).usage(SERVER);
    assert_eq!((usage.sockets, usage.sockets_peak), (1, 1));
}
