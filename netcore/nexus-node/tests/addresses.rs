//! A node on an Ethernet whose addresses come and go: what its gate, its apps and its owner know of that.

mod common;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use common::CLIENT;
use nexus_node::{AddressEvent, Mesh, Nic, NodeConfig, Quota};
use nexus_policy::{
    Act, AddressClass, AppIdentity, Capability, Consent, Manifest, Policy, Topology, WallTime,
};
use nexus_stack::{AddressingV4, AddressingV6, Config, Medium, Offload, Received};
use nexus_types::{
    AppDigest, Duration, HostName, Instant, InterfaceAddress, IpAddr, Ipv6Addr, NodeId, Reason,
    Seed, SocketAddr,
};

const OURS: [u8; 6] = [2, 0, 0, 0, 0, 1];
const SERVER: [u8; 6] = [2, 0, 0, 0, 0, 2];

const MANIFEST: &str = r#"
[app]
id = "test.client"
[capabilities."network.udp.send"]
allow = ["lan:7", "api.example.com:7"]
"#;

fn interface(text: &str, prefix: u8) -> InterfaceAddress {
    InterfaceAddress::new(text.parse().unwrap(), prefix).unwrap()
}

fn given() -> InterfaceAddress {
    interface("10.0.0.9", 24)
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// The far end of the node's cable.
#[derive(Clone, Default)]
struct Cable(Arc<Mutex<Ends>>);

#[derive(Default)]
struct Ends {
    to_node: VecDeque<Vec<u8>>,
    from_node: VecDeque<Vec<u8>>,
}

impl Nic for Cable {
    fn handle_frame(&mut self, _now: Instant, frame: &[u8], _: Offload) {
        self.0.lock().unwrap().from_node.push_back(frame.to_vec());
    }

    fn poll_transmit(
        &mut self,
        _now: Instant,
        _max: usize,
        deliver: &mut dyn FnMut(&[u8], Received),
    ) -> usize {
        let frame = self.0.lock().unwrap().to_node.pop_front();
        frame
            .iter()
            .for_each(|frame| deliver(frame, Received::PLAIN));
        usize::from(frame.is_some())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        None
    }

    fn handle_timeout(&mut self, _now: Instant) {}

    fn undelivered(&self) -> usize {
        0
    }
}

/// What a DHCP server at 10.0.0.2 gives.
#[derive(Clone)]
struct Lease {
    dns: Vec<u8>,
    gateway: bool,
    refuses: bool,
}

/// One node, and the desk of a DHCP server at the other end of its cable.
struct Desk {
    mesh: Mesh,
    node: NodeId,
    cable: Cable,
    now: Instant,
    lease: Option<Lease>,
}

impl Desk {
    fn new(change: impl FnOnce(&mut NodeConfig)) -> Self {
        let mut mesh = Mesh::new();
        let mut stack = Config::new(1_500, Vec::new());
        stack.medium = Medium::Ethernet(OURS);
        let mut config = NodeConfig {
            stack,
            topology: Topology::default(),
            seed: Seed::from_number(1),
        };
        change(&mut config);
        let now = Instant::from_secs(1);
        let node = mesh.add_node(config, now).unwrap();
        let cable = Cable::default();
        mesh.attach_nic(node, Box::new(cable.clone())).unwrap();
        let mut desk = Self {
            mesh,
            node,
            cable,
            now,
            lease: None,
        };
        desk.mesh.step(now);
        desk
    }

    /// A node that asks for its IPv4 address, and is given this.
    fn with_lease() -> Self {
        let mut desk = Self::new(|config| config.stack.addressing_v4 = AddressingV4::Dhcp);
        desk.lease = Some(Lease {
            dns: vec![10, 0, 0, 53],
            gateway: true,
            refuses: false,
        });
        desk
    }

    /// Lets everything that is in motion come to rest; the server answers at once.
    fn settle(&mut self) {
        self.mesh.touch_nic(self.node);
        self.mesh.step(self.now);
        loop {
            let frame = self.cable.0.lock().unwrap().from_node.pop_front();
            let Some(frame) = frame else { break };
            if let Some(answer) = self.answer(&frame) {
                self.cable.0.lock().unwrap().to_node.push_back(answer);
                self.mesh.touch_nic(self.node);
                self.mesh.step(self.now);
            }
        }
    }

    /// Lets time pass, timer by timer.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        self.settle();
        while let Some(due) = self.mesh.poll_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.mesh.handle_timeout(self.now);
            self.settle();
        }
        self.now = until;
    }

    fn answer(&self, frame: &[u8]) -> Option<Vec<u8>> {
        if frame[12..14] == [8, 6] && frame[38..42] == [10, 0, 0, 2] {
            let mut answer = OURS.to_vec();
            answer.extend(SERVER);
            answer.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 2]);
            answer.extend(SERVER);
            answer.extend([10, 0, 0, 2]);
            answer.extend(&frame[22..32]);
            return Some(answer);
        }
        let lease = self.lease.as_ref()?;
        (frame[12..14] == [8, 0] && frame[34..38] == [0, 68, 0, 67])
            .then(|| reply(&frame[42..], lease))
    }

    fn topology(&self) -> &Topology {
        self.mesh.node(self.node).gate().topology()
    }

    fn class(&self, address: &str) -> AddressClass {
        self.topology().classify(ip(address))
    }

    fn events(&mut self) -> Vec<AddressEvent> {
        core::iter::from_fn(|| self.mesh.poll_address_event())
            .map(|(node, event)| {
                assert_eq!(node, self.node);
                event
            })
            .collect()
    }

    fn admit(&mut self) {
        let now = self.now;
        let manifest = Manifest::parse(MANIFEST, "nexus.toml").unwrap();
        let app = AppIdentity {
            id: "test.client".to_owned(),
            digest: AppDigest([1; 32]),
            publisher: None,
        };
        let consent = Consent {
            allow_manifest: true,
            answers: Vec::new(),
            allow: Vec::new(),
        };
        let node = self.mesh.node_mut(self.node);
        let admitted = node
            .gate_mut()
            .admit(now, CLIENT, app, manifest, consent, &[]);
        admitted.unwrap_or_else(|report| panic!("{}", report.text()));
        node.start(CLIENT, Quota::default());
    }
}

