//! Isolation: no frame leaves a machine for a destination that no grant of it names.
//!
//! What was granted is read here anew ([`super::reach`]), and what leaves is read off the wire. Beside what a grant
//! names a machine may answer: from a port it was granted to listen or bind at, whom it has heard; with a reset or
//! an ICMP error, whom it has heard; and it may find neighbours it may speak with. It may ask the name servers it
//! was given, and what they answer it says which addresses a name has.

use std::collections::{BTreeMap, BTreeSet};

use nexus_types::{Instant, IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::reach::Reach;
use super::{Checker, Found, Seen};
use crate::machine::MachineId;
use crate::station::Grants;
use crate::wire::{self, Ethernet, Ip, Tcp};

/// Far ends a machine has heard that are remembered; the least one makes room. Stops a flood from filling memory.
const HEARD: usize = 1 << 16;

/// Names an answer gives that are remembered, of each machine.
const NAMES: usize = 4_096;

#[derive(Debug, Default)]
struct Allowed {
    connect: Reach,
    send: Reach,
    listen: Reach,
    bind: Reach,
    servers: Vec<SocketAddr>,
    /// It may ask for its addresses on an Ethernet.
    asks_for_addresses: bool,
    /// Whom it has heard: who spoke to which of its ports, and who at all.
    heard: BTreeSet<(u8, SocketAddr, u16)>,
    heard_addresses: BTreeSet<IpAddr>,
    /// Names of addresses, as its servers have answered.
    names: BTreeMap<IpAddr, Vec<String>>,
    own: Vec<IpAddr>,
}

/// See the module. A machine it was not told of may send what it likes.
#[derive(Debug, Default)]
pub struct Isolation(BTreeMap<MachineId, Allowed>);

/// A text that is no rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NoRule;

impl core::fmt::Display for NoRule {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("a grant has a rule that the checker of isolation cannot read")
    }
}

impl core::error::Error for NoRule {}

impl Isolation {
    /// A machine has these grants, with those it has already, and these name servers.
    ///
    /// # Errors
    /// A rule cannot be read.
    pub fn grant(
        &mut self,
        machine: MachineId,
        grants: &Grants,
        servers: &[SocketAddr],
    ) -> Result<(), NoRule> {
        let read = |rules| Reach::read(rules).ok_or(NoRule);
        let allowed = self.0.entry(machine).or_default();
        allowed.connect.extend(read(&grants.connect)?);
        allowed.send.extend(read(&grants.send)?);
        allowed.listen.extend(read(&grants.listen)?);
        allowed.bind.extend(read(&grants.bind)?);
        allowed.servers.extend_from_slice(servers);
        Ok(())
    }

    /// Looks no more at a machine.
    pub fn forget(&mut self, machine: MachineId) {
        self.0.remove(&machine);
    }

    /// A machine knows an address by this name without asking anybody.
    pub fn knows(&mut self, machine: MachineId, ip: IpAddr, name: &str) {
        let allowed = self.0.entry(machine).or_default();
        if allowed.names.len() < NAMES {
            allowed
                .names
                .entry(ip)
                .or_default()
                .push(name.to_lowercase());
        }
    }

    /// A machine gets its addresses from the link: it may use DHCP and ask for routers.
    pub fn asks_for_addresses(&mut self, machine: MachineId) {
        self.0.entry(machine).or_default().asks_for_addresses = true;
    }
}

impl Allowed {
    fn may_know(&self, ip: IpAddr) -> bool {
        self.connect.names_address(ip, &self.names)
            || self.send.names_address(ip, &self.names)
            || self.heard_addresses.contains(&ip)
            || self.own.contains(&ip)
            || self.servers.iter().any(|server| server.ip() == ip)
    }

