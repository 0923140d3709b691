//! Every bound, at it and past it.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use nexus_services::http::{
    BodyFault, HeadFault, HeaderFault, Options, Redirects, Request, RequestBody, RequestFault,
    SendFault, StreamError, UrlFault, read_headers,
};
use nexus_types::limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::world::{head, hold};
use crate::support::{World, get_with, post};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// An answer whose head is `bytes` long, in `fields` fields.
fn head_of(fields: usize, bytes: usize) -> String {
    let mut answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n".to_owned();
    for _ in 2..fields {
        answer.push_str("a: b\r\n");
    }
    let filler = bytes - answer.len() - "x: \r\n\r\n".len();
    answer + "x: " + &"y".repeat(filler) + "\r\n\r\n"
}

/// Goal: the bounds of a response's head. Method: 64 and 65 fields; 16 KiB and a byte more.
#[test]
fn reject_heads_past_their_bounds() {
    let (fields, bytes) = (
        limits::HTTP_RESPONSE_FIELDS,
        limits::HTTP_RESPONSE_HEAD_BYTES,
    );
    for at_the_limit in [
        head_of(fields, 2_000),
        head_of(10, bytes),
        head_of(fields, bytes),
    ] {
        assert_eq!(World::answering(at_the_limit, false).get().unwrap().0, 200);
    }
    let error = World::answering(head_of(fields + 1, 2_000), false).refused();
    assert_eq!(error, HeadFault::TooMany.into());
    let error = World::answering(head_of(10, bytes + 1), false).refused();
    assert_eq!(error, HeadFault::TooLarge.into());
}

/// Goal: a head without end ends. Method: fields for ever, in pieces; a line for ever.
#[test]
fn reject_heads_without_end() {
    for (piece, fault) in [
        ("a: b\r\n", HeadFault::TooMany),
        ("aaaaaaaa", HeadFault::TooLarge),
    ] {
        let world = World::new();
        world.net.serve(move |mut stream| {
            Box::pin(async move {
                head(&mut stream).await;
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
                while stream.write_all(piece.as_bytes()).await.is_ok() {}
            })
        });
        assert_eq!(world.refused(), fault.into());
    }
}

/// Goal: at most four interim responses. Method: four, five, without end.
#[test]
fn reject_interim_responses_without_end() {
    let interim = "HTTP/1.1 100 Continue\r\n\r\n";
    let four = interim.repeat(limits::HTTP_INTERIM as usize);
    assert_eq!(
        World::answering(four.clone() + OK, false).get().unwrap().0,
        200
    );
    let error = World::answering(four + interim + OK, false).refused();
    assert_eq!(error, HeadFault::Interim.into());
}

/// Goal: a response's body is whole or an error. Method: the limit by length, by chunks and by the connection's end;
/// then a byte more. A length that is said and too large is refused before a byte of it is read.
#[test]
fn reject_response_bodies_past_their_bound() {
    let most = 100_000;
    let answers = |bytes: usize| {
        let body = "b".repeat(bytes);
        [
            format!("HTTP/1.1 200 OK\r\ncontent-length: {bytes}\r\n\r\n{body}"),
            format!(
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{bytes:x}\r\n{body}\r\n0\r\n\r\n"
            ),
            format!("HTTP/1.1 200 OK\r\n\r\n{body}"),
        ]
    };
    for (at, over) in answers(most).into_iter().zip(answers(most + 1)) {
        let world = World::answering(at, true);
        world.net.with(|net| net.limits.response_body = most as u64);
        assert_eq!(world.get().unwrap().1.len(), most);
        let world = World::answering(over, true);
        world.net.with(|net| net.limits.response_body = most as u64);
        assert_eq!(world.refused(), BodyFault::TooLarge.into());
    }
}

/// Goal: without a word in the grant, the guide's bounds hold. Method: 8 MiB of a response and 1 MiB of a request, and a
/// byte more of each.
#[test]
fn reject_bodies_past_the_default_bounds() {
    let response = |bytes: u64| {
        let body = "b".repeat(usize::try_from(bytes).unwrap());
        let answer = format!("HTTP/1.1 200 OK\r\n\r\n{body}");
        World::answering(answer, true)
            .get()
            .map(|(_, body)| body.len() as u64)
    };
    let most = limits::HTTP_RESPONSE_BODY_BYTES;
    assert_eq!(response(most), Ok(most));
    assert_eq!(response(most + 1), Err(BodyFault::TooLarge.into()));
    let request = |bytes: u64| {
        let body = vec![0; usize::try_from(bytes).unwrap()];
        let world = World::new();
        world.net.serve(move |mut stream| {
            Box::pin(async move {
                head(&mut stream).await;
                let mut body = vec![0; usize::try_from(bytes).unwrap()];
                let _ = stream.read_exact(&mut body).await;
                let _ = stream.write_all(OK.as_bytes()).await;
                hold(stream).await;
            })
        });
        world
            .fetch(post("http://server.example/", &body))
            .map(|(status, _)| status)
    };
    let most = limits::HTTP_REQUEST_BODY_BYTES;
    assert_eq!(request(most), Ok(200));
    assert_eq!(request(most + 1), Err(SendFault::BodyTooLarge.into()));
}

