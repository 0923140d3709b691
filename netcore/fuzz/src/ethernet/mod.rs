//! Any neighbours, routers and DHCP servers at a stack that learns its addresses on an Ethernet.
//!
//! An act is a byte and its arguments. Messages are made to fit what the stack has asked and has, as far as the
//! arguments let them: a fuzzer that has to guess ids, addresses and sums would see the checks only.

mod check;
mod message;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::task::Waker;

use nexus_stack::{
    AddressEvent, AddressingV4, AddressingV6, Checksums, Config, LookupId, Medium, Scope, Stack,
    TcpId, TcpOptions, UdpId, UdpOptions,
};
use nexus_types::{Duration, HostName, Instant, InterfaceAddress, Seed, SocketAddr};

use crate::input::Input;
use crate::wire::{self, Mac};

const APP: Scope = Scope(1);
const OURS: Mac = [2, 0, 0, 0, 0, 1];
const MTU: usize = 1_500;
/// More frames than any act may cause.
const FRAMES_MAX: u32 = 20_000;
/// What a router's word is good for at least.
const LIFETIME_MIN: Duration = Duration::from_secs(60);

/// Runs one input.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let Some(flags) = input.byte() else {
        return;
    };
    let mut desk = Desk::new(flags);
    desk.drain();
    while let Some(act) = input.byte() {
        desk.act(act, &mut input);
        desk.drain();
    }
    desk.end();
}

struct Desk {
    stack: Stack,
    now: Instant,
    checksums: bool,
    /// The last frame the stack sent, the last question of it for a neighbour, and the id of its DHCP exchange.
    last: Vec<u8>,
    question: Vec<u8>,
    xid: [u8; 4],
    /// Since when it has addresses of its IPv6 networks.
    since: BTreeMap<u128, Instant>,
    tcp: Vec<TcpId>,
    udp: Vec<UdpId>,
    lookups: Vec<LookupId>,
}

impl Desk {
    fn new(flags: u8) -> Self {
        let address = |text: &str, prefix| {
            let address = text.parse().expect("an address");
            InterfaceAddress::new(address, prefix).expect("it fits")
        };
        let mut config = Config::new(MTU, Vec::new());
        config.medium = Medium::Ethernet(OURS);
        if flags & 1 == 0 {
            config.addressing_v6 = AddressingV6::Slaac;
        } else {
            config.addresses.push(address("fd00::1", 64));
            config.gateway_v6 = Some("fe80::2".parse().expect("an address"));
        }
        if flags & 2 == 0 {
            config.addressing_v4 = AddressingV4::Dhcp;
        } else {
            config.addresses.push(address("10.0.0.1", 24));
            config.gateway_v4 = Some(Ipv4Addr::new(10, 0, 0, 2));
        }
        if flags & 4 != 0 {
            config.duplicate_detection = None;
        }
        if flags & 8 != 0 {
            config.checksums = Checksums::None;
        }
        if flags & 16 != 0 {
            config.resolver.servers = vec![SocketAddr::from(([10, 0, 0, 2], 53))];
        }
        config.tcp.rx_bytes = 4_096;
        config.tcp.tx_bytes = 4_096;
        config.limits.flows = 8;
        config.limits.udp_queue_datagrams = 4;
        let now = Instant::from_secs(1);
        let mut stack = Stack::new(config, now, Seed::from_number(1)).expect("it is sound");
        let udp = ["0.0.0.0:7", "[::]:7"].map(|local| {
            let local = local.parse().expect("an address");
            let options = UdpOptions::default();
            stack.udp_bind(now, APP, local, &options).expect("free")
        });
        for local in ["0.0.0.0:80", "[::]:80"] {
            let local = local.parse().expect("an address");
            let options = TcpOptions::default();
            let listener = stack.tcp_listen(now, APP, local, 2, &options);
            listener.expect("a free port");
        }
        Self {
            stack,
            now,
            checksums: flags & 8 == 0,
            last: Vec::new(),
            question: Vec::new(),
            xid: [0; 4],
            since: BTreeMap::new(),
            tcp: Vec::new(),
            udp: udp.to_vec(),
            lookups: Vec::new(),
        }
    }

