//! A packet costs no allocation, in or out, once the pools are warm. An allocation is a cost nobody sees in
//! one packet and everybody in a million, and one an app's far end could choose the size of.

use std::task::{Poll, Waker};

use nexus_stack::{
    AddressingV6, Checksums, Config, Congestion, Medium, Offload, Received, Scope, Stack, TcpId,
    TcpOptions, UdpId, UdpOptions,
};
use nexus_types::{Duration, Instant, InterfaceAddress, Seed, SocketAddr};

const APP: Scope = Scope(1);

/// Two stacks whose frames are handed over by reference.
struct Pair {
    a: Stack,
    b: Stack,
    now: Instant,
}

impl Pair {
    fn new(change: impl Fn(&mut Config, u8)) -> Self {
        let stack = |number: u8| {
            let own = |text: &str, prefix| {
                let ip = format!("{text}{number}").parse().unwrap();
                InterfaceAddress::new(ip, prefix).unwrap()
            };
            let mut config = Config::new(1_500, vec![own("10.0.0.", 24), own("fd00::", 64)]);
            change(&mut config, number);
            Stack::new(config, Instant::ZERO, Seed::from_number(number.into())).unwrap()
        };
        Self {
            a: stack(1),
            b: stack(2),
            now: Instant::ZERO,
        }
    }

    /// Hands over what there is, both ways, and lets a millisecond pass with what is due in it.
    fn exchange(&mut self) -> u64 {
        let mut frames = 0;
        for _ in 0..2 {
            frames += forward(&mut self.a, &mut self.b, self.now);
            frames += forward(&mut self.b, &mut self.a, self.now);
        }
        self.now += Duration::from_millis(1);
        for stack in [&mut self.a, &mut self.b] {
            if stack.poll_timeout().is_some_and(|at| at <= self.now) {
                stack.handle_timeout(self.now);
            }
        }
        frames
    }

    fn connection(&mut self, remote: SocketAddr) -> (TcpId, TcpId) {
        let options = TcpOptions::default();
        let listener = self
            .b
            .tcp_listen(self.now, APP, remote, 1, &options)
            .unwrap();
        let client = self
            .a
            .tcp_connect(self.now, APP, None, remote, &options)
            .unwrap();
        for _ in 0..10 {
            self.exchange();
        }
        let Poll::Ready(Ok(server)) = self.b.poll_accept(self.now, listener, Waker::noop()) else {
            panic!("no connection to {remote}")
        };
        (client, server)
    }

    fn datagram_sockets(&mut self, remote: SocketAddr) -> (UdpId, UdpId) {
        let options = UdpOptions::default();
        let any = match remote {
            SocketAddr::V4(_) => "0.0.0.0:0",
            SocketAddr::V6(_) => "[::]:0",
        };
        let server = self.b.udp_bind(self.now, APP, remote, &options).unwrap();
        let local = any.parse().unwrap();
        let client = self.a.udp_bind(self.now, APP, local, &options).unwrap();
        (client, server)
    }
}

fn forward(from: &mut Stack, to: &mut Stack, now: Instant) -> u64 {
    let mut frames = 0;
    while let Some(frame) = from.poll_transmit(now) {
        // As between two NICs that do what is left to them, or need not.
        let received = Received {
            checked: frame.offload() != Offload::None,
            segments: match frame.offload() {
                Offload::Segments(size) => Some(size),
                Offload::None | Offload::Checksum => None,
            },
        };
        to.handle_received(now, &frame, received);
        from.recycle(frame);
        frames += 1;
    }
    frames
}

/// As many bytes each way as fit, read as they come; and a byte each way that nothing else carries.
fn talk(pair: &mut Pair, (client, server): (TcpId, TcpId), buf: &mut [u8]) -> u64 {
    let waker = Waker::noop();
    let mut frames = 0;
    for len in [buf.len(), 1] {
        let _full = pair.a.poll_write(pair.now, client, &buf[..len], waker);
        let _full = pair.b.poll_write(pair.now, server, &buf[..len], waker);
        for _ in 0..8 {
            frames += pair.exchange();
            while let Poll::Ready(Ok(1..)) = pair.b.poll_read(pair.now, server, buf, waker) {}
            while let Poll::Ready(Ok(1..)) = pair.a.poll_read(pair.now, client, buf, waker) {}
        }
    }
    frames
}

/// A burst of datagrams there, and as many back.
fn call(pair: &mut Pair, remote: SocketAddr, sockets: (UdpId, UdpId), data: &[u8]) -> u64 {
    let (client, server) = sockets;
    let waker = Waker::noop();
    for _ in 0..16 {
        pair.a.udp_send(pair.now, client, data, remote).unwrap();
    }
    let mut frames = pair.exchange();
    let from = |from, _: &[u8]| from;
    while let Poll::Ready(Ok(from)) = pair.b.poll_udp_recv(pair.now, server, waker, from) {
        pair.b.udp_send(pair.now, server, data, from).unwrap();
    }
    frames += pair.exchange();
    let mut received = 0;
    while let Poll::Ready(Ok(_)) = pair.a.poll_udp_recv(pair.now, client, waker, from) {
        received += 1;
    }
    // Of the first ones some wait for a neighbour in vain.
    assert!(received == 16 || frames < 32, "{received} of 16");
    frames
}