/// A server's answer to a client's message (RFC 2131): an offer, an acknowledgement, or no.
fn reply(asked: &[u8], lease: &Lease) -> Vec<u8> {
    // Option 53 is the first of ours: what kind of message it is.
    assert_eq!(asked[240..242], [53, 1]);
    let kind = match (asked[242], lease.refuses) {
        (1, _) => 2,
        (3, false) => 5,
        _ => 6,
    };
    let mut message = vec![0; 240];
    message[..3].copy_from_slice(&[2, 1, 6]);
    message[4..8].copy_from_slice(&asked[4..8]);
    message[16..20].copy_from_slice(&[10, 0, 0, 9]);
    message[28..34].copy_from_slice(&OURS);
    message[236..].copy_from_slice(&[0x63, 0x82, 0x53, 0x63]);
    message.extend([53, 1, kind, 54, 4, 10, 0, 0, 2]);
    message.extend([1, 4, 255, 255, 255, 0]);
    if lease.gateway {
        message.extend([3, 4, 10, 0, 0, 2]);
    }
    message.extend([6, lease.dns.len() as u8]);
    message.extend(&lease.dns);
    message.extend([51, 4, 0, 0, 14, 16, 255]);
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0, 10, 0, 0, 2];
    packet.extend([255; 4]);
    packet[2..4].copy_from_slice(&(28 + message.len() as u16).to_be_bytes());
    let sum: u32 = packet
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend([0, 67, 0, 68]);
    packet.extend((8 + message.len() as u16).to_be_bytes());
    // No checksum (RFC 768).
    packet.extend([0, 0]);
    packet.extend(message);
    let mut frame = vec![0xff; 6];
    frame.extend(SERVER);
    frame.extend([8, 0]);
    frame.extend(packet);
    frame
}

/// Somebody says that 10.0.0.9 is theirs.
fn claim() -> Vec<u8> {
    let mut claim = vec![0xff; 6];
    claim.extend([6; 6]);
    claim.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    claim.extend([6; 6]);
    claim.extend([10, 0, 0, 9]);
    claim.extend([0; 6]);
    claim.extend([10, 0, 0, 9]);
    claim
}

