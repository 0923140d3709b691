//! Connections that are opened for requests of HTTP: what they are judged by, and when they end.

mod common;

use std::task::Waker;

use common::{SERVER_POLICY, World};
use nexus_node::{NetError, Quota, TcpSocket};
use nexus_policy::parameter::url::Method;
use nexus_policy::{Act, Permit, Request, RequestUrl};
use nexus_types::{Duration, ErrorCode, HostName, InstanceId, SocketAddr};

const APP: InstanceId = InstanceId(5);
const OTHER: InstanceId = InstanceId(6);
const MANIFEST: &str = r#"
[app]
id = "test.web"
[capabilities."network.http.request"]
allow = ["http://api.example.com", "http://93.184.216.2/v1/*"]
[capabilities."network.tcp.connect"]
allow = ["93.184.216.2:80"]
[capabilities."network.udp.send"]
allow = ["93.184.216.2:80"]
"#;

fn url(text: &str) -> RequestUrl {
    let (host, path) = text.split_once('/').expect("a path");
    RequestUrl::new("http", host, None, &format!("/{path}")).expect("a URL")
}

fn get(url: &RequestUrl) -> Request<'_> {
    Request {
        method: Some(Method::Get),
        url,
        redirected: false,
    }
}

fn web() -> SocketAddr {
    "93.184.216.2:80".parse().expect("an address")
}

/// Another address of the same name.
fn elsewhere() -> SocketAddr {
    "93.184.216.3:80".parse().expect("an address")
}

/// A world in which the name has been answered, for a second.
fn world() -> World {
    let mut world = World::on([93, 184, 216]);
    for app in [APP, OTHER] {
        world.admit(world.a, app, MANIFEST, Quota::default());
    }
    world.listen("0.0.0.0:80").expect("listens");
    let name = HostName::parse("api.example.com").expect("a name");
    let (now, until) = (world.now, world.now + Duration::from_secs(1));
    let gate = world.mesh.node_mut(world.a).gate_mut();
    for app in [APP, OTHER] {
        gate.bind_answer(now, app, &name, &[web().ip(), elsewhere().ip()], until);
    }
    world
}

fn permit(world: &mut World, app: InstanceId, act: &Act<'_>) -> Permit {
    let now = world.now;
    let node = world.mesh.node_mut(world.a);
    node.permit(now, app, act).expect("permitted")
}

fn open(world: &mut World, url: &RequestUrl) -> TcpSocket {
    let act = Act::RequestConnect {
        request: get(url),
        remote: web(),
    };
    let permit = permit(world, APP, &act);
    let now = world.now;
    let node = world.mesh.node_mut(world.a);
    let socket = node.tcp_connect(now, permit).expect("connects");
    world.settle();
    socket
}

fn carry(
    world: &mut World,
    socket: TcpSocket,
    app: InstanceId,
    url: &RequestUrl,
) -> Result<(), NetError> {
    let act = Act::RequestConnect {
        request: get(url),
        remote: web(),
    };
    let permit = permit(world, app, &act);
    let now = world.now;
    world.mesh.node_mut(world.a).tcp_carry(now, socket, permit)
}

/// What the app is told that reads from it.
fn told(world: &mut World, socket: TcpSocket) -> Option<ErrorCode> {
    let now = world.now;
    let node = world.mesh.node_mut(world.a);
    match node.poll_read(now, socket, &mut [0; 8], Waker::noop()) {
        std::task::Poll::Ready(Err(error)) => Some(error.code),
        _ => None,
    }
}

fn forbid(world: &mut World, rule: &str) {
    let policy = format!(
        "{SERVER_POLICY}{}",
        common::forbid("network.http.request", rule)
    );
    world.set_policy(world.a, &policy);
    world.settle();
}

/// Goal: a connection ends when the request it is for is not allowed any more, idle or not, and only then; that the
/// name's answer is over ends none. Method: policies read anew; the request that opened it, then another that it carries.
#[test]
fn a_connection_ends_with_what_it_carries() {
    let (first, second) = (url("api.example.com/v1/a"), url("api.example.com/v2/b"));
    for (carried, rule, ends) in [
        (None, "http://api.example.com/v2/*", false),
        (None, "http://api.example.com/v1/*", true),
        (None, "http://93.184.216.2", true),
        (Some(&second), "http://api.example.com/v1/*", false),
        (Some(&second), "GET http://api.example.com/v2/b", true),
        (Some(&second), "POST http://api.example.com", false),
    ] {
        let mut world = world();
        let socket = open(&mut world, &first);
        if let Some(url) = carried {
            carry(&mut world, socket, APP, url).expect("the same origin");
        }
        world.now += Duration::from_secs(2);
        forbid(&mut world, rule);
        let code = told(&mut world, socket);
        assert_eq!(code.is_some(), ends, "{rule}: {code:?}");
    }
}

/// Goal: a connection carries what its app may ask of its origin at that address, and nothing else. Method: another
/// origin, another app, another address of the origin, what is not a permit to connect, a permit that the policy has
/// overtaken, a connection that was opened otherwise.
#[test]
fn reject_to_carry_what_is_not_its_own() {
    let mut world = world();
    let (first, literal) = (url("api.example.com/v1/a"), url("93.184.216.2/v1/a"));
    let socket = open(&mut world, &first);
    let error = carry(&mut world, socket, APP, &literal).expect_err("another origin");
    assert_eq!(error.code, ErrorCode::Denied);
    let error = carry(&mut world, socket, OTHER, &first).expect_err("another app");
    assert_eq!(error.code, ErrorCode::Denied);
    let second = url("api.example.com/v2/b");
    let to = |remote| Act::RequestConnect {
        request: get(&second),
        remote,
    };
    for (act, code) in [
        (to(elsewhere()), ErrorCode::Denied),
        (Act::Request(get(&second)), ErrorCode::Internal),
    ] {
        let permit = permit(&mut world, APP, &act);
        let now = world.now;
        let carried = world.mesh.node_mut(world.a).tcp_carry(now, socket, permit);
        assert_eq!(carried.expect_err("not for this").code, code);
    }
    let overtaken = permit(&mut world, APP, &to(web()));
    forbid(&mut world, "http://93.184.216.2/v2/*");
    let now = world.now;
    let carried = world
        .mesh
        .node_mut(world.a)
        .tcp_carry(now, socket, overtaken);
    assert_eq!(carried.expect_err("forbidden there").reason, "revoked");
    // It goes on as what it was.
    assert_eq!(told(&mut world, socket), None);
    let act = Act::Connect {
        remote: web(),
        name: None,
    };
    let permit = permit(&mut world, APP, &act);
    let now = world.now;
    let node = world.mesh.node_mut(world.a);
    let plain = node.tcp_connect(now, permit).expect("connects");
    let error = carry(&mut world, plain, APP, &literal).expect_err("not for requests");
    assert_eq!(error.code, ErrorCode::Denied);
}

/// Goal: a permit that the policy has overtaken opens nothing that is forbidden by now.
#[test]
fn reject_a_permit_that_is_overtaken() {
    let mut world = world();
    let url = url("api.example.com/v1/a");
    for (rule, opens) in [
        ("http://api.example.com/v2/*", true),
        ("http://api.example.com/v1/*", false),
    ] {
        world.set_policy(world.a, SERVER_POLICY);
        let act = Act::RequestConnect {
            request: get(&url),
            remote: web(),
        };
        let permit = permit(&mut world, APP, &act);
        forbid(&mut world, rule);
        let now = world.now;
        let opened = world.mesh.node_mut(world.a).tcp_connect(now, permit);
        assert_eq!(opened.is_ok(), opens, "{rule}");
    }
}
