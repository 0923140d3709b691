//! Routers made by hand and a node that believes them: what it takes, for how long, and what it refuses.

mod hostile;
mod lifetimes;
mod routers;

use std::time::Duration;

use nexus_stack::{
    AddressEvent, AddressingV4, AddressingV6, Config, ConfigError, Medium, Stack, TcpOptions,
    UdpOptions,
};
use nexus_types::{Instant, InterfaceAddress, IpAddr, Ipv6Addr, Seed, SocketAddr};

use crate::pair::{APP, address, interface};
use crate::raw;

const OURS: [u8; 6] = [2, 0, 0, 0, 0, 1];
const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 2];
const DAY: u32 = 86_400;
const ALL_NODES: &str = "ff02::1";

fn config() -> Config {
    let mut config = Config::new(1_500, Vec::new());
    config.medium = Medium::Ethernet(OURS);
    config.addressing_v6 = AddressingV6::Slaac;
    config
}

fn ip(text: &str) -> Ipv6Addr {
    text.parse().expect("an address")
}

/// A prefix as a router announces it; each test changes what it is about.
#[derive(Clone)]
struct Prefix {
    prefix: Ipv6Addr,
    len: u8,
    flags: u8,
    valid: u32,
    preferred: u32,
}

const ON_LINK: u8 = 0x80;
const AUTONOMOUS: u8 = 0x40;

fn prefix(text: &str) -> Prefix {
    Prefix {
        prefix: ip(text),
        len: 64,
        flags: ON_LINK | AUTONOMOUS,
        valid: DAY,
        preferred: DAY / 2,
    }
}

impl Prefix {
    fn option(&self) -> Vec<u8> {
        let mut option = vec![3, 4, self.len, self.flags];
        option.extend(self.valid.to_be_bytes());
        option.extend(self.preferred.to_be_bytes());
        option.extend([0; 4]);
        option.extend(self.prefix.octets());
        option
    }
}

fn servers(list: &[&str], lifetime: u32) -> Vec<u8> {
    let mut option = vec![25, 1 + 2 * list.len() as u8, 0, 0];
    option.extend(lifetime.to_be_bytes());
    list.iter()
        .for_each(|text| option.extend(ip(text).octets()));
    option
}

/// An advertisement; each test changes what it is about.
#[derive(Clone)]
struct Advert {
    from: Ipv6Addr,
    mac: [u8; 6],
    hop_limit: u8,
    code: u8,
    flags: u8,
    lifetime: u16,
    options: Vec<u8>,
}

const HIGH: u8 = 0x08;
const LOW: u8 = 0x18;

/// From `fe80::NUMBER`, whose hardware address ends like that; with its own in an option.
fn advert(number: u8) -> Advert {
    let mac = [2, 0, 0, 0, 0, number];
    let mut options = vec![1, 1];
    options.extend(mac);
    Advert {
        from: Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, number.into()),
        mac,
        hop_limit: 255,
        code: 0,
        flags: 0,
        lifetime: 1_800,
        options,
    }
}

impl Advert {
    fn with(mut self, option: impl AsRef<[u8]>) -> Self {
        self.options.extend(option.as_ref());
        self
    }

    fn prefix(self, change: impl FnOnce(&mut Prefix)) -> Self {
        let mut prefix = prefix("2001:db8:1::");
        change(&mut prefix);
        self.with(prefix.option())
    }

    fn packet(&self) -> Vec<u8> {
        let [a, b] = self.lifetime.to_be_bytes();
        let mut message = vec![134, self.code, 0, 0, 64, self.flags, a, b];
        message.extend([0; 8]);
        message.extend(&self.options);
        let to = IpAddr::V6(ip(ALL_NODES));
        let mut packet = raw::packet(self.from.into(), to, 58, message, 2);
        packet[7] = self.hop_limit;
        packet
    }

    fn frame(&self) -> Vec<u8> {
        framed(self.mac, &self.packet())
    }
}

fn framed(from: [u8; 6], packet: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x33, 0x33, 0, 0, 0, 1];
    frame.extend(from);
    frame.extend([0x86, 0xdd]);
    frame.extend(packet);
    frame
}

/// A message of neighbour discovery that the node sent: its kind, source, destination and target.
fn discovery(frame: &[u8]) -> Option<(u8, Ipv6Addr, Ipv6Addr, Option<Ipv6Addr>)> {
    if frame[12..14] != [0x86, 0xdd] || frame[20] != 58 || !(133..=137).contains(&frame[54]) {
        return None;
    }
    assert_eq!(frame[21], 255, "the hop limit");
    Some((
        frame[54],
        at(frame, 22),
        at(frame, 38),
        (frame[54] >= 135).then(|| at(frame, 62)),
    ))
}