/// Goal: what a lease gives is the gate's before any app can use it, the address not yet sure included.
#[test]
fn a_lease_reaches_the_gate_at_once_and_the_owner_when_it_is_sure() {
    let mut desk = Desk::with_lease();
    assert_eq!(*desk.topology(), Topology::default());
    assert_eq!(desk.class("10.0.0.9"), AddressClass::Lan);
    let before = desk.mesh.node(desk.node).gate().epoch();
    desk.pass(Duration::ZERO);
    assert_ne!(desk.mesh.node(desk.node).gate().epoch(), before);
    assert_eq!(desk.topology().own, [given()]);
    assert_eq!(desk.topology().learnt, [ip("10.0.0.2"), ip("10.0.0.53")]);
    assert_eq!(desk.class("10.0.0.9"), AddressClass::Loopback);
    assert_eq!(desk.class("10.0.0.255"), AddressClass::Reserved);
    assert_eq!(desk.events(), [AddressEvent::Changed]);
    desk.pass(Duration::from_secs(1));
    assert_eq!(desk.events(), [AddressEvent::Ready(given())]);
    assert_eq!(desk.events(), []);
}

/// Goal: a renewal that changes nothing has nothing judged again; one that names another name server has, and what
/// is still allowed stays. Method: one UDP socket, two stations; one of them becomes the name server: it is spoken with
/// as before, and nothing new begins there.
#[test]
fn a_renewal_is_a_change_only_where_it_changes_something() {
    let mut desk = Desk::with_lease();
    desk.pass(Duration::from_secs(1));
    desk.admit();
    desk.events();
    let epoch = |desk: &Desk| desk.mesh.node(desk.node).gate().epoch();
    let begun = epoch(&desk);
    let now = desk.now;
    let node = desk.mesh.node_mut(desk.node);
    let permit = node.permit(now, CLIENT, &Act::UdpOpen).unwrap();
    let socket = node.udp_open(now, permit, true).unwrap();
    let to: [SocketAddr; 2] = ["10.0.0.77:7", "10.0.0.78:7"].map(|to| to.parse().unwrap());
    let send = |desk: &mut Desk, to| {
        let now = desk.now;
        let node = desk.mesh.node_mut(desk.node);
        node.udp_send(now, socket, b"x", Some(to))
    };
    assert_eq!(
        [send(&mut desk, to[0]), send(&mut desk, to[1])],
        [Ok(()), Ok(())]
    );
    // Half of the hour is over.
    desk.pass(Duration::from_secs(1_900));
    assert_eq!((epoch(&desk), desk.events()), (begun, vec![]));
    desk.lease = Some(Lease {
        dns: vec![10, 0, 0, 77],
        gateway: true,
        refuses: false,
    });
    desk.pass(Duration::from_secs(1_900));
    assert_ne!(epoch(&desk), begun);
    assert_eq!(desk.events(), [AddressEvent::Changed]);
    assert_eq!(desk.class("10.0.0.77"), AddressClass::Infrastructure);
    assert_eq!(
        [send(&mut desk, to[0]), send(&mut desk, to[1])],
        [Ok(()), Ok(())]
    );
    let now = desk.now;
    let node = desk.mesh.node_mut(desk.node);
    let permit = node.permit(now, CLIENT, &Act::UdpOpen).unwrap();
    let fresh = node.udp_open(now, permit, true).unwrap();
    let refused = node.udp_send(now, fresh, b"x", Some(to[0])).unwrap_err();
    assert_eq!(refused.reason, Reason::BlockedRange.as_str());
    assert_eq!(node.udp_send(now, fresh, b"x", Some(to[1])), Ok(()));
}

