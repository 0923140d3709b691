//! Two stacks and a link between them: virtual time, one seed, faults.
//!
//! Time only moves to the next deadline, so a test of minutes takes milliseconds, and the same
//! seed gives the same run. What needs no exact packets, states or NICs is tested in nexus-sim, on its world.

#![allow(dead_code, reason = "each test file uses what it needs of the harness")]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Poll, Wake, Waker};
use std::time::Duration;

use nexus_stack::{
    Config, ListenerId, Received, Scope, Stack, TcpError, TcpId, TcpOptions, UdpId, UdpOptions,
};
use nexus_types::{Instant, InterfaceAddress, Seed, SocketAddr};

use crate::nic::Nic;

pub(crate) const A: usize = 0;
pub(crate) const B: usize = 1;
pub(crate) const APP: Scope = Scope(1);

/// A waker that does nothing; the harness polls.
pub(crate) fn idle() -> &'static Waker {
    Waker::noop()
}

/// A waker that counts.
#[derive(Default)]
pub(crate) struct Count(AtomicU32);

impl Count {
    pub(crate) fn new() -> (Arc<Self>, Waker) {
        let count = Arc::new(Self::default());
        (count.clone(), Waker::from(count))
    }

    pub(crate) fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// SplitMix64: enough for faults, and nobody guards against them.
#[derive(Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// True `per_mille` times in a thousand.
    pub(crate) fn chance(&mut self, per_mille: u32) -> bool {
        self.below(1_000) < u64::from(per_mille)
    }
}

/// What the link does to frames; chances in a thousand.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Link {
    pub(crate) latency: Duration,
    pub(crate) loss: u32,
    pub(crate) duplication: u32,
    /// A frame comes up to `jitter` late, and others pass it.
    pub(crate) reorder: u32,
    pub(crate) jitter: Duration,
    /// One bit of a frame is flipped.
    pub(crate) corruption: u32,
}

impl Link {
    pub(crate) const CLEAN: Self = Self {
        latency: Duration::from_millis(1),
        loss: 0,
        duplication: 0,
        reorder: 0,
        jitter: Duration::ZERO,
        corruption: 0,
    };
}

/// When a frame arrives, a number that keeps the order, whom it is for, what its NIC says of it
/// (`checked`; `segments`, 0 for none).
type Flying = (Instant, u64, usize, Vec<u8>, (bool, u16));

/// Two stacks, `A` at 10.0.0.1 and fd00::1, `B` at 10.0.0.2 and fd00::2.
pub(crate) struct Pair {
    pub(crate) stacks: [Stack; 2],
    pub(crate) now: Instant,
    pub(crate) link: Link,
    pub(crate) dice: Dice,
    pub(crate) seed: u64,
    flying: BinaryHeap<Reverse<Flying>>,
    sequence: u64,
    /// Every frame that left a stack, if kept.
    pub(crate) log: Option<Vec<(usize, Vec<u8>)>>,
    /// Does what the stacks leave to it, if they do.
    pub(crate) nic: Option<Nic>,
}

pub(crate) fn address(text: &str) -> SocketAddr {
    text.parse().expect("a socket address")
}

pub(crate) fn interface(text: &str, prefix: u8) -> InterfaceAddress {
    InterfaceAddress::new(text.parse().expect("an address"), prefix).expect("a prefix that fits")
}

pub(crate) fn config(number: usize) -> Config {
    let number = number + 1;
    Config::new(
        1_500,
        vec![
            interface(&format!("10.0.0.{number}"), 24),
            interface(&format!("fd00::{number}"), 64),
        ],
    )
}

impl Pair {
    pub(crate) fn new(seed: u64) -> Self {
        Self::with(seed, Link::CLEAN, |_| {})
    }

    /// Both stacks get the changed configuration.
    pub(crate) fn with(seed: u64, link: Link, change: impl Fn(&mut Config)) -> Self {
        let stack = |number: usize| {
            let mut config = config(number);
            change(&mut config);
            let seed = Seed::from_number(seed).split(if number == A { "a" } else { "b" });
            Stack::new(config, Instant::ZERO, seed).expect("a sound configuration")
        };
        Self {
            stacks: [stack(A), stack(B)],
            now: Instant::ZERO,
            link,
            dice: Dice::new(seed ^ 0x006c_696e_6b00),
            seed,
            flying: BinaryHeap::new(),
            sequence: 0,
            log: None,
            nic: None,
        }
    }