    /// What is wrong with a frame that leaves.
    fn wrong(&self, ethernet: bool, frame: &[u8]) -> Option<String> {
        if ethernet {
            let header = Ethernet::parse(frame)?;
            if header.kind == Ethernet::ARP {
                let target = header.payload.get(24..28)?.first_chunk::<4>()?;
                let target = IpAddr::V4(Ipv4Addr::from(*target));
                let may = self.may_know(target) || self.asks_for_addresses;
                return (!may).then(|| format!("asks who has {target}"));
            }
        }
        let ip = wire::packet(ethernet, frame).and_then(Ip::parse)?;
        match ip.protocol {
            _ if ip.fragment => (!self.may_know(ip.to)).then(|| format!("a fragment to {}", ip.to)),
            wire::TCP => self.wrong_tcp(&ip),
            wire::UDP => self.wrong_udp(&ip),
            wire::ICMP6 if (133..=136).contains(ip.payload.first()?) => self.wrong_discovery(&ip),
            wire::ICMP | wire::ICMP6 => {
                let heard = self.heard_addresses.contains(&ip.to);
                (!heard).then(|| format!("an ICMP message to {}", ip.to))
            }
            other => Some(format!("protocol {other} to {}", ip.to)),
        }
    }

    fn wrong_tcp(&self, ip: &Ip<'_>) -> Option<String> {
        let tcp = Tcp::parse(ip.payload)?;
        let to = SocketAddr::new(ip.to, tcp.to);
        let answers = self.heard.contains(&(wire::TCP, to, tcp.from))
            && (tcp.rst || self.listen.names_port(tcp.from));
        let granted = self.connect.names(ip.to, tcp.to, &self.names);
        let asks = self.servers.contains(&to);
        (!granted && !answers && !asks).then(|| format!("a segment to {to}"))
    }

    fn wrong_udp(&self, ip: &Ip<'_>) -> Option<String> {
        let (from, port) = ip.ports()?;
        let to = SocketAddr::new(ip.to, port);
        let dhcp = self.asks_for_addresses && (from, port) == (68, 67);
        let answers = self.heard.contains(&(wire::UDP, to, from)) && self.bind.names_port(from);
        let granted = self.send.names(ip.to, port, &self.names);
        let asks = self.servers.contains(&to);
        (!granted && !answers && !asks && !dhcp).then(|| format!("a datagram to {to}"))
    }

    /// Neighbour discovery, RFC 4861.
    fn wrong_discovery(&self, ip: &Ip<'_>) -> Option<String> {
        match ip.payload.first()? {
            // A solicitation may be about whom it may know, an answer goes to whom it has heard or to all.
            135 => {
                let target = ip.payload.get(8..24)?.first_chunk::<16>()?;
                let target = IpAddr::V6(Ipv6Addr::from(*target));
                let may = self.may_know(target) || self.asks_for_addresses;
                (!may).then(|| format!("asks who has {target}"))
            }
            136 => {
                let may = ip.to.is_multicast() || self.heard_addresses.contains(&ip.to);
                (!may).then(|| format!("tells {} where it is", ip.to))
            }
            133 if self.asks_for_addresses => None,
            kind => Some(format!("neighbour discovery {kind} to {}", ip.to)),
        }
    }

    fn hear(&mut self, ethernet: bool, frame: &[u8]) -> Option<()> {
        if ethernet {
            let header = Ethernet::parse(frame)?;
            if header.kind == Ethernet::ARP {
                let sender = header.payload.get(14..18)?.first_chunk::<4>()?;
                self.hear_address(IpAddr::V4(Ipv4Addr::from(*sender)));
                return Some(());
            }
        }
        let ip = wire::packet(ethernet, frame).and_then(Ip::parse)?;
        self.hear_address(ip.from);
        let (from, to) = ip.ports()?;
        let far = SocketAddr::new(ip.from, from);
        if self.heard.len() >= HEARD {
            self.heard.pop_first();
        }
        self.heard.insert((ip.protocol, far, to));
        if self.servers.contains(&far) && ip.protocol == wire::UDP {
            self.learn(ip.payload.get(8..)?);
        }
        Some(())
    }