fn at(frame: &[u8], at: usize) -> Ipv6Addr {
    let octets: [u8; 16] = frame[at..at + 16].try_into().expect("sixteen");
    octets.into()
}

/// A node on a link; neighbours answer for themselves if they are listed.
struct Desk {
    stack: Stack,
    now: Instant,
    alive: Vec<Ipv6Addr>,
}

impl Desk {
    fn with(config: Config, seed: u64) -> Self {
        let now = Instant::from_secs(1);
        let stack = Stack::new(config, now, Seed::from_number(seed)).expect("sound");
        Self {
            stack,
            now,
            alive: Vec::new(),
        }
    }

    /// With a router that has announced 2001:db8:1::/64 and two servers.
    fn settled() -> Self {
        let mut desk = Self::with(config(), 1);
        desk.run(Duration::from_secs(2));
        desk.hear(&advert(2).prefix(|_| {}).with(servers(
            &["2001:db8:1::53", "2001:db8::54", "2001:db8::55"],
            3_600,
        )));
        desk.run(Duration::from_secs(2));
        desk.events();
        desk
    }

    fn hear(&mut self, advert: &Advert) {
        self.stack.handle_frame(self.now, &advert.frame());
    }

    /// Lets time pass; what was sent in it.
    fn run(&mut self, time: Duration) -> Vec<(Instant, Vec<u8>)> {
        let until = self.now + time;
        let mut sent = Vec::new();
        loop {
            while let Some(frame) = self.stack.poll_transmit(self.now) {
                sent.push((self.now, frame.to_vec()));
                self.stack.recycle(frame);
                let (_, last) = sent.last().expect("one");
                self.answer(&last.clone());
            }
            match self.stack.poll_timeout().filter(|at| *at <= until) {
                Some(at) => self.now = self.now.max(at),
                None => break,
            }
            self.stack.handle_timeout(self.now);
        }
        self.now = until;
        sent
    }

    fn answer(&mut self, question: &[u8]) {
        let Some((135, src, _, Some(target))) = discovery(question) else {
            return;
        };
        if src.is_unspecified() || !self.alive.contains(&target) {
            return;
        }
        let mac = [2, 0, 0, 0, 0, target.octets()[15]];
        let mut body = target.octets().to_vec();
        body.extend([2, 1]);
        body.extend(mac);
        let mut packet = raw::icmp(target.into(), src.into(), 136, 0, &body);
        // Solicited, override.
        packet[44] = 0x60;
        packet[7] = 255;
        let payload = packet.split_off(40);
        let mut packet = raw::packet(target.into(), src.into(), 58, payload, 2);
        packet[7] = 255;
        let mut frame = framed(mac, &packet);
        frame[..6].copy_from_slice(&OURS);
        self.stack.handle_frame(self.now, &frame);
    }

    fn events(&mut self) -> Vec<AddressEvent> {
        core::iter::from_fn(|| self.stack.poll_address_event()).collect()
    }

    /// Our addresses that are not link-local.
    fn addresses(&self) -> Vec<Ipv6Addr> {
        own(&self.stack)
            .into_iter()
            .filter(|own| !own.is_unicast_link_local())
            .collect()
    }

    /// The one address of a network.
    fn address_in(&self, network: &str) -> Option<Ipv6Addr> {
        let network = interface(network, 64);
        let mut own = self.addresses().into_iter();
        own.find(|own| network.contains(IpAddr::V6(*own)))
    }

    fn gateway(&self) -> Option<IpAddr> {
        self.stack.gateways().find(|gateway| gateway.is_ipv6())
    }

    /// The hardware and IP addresses of a datagram to somebody: to, and from.
    fn sends(&mut self, to: &str) -> Option<([u8; 6], Ipv6Addr)> {
        let any = SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), 0);
        let (now, options) = (self.now, UdpOptions::default());
        let socket = self
            .stack
            .udp_bind(now, APP, any, &options)
            .expect("a port");
        let to = SocketAddr::new(ip(to).into(), 9);
        let sent = self.stack.udp_send(now, socket, b"x", to);
        let sent = sent.ok().map(|()| self.run(Duration::from_millis(10)));
        self.stack.udp_close(socket);
        let sent = sent?.into_iter().find(|(_, frame)| frame[20] == 17)?.1;
        Some((sent[..6].try_into().expect("six"), at(&sent, 22)))
    }
}

