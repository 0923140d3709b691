//! Negative list 5: certificates that prove nothing, and TLS that ends without an end. TLS 1.1 alone cannot be made
//! with rustls: that is for `openssl s_server` in the real-world runs.

use std::sync::Arc;

use nexus_services::http::{
    BodyFault, Error, Options, RedirectFault, Redirects, Request, RootsError, TlsFault, TlsProfile,
    WallClock,
};
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use crate::support::net::{Calendar, TODAY};
use crate::support::tls::{Authority, certificate, self_signed};
use crate::support::world::head;
use crate::support::{World, get_with};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody";

/// A world whose servers speak TLS and answer `answer`, once a connection.
fn world(
    trusted: TlsProfile,
    acceptor: TlsAcceptor,
    answer: &'static str,
    says_goodbye: bool,
) -> World {
    let world = World::new();
    world.net.with(|net| net.tls = trusted);
    world.net.serve(move |stream| {
        let acceptor = acceptor.clone();
        Box::pin(async move {
            let Ok(mut stream) = acceptor.accept(stream).await else {
                return;
            };
            head(&mut stream).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.flush().await;
            if says_goodbye {
                let _ = stream.shutdown().await;
                let _ = stream.read_to_end(&mut Vec::new()).await;
            }
        })
    });
    world
}

fn get(world: &World, url: &str) -> Result<Vec<u8>, Error> {
    world.fetch(Request::new("GET", url)).map(|(_, body)| body)
}

/// Goal: TLS 1.2 and 1.3, by name and by address, from an authority of the operator's. Method: each.
#[test]
fn https_works_with_1_2_and_1_3() {
    let authority = Authority::new();
    for versions in [&[&TLS12][..], &[&TLS13], &[&TLS12, &TLS13]] {
        let acceptor = authority.server(certificate(&["server.example", "192.0.2.7"]), versions);
        let world = world(authority.trusted(), acceptor, OK, true);
        for url in [
            "https://server.example/",
            "https://SERVER.example.:443/",
            "https://192.0.2.7/",
        ] {
            assert_eq!(get(&world, url).unwrap(), b"body", "{url}");
        }
    }
}

/// Goal: every certificate that proves nothing is refused, each with its word, and no request is sent. Method: one each.
#[test]
fn reject_certificates_that_prove_nothing() {
    let authority = Authority::new();
    let both = &[&TLS12, &TLS13][..];
    let mut expired = certificate(&["server.example"]);
    expired.not_after = rcgen::date_time_ymd(2026, 5, 1);
    let mut future = certificate(&["server.example"]);
    future.not_before = rcgen::date_time_ymd(2026, 7, 1);
    let mut no_name = certificate(&[]);
    no_name
        .distinguished_name
        .push(rcgen::DnType::CommonName, "server.example");
    let mut authority_itself = certificate(&["server.example"]);
    authority_itself.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let mut for_clients = certificate(&["server.example"]);
    for_clients.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let stranger = Authority::new();
    for (acceptor, fault) in [
        (authority.server(expired, both), TlsFault::Expired),
        (authority.server(future, both), TlsFault::NotYetValid),
        (
            authority.server(certificate(&["other.example"]), both),
            TlsFault::WrongName,
        ),
        (
            authority.server(certificate(&["*.server.example"]), both),
            TlsFault::WrongName,
        ),
        (authority.server(no_name, both), TlsFault::WrongName),
        (
            authority.server(authority_itself, both),
            TlsFault::BadCertificate,
        ),
        (
            authority.server(for_clients, both),
            TlsFault::BadCertificate,
        ),
        (
            stranger.server(certificate(&["server.example"]), both),
            TlsFault::UnknownIssuer,
        ),
        (
            self_signed(&certificate(&["server.example"]), both),
            TlsFault::UnknownIssuer,
        ),
    ] {
        let world = world(authority.trusted(), acceptor, OK, true);
        assert_eq!(get(&world, "https://server.example/"), Err(fault.into()));
    }
}

/// Goal: an authority of one grant is trusted by no other. Method: Mozilla's roots alone; an address not in the names.
#[test]
fn reject_authorities_of_other_grants() {
    let authority = Authority::new();
    let acceptor = authority.server(certificate(&["server.example"]), &[&TLS13]);
    let public = TlsProfile::public(Calendar(TODAY)).unwrap();
    let untrusting = world(public, acceptor.clone(), OK, true);
    assert_eq!(
        get(&untrusting, "https://server.example/"),
        Err(TlsFault::UnknownIssuer.into())
    );
    let trusting = world(authority.trusted(), acceptor, OK, true);
    assert_eq!(
        get(&trusting, "https://192.0.2.7/"),
        Err(TlsFault::WrongName.into())
    );
}

