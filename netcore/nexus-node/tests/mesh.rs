//! Two nodes on a segment, apps behind the gate: what is permitted arrives, what is refused
//! never becomes a frame.

mod common;

use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};

use common::{CLIENT, CLIENT_MANIFEST, World};
use nexus_node::{Direction, Event, Mesh, NodeConfig, Quota};
use nexus_policy::{Act, Topology};
use nexus_stack::Config;
use nexus_types::{
    Duration, ErrorCode, InstanceId, Instant, InterfaceAddress, Reason, Seed, SocketAddr,
};

#[test]
fn what_is_permitted_arrives() {
    let mut world = World::new();
    let (client, server) = world.pair();
    assert_eq!(world.write(world.a, client, b"hello"), Poll::Ready(Ok(5)));
    assert_eq!(
        world.read(world.b, server),
        Poll::Ready(Ok(b"hello".to_vec()))
    );
    assert_eq!(world.write(world.b, server, b"there"), Poll::Ready(Ok(5)));
    assert_eq!(
        world.read(world.a, client),
        Poll::Ready(Ok(b"there".to_vec()))
    );
    let usage = world.mesh.node(world.a).usage(CLIENT);
    assert_eq!(
        (
            usage.sockets,
            usage.bytes_in,
            usage.bytes_out,
            usage.denials
        ),
        (1, 5, 5, 0)
    );
}

/// Goal: an observer sees each frame twice on a link, as it leaves and as it arrives, and changes
/// nothing. Method: what one node sends is what the other gets, in order; both counters agree.
#[test]
fn every_frame_is_shown_at_both_its_doors() {
    let mut world = World::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let shown = seen.clone();
    world
        .mesh
        .observe_frames(Box::new(move |node, direction, _now, frame| {
            shown
                .lock()
                .unwrap()
                .push((node, direction, frame.to_vec()));
        }));
    let (client, server) = world.pair();
    assert_eq!(world.write(world.a, client, b"hello"), Poll::Ready(Ok(5)));
    assert_eq!(
        world.read(world.b, server),
        Poll::Ready(Ok(b"hello".to_vec()))
    );
    let seen = seen.lock().unwrap();
    for (from, to) in [(world.a, world.b), (world.b, world.a)] {
        let of = |node, direction| {
            seen.iter()
                .filter(move |(n, d, _)| (*n, *d) == (node, direction))
                .map(|(_, _, frame)| frame)
        };
        assert!(of(from, Direction::Out).eq(of(to, Direction::In)));
        let sent = of(from, Direction::Out).count() as u64;
        assert!(sent > 1);
        assert_eq!(sent, world.frames_out(from));
    }
}

#[test]
fn reject_what_no_rule_names_before_a_frame_is_made() {
    let mut world = World::new();
    for remote in [
        "10.0.0.2:81",
        "10.0.0.3:80",
        "[fe80::1]:80",
        "169.254.169.254:80",
        "[::ffff:10.0.0.9]:80",
    ] {
        let error = world.connect(remote).unwrap_err();
        assert_eq!(error.code, ErrorCode::Denied, "{remote}: {error}");
        let Some((node, Event::Denied { instance, denial })) = world.mesh.poll_event() else {
            // The event is there after the next step.
            world.settle();
            assert!(
                matches!(
                    world.mesh.poll_event(),
                    Some((
                        _,
                        Event::Denied {
                            instance: CLIENT,
                            ..
                        }
                    ))
                ),
                "{remote}"
            );
            continue;
        };
        assert_eq!((node, instance), (world.a, CLIENT));
        assert_eq!(denial.instance, CLIENT);
    }
    world.pass(Duration::from_secs(5));
    assert_eq!(world.frames_out(world.a), 0);
    assert_eq!(world.mesh.node(world.a).usage(CLIENT).denials, 5);
}

#[test]
fn reject_a_socket_over_the_quota_and_never_as_a_permission() {
    let mut world = World::new();
    let third = InstanceId(3);
    world.admit(
        world.a,
        third,
        CLIENT_MANIFEST,
        Quota {
            sockets: 2,
            ..Quota::default()
        },
    );
    let now = world.now;
    let remote: SocketAddr = "10.0.0.2:80".parse().unwrap();
    let node = world.mesh.node_mut(world.a);
    let mut open = || {
        let permit = node.permit(now, third, &Act::Connect { remote, name: None })?;
        node.tcp_connect(now, permit)
    };
    let first = open().unwrap();
    open().unwrap();
    let error = open().unwrap_err();
    assert_eq!(
        (error.code, error.reason),
        (ErrorCode::NoCapacity, Reason::NoCapacity.as_str())
    );
    node.tcp_close(now, first);
    let permit = node
        .permit(now, third, &Act::Connect { remote, name: None })
        .unwrap();
    node.tcp_connect(now, permit).unwrap();
    assert_eq!(node.usage(third).denials, 0, "a quota is no refusal");
}

