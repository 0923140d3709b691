//! Negative list 1, a server's side: where a redirect leads, and what goes along.

use http::HeaderValue;
use nexus_services::http::{
    Coding, Error, Options, RedirectFault, Redirects, Request, RequestBody, StreamError,
};
use nexus_types::{ErrorCode, Reason, limits};
use tokio::io::AsyncWriteExt;

use crate::support::world::head;
use crate::support::{World, get_with, post};

const FOLLOW: Options = Options {
    redirects: Redirects::Follow(limits::HTTP_REDIRECTS),
    coding: Coding::Identity,
    retries: 0,
    timeouts: None,
};

/// An answer that leads to `location`.
fn to(status: u16, location: &str) -> String {
    format!("HTTP/1.1 {status} X\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n")
}

/// A server that leads from `/` to `location`, and hands back the head of any other request.
fn leading(status: u16, location: &str) -> World {
    let world = World::new();
    let first = to(status, location);
    world.net.serve(move |mut stream| {
        let first = first.clone();
        Box::pin(async move {
            loop {
                let head = head(&mut stream).await;
                let Some(line) = head.lines().next() else {
                    return;
                };
                let answer = if line.contains(" / ") {
                    first.clone()
                } else {
                    format!(
                        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{head}",
                        head.len()
                    )
                };
                // A HEAD's answer has no body; a body nobody reads here is the end of the connection.
                let end = answer.find("\r\n\r\n").unwrap() + 4;
                let shown = if line.starts_with("HEAD") {
                    end
                } else {
                    answer.len()
                };
                let _ = stream.write_all(&answer.as_bytes()[..shown]).await;
                if line.starts_with('P') {
                    return;
                }
            }
        })
    });
    world
}

fn refused(location: &str) -> Error {
    let world = leading(302, location);
    let error = world
        .fetch(get_with("http://server.example/", FOLLOW))
        .unwrap_err();
    assert_eq!(world.net.with(|net| net.judged.len()), 1, "{location}");
    error
}

/// Goal: a redirect is an error unless it was asked for; with `Return` it is a response. Method: all three.
#[test]
fn reject_redirects_nobody_asked_to_follow() {
    for status in [301, 302, 303, 307, 308] {
        let world = leading(status, "/next");
        let error = world.refused();
        assert_eq!(error, RedirectFault::NotAsked.into());
        assert_eq!(error.code(), ErrorCode::Denied);
        let returned = Options {
            redirects: Redirects::Return,
            ..FOLLOW
        };
        let (code, _) = world
            .fetch(get_with("http://server.example/", returned))
            .unwrap();
        assert_eq!(code, status);
        let (code, _) = world
            .fetch(get_with("http://server.example/", FOLLOW))
            .unwrap();
        assert_eq!(code, 200);
    }
    for status in [300, 304, 305] {
        assert_eq!(leading(status, "/next").get().unwrap().0, status);
    }
}

/// Goal: five redirects, and no sixth. Method: a chain of five, and one without end.
#[test]
fn reject_a_sixth_redirect() {
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned();
    let hop = to(302, "/");
    let chain = |redirects: usize| {
        let mut answers = vec![hop.as_str(); redirects];
        answers.push(&ok);
        World::answering_each(&answers)
    };
    let world = chain(5);
    assert_eq!(
        world
            .fetch(get_with("http://server.example/", FOLLOW))
            .unwrap()
            .0,
        200
    );
    assert_eq!(world.net.with(|net| net.judged.len()), 6);
    let world = chain(6);
    let error = world.fetch(get_with("http://server.example/", FOLLOW));
    assert_eq!(error, Err(RedirectFault::TooMany.into()));
    assert_eq!(world.net.with(|net| net.judged.len()), 6);
}

/// Goal: a hop is judged like a request: as it is, as the hop it is. Method: to a private address, to another host.
#[test]
fn reject_redirects_the_policy_refuses() {
    for location in ["http://127.0.0.1/", "http://2130706433/x", "//0x7f.1/"] {
        let world = leading(302, location);
        world.net.with(|net| {
            net.refused
                .insert("127.0.0.1".to_owned(), Reason::RedirectNotPermitted);
        });
        let error = world
            .fetch(get_with("http://server.example/", FOLLOW))
            .unwrap_err();
        assert_eq!(error.reason(), "redirect-not-permitted", "{location}");
        world.net.with(|net| {
            assert!(
                net.judged[1].starts_with("1 GET http://127.0.0.1:80/"),
                "{:?}",
                net.judged
            );
            assert_eq!((net.resolved.len(), net.dialled.len()), (1, 1));
        });
    }
}

/// Goal: no way down from https. Method: in tls.rs, where there is https; here, up is fine and other schemes are not.
#[test]
fn reject_redirects_to_other_schemes() {
    for location in [
        "ftp://server.example/",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "data:,x",
        "ws://server.example/",
        "http:next",
        "http:/next",
        "https:next",
        "HTTP:next",
        "x:y",
    ] {
        assert_eq!(
            refused(location),
            RedirectFault::Location.into(),
            "{location:?}"
        );
    }
}