/// Goal: without a date no certificate is valid. Method: a clock that does not know.
#[test]
fn reject_certificates_without_a_date() {
    struct Unknown;
    impl WallClock for Unknown {
        fn unix_time(&self) -> Option<nexus_types::Duration> {
            None
        }
    }
    let authority = Authority::new();
    let acceptor = authority.server(certificate(&["server.example"]), &[&TLS13]);
    let world = world(TlsProfile::public(Unknown).unwrap(), acceptor, OK, true);
    assert_eq!(
        get(&world, "https://server.example/"),
        Err(TlsFault::Clock.into())
    );
}

/// Goal: who speaks no TLS is told apart from who goes away. Method: plain HTTP, the end.
#[test]
fn reject_servers_without_tls() {
    for (answer, fault) in [
        ("HTTP/1.1 400 Bad Request\r\n\r\n", TlsFault::Protocol),
        ("", TlsFault::Closed),
    ] {
        let world = World::new();
        world.net.serve(move |mut stream| {
            Box::pin(async move {
                let _ = stream.read(&mut [0; 512]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            })
        });
        assert_eq!(get(&world, "https://server.example/"), Err(fault.into()));
    }
}

/// Goal: http/1.1 and nothing else. Method: a server that speaks h2 alone.
#[test]
fn reject_other_protocols() {
    let authority = Authority::new();
    let acceptor = authority.server(certificate(&["server.example"]), &[&TLS12]);
    let mut config = (**acceptor.config()).clone();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let world = world(
        authority.trusted(),
        TlsAcceptor::from(Arc::new(config)),
        OK,
        true,
    );
    assert_eq!(
        get(&world, "https://server.example/"),
        Err(TlsFault::Incompatible.into())
    );
}

/// Goal: a body that ends with the connection is whole only if TLS says so. Method: with and without close_notify; a body
/// with a length does not need it.
#[test]
fn reject_truncation_without_close_notify() {
    let authority = Authority::new();
    let open_end = "HTTP/1.1 200 OK\r\n\r\nbody";
    for (answer, says_goodbye, result) in [
        (open_end, true, Ok(b"body".to_vec())),
        (open_end, false, Err(BodyFault::Truncated.into())),
        (OK, false, Ok(b"body".to_vec())),
    ] {
        let acceptor = authority.server(certificate(&["server.example"]), &[&TLS12, &TLS13]);
        let world = world(authority.trusted(), acceptor, answer, says_goodbye);
        assert_eq!(get(&world, "https://server.example/"), result);
    }
}

/// Goal: an alert in a body is an error. Method: the server is given a broken record, and says so.
#[test]
fn reject_an_alert_in_a_body() {
    let authority = Authority::new();
    let acceptor = authority.server(certificate(&["server.example"]), &[&TLS13]);
    let world = World::new();
    world.net.with(|net| net.tls = authority.trusted());
    world.net.serve(move |stream| {
        let acceptor = acceptor.clone();
        Box::pin(async move {
            let mut stream = acceptor.accept(stream).await.unwrap();
            head(&mut stream).await;
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nb")
                .await;
            let _ = stream.flush().await;
            let (mut stream, mut tls) = stream.into_inner();
            let mut broken: &[u8] = b"\x17\x03\x03\x00\x20aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
            tls.read_tls(&mut broken).unwrap();
            tls.process_new_packets().unwrap_err();
            let mut alert = Vec::new();
            tls.write_tls(&mut alert).unwrap();
            let _ = stream.write_all(&alert).await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        })
    });
    assert_eq!(
        get(&world, "https://server.example/"),
        Err(TlsFault::Alert.into())
    );
}

/// Goal: from https there is no way down. Method: a redirect to http, on the same host too.
#[test]
fn reject_redirects_from_https_to_http() {
    let authority = Authority::new();
    let acceptor = authority.server(certificate(&["server.example"]), &[&TLS13]);
    let down = "HTTP/1.1 302 X\r\nlocation: http://server.example/\r\ncontent-length: 0\r\n\r\n";
    let world = world(authority.trusted(), acceptor, down, true);
    let follow = Options {
        redirects: Redirects::Follow(5),
        ..Options::default()
    };
    let error = world.fetch(get_with("https://server.example/", follow));
    assert_eq!(error, Err(RedirectFault::Downgrade.into()));
    assert_eq!(world.net.with(|net| net.judged.len()), 1);
}

/// Goal: a file that is no list of authorities is refused when it is read. Method: nothing, no PEM, no certificate.
#[test]
fn reject_files_that_are_no_roots() {
    let roots = |pem: &str| TlsProfile::with_roots(Calendar(TODAY), pem.as_bytes()).err();
    assert_eq!(roots(""), Some(RootsError::Empty));
    assert_eq!(roots("no PEM at all"), Some(RootsError::Empty));
    assert_eq!(
        roots("-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n"),
        Some(RootsError::Pem)
    );
    assert_eq!(
        roots("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        Some(RootsError::Certificate)
    );
}
