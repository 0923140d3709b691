//! Negative list 6: a far end that is slow, in each phase, each with a word of its own.

use nexus_services::http::{Error, Options, Phase, Request, RequestBody, StreamError, Timeouts};
use nexus_types::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::world::{head, hold};
use crate::support::{World, body, get_with, post};

fn times_out(world: &World, url: &str) -> (Phase, u64) {
    match world.fetch(Request::new("GET", url)) {
        Err(Error::TimedOut(phase)) => (phase, world.seconds()),
        other => panic!("{other:?}"),
    }
}

/// A server that writes `start`, then `piece` every `seconds`.
fn dripping(start: &'static str, piece: &'static str, seconds: u64) -> World {
    let world = World::new();
    let net = world.net.clone();
    world.net.serve(move |mut stream| {
        let net = net.clone();
        Box::pin(async move {
            head(&mut stream).await;
            let _ = stream.write_all(start.as_bytes()).await;
            loop {
                net.sleep(Duration::from_secs(seconds)).await;
                if stream.write_all(piece.as_bytes()).await.is_err() {
                    return;
                }
            }
        })
    });
    world
}

/// Goal: each phase ends in its time. Method: one phase that never ends, on the virtual clock.
#[test]
fn reject_phases_that_never_end() {
    for (silent, phase, seconds) in [
        ("resolve", Phase::Resolve, 5),
        ("connect", Phase::Connect, 10),
    ] {
        let world = World::answering("", false);
        world.net.with(|net| net.silent.insert(silent));
        assert_eq!(
            times_out(&world, "http://server.example/"),
            (phase, seconds)
        );
    }
    let world = World::new();
    world.net.serve(|stream| Box::pin(hold(stream)));
    assert_eq!(
        times_out(&world, "https://server.example/"),
        (Phase::Tls, 10)
    );
    assert_eq!(
        times_out(&world, "http://server.example/"),
        (Phase::Head, 40)
    );
    let world = dripping("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nb", "", 1_000);
    assert_eq!(
        times_out(&world, "http://server.example/"),
        (Phase::Body, 15)
    );
}

/// Goal: slow is not stopped while it is fast enough, and stopped when it is not. Method: a byte every 14 s until the
/// total, every 16 s; framing alone is no body.
#[test]
fn reject_bodies_that_drip() {
    let length = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n";
    assert_eq!(
        times_out(&dripping(length, "b", 14), "http://server.example/"),
        (Phase::Total, 60)
    );
    assert_eq!(
        times_out(&dripping(length, "b", 16), "http://server.example/"),
        (Phase::Body, 15)
    );
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;";
    assert_eq!(
        times_out(&dripping(chunked, "a", 1), "http://server.example/"),
        (Phase::Body, 15)
    );
}

/// Goal: a head a byte at a time has one time limit, not one a byte. Method: a byte a second; interim responses too.
#[test]
fn reject_heads_that_drip() {
    for (start, piece) in [("", "H"), ("HTTP/1.1 200 OK\r\n", "a")] {
        let world = dripping(start, piece, 1);
        let result = world.fetch(Request::new("GET", "http://server.example/"));
        // `HHHH` is no status line: seen at its second byte.
        if start.is_empty() {
            assert_eq!(result, Err(nexus_services::http::HeadFault::Version.into()));
        } else {
            assert_eq!(result, Err(Phase::Head.into()));
            assert_eq!(world.seconds(), 30);
        }
    }
    let interim = dripping("", "HTTP/1.1 100 Continue\r\n\r\n", 9);
    assert_eq!(
        times_out(&interim, "http://server.example/"),
        (Phase::Head, 30)
    );
}

