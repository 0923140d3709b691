//! What a host that ends waits for: what the node sent and the kernel has not taken, and nothing else.

use std::net::UdpSocket;

use crate::link::{Link, config, server, through_host};

/// Hands the node's frames to the NIC, and gives nobody a turn.
fn hand_over(link: &mut Link) {
    let now = link.now();
    while let Some(frame) = link.node.poll_transmit(now) {
        link.net.handle_frame(now, &frame);
        link.node.recycle(frame);
    }
}

#[test]
fn a_datagram_counts_until_the_kernel_has_it() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = through_host(socket.local_addr().unwrap());
    let mut link = Link::new(config());
    link.step();
    let id = link.bind_udp(address, 0);
    let now = link.now();
    link.node.udp_send(now, id, b"x", address).unwrap();
    hand_over(&mut link);
    assert_eq!(link.net.undelivered(), 1);
    link.step();
    assert_eq!(link.net.undelivered(), 0);
    assert_eq!(socket.recv(&mut [0; 2]).unwrap(), 1);
}

#[test]
fn an_end_without_bytes_counts_until_the_kernel_has_it() {
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let (address, thread) = server("127.0.0.1:0", move |_socket| wait.recv().unwrap());
    let mut link = Link::new(config());
    let id = link.connect(address).unwrap();
    link.step();
    assert_eq!(link.net.undelivered(), 0);
    let now = link.now();
    link.node.tcp_finish(now, id).unwrap();
    hand_over(&mut link);
    assert_eq!(link.net.undelivered(), 1);
    link.step();
    assert_eq!(link.net.undelivered(), 0);
    release.send(()).unwrap();
    link.join(thread);
}
