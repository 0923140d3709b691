//! Negative lists 1 and 4, an app's side: URLs that two parsers read in two ways, and bytes that would make two
//! requests of one.

use std::net::{IpAddr, SocketAddr};

use http::{HeaderMap, HeaderName, HeaderValue};
use nexus_services::http::{
    Coding, Error, HeaderFault, Host, Options, Request, RequestFault, RequestUrl, ResolveError,
    UrlFault, read_headers,
};
use nexus_types::{ErrorCode, Reason};

use crate::support::{World, get_with, post};

/// Goal: a request that is refused leaves nothing on any wire. Method: nothing judged, looked up or dialled.
fn reject(request: Request) -> Error {
    let world = World::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", false);
    let error = world.fetch(request).expect_err("this has to be refused");
    world.net.with(|net| {
        assert!(net.judged.is_empty() && net.resolved.is_empty() && net.dialled.is_empty());
    });
    error
}

/// Goal: what is judged is the address that would be dialled, however it is spelt. Method: the reference's spellings;
/// the network sees an address and never a name, so that its one table of addresses decides.
#[test]
fn every_spelling_of_an_address_is_judged_as_that_address() {
    for (host, address) in [
        ("127.1", "127.0.0.1"),
        ("0x7f000001", "127.0.0.1"),
        ("2130706433", "127.0.0.1"),
        ("0177.0.0.1", "127.0.0.1"),
        ("127.0.0.1.", "127.0.0.1"),
        ("①②⑦.0.0.1", "127.0.0.1"),
        ("%31%32%37.0.0.1", "127.0.0.1"),
        ("169.254.169.254", "169.254.169.254"),
        ("[::ffff:127.0.0.1]", "127.0.0.1"),
        ("[::1]", "::1"),
        // Where these go is not where their number says: the policy unwraps and refuses them.
        ("[64:ff9b::7f00:1]", "64:ff9b::7f00:1"),
        ("[2002:7f00:1::]", "2002:7f00:1::"),
        ("[::127.0.0.1]", "::7f00:1"),
        ("[fec0::1]", "fec0::1"),
    ] {
        let url = RequestUrl::parse(&format!("http://{host}/")).unwrap();
        let address: IpAddr = address.parse().unwrap();
        assert_eq!(url.host(), &Host::Address(address), "{host}");
    }
}

/// Goal: what the policy refuses is refused before anything is looked up, with its own reason. Method: a refused host.
#[test]
fn reject_what_the_policy_refuses() {
    let world = World::answering("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", false);
    for (host, url) in [("127.0.0.1", "http://127.1/"), ("[::1]", "https://[0::1]/")] {
        world
            .net
            .with(|net| net.refused.insert(host.to_owned(), Reason::BlockedRange));
        let error = world.fetch(Request::new("GET", url)).unwrap_err();
        assert_eq!(
            (error.code(), error.reason()),
            (ErrorCode::Denied, "blocked-range")
        );
    }
    world.net.with(|net| {
        assert!(net.resolved.is_empty() && net.dialled.is_empty());
    });
}

/// Goal: one lookup a connection, and what it gave is what is dialled: no second answer can rebind it. Method: a name
/// asked twice, the first connection idle.
#[test]
fn one_lookup_and_one_checked_address_a_connection() {
    let world = World::answering(
        "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        true,
    );
    for asked in 1..=2 {
        world.get().unwrap();
        world.net.with(|net| {
            assert_eq!(net.resolved, vec!["server.example"; asked]);
            assert_eq!(net.dialled.len(), asked);
        });
    }
    let to: Vec<SocketAddr> = world.net.with(|net| net.dialled.clone());
    assert_eq!(to[0], to[1]);
}

/// Goal: an answer with a forbidden address in it is none. Method: the resolver refuses; nothing is dialled.
#[test]
fn reject_names_that_lead_where_nothing_may_go() {
    let world = World::answering("", true);
    world.net.with(|net| {
        net.resolve_fails = Some(ResolveError::Refused(nexus_services::http::Refusal {
            reason: Reason::BlockedRange,
            why: nexus_types::Why::new("an address of the answer is private"),
        }));
    });
    assert_eq!(world.refused().reason(), "blocked-range");
    assert!(world.net.with(|net| net.dialled.is_empty()));
    for (fails, code) in [
        (ResolveError::NotFound, ErrorCode::NotFound),
        (ResolveError::Failed, ErrorCode::Unreachable),
        (ResolveError::NoCapacity, ErrorCode::NoCapacity),
        (ResolveError::TimedOut, ErrorCode::Deadline),
    ] {
        world.net.with(|net| net.resolve_fails = Some(fails));
        assert_eq!(world.refused().code(), code);
    }
}