/// Warms up, then counts over many rounds.
#[track_caller]
fn allocates_nothing(what: &str, mut round: impl FnMut() -> u64) {
    for _ in 0..20 {
        round();
    }
    let mut frames = 0;
    let counted = allocation_counter::measure(|| {
        for _ in 0..200 {
            frames += round();
        }
    });
    assert!(frames >= 200 * 3, "{what}: {frames} frames");
    assert_eq!(counted.count_total, 0, "{what}: {frames} frames");
}

/// Every kind of link a stack has, and both families.
fn each_link(mut check: impl FnMut(&str, Pair, SocketAddr)) {
    let wire = |_: &mut Config, _| {};
    let ethernet = |config: &mut Config, number| {
        config.medium = Medium::Ethernet([2, 0, 0, 0, 0, number]);
        config.duplicate_detection = None;
    };
    let in_process = |config: &mut Config, _| {
        config.mtu = 65_535;
        config.checksums = Checksums::None;
        config.tcp.congestion = Congestion::None;
        config.tcp.ack_delay = None;
    };
    let offload = |config: &mut Config, _| config.offload = true;
    for remote in ["10.0.0.2:80", "[fd00::2]:80"] {
        let remote = remote.parse().unwrap();
        check("a wire", Pair::new(wire), remote);
        check("an Ethernet", Pair::new(ethernet), remote);
        check(
            "an interface that makes segments",
            Pair::new(offload),
            remote,
        );
        check("a link in the process", Pair::new(in_process), remote);
    }
}

#[test]
fn segments_there_and_back_allocate_nothing() {
    each_link(|link, mut pair, remote| {
        let ends = pair.connection(remote);
        let mut buf = vec![7; 40_000];
        allocates_nothing(&format!("TCP over {link} to {remote}"), || {
            talk(&mut pair, ends, &mut buf)
        });
    });
}

#[test]
fn datagrams_there_and_back_allocate_nothing() {
    each_link(|link, mut pair, remote| {
        let sockets = pair.datagram_sockets(remote);
        allocates_nothing(&format!("UDP over {link} to {remote}"), || {
            call(&mut pair, remote, sockets, &[7; 1_000])
        });
    });
}

/// Two that a router gave their addresses: who is on the link and who speaks for us is looked up for each packet.
#[test]
fn learnt_addresses_allocate_nothing() {
    let mut pair = Pair::new(|config, number| {
        config.medium = Medium::Ethernet([2, 0, 0, 0, 0, number]);
        config.addresses.retain(|own| own.address().is_ipv4());
        config.addressing_v6 = AddressingV6::Slaac;
        config.duplicate_detection = None;
        config.checksums = Checksums::None;
    });
    // From fe80::3 to all: fd00::/64 is on the link, and to make addresses of.
    let mut advert = vec![0x33, 0x33, 0, 0, 0, 1, 2, 0, 0, 0, 0, 3, 0x86, 0xdd];
    advert.extend([0x60, 0, 0, 0, 0, 48, 58, 255, 0xfe, 0x80]);
    advert.extend([0; 13]);
    advert.extend([3, 0xff, 2]);
    advert.extend([0; 13]);
    advert.extend([1, 134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0]);
    advert.extend([3, 4, 64, 0xc0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xfd]);
    advert.extend([0; 15]);
    pair.a.handle_frame(pair.now, &advert);
    pair.b.handle_frame(pair.now, &advert);
    let learnt = pair.b.addresses().last().unwrap().address();
    assert!(learnt.to_string().starts_with("fd00:"), "{learnt}");
    let ends = pair.connection(SocketAddr::new(learnt, 80));
    let mut buf = vec![7; 40_000];
    allocates_nothing("TCP", || talk(&mut pair, ends, &mut buf));
    let remote = SocketAddr::new(learnt, 53);
    let sockets = pair.datagram_sockets(remote);
    allocates_nothing("UDP", || call(&mut pair, remote, sockets, &[7; 1_000]));
}

/// Both ends in one stack, by the loopback of their scope.
#[test]
fn the_loopback_allocates_nothing() {
    let mut pair = Pair::new(|_, _| {});
    let (stack, waker, now) = (&mut pair.a, Waker::noop(), pair.now);
    let local = "127.0.0.1:80".parse().unwrap();
    let options = TcpOptions::default();
    let listener = stack.tcp_listen(now, APP, local, 1, &options).unwrap();
    let client = stack.tcp_connect(now, APP, None, local, &options).unwrap();
    assert!(stack.poll_transmit(now).is_none());
    let Poll::Ready(Ok(server)) = stack.poll_accept(now, listener, waker) else {
        panic!("no connection")
    };
    let mut buf = vec![7; 40_000];
    allocates_nothing("the loopback", || {
        let before = stack.stats().loopback;
        assert!(stack.poll_write(now, client, &buf, waker).is_ready());
        let mut left = buf.len();
        while left > 0 {
            assert!(stack.poll_transmit(now).is_none());
            match stack.poll_read(now, server, &mut buf[..left], waker) {
                Poll::Ready(Ok(read @ 1..)) => left -= read,
                other => panic!("{other:?}"),
            }
        }
        assert!(stack.poll_transmit(now).is_none());
        stack.stats().loopback - before
    });
}
