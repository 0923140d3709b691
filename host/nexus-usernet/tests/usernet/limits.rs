//! Every bound, at it and over it.

use std::net::{TcpListener, TcpStream, UdpSocket};
use std::task::Poll;

use nexus_stack::{TcpError, UdpError};
use nexus_usernet::Config;

use crate::link::{Link, config, through_host};

#[test]
fn connections_at_and_over_the_limit() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = through_host(listener.local_addr().unwrap());
    let mut config = config();
    config.limits.flows = 3;
    let mut link = Link::new(config);
    let ids: Vec<_> = (0..3).map(|_| link.connect(address).unwrap()).collect();
    assert_eq!(link.connect(address), Err(TcpError::Unreachable));
    assert_eq!(link.net.stats().refused_limit, 1);
    let now = link.now();
    link.node.tcp_abort(now, ids[0]);
    link.step();
    link.connect(address).unwrap();
}

#[test]
fn udp_flows_at_and_over_the_limit() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = through_host(server.local_addr().unwrap());
    let mut config = config();
    config.limits.udp_flows = 2;
    let mut link = Link::new(config);
    for _ in 0..2 {
        let id = link.bind_udp(to, 0);
        link.send(id, b"at", to);
        server.recv_from(&mut [0; 9]).unwrap();
    }
    let id = link.bind_udp(to, 0);
    link.node.udp_connect(id, Some(to)).unwrap();
    link.send(id, b"over", to);
    assert_eq!(link.receive(id), Err(UdpError::Unreachable));
    assert_eq!(link.net.stats().refused_limit, 1);
}

/// Goal: clients of all published ports together get half of the sockets, and the node dials with the others
/// while more clients wait. Method: two ports, so that the bound is not one port's own.
#[test]
fn clients_over_half_the_limit_wait_in_the_kernel() {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let outside = through_host(server.local_addr().unwrap());
    let mut config = Config {
        publish: vec!["0:80".parse().unwrap(), "0:81".parse().unwrap()],
        ..config()
    };
    config.limits.flows = 4;
    let mut link = Link::new(config);
    let at = |link: &Link, number: usize| link.net.published()[number].host;
    let (one, other) = (at(&link, 0), at(&link, 1));
    let listeners = [(80, one), (81, other)].map(|(port, at)| link.listen(port, at.ip()));
    let clients = [one, other].map(|at| TcpStream::connect(at).unwrap());
    let first = link.accept(listeners[0]);
    let _second = link.accept(listeners[1]);
    let third = TcpStream::connect(one).unwrap();
    for _ in 0..2 {
        link.connect(outside).unwrap();
    }
    assert!(link.net.stats().refused_limit > 0, "the third waits");
    assert_eq!(link.connect(outside), Err(TcpError::Unreachable));
    assert_eq!(link.net.stats().tcp_flows, 4);
    let now = link.now();
    link.node.tcp_abort(now, first);
    let _third = link.accept(listeners[0]);
    assert_eq!(link.net.stats().tcp_flows, 4);
    drop((clients, third));
    link.until(|_, _, _| Poll::Ready(()));
}

#[test]
fn one_socket_is_for_clients_too() {
    let mut config = Config {
        publish: vec!["0:80".parse().unwrap()],
        ..config()
    };
    config.limits.flows = 1;
    let mut link = Link::new(config);
    let at = link.net.published()[0].host;
    let listener = link.listen(80, at.ip());
    let _client = TcpStream::connect(at).unwrap();
    link.accept(listener);
}

#[test]
fn udp_clients_at_and_over_the_limit() {
    let mut config = Config {
        publish: vec!["0:53/udp".parse().unwrap()],
        ..config()
    };
    config.limits.udp_flows = 2;
    let mut link = Link::new(config);
    let at = link.net.published()[0].host;
    let server = link.bind_udp(at, 53);
    let clients = [(); 3].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    for client in &clients {
        client.send_to(b"hello", at).unwrap();
    }
    for _ in 0..2 {
        link.receive(server).unwrap();
    }
    link.until(|_, _, _| Poll::Ready(()));
    assert_eq!(link.net.stats().udp_clients, 2);
    assert_eq!(link.net.stats().refused_limit, 1);
}

#[test]
fn a_flood_of_datagrams_does_not_hold_the_step() {
    let mut config = config();
    config.publish = vec!["0:53/udp".parse().unwrap()];
    let mut link = Link::new(config);
    let at = link.net.published()[0].host;
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..64 {
        client.send_to(b"flood", at).unwrap();
    }
    // Whatever waits in the kernel, a series of calls ends after one turn's worth.
    let mut frames = 0;
    let now = link.now();
    while let Some(frame) = link.net.poll_transmit(now) {
        frames += 1;
        link.net.recycle(frame);
    }
    assert_eq!(frames, 16);
    assert!(link.net.poll_timeout() <= Some(now), "there is more");
    // A host that ends does not wait for what others send.
    assert_eq!(link.net.undelivered(), 0);
}