    fn hear_address(&mut self, ip: IpAddr) {
        if self.heard_addresses.len() >= HEARD {
            self.heard_addresses.pop_first();
        }
        self.heard_addresses.insert(ip);
    }

    /// A DNS answer (RFC 1035 section 4.1): the addresses in it are of the name that was asked for.
    fn learn(&mut self, message: &[u8]) -> Option<()> {
        let answers = wire::be16(message, 6)?;
        let (name, mut at) = read_name(message, 12)?;
        at += 4;
        for _ in 0..answers {
            let (_, end) = read_name(message, at)?;
            let kind = wire::be16(message, end)?;
            let length = usize::from(wire::be16(message, end + 8)?);
            let data = message.get(end + 10..end + 10 + length)?;
            at = end + 10 + length;
            let ip = match kind {
                1 => IpAddr::V4(Ipv4Addr::from(*data.first_chunk::<4>()?)),
                28 => IpAddr::V6(Ipv6Addr::from(*data.first_chunk::<16>()?)),
                _ => continue,
            };
            if self.names.len() < NAMES {
                self.names.entry(ip).or_default().push(name.clone());
            }
        }
        Some(())
    }
}

/// A name of a DNS message, and where what follows begins. A pointer (RFC 1035 section 4.1.4) ends it: whom we
/// read of asks first, and spells its name out there.
fn read_name(message: &[u8], mut at: usize) -> Option<(String, usize)> {
    let mut name = String::new();
    loop {
        match usize::from(*message.get(at)?) {
            0 => return Some((name, at + 1)),
            length if length >= 0xc0 => return Some((name, at + 2)),
            length => {
                let label = message.get(at + 1..at + 1 + length)?;
                if !name.is_empty() {
                    name.push('.');
                }
                name.push_str(&String::from_utf8_lossy(label).to_lowercase());
                at += 1 + length;
            }
        }
    }
}