/// Goal: what is lost is nobody's own any more, and what the node was made with stays.
#[test]
fn a_lost_lease_leaves_the_gate_what_was_there_before() {
    let fixed = interface("fd00::9", 64);
    let mut desk = Desk::new(|config| {
        config.stack.addressing_v4 = AddressingV4::Dhcp;
        config.stack.addresses = vec![fixed];
        config.topology.host = vec![ip("10.0.0.3")];
        config.topology.infrastructure = vec![ip("10.0.0.4")];
    });
    desk.lease = Some(Lease {
        dns: vec![10, 0, 0, 53],
        gateway: true,
        refuses: false,
    });
    desk.pass(Duration::from_secs(1));
    assert_eq!(desk.topology().own, [fixed, given()]);
    assert_eq!(desk.class("10.0.0.53"), AddressClass::Infrastructure);
    desk.events();
    desk.lease.as_mut().unwrap().refuses = true;
    desk.pass(Duration::from_secs(1_805));
    assert_eq!(
        desk.events(),
        [AddressEvent::Lost(given()), AddressEvent::Changed]
    );
    let left = Topology {
        own: vec![fixed],
        host: vec![ip("10.0.0.3")],
        infrastructure: vec![ip("10.0.0.4")],
        ..Topology::default()
    };
    assert_eq!(*desk.topology(), left);
    assert_eq!(desk.class("10.0.0.9"), AddressClass::Lan);
    // The next lease is as good as the first.
    desk.lease.as_mut().unwrap().refuses = false;
    desk.pass(Duration::from_secs(30));
    assert_eq!(desk.topology().own, [fixed, given()]);
    assert!(desk.events().contains(&AddressEvent::Ready(given())));
}

/// A router at fe80::1 advertises fd77::/64 and a name server at fd77::53 (RFC 4861 section 4.2, RFC 8106).
fn advertisement() -> Vec<u8> {
    advertisement_of("fd77::53")
}

/// The same, with another name server.
fn advertisement_of(server: &str) -> Vec<u8> {
    let ips: [Ipv6Addr; 2] = ["fe80::1", "ff02::1"].map(|ip| ip.parse().unwrap());
    let hour = 3_600_u32.to_be_bytes();
    let mut message = vec![134, 0, 0, 0, 64, 0, 7, 8];
    message.extend([0; 8]);
    message.extend([3, 4, 64, 0xc0]);
    message.extend([hour, hour, [0; 4]].concat());
    message.extend("fd77::".parse::<Ipv6Addr>().unwrap().octets());
    message.extend([25, 3, 0, 0]);
    message.extend(hour);
    message.extend(server.parse::<Ipv6Addr>().unwrap().octets());
    let mut summed = ips.map(|ip| ip.octets()).concat();
    summed.extend((message.len() as u32).to_be_bytes());
    summed.extend([0, 0, 0, 58]);
    summed.extend(&message);
    let sum: u32 = summed
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut frame = vec![0x33, 0x33, 0, 0, 0, 1];
    frame.extend(SERVER);
    frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
    frame.extend((message.len() as u16).to_be_bytes());
    frame.extend([58, 255]);
    frame.extend(ips.map(|ip| ip.octets()).concat());
    frame.extend(message);
    frame
}

/// Goal: what a router gives is the gate's as what a DHCP server gives is, the link-local address included.
#[test]
fn what_a_router_gives_reaches_the_gate() {
    let mut desk = Desk::new(|config| config.stack.addressing_v6 = AddressingV6::Slaac);
    let [own] = desk.topology().own[..] else {
        panic!("a link-local address from the beginning")
    };
    assert!(own.contains(ip("fe80::1")));
    let link_local = own.address().to_string();
    assert_eq!(desk.class(&link_local), AddressClass::Loopback);
    desk.pass(Duration::from_secs(1));
    desk.events();
    desk.cable
        .0
        .lock()
        .unwrap()
        .to_node
        .push_back(advertisement());
    desk.settle();
    let [_, made] = desk.topology().own[..] else {
        panic!("{:?}", desk.topology())
    };
    assert!(made.contains(ip("fd77::1")));
    let learnt = [ip("fe80::1"), ip("fd77::53")];
    assert_eq!(desk.topology().learnt, learnt);
    desk.pass(Duration::from_secs(1));
    let events = desk.events();
    assert!(events.contains(&AddressEvent::Changed), "{events:?}");
    assert!(events.contains(&AddressEvent::Ready(made)), "{events:?}");
}