/// Goal: a Location with two readings is not followed. Method: backslashes, tabs, users, nothing, not ASCII.
#[test]
fn reject_locations_with_two_readings() {
    for location in [
        "\\\\evil.example/",
        "/\\evil.example/",
        "/a\tb",
        "http://server.example\t/",
        "/a b",
        "http://user@evil.example/",
        "//user:secret@evil.example/",
        "//@evil.example/",
        "http://@evil.example/",
        "http:///evil.example/",
        "",
        "/\u{fc}",
        "http://server.example:0/",
        "http://server.example:99999/",
        "http://-evil.example/",
        "http://[::1/",
    ] {
        assert_eq!(
            refused(location),
            RedirectFault::Location.into(),
            "{location:?}"
        );
    }
    let two = "HTTP/1.1 302 X\r\nlocation: /a\r\nlocation: /b\r\ncontent-length: 0\r\n\r\n";
    let world = World::answering(two, false);
    let error = world.fetch(get_with("http://server.example/", FOLLOW));
    assert_eq!(error, Err(RedirectFault::Location.into()));
}

/// Goal: what is a credential, or may be one, stays with its origin. Method: another host, port and scheme's host; then
/// the same origin, where everything goes along.
#[test]
fn credentials_do_not_cross_origins() {
    let ask = |location: &str| {
        let world = leading(307, location);
        let mut request = get_with("http://server.example/", FOLLOW);
        for name in [
            "authorization",
            "cookie",
            "cookie2",
            "www-authenticate",
            "x-api-key",
            "x-auth-token",
            "x-amz-security-token",
            "private-token",
            "x-whatever",
            "referer",
            "origin",
        ] {
            request
                .headers
                .insert(name, HeaderValue::from_static("credential"));
        }
        request
            .headers
            .insert("accept", HeaderValue::from_static("text/plain"));
        String::from_utf8(world.fetch(request).unwrap().1).unwrap()
    };
    for other in [
        "http://other.example/x",
        "http://server.example:8080/x",
        "//sub.server.example/x",
    ] {
        let head = ask(other);
        assert!(!head.contains("credential"), "{other}: {head}");
        assert!(head.contains("accept: text/plain"), "{head}");
    }
    let head = ask("http://server.example:80/x");
    assert_eq!(head.matches("credential").count(), 11, "{head}");
}

/// Goal: dropped once is dropped for good. Method: away and back again.
#[test]
fn credentials_do_not_come_back() {
    let world = World::new();
    world.net.serve(|mut stream| {
        Box::pin(async move {
            let head = head(&mut stream).await;
            let answer = if head.starts_with("GET / ") {
                to(302, "http://other.example/back")
            } else if head.starts_with("GET /back ") {
                to(302, "http://server.example/end")
            } else {
                format!(
                    "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{head}",
                    head.len()
                )
            };
            let _ = stream.write_all(answer.as_bytes()).await;
        })
    });
    let mut request = get_with("http://server.example/", FOLLOW);
    request
        .headers
        .insert("authorization", HeaderValue::from_static("secret"));
    let head = String::from_utf8(world.fetch(request).unwrap().1).unwrap();
    assert!(
        head.starts_with("GET /end HTTP/1.1\r\nhost: server.example\r\n"),
        "{head}"
    );
    assert!(!head.contains("authorization"), "{head}");
}

/// Goal: method and body after a redirect are RFC 9110's. Method: each status with GET, HEAD, POST and PUT.
#[test]
fn methods_and_bodies_change_as_they_should() {
    for (status, method, next, bytes) in [
        (301, "GET", "GET", None),
        (302, "HEAD", "HEAD", None),
        (301, "POST", "GET", None),
        (302, "PUT", "GET", None),
        (303, "DELETE", "GET", None),
        (307, "POST", "POST", Some("content-length: 4")),
        (308, "PUT", "PUT", Some("content-length: 4")),
    ] {
        let world = leading(status, "/next");
        let mut request = Request::new(method, "http://server.example/");
        request.options = FOLLOW;
        if bytes.is_some() || next == "GET" && method != "GET" {
            request.body = RequestBody::Whole(bytes::Bytes::from_static(b"body"));
            request
                .headers
                .insert("content-type", HeaderValue::from_static("text/x"));
        }
        let head = String::from_utf8(world.fetch(request).unwrap().1).unwrap();
        let judged = world.net.with(|net| net.judged[1].clone());
        assert_eq!(judged, format!("1 {next} http://server.example:80/next"));
        assert_eq!(
            head.contains("content-length: 4"),
            bytes.is_some(),
            "{head}"
        );
        assert_eq!(head.contains("content-type"), bytes.is_some(), "{head}");
    }
}

/// Goal: a body that is gone is not sent as nothing. Method: 307 and 308 after a stream.
#[test]
fn reject_redirects_of_a_body_that_is_gone() {
    for status in [307, 308] {
        let world = leading(status, "/next");
        let mut request = post("http://server.example/", b"");
        request.options = FOLLOW;
        let frames = [Ok::<_, StreamError>(http_body::Frame::data("body".into()))];
        let stream = http_body_util::StreamBody::new(futures::stream::iter(frames));
        request.body = RequestBody::Stream(Box::pin(stream), Some(4));
        assert_eq!(world.fetch(request), Err(RedirectFault::Body.into()));
    }
}
