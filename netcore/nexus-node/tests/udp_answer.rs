//! A bound socket answers whom it has heard, unless the operator wrote that nothing is sent there.

mod common;

use std::task::Poll;

use common::{SERVER, SERVER_POLICY, World};
use nexus_node::{Event, UdpSocket};
use nexus_types::{ErrorCode, Reason, SocketAddr};

/// The server's socket, the client's, and whom the server has heard: the client.
fn heard(world: &mut World) -> (UdpSocket, UdpSocket, SocketAddr) {
    let (server, client) = (world.bind("0.0.0.0:53"), world.open_udp().unwrap());
    let to = "10.0.0.2:53".parse().unwrap();
    world.send(world.a, client, b"question", to).unwrap();
    let Poll::Ready(Ok((from, _))) = world.receive(world.b, server) else {
        panic!("no question")
    };
    (server, client, from)
}

fn forbid(to: &str) -> String {
    format!(
        "{SERVER_POLICY}[[rule]]\nid = \"quiet\"\ncapability = \"network.udp.send\"\nverdict = \"forbid\"\n{to}\n"
    )
}

#[test]
fn reject_an_answer_to_whom_the_operator_forbids_to_send() {
    for to in ["to = [\"10.0.0.1:*\"]", "to = [\"lan:*\"]", ""] {
        let mut world = World::new();
        world.set_policy(world.b, &forbid(to));
        let (server, client, from) = heard(&mut world);
        let frames = world.frames_out(world.b);
        for _ in 0..2 {
            let error = world.send(world.b, server, b"answer", from).unwrap_err();
            assert_eq!(error.code, ErrorCode::Denied);
            assert_eq!(error.reason, Reason::OperatorDenied.as_str());
        }
        assert_eq!(world.frames_out(world.b), frames, "{to}");
        assert_eq!(world.receive(world.a, client), Poll::Pending);
        let Some((_, Event::Denied { instance, denial })) = world.mesh.poll_event() else {
            panic!("nobody is told")
        };
        assert_eq!(instance, SERVER);
        assert_eq!(denial.target.full(), from.to_string());
        assert_eq!(world.mesh.node(world.b).usage(SERVER).denials, 2);
    }
}

#[test]
fn a_forbid_of_others_refuses_no_answer() {
    let mut world = World::new();
    world.set_policy(world.b, &forbid("to = [\"10.0.0.1:53\", \"public:*\"]"));
    let (server, client, from) = heard(&mut world);
    world.send(world.b, server, b"answer", from).unwrap();
    let got = world.receive(world.a, client);
    assert_eq!(
        got,
        Poll::Ready(Ok(("10.0.0.2:53".parse().unwrap(), b"answer".to_vec())))
    );
}

#[test]
fn reject_an_answer_after_a_reload_that_forbids_it_and_no_other() {
    let mut world = World::new();
    let (server, client, from) = heard(&mut world);
    world.send(world.b, server, b"one", from).unwrap();
    // Whom it has heard it may go on answering: that they spoke is no matter of policy.
    world.set_policy(world.b, &forbid("to = [\"10.0.0.9:*\"]"));
    world.send(world.b, server, b"two", from).unwrap();
    world.set_policy(world.b, &forbid("to = [\"10.0.0.1:*\"]"));
    let error = world.send(world.b, server, b"three", from).unwrap_err();
    assert_eq!(error.reason, Reason::OperatorDenied.as_str());
    // The socket is as bound as before, and free again when the forbid is gone.
    world.set_policy(world.b, SERVER_POLICY);
    world.send(world.b, server, b"four", from).unwrap();
    for word in [&b"one"[..], b"two", b"four"] {
        let Poll::Ready(Ok((_, got))) = world.receive(world.a, client) else {
            panic!("no answer")
        };
        assert_eq!(got, word);
    }
    assert_eq!(world.receive(world.a, client), Poll::Pending);
}
