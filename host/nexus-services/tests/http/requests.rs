//! What works: requests as they go out, responses as they come in.

use http::HeaderValue;
use nexus_services::http::{Coding, Method, Options, Request, RequestBody, StreamError};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::world::head;
use crate::support::{World, body, get_with, post};

/// Goal: a request on the wire is what was asked for, no more. Method: the server hands back the head it read.
#[test]
fn the_request_line_and_host_are_the_urls() {
    let world = World::new();
    world.net.serve(|mut stream| {
        Box::pin(async move {
            let head = head(&mut stream).await;
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", head.len());
            let _ = stream.write_all((answer + &head).as_bytes()).await;
        })
    });
    for (url, line, host) in [
        (
            "http://API.example.com./a/../b?q=1#f",
            "/b?q=1",
            "api.example.com",
        ),
        ("http://api.example.com:8080", "/", "api.example.com:8080"),
        ("http://127.1/x", "/x", "127.0.0.1"),
        ("http://[2001:db8::1]:80/", "/", "[2001:db8::1]"),
        ("http://[::ffff:1.2.3.4]:81/", "/", "1.2.3.4:81"),
        (
            "http://bücher.example/ü",
            "/%C3%BC",
            "xn--bcher-kva.example",
        ),
    ] {
        let (status, body) = world.fetch(Request::new("GET", url)).unwrap();
        assert_eq!(status, 200);
        assert_eq!(
            String::from_utf8(body).unwrap(),
            format!("GET {line} HTTP/1.1\r\nhost: {host}\r\naccept-encoding: identity\r\n\r\n"),
        );
    }
}

/// Goal: bodies go out as they are said: whole, by length, in chunks; a GET's stream too. Method: the server
/// hands back all it read.
#[test]
fn bodies_are_sent_whole_by_length_and_in_chunks() {
    let world = World::new();
    world.net.serve(|mut stream| {
        Box::pin(async move {
            let head = head(&mut stream).await;
            let mut body = Vec::new();
            let end: &[u8] = if head.contains("chunked") {
                b"0\r\n\r\n"
            } else {
                b"end"
            };
            while !body.ends_with(end) {
                body.push(stream.read_u8().await.unwrap());
            }
            let framing = head
                .lines()
                .filter(|l| l.contains("length") || l.contains("transfer"));
            let said: Vec<_> = framing.collect();
            let text = format!("{} {:?}", said.join(","), String::from_utf8(body).unwrap());
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{text}",
                text.len()
            );
            let _ = stream.write_all(answer.as_bytes()).await;
        })
    });
    let stream = || {
        let pieces = ["one ", "two ", "end"];
        let frames = pieces.map(|p| Ok::<_, StreamError>(http_body::Frame::data(p.into())));
        Box::pin(http_body_util::StreamBody::new(futures::stream::iter(
            frames,
        )))
    };
    let mut sized = post("http://server.example/", b"");
    sized.body = RequestBody::Stream(stream(), None);
    sized
        .headers
        .insert("content-length", HeaderValue::from(11));
    let mut chunked = post("http://server.example/", b"");
    chunked.body = RequestBody::Stream(stream(), None);
    let mut of_get = Request::new("GET", "http://server.example/");
    of_get.body = RequestBody::Stream(stream(), None);
    for (request, said) in [
        (
            post("http://server.example/", b"the end"),
            r#"content-length: 7 "the end""#,
        ),
        (sized, r#"content-length: 11 "one two end""#),
        (
            chunked,
            r#"transfer-encoding: chunked "4\r\none \r\n4\r\ntwo \r\n3\r\nend\r\n0\r\n\r\n""#,
        ),
        (
            of_get,
            r#"transfer-encoding: chunked "4\r\none \r\n4\r\ntwo \r\n3\r\nend\r\n0\r\n\r\n""#,
        ),
    ] {
        let (_, body) = world.fetch(request).unwrap();
        assert_eq!(String::from_utf8(body).unwrap(), said);
    }
}

/// Goal: every framing of a response is read whole, and what belongs to the connection is not shown.
/// Method: one answer each.
#[test]
fn responses_are_read_in_every_framing() {
    for (answer, closes) in [
        ("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody", false),
        ("HTTP/1.1 200\r\nContent-Length:4\r\n\r\nbody", false),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n1;a=b\r\nb\r\n3\r\nody\r\n0\r\n\r\n",
            false,
        ),
        ("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nbody", true),
        ("HTTP/1.0 200 OK\r\n\r\nbody", true),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody",
            false,
        ),
    ] {
        let world = World::answering(answer, closes);
        let asked = world.ask(1, Request::new("GET", "http://server.example/"));
        world.run(async {
            let response = asked.await.unwrap();
            for of_the_connection in ["connection", "transfer-encoding"] {
                assert!(!response.headers.contains_key(of_the_connection));
            }
            assert_eq!(body(response).await.unwrap(), b"body", "{answer}");
        });
    }
}

/// Goal: a HEAD's length is of what a GET would give, and no body is waited for. Method: the connection stays open.
#[test]
fn heads_204_and_304_have_no_body() {
    for (method, answer) in [
        (
            "HEAD",
            "HTTP/1.1 200 OK\r\ncontent-length: 400\r\ncontent-encoding: gzip\r\n\r\n",
        ),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n"),
        (
            "GET",
            "HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n",
        ),
    ] {
        let world = World::answering(answer, false);
        let request = Request::new(method, "http://server.example/");
        assert_eq!(world.fetch(request).unwrap().1, b"", "{answer}");
        assert_eq!(world.client.idle(), 1, "{answer}");
    }
}

/// Goal: a body can be seen coming. Method: progress before, half-way and after.
#[test]
fn progress_tells_how_far_a_body_is() {
    use http_body_util::BodyExt;
    let world = World::answering("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbo", false);
    let asked = world.ask(1, Request::new("GET", "http://server.example/"));
    world.run(async {
        let mut response = asked.await.unwrap();
        assert_eq!(response.body.progress().length, Some(4));
        assert_eq!(response.body.progress().received, 0);
        response.body.frame().await.unwrap().unwrap();
        assert_eq!(response.body.progress().received, 2);
        assert_eq!(response.body.progress().decoded, 2);
    });
}

/// Goal: all methods a rule can name are sent. Method: the server hands back the method.
#[test]
fn every_method_a_rule_names_is_sent() {
    for method in Method::ALL {
        let world = World::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", false);
        let request = Request::new(method.as_str(), "http://server.example/");
        assert_eq!(world.fetch(request).unwrap().0, 200);
        let asked = format!("0 {} http://server.example:80/", method.as_str());
        assert_eq!(world.net.with(|net| net.judged.clone()), [asked]);
    }
}

/// Goal: with `AsSent`, codings are the app's. Method: its own Accept-Encoding, a coding we do not know.
#[test]
fn an_app_may_decode_for_itself() {
    let world = World::answering(
        "HTTP/1.1 200 OK\r\ncontent-encoding: br\r\ncontent-length: 4\r\n\r\nbody",
        false,
    );
    let mut request = get_with(
        "http://server.example/",
        Options {
            coding: Coding::AsSent,
            ..Options::default()
        },
    );
    request
        .headers
        .insert("accept-encoding", HeaderValue::from_static("br"));
    assert_eq!(world.fetch(request).unwrap().1, b"body");
}
