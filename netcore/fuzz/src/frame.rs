//! Any frames at a stack that listens, connects, looks names up and lets its apps do anything.
//!
//! An act is a byte and its arguments. Segments are made to fit the connections there are, as far as
//! the arguments let them: a fuzzer that has to guess sequence numbers would see closed ports only.

use std::collections::BTreeMap;
use std::task::{Poll, Waker};

use nexus_stack::{
    Checksums, Config, Invitation, KeepAlive, ListenerId, LookupId, Refusal, Scope, Stack, TcpId, TcpOptions,
    UdpId, UdpOptions,
};
use nexus_types::{Duration, HostName, Instant, InterfaceAddress, Seed, SocketAddr};

use crate::input::Input;
use crate::wire::checksum;

const APP: Scope = Scope(1);
const MTU: usize = 1_500;
const LISTENING: u16 = 80;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// More frames than any act may cause.
const FRAMES_MAX: u32 = 20_000;

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let Some(flags) = input.byte() else {
        return;
    };
    let mut desk = Desk::new(flags);
    while let Some(act) = input.byte() {
        desk.act(act, &mut input);
        desk.drain();
    }
    desk.end();
}

/// A connection as its far end sees it.
#[derive(Clone, Copy, Default)]
struct Seen {
    /// The end of what the stack sent.
    theirs: u32,
    /// What the stack acknowledged.
    ours: u32,
}

struct Desk {
    stack: Stack,
    now: Instant,
    gateway: bool,
    /// By whether it is IPv6, the stack's port, the far end's.
    seen: BTreeMap<(bool, u16, u16), Seen>,
    last: Vec<u8>,
    listeners: Vec<ListenerId>,
    tcp: Vec<TcpId>,
    udp: Vec<UdpId>,
    lookups: Vec<LookupId>,
    invitations: Vec<Invitation>,
}

impl Desk {
    fn new(flags: u8) -> Self {
        let address = |text: &str, prefix| {
            let address = text.parse().expect("an address");
            InterfaceAddress::new(address, prefix).expect("it fits")
        };
        let mut config = Config::new(MTU, vec![address("10.0.0.1", 24), address("fd00::1", 64)]);
        config.any_address = flags & 1 != 0;
        config.checksums = match flags & 2 {
            0 => Checksums::None,
            _ => Checksums::Full,
        };
        config.resolver.servers = vec![SocketAddr::from(([10, 0, 0, 2], 53))];
        config.tcp.rx_bytes = 4_096;
        config.tcp.tx_bytes = 4_096;
        // Small tables, so that a fuzzer fills them.
        config.limits.flows = 8;
        config.limits.half_open = 3;
        config.limits.time_wait = 2;
        config.limits.udp_queue_datagrams = 4;
        config.limits.invitations = 3;
        let now = Instant::from_secs(1);
        let mut stack = Stack::new(config, now, Seed::from_number(1)).expect("it is sound");
        let options = TcpOptions::default();
        let listeners = ["0.0.0.0:80", "[::]:80"].map(|local| {
            let local = local.parse().expect("an address");
            stack
                .tcp_listen(now, APP, local, 2, &options)
                .expect("a free port")
        });
        let udp = ["0.0.0.0:7", "[::]:7"].map(|local| {
            let local = local.parse().expect("an address");
            stack
                .udp_bind(now, APP, local, &UdpOptions::default())
                .expect("a free port")
        });
        Self {
            stack,
            now,
            gateway: flags & 1 != 0,
            seen: BTreeMap::new(),
            last: Vec::new(),
            listeners: listeners.to_vec(),
            tcp: Vec::new(),
            udp: udp.to_vec(),
            lookups: Vec::new(),
            invitations: Vec::new(),
        }
    }

