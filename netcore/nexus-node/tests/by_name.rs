//! What is reached by a name: its addresses judged together.

mod common;

use common::{CLIENT, World};
use nexus_node::{Event, NetError};
use nexus_policy::{Act, Permit};
use nexus_types::{ErrorCode, HostName, SocketAddr, limits};

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
