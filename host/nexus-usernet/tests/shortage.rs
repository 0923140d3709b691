//! No file descriptor left: what is new is refused, what is there goes on. A process of its own,
//! because the limit is the process's.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::task::Poll;

use nexus_stack::{TcpError, UdpError};

#[path = "usernet/link.rs"]
#[allow(dead_code, reason = "another test uses the rest of it")]
mod link;

use link::{Link, through_host};

#[test]
fn reject_what_is_new_while_no_descriptor_is_left() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let to = through_host(listener.local_addr().unwrap());
    let mut config = link::config();
    config.publish = vec!["0:80".parse().unwrap()];
    let mut link = Link::new(config);
    let at = link.net.published()[0].host;
    let served = link.listen(80, at.ip());
    let id = link.connect(to).unwrap();
    let (mut socket, _) = listener.accept().unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let datagrams = through_host(udp.local_addr().unwrap());
    let node_udp = link
        .node
        .udp_bind(
            link.now(),
            link::APP,
            "0.0.0.0:0".parse().unwrap(),
            &Default::default(),
        )
        .unwrap();
    link.node.udp_connect(node_udp, Some(datagrams)).unwrap();
    // A client that the kernel takes, and we cannot.
    let mut client = TcpStream::connect(at).unwrap();

    let mut limit = getrlimit(Resource::Nofile);
    limit.current = Some(64);
    setrlimit(Resource::Nofile, limit).unwrap();
    let mut all = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        all.push(file);
    }

    assert_eq!(link.connect(to), Err(TcpError::Unreachable));
    let now = link.now();
    link.node
        .udp_send(now, node_udp, b"hello", datagrams)
        .unwrap();
    let told = link.until(|node, now, waker| {
        node.poll_udp_recv(now, node_udp, waker, |_, data| data.to_vec())
    });
    assert_eq!(told, Err(UdpError::Unreachable));
    assert_eq!(link.net.stats().tcp_flows, 1);
    link.write(id, b"still there").unwrap();
    let mut word = [0; 11];
    socket.read_exact(&mut word).unwrap();
    assert_eq!(&word, b"still there");

    drop(all);
    let second = link.connect(to).unwrap();
    let accepted = link.accept(served);
    client.write_all(b"waited").unwrap();
    assert_eq!(link.read_exact(accepted, 6).unwrap(), b"waited");
    let now = link.now();
    link.node.tcp_abort(now, second);
    link.until(|_, _, _| Poll::Ready(()));
}