/// Goal: whatever a router names as a name server, what is the node's own stays that.
#[test]
fn reject_a_name_server_that_is_the_node_itself() {
    let mut desk = Desk::new(|config| config.stack.addressing_v6 = AddressingV6::Slaac);
    let send = |desk: &mut Desk, frame| {
        desk.cable.0.lock().unwrap().to_node.push_back(frame);
        desk.pass(Duration::from_secs(2));
    };
    send(&mut desk, advertisement());
    let [_, made] = desk.topology().own[..] else {
        panic!("{:?}", desk.topology())
    };
    let made = made.address().to_string();
    send(&mut desk, advertisement_of(&made));
    assert_eq!(desk.class(&made), AddressClass::Loopback);
    let learnt = [ip("fe80::1"), ip("fd77::53")];
    assert_eq!(desk.topology().learnt, learnt);
}

/// A datagram from port 7 of a station to a port of the node's.
fn datagram(from: [u8; 4], port: u16) -> Vec<u8> {
    let mut packet = vec![0x45, 0, 0, 29, 0, 0, 0x40, 0, 64, 17, 0, 0];
    packet.extend(from);
    packet.extend([10, 0, 0, 9]);
    let sum: u32 = packet
        .chunks(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet.extend([0, 7]);
    packet.extend(port.to_be_bytes());
    packet.extend([0, 9, 0, 0, b'y']);
    let mut frame = OURS.to_vec();
    frame.extend(SERVER);
    frame.extend([8, 0]);
    frame.extend(packet);
    frame
}

/// Goal: a socket hears the answers to what it sent before the network changed, from whom it still may send to, and
/// from nobody else. Method: of three stations one becomes the name server and one is forbidden; all answer, and a
/// fourth speaks up.
#[test]
fn an_answer_outlives_a_change_that_leaves_it_allowed() {
    let mut desk = Desk::with_lease();
    desk.pass(Duration::from_secs(1));
    desk.admit();
    let now = desk.now;
    let node = desk.mesh.node_mut(desk.node);
    let permit = node.permit(now, CLIENT, &Act::UdpOpen).unwrap();
    let socket = node.udp_open(now, permit, true).unwrap();
    let port = node.udp_local(socket).unwrap().port();
    for to in ["10.0.0.76:7", "10.0.0.77:7", "10.0.0.78:7"] {
        let sent = node.udp_send(now, socket, b"x", Some(to.parse().unwrap()));
        assert_eq!(sent, Ok(()));
    }
    // Two changes, between which nobody looks at the socket.
    for dns in [[10, 0, 0, 54], [10, 0, 0, 77]] {
        desk.lease.as_mut().unwrap().dns = dns.to_vec();
        desk.pass(Duration::from_secs(1_900));
    }
    let text = rule("network.udp.send", "forbid", "10.0.0.76:7");
    let policy = Policy::parse(&text, "policy.toml").unwrap();
    let now = desk.now;
    let gate = desk.mesh.node_mut(desk.node).gate_mut();
    gate.set_policies(now, WallTime(0), Policy::none(), policy);
    for last in [76, 77, 79, 78] {
        let from = [10, 0, 0, last];
        let to_node = &mut desk.cable.0.lock().unwrap().to_node;
        to_node.push_back(datagram(from, port));
    }
    desk.settle();
    let now = desk.now;
    let node = desk.mesh.node_mut(desk.node);
    let mut heard = Vec::new();
    while let Poll::Ready(from) = node.poll_udp_receive(now, socket, Waker::noop(), |from, _| from)
    {
        heard.push(from.unwrap());
    }
    assert_eq!(
        heard,
        ["10.0.0.77:7", "10.0.0.78:7"].map(|from| from.parse().unwrap())
    );
}

/// Goal: an address of ours that somebody has is theirs at the gate as well, and the owner learns who.
#[test]
fn reject_an_address_that_somebody_has_at_the_gate() {
    let mut desk = Desk::new(|config| config.stack.addresses = vec![given()]);
    // From the beginning, though it is not sure.
    assert_eq!(desk.class("10.0.0.9"), AddressClass::Loopback);
    desk.cable.0.lock().unwrap().to_node.push_back(claim());
    desk.settle();
    let duplicate = AddressEvent::Duplicate {
        address: given(),
        mac: [6; 6],
    };
    assert_eq!(desk.events(), [duplicate]);
    assert_eq!(desk.class("10.0.0.9"), AddressClass::Lan);
}

/// Goal: a node that gives its lease back tells the server in the next step, and its gate knows the address, the gateway
/// and the name server no more.
#[test]
fn a_lease_given_back_leaves_the_gate_nothing() {
    let mut desk = Desk::with_lease();
    desk.pass(Duration::from_secs(1));
    desk.events();
    let now = desk.now;
    assert!(desk.mesh.node_mut(desk.node).release(now));
    assert!(desk.topology().own.is_empty());
    assert!(desk.topology().infrastructure.is_empty());
    assert_eq!(desk.mesh.undelivered(desk.node), 1);
    desk.mesh.step(now);
    assert_eq!(desk.mesh.undelivered(desk.node), 0);
    let sent = desk.cable.0.lock().unwrap().from_node.pop_back();
    assert_eq!(sent.expect("a message")[282..285], [53, 1, 7]);
    assert_eq!(desk.events(), []);
    assert!(!desk.mesh.node_mut(desk.node).release(now), "once");
}

/// Goal: apps that are refused without end push no word about addresses out, and nobody takes it for a refusal.
#[test]
fn refusals_and_addresses_are_told_apart() {
    let mut desk = Desk::with_lease();
    desk.admit();
    desk.pass(Duration::from_secs(1));
    let now = desk.now;
    for port in 1_000..4_000 {
        let remote = SocketAddr::new(ip("10.0.0.3"), port);
        let act = Act::Connect { remote, name: None };
        let node = desk.mesh.node_mut(desk.node);
        node.permit(now, CLIENT, &act).unwrap_err();
    }
    desk.settle();
    assert!(desk.mesh.poll_event().is_some());
    let told = [AddressEvent::Changed, AddressEvent::Ready(given())];
    assert_eq!(desk.events(), told);
}

/// Goal: a name being looked up when the network changes is answered if it still may be asked for.
#[test]
fn a_lookup_outlives_a_change_that_leaves_it_allowed() {
    let name = HostName::parse("api.example.com").unwrap();
    for forbidden in [false, true] {
        let mut desk = Desk::new(|config| {
            config.stack.resolver.hosts = vec![(name.clone(), vec![ip("93.184.216.34")])];
        });
        desk.admit();
        let now = desk.now;
        let act = Act::Resolve {
            name: &name,
            via: Capability::NetworkUdpSend,
        };
        let node = desk.mesh.node_mut(desk.node);
        let permit = node.permit(now, CLIENT, &act).unwrap();
        let lookup = node.resolve(now, permit, &name).unwrap();
        let before = node.gate().epoch();
        if forbidden {
            let text = rule("network.udp.send", "forbid", "*.example.com:*");
            let policy = Policy::parse(&text, "policy.toml").unwrap();
            let gate = node.gate_mut();
            gate.set_policies(now, WallTime(0), Policy::none(), policy);
        } else {
            let topology = Topology {
                own: vec![given()],
                ..Topology::default()
            };
            node.gate_mut().set_topology(now, topology);
        }
        assert_ne!(node.gate().epoch(), before);
        desk.settle();
        let node = desk.mesh.node_mut(desk.node);
        match node.poll_lookup(now, &lookup, Waker::noop()) {
            Poll::Ready(Ok(addresses)) if !forbidden => {
                assert_eq!(addresses, [ip("93.184.216.34")]);
            }
            Poll::Ready(Err(error)) if forbidden => {
                assert_eq!(error.reason, Reason::Revoked.as_str());
            }
            other => panic!("{forbidden}: {other:?}"),
        }
    }
}

fn rule(capability: &str, verdict: &str, to: &str) -> String {
    format!(
        "[[rule]]\nid = \"one\"\ncapability = \"{capability}\"\nverdict = \"{verdict}\"\nto = [\"{to}\"]\n"
    )
}

/// Goal: a DHCP server that is not the gateway is no more an app's than the gateway is. Method: a lease without a gateway.
#[test]
fn reject_the_dhcp_server_itself() {
    let mut desk = Desk::with_lease();
    desk.lease.as_mut().unwrap().gateway = false;
    desk.pass(Duration::from_secs(1));
    assert_eq!(desk.topology().learnt, [ip("10.0.0.53"), ip("10.0.0.2")]);
    assert_eq!(desk.class("10.0.0.2"), AddressClass::Infrastructure);
    desk.lease.as_mut().unwrap().refuses = true;
    desk.pass(Duration::from_secs(1_805));
    assert!(desk.topology().learnt.is_empty());
}
