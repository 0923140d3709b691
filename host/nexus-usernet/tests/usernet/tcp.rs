//! TCP that the node dials: `host.internal` leads to servers on the host's loopback.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::task::Poll;

use nexus_stack::{TcpError, TcpOptions};
use nexus_types::{Duration, SocketAddr};
use socket2::SockRef;

use crate::link::{
    APP, LOOPBACKS, Link, config, digest, echo, pattern, raise_descriptors, server, through_host,
};

#[test]
fn sixteen_mebibytes_go_there_and_come_back() {
    for on in LOOPBACKS {
        let (address, thread) = server(on, echo);
        let mut link = Link::new(config());
        let id = link.connect(address).unwrap();
        let data = pattern(16 << 20);
        let (mut sent, mut received, mut finished) = (0, Vec::new(), false);
        let mut part = vec![0; 64 << 10];
        link.until(|node, now, waker| {
            while let Poll::Ready(bytes) = node.poll_write(now, id, &data[sent..], waker) {
                if sent == data.len() {
                    break;
                }
                sent += bytes.unwrap();
            }
            if sent == data.len() && !finished {
                node.tcp_finish(now, id).unwrap();
                finished = true;
            }
            loop {
                match node.poll_read(now, id, &mut part, waker) {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(Ok(0)) => return Poll::Ready(()),
                    Poll::Ready(Ok(bytes)) => received.extend_from_slice(&part[..bytes]),
                    Poll::Ready(Err(error)) => panic!("{error}"),
                }
            }
        });
        assert_eq!(digest(&received), digest(&data));
        link.join(thread);
        assert_eq!(link.net.stats().bytes_to_kernel, 16 << 20);
        assert_eq!(link.net.stats().bytes_from_kernel, 16 << 20);
        assert_eq!(link.net.stats().tcp_flows, 0, "the splice is over");
    }
}

#[test]
fn the_node_finishes_first_and_still_reads() {
    let (address, thread) = server("127.0.0.1:0", |mut socket| {
        let mut all = Vec::new();
        socket.read_to_end(&mut all).unwrap();
        // Only now, after the node's end.
        socket.write_all(&all).unwrap();
    });
    let mut link = Link::new(config());
    let id = link.connect(address).unwrap();
    link.write(id, b"question").unwrap();
    link.finish(id);
    assert_eq!(link.read_to_end(id).unwrap(), b"question");
    link.join(thread);
}

#[test]
fn the_server_finishes_first_and_still_reads() {
    let (address, thread) = server("127.0.0.1:0", |mut socket| {
        socket.write_all(b"greeting").unwrap();
        socket.shutdown(Shutdown::Write).unwrap();
        let mut all = Vec::new();
        socket.read_to_end(&mut all).unwrap();
        all
    });
    let mut link = Link::new(config());
    let id = link.connect(address).unwrap();
    assert_eq!(link.read_exact(id, 5).unwrap(), b"greet");
    assert_eq!(link.read_to_end(id).unwrap(), b"ing");
    link.write(id, b"answer").unwrap();
    link.finish(id);
    assert_eq!(link.join(thread), b"answer");
}

#[test]
fn reject_a_port_nobody_listens_on() {
    for on in LOOPBACKS {
        let address = TcpListener::bind(on).unwrap().local_addr().unwrap();
        let mut link = Link::new(config());
        assert_eq!(
            link.connect(through_host(address)),
            Err(TcpError::Refused),
            "{on}"
        );
        assert_eq!(link.net.stats().tcp_flows, 0);
    }
}

#[test]
fn a_reset_of_the_server_reaches_the_node() {
    let (address, thread) = server("127.0.0.1:0", |mut socket| {
        socket.read_exact(&mut [0; 5]).unwrap();
        SockRef::from(&socket)
            .set_linger(Some(Duration::ZERO))
            .unwrap();
    });
    let mut link = Link::new(config());
    let id = link.connect(address).unwrap();
    link.write(id, b"hello").unwrap();
    assert_eq!(link.read_to_end(id), Err(TcpError::Reset));
    link.join(thread);
    assert_eq!(link.net.stats().tcp_flows, 0);
}

