//! What is reached by a name: its addresses judged together.

mod common;

use std::task::{Poll, Waker};

use common::{CLIENT, SERVER, SERVER_POLICY, World};
use nexus_node::{Event, NetError, Quota, TcpSocket, UdpSocket};
use nexus_policy::{Act, Permit};
use nexus_types::{Duration, ErrorCode, HostName, InstanceId, Reason, SocketAddr, limits};

fn name() -> HostName {
    HostName::parse("api.example.com").unwrap()
}

/// Judges these addresses as the answers of one name.
fn judge(world: &mut World, remotes: &[SocketAddr]) -> Result<Vec<Permit>, NetError> {
    let (now, name) = (world.now, name());
    let acts = remotes.iter().map(|remote| Act::Connect {
        remote: *remote,
        name: Some(&name),
    });
    let node = world.mesh.node_mut(world.a);
    let judged = node.permit_some(now, CLIENT, acts);
    world.settle();
    judged
}

fn remotes(texts: &[&str]) -> Vec<SocketAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

#[test]
fn one_refused_address_is_no_refusal() {
    let mut world = World::new();
    for answer in [
        ["10.0.0.9:80", "10.0.0.2:80", "10.0.0.8:80"],
        ["10.0.0.2:80", "10.0.0.9:80", "10.0.0.8:80"],
        ["10.0.0.9:80", "10.0.0.8:80", "10.0.0.2:80"],
    ] {
        let permits = judge(&mut world, &remotes(&answer)).unwrap();
        assert_eq!(permits.len(), 1);
        assert_eq!(
            permits[0].target().remote(),
            Some("10.0.0.2:80".parse().unwrap())
        );
    }
    assert_eq!(world.mesh.node(world.a).usage(CLIENT).denials, 0);
    assert!(world.mesh.poll_event().is_none());
}

#[test]
fn what_is_permitted_stays_in_the_order_of_the_answer() {
    let mut world = World::new();
    let answer = remotes(&["127.0.0.1:80", "10.0.0.9:80", "10.0.0.2:80"]);
    let permits = judge(&mut world, &answer).unwrap();
    let order: Vec<_> = permits.iter().map(|p| p.target().remote()).collect();
    assert_eq!(order, [Some(answer[0]), Some(answer[2])]);
}

#[test]
fn reject_once_where_every_address_is_refused() {
    let mut world = World::new();
    let answer = remotes(&["10.0.0.9:80", "169.254.169.254:80", "10.0.0.2:81"]);
    let error = judge(&mut world, &answer).unwrap_err();
    assert_eq!(error.code, ErrorCode::Denied);
    assert_eq!(world.mesh.node(world.a).usage(CLIENT).denials, 1);
    let Some((_, Event::Denied { instance, denial })) = world.mesh.poll_event() else {
        panic!("nobody is told")
    };
    assert_eq!(instance, CLIENT);
    assert_eq!(
        denial.target.full(),
        "api.example.com:80 -> 10.0.0.9",
        "the first is the one to blame"
    );
    assert!(world.mesh.poll_event().is_none());
    world.settle();
    assert_eq!(world.frames_out(world.a), 0);
}

#[test]
fn a_name_without_addresses_is_no_refusal() {
    let mut world = World::new();
    assert_eq!(judge(&mut world, &[]), Ok(Vec::new()));
    assert_eq!(world.mesh.node(world.a).usage(CLIENT).denials, 0);
}

#[test]
fn addresses_at_and_over_the_limit() {
    let mut world = World::new();
    let allowed: SocketAddr = "10.0.0.2:80".parse().unwrap();
    let most = limits::DNS_ANSWERS as usize;
    assert_eq!(judge(&mut world, &vec![allowed; most]).unwrap().len(), most);
    let over = judge(&mut world, &vec![allowed; most + 1]).unwrap();
    assert_eq!(over.len(), most, "one more is not judged");
    let mut last = remotes(&["10.0.0.9:80"]).repeat(most);
    last.push(allowed);
    assert_eq!(
        judge(&mut world, &last).unwrap_err().code,
        ErrorCode::Denied
    );
    assert_eq!(world.mesh.node(world.a).usage(CLIENT).denials, 1);
}

/// An app that asks for names and nothing else.
const NAMED: InstanceId = InstanceId(5);
const NAMED_MANIFEST: &str = r#"
[app]
id = "test.named"
[capabilities."network.tcp.connect"]
allow = ["api.example.com:80"]
[capabilities."network.udp.send"]
allow = ["api.example.com:53"]
"#;

/// Opened while the name's answer lived: a connection by the name, one by the address, a socket.
struct Opened {
    by_name: TcpSocket,
    by_address: TcpSocket,
    udp: UdpSocket,
}

