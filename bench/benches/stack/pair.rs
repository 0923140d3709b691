//! Two stacks in one process, frames handed over by reference.

use std::task::{Poll, Waker};
use std::time::Instant as Clock;

use nexus_stack::{Checksums, Config, Congestion, Scope, Stack, TcpId, TcpOptions};
use nexus_types::{Instant, InterfaceAddress, IpAddr, Ipv4Addr, Seed, SocketAddr};

/// What both contestants are set to.
#[derive(Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) mtu: usize,
    pub(crate) checksums: bool,
    pub(crate) buffer: usize,
}

impl Setting {
    pub(crate) const ALL: [Self; 4] = [
        Self::new("1500_checksums", 1_500, true),
        Self::new("1500_none", 1_500, false),
        Self::new("65535_checksums", 65_535, true),
        Self::new("65535_none", 65_535, false),
    ];

    const fn new(name: &'static str, mtu: usize, checksums: bool) -> Self {
        Self {
            name,
            mtu,
            checksums,
            buffer: 256 << 10,
        }
    }
}

const APP: Scope = Scope(1);

/// A connection from `a` to `b`.
pub(crate) struct Pair {
    a: Stack,
    b: Stack,
    client: TcpId,
    server: TcpId,
    begun: Clock,
    chunk: Vec<u8>,
    buf: Vec<u8>,
}

impl Pair {
    pub(crate) fn new(setting: Setting) -> Self {
        let stack = |number: u8| {
            let ip = IpAddr::V4(Ipv4Addr::new(10, 0, 0, number));
            let address = InterfaceAddress::new(ip, 24).expect("a prefix that fits");
            let mut config = Config::new(setting.mtu, vec![address]);
            config.tcp.congestion = Congestion::None;
            config.tcp.ack_delay = None;
            config.tcp.rx_bytes = setting.buffer;
            config.tcp.tx_bytes = setting.buffer;
            if !setting.checksums {
                config.checksums = Checksums::None;
            }
            Stack::new(config, Instant::ZERO, Seed::from_number(number.into()))
                .expect("a sound configuration")
        };
        let (mut a, mut b) = (stack(1), stack(2));
        let now = Instant::ZERO;
        let remote = SocketAddr::from((Ipv4Addr::new(10, 0, 0, 2), 80));
        let options = TcpOptions::default();
        let listener = b
            .tcp_listen(now, APP, remote, 1, &options)
            .expect("a free port");
        let client = a
            .tcp_connect(now, APP, None, remote, &options)
            .expect("a connection can be tried");
        for _ in 0..4 {
            forward(&mut a, &mut b, now);
            forward(&mut b, &mut a, now);
        }
        let Poll::Ready(Ok(server)) = b.poll_accept(now, listener, Waker::noop()) else {
            panic!("the connection was not made");
        };
        Self {
            a,
            b,
            client,
            server,
            begun: Clock::now(),
            chunk: vec![7; 64 << 10],
            buf: vec![0; 64 << 10],
        }
    }

    /// Moves `bytes` from `a` to `b`; says how many packets that took, both ways.
    pub(crate) fn bulk(&mut self, bytes: usize) -> u64 {
        let waker = Waker::noop();
        let (mut received, mut packets) = (0, 0);
        let mut written = 0;
        while received < bytes {
            let now = Instant::from_nanos(self.begun.elapsed().as_nanos() as u64);
            while written < bytes {
                let chunk = &self.chunk[..self.chunk.len().min(bytes - written)];
                match self.a.poll_write(now, self.client, chunk, waker) {
                    Poll::Ready(Ok(queued)) => written += queued,
                    _ => break,
                }
            }
            packets += forward(&mut self.a, &mut self.b, now);
            while let Poll::Ready(Ok(read)) =
                self.b.poll_read(now, self.server, &mut self.buf, waker)
            {
                received += read;
            }
            packets += forward(&mut self.b, &mut self.a, now);
            for stack in [&mut self.a, &mut self.b] {
                if stack.poll_timeout().is_some_and(|at| at <= now) {
                    stack.handle_timeout(now);
                }
            }
        }
        packets
    }
}

fn forward(from: &mut Stack, to: &mut Stack, now: Instant) -> u64 {
    let mut count = 0;
    while let Some(frame) = from.poll_transmit(now) {
        to.handle_frame(now, &frame);
        from.recycle(frame);
        count += 1;
    }
    count
}
