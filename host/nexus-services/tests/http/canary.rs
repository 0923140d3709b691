//! Nothing of a request or a response is in any text.

use http::HeaderValue;
use nexus_services::http::{
    BodyFault, Error, HeadFault, HeaderFault, Phase, RedirectFault, Request, RequestBody,
    RequestUrl, SendFault, TlsFault, UrlFault, read_headers,
};
use nexus_types::Why;

use crate::support::{World, body, post};

const CANARY: &str = "ca9a2y";

/// Goal: a secret in a user, a path, a query, a header or a body, either way, is in no text an error, a request or a
/// response has. Method: the same word in all of them, and every way to fail we have; nothing prints it.
#[test]
fn secrets_are_in_no_text() {
    let request = |url: &str| {
        let mut request = post(url, CANARY.as_bytes());
        request
            .headers
            .insert("authorization", HeaderValue::from_static(CANARY));
        request
            .headers
            .insert("x-token", HeaderValue::from_static(CANARY));
        request
    };
    let url = &format!("http://server.example/{CANARY}?{CANARY}={CANARY}#{CANARY}");
    let mut texts = vec![
        format!("{:?}", request(url)),
        format!("{:?}", RequestUrl::parse(url)),
    ];
    let mut method = request(url);
    method.method = CANARY.to_owned();
    texts.push(format!("{method:?}"));
    let mut failed = Vec::new();
    let mut bad = Vec::from([
        format!("http://{CANARY}:{CANARY}@server.example/"),
        format!("http://server.example:0/{CANARY}"),
        format!("ftp://{CANARY}/"),
        format!("http://server.example/{CANARY}\r\n"),
    ]);
    for bad in bad.drain(..) {
        texts.push(format!("{:?}", request(&bad)));
        failed.push(World::new().fetch(request(&bad)).unwrap_err());
    }
    failed.push(World::new().fetch(method).unwrap_err());
    let fault = read_headers([(CANARY, "\n"), ("x", CANARY)]).unwrap_err();
    failed.push(fault.into());
    for answer in [
        CANARY.to_owned(),
        format!("HTTP/1.1 {CANARY}\r\n\r\n"),
        format!("HTTP/1.1 200 {CANARY}\r\n{CANARY}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\ncontent-length: {CANARY}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\ncontent-encoding: {CANARY}\r\n\r\n"),
        format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{CANARY}\r\n"),
        format!("HTTP/1.1 200 OK\r\ncontent-length: 99\r\n\r\n{CANARY}"),
        format!("HTTP/1.1 302 X\r\nlocation: http://{CANARY}@a.example/\r\n\r\n"),
        format!("HTTP/1.1 302 X\r\nlocation: /{CANARY}\r\n\r\n"),
    ] {
        failed.push(
            World::answering(answer, true)
                .fetch(request(url))
                .unwrap_err(),
        );
    }
    for error in failed {
        texts.extend([
            format!("{error:?}"),
            error.to_string(),
            error.reason().to_owned(),
        ]);
        texts.push(error.why().into_string());
        let source = std::error::Error::source(&error).map(|source| format!("{source:?} {source}"));
        texts.extend(source);
    }
    let answer = format!(
        "HTTP/1.1 200 {CANARY}\r\nset-cookie: {CANARY}\r\ncontent-length: 6\r\n\r\n{CANARY}"
    );
    let world = World::answering(answer, false);
    let asked = world.ask(1, request(url));
    world.run(async {
        let response = asked.await.unwrap();
        texts.push(format!("{response:?}"));
        assert_eq!(body(response).await.unwrap(), CANARY.as_bytes());
    });
    for text in &texts {
        assert!(!text.contains(CANARY), "{text}");
    }
    assert!(texts.len() > 40);
}

/// Goal: every error has a word of its own and a sentence that fits. Method: all of them.
#[test]
fn every_error_has_a_word_and_a_sentence() {
    let mut all = vec![Error::TooMany, Error::Ended, Error::Internal];
    all.extend(Phase::ALL.iter().map(|fault| Error::from(*fault)));
    all.extend(UrlFault::ALL.iter().map(|fault| Error::from(*fault)));
    all.extend(HeaderFault::ALL.iter().map(|fault| Error::from(*fault)));
    all.extend(TlsFault::ALL.iter().map(|fault| Error::from(*fault)));
    all.extend(SendFault::ALL.iter().map(|fault| Error::from(*fault)));
    all.extend(HeadFault::ALL.iter().map(|fault| Error::from(*fault)));
    all.extend(BodyFault::ALL.iter().map(|fault| Error::from(*fault)));
    all.extend(RedirectFault::ALL.iter().map(|fault| Error::from(*fault)));
    let mut words: Vec<_> = all.iter().map(Error::reason).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!(words.len(), all.len());
    for error in &all {
        let why = error.why();
        assert!(
            !why.as_str().is_empty() && why.as_str().len() < Why::BYTES_MAX,
            "{error:?}"
        );
    }
}

/// Goal: bodies are not printed by accident. Method: each kind.
#[test]
fn bodies_show_their_length_alone() {
    let body = RequestBody::Whole(bytes::Bytes::from_static(CANARY.as_bytes()));
    assert_eq!(format!("{body:?}"), "Whole(6 bytes)");
    assert_eq!(format!("{:?}", Request::new("GET", "x").body), "Empty");
}