fn own(stack: &Stack) -> Vec<Ipv6Addr> {
    let v6 = |own: &InterfaceAddress| match own.address() {
        IpAddr::V6(ip) => Some(ip),
        IpAddr::V4(_) => None,
    };
    stack.addresses().iter().filter_map(v6).collect()
}

fn mac(number: u8) -> [u8; 6] {
    [2, 0, 0, 0, 0, number]
}

/// Goal: a node that is told nothing finds its place on a link. Method: one advertisement, and all it said is used.
#[test]
fn an_advertisement_gives_addresses_gateway_and_servers() {
    let mut desk = Desk::with(config(), 1);
    let [link_local] = own(&desk.stack)[..] else {
        panic!("a link-local address")
    };
    assert!(link_local.is_unicast_link_local());
    let sent = desk.run(Duration::from_secs(1));
    let talk: Vec<_> = sent
        .iter()
        .filter_map(|(_, frame)| discovery(frame))
        .collect();
    let count = |kind| talk.iter().filter(|(this, ..)| *this == kind).count();
    // Asked for three times and announced; and for routers, once, in nobody's name as it is not sure yet.
    assert_eq!((count(135), count(136), count(133)), (3, 1, 1));
    let asked = sent
        .iter()
        .find(|(_, frame)| frame[54] == 133)
        .expect("one");
    assert_eq!(asked.1[..6], [0x33, 0x33, 0, 0, 0, 2]);
    assert_eq!(asked.1.len(), 14 + 40 + 8, "no option");
    let (_, src, dst, _) = discovery(&asked.1).expect("one");
    assert_eq!((src, dst), (Ipv6Addr::UNSPECIFIED, ip("ff02::2")));
    let ready = |ip: Ipv6Addr| AddressEvent::Ready(InterfaceAddress::new(ip.into(), 64).unwrap());
    assert_eq!(desk.events(), [ready(link_local)]);
    assert_eq!(desk.gateway(), None);

    desk.alive = vec![ip("fe80::2")];
    let three = ["2001:db8:1::53", "2001:db8::54", "2001:db8::55"];
    desk.hear(&advert(2).prefix(|_| {}).with(servers(&three, 3_600)));
    assert_eq!(desk.events(), [AddressEvent::Changed]);
    let made = desk.address_in("2001:db8:1::").expect("made at once");
    let sent = desk.run(Duration::from_secs(1));
    let probes = sent.iter().filter_map(|(_, frame)| discovery(frame));
    let probes = probes.filter(|(kind, src, _, target)| {
        (*kind, *src, *target) == (135, Ipv6Addr::UNSPECIFIED, Some(made))
    });
    assert_eq!(probes.count(), 3);
    assert_eq!(desk.events(), [ready(made)]);
    assert_eq!(desk.gateway(), Some(ip("fe80::2").into()));
    // Two of three: a lookup that fails is to say so in time.
    let two = [address("[2001:db8:1::53]:53"), address("[2001:db8::54]:53")];
    assert_eq!(desk.stack.resolvers(), two);
    // Elsewhere goes to the router; it said where it is, so nobody had to be asked.
    assert_eq!(desk.sends("2001:db8:9::1"), Some((ROUTER, made)));
    // It answers no more questions, and nothing is due but the ends of what it said.
    let mut quiet = desk.run(Duration::from_secs(1_000)).into_iter();
    assert!(quiet.all(|(_, frame)| frame[54] != 133));
    assert!(desk.stack.poll_timeout() > Some(desk.now));
}

/// Goal: addresses show neither the machine nor the secret, and stay (RFC 7217). Method: seeds and networks compared.
#[test]
fn addresses_are_stable_and_say_nothing() {
    let made = |seed, network: &str| {
        let mut desk = Desk::with(config(), seed);
        desk.hear(&advert(2).prefix(|p| p.prefix = ip(network)));
        let mut all = own(&desk.stack);
        all.sort();
        assert_eq!(all.len(), 2);
        all.iter().map(|ip| ip.to_bits() as u64).collect::<Vec<_>>()
    };
    let one = made(1, "2001:db8:1::");
    assert_eq!(one, made(1, "2001:db8:1::"));
    let mut all = [one, made(1, "2001:db8:2::"), made(2, "2001:db8:1::")].concat();
    let eui64 = 0x0000_00ff_fe00_0001;
    assert!(!all.contains(&eui64));
    all.sort_unstable();
    all.dedup();
    // The link-local one of the first seed is there twice.
    assert_eq!(all.len(), 5);
}