/// A world in which `NAMED` has opened all of them, and the answer has ended since.
fn outlived() -> (World, Opened) {
    let mut world = World::on([93, 184, 216]);
    world.admit(world.a, NAMED, NAMED_MANIFEST, Quota::default());
    world.listen("0.0.0.0:80").unwrap();
    let (now, name) = (world.now, name());
    let (web, dns): (SocketAddr, SocketAddr) = (
        "93.184.216.2:80".parse().unwrap(),
        "93.184.216.2:53".parse().unwrap(),
    );
    let until = now + Duration::from_secs(60);
    let node = world.mesh.node_mut(world.a);
    node.gate_mut()
        .bind_answer(now, NAMED, &name, &[web.ip()], until);
    let mut connect = |name| {
        let act = Act::Connect { remote: web, name };
        let permit = node.permit(now, NAMED, &act).unwrap();
        node.tcp_connect(now, permit).unwrap()
    };
    let (by_name, by_address) = (connect(Some(&name)), connect(None));
    let act = Act::UdpSend {
        remote: dns,
        name: Some(&name),
    };
    let permit = node.permit(now, NAMED, &act).unwrap();
    let udp = node.udp_connect(now, permit).unwrap();
    world.settle();
    for socket in [by_name, by_address] {
        let node = world.mesh.node_mut(world.a);
        let polled = node.poll_connected(now, socket, Waker::noop());
        assert_eq!(polled, Poll::Ready(Ok(())));
    }
    world.pass(Duration::from_secs(61));
    let opened = Opened {
        by_name,
        by_address,
        udp,
    };
    (world, opened)
}

/// Permits are given for all addresses of a name at once, and used one after the other.
#[test]
fn reject_a_permit_that_the_policy_has_overtaken() {
    for forbidden in ["10.0.0.2", "other.example.com"] {
        let mut world = World::new();
        world.listen("0.0.0.0:80").unwrap();
        let tcp = judge(&mut world, &remotes(&["127.0.0.1:80", "10.0.0.2:80"])).unwrap();
        let now = world.now;
        let act = Act::UdpSend {
            remote: "10.0.0.2:53".parse().unwrap(),
            name: None,
        };
        let udp = world.mesh.node_mut(world.a).permit(now, CLIENT, &act);
        reload(&mut world, forbidden);
        let node = world.mesh.node_mut(world.a);
        let mut opened: Vec<Result<(), NetError>> = Vec::new();
        for permit in tcp {
            opened.push(node.tcp_connect(now, permit).map(|_| ()));
        }
        opened.push(node.udp_connect(now, udp.unwrap()).map(|_| ()));
        world.settle();
        let usage = world.mesh.node(world.a).usage(CLIENT);
        if forbidden == "10.0.0.2" {
            let reasons: Vec<_> = (opened.iter())
                .map(|opened| opened.as_ref().map_err(|error| error.reason))
                .collect();
            let revoked = Err(Reason::Revoked.as_str());
            assert_eq!(reasons, [Ok(&()), revoked, revoked]);
            assert_eq!((usage.sockets, usage.denials), (1, 2));
            assert_eq!(world.frames_out(world.a), 0);
        } else {
            assert_eq!(opened, [Ok(()), Ok(()), Ok(())]);
            assert_eq!((usage.sockets, usage.denials), (3, 0));
        }
    }
}

/// Goal: the same of what is opened at an address of ours, or at none. Method: a permit for each, then a policy that
/// forbids all of them, and one that says what was said before.
#[test]
fn reject_a_permit_to_listen_bind_or_open_that_the_policy_has_overtaken() {
    let rule = |capability: &str| {
        format!(
            "[[rule]]\nid = \"no-{capability}\"\ncapability = \"{capability}\"\nverdict = \"forbid\"\n"
        )
    };
    let all = ["network.tcp.listen", "network.udp.bind", "network.udp.send"].map(rule);
    let revoked = Err(Reason::Revoked.as_str());
    for (policy, expected) in [
        (all.concat(), [revoked; 3]),
        (format!("# Again.\n{SERVER_POLICY}"), [Ok(()); 3]),
    ] {
        let mut world = World::new();
        let now = world.now;
        let (a, b) = (world.a, world.b);
        let [tcp, udp] = ["0.0.0.0:80", "0.0.0.0:53"].map(|local| local.parse().unwrap());
        let server = world.mesh.node_mut(b);
        let listen = server.permit(now, SERVER, &Act::Listen { local: tcp });
        let bind = server.permit(now, SERVER, &Act::UdpBind { local: udp });
        let client = world.mesh.node_mut(a);
        let open = client.permit(now, CLIENT, &Act::UdpOpen);
        world.set_policy(a, &policy);
        world.set_policy(b, &policy);
        let server = world.mesh.node_mut(b);
        let mut opened = vec![
            server.tcp_listen(now, listen.unwrap(), None).map(|_| ()),
            server.udp_bind(now, bind.unwrap()).map(|_| ()),
        ];
        let client = world.mesh.node_mut(a);
        opened.push(client.udp_open(now, open.unwrap(), true).map(|_| ()));
        let reasons: Vec<_> = opened
            .into_iter()
            .map(|opened| opened.map_err(|error| error.reason))
            .collect();
        assert_eq!(reasons, expected, "{policy}");
        let held =
            [(a, CLIENT), (b, SERVER)].map(|(node, app)| world.mesh.node(node).usage(app).sockets);
        let expected = if expected[0].is_ok() { [1, 2] } else { [0, 0] };
        assert_eq!(held, expected, "{policy}");
    }
}