#[test]
fn a_reset_of_the_node_reaches_the_server() {
    let (address, thread) = server("127.0.0.1:0", |mut socket| {
        socket.read_exact(&mut [0; 5]).unwrap();
        socket.read(&mut [0; 5]).map_err(|error| error.kind())
    });
    let mut link = Link::new(config());
    let id = link.connect(address).unwrap();
    link.write(id, b"hello").unwrap();
    let now = link.now();
    link.node.tcp_abort(now, id);
    assert_eq!(link.join(thread), Err(std::io::ErrorKind::ConnectionReset));
    assert_eq!(link.net.stats().tcp_flows, 0);
}

#[test]
fn a_reset_of_the_node_is_seen_while_nothing_can_move() {
    // The server reads nothing: the way to it is full, and no kernel event will come of itself.
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let (address, thread) = server("127.0.0.1:0", move |mut socket| {
        wait.recv().unwrap();
        let mut all = Vec::new();
        socket.read_to_end(&mut all).map_err(|error| error.kind())
    });
    let mut link = Link::new(config());
    let id = link.connect(address).unwrap();
    fill(&mut link, id);
    let now = link.now();
    link.node.tcp_abort(now, id);
    link.step();
    assert_eq!(link.net.stats().tcp_flows, 0);
    release.send(()).unwrap();
    assert_eq!(link.join(thread), Err(std::io::ErrorKind::ConnectionReset));
}

