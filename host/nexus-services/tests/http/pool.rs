//! Negative list 7: whose connection it is, and for how long; how many requests run at once.

use std::io;

use futures::future::{join, join3};
use nexus_services::http::{Caller, ConnectError, Error, HeadFault, Request, SendFault};
use nexus_types::{Duration, ErrorCode, InstanceId, limits};
use tokio::io::AsyncWriteExt;

use crate::support::world::{head, hold};
use crate::support::{World, body, post};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody";

/// A server that answers for ever, on every connection.
fn keeping() -> World {
    let world = World::new();
    world.net.serve(|mut stream| {
        Box::pin(async move {
            while !head(&mut stream).await.is_empty() {
                let _ = stream.write_all(OK.as_bytes()).await;
            }
        })
    });
    world
}

fn fetch_as(world: &World, app: u64, url: &str) -> usize {
    let asked = world.ask(app, Request::new("GET", url));
    world.run(async {
        let response = asked.await.unwrap();
        assert_eq!(body(response).await.unwrap(), b"body");
    });
    world.net.with(|net| net.dialled.len())
}

/// Goal: what an app has idle does not keep it from what it asks for, and what another has idle is not taken for it.
/// Method: two idle connections of one app and one of another; then there is room for no more, once and for good.
#[test]
fn idle_connections_make_room() {
    let world = keeping();
    fetch_as(&world, 1, "http://a.example/");
    fetch_as(&world, 1, "http://b.example/");
    fetch_as(&world, 2, "http://c.example/");
    assert_eq!(world.client.idle(), 3);
    world
        .net
        .with(|net| net.connect_fails = Some((ConnectError::NoCapacity, 1)));
    fetch_as(&world, 1, "http://d.example/");
    assert_eq!(world.client.idle(), 3, "one made room, one came");
    world
        .net
        .with(|net| net.connect_fails = Some((ConnectError::NoCapacity, u32::MAX)));
    let asked = world.ask(1, Request::new("GET", "http://e.example/"));
    let failed = world.run(async { asked.await.map(drop).unwrap_err() });
    assert_eq!(failed, Error::Connect(ConnectError::NoCapacity));
    assert_eq!(world.client.idle(), 1, "the other app's");
}

/// Goal: a connection is used again, by whom it is and for where it leads. Method: the same again; then each part of the
/// key changed, one at a time.
#[test]
fn a_connection_is_used_again_under_the_same_key_alone() {
    let world = keeping();
    assert_eq!(fetch_as(&world, 1, "http://server.example/"), 1);
    assert_eq!(fetch_as(&world, 1, "http://server.example/other?x=1"), 1);
    // App B never gets A's.
    assert_eq!(fetch_as(&world, 2, "http://server.example/"), 2);
    assert_eq!(fetch_as(&world, 1, "http://server.example:8080/"), 3);
    assert_eq!(fetch_as(&world, 1, "http://other.example/"), 4);
    // Another grant: another rule, another account.
    world
        .net
        .with(|net| net.keys.insert("server.example".to_owned(), 9));
    assert_eq!(fetch_as(&world, 1, "http://server.example/"), 5);
    world.net.with(|net| {
        use crate::support::net::{Calendar, TODAY};
        net.tls = nexus_services::http::TlsProfile::public(Calendar(TODAY)).unwrap();
    });
    assert_eq!(fetch_as(&world, 1, "http://server.example/"), 6);
    assert_eq!(fetch_as(&world, 1, "http://server.example/"), 6);
    world.net.with(|net| net.epoch += 1);
    assert_eq!(fetch_as(&world, 1, "http://server.example/"), 7);
}

/// Goal: the network knows what a connection carries, from the second request on. Method: it is told of each, with the
/// one of two connections that carries it.
#[test]
fn the_network_is_told_what_a_connection_carries() {
    let world = keeping();
    fetch_as(&world, 1, "http://server.example/first");
    fetch_as(&world, 1, "http://other.example/first");
    fetch_as(&world, 1, "http://other.example/second");
    fetch_as(&world, 1, "http://server.example/second");
    let carried = world.net.with(|net| std::mem::take(&mut net.carried));
    assert_eq!(
        carried,
        [(1, "/second".to_owned()), (0, "/second".to_owned())]
    );
}

/// Goal: a connection that may not carry a request is closed, and the request has one of its own. Method: it may not.
#[test]
fn reject_connections_that_may_not_carry_a_request() {
    let world = keeping();
    assert_eq!(fetch_as(&world, 1, "http://server.example/"), 1);
    world.net.with(|net| net.carries_none = true);
    assert_eq!(fetch_as(&world, 1, "http://server.example/"), 2);
    assert_eq!(world.client.idle(), 1);
}