    fn act(&mut self, act: u8, input: &mut Input<'_>) {
        let argument = input.byte().unwrap_or(0);
        match act % 16 {
            0 => {
                let bytes = input.bytes(usize::from(argument) * 2).to_vec();
                self.stack.handle_frame(self.now, &bytes);
            }
            1..=4 => self.segment(argument, input),
            5 => {
                let to = [7, 9, 53][usize::from(argument) % 3];
                let data = input.bytes(usize::from(argument)).to_vec();
                let mut payload = udp_header(1_000 + u16::from(argument % 4), to, data.len());
                payload.extend(data);
                self.deliver(argument & 0x80 != 0, UDP, &payload);
            }
            6 => self.icmp(argument, input),
            7 => self.wait(argument),
            8 => {
                let remote = match argument & 3 {
                    0 => "10.0.0.2:81",
                    1 => "[fd00::2]:81",
                    2 => "127.0.0.1:80",
                    _ => "10.0.0.1:80",
                };
                let remote = remote.parse().expect("an address");
                let options = TcpOptions::default();
                let id = self
                    .stack
                    .tcp_connect(self.now, APP, None, remote, &options);
                self.tcp.extend(id);
            }
            9 => {
                let listener = self.listeners[usize::from(argument) % self.listeners.len()];
                let waker = Waker::noop();
                if let Poll::Ready(Ok(id)) = self.stack.poll_accept(self.now, listener, waker) {
                    self.tcp.push(id);
                }
            }
            10 | 11 => self.stream(argument, input),
            12 => self.datagram(argument, input),
            13 => self.lookup(argument),
            14 => self.invitation(argument),
            // The last frame the stack sent comes back, changed.
            _ => {
                let mut bytes = core::mem::take(&mut self.last);
                turn_around(&mut bytes);
                if !bytes.is_empty() {
                    let at = usize::from(argument) % bytes.len();
                    bytes[at] ^= input.byte().unwrap_or(0);
                }
                self.stack.handle_frame(self.now, &bytes);
                self.last = bytes;
            }
        }
    }

    /// Time passes: deadline by deadline, or at one jump, as after a pause of the host.
    fn wait(&mut self, argument: u8) {
        let until = self.now + Duration::from_millis(u64::from(argument / 2) * 80);
        if argument.is_multiple_of(2) {
            for steps in 0.. {
                // Ten seconds, a dozen connections, and delayed acknowledgements of ten milliseconds.
                assert!(steps < 20_000, "deadlines that come too often");
                match self.stack.poll_timeout() {
                    Some(at) if at <= until => {
                        self.now = self.now.max(at);
                        self.stack.handle_timeout(self.now);
                        self.drain();
                    }
                    _ => break,
                }
            }
        }
        self.now = until;
        self.stack.handle_timeout(self.now);
    }

    /// A segment at or near where a connection stands.
    fn segment(&mut self, argument: u8, input: &mut Input<'_>) {
        let flags = input.byte().unwrap_or(2);
        let (six, local, remote, seen) = if argument & 0x40 == 0 {
            let (six, remote) = (argument & 0x80 != 0, 1_000 + u16::from(argument % 4));
            let seen = self.seen.get(&(six, LISTENING, remote)).copied();
            (six, LISTENING, remote, seen.unwrap_or_default())
        } else {
            let Some(((six, local, remote), seen)) = self
                .seen
                .iter()
                .nth(usize::from(argument & 0x3f) % self.seen.len().max(1))
            else {
                return;
            };
            (*six, *local, *remote, *seen)
        };
        let off = |byte: Option<u8>| i32::from(byte.unwrap_or(0) as i8) as u32;
        let seq = seen.ours.wrapping_add(off(input.byte()));
        let ack = seen.theirs.wrapping_add(off(input.byte()));
        let window = u16::from(input.byte().unwrap_or(255)) << 4;
        let sizes = input.byte().unwrap_or(0);
        let options = input.bytes(usize::from(sizes & 0x0f).min(10) * 4);
        let data = input.bytes(usize::from(sizes >> 4) * 8);
        let header_len = 20 + options.len().next_multiple_of(4);
        let mut payload = vec![0; header_len];
        payload[..2].copy_from_slice(&remote.to_be_bytes());
        payload[2..4].copy_from_slice(&local.to_be_bytes());
        payload[4..8].copy_from_slice(&seq.to_be_bytes());
        payload[8..12].copy_from_slice(&ack.to_be_bytes());
        payload[12] = (header_len as u8 / 4) << 4;
        payload[13] = flags;
        payload[14..16].copy_from_slice(&window.to_be_bytes());
        payload[20..20 + options.len()].copy_from_slice(options);
        payload.extend_from_slice(data);
        self.deliver(six, TCP, &payload);
    }

    fn icmp(&mut self, argument: u8, input: &mut Input<'_>) {
        let six = self.last.first().is_some_and(|byte| byte >> 4 == 6);
        let mut payload = vec![input.byte().unwrap_or(3), argument, 0, 0, 0, 0, 0, 0];
        payload.extend_from_slice(&self.last[..self.last.len().min(100)]);
        self.deliver(six, if six { 58 } else { 1 }, &payload);
    }

