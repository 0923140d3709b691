//! TCP: streams, halves, bulk, listeners.

use std::num::NonZeroUsize;
use std::time::Duration;

use nexus_sdk::sim::{Conditions, Ppm};
use nexus_sdk::svc::net::{TcpListener, TcpStream, resolve};
use nexus_sdk::svc::time::{BackoffConfig, retry, sleep, timeout};
use nexus_sdk::task::{join, race, spawn};
use nexus_sdk::{Error, ErrorCode};

use crate::{Told, client, code, passes, two_nodes};

const MANY: NonZeroUsize = NonZeroUsize::new(100).unwrap();

/// Echoes what comes until the far end finishes.
async fn echo() -> Result<(), Error> {
    let listener = TcpListener::bind("0.0.0.0:7").await?;
    listener
        .serve(MANY, |mut stream| async move {
            while let Ok(chunk) = stream.read(4096).await {
                if chunk.is_empty() {
                    let _ = stream.finish();
                    break;
                }
                stream.write_all(chunk).await.unwrap();
            }
        })
        .await
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at * 7 % 251) as u8).collect()
}

/// Goal: half-close. Method: a client that finishes before it reads gets all back, then the end.
#[test]
fn a_stream_that_is_finished_is_echoed_to_its_end() {
    let (mut world, server, node) = two_nodes(1);
    server.peer(echo);
    let app = client(&node, async || {
        let mut stream = TcpStream::connect("server:7").await?;
        assert_eq!(stream.remote_addr().to_string(), "10.0.0.1:7");
        assert_eq!(stream.local_addr().ip().to_string(), "10.0.0.2");
        stream.write_all("hello").await?;
        stream.finish()?;
        assert_eq!(stream.read_to_end(100).await?, b"hello");
        assert_eq!(stream.read(1).await?, b"");
        assert_eq!(
            code(stream.write_all("more").await),
            ErrorCode::InvalidState
        );
        Ok(())
    });
    passes(&mut world, &app);
}

/// Goal: more than every buffer goes through, both ways at once. Method: halves joined, 2 MiB, a lossy link.
#[test]
fn bulk_goes_both_ways_over_a_lossy_link() {
    let (mut world, server, node) = two_nodes(2);
    world.link(Conditions {
        latency: Duration::from_millis(5),
        loss: Ppm::per_mille(20),
        duplication: Ppm::per_mille(10),
        ..Conditions::PLAIN
    });
    server.peer(echo);
    let app = client(&node, async || {
        let stream = retry(BackoffConfig::default(), || TcpStream::connect("server:7")).await?;
        let (mut read, mut write) = stream.split();
        let (sent, back) = join(
            async move {
                write.write_all(pattern(2 << 20)).await?;
                write.finish()
            },
            read.read_to_end(3 << 20),
        )
        .await;
        sent?;
        assert!(back? == pattern(2 << 20));
        Ok(())
    });
    passes(&mut world, &app);
}

/// Goal: streams carry the same as calls. Method: the echo by `into_streams`; a direction that became a stream
/// answers calls with `invalid-state`.
#[test]
fn bulk_as_streams() {
    let (mut world, server, node) = two_nodes(3);
    server.peer(echo);
    let app = client(&node, async || {
        let (mut receiver, mut sender) = TcpStream::connect("server:7").await?.into_streams()?;
        let sending = async move {
            let buffer = sender.write_all(pattern(300_000)).await?;
            assert!(buffer.is_empty());
            sender.finish().await
        };
        let receiving = async move {
            let (mut all, mut buffer) = (Vec::new(), Vec::with_capacity(10_000));
            loop {
                buffer = receiver.read(buffer).await?;
                if buffer.is_empty() {
                    return Ok::<_, Error>(all);
                }
                assert!(buffer.len() <= buffer.capacity());
                all.extend_from_slice(&buffer);
            }
        };
        let (sent, received) = join(sending, receiving).await;
        sent?;
        assert!(received? == pattern(300_000));
        Ok(())
    });
    passes(&mut world, &app);
}

/// Goal: a stream tells how its direction ended. Method: a far end that cuts.
#[test]
fn a_stream_that_is_cut_says_so() {
    let (mut world, server, node) = two_nodes(4);
    server.peer(async || {
        let listener = TcpListener::bind("0.0.0.0:7").await?;
        let mut stream = listener.accept().await?;
        stream.read(1).await?;
        stream.abort();
        Ok::<_, Error>(())
    });
    let app = client(&node, async || {
        let (mut receiver, mut sender) = TcpStream::connect("server:7").await?.into_streams()?;
        sender.write_all(b"x".to_vec()).await?;
        assert_eq!(
            code(receiver.read(Vec::with_capacity(10)).await),
            ErrorCode::Reset
        );
        // Again: nothing more comes.
        assert!(receiver.read(Vec::with_capacity(10)).await?.is_empty());
        assert_eq!(
            code(sender.write_all(b"y".to_vec()).await),
            ErrorCode::Closed
        );
        assert_eq!(code(sender.finish().await), ErrorCode::Reset);
        Ok(())
    });
    passes(&mut world, &app);
}

/// Goal: a writer waits for a reader that is slow. Method: 1 MiB to one who reads nothing for a second.
#[test]
fn a_writer_waits_for_its_reader() {
    let (mut world, server, node) = two_nodes(5);
    server.peer(async || {
        let listener = TcpListener::bind("0.0.0.0:7").await?;
        let mut stream = listener.accept().await?;
        sleep(Duration::from_secs(1)).await;
        assert_eq!(stream.read_to_end(1 << 20).await?.len(), 1 << 20);
        Ok::<_, Error>(())
    });
    let app = client(&node, async || {
        let mut stream = TcpStream::connect("server:7").await?;
        let begin = nexus_sdk::svc::time::now();
        stream.write_all(vec![0; 1 << 20]).await?;
        let took = nexus_sdk::svc::time::now() - begin;
        assert!(took >= Duration::from_millis(900), "{took:?}");
        Ok(())
    });
    passes(&mut world, &app);
}