/// Goal: each request is judged, whatever is idle. Method: a refusal while the connection is.
#[test]
fn reject_requests_over_an_idle_connection_the_policy_refuses() {
    let world = keeping();
    fetch_as(&world, 1, "http://server.example/");
    assert_eq!(world.client.idle(), 1);
    world.net.with(|net| {
        net.refused.insert(
            "server.example".to_owned(),
            nexus_types::Reason::OperatorDenied,
        );
        net.epoch += 1;
    });
    assert_eq!(world.refused().reason(), "operator-denied");
    world.client.sweep();
    assert_eq!(world.client.idle(), 0);
}

/// Goal: an app that ended leaves nothing open. Method: idle, in flight and waiting; the other app's stay.
#[test]
fn an_app_that_ends_takes_its_connections_along() {
    let world = keeping();
    fetch_as(&world, 1, "http://server.example/");
    fetch_as(&world, 2, "http://server.example/");
    world.client.drop_all_of(Caller(InstanceId(1)));
    assert_eq!(world.client.idle(), 1);
    let world = World::new();
    world.net.serve(|mut stream| {
        Box::pin(async move {
            head(&mut stream).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nb")
                .await;
            hold(stream).await;
        })
    });
    let asked: Vec<_> = (0..6)
        .map(|_| world.ask(1, Request::new("GET", "http://server.example/")))
        .collect();
    let others = world.ask(2, Request::new("GET", "http://server.example/"));
    let results = world.run(async {
        let reading = futures::future::join_all(
            asked
                .into_iter()
                .map(|asked| async { body(asked.await?).await }),
        );
        let ending = async {
            world.net.sleep(Duration::from_secs(1)).await;
            world.client.drop_all_of(Caller(InstanceId(1)));
        };
        let other = async { body(others.await?).await };
        join3(reading, ending, other).await
    });
    assert!(results.0.iter().all(|result| *result == Err(Error::Ended)));
    assert_eq!(results.2, Err(nexus_services::http::Phase::Body.into()));
}

/// Goal: what the policy ends while it is under way ends as revoked. Method: every stream is cut so, in the head and in
/// the body; any other cut is a reset.
#[test]
fn reject_what_is_revoked_under_way() {
    for (start, kind, code) in [
        ("", io::ErrorKind::PermissionDenied, ErrorCode::Denied),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n",
            io::ErrorKind::PermissionDenied,
            ErrorCode::Denied,
        ),
        ("", io::ErrorKind::ConnectionReset, ErrorCode::Reset),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nb",
            io::ErrorKind::ConnectionReset,
            ErrorCode::Reset,
        ),
    ] {
        let world = World::answering(start, false);
        let asked = world.ask(1, Request::new("GET", "http://server.example/"));
        let (result, ()) = world.run(async {
            let cutting = async {
                world.net.sleep(Duration::from_secs(1)).await;
                world.net.cut(kind);
            };
            join(async { body(asked.await?).await }, cutting).await
        });
        let error = result.unwrap_err();
        assert_eq!(error.code(), code, "{error:?}");
        assert_eq!(error.reason() == "revoked", code == ErrorCode::Denied);
    }
}

/// Goal: the same in the TLS handshake. Method: a server that says nothing, cut after a second.
#[test]
fn reject_handshakes_that_are_revoked() {
    for (kind, reason) in [
        (io::ErrorKind::PermissionDenied, "revoked"),
        (io::ErrorKind::ConnectionReset, "tls-closed"),
    ] {
        let world = World::new();
        world.net.serve(|stream| Box::pin(hold(stream)));
        let asked = world.ask(1, Request::new("GET", "https://server.example/"));
        let (result, ()) = world.run(async {
            let cutting = async {
                world.net.sleep(Duration::from_secs(1)).await;
                world.net.cut(kind);
            };
            join(asked, cutting).await
        });
        assert_eq!(result.unwrap_err().reason(), reason);
    }
}

/// Goal: a policy that changes while a connection is opened judges it again. Method: once is fine, without end is revoked.
#[test]
fn reject_connections_opened_under_an_earlier_policy() {
    let world = keeping();
    world.net.with(|net| net.changes = 1);
    assert_eq!(fetch_as(&world, 1, "http://server.example/"), 2);
    assert_eq!(world.net.with(|net| net.judged.len()), 2);
    world.net.with(|net| net.changes = u64::MAX);
    world.net.with(|net| net.epoch += 1);
    assert_eq!(world.refused().reason(), "revoked");
}