    fn stream(&mut self, argument: u8, input: &mut Input<'_>) {
        if self.tcp.is_empty() {
            return;
        }
        let at = usize::from(argument >> 4) % self.tcp.len();
        let (id, now, waker) = (self.tcp[at], self.now, Waker::noop());
        let stack = &mut self.stack;
        match argument & 0x0f {
            0 => drop(stack.poll_read(now, id, &mut [0; 512], waker)),
            1 => drop(stack.poll_read_with(now, id, waker, |bytes| (bytes.len() / 2, ()))),
            2 => drop(stack.poll_write(now, id, &[7; 700], waker)),
            3 => drop(stack.tcp_finish(now, id)),
            4 => drop(stack.poll_connected(id, waker)),
            5 => drop(stack.poll_flushed(id, waker)),
            6 => stack.tcp_set_keep_alive(id, Some(KeepAlive::every(Duration::from_secs(2)))),
            7 => stack.tcp_close(now, self.tcp.swap_remove(at)),
            8 => stack.tcp_abort(now, self.tcp.swap_remove(at)),
            // A handle that has ended, or will have: nothing may come of it.
            9 => {
                stack.tcp_abort(now, id);
                assert!(stack.tcp_addresses(id).is_none());
                assert!(stack.poll_read(now, id, &mut [0; 1], waker).is_ready());
            }
            _ => {
                let data = input.bytes(16);
                let _ = stack.poll_write(now, id, data, waker);
            }
        }
    }

    fn datagram(&mut self, argument: u8, input: &mut Input<'_>) {
        let id = self.udp[usize::from(argument) % self.udp.len()];
        let (now, waker) = (self.now, Waker::noop());
        let far = match argument & 0x30 {
            0 => "10.0.0.2:1000",
            0x10 => "[fd00::2]:1000",
            0x20 => "127.0.0.1:7",
            _ => "[::1]:7",
        };
        let far: SocketAddr = far.parse().expect("an address");
        match argument & 0x0f {
            0..=3 => drop(
                self.stack
                    .poll_udp_recv(now, id, waker, |_, data| data.len()),
            ),
            4..=7 => drop(self.stack.udp_connect(id, Some(far))),
            8 => drop(self.stack.udp_connect(id, None)),
            _ => drop(self.stack.udp_send(now, id, input.bytes(40), far)),
        }
    }

    fn lookup(&mut self, argument: u8) {
        match self.lookups.pop() {
            Some(id) if argument & 1 == 0 => self.stack.lookup_cancel(id),
            Some(id) => {
                if self.stack.poll_lookup(id, Waker::noop()).is_pending() {
                    self.lookups.push(id);
                }
            }
            None => {
                let name = HostName::parse("www.example.com").expect("it is one");
                self.lookups
                    .extend(self.stack.resolve(self.now, APP, &name));
            }
        }
    }

    fn invitation(&mut self, argument: u8) {
        let waker = Waker::noop();
        if let Poll::Ready(invitation) = self.stack.poll_invitation(waker) {
            self.invitations.push(invitation);
        }
        let _ = self.stack.poll_datagram(waker, |_, _, data| data.len());
        if argument & 0x0f == 0 || self.invitations.is_empty() {
            return;
        }
        let invitation = self.invitations.swap_remove(0);
        let how = [
            Refusal::Reset,
            Refusal::HostUnreachable,
            Refusal::Prohibited,
            Refusal::Silent,
        ];
        match argument & 0x0f {
            1..=8 => {
                let options = TcpOptions::default();
                self.tcp
                    .extend(self.stack.accept(self.now, invitation, &options));
            }
            other => {
                self.stack
                    .refuse(self.now, invitation, how[usize::from(other) % how.len()]);
            }
        }
    }

    /// Wraps a payload into a packet from the far end; its checksums are right.
    fn deliver(&mut self, six: bool, protocol: u8, payload: &[u8]) {
        let elsewhere = self.gateway && payload.len() % 2 == 1;
        let packet = packet(six, elsewhere, protocol, payload);
        self.stack.handle_frame(self.now, &packet);
    }

    /// Takes what the stack has to send; each frame is well-formed.
    fn drain(&mut self) {
        for _ in 0..FRAMES_MAX {
            let Some(frame) = self.stack.poll_transmit(self.now) else {
                return;
            };
            assert!(frame.len() <= MTU);
            let six = frame[0] >> 4 == 6;
            let (protocol, header_len, length) = if six {
                let length = u16::from_be_bytes([frame[4], frame[5]]);
                (frame[6], 40, 40 + usize::from(length))
            } else {
                assert_eq!(frame[0], 0x45);
                let length = u16::from_be_bytes([frame[2], frame[3]]);
                (frame[9], 20, usize::from(length))
            };
            assert_eq!(length, frame.len());
            if protocol == TCP {
                self.see(six, &frame[header_len..]);
            }
            self.last = frame.to_vec();
            self.stack.recycle(frame);
        }
        panic!("frames without an end");
    }

