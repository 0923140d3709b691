//! What is tried again, and what never is.

use nexus_services::http::{ConnectError, Error, HeadFault, Options, Request, ResolveError};
use nexus_types::ErrorCode;

use crate::support::world::{head, hold};
use crate::support::{World, get_with, post};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

fn options(retries: u8) -> Options {
    Options {
        retries,
        ..Options::default()
    }
}

/// Goal: none by default, two at most, and then the last error. Method: a server that refuses once, twice, thrice.
#[test]
fn retries_are_asked_for_and_counted() {
    for (fails, retries, works) in [
        (0, 0, true),
        (1, 0, false),
        (1, 1, true),
        (2, 2, true),
        (3, 2, false),
    ] {
        let world = World::answering(OK, false);
        world
            .net
            .with(|net| net.connect_fails = Some((ConnectError::Rejected, fails)));
        let result = world.fetch(get_with("http://server.example/", options(retries)));
        assert_eq!(result.is_ok(), works, "{fails} {retries}");
        let dialled = world.net.with(|net| net.dialled.len());
        assert_eq!(
            dialled as u32,
            fails.min(u32::from(retries)) + u32::from(works || fails > u32::from(retries))
        );
    }
}

/// Goal: the waits are a schedule that a run repeats. Method: the same twice, to the nanosecond.
#[test]
fn waits_are_the_same_each_time() {
    let run = || {
        let world = World::answering(OK, false);
        world
            .net
            .with(|net| net.connect_fails = Some((ConnectError::Unreachable, 2)));
        world
            .fetch(get_with("http://server.example/", options(2)))
            .unwrap();
        world.net.time()
    };
    assert_eq!(run(), run());
    assert!(run().as_micros() >= 150_000);
}

/// Goal: what is not idempotent is sent once. Method: POST and PATCH to a server that ends the connection.
#[test]
fn reject_retries_of_what_is_not_idempotent() {
    for (method, tries) in [
        ("GET", 3),
        ("HEAD", 3),
        ("PUT", 3),
        ("DELETE", 3),
        ("POST", 1),
        ("PATCH", 1),
    ] {
        let world = World::answering("", true);
        let mut request = Request::new(method, "http://server.example/");
        request.options = options(2);
        assert_eq!(world.fetch(request), Err(HeadFault::Closed.into()));
        assert_eq!(world.net.with(|net| net.dialled.len()), tries, "{method}");
    }
}

/// Goal: once a byte of a response was read, there is no second request. Method: a byte, and the end.
#[test]
fn reject_retries_after_a_byte_of_a_response() {
    let world = World::answering("H", true);
    let result = world.fetch(get_with("http://server.example/", options(2)));
    assert_eq!(result, Err(HeadFault::Closed.into()));
    assert_eq!(world.net.with(|net| net.dialled.len()), 1);
}

/// Goal: what will not go better is not tried again. Method: a name that does not exist, a broken response.
#[test]
fn reject_retries_of_what_will_not_pass() {
    let world = World::answering("<html>", true);
    world
        .fetch(get_with("http://server.example/", options(2)))
        .unwrap_err();
    assert_eq!(world.net.with(|net| net.dialled.len()), 1);
    world
        .net
        .with(|net| net.resolve_fails = Some(ResolveError::NotFound));
    let error = world
        .fetch(get_with("http://server.example/", options(2)))
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
    assert_eq!(world.net.with(|net| net.resolved.len()), 2);
}

/// Goal: a body that is gone is not sent again. Method: PUT of a stream to a server that ends the connection.
#[test]
fn reject_retries_of_a_body_that_is_gone() {
    let world = World::answering("", true);
    let mut request = post("http://server.example/", b"");
    request.method = "PUT".to_owned();
    request.options = options(2);
    let frames = [Ok::<_, nexus_services::http::StreamError>(
        http_body::Frame::data("body".into()),
    )];
    let stream = http_body_util::StreamBody::new(futures::stream::iter(frames));
    request.body = nexus_services::http::RequestBody::Stream(Box::pin(stream), Some(4));
    world.fetch(request).unwrap_err();
    assert_eq!(world.net.with(|net| net.dialled.len()), 1);
}

/// Goal: the time for all of it holds for retries too. Method: a server that is silent, three times.
#[test]
fn reject_retries_past_the_total() {
    let world = World::new();
    world.net.serve(|mut stream| {
        Box::pin(async move {
            head(&mut stream).await;
            hold(stream).await;
        })
    });
    let error = world
        .fetch(get_with("http://server.example/", options(2)))
        .unwrap_err();
    assert_eq!(error, Error::TimedOut(nexus_services::http::Phase::Total));
    assert_eq!(world.seconds(), 60);
    assert_eq!(world.net.with(|net| net.dialled.len()), 2);
}