/// Goal: two idle a server, sixteen in all, the one idle longest goes. Method: three at once to one; to seventeen.
#[test]
fn reject_idle_connections_past_their_bounds() {
    let world = keeping();
    let asked: Vec<_> = (0..3)
        .map(|_| world.ask(1, Request::new("GET", "http://server.example/")))
        .collect();
    world.run(futures::future::join_all(
        asked
            .into_iter()
            .map(|asked| async { body(asked.await.unwrap()).await.unwrap() }),
    ));
    assert_eq!(world.net.with(|net| net.dialled.len()), 3);
    assert_eq!(world.client.idle(), limits::HTTP_POOL_HOST);
    for number in 0..limits::HTTP_POOL + 4 {
        fetch_as(&world, 1, &format!("http://server-{number}.example/"));
    }
    assert_eq!(world.client.idle(), limits::HTTP_POOL);
}

/// Goal: what is idle is closed in time, and when the server closes it, without anybody asking. Method: the keeper runs
/// beside; 14 s, 16 s; a server that closes.
#[test]
fn idle_connections_end_in_time() {
    let world = keeping();
    fetch_as(&world, 1, "http://server.example/");
    let wait = |seconds| {
        let drive = world.client.drive();
        let sleep = world.net.sleep(Duration::from_secs(seconds));
        world.run(async {
            futures::future::select(std::pin::pin!(drive), std::pin::pin!(sleep)).await;
        });
        world.client.idle()
    };
    assert_eq!(wait(14), 1);
    assert_eq!(wait(2), 0);
    // Without a keeper nothing old is used either.
    fetch_as(&world, 1, "http://server.example/");
    world.run(world.net.sleep(Duration::from_secs(16)));
    assert_eq!(fetch_as(&world, 1, "http://server.example/"), 3);
    let closing = World::answering(OK, false);
    let net = closing.net.clone();
    closing.net.serve(move |mut stream| {
        let net = net.clone();
        Box::pin(async move {
            head(&mut stream).await;
            let _ = stream.write_all(OK.as_bytes()).await;
            net.sleep(Duration::from_secs(1)).await;
        })
    });
    fetch_as(&closing, 1, "http://server.example/");
    assert_eq!(closing.client.idle(), 1);
    let (drive, sleep) = (
        closing.client.drive(),
        closing.net.sleep(Duration::from_secs(2)),
    );
    closing.run(async {
        futures::future::select(std::pin::pin!(drive), std::pin::pin!(sleep)).await;
    });
    assert_eq!(closing.client.idle(), 0);
}

/// Goal: a response in any framing that has an end leaves its connection for the next. Method: a length, chunks, chunks
/// with trailers, nothing; with a length, at its last byte and without reading on.
#[test]
fn whole_responses_leave_their_connections() {
    use http_body_util::BodyExt;
    for answer in [
        OK,
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\na: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    ] {
        let world = World::answering(answer, false);
        for _ in 0..3 {
            world.get().unwrap();
            assert_eq!(world.client.idle(), 1, "{answer}");
        }
        assert_eq!(world.net.with(|net| net.dialled.len()), 1, "{answer}");
    }
    let world = keeping();
    let asked = world.ask(1, Request::new("GET", "http://server.example/"));
    world.run(async {
        let mut body = asked.await.unwrap().body;
        assert_eq!(
            body.frame().await.unwrap().unwrap().into_data().unwrap(),
            "body"
        );
        assert_eq!(world.client.idle(), 1);
    });
}

/// Goal: only what is clean is used again. Method: closed by the server, HTTP/1.0, errors, a body not read to its end.
#[test]
fn reject_unclean_connections_for_the_pool() {
    for answer in [
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 4\r\n\r\nbody",
        "HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 4\r\n\r\nbody",
        "HTTP/1.0 200 OK\r\ncontent-length: 4\r\n\r\nbody",
    ] {
        let world = World::answering(answer, false);
        assert_eq!(world.get().unwrap().1, b"body");
        assert_eq!(world.client.idle(), 0, "{answer}");
    }
    let world = World::answering("HTTP/1.1 200 OK\r\n\r\nbody", true);
    assert_eq!(world.get().unwrap().1, b"body");
    assert_eq!(world.client.idle(), 0);
    let world = keeping();
    let asked = world.ask(1, Request::new("GET", "http://server.example/"));
    drop(world.run(asked).unwrap());
    assert_eq!(world.client.idle(), 0);
}

/// Goal: an idle connection that ended is no error for who asks next, since nothing was sent over it. Method: a server
/// that answers once a connection; even a POST goes over another.
#[test]
fn a_connection_that_ended_idle_is_replaced() {
    let world = World::answering(OK, true);
    for dialled in 1..=3 {
        assert_eq!(
            world.fetch(post("http://server.example/", b"")).unwrap().1,
            b"body"
        );
        assert_eq!(world.net.with(|net| net.dialled.len()), dialled);
    }
}

