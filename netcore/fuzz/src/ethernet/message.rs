//! What others on the link say.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Desk, OURS};
use crate::input::Input;
use crate::wire::{self, Mac};

const BROADCAST: Mac = [0xff; 6];

/// Whoever it is.
fn station(which: u8) -> Mac {
    match which % 8 {
        6 => OURS,
        7 => BROADCAST,
        number => [2, 0, 0, 0, 0, 2 + number],
    }
}

fn lifetime(which: u8) -> u32 {
    [0, 1, 59, 60, 61, 600, 7_199, 7_200, 7_201, 86_400, u32::MAX][usize::from(which) % 11]
}

/// The group of an address's solicitations (RFC 4291 section 2.7.1), and that group's hardware address.
fn solicited(ip: Ipv6Addr) -> (Ipv6Addr, Mac) {
    let [.., a, b, c] = ip.octets();
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | u16::from(a), 0);
    let group = group.to_bits() | u128::from(u16::from_be_bytes([b, c]));
    (group.into(), [0x33, 0x33, 0xff, a, b, c])
}

fn all_nodes() -> (Ipv6Addr, Mac) {
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    (group, [0x33, 0x33, 0, 0, 0, 1])
}

impl Desk {
    /// Any bytes, behind a header that lets them in.
    pub(super) fn any_frame(&mut self, argument: u8, input: &mut Input<'_>) -> Vec<u8> {
        let length = usize::from(input.byte().unwrap_or(0)) * 2;
        let bytes = input.bytes(length).to_vec();
        let kind = match argument % 4 {
            0 => return bytes,
            1 => wire::ARP,
            2 => 0x0800,
            _ => 0x86dd,
        };
        let to = match argument & 0x40 {
            0 => OURS,
            _ => BROADCAST,
        };
        wire::frame(to, station(argument >> 2), kind, &bytes)
    }

    pub(super) fn arp(&mut self, argument: u8, input: &mut Input<'_>) -> Vec<u8> {
        let whom = input.byte().unwrap_or(0);
        let from = (station(argument >> 2), self.v4(whom));
        let to = (station(whom >> 6), self.v4(whom >> 3));
        let dst = match argument & 0x80 {
            0 => OURS,
            _ => BROADCAST,
        };
        let message = wire::arp(1 + (argument & 3), from, to);
        wire::frame(dst, station(argument >> 5), wire::ARP, &message)
    }

    pub(super) fn solicitation(&mut self, argument: u8, input: &mut Input<'_>) -> Vec<u8> {
        let whom = input.byte().unwrap_or(0);
        let (src, target) = (self.v6(whom), self.v6(whom >> 4));
        let (dst, mac) = match argument & 1 {
            0 => solicited(target),
            _ => (target, OURS),
        };
        let mut message = vec![135, 0, 0, 0, 0, 0, 0, 0];
        message.extend(target.octets());
        self.options(argument, input, &mut message);
        let packet = wire::icmp6(src, dst, 255 - (argument >> 7), message);
        wire::frame(mac, station(argument >> 4), 0x86dd, &packet)
    }

    pub(super) fn advertisement(&mut self, argument: u8, input: &mut Input<'_>) -> Vec<u8> {
        let whom = input.byte().unwrap_or(0);
        let (src, target) = (self.v6(whom), self.v6(whom >> 4));
        let (dst, mac) = match argument & 1 {
            0 => all_nodes(),
            _ => (self.v6(10), OURS),
        };
        let flags = input.byte().unwrap_or(0x60);
        let mut message = vec![136, 0, 0, 0, flags, 0, 0, 0];
        message.extend(target.octets());
        self.options(argument, input, &mut message);
        let packet = wire::icmp6(src, dst, 255 - (argument >> 7), message);
        wire::frame(mac, station(argument >> 4), 0x86dd, &packet)
    }