/// Goal: what addresses are made of and what is on the link are two things (RFC 5942). Method: each without the other.
#[test]
fn on_link_and_autonomous_are_kept_apart() {
    let mut desk = Desk::with(config(), 1);
    desk.run(Duration::from_secs(2));
    desk.alive = vec![ip("2001:db8:a::7"), ip("2001:db8:b::7")];
    let only = |network, flags| advert(2).prefix(|p| (p.prefix, p.flags) = (ip(network), flags));
    desk.hear(&only("2001:db8:a::", ON_LINK));
    assert!(desk.addresses().is_empty());
    desk.hear(&only("2001:db8:b::", AUTONOMOUS));
    desk.run(Duration::from_secs(2));
    assert_eq!(desk.addresses().len(), 1);
    let own = desk.address_in("2001:db8:b::").expect("made");
    assert_eq!(desk.sends("2001:db8:a::7"), Some((mac(7), own)));
    assert_eq!(desk.sends("2001:db8:b::7"), Some((ROUTER, own)));
    // What says neither says nothing about the one either.
    desk.hear(&only("2001:db8:a::", AUTONOMOUS));
    assert_eq!(desk.addresses().len(), 2);
    desk.run(Duration::from_secs(2));
    let own = desk.address_in("2001:db8:a::").expect("made");
    assert_eq!(desk.sends("2001:db8:a::7"), Some((mac(7), own)));
    // On the link no more: over the router.
    desk.hear(&advert(2).prefix(|p| {
        (p.prefix, p.flags) = (ip("2001:db8:a::"), ON_LINK);
        (p.valid, p.preferred) = (0, 0);
    }));
    assert_eq!(desk.sends("2001:db8:a::7"), Some((ROUTER, own)));
}

/// Goal: a flow has the address that fits (RFC 6724). Method: a local and a global network, and each kind of far end.
#[test]
fn the_address_that_fits_the_far_end_is_used() {
    for order in [["fd00::", "2001:db8:1::"], ["2001:db8:1::", "fd00::"]] {
        let mut desk = Desk::with(config(), 1);
        let [one, two] = order.map(|network| prefix(network).option());
        desk.alive = vec![ip("fe80::7")];
        desk.hear(&advert(2).with(one).with(two));
        desk.run(Duration::from_secs(2));
        let [local, global] = ["fd00::", "2001:db8:1::"].map(|n| desk.address_in(n).unwrap());
        for (to, from) in [
            ("2001:db8:9::1", global),
            ("2600::1", global),
            ("fd00:1::1", local),
            ("2002:a00:1::1", global),
        ] {
            assert_eq!(desk.sends(to), Some((ROUTER, from)), "{to} {order:?}");
        }
        let link_local = own(&desk.stack)[0];
        assert_eq!(desk.sends("fe80::7"), Some((mac(7), link_local)));
    }
    // Alike is not the same kind: 6to4 has more bits in common with this one.
    let mut desk = Desk::with(config(), 1);
    let [six_to_four, native] = ["2002:a00:1::", "2600:1::"].map(|n| prefix(n).option());
    desk.hear(&advert(2).with(six_to_four).with(native));
    desk.run(Duration::from_secs(2));
    let native = desk.address_in("2600:1::").expect("made");
    assert_eq!(desk.sends("2003::1"), Some((ROUTER, native)));
}

#[test]
fn servers_of_dhcp_come_first_and_configured_ones_stay() {
    let mut fixed = config();
    fixed.resolver.servers = vec![address("192.0.2.1:53")];
    let mut desk = Desk::with(fixed, 1);
    desk.hear(&advert(2).with(servers(&["2001:db8::53"], 600)));
    assert_eq!(desk.stack.resolvers(), [address("192.0.2.1:53")]);
    // With static IPv4 addresses beside it, and both families from the link.
    let mut both = config();
    both.addresses = vec![interface("10.0.0.1", 24)];
    let mut desk = Desk::with(both, 1);
    desk.hear(&advert(2).with(servers(&["2001:db8::53"], 600)));
    assert_eq!(desk.stack.resolvers(), [address("[2001:db8::53]:53")]);
    let mut both = config();
    both.addressing_v4 = AddressingV4::Dhcp;
    let mut desk = Desk::with(both, 1);
    desk.hear(&advert(2).with(servers(&["2001:db8::53", "2001:db8::54"], 600)));
    crate::dhcp::lease(&mut desk.stack, desk.now);
    let of_each = [address("10.0.0.53:53"), address("[2001:db8::53]:53")];
    assert_eq!(desk.stack.resolvers(), of_each);
}

