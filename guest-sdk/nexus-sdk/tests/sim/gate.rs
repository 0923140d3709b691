//! The gate: what an app was not granted it does not get.

use nexus_sdk::svc::net::{Family, TcpListener, TcpStream, UdpSocket};
use nexus_sdk::{Error, ErrorCode, args};

use crate::{LIMIT, code, passes, two_nodes};

const MANIFEST: &str = r#"
[app]
id = "org.example.client"

[capabilities."network.tcp.connect"]
allow = ["lan:7"]
"#;

async fn connect() -> Result<(), Error> {
    TcpStream::connect("10.0.0.1:7").await.map(drop)
}

async fn accept() -> Result<(), Error> {
    let listener = TcpListener::bind("0.0.0.0:7").await?;
    loop {
        drop(listener.accept().await?);
    }
}

/// Goal: the two keys. Method: the manifest with `allow_manifest`, with a grant, with neither.
#[test]
fn an_app_needs_its_manifest_and_a_yes() {
    let (mut world, server, node) = two_nodes(1);
    server.peer(accept);
    let with_manifest = node.app(MANIFEST).allow_manifest().start(connect);
    let with_grant = node
        .app("")
        .allow("network.tcp.connect=10.0.0.1:7")
        .start(connect);
    world.run(LIMIT).unwrap();
    assert_eq!(
        with_manifest.exit_code(),
        Some(0),
        "{}",
        with_manifest.stderr()
    );
    assert_eq!(with_grant.exit_code(), Some(0), "{}", with_grant.stderr());
    assert_eq!(with_grant.refusal(), None);
}

#[test]
fn reject_an_app_nobody_said_yes_to() {
    let (mut world, _, node) = two_nodes(1);
    let app = node
        .app(MANIFEST)
        .args(["one"])
        .start(async || assert!(args().is_empty(), "no instruction of it runs"));
    world.run(LIMIT).unwrap();
    assert_eq!(app.exit_code(), Some(77));
    let report = app.refusal().unwrap();
    assert!(report.contains("network.tcp.connect"), "{report}");
}

/// Goal: what is not granted is `denied`, with the reason, whichever call it is. Method: one call for each.
#[test]
fn reject_what_was_not_granted() {
    let (mut world, server, node) = two_nodes(1);
    server.peer(accept);
    let app = node.app(MANIFEST).allow_manifest().start(async || {
        let error = TcpStream::connect("10.0.0.1:8").await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Denied);
        assert_eq!(error.reason(), "not-permitted", "{error}");
        // A rule for the class does not name a name.
        assert_eq!(
            code(TcpStream::connect("server:7").await),
            ErrorCode::Denied
        );
        assert_eq!(
            code(TcpListener::bind("0.0.0.0:80").await),
            ErrorCode::Denied
        );
        assert_eq!(code(UdpSocket::bind("0.0.0.0:80").await), ErrorCode::Denied);
        assert_eq!(
            code(UdpSocket::connect("10.0.0.1:7").await),
            ErrorCode::Denied
        );
        assert_eq!(code(UdpSocket::open(Family::Ipv4).await), ErrorCode::Denied);
    });
    passes(&mut world, &app);
    let denials = app.denials();
    assert_eq!(denials.len(), 6, "{denials:#?}");
    assert_eq!(denials[0], "network.tcp.connect 10.0.0.1:8 not-permitted");
}

/// Goal: a name's rule covers addresses of class `public`, as outside. Method: a node that stands for a public server.
#[test]
fn a_name_is_reached_by_its_rule() {
    let mut world = nexus_sdk::sim::World::new(1);
    world
        .node("api.example.com", "93.184.215.1/24")
        .peer(accept);
    let node = world.node("client", "93.184.215.2/24");
    let app = node
        .app("")
        .allow("network.tcp.connect=api.example.com:7")
        .start(async || TcpStream::connect("api.example.com:7").await.map(drop));
    passes(&mut world, &app);
}

/// Goal: the quota of the manifest holds. Method: two sockets are allowed, three are opened.
#[test]
fn reject_more_sockets_than_the_manifest_says() {
    let (mut world, server, node) = two_nodes(1);
    server.peer(accept);
    let manifest = format!("{MANIFEST}\n[limits]\nsockets = 2\n");
    let app = node.app(&manifest).allow_manifest().start(async || {
        let _first = TcpStream::connect("10.0.0.1:7").await.unwrap();
        let second = TcpStream::connect("10.0.0.1:7").await.unwrap();
        assert_eq!(
            code(TcpStream::connect("10.0.0.1:7").await),
            ErrorCode::NoCapacity
        );
        drop(second);
        TcpStream::connect("10.0.0.1:7").await.unwrap();
    });
    passes(&mut world, &app);
}
