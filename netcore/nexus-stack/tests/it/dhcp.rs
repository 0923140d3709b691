//! A DHCP client and a server made by hand: what it takes, what it refuses, and what it does when it loses.

mod release;

use std::time::Duration;

use nexus_stack::{
    AddressEvent, AddressingV4, Config, ConfigError, ConnectError, Medium, OfferFault, Stack,
    TcpError, TcpOptions, UdpError, UdpOptions,
};
use nexus_types::{Instant, InterfaceAddress, Ipv4Addr, Seed, SocketAddr, limits};

use crate::pair::{APP, address, idle, interface};
use crate::raw;

const OURS: [u8; 6] = [2, 0, 0, 0, 0, 1];
const SERVER: [u8; 6] = [2, 0, 0, 0, 0, 2];
const GIVEN: [u8; 4] = [10, 0, 0, 9];

const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const DECLINE: u8 = 4;
const ACK: u8 = 5;
const NAK: u8 = 6;

fn config() -> Config {
    let mut config = Config::new(1_500, Vec::new());
    config.medium = Medium::Ethernet(OURS);
    config.addressing_v4 = AddressingV4::Dhcp;
    config
}

/// A message of the client as its server reads it.
#[derive(Clone, Debug)]
struct Asked {
    kind: u8,
    xid: [u8; 4],
    src: [u8; 4],
    dst: [u8; 4],
    requested: Option<Vec<u8>>,
    server: Option<Vec<u8>>,
    frame: Vec<u8>,
}

impl Asked {
    fn read(frame: &[u8]) -> Option<Self> {
        if frame[12..14] != [8, 0] || frame[34..38] != [0, 68, 0, 67] {
            return None;
        }
        let message = &frame[42..];
        assert_eq!(message[28..34], OURS);
        let option = |wanted: u8| {
            let mut rest = &message[240..];
            while let [kind, len, after @ ..] = rest {
                if *kind == 255 {
                    break;
                }
                let (value, after) = after.split_at(usize::from(*len));
                if *kind == wanted {
                    return Some(value.to_vec());
                }
                rest = after;
            }
            None
        };
        Some(Self {
            kind: option(53).expect("a kind")[0],
            xid: message[4..8].try_into().expect("four"),
            src: frame[26..30].try_into().expect("four"),
            dst: frame[30..34].try_into().expect("four"),
            requested: option(50),
            server: option(54),
            frame: frame.to_vec(),
        })
    }
}

/// What a server says; each test changes what it is about.
#[derive(Clone)]
struct Reply {
    kind: u8,
    xid: [u8; 4],
    address: [u8; 4],
    mac: [u8; 6],
    server: [u8; 4],
    mask: [u8; 4],
    router: Option<[u8; 4]>,
    dns: Vec<u8>,
    lease: u32,
    /// When to renew and to rebind (options 58 and 59).
    times: Option<[u32; 2]>,
}

impl Reply {
    fn to(asked: &Asked, kind: u8) -> Self {
        Self {
            kind,
            xid: asked.xid,
            address: GIVEN,
            mac: OURS,
            server: [10, 0, 0, 2],
            mask: [255, 255, 255, 0],
            router: Some([10, 0, 0, 2]),
            dns: vec![10, 0, 0, 53, 9, 9, 9, 9, 8, 8, 8, 8],
            lease: 3_600,
            times: None,
        }
    }