/// Goal: what cannot be is refused before it runs. Method: each rule of the configuration, at and over.
#[test]
fn reject_configurations_that_cannot_learn() {
    let made = |change: &dyn Fn(&mut Config)| {
        let mut config = config();
        change(&mut config);
        Stack::new(config, Instant::ZERO, Seed::from_number(1)).err()
    };
    assert_eq!(made(&|_| {}), None);
    assert_eq!(
        made(&|c| c.medium = Medium::Ip),
        Some(ConfigError::AutomaticNeedsEthernet)
    );
    let mixed = |ip: &str| Some(ConfigError::StaticAndAutomatic(ip.parse().unwrap()));
    assert_eq!(
        made(&|c| c.addresses = vec![interface("fd00::1", 64)]),
        mixed("fd00::1")
    );
    assert_eq!(
        made(&|c| c.gateway_v6 = Some(ip("fe80::1"))),
        mixed("fe80::1")
    );
    assert_eq!(made(&|c| c.mtu = 1_280), None);
    assert_eq!(
        made(&|c| c.mtu = 1_279),
        Some(ConfigError::MtuForIpv6(1_279))
    );
    // Nine may be made, one leased; sixteen there may be.
    let v4 = |count: u8| {
        (1..=count)
            .map(|n| interface(&format!("10.0.0.{n}"), 24))
            .collect()
    };
    assert_eq!(made(&|c| c.addresses = v4(7)), None);
    assert_eq!(
        made(&|c| c.addresses = v4(8)),
        Some(ConfigError::TooManyAddresses(17))
    );
    assert_eq!(made(&|c| c.addressing_v4 = AddressingV4::Dhcp), None);
}

#[test]
fn a_node_with_static_addresses_believes_no_router() {
    let mut fixed = config();
    fixed.addressing_v6 = AddressingV6::Static;
    fixed.addresses = vec![interface("fd00::1", 64)];
    let mut desk = Desk::with(fixed, 1);
    desk.hear(&advert(2).prefix(|_| {}));
    assert_eq!((own(&desk.stack).len(), desk.gateway()), (1, None));
    assert_eq!(desk.stack.stats().dropped_protocol, 1);
    let sent = desk.run(Duration::from_secs(100));
    assert!(sent.iter().all(|(_, frame)| frame[54] != 133));
    let options = TcpOptions::default();
    let to = address("[2001:db8::1]:80");
    let way = desk.stack.tcp_connect(desk.now, APP, None, to, &options);
    assert!(way.is_err());
}

/// Goal: who asks for a neighbour says where an address is, so never with one that may be another's (RFC 4862 section
/// 5.4). Method: a packet from a sure address, to a network where ours is not sure yet.
#[test]
fn neighbours_are_asked_for_from_an_address_that_is_sure() {
    let mut desk = Desk::settled();
    let sure = desk.address_in("2001:db8:1::").expect("made");
    desk.hear(&advert(2).prefix(|p| p.prefix = ip("2001:db8:2::")));
    let unsure = desk.address_in("2001:db8:2::").expect("made");
    desk.alive = vec![ip("2001:db8:2::7")];
    let (from, to) = (
        SocketAddr::new(sure.into(), 0),
        address("[2001:db8:2::7]:9"),
    );
    let options = UdpOptions::default();
    let socket = desk.stack.udp_bind(desk.now, APP, from, &options);
    let sent = desk
        .stack
        .udp_send(desk.now, socket.expect("ours"), b"x", to);
    sent.expect("room");
    let sent = desk.run(Duration::ZERO);
    let asked = sent.iter().filter_map(|(_, frame)| discovery(frame));
    let asked: Vec<_> = asked.filter(|asked| asked.3 != Some(unsure)).collect();
    let [(135, source, _, Some(_))] = asked[..] else {
        panic!("{asked:?}")
    };
    assert_ne!(source, unsure);
    assert!(own(&desk.stack).contains(&source));
    assert!(
        sent.iter()
            .any(|(_, frame)| frame[20] == 17 && at(frame, 22) == sure)
    );
}