/// Writes until nothing has moved for a while. Returns how much went.
fn fill(link: &mut Link, id: nexus_stack::TcpId) -> usize {
    let data = vec![7; 64 << 10];
    let mut sent = 0;
    let mut still = 0;
    link.until(|node, now, waker| {
        match node.poll_write(now, id, &data, waker) {
            Poll::Ready(bytes) => {
                sent += bytes.unwrap();
                still = 0;
            }
            Poll::Pending => still += 1,
        }
        if still > 20 {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    });
    sent
}

#[test]
fn a_slow_reader_holds_the_writer_back() {
    const LIMIT: usize = 32 << 20;
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let (address, thread) = server("127.0.0.1:0", move |mut socket| {
        wait.recv().unwrap();
        let mut all = Vec::new();
        socket.read_to_end(&mut all).unwrap();
        all.len()
    });
    let mut link = Link::new(config());
    let id = link.connect(address).unwrap();
    let sent = fill(&mut link, id);
    assert!(
        sent < LIMIT,
        "the kernel's buffers and ours, no more: {sent}"
    );
    assert_eq!(link.net.undelivered(), 1);
    release.send(()).unwrap();
    let more = vec![8; LIMIT - sent];
    link.write(id, &more).unwrap();
    link.finish(id);
    assert_eq!(link.join(thread), LIMIT);
    assert_eq!(link.net.undelivered(), 0);
}

#[test]
fn a_node_that_does_not_read_holds_the_server_back() {
    const LIMIT: usize = 32 << 20;
    let (address, thread) = server("127.0.0.1:0", |mut socket| {
        socket.write_all(&vec![7; LIMIT]).unwrap();
    });
    let mut link = Link::new(config());
    let id = link.connect(address).unwrap();
    let mut still = (0, 0);
    link.until(|node, _, _| {
        let readable = node.tcp_readable(id);
        still = if still.0 == readable {
            (readable, still.1 + 1)
        } else {
            (readable, 0)
        };
        if still.1 > 20 {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    });
    let passed = link.net.stats().bytes_from_kernel;
    // A receive buffer at the node and a send buffer at the gateway.
    assert!(passed <= 4 * (64 << 10), "{passed}");
    assert_eq!(link.read_to_end(id).unwrap().len(), LIMIT);
    link.join(thread);
}

#[test]
fn a_thousand_connections_at_once() {
    const COUNT: usize = 1_000;
    raise_descriptors();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    SockRef::from(&listener).listen(4_096).unwrap();
    let address = through_host(listener.local_addr().unwrap());
    let thread = std::thread::spawn(move || {
        let all: Vec<TcpStream> = (0..COUNT).map(|_| listener.accept().unwrap().0).collect();
        // All are there at once before the first is served.
        for mut socket in all {
            let mut word = [0; 4];
            socket.read_exact(&mut word).unwrap();
            socket.write_all(&word).unwrap();
        }
    });
    let mut link = Link::new(config());
    let ids: Vec<_> = (0..COUNT)
        .map(|_| {
            let now = link.now();
            let id = link
                .node
                .tcp_connect(now, APP, None, address, &TcpOptions::default())
                .unwrap();
            link.step();
            id
        })
        .collect();
    for (number, id) in (0_u32..).zip(&ids) {
        link.until(|node, _, waker| node.poll_connected(*id, waker))
            .unwrap();
        link.write(*id, &number.to_be_bytes()).unwrap();
    }
    assert_eq!(link.net.stats().tcp_flows as usize, COUNT);
    for (number, id) in (0_u32..).zip(&ids) {
        assert_eq!(link.read_to_end(*id).unwrap(), number.to_be_bytes());
        let now = link.now();
        link.node.tcp_close(now, *id);
    }
    link.join(thread);
    link.until_idle();
}

#[test]
fn a_closed_handle_still_delivers_to_the_server() {
    let (address, thread) = server("127.0.0.1:0", |mut socket| {
        let mut all = Vec::new();
        socket.read_to_end(&mut all).unwrap();
        all.len()
    });
    let mut link = Link::new(config());
    let id = link.connect(address).unwrap();
    link.write(id, &vec![7; 1 << 20]).unwrap();
    let now = link.now();
    link.node.tcp_close(now, id);
    assert_eq!(link.join(thread), 1 << 20);
    link.until_idle();
}

#[test]
fn a_busy_connection_leaves_others_their_turn() {
    const ROUNDS: usize = 200;
    let (bulk, _endless) = server("127.0.0.1:0", |mut socket| {
        let part = vec![7; 64 << 10];
        while socket.write_all(&part).is_ok() {}
    });
    let (small, thread) = server("127.0.0.1:0", echo);
    let mut link = Link::new(config());
    let flood = link.connect(bulk).unwrap();
    let id = link.connect(small).unwrap();
    let mut sink = vec![0; 64 << 10];
    for round in 0..ROUNDS {
        let word = [round as u8];
        let mut sent = false;
        let mut echoed = [0];
        link.until(|node, now, waker| {
            // The flood is taken as fast as it comes.
            while let Poll::Ready(bytes) = node.poll_read(now, flood, &mut sink, waker) {
                assert_ne!(bytes, Ok(0));
            }
            sent = sent || node.poll_write(now, id, &word, waker).is_ready();
            node.poll_read(now, id, &mut echoed, waker)
        })
        .unwrap();
        assert_eq!(echoed, word);
    }
    let now = link.now();
    link.node.tcp_abort(now, flood);
    link.node.tcp_close(now, id);
    link.join(thread);
    link.until_idle();
}

#[test]
fn reject_a_server_that_does_not_answer_in_time() {
    // A backlog of nobody: the kernel drops further SYNs.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    SockRef::from(&listener).listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let _fills = [(); 3].map(|()| {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        let _ = socket.connect(&address.into());
        socket
    });
    let mut config = config();
    config.limits.connect = Duration::from_secs(3);
    let mut link = Link::new(config);
    let now = link.now();
    let id = link
        .node
        .tcp_connect(
            now,
            APP,
            None,
            through_host(address),
            &TcpOptions::default(),
        )
        .unwrap();
    link.step();
    assert_eq!(link.net.stats().tcp_flows, 1);
    link.skip(Duration::from_secs(3));
    let result = link.until(|node, _, waker| node.poll_connected(id, waker));
    assert_eq!(result, Err(TcpError::Unreachable));
    assert_eq!(link.net.stats().tcp_flows, 0);
}

#[test]
fn host_internal_is_known_by_name() {
    let (address, thread) = server("127.0.0.1:0", echo);
    let mut link = Link::new(config());
    let name = nexus_types::HostName::parse(nexus_usernet::HOST_NAME).unwrap();
    let now = link.now();
    let lookup = link.node.resolve(now, APP, &name).unwrap();
    let answer = link
        .until(|node, _, waker| node.poll_lookup(lookup, waker))
        .unwrap();
    let first = answer.addresses.iter().find(|a| a.is_ipv4()).unwrap();
    let id = link
        .connect(SocketAddr::new(*first, address.port()))
        .unwrap();
    link.finish(id);
    assert_eq!(link.read_to_end(id).unwrap(), b"");
    link.join(thread);
}