    fn frame(&self) -> Vec<u8> {
        let mut message = vec![0; 240];
        message[..3].copy_from_slice(&[2, 1, 6]);
        message[4..8].copy_from_slice(&self.xid);
        message[16..20].copy_from_slice(&self.address);
        message[28..34].copy_from_slice(&self.mac);
        message[236..].copy_from_slice(&[0x63, 0x82, 0x53, 0x63]);
        message.extend([53, 1, self.kind, 54, 4]);
        message.extend(self.server);
        message.extend([1, 4]);
        message.extend(self.mask);
        if let Some(router) = self.router {
            message.extend([3, 4]);
            message.extend(router);
        }
        if !self.dns.is_empty() {
            message.extend([6, self.dns.len() as u8]);
            message.extend(&self.dns);
        }
        message.extend([51, 4]);
        message.extend(self.lease.to_be_bytes());
        for (option, secs) in (58..).zip(self.times.into_iter().flatten()) {
            message.extend([option, 4]);
            message.extend(secs.to_be_bytes());
        }
        message.push(255);
        let from = SocketAddr::new(Ipv4Addr::new(10, 0, 0, 2).into(), 67);
        let to = SocketAddr::new(Ipv4Addr::BROADCAST.into(), 68);
        let mut frame = vec![0xff; 6];
        frame.extend(SERVER);
        frame.extend([8, 0]);
        frame.extend(raw::datagram(from, to, &message));
        frame
    }
}

struct Desk {
    stack: Stack,
    now: Instant,
}

impl Desk {
    fn new() -> Self {
        let now = Instant::from_secs(1);
        let stack = Stack::new(config(), now, Seed::from_number(1)).expect("sound");
        Self { stack, now }
    }