    fn act(&mut self, act: u8, input: &mut Input<'_>) {
        let argument = input.byte().unwrap_or(0);
        let frame = match act % 16 {
            0 => self.any_frame(argument, input),
            1 => self.arp(argument, input),
            2 => self.solicitation(argument, input),
            3 => self.advertisement(argument, input),
            4 | 5 => self.router(argument, input),
            6 => self.dhcp(argument, input),
            7 => return self.wait(argument),
            8 => return self.send(argument),
            9 => self.answer(argument),
            // The last frame the stack sent, changed.
            10 => {
                let mut bytes = self.last.clone();
                if let Some(byte) = bytes.get_mut(usize::from(argument)) {
                    *byte ^= input.byte().unwrap_or(0);
                }
                bytes
                    .get_mut(..12)
                    .into_iter()
                    .for_each(|macs| macs.rotate_left(6));
                bytes
            }
            11 => self.datagram(argument, input),
            12 => return self.close(argument),
            13 => return self.lookup(argument),
            14 => return self.flood(argument, input),
            _ => return self.wait_long(argument),
        };
        self.stack.handle_frame(self.now, &frame);
    }

    /// Time passes: deadline by deadline, or at one jump, as after a pause of the host.
    fn wait(&mut self, argument: u8) {
        let until = self.now + Duration::from_millis(u64::from(argument / 2) * 80);
        self.pass(until, argument.is_multiple_of(2));
    }

    /// Leases and lifetimes end.
    fn wait_long(&mut self, argument: u8) {
        let until = self.now + Duration::from_secs(u64::from(argument / 2) * 200);
        self.pass(until, argument.is_multiple_of(2));
    }