    fn see(&mut self, six: bool, segment: &[u8]) {
        let word = |at: usize| u16::from_be_bytes([segment[at], segment[at + 1]]);
        let long = |at: usize| u32::from(word(at)) << 16 | u32::from(word(at + 2));
        let header_len = usize::from(segment[12] >> 4) * 4;
        let flags = segment[13];
        let length =
            (segment.len() - header_len) as u32 + u32::from(flags & 1) + u32::from(flags >> 1 & 1);
        let seen = self.seen.entry((six, word(0), word(2))).or_default();
        seen.theirs = long(4).wrapping_add(length);
        if flags & 0x10 != 0 {
            seen.ours = long(8);
        }
    }

    /// All handles end. So does everything else, then, in bounded time and with nobody answering.
    fn end(mut self) {
        for id in core::mem::take(&mut self.tcp) {
            self.stack.tcp_close(self.now, id);
        }
        let invitations = core::mem::take(&mut self.invitations);
        drop(invitations);
        let end = self.now + Duration::from_secs(600);
        // A gateway's invitations are nobody's; they end with their time.
        self.stack.end_scope(self.now, APP);
        self.drain();
        let mut steps = 0;
        while let Some(at) = self.stack.poll_timeout() {
            assert!(at <= end, "something waits too long");
            steps += 1;
            assert!(steps < 100_000, "deadlines without an end");
            self.now = self.now.max(at);
            self.stack.handle_timeout(self.now);
            self.drain();
        }
        let stats = self.stack.stats();
        assert_eq!(
            (stats.flows, stats.half_open, stats.time_wait),
            (0, 0, 0),
            "something is left"
        );
        assert_eq!((stats.listeners, stats.udp_sockets), (0, 0));
    }
}

fn udp_header(from: u16, to: u16, length: usize) -> Vec<u8> {
    let mut header = vec![0; 8];
    header[..2].copy_from_slice(&from.to_be_bytes());
    header[2..4].copy_from_slice(&to.to_be_bytes());
    header[4..6].copy_from_slice(&(8 + length as u16).to_be_bytes());
    header
}

/// From 10.0.0.2 or fd00::2 to the stack, or past it.
fn packet(six: bool, elsewhere: bool, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let host = if elsewhere { 9 } else { 1 };
    let mut packet = if six {
        let mut header = vec![0; 40];
        header[0] = 0x60;
        header[4..6].copy_from_slice(&(payload.len() as u16).to_be_bytes());
        header[6] = protocol;
        header[7] = 64;
        (header[8], header[23]) = (0xfd, 2);
        (header[24], header[39]) = (0xfd, host);
        header
    } else {
        let mut header = vec![0; 20];
        header[0] = 0x45;
        header[2..4].copy_from_slice(&(20 + payload.len() as u16).to_be_bytes());
        header[8] = 64;
        header[9] = protocol;
        header[12..16].copy_from_slice(&[10, 0, 0, 2]);
        header[16..20].copy_from_slice(&[10, 0, 0, host]);
        let sum = checksum(&[&header]);
        header[10..12].copy_from_slice(&sum);
        header
    };
    let at = packet.len();
    packet.extend_from_slice(payload);
    let place = match protocol {
        TCP => 16,
        UDP => 6,
        _ => 2,
    };
    let length = (payload.len() as u32).to_be_bytes();
    let pseudo = [0, 0, 0, protocol];
    let sum = match (protocol, six) {
        (1, _) => checksum(&[&packet[at..]]),
        (_, true) => checksum(&[&packet[8..40], &length, &pseudo, &packet[at..]]),
        (_, false) => checksum(&[&packet[12..20], &length, &pseudo, &packet[at..]]),
    };
    packet[at + place..at + place + 2].copy_from_slice(&sum);
    packet
}

/// Swaps addresses and ports: the sums stay right.
fn turn_around(packet: &mut [u8]) {
    let (addresses, length, ports) = match packet.first().map(|byte| byte >> 4) {
        Some(4) if packet.len() >= 28 => (12, 4, 20),
        Some(6) if packet.len() >= 48 => (8, 16, 40),
        _ => return,
    };
    for at in addresses..addresses + length {
        packet.swap(at, at + length);
    }
    packet.swap(ports, ports + 2);
    packet.swap(ports + 1, ports + 3);
}