    /// Lets time pass; what was sent in it.
    fn run(&mut self, time: Duration) -> Vec<(Instant, Vec<u8>)> {
        let until = self.now + time;
        let mut sent = Vec::new();
        loop {
            while let Some(frame) = self.stack.poll_transmit(self.now) {
                sent.push((self.now, frame.to_vec()));
                self.stack.recycle(frame);
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

    /// The next message to a server, within `time`; others are let go.
    fn asks(&mut self, time: Duration) -> Option<Asked> {
        let until = self.now + time;
        loop {
            while let Some(frame) = self.stack.poll_transmit(self.now) {
                if let Some(asked) = Asked::read(&frame) {
                    return Some(asked);
                }
                // Who answers for the server, when it is asked for.
                if frame[12..14] == [8, 6] && frame[21] == 1 && frame[38..42] == [10, 0, 0, 2] {
                    self.answer_arp(&frame);
                }
            }
            let Some(at) = self.stack.poll_timeout().filter(|at| *at <= until) else {
                self.now = until;
                return None;
            };
            self.now = self.now.max(at);
            self.stack.handle_timeout(self.now);
        }
    }

    fn answer_arp(&mut self, question: &[u8]) {
        let mut frame = OURS.to_vec();
        frame.extend(SERVER);
        frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 2]);
        frame.extend(SERVER);
        frame.extend(&question[38..42]);
        frame.extend(OURS);
        frame.extend(&question[28..32]);
        self.stack.handle_frame(self.now, &frame);
    }

    fn deliver(&mut self, reply: &Reply) {
        self.stack.handle_frame(self.now, &reply.frame());
    }

    fn events(&mut self) -> Vec<AddressEvent> {
        core::iter::from_fn(|| self.stack.poll_address_event()).collect()
    }

    /// Takes a lease of these many seconds.
    fn bound(lease: u32) -> Self {
        let mut desk = Self::new();
        for (kind, say) in [(DISCOVER, OFFER), (REQUEST, ACK)] {
            let asked = desk.asks(Duration::from_secs(2)).expect("a question");
            assert_eq!((asked.kind, asked.src), (kind, [0; 4]));
            let mut reply = Reply::to(&asked, say);
            reply.lease = lease;
            desk.deliver(&reply);
        }
        desk.run(Duration::from_secs(1));
        desk
    }
}

/// Another station says that the address is its own.
fn claim() -> Vec<u8> {
    let mut claim = vec![0xff; 6];
    claim.extend([6; 6]);
    claim.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    claim.extend([6; 6]);
    claim.extend(GIVEN);
    claim.extend([0; 6]);
    claim.extend(GIVEN);
    claim
}

fn given() -> InterfaceAddress {
    interface("10.0.0.9", 24)
}

#[test]
fn a_lease_gives_address_gateway_and_servers() {
    let mut desk = Desk::new();
    assert_eq!(desk.stack.addresses(), []);
    let asked = desk.asks(Duration::ZERO).expect("at once");
    assert_eq!((asked.kind, asked.dst), (DISCOVER, [255; 4]));
    desk.deliver(&Reply::to(&asked, OFFER));
    let request = desk.asks(Duration::ZERO).expect("at once");
    assert_eq!((request.kind, request.xid), (REQUEST, asked.xid));
    assert_eq!(request.requested, Some(GIVEN.to_vec()));
    assert_eq!(request.server, Some(vec![10, 0, 0, 2]));
    desk.deliver(&Reply::to(&request, ACK));
    // Asked for on the link before it is used.
    assert_eq!(desk.events(), [AddressEvent::Changed]);
    let sent = desk.run(Duration::from_secs(1));
    let probes = sent
        .iter()
        .filter(|(_, frame)| frame[12..14] == [8, 6] && frame[28..32] == [0; 4]);
    assert_eq!(probes.count(), 3);
    assert_eq!(desk.events(), [AddressEvent::Ready(given())]);
    assert_eq!(desk.stack.addresses(), [given()]);
    let gateways: Vec<_> = desk.stack.gateways().collect();
    assert_eq!(gateways, [address("10.0.0.2:1").ip()]);
    // Two of three: a lookup that fails is to say so in time.
    let resolvers = [address("10.0.0.53:53"), address("9.9.9.9:53")];
    assert_eq!(desk.stack.resolvers(), resolvers);
    // Elsewhere goes through the gateway.
    let options = TcpOptions::default();
    let to = address("192.0.2.1:80");
    let connected = desk.stack.tcp_connect(desk.now, APP, None, to, &options);
    connected.expect("there is a way");
    let sent = desk.run(Duration::ZERO);
    assert_eq!(sent[0].1[38..42], [10, 0, 0, 2], "who is the gateway?");
}

#[test]
fn questions_are_asked_again_ever_more_slowly_and_with_ids_nobody_guesses() {
    let mut desk = Desk::new();
    let sent = desk.run(Duration::from_secs(600));
    let at: Vec<_> = sent.iter().map(|(at, _)| *at).collect();
    assert!((10..=17).contains(&at.len()), "{}", at.len());
    let gap = |n: usize| at[n + 1] - at[n];
    assert!(gap(0) < Duration::from_millis(1_300) && gap(1) > gap(0));
    assert!(gap(at.len() - 2) > Duration::from_secs(60));
    let asked = Asked::read(&sent[0].1).expect("a message");
    let other = Stack::new(config(), desk.now, Seed::from_number(2));
    let frame = other.expect("sound");
    let mut other = Desk {
        stack: frame,
        now: desk.now,
    };
    assert_ne!(other.asks(Duration::ZERO).expect("one").xid, asked.xid);
}

#[test]
fn a_lease_is_renewed_with_its_server_then_with_all() {
    let mut desk = Desk::bound(3_600);
    desk.events();
    // Half the time is over: its server is asked, from the address.
    assert!(desk.asks(Duration::from_secs(1_790)).is_none());
    desk.now = Instant::from_secs(1_801);
    let asked = desk.asks(Duration::from_secs(2)).expect("a question");
    assert_eq!((asked.src, asked.dst), (GIVEN, [10, 0, 0, 2]));
    assert_eq!((asked.kind, asked.server.is_none()), (REQUEST, true));
    desk.deliver(&Reply::to(&asked, ACK));
    assert_eq!(desk.events(), [], "nothing changed");
    // Silence: asked more often, at most once a minute; then all are asked; then it is lost.
    let (mut to_server, mut to_all) = (0, 0);
    let renewed = desk.now;
    while let Some(asked) = desk.asks(Duration::from_secs(3_700)) {
        if asked.kind == DISCOVER {
            break;
        }
        match asked.dst {
            [10, 0, 0, 2] => to_server += 1,
            _ => to_all += 1,
        }
    }
    assert!((3..=20).contains(&to_server) && (2..=8).contains(&to_all));
    assert_eq!(desk.now - renewed, Duration::from_secs(3_600));
    let lost = [AddressEvent::Lost(given()), AddressEvent::Changed];
    assert_eq!(desk.events(), lost);
    assert_eq!(desk.stack.addresses(), []);
    assert_eq!(desk.stack.gateways().count(), 0);
    assert_eq!(desk.stack.resolvers(), []);
}

/// Goal: no server has itself asked without end. Method: what it says of renewal, at and under the least; under it, and
/// where it makes no sense, half of the lease counts.
#[test]
fn reject_times_of_renewal_under_their_limit() {
    let least = (limits::DHCP_LEASE_SECS_MIN / 2) as u32;
    for (times, renews) in [
        ([least, least + 1], least),
        ([least - 1, least + 1], 60),
        ([1, 2], 60),
        ([0, 0], 60),
        ([90, 80], 60),
    ] {
        let mut desk = Desk::new();
        let mut bound = Instant::ZERO;
        for say in [OFFER, ACK] {
            let asked = desk.asks(Duration::from_secs(2)).expect("a question");
            bound = desk.now;
            let reply = Reply {
                lease: 120,
                times: Some(times),
                ..Reply::to(&asked, say)
            };
            desk.deliver(&reply);
        }
        desk.asks(Duration::from_secs(100)).expect("a renewal");
        let after = (desk.now - bound).as_secs();
        assert_eq!(after, u64::from(renews), "{times:?}");
    }
}

/// Goal: why an offer was refused can be told, a message that is no offer at all says nothing.
#[test]
fn reject_offers_with_their_reason() {
    let elsewhere = OfferFault::Gateway {
        address: given(),
        gateway: Ipv4Addr::new(10, 0, 1, 1),
    };
    let alone = OfferFault::Gateway {
        address: interface("10.0.0.9", 32),
        gateway: Ipv4Addr::new(10, 0, 0, 2),
    };
    for (change, fault) in [
        (
            &(|r: &mut Reply| r.xid[0] ^= 1) as &dyn Fn(&mut Reply),
            None,
        ),
        (&|r| r.mask = [0; 4], Some(OfferFault::Mask)),
        (
            &|r| r.address = [10, 0, 0, 255],
            Some(OfferFault::Address([10, 0, 0, 255].into())),
        ),
        (
            &|r| r.server = [0; 4],
            Some(OfferFault::Server(Ipv4Addr::UNSPECIFIED)),
        ),
        (&|r| r.router = Some([10, 0, 1, 1]), Some(elsewhere)),
        (&|r| r.mask = [255; 4], Some(alone)),
        (&|r| r.lease = 59, Some(OfferFault::Lease(Some(59)))),
    ] {
        let mut desk = Desk::new();
        let asked = desk.asks(Duration::ZERO).expect("a question");
        let mut offer = Reply::to(&asked, OFFER);
        change(&mut offer);
        desk.deliver(&offer);
        assert_eq!(desk.stack.refused_offer(), fault);
        assert!(desk.asks(Duration::ZERO).is_none());
    }
    assert_eq!(
        alone.to_string(),
        "its gateway 10.0.0.2 is no other host of the network of 10.0.0.9/32"
    );
}

/// What is open on an address that was lost ends; a new one can be had.
#[test]
fn flows_on_a_lost_address_end() {
    let mut desk = Desk::bound(3_600);
    let options = TcpOptions::default();
    let to = address("10.0.0.7:80");
    let open = desk
        .stack
        .tcp_connect(desk.now, APP, None, to, &options)
        .expect("a way");
    let udp = desk
        .stack
        .udp_bind(desk.now, APP, address("10.0.0.9:7"), &UdpOptions::default())
        .expect("ours");
    desk.events();
    desk.now = Instant::from_secs(1_801);
    let asked = desk.asks(Duration::from_secs(2)).expect("a question");
    let mut nak = Reply::to(&asked, NAK);
    nak.server = [10, 0, 0, 66];
    desk.deliver(&nak);
    assert_eq!(desk.events(), [], "not its server");
    // The attempt above has timed out meanwhile; this one is young.
    let young = desk
        .stack
        .tcp_connect(desk.now, APP, None, to, &options)
        .expect("a way");
    nak.server = [10, 0, 0, 2];
    desk.deliver(&nak);
    assert_eq!(desk.events()[0], AddressEvent::Lost(given()));
    let ended = |desk: &mut Desk, id| desk.stack.poll_connected(id, idle());
    assert!(ended(&mut desk, open).is_ready());
    let unreachable = std::task::Poll::Ready(Err(TcpError::Unreachable));
    assert_eq!(ended(&mut desk, young), unreachable);
    let told = desk.stack.poll_udp_recv(desk.now, udp, idle(), |_, _| ());
    assert!(matches!(told, std::task::Poll::Ready(Err(_))));
    // Nor does anything more go out in its name.
    let sent = desk.stack.udp_send(desk.now, udp, b"x", to);
    assert_eq!(sent, Err(UdpError::NoSource));
    let again = desk.stack.tcp_connect(desk.now, APP, None, to, &options);
    assert_eq!(again, Err(ConnectError::NoSource));
    assert!(desk.asks(Duration::from_secs(9)).is_none(), "a pause");
    let asked = desk.asks(Duration::from_secs(2)).expect("a question");
    assert_eq!(asked.kind, DISCOVER);
}

#[test]
fn reject_offers_a_host_cannot_live_with() {
    let mut desk = Desk::new();
    let asked = desk.asks(Duration::ZERO).expect("a question");
    let good = Reply::to(&asked, OFFER);
    let with = |change: &dyn Fn(&mut Reply)| {
        let mut reply = good.clone();
        change(&mut reply);
        reply
    };
    let mut bad = vec![
        // Not for us.
        with(&|r| r.xid[0] ^= 1),
        with(&|r| r.mac[5] ^= 1),
        // Not what was asked for.
        with(&|r| r.kind = ACK),
        with(&|r| r.kind = NAK),
        with(&|r| r.kind = 9),
        // No mask, holes in it, the whole world, a lease that ends at once.
        with(&|r| r.mask = [0; 4]),
        with(&|r| r.mask = [255, 0, 255, 0]),
        with(&|r| r.mask = [254, 0, 0, 0]),
        with(&|r| r.lease = 0),
        with(&|r| r.lease = 59),
        // A router that is elsewhere, or us.
        with(&|r| r.router = Some([10, 0, 1, 1])),
        with(&|r| r.router = Some([10, 0, 0, 255])),
        with(&|r| r.router = Some(GIVEN)),
        with(&|r| r.dns = vec![1, 2, 3]),
        with(&|r| r.server = [0; 4]),
        with(&|r| r.server = [255; 4]),
    ];
    for address in [
        [0, 0, 0, 0],
        [10, 0, 0, 0],
        [10, 0, 0, 255],
        [127, 0, 0, 1],
        [224, 0, 0, 1],
        [240, 0, 0, 1],
        [255, 255, 255, 255],
    ] {
        bad.push(with(&|r| (r.address, r.router) = (address, None)));
    }
    for (number, reply) in bad.iter().enumerate() {
        let before = desk.stack.stats().dropped_malformed;
        desk.deliver(reply);
        let dropped = desk.stack.stats().dropped_malformed;
        assert_eq!(dropped, before + 1, "{number}");
        assert!(desk.asks(Duration::ZERO).is_none(), "{number}");
    }
    // Servers nobody can ask are left out; the offer is good.
    let odd = with(&|r| r.dns = vec![0, 0, 0, 0, 127, 0, 0, 1, 255, 255, 255, 255, 10, 0, 0, 53]);
    desk.deliver(&odd);
    let request = desk.asks(Duration::ZERO).expect("a request");
    // Another server's acknowledgement, and one of another address, are none.
    let ack = Reply::to(&request, ACK);
    for change in [
        Reply {
            server: [10, 0, 0, 66],
            ..ack.clone()
        },
        Reply {
            address: [10, 0, 0, 66],
            ..ack.clone()
        },
    ] {
        desk.deliver(&change);
        assert_eq!(desk.stack.addresses(), []);
    }
    desk.deliver(&Reply {
        dns: odd.dns,
        ..ack
    });
    assert_eq!(desk.stack.resolvers(), [address("10.0.0.53:53")]);
    // Once it has what it asked for it listens no more.
    let before = desk.stack.stats().dropped_address;
    desk.deliver(&Reply::to(&request, NAK));
    assert_eq!(desk.stack.stats().dropped_address, before + 1);
}

#[test]
fn an_address_that_somebody_has_is_declined_and_another_one_sought() {
    let mut desk = Desk::new();
    for say in [OFFER, ACK] {
        let asked = desk.asks(Duration::ZERO).expect("a question");
        desk.deliver(&Reply::to(&asked, say));
    }
    desk.events();
    desk.stack.handle_frame(desk.now, &claim());
    let duplicate = AddressEvent::Duplicate {
        address: given(),
        mac: [6; 6],
    };
    assert_eq!(desk.events(), [duplicate, AddressEvent::Changed]);
    let declined = desk.asks(Duration::ZERO).expect("a word to the server");
    assert_eq!((declined.kind, declined.src), (DECLINE, [0; 4]));
    assert_eq!(declined.requested, Some(GIVEN.to_vec()));
    assert_eq!(desk.stack.addresses(), []);
    let asked = desk.asks(Duration::from_secs(11)).expect("a question");
    assert_eq!(asked.kind, DISCOVER);
    assert_ne!(asked.xid, declined.xid);
}

/// A request nobody answers is given up, and another offer sought.
#[test]
fn a_server_that_offers_and_falls_silent_is_left() {
    let mut desk = Desk::new();
    let asked = desk.asks(Duration::ZERO).expect("a question");
    desk.deliver(&Reply::to(&asked, OFFER));
    let mut kinds = Vec::new();
    for _ in 0..5 {
        kinds.push(desk.asks(Duration::from_secs(20)).expect("a question").kind);
    }
    assert_eq!(kinds, [REQUEST, REQUEST, REQUEST, REQUEST, DISCOVER]);
}

#[test]
fn reject_an_app_on_the_clients_port_and_mixed_addresses() {
    let mut desk = Desk::bound(3_600);
    for local in ["0.0.0.0:68", "10.0.0.9:68"] {
        let options = UdpOptions::default();
        let bound = desk.stack.udp_bind(desk.now, APP, address(local), &options);
        assert_eq!(bound.err(), Some(nexus_stack::BindError::InUse));
    }
    let made = |change: &dyn Fn(&mut Config)| {
        let mut config = config();
        change(&mut config);
        Stack::new(config, Instant::ZERO, Seed::from_number(1)).err()
    };
    assert_eq!(
        made(&|c| c.medium = Medium::Ip),
        Some(ConfigError::AutomaticNeedsEthernet)
    );
    let mixed = ConfigError::StaticAndAutomatic(given().address());
    assert_eq!(made(&|c| c.addresses = vec![given()]), Some(mixed));
    let mixed = made(&|c| c.gateway_v4 = Some(Ipv4Addr::new(10, 0, 0, 9)));
    assert_eq!(
        mixed,
        Some(ConfigError::StaticAndAutomatic(given().address()))
    );
    assert_eq!(
        made(&|c| c.addresses = vec![interface("fd00::1", 64)]),
        None
    );
}

/// Gives a stack that has just begun its lease.
pub(crate) fn lease(stack: &mut Stack, now: Instant) {
    stack.handle_timeout(now);
    for say in [OFFER, ACK] {
        let asked = core::iter::from_fn(|| stack.poll_transmit(now));
        let asked = asked.into_iter().find_map(|frame| Asked::read(&frame));
        let reply = Reply::to(&asked.expect("a question"), say);
        stack.handle_frame(now, &reply.frame());
    }
}
