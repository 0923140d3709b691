//! Heads of requests and responses: what is completed, and what is refused.

use super::*;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Full};

const ENDS: Ends = Ends {
    local: std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 80),
    remote: std::net::SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 50_000),
    secure: false,
};

fn request(target: &str, hosts: &[&str]) -> Request<()> {
    let mut request = Request::builder().uri(target);
    for host in hosts {
        request = request.header(HOST, *host);
    }
    request.body(()).expect("a request")
}

fn completed(target: &str, hosts: &[&str]) -> Result<String, BadRequest> {
    let mut request = request(target, hosts);
    complete(&mut request, &ENDS).map(|()| request.uri().to_string())
}

/// Goal: an app is told what the client asked for. Method: targets of every form that has a path.
#[test]
fn a_request_gets_scheme_and_authority() {
    for (target, hosts, expected) in [
        ("/a?b=c", &["x.example"][..], "http://x.example/a?b=c"),
        ("/", &["[::1]:8080"], "http://[::1]:8080/"),
        // The scheme is the connection's, whatever the target says.
        ("https://y.example/a", &["x.example"], "http://y.example/a"),
    ] {
        assert_eq!(
            completed(target, hosts).as_deref(),
            Ok(expected),
            "{target}"
        );
    }
}

/// Goal: a target of another form than its method has reaches no app. Method: RFC 9112 section 3.2.
#[test]
fn reject_targets_of_other_forms() {
    let mut all = request("*", &["x.example"]);
    *all.method_mut() = Method::OPTIONS;
    assert_eq!(complete(&mut all, &ENDS), Ok(()));
    for target in ["*", "x.example:80", "x.example", "ftp://x.example/a"] {
        let completed = completed(target, &["x.example"]);
        assert_eq!(completed, Err(BadRequest::Target), "{target}");
    }
}

#[test]
fn a_request_of_http_1_0_needs_no_host() {
    let mut old = request("/", &[]);
    *old.version_mut() = Version::HTTP_10;
    assert_eq!(complete(&mut old, &ENDS), Ok(()));
    assert_eq!(old.uri(), "http://127.0.0.1:80/");
}

/// Goal: what names no host, or two, reaches no app. Method: RFC 9112 section 3.2.
#[test]
fn reject_hosts_that_are_none() {
    for hosts in [
        &[][..],
        &["a.example", "b.example"],
        &["a.example", "a.example"],
        &[""],
        &["a b"],
        &["user@a.example"],
        &["a.example/path"],
    ] {
        assert_eq!(completed("/", hosts), Err(BadRequest::Host), "{hosts:?}");
    }
    assert_eq!(completed("http://a.example/", &[]), Err(BadRequest::Host));
}

#[test]
fn reject_tunnels() {
    let mut tunnel = request("a.example:443", &["a.example:443"]);
    *tunnel.method_mut() = Method::CONNECT;
    assert_eq!(complete(&mut tunnel, &ENDS), Err(BadRequest::Method));
}

fn answer(status: u16, lengths: &[&str], body: &'static str) -> Response<WasiBody> {
    let body = match body {
        "" => Empty::new().map_err(|never| match never {}).boxed_unsync(),
        body => Full::new(Bytes::from_static(body.as_bytes()))
            .map_err(|never| match never {})
            .boxed_unsync(),
    };
    let mut response = Response::builder().status(status);
    for length in lengths {
        response = response.header(CONTENT_LENGTH, *length);
    }
    response.body(body).expect("a response")
}

#[test]
fn answers_of_the_length_they_say_are_sent() {
    for response in [
        answer(200, &[], "abc"),
        answer(200, &["3"], "abc"),
        answer(404, &["0"], ""),
    ] {
        assert!(check(&response, &Method::GET).is_ok());
    }
    // A HEAD is answered with the length a GET would have.
    let shape = check(&answer(200, &["10"], ""), &Method::HEAD);
    assert!(shape.is_ok_and(|shape| shape.head_only));
}

/// Goal: no answer leaves the client to read the next one for its rest. Method: lengths that are not the body's, or no
/// numbers, and a status that is no answer.
#[test]
fn reject_answers_that_would_desynchronise() {
    for response in [
        answer(200, &["4"], "abc"),
        answer(200, &["10"], ""),
        answer(200, &["+3"], "abc"),
        answer(200, &["0x3"], "abc"),
        answer(200, &["3, 3"], "abc"),
        answer(200, &["3", "3"], "abc"),
        answer(200, &["99999999999999999999"], "abc"),
        answer(101, &[], ""),
        answer(103, &[], ""),
    ] {
        let headers = response.headers().clone();
        assert!(
            matches!(check(&response, &Method::GET), Err(Failure::BadAnswer(_))),
            "{headers:?}"
        );
    }
}
