//! UDP that the node sends.

use std::net::UdpSocket;

use nexus_stack::{UdpError, UdpId, UdpOptions};
use nexus_types::{Duration, SocketAddr};

use crate::link::{APP, LOOPBACKS, Link, config, pattern, through_host};

impl Link {
    pub(crate) fn bind_udp(&mut self, like: SocketAddr, port: u16) -> UdpId {
        let any = if like.is_ipv4() { "0.0.0.0" } else { "::" };
        let local = SocketAddr::new(any.parse().unwrap(), port);
        let now = self.now();
        self.node
            .udp_bind(now, APP, local, &UdpOptions::default())
            .unwrap()
    }

    pub(crate) fn send(&mut self, id: UdpId, data: &[u8], to: SocketAddr) {
        let now = self.now();
        self.node.udp_send(now, id, data, to).unwrap();
        self.step();
    }

    pub(crate) fn receive(&mut self, id: UdpId) -> Result<(SocketAddr, Vec<u8>), UdpError> {
        self.until(|node, now, waker| {
            node.poll_udp_recv(now, id, waker, |from, data| (from, data.to_vec()))
        })
    }
}

#[test]
fn datagrams_go_there_and_come_back_whole() {
    for on in LOOPBACKS {
        let server = UdpSocket::bind(on).unwrap();
        let address = through_host(server.local_addr().unwrap());
        let thread = std::thread::spawn(move || {
            let mut data = vec![0; 65_535];
            for _ in 0..4 {
                let (bytes, from) = server.recv_from(&mut data).unwrap();
                server.send_to(&data[..bytes], from).unwrap();
            }
        });
        let mut link = Link::new(config());
        let id = link.bind_udp(address, 0);
        for bytes in [0, 1, 1_472, 60_000] {
            let data = pattern(bytes);
            link.send(id, &data, address);
            assert_eq!(link.receive(id), Ok((address, data)), "{bytes} bytes");
        }
        assert_eq!(link.net.stats().udp_flows, 1, "one flow for all four");
        link.join(thread);
    }
}

#[test]
fn reject_a_port_nobody_receives_on() {
    for on in LOOPBACKS {
        let address = UdpSocket::bind(on).unwrap().local_addr().unwrap();
        let to = through_host(address);
        let mut link = Link::new(config());
        let id = link.bind_udp(to, 0);
        link.node.udp_connect(id, Some(to)).unwrap();
        link.send(id, b"anybody?", to);
        assert_eq!(link.receive(id), Err(UdpError::Refused));
    }
}

#[test]
fn reject_a_datagram_of_somebody_else() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = through_host(server.local_addr().unwrap());
    let mut link = Link::new(config());
    let id = link.bind_udp(address, 0);
    link.send(id, b"hello", address);
    let (_, flow) = server.recv_from(&mut [0; 9]).unwrap();
    stranger.send_to(b"forged", flow).unwrap();
    server.send_to(b"true", flow).unwrap();
    assert_eq!(link.receive(id), Ok((address, b"true".to_vec())));
}

#[test]
fn an_idle_flow_ends_and_a_busy_one_does_not() {
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = through_host(server.local_addr().unwrap());
    let mut link = Link::new(config());
    let idle = Duration::from_micros(nexus_types::limits::USERNET_UDP_IDLE_MICROS);
    let id = link.bind_udp(address, 0);
    link.send(id, b"1", address);
    let first = server.recv_from(&mut [0; 9]).unwrap().1;
    link.skip(idle - Duration::from_secs(5));
    link.send(id, b"2", address);
    assert_eq!(server.recv_from(&mut [0; 9]).unwrap().1, first);
    link.skip(idle - Duration::from_secs(5));
    assert_eq!(link.net.stats().udp_flows, 1);
    link.skip(Duration::from_secs(5));
    assert_eq!(link.net.stats().udp_flows, 0);
    link.send(id, b"3", address);
    server.recv_from(&mut [0; 9]).unwrap();
    assert_eq!(link.net.stats().udp_flows, 1);
}
