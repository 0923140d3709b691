//! The world: one seed, one run; what it says when something is wrong.

use std::time::Duration;

use nexus_sdk::sim::{Conditions, Ppm, World};
use nexus_sdk::svc::net::{TcpListener, TcpStream, UdpSocket};
use nexus_sdk::svc::time::sleep;
use nexus_sdk::{Error, ErrorCode, print};

use crate::{LIMIT, Told, client, code, two_nodes};

/// A run on a bad link; its hash, and how long it took.
fn bad_link(seed: u64, text: &'static str) -> (String, Duration) {
    let (mut world, server, node) = two_nodes(seed);
    world.link(Conditions {
        jitter: Duration::from_millis(3),
        loss: Ppm::per_mille(50),
        ..Conditions::PLAIN
    });
    server.peer(async || {
        let listener = TcpListener::bind("0.0.0.0:7").await?;
        listener.accept().await?.write_all(vec![7; 100_000]).await
    });
    let app = client(&node, async move || {
        let mut stream = TcpStream::connect("server:7").await?;
        assert_eq!(stream.read_to_end(100_000).await?.len(), 100_000);
        print(text).await;
        Ok(())
    });
    world.run(LIMIT).unwrap();
    assert_eq!(app.exit_code(), Some(0));
    (world.trace_hash(), world.elapsed())
}

/// Goal: a seed is a run. Method: the same twice, another seed, another output.
#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 0..10 {
        assert_eq!(bad_link(seed, "a"), bad_link(seed, "a"));
    }
    assert_ne!(bad_link(1, "a").0, bad_link(2, "a").0);
    assert_ne!(bad_link(1, "a").0, bad_link(1, "b").0);
}

async fn tell_all(tell: Told<u8>) -> Result<(), Error> {
    let mut socket = UdpSocket::bind("0.0.0.0:7").await?;
    loop {
        let data = socket.recv().await?;
        tell.borrow_mut().push(data[0]);
    }
}

/// Goal: a link can be cut and mended between two runs. Method: one datagram each.
#[test]
fn a_link_changes_between_runs() {
    let (mut world, server, node) = two_nodes(1);
    let told = Told::default();
    let tell = told.clone();
    server.peer(|| tell_all(tell));
    for number in 0..3 {
        world.link(Conditions {
            cut: number == 1,
            ..Conditions::PLAIN
        });
        client(&node, async move || {
            UdpSocket::connect("server:7").await?.send([number]).await
        });
        world.run(LIMIT).unwrap();
        world.pass(Duration::from_secs(1)).unwrap();
    }
    assert_eq!(*told.borrow(), [0, 2]);
}

#[test]
fn reject_an_app_that_takes_too_long() {
    let (mut world, _, node) = two_nodes(5);
    node.app("").start(async || {
        print("first\nwaiting\n").await;
        sleep(Duration::from_secs(11)).await;
    });
    let failure = world.run(Duration::from_secs(10)).unwrap_err();
    assert_eq!(
        format!("{failure:?}"),
        "client, app 1: still running after 10s\n  it said: waiting\n\
         seed 5: World::new(5) shows the same run again"
    );
    assert_eq!(world.elapsed(), Duration::from_secs(10));
    // It may be given more.
    world.run(Duration::from_secs(1)).unwrap();
}

#[test]
fn reject_an_app_that_waits_for_ever() {
    let (mut world, _, node) = two_nodes(5);
    node.app("").start(async || {
        sleep(Duration::from_secs(1)).await;
        core::future::pending::<()>().await;
    });
    let failure = world.run(LIMIT).unwrap_err().to_string();
    assert!(
        failure.starts_with("client, app 1: waits for ever: nothing happened after 1s"),
        "{failure}"
    );
}

/// Goal: a socket is its app's own. Method: one app lends its stream to another.
#[test]
#[should_panic(expected = "on a socket of another app")]
fn reject_a_socket_of_another_app() {
    let (mut world, server, node) = two_nodes(1);
    server.peer(async || {
        let listener = TcpListener::bind("0.0.0.0:7").await?;
        listener.accept().await.map(drop)
    });
    let told = Told::default();
    let (lend, borrow) = (told.clone(), told);
    client(&node, async move || {
        let stream = TcpStream::connect("server:7").await?;
        lend.borrow_mut().push(stream);
        sleep(Duration::from_secs(10)).await;
        Ok(())
    });
    client(&node, async move || {
        sleep(Duration::from_secs(5)).await;
        let mut stream = borrow.borrow_mut().pop().unwrap();
        stream.write_all("mine").await
    });
    let _ = world.run(LIMIT);
}

/// Goal: nodes of both families. Method: one IPv6 connection by address.
#[test]
fn nodes_speak_ipv6() {
    let mut world = World::new(1);
    let server = world.node("server", "fd00::1/64");
    let node = world.node("client", "fd00::2/64");
    server.peer(async || {
        let listener = TcpListener::bind("[::]:7").await?;
        listener.accept().await?.write_all("six").await
    });
    let app = client(&node, async || {
        // What is still being checked for duplicates is not used yet.
        sleep(Duration::from_secs(2)).await;
        let mut stream = TcpStream::connect("[fd00::1]:7").await?;
        assert_eq!(stream.read_to_end(10).await?, b"six");
        assert_eq!(
            code(TcpStream::connect("[fd00::1]:8").await),
            ErrorCode::Refused
        );
        Ok(())
    });
    crate::passes(&mut world, &app);
}

#[test]
#[should_panic(expected = "no app to wait for")]
fn reject_a_run_with_nobody_to_wait_for() {
    let (mut world, server, _) = two_nodes(1);
    server.peer(|| sleep(Duration::from_secs(1)));
    let _ = world.run(LIMIT);
}

#[test]
#[should_panic(expected = "two nodes are called server")]
fn reject_a_name_twice() {
    let (mut world, _, _) = two_nodes(1);
    world.node("server", "10.0.0.3/24");
}

#[test]
#[should_panic(expected = "comes too late")]
fn reject_a_node_after_the_first_run() {
    let (mut world, _, node) = two_nodes(1);
    node.app("").start(async || {});
    world.run(LIMIT).unwrap();
    world.node("late", "10.0.0.3/24");
}

#[test]
#[should_panic(expected = "unknown key")]
fn reject_a_manifest_that_is_none() {
    let (_, _, node) = two_nodes(1);
    let _ = node.app("[app]\nid = \"x\"\nversoin = \"1\"\n");
}

#[test]
#[should_panic(expected = "CAPABILITY=RULE")]
fn reject_a_grant_that_is_no_rule() {
    let (_, _, node) = two_nodes(1);
    let _ = node.app("").allow("server:80");
}