/// Goal: framing is bounded by what it frames. Method: a chunk size of endless zeros or blanks, an extension
/// without end (hyper's own bound); then many chunks of one byte, which are all right.
#[test]
fn reject_framing_without_end() {
    for (start, again, fault) in [
        ("", "0", BodyFault::Framing),
        ("1", " ", BodyFault::Framing),
        ("1;", "a", BodyFault::Syntax),
    ] {
        let world = World::new();
        world.net.serve(move |mut stream| {
            Box::pin(async move {
                head(&mut stream).await;
                let head =
                    "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_owned() + start;
                let _ = stream.write_all(head.as_bytes()).await;
                while stream.write_all(again.repeat(64).as_bytes()).await.is_ok() {}
            })
        });
        assert_eq!(world.refused(), fault.into(), "{start:?}");
    }
    let chunks = "1\r\nb\r\n".repeat(200_000);
    let answer = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{chunks}0\r\n\r\n");
    assert_eq!(
        World::answering(answer, false).get().unwrap().1.len(),
        200_000
    );
}

/// Goal: the bound of framing, to the byte. Method: a chunk's size with as many zeros before it as there may be, and
/// then what one byte of body adds, and one more.
#[test]
fn reject_framing_past_its_bound() {
    let get = |after_head: u64| {
        let chunk = "1\r\nb\r\n0\r\n\r\n";
        let zeros = "0".repeat(usize::try_from(after_head).unwrap() - chunk.len());
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let world = World::answering(format!("{head}{zeros}{chunk}"), false);
        world.get().map(|(_, body)| body)
    };
    let most = limits::HTTP_FRAMING_BYTES + 2 * limits::HTTP_BUFFER_BYTES as u64;
    assert_eq!(get(most).unwrap(), b"b");
    assert_eq!(get(most + 18), Err(BodyFault::Framing.into()));
}

/// Goal: trailers are bounded as heads are. Method: 64 fields and 65; a field without end.
#[test]
fn reject_trailers_past_their_bounds() {
    let answer = |fields: usize, value: usize| {
        let trailers = format!("t: {}\r\n", "v".repeat(value)).repeat(fields);
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n{trailers}\r\n")
    };
    assert_eq!(World::answering(answer(64, 1), false).get().unwrap().0, 200);
    for over in [answer(65, 1), answer(1, 16 << 10), answer(64, 1_000)] {
        assert_eq!(
            World::answering(over, false).refused(),
            BodyFault::Syntax.into()
        );
    }
}

/// Goal: the URL's bound. Method: 8 KiB and a byte more; and grown past it by percent-encoding.
#[test]
fn reject_urls_past_their_bound() {
    let world = World::answering(OK, false);
    let url = |bytes: usize| {
        let start = "http://server.example/";
        format!("{start}{}", "a".repeat(bytes - start.len()))
    };
    let at = Request::new("GET", url(limits::HTTP_URL_BYTES));
    assert_eq!(world.fetch(at).unwrap().0, 200);
    for over in [
        url(limits::HTTP_URL_BYTES + 1),
        url(limits::HTTP_URL_BYTES / 2) + &"ü".repeat(limits::HTTP_URL_BYTES / 5),
    ] {
        let error = world.fetch(Request::new("GET", over)).unwrap_err();
        assert_eq!(error, UrlFault::TooLong.into());
    }
}