/// Goal: cancelled is closed. Method: the future dropped while the server is silent; the server sees the end.
#[test]
fn dropping_a_request_closes_its_connection() {
    let world = World::new();
    let (seen, closed) = futures::channel::oneshot::channel();
    let seen = std::sync::Mutex::new(Some(seen));
    world.net.serve(move |mut stream| {
        let seen = seen.lock().unwrap().take();
        Box::pin(async move {
            head(&mut stream).await;
            hold(stream).await;
            let _ = seen.unwrap().send(());
        })
    });
    let asked = world.ask(1, Request::new("GET", "http://server.example/"));
    let sleep = world.net.sleep(Duration::from_secs(1));
    world.run(async {
        futures::future::select(Box::pin(asked), Box::pin(sleep)).await;
        closed.await.unwrap();
    });
}

/// Goal: four at once an app; others wait for their turn, in their order, within the time to connect; the next app is
/// not in their line. Method: servers that never answer, and one of another app.
#[test]
fn reject_requests_past_their_number() {
    let world = World::new();
    world.net.serve(|stream| Box::pin(hold(stream)));
    let most = limits::HTTP_CONCURRENT as usize;
    let asked: Vec<_> = (0..most + 1)
        .map(|_| world.ask(1, Request::new("GET", "http://server.example/")))
        .collect();
    let results = world.run(futures::future::join_all(asked));
    let phases: Vec<_> = results
        .into_iter()
        .map(|result| result.unwrap_err())
        .collect();
    assert_eq!(
        phases[..most],
        vec![Error::TimedOut(nexus_services::http::Phase::Head); most]
    );
    assert_eq!(phases[most], nexus_services::http::Phase::Connect.into());
    assert_eq!(world.net.with(|net| net.dialled.len()), most);

    let waiting = limits::HTTP_WAITING as usize;
    let asked: Vec<_> = (0..most + waiting + 1)
        .map(|_| world.ask(1, Request::new("GET", "http://server.example/")))
        .collect();
    let results = world.run(futures::future::join_all(asked));
    let too_many = results
        .iter()
        .filter(|result| matches!(result, Err(Error::TooMany)));
    assert_eq!(too_many.count(), 1);
}

/// Goal: a body that may not be sent in any case is not held until its turn comes. Method: a byte too many, beside as many
/// requests as may run at once; no time passes.
#[test]
fn reject_bodies_that_are_too_large_before_their_turn() {
    let world = World::new();
    world.net.serve(|stream| Box::pin(hold(stream)));
    let asked: Vec<_> = (0..limits::HTTP_CONCURRENT)
        .map(|_| world.ask(1, Request::new("GET", "http://server.example/")))
        .collect();
    let over = vec![0; usize::try_from(limits::HTTP_REQUEST_BODY_BYTES).unwrap() + 1];
    let over = world.ask(1, post("http://server.example/", &over));
    let first = world.run(futures::future::select(
        futures::future::join_all(asked),
        Box::pin(over),
    ));
    let futures::future::Either::Right((refused, _)) = first else {
        panic!("they wait for ever");
    };
    assert_eq!(refused.unwrap_err(), SendFault::BodyTooLarge.into());
    assert_eq!(world.seconds(), 0);
}

/// Goal: the wait for one's turn counts as connecting. Method: a turn after 8 s leaves 2 s to connect.
#[test]
fn reject_connects_that_take_what_waiting_left() {
    let world = World::new();
    world.net.with(|net| net.limits.concurrent = 1);
    let net = world.net.clone();
    world.net.serve(move |mut stream| {
        let net = net.clone();
        Box::pin(async move {
            head(&mut stream).await;
            net.with(|net| net.silent.insert("connect"));
            net.sleep(Duration::from_secs(8)).await;
            let close = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 4\r\n\r\nbody";
            let _ = stream.write_all(close.as_bytes()).await;
        })
    });
    let first = world.ask(1, Request::new("GET", "http://server.example/"));
    let second = world.ask(1, Request::new("GET", "http://server.example/"));
    let (first, second) =
        world.run(async { join(async { body(first.await?).await }, second).await });
    assert_eq!(first.unwrap(), b"body");
    assert_eq!(
        second.unwrap_err(),
        nexus_services::http::Phase::Connect.into()
    );
    assert_eq!(world.seconds(), 10);
}

/// Goal: a server that is not there, or goes away, has its word each. Method: nobody there; gone before the request.
#[test]
fn reject_servers_that_are_not_there() {
    let world = World::new();
    assert_eq!(world.refused().code(), ErrorCode::Refused);
    world
        .net
        .serve(|stream| Box::pin(async move { drop(stream) }));
    world.net.with(|net| net.connect_late = true);
    let error = world.refused();
    assert!(
        [
            SendFault::Closed.into(),
            SendFault::Reset.into(),
            HeadFault::Closed.into()
        ]
        .contains(&error),
        "{error:?}"
    );
}