    /// A router advertisement.
    pub(super) fn router(&mut self, argument: u8, input: &mut Input<'_>) -> Vec<u8> {
        let src = self.v6(argument & 0x0f);
        let (dst, mac) = match argument & 0x10 {
            0 => all_nodes(),
            _ => (self.v6(10), OURS),
        };
        let flags = input.byte().unwrap_or(0);
        let lasts = input.byte().unwrap_or(5);
        let [.., a, b] = lifetime(lasts).to_be_bytes();
        let code = u8::from(lasts & 0x80 != 0);
        let mut message = vec![134, code, 0, 0, 64, flags, a, b, 0, 0, 0, 0, 0, 0, 0, 0];
        self.options(argument, input, &mut message);
        let packet = wire::icmp6(src, dst, 255 - (argument >> 7), message);
        wire::frame(mac, station(argument >> 5), 0x86dd, &packet)
    }

    /// Up to seven options of neighbour discovery.
    fn options(&self, argument: u8, input: &mut Input<'_>, message: &mut Vec<u8>) {
        let count = input.byte().unwrap_or(0);
        for _ in 0..count % 8 {
            let which = input.byte().unwrap_or(0);
            let more = input.byte().unwrap_or(0);
            match which % 6 {
                kind @ (0 | 1) => {
                    message.extend([1 + kind, 1]);
                    message.extend(station(argument >> 4));
                }
                2 | 3 => self.prefix(which, more, input, message),
                4 => {
                    let servers = more % 4;
                    message.extend([25, 1 + 2 * servers, 0, 0]);
                    message.extend(lifetime(which >> 3).to_be_bytes());
                    for server in 0..servers {
                        message.extend(self.v6(server + (more >> 2)).octets());
                    }
                }
                _ => {
                    message.extend([which >> 3, more]);
                    message.extend(input.bytes(usize::from(more % 8) * 8));
                }
            }
        }
    }

    fn prefix(&self, which: u8, more: u8, input: &mut Input<'_>, message: &mut Vec<u8>) {
        let lasts = input.byte().unwrap_or(0xaa);
        let length = match more & 0x0c {
            0x0c => input.byte().unwrap_or(48),
            _ => 64,
        };
        message.extend([3, 4, length, more << 4 | more & 0x03]);
        message.extend(lifetime(lasts >> 4).to_be_bytes());
        message.extend(lifetime(lasts & 0x0f).to_be_bytes());
        message.extend([0; 4]);
        let mut prefix = self.v6(which >> 3).octets();
        // One of many.
        prefix[7] ^= more >> 5;
        message.extend(prefix);
    }

    /// What a server says to the exchange there is, or nearly.
    pub(super) fn dhcp(&mut self, argument: u8, input: &mut Input<'_>) -> Vec<u8> {
        let (sorts, given) = (input.byte().unwrap_or(0), input.byte().unwrap_or(0));
        let mut message = vec![0; 240];
        message[..3].copy_from_slice(&[2, 1, 6]);
        message[4..8].copy_from_slice(&self.xid);
        message[7] ^= argument >> 7;
        let address = match given & 7 {
            0..=3 => Ipv4Addr::new(10, 0, 0, 8 + (given & 1)),
            other => self.v4(other),
        };
        message[16..20].copy_from_slice(&address.octets());
        message[28..34].copy_from_slice(&OURS);
        message[236..].copy_from_slice(&[0x63, 0x82, 0x53, 0x63]);
        message.extend([53, 1, [2, 5, 6, 2, 5][usize::from(argument) % 5]]);
        let mut option = |kind: u8, value: &[u8]| {
            message.extend([kind, value.len() as u8]);
            message.extend(value);
        };
        let server = Ipv4Addr::new(10, 0, 0, 2 + (argument >> 3 & 1));
        option(54, &server.octets());
        if sorts & 1 == 0 {
            let masks = [0xffff_ff00_u32, 0xffff_0000, 0xff00_ff00, u32::MAX];
            option(1, &masks[usize::from(given >> 3 & 3)].to_be_bytes());
        }
        if sorts & 2 == 0 {
            option(3, &self.v4(given >> 5).octets());
        }
        if sorts & 4 == 0 {
            let servers = [Ipv4Addr::new(10, 0, 0, 53), self.v4(sorts >> 5)];
            option(6, &servers.map(|ip| ip.octets()).concat());
        }
        if sorts & 8 == 0 {
            option(51, &lifetime(sorts >> 4).to_be_bytes());
        }
        if argument & 0x20 != 0 {
            let times = input.byte().unwrap_or(0);
            option(58, &lifetime(times & 0x0f).to_be_bytes());
            option(59, &lifetime(times >> 4).to_be_bytes());
        }
        if argument & 0x40 != 0 {
            message.extend(input.bytes(16));
        }
        message.push(255);
        let to = match argument & 0x10 {
            0 => Ipv4Addr::BROADCAST,
            _ => address,
        };
        let packet = wire::datagram((server.into(), 67), (to.into(), 68), &message);
        wire::frame(BROADCAST, station(0), 0x0800, &packet)
    }

