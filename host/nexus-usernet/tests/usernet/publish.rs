//! Published ports: clients of the kernel reach the node.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::task::Poll;

use nexus_types::{Duration, SocketAddr, Transport};
use nexus_usernet::{ADDRESSES, Config, Publish, UserNetError};

use crate::link::{Link, config, digest, pattern};

fn publishing(texts: &[&str]) -> Config {
    Config {
        publish: texts.iter().map(|text| text.parse().unwrap()).collect(),
        ..config()
    }
}

/// Where the kernel listens.
fn host(link: &Link, number: usize) -> SocketAddr {
    link.net.published()[number].host
}

#[test]
fn a_kernel_client_reaches_a_server_on_the_node() {
    let mut link = Link::new(publishing(&["0:80", "[::1]:0:80"]));
    for number in 0..2 {
        let at = host(&link, number);
        let listener = link.listen(80, at.ip());
        let thread = std::thread::spawn(move || {
            let mut socket = TcpStream::connect(at).unwrap();
            let data = pattern(4 << 20);
            let mut writer = socket.try_clone().unwrap();
            let copy = data.clone();
            let write = std::thread::spawn(move || {
                writer.write_all(&copy).unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            });
            let mut all = Vec::new();
            socket.read_to_end(&mut all).unwrap();
            write.join().unwrap();
            (digest(&all), digest(&data))
        });
        let id = link.accept(listener);
        let (_, remote) = link.node.tcp_addresses(id).unwrap();
        assert!(
            remote.ip() == ADDRESSES.clients.0 || remote.ip() == ADDRESSES.clients.1,
            "{remote}"
        );
        let mut held: Vec<u8> = Vec::new();
        let mut part = vec![0; 64 << 10];
        let mut ended = false;
        link.until(|node, now, waker| {
            loop {
                while !held.is_empty() {
                    match node.poll_write(now, id, &held, waker) {
                        Poll::Pending => return Poll::Pending,
                        Poll::Ready(bytes) => drop(held.drain(..bytes.unwrap())),
                    }
                }
                if ended {
                    node.tcp_finish(now, id).unwrap();
                    return Poll::Ready(());
                }
                match node.poll_read(now, id, &mut part, waker) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(0)) => ended = true,
                    Poll::Ready(bytes) => held.extend_from_slice(&part[..bytes.unwrap()]),
                }
            }
        });
        let (received, sent) = link.join(thread);
        assert_eq!(received, sent);
    }
}

#[test]
fn reject_a_client_when_nobody_listens_on_the_node() {
    let mut link = Link::new(publishing(&["0:80"]));
    let at = host(&link, 0);
    let thread = std::thread::spawn(move || {
        let mut socket = TcpStream::connect(at).unwrap();
        socket.read(&mut [0; 9]).map_err(|error| error.kind())
    });
    assert_eq!(link.join(thread), Err(ErrorKind::ConnectionReset));
    assert_eq!(link.net.stats().tcp_flows, 0);
}

#[test]
fn udp_clients_are_told_apart() {
    let mut link = Link::new(publishing(&["0:53/udp", "[::1]:0:53/udp"]));
    for number in 0..2 {
        let at = host(&link, number);
        let server = link.bind_udp(at, 53);
        let local = SocketAddr::new(at.ip(), 0);
        let clients = [(); 3].map(|()| UdpSocket::bind(local).unwrap());
        for (number, client) in clients.iter().enumerate() {
            client.send_to(&[number as u8; 3], at).unwrap();
        }
        let mut seen = Vec::new();
        for _ in 0..3 {
            let (from, data) = link.receive(server).unwrap();
            link.send(server, &data, from);
            seen.push(from);
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 3);
        for (number, client) in clients.iter().enumerate() {
            let mut data = [0; 9];
            let (bytes, from) = client.recv_from(&mut data).unwrap();
            assert_eq!((&data[..bytes], from), (&[number as u8; 3][..], at));
        }
    }
    assert_eq!(link.net.stats().udp_clients, 6);
    link.skip(Duration::from_secs(61));
    assert_eq!(link.net.stats().udp_clients, 0);
}

#[test]
fn reject_an_answer_from_another_port_of_the_node() {
    let mut link = Link::new(publishing(&["0:53/udp"]));
    let at = host(&link, 0);
    let server = link.bind_udp(at, 53);
    let other = link.bind_udp(at, 54);
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.send_to(b"question", at).unwrap();
    let (from, _) = link.receive(server).unwrap();
    link.send(other, b"forged", from);
    link.send(server, b"true", from);
    let mut data = [0; 9];
    assert_eq!(client.recv(&mut data).unwrap(), 4);
    assert_eq!(&data[..4], b"true");
}

#[test]
fn reject_a_port_in_use() {
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    for (taken, transport) in [
        (tcp.local_addr().unwrap(), Transport::Tcp),
        (udp.local_addr().unwrap(), Transport::Udp),
    ] {
        let publish: Publish = format!("{}:80/{transport}", taken.port()).parse().unwrap();
        let config = Config {
            publish: vec![publish],
            ..config()
        };
        let error = Link::try_new(config).err().unwrap();
        assert!(
            matches!(error, UserNetError::PortInUse { host, transport: t } if host == taken && t == transport)
        );
        assert_eq!(
            error.to_string(),
            format!(
                "cannot publish {transport} port {} on 127.0.0.1: it is in use by another program",
                taken.port()
            )
        );
    }
}

#[test]
fn reject_the_same_port_twice() {
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    for transport in ["tcp", "udp"] {
        let text = format!("{}:80/{transport}", free.port());
        let error = Link::try_new(publishing(&[&text, &text])).err().unwrap();
        assert!(matches!(error, UserNetError::PortInUse { .. }), "{error}");
    }
}

#[test]
fn reject_an_address_that_is_not_the_hosts() {
    let error = Link::try_new(publishing(&["198.51.100.7:0:80"]))
        .err()
        .unwrap();
    assert!(
        matches!(error, UserNetError::NoSuchAddress { .. }),
        "{error}"
    );
}
