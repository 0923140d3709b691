//! Negative list 3: heads and bodies that are not framed as HTTP/1.1 says.

use nexus_services::http::{BodyFault, Error, HeadFault, Request};
use tokio::io::AsyncWriteExt;

use crate::support::World;
use crate::support::world::{head, hold};

fn refused(answer: &str) -> Error {
    World::answering(answer, true).refused()
}

/// Goal: what is no HTTP/1.x is no response. Method: HTTP/0.9, HTTP/2, a garbled status line.
#[test]
fn reject_other_versions_and_status_lines() {
    for (answer, fault) in [
        ("<html>hello</html>", HeadFault::Version),
        ("HTTP/2.0 200 OK\r\n\r\n", HeadFault::Version),
        ("HTTP/1.2 200 OK\r\n\r\n", HeadFault::Version),
        ("HTTP/0.9 200 OK\r\n\r\n", HeadFault::Version),
        ("ICY 200 OK\r\n\r\n", HeadFault::Version),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", HeadFault::Syntax),
        ("HTTP/1.1 2000 OK\r\n\r\n", HeadFault::Syntax),
        ("HTTP/1.1 2x0 OK\r\n\r\n", HeadFault::Syntax),
        ("HTTP/1.1 099 OK\r\n\r\n", HeadFault::Syntax),
        ("HTTP/1.1 600 OK\r\n\r\n", HeadFault::Syntax),
        (
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n",
            HeadFault::Upgrade,
        ),
    ] {
        assert_eq!(refused(answer), fault.into(), "{answer:?}");
    }
}

/// Goal: a head that two readers may read in two ways is refused. Method: bare LF, bare CR, NUL, folded lines,
/// a blank before the colon, a line without one.
#[test]
fn reject_heads_with_two_readings() {
    for answer in [
        "HTTP/1.1 200 OK\ncontent-length: 0\n\n",
        "HTTP/1.1 200 OK\r\na: b\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\na: b\rc: d\r\n\r\n",
        "HTTP/1.1 200 OK\r\na: b\0\r\n\r\n",
        "HTTP/1.1 200 OK\r\na: b\r\n c\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\tb: c\r\n\r\n",
        "HTTP/1.1 200 OK\r\na : b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nabc\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: b\r\n\r\n",
        "HTTP/1.1 200 OK\r\na\x01: b\r\n\r\n",
    ] {
        assert_eq!(refused(answer), HeadFault::Syntax.into(), "{answer:?}");
    }
}

/// Goal: the body's length is said in one way or the response is refused. Method: every way to say it in two, or
/// in none that is one.
#[test]
fn reject_ambiguous_framing() {
    for fields in [
        "content-length: 4\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 4",
        "content-length: 4\r\ncontent-length: 5",
        "content-length: 4\r\ncontent-length: 4",
        "content-length: 4, 4",
        "content-length: 4, 5",
        "content-length: -4",
        "content-length: +4",
        "content-length: 0x4",
        "content-length: 4 4",
        "content-length:",
        "content-length: 99999999999999999999",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: gzip",
        "transfer-encoding: chunked, gzip",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "transfer-encoding: xchunked",
        "transfer-encoding:",
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n0\r\n\r\n");
        let error = refused(&answer);
        assert!(
            error == HeadFault::Framing.into() || error == HeadFault::Syntax.into(),
            "{fields:?}: {error:?}"
        );
        // As for a response without a body.
        let answer = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n");
        let world = World::answering(answer, true);
        let error = world.fetch(Request::new("HEAD", "http://server.example/"));
        assert_eq!(error, Err(HeadFault::Framing.into()), "HEAD: {fields:?}");
    }
    let answer = "HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(refused(answer).code(), nexus_types::ErrorCode::Protocol);
}