/// Goal: a server that takes no more of a body is given up; one that takes it slowly is not, until the total. Method:
/// nothing is read; a little is read every ten seconds.
#[test]
fn reject_servers_that_take_no_more() {
    let large = vec![0; 200_000];
    let world = World::new();
    world.net.with(|net| net.window = 1_024);
    world.net.serve(|mut stream| {
        Box::pin(async move {
            head(&mut stream).await;
            std::future::pending::<()>().await;
            drop(stream);
        })
    });
    let result = world.fetch(post("http://server.example/", &large));
    assert_eq!((result, world.seconds()), (Err(Phase::Send.into()), 15));
    let world = World::new();
    world.net.with(|net| net.window = 1_024);
    let net = world.net.clone();
    world.net.serve(move |mut stream| {
        let net = net.clone();
        Box::pin(async move {
            head(&mut stream).await;
            loop {
                net.sleep(Duration::from_secs(10)).await;
                if stream.read(&mut [0; 512]).await.is_err() {
                    return;
                }
            }
        })
    });
    let result = world.fetch(post("http://server.example/", &large));
    assert_eq!((result, world.seconds()), (Err(Phase::Total.into()), 60));
}

/// Goal: a slow app is not a slow server. Method: a body that comes after 40 s, and a response read after 40 s.
#[test]
fn a_slow_app_is_not_timed_out_before_the_total() {
    let world = World::new();
    world.net.serve(|mut stream| {
        Box::pin(async move {
            head(&mut stream).await;
            let mut body = [0; 4];
            stream.read_exact(&mut body).await.unwrap();
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n")
                .await;
            let _ = stream.write_all(&body).await;
            hold(stream).await;
        })
    });
    let late = world.net.sleep(Duration::from_secs(40));
    let frames = futures::stream::once(async move {
        late.await;
        Ok::<_, StreamError>(http_body::Frame::data("body".into()))
    });
    let mut request = post("http://server.example/", b"");
    request.body = RequestBody::Stream(Box::pin(http_body_util::StreamBody::new(frames)), Some(4));
    assert_eq!(world.fetch(request).unwrap().1, b"body");
    assert_eq!(world.seconds(), 40);

    let world = World::answering("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody", false);
    let asked = world.ask(1, Request::new("GET", "http://server.example/"));
    world.run(async {
        let response = asked.await.unwrap();
        world.net.sleep(Duration::from_secs(40)).await;
        assert_eq!(body(response).await.unwrap(), b"body");
    });
}

/// Goal: past the total a body is not read on, even if it is there. Method: read after 61 s.
#[test]
fn reject_bodies_read_past_the_total() {
    let world = World::answering("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody", false);
    let asked = world.ask(1, Request::new("GET", "http://server.example/"));
    world.run(async {
        let response = asked.await.unwrap();
        world.net.sleep(Duration::from_secs(61)).await;
        assert_eq!(body(response).await, Err(Phase::Total.into()));
    });
}

/// Goal: a grant gives more time than the default. Method: ninety seconds for a head, and for all of it.
#[test]
fn a_grant_can_lengthen_times() {
    let world = World::new();
    world.net.serve(|stream| Box::pin(hold(stream)));
    world.net.with(|net| {
        net.limits.timeouts.first_byte = Duration::from_secs(90);
        net.limits.timeouts.total = Duration::from_secs(100);
    });
    assert_eq!(
        times_out(&world, "http://server.example/"),
        (Phase::Head, 90)
    );
}

/// Goal: an app shortens its times and never lengthens them. Method: two seconds, and a thousand.
#[test]
fn an_app_can_only_shorten_its_times() {
    for (asked, seconds) in [(2, 2), (1_000, 30)] {
        let world = World::new();
        world.net.serve(|stream| Box::pin(hold(stream)));
        let asked = Duration::from_secs(asked);
        let options = Options {
            timeouts: Some(Timeouts {
                first_byte: asked,
                ..Timeouts::default()
            }),
            ..Options::default()
        };
        let result = world.fetch(get_with("http://server.example/", options));
        assert_eq!(
            (result, world.seconds()),
            (Err(Phase::Head.into()), seconds)
        );
    }
}