/// Goal: the bounds of a request's headers. Method: 64 fields and 65, 16 KiB and a byte more.
#[test]
fn reject_request_headers_past_their_bounds() {
    let world = World::answering(OK, false);
    let ask = |headers: HeaderMap| {
        let mut request = Request::new("GET", "http://server.example/");
        request.headers = headers;
        world.fetch(request).map(|(status, _)| status)
    };
    let fields = |count: usize| {
        let mut headers = HeaderMap::new();
        for number in 0..count {
            let name = HeaderName::try_from(format!("x-{number}")).unwrap();
            headers.insert(name, HeaderValue::from_static("v"));
        }
        headers
    };
    let bytes = |count: usize| {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::try_from("v".repeat(count - "x: \r\n".len())).unwrap();
        headers.insert("x", value);
        headers
    };
    let (count, size) = (limits::HTTP_REQUEST_FIELDS, limits::HTTP_REQUEST_HEAD_BYTES);
    assert_eq!(ask(fields(count)), Ok(200));
    assert_eq!(ask(fields(count + 1)), Err(HeaderFault::TooMany.into()));
    assert_eq!(ask(bytes(size)), Ok(200));
    assert_eq!(ask(bytes(size + 1)), Err(HeaderFault::TooLarge.into()));
    let endless = std::iter::repeat(("a", "b"));
    assert_eq!(read_headers(endless).unwrap_err(), HeaderFault::TooMany);
}

fn stream(pieces: Vec<Result<&'static str, StreamError>>, length: Option<u64>) -> RequestBody {
    let frames = pieces
        .into_iter()
        .map(|piece| piece.map(|text| http_body::Frame::data(Bytes::from_static(text.as_bytes()))));
    let body = http_body_util::StreamBody::new(futures::stream::iter(frames));
    RequestBody::Stream(Box::pin(body), length)
}

/// Goal: a request's body is bounded and as long as was said, and the server never sees half of one as a whole.
/// Method: too large at once, too large as it comes, too long, too short, given up.
#[test]
fn reject_request_bodies_that_do_not_fit() {
    let ask = |body: RequestBody| {
        let world = World::new();
        world.net.serve(|mut stream| {
            Box::pin(async move {
                head(&mut stream).await;
                hold(stream).await;
            })
        });
        world.net.with(|net| net.limits.request_body = 8);
        let mut request = post("http://server.example/", b"");
        request.body = body;
        world.fetch(request).unwrap_err()
    };
    assert_eq!(
        ask(RequestBody::Whole(Bytes::from_static(b"123456789"))),
        SendFault::BodyTooLarge.into()
    );
    assert_eq!(
        ask(stream(vec![Ok("1234")], Some(9))),
        SendFault::BodyTooLarge.into()
    );
    assert_eq!(
        ask(stream(vec![Ok("1234"), Ok("5678"), Ok("9")], None)),
        SendFault::BodyTooLarge.into()
    );
    assert_eq!(
        ask(stream(vec![Ok("1234"), Ok("5")], Some(4))),
        SendFault::BodyLength.into()
    );
    assert_eq!(
        ask(stream(vec![Ok("12345")], Some(4))),
        SendFault::BodyLength.into()
    );
    assert_eq!(
        ask(stream(vec![Ok("123")], Some(4))),
        SendFault::BodyLength.into()
    );
    assert_eq!(
        ask(stream(vec![Ok("123"), Err(StreamError)], None)),
        SendFault::BodyFailed.into()
    );
    let frames = [Ok(http_body::Frame::trailers(HeaderMap::new()))];
    let trailers = http_body_util::StreamBody::new(futures::stream::iter(frames));
    assert_eq!(
        ask(RequestBody::Stream(Box::pin(trailers), None)),
        SendFault::Trailers.into()
    );
}

/// Goal: at the bound, a request's body is sent. Method: eight bytes of eight, whole and in pieces.
#[test]
fn request_bodies_at_their_bound_are_sent() {
    for body in [
        RequestBody::Whole(Bytes::from_static(b"12345678")),
        stream(vec![Ok("1234"), Ok("5678")], None),
        stream(vec![Ok("1234"), Ok("5678")], Some(8)),
    ] {
        let world = World::answering(OK, false);
        world.net.with(|net| net.limits.request_body = 8);
        let mut request = post("http://server.example/", b"");
        request.body = body;
        assert_eq!(world.fetch(request).unwrap().0, 200);
    }
}

/// Goal: an app cannot ask for more redirects or retries than there are. Method: at and over.
#[test]
fn reject_options_past_their_bounds() {
    let ask = |options| World::answering(OK, false).fetch(get_with("http://a.example/", options));
    let redirects = |most| Options {
        redirects: Redirects::Follow(most),
        ..Options::default()
    };
    let retries = |retries| Options {
        retries,
        ..Options::default()
    };
    assert_eq!(ask(redirects(limits::HTTP_REDIRECTS)).unwrap().0, 200);
    assert_eq!(ask(retries(limits::HTTP_RETRIES)).unwrap().0, 200);
    for options in [
        redirects(limits::HTTP_REDIRECTS + 1),
        retries(limits::HTTP_RETRIES + 1),
    ] {
        assert_eq!(ask(options), Err(RequestFault::Options.into()));
    }
}