fn reload(world: &mut World, forbidden: &str) {
    let mut policy = SERVER_POLICY.to_owned();
    for capability in ["network.tcp.connect", "network.udp.send"] {
        policy += &format!(
            "[[rule]]\nid = \"no-{capability}\"\ncapability = \"{capability}\"\nverdict = \"forbid\"\nto = [\"{forbidden}:*\"]\n"
        );
    }
    world.set_policy(world.a, &policy);
}

#[test]
fn an_ended_answer_ends_nothing_that_is_open() {
    let (mut world, opened) = outlived();
    for other in ["other.example.com", "lan"] {
        reload(&mut world, other);
        for socket in [opened.by_name, opened.by_address] {
            assert_eq!(world.write(world.a, socket, b"x"), Poll::Ready(Ok(1)));
        }
        let now = world.now;
        let node = world.mesh.node_mut(world.a);
        node.udp_send(now, opened.udp, b"x", None).unwrap();
        assert_eq!(node.usage(NAMED).denials, 0);
    }
    // But nothing new is opened by it.
    let (now, name) = (world.now, name());
    let act = Act::Connect {
        remote: "93.184.216.2:80".parse().unwrap(),
        name: Some(&name),
    };
    let error = world
        .mesh
        .node_mut(world.a)
        .permit(now, NAMED, &act)
        .unwrap_err();
    assert_eq!(error.reason, Reason::Expired.as_str());
}

#[test]
fn reject_what_is_open_by_a_name_that_is_forbidden_since() {
    for forbidden in ["api.example.com", "*.example.com", "93.184.216.2"] {
        let (mut world, opened) = outlived();
        reload(&mut world, forbidden);
        for socket in [opened.by_name, opened.by_address] {
            let Poll::Ready(Err(error)) = world.write(world.a, socket, b"x") else {
                panic!("{forbidden}: still open")
            };
            assert_eq!(error.reason, Reason::Revoked.as_str());
        }
        let now = world.now;
        let node = world.mesh.node_mut(world.a);
        let error = node.udp_send(now, opened.udp, b"x", None).unwrap_err();
        assert_eq!(error.reason, Reason::Revoked.as_str());
        assert_eq!(node.usage(NAMED).denials, 3);
    }
}

/// Goal: what was opened by a name is judged again as that: a forbid of another name of its address does not end it, and
/// a name that is not remembered any more is not missed. A connection by the bare address is known by all of them.
/// Method: a second name at the address, then so many that both are forgotten but for the forbidden one; a policy that
/// forbids that one.
#[test]
fn what_was_opened_by_a_name_is_judged_again_as_that() {
    let (mut world, opened) = outlived();
    let now = world.now;
    let address = "93.184.216.2".parse().unwrap();
    let until = now + Duration::from_secs(3_600);
    let forbid = common::forbid("network.tcp.connect", "evil.example.com:80");
    world.set_policy(world.a, &forbid);
    let names = ["evil.example.com".to_owned()].into_iter();
    for host in names.chain((0..40).map(|n| format!("n{n}.example.com"))) {
        let host = HostName::parse(&host).unwrap();
        let node = world.mesh.node_mut(world.a);
        node.gate_mut()
            .bind_answer(now, NAMED, &host, &[address], until);
    }
    world.set_policy(world.a, &format!("# Again.\n{forbid}"));
    world.settle();
    let mut ended = Vec::new();
    while let Some((_, Event::Denied { denial, .. })) = world.mesh.poll_event() {
        ended.push(denial.target.full());
    }
    assert_eq!(ended, ["93.184.216.2:80"]);
    assert_eq!(
        world.write(world.a, opened.by_name, b"x"),
        Poll::Ready(Ok(1))
    );
    let Poll::Ready(Err(error)) = world.write(world.a, opened.by_address, b"x") else {
        panic!("the forbidden name is one of the address's")
    };
    assert_eq!(error.reason, Reason::Revoked.as_str());
}