/// Goal: chunks are what RFC 9112 section 7.1 says. Method: sizes that are none or overflow, ends that are none.
#[test]
fn reject_bad_chunks() {
    for body in [
        "10000000000000000\r\n",
        "ffffffffffffffffff\r\n",
        "-1\r\n",
        "+1\r\na\r\n0\r\n\r\n",
        "0x1\r\na\r\n0\r\n\r\n",
        "\r\n",
        ";\r\n",
        "g\r\n",
        "1\na\n0\n\n",
        "1\r\nab\r\n0\r\n\r\n",
        "1 1\r\na\r\n0\r\n\r\n",
        "1;a\nb\r\na\r\n0\r\n\r\n",
        "0\r\na b\r\n\r\n",
        "0\r\n\rx",
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{body}");
        assert_eq!(refused(&answer), BodyFault::Syntax.into(), "{body:?}");
    }
}

/// Goal: a body that ends early is an error and never a shorter body. Method: the end before the length, in a
/// chunk, before the last chunk, in the trailers.
#[test]
fn reject_bodies_that_end_early() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nbody",
        "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nbody",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\na: b\r\n",
    ] {
        assert_eq!(refused(answer), BodyFault::Truncated.into(), "{answer:?}");
    }
}

/// Goal: a head that ends early is none. Method: nothing, half a line, half a head, an interim response alone.
#[test]
fn reject_heads_that_end_early() {
    for answer in [
        "",
        "HT",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 200 OK\r\na: b\r\n\r",
        "HTTP/1.1 100 Continue\r\n\r\n",
    ] {
        assert_eq!(refused(answer), HeadFault::Closed.into(), "{answer:?}");
    }
}

/// Goal: bytes where no body can be are not taken for the next response. Method: HEAD, 204, 304 with a body.
#[test]
fn reject_bodies_where_none_can_be() {
    for (method, answer) in [
        ("HEAD", "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody"),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\nbody"),
        (
            "GET",
            "HTTP/1.1 204 No Content\r\ncontent-length: 4\r\n\r\nbody",
        ),
        ("GET", "HTTP/1.1 304 Not Modified\r\n\r\nbody"),
    ] {
        let world = World::answering(answer, false);
        let error = world.fetch(Request::new(method, "http://server.example/"));
        assert_eq!(error, Err(BodyFault::Unexpected.into()), "{answer:?}");
        assert_eq!(world.client.idle(), 0);
    }
}

/// Goal: an answer to nothing is not taken for the answer. Method: the server speaks first.
#[test]
fn reject_a_response_before_the_request() {
    let world = World::new();
    world.net.serve(|mut stream| {
        Box::pin(async move {
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfake")
                .await;
            hold(stream).await;
        })
    });
    // What is there when the request is about to be written: the connection is open and its server has run.
    world.net.with(|net| net.connect_late = true);
    assert_eq!(world.refused(), HeadFault::Early.into());
}

/// Goal: what follows a response is nobody's, and its connection is not asked again. Method: a second response at
/// once behind the first; the next request opens a connection of its own.
#[test]
fn reject_extra_bytes_after_a_response() {
    let world = World::answering(
        "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbodyHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfake",
        false,
    );
    for dialled in 1..=3 {
        assert_eq!(world.get().unwrap().1, b"body");
        assert_eq!(world.client.idle(), 0);
        assert_eq!(world.net.with(|net| net.dialled.len()), dialled);
    }
}

/// Goal: the same, when they come after the connection went idle. Method: the server waits a second.
#[test]
fn reject_bytes_on_an_idle_connection() {
    let world = World::new();
    let net = world.net.clone();
    world.net.serve(move |mut stream| {
        let net = net.clone();
        Box::pin(async move {
            head(&mut stream).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody")
                .await;
            net.sleep(nexus_types::Duration::from_secs(1)).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfake")
                .await;
            hold(stream).await;
        })
    });
    let (first, second) = (
        world.ask(1, Request::new("GET", "http://server.example/")),
        world.ask(1, Request::new("GET", "http://server.example/")),
    );
    world.run(async {
        crate::support::body(first.await.unwrap()).await.unwrap();
        assert_eq!(world.client.idle(), 1);
        world.net.sleep(nexus_types::Duration::from_secs(2)).await;
        let body = crate::support::body(second.await.unwrap()).await.unwrap();
        assert_eq!(body, b"body");
    });
    assert_eq!(world.net.with(|net| net.dialled.len()), 2);
}