/// Goal: a connection counts for the buffers it has, whatever the node's are. Method: buffers of twice the default,
/// an app that may hold two connections of them, and one that may hold a byte less.
#[test]
fn reject_a_connection_whose_buffers_are_over_the_quota() {
    let bytes = 256 << 10;
    let mut world = World::with([10, 0, 0], |stack| {
        stack.tcp.rx_bytes = 128 << 10;
        stack.tcp.tx_bytes = 128 << 10;
    });
    for (instance, bytes_in_flight, fit) in [(3, 2 * bytes, 2), (4, 2 * bytes - 1, 1)] {
        let instance = InstanceId(instance);
        let quota = Quota {
            bytes_in_flight,
            ..Quota::default()
        };
        world.admit(world.a, instance, CLIENT_MANIFEST, quota);
        let now = world.now;
        let remote: SocketAddr = "10.0.0.2:80".parse().unwrap();
        let node = world.mesh.node_mut(world.a);
        let mut open = || {
            let permit = node.permit(now, instance, &Act::Connect { remote, name: None })?;
            node.tcp_connect(now, permit)
        };
        let opened: Vec<_> = (0..fit).map(|_| open().unwrap()).collect();
        assert_eq!(open().unwrap_err().code, ErrorCode::NoCapacity);
        assert_eq!(node.usage(instance).bytes_in_flight, fit * bytes);
        for socket in opened {
            node.tcp_close(now, socket);
        }
        assert_eq!(node.usage(instance).bytes_in_flight, 0);
    }
}

#[test]
fn a_new_policy_ends_what_it_forbids_and_nothing_else() {
    let mut world = World::new();
    let (client, server) = world.pair();
    world.set_policy(
        world.a,
        "[[rule]]\nid = \"no\"\ncapability = \"network.tcp.connect\"\nverdict = \"forbid\"\nto = [\"10.0.0.2:80\"]\n",
    );
    let Poll::Ready(Err(error)) = world.write(world.a, client, b"x") else {
        panic!("still open")
    };
    assert_eq!(error.reason, Reason::Revoked.as_str());
    world.settle();
    assert!(
        matches!(world.mesh.poll_event(), Some((_, Event::Denied { denial, .. })) if denial.reason == Reason::Revoked)
    );
    let Poll::Ready(Err(error)) = world.read(world.b, server) else {
        panic!("the far end was not told")
    };
    assert_eq!(error.code, ErrorCode::Reset);

    let mut world = World::new();
    let (client, server) = world.pair();
    world.set_policy(
        world.a,
        "[[rule]]\nid = \"other\"\ncapability = \"network.tcp.connect\"\nverdict = \"forbid\"\nto = [\"10.0.0.9:80\"]\n",
    );
    assert_eq!(world.write(world.a, client, b"x"), Poll::Ready(Ok(1)));
    assert_eq!(world.read(world.b, server), Poll::Ready(Ok(b"x".to_vec())));
}

/// Goal: who has ended is asked for nothing any more and may do nothing. Method: an app whose byte has arrived ends.
/// (What is still on its way then is tested in nexus-sim.)
#[test]
fn reject_what_an_ended_app_asks_for() {
    let mut world = World::new();
    let (client, server) = world.pair();
    assert_eq!(world.write(world.a, client, b"x"), Poll::Ready(Ok(1)));
    let now = world.now;
    world.mesh.node_mut(world.a).end(now, CLIENT);
    world.settle();
    assert_eq!(world.read(world.b, server), Poll::Ready(Ok(b"x".to_vec())));
    assert_eq!(world.mesh.undelivered(world.a), 0);
    let error = world.connect("10.0.0.2:80").unwrap_err();
    assert_eq!(
        error.code,
        ErrorCode::Denied,
        "an ended instance has no rights: {error}"
    );
}

#[test]
fn reject_a_neighbours_loopback_listener() {
    let mut world = World::new();
    // The server listens on node b; an app of the same node dials that node's loopback.
    world.listen("127.0.0.1:80").unwrap();
    let neighbour = InstanceId(4);
    world.admit(world.b, neighbour, CLIENT_MANIFEST, Quota::default());
    let now = world.now;
    let node = world.mesh.node_mut(world.b);
    let remote = "127.0.0.1:80".parse().unwrap();
    let permit = node
        .permit(now, neighbour, &Act::Connect { remote, name: None })
        .unwrap();
    let socket = node.tcp_connect(now, permit).unwrap();
    world.pass(Duration::from_secs(1));
    let now = world.now;
    let polled = world
        .mesh
        .node_mut(world.b)
        .poll_connected(now, socket, Waker::noop());
    let Poll::Ready(Err(error)) = polled else {
        panic!("{polled:?}")
    };
    assert_eq!(error.code, ErrorCode::Refused);
}