    /// Sends what the stacks have to send.
    pub(crate) fn transmit(&mut self) {
        for from in [A, B] {
            while let Some(frame) = self.stacks[from].poll_transmit(self.now) {
                match self.nic {
                    None => self.carry(from, &frame, Received::PLAIN),
                    Some(nic) => {
                        for (bytes, received) in nic.send(&frame, frame.offload()) {
                            self.carry(from, &bytes, received);
                        }
                    }
                }
                self.stacks[from].recycle(frame);
            }
        }
    }

    /// Lets the link do to a frame what it does.
    fn carry(&mut self, from: usize, frame: &[u8], received: Received) {
        if let Some(log) = &mut self.log {
            log.push((from, frame.to_vec()));
        }
        let copies = 1 + u32::from(self.dice.chance(self.link.duplication));
        for _ in 0..copies {
            if self.dice.chance(self.link.loss) {
                continue;
            }
            let mut bytes = frame.to_vec();
            if self.dice.chance(self.link.corruption) {
                let bit = self.dice.below(bytes.len() as u64 * 8) as usize;
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
            let mut at = self.now + self.link.latency;
            if self.dice.chance(self.link.reorder) {
                let jitter = self.link.jitter.as_nanos() as u64;
                at += Duration::from_nanos(self.dice.below(jitter + 1));
            }
            self.inject(at, 1 - from, bytes, received);
        }
    }

    /// Puts a frame on the link.
    pub(crate) fn inject_at(&mut self, at: Instant, to: usize, bytes: Vec<u8>) {
        self.inject(at, to, bytes, Received::PLAIN);
    }

    fn inject(&mut self, at: Instant, to: usize, bytes: Vec<u8>, received: Received) {
        self.sequence += 1;
        let segments = received.segments.map_or(0, NonZeroU16::get);
        let said = (received.checked, segments);
        self.flying
            .push(Reverse((at, self.sequence, to, bytes, said)));
    }

    /// Hands a frame to a stack at once.
    pub(crate) fn deliver(&mut self, to: usize, bytes: &[u8]) {
        self.stacks[to].handle_frame(self.now, bytes);
    }

    /// Transmits, then moves to the next deadline or arrival, but not past `until`. False if
    /// nothing is due before.
    pub(crate) fn step(&mut self, until: Instant) -> bool {
        self.transmit();
        let arrival = self.flying.peek().map(|Reverse((at, ..))| *at);
        let next = [
            arrival,
            self.stacks[A].poll_timeout(),
            self.stacks[B].poll_timeout(),
        ]
        .into_iter()
        .flatten()
        .min();
        let Some(next) = next.filter(|next| *next <= until) else {
            self.now = self.now.max(until);
            return false;
        };
        self.now = self.now.max(next);
        while let Some(Reverse((at, ..))) = self.flying.peek() {
            if *at > self.now {
                break;
            }
            if let Some(Reverse((_, _, to, bytes, (checked, segments)))) = self.flying.pop() {
                let segments = NonZeroU16::new(segments);
                let received = Received { checked, segments };
                self.stacks[to].handle_received(self.now, &bytes, received);
            }
        }
        for stack in &mut self.stacks {
            if stack.poll_timeout().is_some_and(|at| at <= self.now) {
                stack.handle_timeout(self.now);
            }
        }
        true
    }

    /// Lets `time` pass.
    pub(crate) fn run(&mut self, time: Duration) {
        let until = self.now + time;
        while self.step(until) {}
        self.transmit();
    }

    /// Steps until `poll` is ready; panics with the seed if that takes longer than `limit`.
    #[track_caller]
    pub(crate) fn until<T>(
        &mut self,
        limit: Duration,
        mut poll: impl FnMut(&mut Self) -> Poll<T>,
    ) -> T {
        let until = self.now + limit;
        loop {
            // Within a stack things happen without time passing.
            for _ in 0..2 {
                if let Poll::Ready(value) = poll(self) {
                    return value;
                }
                self.transmit();
            }
            if !self.step(until) {
                if let Poll::Ready(value) = poll(self) {
                    return value;
                }
                panic!("not ready after {limit:?} (seed {})", self.seed);
            }
        }
    }

    // --- shorthands ---

    pub(crate) fn listen(&mut self, on: usize, local: &str) -> ListenerId {
        self.stacks[on]
            .tcp_listen(self.now, APP, address(local), 16, &TcpOptions::default())
            .expect("a free port")
    }

    pub(crate) fn connect(&mut self, from: usize, remote: &str) -> TcpId {
        self.stacks[from]
            .tcp_connect(self.now, APP, None, address(remote), &TcpOptions::default())
            .expect("a connection can be tried")
    }

    #[track_caller]
    pub(crate) fn connected(&mut self, on: usize, id: TcpId) -> Result<(), TcpError> {
        self.until(Duration::from_secs(400), |pair| {
            pair.stacks[on].poll_connected(id, idle())
        })
    }

    #[track_caller]
    pub(crate) fn accept(&mut self, on: usize, listener: ListenerId) -> TcpId {
        self.until(Duration::from_secs(200), |pair| {
            pair.stacks[on].poll_accept(pair.now, listener, idle())
        })
        .expect("the listener is open")
    }

    /// A connection from A to a listener at B: the ends at A and B, and the listener.
    #[track_caller]
    pub(crate) fn established(&mut self, remote: &str) -> (TcpId, TcpId, ListenerId) {
        let listener = self.listen(B, remote);
        let a = self.connect(A, remote);
        let b = self.accept(B, listener);
        self.connected(A, a).expect("a connection");
        (a, b, listener)
    }

    /// As [`Pair::established`], both ends with these options.
    #[track_caller]
    pub(crate) fn connect_with(
        &mut self,
        remote: SocketAddr,
        options: &TcpOptions,
    ) -> (TcpId, TcpId) {
        let listener = self.stacks[B]
            .tcp_listen(self.now, APP, remote, 16, options)
            .expect("a free port");
        let a = self.stacks[A]
            .tcp_connect(self.now, APP, None, remote, options)
            .expect("a connection can be tried");
        let b = self.accept(B, listener);
        self.connected(A, a).expect("a connection");
        (a, b)
    }

    #[track_caller]
    pub(crate) fn write_all(&mut self, on: usize, id: TcpId, mut data: &[u8]) {
        while !data.is_empty() {
            let queued = self
                .until(Duration::from_secs(400), |pair| {
                    pair.stacks[on].poll_write(pair.now, id, data, idle())
                })
                .expect("a connection that can be written to");
            data = &data[queued..];
        }
    }

    #[track_caller]
    pub(crate) fn read(&mut self, on: usize, id: TcpId) -> Result<Vec<u8>, TcpError> {
        let mut buf = [0; 65_536];
        self.until(Duration::from_secs(400), |pair| {
            pair.stacks[on].poll_read(pair.now, id, &mut buf, idle())
        })
        .map(|len| buf[..len].to_vec())
    }

    /// Reads until the far end finishes.
    #[track_caller]
    pub(crate) fn read_to_end(&mut self, on: usize, id: TcpId) -> Result<Vec<u8>, TcpError> {
        let mut all = Vec::new();
        loop {
            let part = self.read(on, id)?;
            if part.is_empty() {
                return Ok(all);
            }
            all.extend(part);
        }
    }

    #[track_caller]
    pub(crate) fn flushed(&mut self, on: usize, id: TcpId) -> Result<(), TcpError> {
        self.until(Duration::from_secs(400), |pair| {
            pair.stacks[on].poll_flushed(id, idle())
        })
    }

    pub(crate) fn udp(&mut self, on: usize, local: &str) -> UdpId {
        self.stacks[on]
            .udp_bind(self.now, APP, address(local), &UdpOptions::default())
            .expect("a free port")
    }

    #[track_caller]
    pub(crate) fn receive(&mut self, on: usize, id: UdpId) -> (SocketAddr, Vec<u8>) {
        self.until(Duration::from_secs(60), |pair| {
            pair.stacks[on].poll_udp_recv(pair.now, id, idle(), |from, data| (from, data.to_vec()))
        })
        .expect("a datagram")
    }
}