impl Checker for Isolation {
    fn name(&self) -> &'static str {
        "isolation"
    }

    fn see(&mut self, _: Instant, machine: MachineId, seen: &Seen<'_>, found: &mut Found<'_>) {
        let Some(allowed) = self.0.get_mut(&machine) else {
            return;
        };
        match *seen {
            Seen::Booted { addresses, .. } => {
                allowed.own = addresses.iter().map(|own| own.address()).collect();
            }
            Seen::Arrived { ethernet, frame } => _ = allowed.hear(ethernet, frame),
            Seen::Sent { ethernet, frame } => {
                if let Some(wrong) = allowed.wrong(ethernet, frame) {
                    found.violation(|| format!("{wrong}, which no grant names"));
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checker::show;

    /// A packet from 10.0.0.1 to `to`, from port 5000 to `port`.
    fn packet(protocol: u8, to: [u8; 4], ports: (u16, u16), flags: u8) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 1];
        packet.extend_from_slice(&to);
        packet.extend_from_slice(&ports.0.to_be_bytes());
        packet.extend_from_slice(&ports.1.to_be_bytes());
        packet.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0]);
        let pairs = packet[..20].chunks(2);
        let sum: u32 = pairs
            .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
            .sum();
        let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
        packet[10..12].copy_from_slice(&sum.to_be_bytes());
        packet
    }

    fn checker() -> Isolation {
        let mut isolation = Isolation::default();
        let rules = |text: &str| vec![text.to_owned()];
        let grants = Grants {
            connect: rules("10.0.0.2:80"),
            send: rules("10.0.0.2:53"),
            listen: rules("any:8080"),
            bind: rules("any:9"),
        };
        let server = "10.0.0.53:53".parse().unwrap();
        isolation.grant(MachineId(0), &grants, &[server]).unwrap();
        isolation
    }

    fn sent(frame: &[u8]) -> (u64, u32, Seen<'_>) {
        let ethernet = false;
        (0, 0, Seen::Sent { ethernet, frame })
    }

    #[test]
    fn what_a_grant_names_may_be_sent() {
        for frame in [
            packet(wire::TCP, [10, 0, 0, 2], (5_000, 80), 2),
            packet(wire::UDP, [10, 0, 0, 2], (5_000, 53), 0),
            packet(wire::UDP, [10, 0, 0, 53], (5_000, 53), 0),
        ] {
            assert_eq!(show(&mut checker(), &[sent(&frame)]), [""; 0]);
        }
    }

    #[test]
    fn reject_what_no_grant_names() {
        for frame in [
            packet(wire::TCP, [10, 0, 0, 2], (5_000, 81), 2),
            packet(wire::TCP, [10, 0, 0, 3], (5_000, 80), 2),
            packet(wire::TCP, [10, 0, 0, 3], (8_080, 80), 0x12),
            packet(wire::TCP, [10, 0, 0, 3], (5_000, 80), 4),
            packet(wire::UDP, [10, 0, 0, 2], (5_000, 80), 0),
            packet(wire::UDP, [10, 0, 0, 3], (9, 80), 0),
            packet(wire::ICMP, [10, 0, 0, 3], (0x0300, 0), 0),
            packet(47, [10, 0, 0, 2], (0, 0), 0),
        ] {
            assert_eq!(show(&mut checker(), &[sent(&frame)]).len(), 1);
        }
    }

    /// A machine may answer whom it has heard, from where it listens, and else with a reset.
    #[test]
    fn whom_it_has_heard_it_may_answer() {
        let heard = |protocol, ports| {
            let mut frame = packet(protocol, [10, 0, 0, 1], ports, 2);
            // From 10.0.0.3 to 10.0.0.1: the sum goes up by two.
            frame[15] = 3;
            let sum = u16::from_be_bytes([frame[10], frame[11]]) - 2;
            frame[10..12].copy_from_slice(&sum.to_be_bytes());
            frame
        };
        let ethernet = false;
        for (question, answer, may) in [
            ((wire::TCP, (7, 8_080)), (wire::TCP, (8_080, 7), 0x12), true),
            (
                (wire::TCP, (7, 8_081)),
                (wire::TCP, (8_081, 7), 0x12),
                false,
            ),
            ((wire::TCP, (7, 8_081)), (wire::TCP, (8_081, 7), 4), true),
            ((wire::UDP, (7, 9)), (wire::UDP, (9, 7), 0), true),
            ((wire::UDP, (7, 10)), (wire::UDP, (10, 7), 0), false),
            ((wire::UDP, (7, 10)), (wire::ICMP, (0x0303, 0), 0), true),
        ] {
            let frame = &heard(question.0, question.1)[..];
            let answer = packet(answer.0, [10, 0, 0, 3], answer.1, answer.2);
            let seen = [(0, 0, Seen::Arrived { ethernet, frame }), sent(&answer)];
            assert_eq!(show(&mut checker(), &seen).is_empty(), may, "{question:?}");
        }
    }

    #[test]
    fn an_answer_says_which_addresses_a_name_has() {
        let mut isolation = Isolation::default();
        let grants = Grants {
            connect: vec!["api.example.com:443".to_owned()],
            ..Grants::default()
        };
        isolation.grant(MachineId(0), &grants, &[]).unwrap();
        let frame = packet(wire::TCP, [198, 51, 100, 7], (5_000, 443), 2);
        assert_eq!(show(&mut isolation, &[sent(&frame)]).len(), 1);
        let mut answer = vec![0, 1, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
        answer.extend_from_slice(b"\x03api\x07example\x03com\x00\x00\x01\x00\x01");
        answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 198, 51, 100, 7]);
        let allowed = isolation.0.get_mut(&MachineId(0)).unwrap();
        assert_eq!(allowed.learn(&answer), Some(()));
        assert_eq!(show(&mut isolation, &[sent(&frame)]), [""; 0]);
    }
}