#[test]
fn a_sending_socket_hears_only_whom_it_has_sent_to() {
    let mut world = World::new();
    let (wanted, stranger) = (world.bind("0.0.0.0:53"), world.bind("0.0.0.0:54"));
    let client = world.open_udp().unwrap();
    world
        .send(world.a, client, b"question", "10.0.0.2:53".parse().unwrap())
        .unwrap();
    let Poll::Ready(Ok((from, question))) = world.receive(world.b, wanted) else {
        panic!("no question")
    };
    assert_eq!(question, b"question");
    // A bound socket may answer whom it has heard; another one of the same app must not.
    let error = world.send(world.b, stranger, b"noise", from).unwrap_err();
    assert_eq!(error.code, ErrorCode::Denied);
    world.send(world.b, wanted, b"answer", from).unwrap();
    assert_eq!(
        world.receive(world.a, client),
        Poll::Ready(Ok(("10.0.0.2:53".parse().unwrap(), b"answer".to_vec())))
    );
    assert_eq!(world.receive(world.a, client), Poll::Pending);
    let error = world
        .send(world.a, client, b"x", "10.0.0.2:54".parse().unwrap())
        .unwrap_err();
    assert_eq!(error.code, ErrorCode::Denied);
}

#[test]
fn a_socket_that_may_send_nowhere_any_more_ends() {
    let mut world = World::new();
    let client = world.open_udp().unwrap();
    world.set_policy(
        world.a,
        "[[rule]]\nid = \"no\"\ncapability = \"network.udp.send\"\nverdict = \"forbid\"\n",
    );
    let remote = "10.0.0.2:53".parse().unwrap();
    let error = world.send(world.a, client, b"x", remote).unwrap_err();
    assert_eq!(error.reason, Reason::Revoked.as_str());
    let error = world.send(world.a, client, b"x", remote).unwrap_err();
    assert_eq!(error.reason, Reason::Revoked.as_str(), "and so it stays");
    let error = world.open_udp().unwrap_err();
    assert_eq!(error.reason, Reason::OperatorDenied.as_str());
    assert_eq!(world.mesh.node(world.a).usage(CLIENT).sockets, 0);
}

#[test]
fn reject_an_address_that_another_node_of_the_link_has() {
    let mut mesh = Mesh::new();
    let segment = mesh.add_segment();
    let add = |mesh: &mut Mesh| {
        let own = vec![InterfaceAddress::new([10, 0, 0, 1].into(), 24).unwrap()];
        let stack = Config::new(1_500, own);
        let config = NodeConfig {
            stack,
            topology: Topology::default(),
            seed: Seed::from_number(1),
        };
        mesh.add_node(config, Instant::ZERO).unwrap()
    };
    let (first, second) = (add(&mut mesh), add(&mut mesh));
    mesh.attach_segment(first, segment).unwrap();
    let error = mesh.attach_segment(second, segment).unwrap_err();
    assert_eq!(
        error.to_string(),
        "another node of the link has the address 10.0.0.1"
    );
    let error = mesh.attach_segment(first, segment).unwrap_err();
    assert_eq!(
        error.to_string(),
        "node-0 is attached already; a node has one interface"
    );
}

#[test]
fn a_step_is_bounded_and_says_when_to_go_on() {
    let mut world = World::new();
    let (client, _server) = world.pair();
    // Nobody reads: the writer fills both buffers, and the mesh comes to rest.
    let mut written = 0;
    while let Poll::Ready(Ok(count)) = world.write(world.a, client, &[0; 65_536]) {
        written += count;
        assert!(written < 1 << 20, "the window never closed");
    }
    assert_ne!(world.mesh.poll_timeout(), Some(Instant::ZERO));
}

/// Goal: a host that ends waits for datagrams, too, that a step has left over.
#[test]
fn datagrams_of_the_next_step_are_undelivered() {
    let mut world = World::new();
    let _server = world.bind("0.0.0.0:53");
    world.settle();
    let now = world.now;
    let node = world.mesh.node_mut(world.a);
    for _ in 0..6 {
        let permit = node.permit(now, CLIENT, &Act::UdpOpen).unwrap();
        let socket = node.udp_open(now, permit, true).unwrap();
        for _ in 0..200 {
            let remote = "10.0.0.2:53".parse().unwrap();
            node.udp_send(now, socket, b"x", Some(remote)).unwrap();
        }
    }
    assert_eq!(world.mesh.undelivered(world.a), 1);
    world.mesh.step(now);
    assert_eq!(
        world.mesh.undelivered(world.a),
        1,
        "1,200 is more than a step"
    );
    world.mesh.step(now);
    assert_eq!(world.mesh.undelivered(world.a), 0);
}
