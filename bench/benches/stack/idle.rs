//! A node with many idle connections, whose far ends are packets made by hand.

use std::task::{Poll, Waker};
use std::time::Instant as Clock;

use nexus_bench::fact;
use nexus_stack::{Config, Congestion, Scope, Stack, TcpId, TcpOptions};
use nexus_types::{Instant, InterfaceAddress, IpAddr, Ipv4Addr, Seed, SocketAddr};

const APP: Scope = Scope(1);
const NODE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const PORT: u16 = 80;

fn stack(ip: Ipv4Addr, number: u64) -> Stack {
    let address = InterfaceAddress::new(IpAddr::V4(ip), 8).expect("a prefix that fits");
    let mut config = Config::new(1_500, vec![address]);
    config.tcp.congestion = Congestion::None;
    config.tcp.ack_delay = None;
    Stack::new(config, Instant::ZERO, Seed::from_number(number)).expect("a sound configuration")
}

/// The node, and one far end that talks.
pub(crate) struct Node {
    node: Stack,
    far: Stack,
    server: TcpId,
    client: TcpId,
    begun: Clock,
    idle: Vec<TcpId>,
}

impl Node {
    pub(crate) fn with_idle(count: u32) -> Self {
        let mut node = stack(NODE, 1);
        let mut far = stack(FAR, 2);
        let now = Instant::ZERO;
        let local = SocketAddr::new(IpAddr::V4(NODE), PORT);
        let options = TcpOptions::default();
        let listener = node
            .tcp_listen(now, APP, local, 16, &options)
            .expect("a free port");
        let idle = (0..count)
            .map(|number| {
                connect_by_hand(&mut node, now, number);
                match node.poll_accept(now, listener, Waker::noop()) {
                    Poll::Ready(Ok(id)) => id,
                    _ => panic!("connection {number} was not made"),
                }
            })
            .collect();
        let client = far
            .tcp_connect(now, APP, None, local, &options)
            .expect("a connection can be tried");
        for _ in 0..4 {
            exchange(&mut node, &mut far, now);
        }
        let Poll::Ready(Ok(server)) = node.poll_accept(now, listener, Waker::noop()) else {
            panic!("the talking connection was not made");
        };
        Self {
            node,
            far,
            server,
            client,
            begun: Clock::now(),
            idle,
        }
    }

    /// 64 bytes there and back.
    pub(crate) fn echo(&mut self) -> usize {
        let now = Instant::from_nanos(self.begun.elapsed().as_nanos() as u64);
        let waker = Waker::noop();
        let mut buf = [0; 64];
        assert!(
            self.far
                .poll_write(now, self.client, &[7; 64], waker)
                .is_ready()
        );
        forward(&mut self.far, &mut self.node, now);
        let Poll::Ready(Ok(len)) = self.node.poll_read(now, self.server, &mut buf, waker) else {
            panic!("the request did not arrive");
        };
        assert!(
            self.node
                .poll_write(now, self.server, &buf[..len], waker)
                .is_ready()
        );
        forward(&mut self.node, &mut self.far, now);
        let Poll::Ready(Ok(len)) = self.far.poll_read(now, self.client, &mut buf, waker) else {
            panic!("the answer did not arrive");
        };
        // What a driver does each turn.
        for stack in [&mut self.node, &mut self.far] {
            if stack.poll_timeout().is_some_and(|at| at <= now) {
                stack.handle_timeout(now);
            }
        }
        len
    }
}

fn forward(from: &mut Stack, to: &mut Stack, now: Instant) {
    while let Some(frame) = from.poll_transmit(now) {
        to.handle_frame(now, &frame);
        from.recycle(frame);
    }
}

fn exchange(a: &mut Stack, b: &mut Stack, now: Instant) {
    forward(a, b, now);
    forward(b, a, now);
}

/// A handshake whose far end keeps nothing.
fn connect_by_hand(node: &mut Stack, now: Instant, number: u32) {
    let from = Ipv4Addr::new(10, 1, (number / 50_000) as u8, 1 + (number / 10_000) as u8);
    let port = 2_000 + (number % 10_000) as u16;
    node.handle_frame(now, &segment(from, port, 1_000, 0, 0x02));
    let answer = node.poll_transmit(now).expect("a SYN-ACK");
    let seq = u32::from_be_bytes([answer[24], answer[25], answer[26], answer[27]]);
    node.recycle(answer);
    node.handle_frame(now, &segment(from, port, 1_001, seq.wrapping_add(1), 0x10));
    while let Some(frame) = node.poll_transmit(now) {
        node.recycle(frame);
    }
}

fn segment(from: Ipv4Addr, port: u16, seq: u32, ack: u32, flags: u8) -> [u8; 40] {
    let mut bytes = [0; 40];
    bytes[..12].copy_from_slice(&[0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, 6, 0, 0]);
    bytes[12..16].copy_from_slice(&from.octets());
    bytes[16..20].copy_from_slice(&NODE.octets());
    let sum = checksum(&bytes[..20], 0);
    bytes[10..12].copy_from_slice(&sum);
    bytes[20..22].copy_from_slice(&port.to_be_bytes());
    bytes[22..24].copy_from_slice(&PORT.to_be_bytes());
    bytes[24..28].copy_from_slice(&seq.to_be_bytes());
    bytes[28..32].copy_from_slice(&ack.to_be_bytes());
    bytes[32..36].copy_from_slice(&[0x50, flags, 0xff, 0xff]);
    // The pseudo header: both addresses (they stand at 12 to 20), the protocol, the length.
    let sum = checksum(&bytes[12..40], 6 + 20);
    bytes[36..38].copy_from_slice(&sum);
    bytes
}

fn checksum(bytes: &[u8], more: u32) -> [u8; 2] {
    let mut sum = more;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair[1]]));
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// Resident bytes of this process.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: usize = statm
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse().ok())
        .unwrap_or(0);
    pages * 4_096
}

/// What `count` idle connections with default buffers keep resident, nothing of it for their far ends.
pub(crate) fn report_memory(count: u32) {
    let before = resident();
    let node = Node::with_idle(count);
    let after = resident();
    let used = after.saturating_sub(before);
    fact(
        &format!("idle_{count}_resident"),
        used as f64,
        "bytes",
        &format!(
            "{:.1} KiB each, {} flows; the far ends keep nothing",
            used as f64 / 1_024.0 / f64::from(count),
            node.node.stats().flows,
        ),
    );
    assert_eq!(node.idle.len(), count as usize);
}

/// The RTT beside `count` idle connections over the RTT beside none, taken by turns.
pub(crate) fn report_ratio(count: u32) {
    let mut alone = Node::with_idle(0);
    let mut crowded = Node::with_idle(count);
    let mut medians = [Vec::new(), Vec::new()];
    for _ in 0..200 {
        for (node, times) in [&mut alone, &mut crowded].into_iter().zip(&mut medians) {
            let begun = Clock::now();
            for _ in 0..1_000 {
                node.echo();
            }
            times.push(begun.elapsed().as_nanos() as f64 / 1_000.0);
        }
    }
    let [alone, crowded] = medians.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    });
    fact(
        &format!("echo_rtt_ratio_{count}"),
        crowded / alone,
        "x",
        &format!("taken by turns: {alone:.0} ns alone, {crowded:.0} ns beside the idle ones"),
    );
}