/// Goal: the codes of what goes wrong. Method: one call for each.
#[test]
fn reject_with_the_code_of_what_went_wrong() {
    let (mut world, server, node) = two_nodes(6);
    server.peer(async || {
        let listener = TcpListener::bind("0.0.0.0:7").await?;
        assert_eq!(
            code(TcpListener::bind("0.0.0.0:7").await),
            ErrorCode::AlreadyExists
        );
        // Dropped with something unread: the far end is reset.
        let stream = listener.accept().await?;
        sleep(Duration::from_secs(1)).await;
        stream.abort();
        sleep(Duration::from_secs(1000)).await;
        Ok::<_, Error>(())
    });
    let app = client(&node, async || {
        assert_eq!(
            code(TcpStream::connect("server:8").await),
            ErrorCode::Refused
        );
        assert_eq!(
            code(TcpStream::connect("nobody").await),
            ErrorCode::InvalidArgument
        );
        let away = TcpStream::connect("10.0.0.99:7");
        assert_eq!(
            code(timeout(Duration::from_secs(5), away).await),
            ErrorCode::Deadline
        );
        let mut stream = TcpStream::connect("server:7").await?;
        assert_eq!(
            code(stream.set_keep_alive(Some(Duration::ZERO))),
            ErrorCode::InvalidArgument
        );
        stream.set_keep_alive(Some(Duration::from_secs(10)))?;
        assert_eq!(code(stream.read_exact(&mut [0; 1]).await), ErrorCode::Reset);
        assert_eq!(
            resolve("server").await?,
            ["10.0.0.1".parse::<std::net::IpAddr>().unwrap()]
        );
        Ok(())
    });
    passes(&mut world, &app);
}

/// Goal: what was written before the end of an app is delivered. Method: a client that drops its stream and ends; the
/// server reads all of it.
#[test]
fn what_a_dropped_stream_has_to_send_is_delivered() {
    let (mut world, server, node) = two_nodes(7);
    let told = Told::default();
    let tell = told.clone();
    server.peer(async move || {
        let listener = TcpListener::bind("0.0.0.0:7").await?;
        let mut stream = listener.accept().await?;
        let got = stream.read_to_end(1 << 20).await?;
        tell.borrow_mut().push(got.len());
        Ok::<_, Error>(())
    });
    let app = client(&node, async || {
        let mut stream = TcpStream::connect("server:7").await?;
        stream.write_all(vec![1; 10_000]).await
    });
    passes(&mut world, &app);
    world.pass(Duration::from_secs(5)).unwrap();
    assert_eq!(*told.borrow(), [10_000]);
}

/// Goal: many at once, in one app and in many. Method: 50 apps of 10 connections each against a server that serves
/// 100 at a time: the rest waits in its backlog or tries again.
#[test]
fn many_connections() {
    let (mut world, server, node) = two_nodes(8);
    server.peer(echo);
    let apps: Vec<_> = (0..50)
        .map(|_| {
            client(&node, async || {
                let told = Told::default();
                for number in 0..10_u8 {
                    let told = told.clone();
                    spawn(async move {
                        let connect = || TcpStream::connect("server:7");
                        let mut stream = retry(BackoffConfig::default(), connect).await.unwrap();
                        stream.write_all([number; 100]).await.unwrap();
                        stream.finish().unwrap();
                        assert_eq!(stream.read_to_end(100).await.unwrap(), [number; 100]);
                        told.borrow_mut().push(number);
                    });
                }
                while told.borrow().len() < 10 {
                    sleep(Duration::from_millis(10)).await;
                }
                Ok(())
            })
        })
        .collect();
    for app in &apps {
        passes(&mut world, app);
    }
}

async fn accept_late() -> Result<(), Error> {
    let listener = TcpListener::bind_with_backlog("0.0.0.0:7", 2).await?;
    sleep(Duration::from_secs(1)).await;
    loop {
        drop(listener.accept().await?);
    }
}

/// Goal: the backlog is bounded, and who is beyond it waits outside. Method: a backlog of 2, nobody accepts for a
/// second, five clients.
#[test]
fn a_backlog_keeps_clients_waiting() {
    let (mut world, server, node) = two_nodes(9);
    server.peer(accept_late);
    let told = Told::default();
    for number in 0..5 {
        let told = told.clone();
        client(&node, async move || {
            sleep(Duration::from_millis(100) * number).await;
            let _stream = TcpStream::connect("server:7").await?;
            told.borrow_mut()
                .push(nexus_sdk::svc::time::now().as_nanos() / 1_000_000_000);
            Ok(())
        });
    }
    world.run(crate::LIMIT).unwrap();
    let early = told.borrow().iter().filter(|at| **at == 0).count();
    assert_eq!((early, told.borrow().len()), (2, 5));
}

/// Goal: a call that is dropped is given up, and the connection goes on. Method: a read that loses a race.
#[test]
fn a_read_that_is_dropped_leaves_the_direction_free() {
    let (mut world, server, node) = two_nodes(10);
    server.peer(echo);
    let app = client(&node, async || {
        let mut stream = TcpStream::connect("server:7").await?;
        race(stream.read(10), sleep(Duration::from_secs(1))).await;
        stream.write_all("hello").await?;
        assert_eq!(stream.read(10).await?, b"hello");
        Ok(())
    });
    passes(&mut world, &app);
}