    /// The last question for a neighbour is answered, by whom it asks for or by somebody else.
    pub(super) fn answer(&mut self, argument: u8) -> Vec<u8> {
        let question = &self.question;
        let mac = station(argument);
        if question.len() < 42 {
            return Vec::new();
        }
        if question[12..14] == wire::ARP.to_be_bytes() {
            let [asks, asked] = [28, 38].map(|at| wire::v4_at(question, at));
            let message = wire::arp(2, (mac, asked), (OURS, asks));
            return wire::frame(OURS, mac, wire::ARP, &message);
        }
        let (asks, asked) = (wire::v6_at(question, 22), wire::v6_at(question, 62));
        let (dst, to) = match asks.is_unspecified() {
            true => all_nodes(),
            false => (asks, OURS),
        };
        let mut message = vec![136, 0, 0, 0, argument & 0xe0, 0, 0, 0];
        message.extend(asked.octets());
        message.extend([2, 1]);
        message.extend(mac);
        let packet = wire::icmp6(asked, dst, 255, message);
        wire::frame(to, mac, 0x86dd, &packet)
    }

    pub(super) fn datagram(&mut self, argument: u8, input: &mut Input<'_>) -> Vec<u8> {
        let data = input.bytes(usize::from(argument & 0x0f));
        let port = [7, 9, 53, 68][usize::from(argument >> 4 & 3)];
        let (src, dst, kind): (IpAddr, IpAddr, u16) = match argument & 0x80 {
            0 => (self.v4(argument).into(), self.v4(7).into(), 0x0800),
            _ => (self.v6(argument).into(), self.v6(10).into(), 0x86dd),
        };
        let packet = wire::datagram((src, 1_000), (dst, port), data);
        wire::frame(OURS, station(argument), kind, &packet)
    }

    /// Many routers, each with a prefix and a server of its own; or many neighbours.
    pub(super) fn flood(&mut self, argument: u8, input: &mut Input<'_>) {
        let flags = input.byte().unwrap_or(0);
        for number in 0..u16::from(argument) {
            let frame = if flags & 0x80 == 0 {
                let src = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, number);
                let mut message = vec![134, 0, 0, 0, 64, flags & 0x18, 7, 8];
                message.extend([0; 8]);
                message.extend([3, 4, 64, 0xc0, 0, 0, 14, 16, 0, 0, 14, 16, 0, 0, 0, 0]);
                message.extend(Ipv6Addr::new(0x2001, 0xdb8, 7, number, 0, 0, 0, 0).octets());
                message.extend([25, 3, 0, 0, 0, 0, 14, 16]);
                message.extend(Ipv6Addr::new(0x2001, 0xdb8, 8, number, 0, 0, 0, 53).octets());
                let (dst, mac) = all_nodes();
                let packet = wire::icmp6(src, dst, 255, message);
                wire::frame(mac, station(flags), 0x86dd, &packet)
            } else {
                let [a, b] = number.to_be_bytes();
                let from = (station(flags), Ipv4Addr::new(10, 0, a, b));
                let message = wire::arp(1, from, ([0; 6], self.v4(7)));
                wire::frame(BROADCAST, station(flags), wire::ARP, &message)
            };
            self.stack.handle_frame(self.now, &frame);
        }
    }
}
