//! Lookups of the node, answered by the system's resolvers.

use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};

use nexus_stack::{Answer, ResolveError};
use nexus_types::{Duration, HostName, IpAddr, SocketAddr};
use nexus_usernet::{Config, Resolvers};

use crate::link::{APP, Link, config};

fn asking(servers: Vec<SocketAddr>) -> Config {
    Config {
        resolvers: Resolvers::Fixed(servers),
        ..config()
    }
}

impl Link {
    fn lookup(&mut self, name: &str) -> Result<Answer, ResolveError> {
        let now = self.now();
        let name = HostName::parse(name).unwrap();
        let lookup = self.node.resolve(now, APP, &name).unwrap();
        self.until(|node, _, waker| node.poll_lookup(lookup, waker))
    }
}

/// The answer to `query`: its question, these flags, and 203.0.113.7 if it asks for an A record
/// and the flags report no error.
fn answer(query: &[u8], flags: [u8; 2]) -> Vec<u8> {
    let end = 12 + query[12..].iter().position(|byte| *byte == 0).unwrap() + 5;
    let mut answer = query[..end].to_vec();
    answer[2..4].copy_from_slice(&flags);
    answer[6..12].fill(0);
    if flags[1] & 0x0f == 0 && flags[0] & 0x02 == 0 && query[end - 3] == 1 {
        answer[7] = 1;
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 203, 0, 113, 7]);
    }
    answer
}

/// A name server that answers this many queries with these flags.
fn name_server(queries: usize, flags: [u8; 2]) -> (SocketAddr, std::thread::JoinHandle<()>) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let mut query = [0; 1_500];
        for _ in 0..queries {
            let (bytes, from) = socket.recv_from(&mut query).unwrap();
            socket
                .send_to(&answer(&query[..bytes], flags), from)
                .unwrap();
        }
    });
    (address, thread)
}

/// An address nobody receives on.
fn nobody() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

const GOOD: [u8; 2] = [0x81, 0x80];
const TRUNCATED: [u8; 2] = [0x83, 0x80];
const SERVFAIL: [u8; 2] = [0x81, 0x82];
const NXDOMAIN: [u8; 2] = [0x81, 0x83];

fn expected() -> Vec<IpAddr> {
    vec!["203.0.113.7".parse().unwrap()]
}

#[test]
fn a_name_is_resolved() {
    // Two queries: A and AAAA.
    let (address, thread) = name_server(2, GOOD);
    let mut link = Link::new(asking(vec![address]));
    let answer = link.lookup("a.example").unwrap();
    assert_eq!(answer.addresses, expected());
    link.join(thread);
    assert_eq!(link.net.stats().dns_queries, 0);
}

#[test]
fn the_next_resolver_is_asked_when_the_first_is_not_there() {
    let (address, thread) = name_server(2, GOOD);
    let mut link = Link::new(asking(vec![nobody(), address]));
    assert_eq!(link.lookup("a.example").unwrap().addresses, expected());
    link.join(thread);
}

#[test]
fn the_next_resolver_is_asked_when_the_first_fails() {
    let (failing, first) = name_server(2, SERVFAIL);
    let (address, second) = name_server(2, GOOD);
    let mut link = Link::new(asking(vec![failing, address]));
    assert_eq!(link.lookup("a.example").unwrap().addresses, expected());
    link.join(first);
    link.join(second);
}

#[test]
fn the_next_resolver_is_asked_when_the_first_is_silent() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (address, thread) = name_server(2, GOOD);
    let servers = vec![silent.local_addr().unwrap(), address];
    let mut link = Link::new(asking(servers));
    let now = link.now();
    let name = HostName::parse("a.example").unwrap();
    let lookup = link.node.resolve(now, APP, &name).unwrap();
    link.step();
    link.skip(Duration::from_millis(1_000));
    let answer = link
        .until(|node, _, waker| node.poll_lookup(lookup, waker))
        .unwrap();
    assert_eq!(answer.addresses, expected());
    link.join(thread);
}

#[test]
fn reject_a_name_that_does_not_exist() {
    let (address, thread) = name_server(2, NXDOMAIN);
    let mut link = Link::new(asking(vec![address, nobody()]));
    assert_eq!(link.lookup("b.example"), Err(ResolveError::NotFound));
    link.join(thread);
}

#[test]
fn reject_lookups_when_no_resolver_is_configured_or_there() {
    for servers in [Vec::new(), vec![nobody()], vec![nobody(), nobody()]] {
        let mut link = Link::new(asking(servers));
        let began = link.now();
        let error = link.lookup("a.example").unwrap_err();
        assert_ne!(error, ResolveError::NotFound);
        let took = link.now() - began;
        assert!(took < Duration::from_secs(1), "at once, not after {took:?}");
        assert_eq!(link.net.stats().dns_queries, 0);
    }
}

#[test]
fn a_silent_resolver_is_forgotten_in_the_end() {
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut link = Link::new(asking(vec![silent.local_addr().unwrap()]));
    let now = link.now();
    let name = HostName::parse("a.example").unwrap();
    let lookup = link.node.resolve(now, APP, &name).unwrap();
    link.step();
    assert!(link.net.stats().dns_queries > 0);
    let mut result = None;
    for _ in 0..12 {
        link.skip(Duration::from_secs(1));
        link.until(|node, _, waker| {
            if result.is_none()
                && let std::task::Poll::Ready(done) = node.poll_lookup(lookup, waker)
            {
                result = Some(done);
            }
            std::task::Poll::Ready(())
        });
    }
    assert_eq!(result, Some(Err(ResolveError::TimedOut)));
    link.skip(Duration::from_secs(6));
    assert_eq!(link.net.stats().dns_queries, 0);
}

#[test]
fn a_truncated_answer_is_asked_for_over_tcp() {
    // The same port for both transports.
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = tcp.local_addr().unwrap();
    let udp = UdpSocket::bind(address).unwrap();
    let over_udp = std::thread::spawn(move || {
        let mut query = [0; 1_500];
        for _ in 0..2 {
            let (bytes, from) = udp.recv_from(&mut query).unwrap();
            udp.send_to(&answer(&query[..bytes], TRUNCATED), from)
                .unwrap();
        }
    });
    let over_tcp = std::thread::spawn(move || {
        for _ in 0..2 {
            let (mut socket, _) = tcp.accept().unwrap();
            let mut length = [0; 2];
            socket.read_exact(&mut length).unwrap();
            let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
            socket.read_exact(&mut query).unwrap();
            let answer = answer(&query, GOOD);
            let mut message = (answer.len() as u16).to_be_bytes().to_vec();
            message.extend(answer);
            socket.write_all(&message).unwrap();
        }
    });
    // The first cannot be reached by TCP either.
    let mut link = Link::new(asking(vec![nobody(), address]));
    assert_eq!(link.lookup("a.example").unwrap().addresses, expected());
    link.join(over_udp);
    link.join(over_tcp);
}