/// Goal: a URL with two readings is refused. Method: each, with the word for it.
#[test]
fn reject_urls_with_two_readings() {
    for (url, fault) in [
        ("http://user@server.example/", UrlFault::Userinfo),
        ("http://user:secret@server.example/", UrlFault::Userinfo),
        ("http://@server.example/", UrlFault::Userinfo),
        ("http://:@server.example/", UrlFault::Userinfo),
        ("http://server.example#@evil.example/", UrlFault::Syntax),
        ("http://server.example\\@evil.example/", UrlFault::Character),
        ("http://server.example/\\evil", UrlFault::Character),
        ("http:\\\\server.example/", UrlFault::Character),
        ("http://server.exa\tmple/", UrlFault::Character),
        ("http://server.exa\nmple/", UrlFault::Character),
        ("http://server.example/a\r\nhost: evil", UrlFault::Character),
        ("http://server.example/\0", UrlFault::Character),
        ("http://server.example/a b", UrlFault::Character),
        (" http://server.example/", UrlFault::Character),
        ("http://server.example/\u{85}", UrlFault::Character),
        ("http:server.example", UrlFault::Scheme),
        ("http:/server.example", UrlFault::Scheme),
        ("http:///server.example", UrlFault::Scheme),
        ("//server.example/", UrlFault::Scheme),
        ("server.example", UrlFault::Scheme),
        ("/path", UrlFault::Scheme),
        ("", UrlFault::Scheme),
        ("ftp://server.example/", UrlFault::Scheme),
        ("file:///etc/passwd", UrlFault::Scheme),
        ("javascript://server.example/", UrlFault::Scheme),
        ("data:text/plain,x", UrlFault::Scheme),
        ("http://server.example:0/", UrlFault::Port),
        ("http://server.example:65536/", UrlFault::Syntax),
        ("http://server.example:80x/", UrlFault::Syntax),
        ("http://?x", UrlFault::Syntax),
        ("http://ser ver.example/", UrlFault::Character),
        ("http://ser%20ver.example/", UrlFault::Syntax),
        ("http://ser%00ver.example/", UrlFault::Syntax),
        ("http://-server.example/", UrlFault::Host),
        ("http://server..example/", UrlFault::Host),
        ("http://./", UrlFault::Host),
        ("http://[::1%25eth0]/", UrlFault::Syntax),
        ("http://1.2.3.4.5/", UrlFault::Syntax),
        ("http://256.0.0.1/", UrlFault::Syntax),
        ("http://server.example.0x7f/", UrlFault::Syntax),
    ] {
        if url.contains("#@") {
            // A fragment is a fragment to everybody.
            assert!(RequestUrl::parse(url).is_ok());
            continue;
        }
        assert_eq!(RequestUrl::parse(url).err(), Some(fault), "{url:?}");
        assert_eq!(reject(Request::new("GET", url)), fault.into(), "{url:?}");
    }
}

/// Goal: no method but those a rule can name, byte for byte. Method: others, other spellings, injected lines.
#[test]
fn reject_other_methods() {
    for method in [
        "CONNECT",
        "TRACE",
        "OPTIONS",
        "get",
        "Get",
        "",
        " GET",
        "GET ",
        "GET\r\nX: y",
        "GET\0",
        "GET / HTTP/1.1\r\nhost: evil\r\n\r\nGET",
        "PRI",
        "PROPFIND",
    ] {
        let error = reject(Request::new(method, "http://server.example/"));
        assert_eq!(error, RequestFault::Method.into(), "{method:?}");
    }
}

/// Goal: no header makes two requests of one. Method: line breaks, NULs, other control characters, names that are none.
#[test]
fn reject_headers_with_line_breaks() {
    for value in ["a\r\nb: c", "a\nb", "a\rb", "a\0b", "a\x7f", "\x01"] {
        assert_eq!(
            read_headers([("x", value)]),
            Err(HeaderFault::Value),
            "{value:?}"
        );
    }
    for name in [
        "", "a b", "a:", "a\r\nb", "a\n", "a\0", "é", "a/b", ":method",
    ] {
        assert_eq!(
            read_headers([(name, "x")]),
            Err(HeaderFault::Name),
            "{name:?}"
        );
    }
    assert!(read_headers([("x", "\u{e9} \t~")]).is_ok());
}

/// Goal: what frames a message or is for one hop is the host's to set. Method: each of them, in any case.
#[test]
fn reject_headers_that_are_the_hosts() {
    for name in [
        "Host",
        "connection",
        "Keep-Alive",
        "TE",
        "Trailer",
        "Transfer-Encoding",
        "Upgrade",
        "Proxy-Authorization",
        "proxy-connection",
        "Proxy-Authenticate",
        "proxy-x",
        "HTTP2-Settings",
        "Accept-Encoding",
    ] {
        let mut request = Request::new("GET", "http://server.example/");
        request.headers = read_headers([(name, "x")]).unwrap();
        assert_eq!(reject(request), HeaderFault::Forbidden.into(), "{name}");
    }
    let options = Options {
        coding: Coding::AsSent,
        ..Options::default()
    };
    let mut request = get_with("http://server.example/", options);
    request
        .headers
        .insert("host", HeaderValue::from_static("evil.example"));
    assert_eq!(reject(request), HeaderFault::Forbidden.into());
}

/// Goal: Content-Length is the body's or refused. Method: other numbers, no numbers, two.
#[test]
fn reject_content_lengths_that_do_not_fit() {
    for values in [
        &["3"][..],
        &["5"],
        &["-4"],
        &["+4"],
        &["0x4"],
        &["4 "],
        &[""],
        &["4", "4"],
        &["4,4"],
    ] {
        let mut request = post("http://server.example/", b"body");
        request.headers = HeaderMap::new();
        for value in values {
            let value = HeaderValue::from_static(value);
            request
                .headers
                .append(HeaderName::from_static("content-length"), value);
        }
        assert_eq!(
            reject(request),
            HeaderFault::ContentLength.into(),
            "{values:?}"
        );
    }
}