    fn pass(&mut self, until: Instant, step_by_step: bool) {
        if step_by_step {
            for steps in 0.. {
                assert!(steps < 50_000, "deadlines that come too often");
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

    /// Somebody of the family of an address: one of us, on the link, elsewhere, and none.
    fn v6(&self, which: u8) -> Ipv6Addr {
        let own: Vec<_> = self.own_v6().collect();
        let text = match which % 16 {
            0 | 1 => "fe80::2",
            2 => "fe80::3",
            3 => "fd00::7",
            4 => "2001:db8:1::7",
            5 => "2001:db8:9::1",
            6 => "::",
            7 => "ff02::1",
            8 => "::1",
            9 => "fe80::1:0",
            which => match own.get(usize::from(which - 10)) {
                Some(own) => return *own,
                None => "fd00::1",
            },
        };
        text.parse().expect("an address")
    }

    fn v4(&self, which: u8) -> Ipv4Addr {
        let own = self
            .stack
            .addresses()
            .iter()
            .find_map(|own| match own.address() {
                IpAddr::V4(v4) => Some(v4),
                IpAddr::V6(_) => None,
            });
        match which % 8 {
            0 | 1 => Ipv4Addr::new(10, 0, 0, 2),
            2 => Ipv4Addr::new(10, 0, 0, 3),
            3 => Ipv4Addr::new(192, 0, 2, 1),
            4 => Ipv4Addr::UNSPECIFIED,
            5 => Ipv4Addr::BROADCAST,
            6 => Ipv4Addr::new(10, 0, 0, 255),
            _ => own.unwrap_or(Ipv4Addr::new(10, 0, 0, 1)),
        }
    }

    fn own_v6(&self) -> impl Iterator<Item = Ipv6Addr> {
        self.stack
            .addresses()
            .iter()
            .filter_map(|own| match own.address() {
                IpAddr::V6(v6) => Some(v6),
                IpAddr::V4(_) => None,
            })
    }

    fn send(&mut self, argument: u8) {
        let to = match argument & 0x10 {
            0 => IpAddr::V4(self.v4(argument)),
            _ => IpAddr::V6(self.v6(argument)),
        };
        if argument & 0x20 == 0 {
            let id = self.udp[usize::from(argument >> 6) % self.udp.len()];
            let to = SocketAddr::new(to, 9);
            let _ = self.stack.udp_send(self.now, id, &[7; 40], to);
        } else {
            let options = TcpOptions::default();
            let to = SocketAddr::new(to, 81);
            let id = self.stack.tcp_connect(self.now, APP, None, to, &options);
            self.tcp.extend(id);
        }
    }

    fn close(&mut self, argument: u8) {
        let own = self.stack.addresses().iter().map(|own| own.address());
        let mut own: Vec<_> = own.collect();
        if argument & 1 == 0 {
            self.tcp
                .pop()
                .into_iter()
                .for_each(|id| self.stack.tcp_close(self.now, id));
        } else if self.udp.len() > 2 {
            self.udp
                .pop()
                .into_iter()
                .for_each(|id| self.stack.udp_close(id));
        } else if let Some(ip) = own.pop() {
            // A socket of one address, which may go.
            let local = SocketAddr::new(ip, 0);
            let options = UdpOptions::default();
            self.udp
                .extend(self.stack.udp_bind(self.now, APP, local, &options));
        }
    }

    fn lookup(&mut self, argument: u8) {
        match self.lookups.pop() {
            Some(id) if argument & 1 == 0 => self.stack.lookup_cancel(id),
            Some(id) => drop(self.stack.poll_lookup(id, Waker::noop())),
            None => {
                let name = HostName::parse("www.example.com").expect("it is one");
                let lookup = self.stack.resolve(self.now, APP, &name);
                self.lookups.extend(lookup);
            }
        }
    }

    /// Takes what the stack has to send, and what it has to say.
    fn drain(&mut self) {
        for _ in 0..FRAMES_MAX {
            let Some(frame) = self.stack.poll_transmit(self.now) else {
                return self.hear_events();
            };
            self.check(&frame);
            self.see(&frame);
            self.last = frame.to_vec();
            self.stack.recycle(frame);
        }
        panic!("frames without an end");
    }

    fn see(&mut self, frame: &[u8]) {
        let kind = u16::from_be_bytes([frame[12], frame[13]]);
        let asks = match kind {
            wire::ARP => frame[21] == 1,
            0x86dd => frame[20] == wire::ICMP6 && frame[54] == 135,
            _ => {
                if frame.len() > 50 && frame[34..38] == [0, 68, 0, 67] {
                    self.xid.copy_from_slice(&frame[46..50]);
                }
                false
            }
        };
        if asks {
            self.question = frame.to_vec();
        }
    }

    fn hear_events(&mut self) {
        while let Some(event) = self.stack.poll_address_event() {
            if let AddressEvent::Lost(own) = event
                && let IpAddr::V6(ip) = own.address()
            {
                let since = self.since[&network(ip)];
                assert!(self.now - since >= LIFETIME_MIN, "{own} came and went");
            }
        }
        let networks: Vec<_> = self.own_v6().map(network).collect();
        self.since.retain(|known, _| networks.contains(known));
        for network in networks {
            self.since.entry(network).or_insert(self.now);
        }
        self.check_state();
    }

    /// All handles end. So do all flows, then, in bounded time and with nobody answering.
    fn end(mut self) {
        for id in core::mem::take(&mut self.tcp) {
            self.stack.tcp_close(self.now, id);
        }
        self.stack.end_scope(self.now, APP);
        self.drain();
        self.pass(self.now + Duration::from_secs(600), true);
        self.drain();
        let stats = self.stack.stats();
        let left = (stats.flows, stats.half_open, stats.time_wait);
        assert_eq!(left, (0, 0, 0), "something is left");
        assert_eq!((stats.listeners, stats.udp_sockets), (0, 0));
    }
}

fn network(ip: Ipv6Addr) -> u128 {
    ip.to_bits() >> 64
}
