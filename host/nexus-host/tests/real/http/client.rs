//! Our client against four servers, in the clear and over both versions of TLS, by each interface an app may ask by.

use std::time::Instant;

use super::servers::{Kind, Server};
use super::{Ask, GUESTS, ORIGINS, Origin, PAGE, Place, UPLOAD, Way, body, network, sha256};

const TWO: [Way; 2] = [Way::User, Way::Tap];

/// A page comes whole, with its length said and in chunks; of HEAD nothing but the head does. One connection carries
/// all that a guest asks for in a row.
fn gets(server: &mut Server, kind: Kind, ask: (&str, Way, Origin)) {
    let (guest, way, origin) = ask;
    let place = server.place();
    let ask = Ask {
        place,
        guest,
        way,
        origin,
    };
    let whole = sha256(&body(PAGE));
    for path in ["/page", "/chunked"] {
        let (page, said) = ask.must("GET", path, &[]);
        assert_eq!(
            (sha256(&page), said),
            (whole.clone(), vec![(200, PAGE)]),
            "{kind:?}"
        );
        let (page, said) = ask.must("HEAD", path, &[]);
        assert_eq!((page.len(), said), (0, vec![(200, 0)]), "{kind:?}");
    }
    server.seen();
    let place = server.place();
    let ask = Ask {
        place,
        guest,
        way,
        origin,
    };
    for method in ["GET", "HEAD"] {
        let (_, said) = ask.must(method, "/page", &["--times", "5"]);
        assert_eq!(said.len(), 5, "{kind:?}");
    }
    let seen = server.seen();
    let of = |method: &str| {
        let asked = seen.iter().filter(|(_, what)| what.starts_with(method));
        let mut ports: Vec<_> = asked.map(|(port, _)| port).collect();
        let requests = ports.len();
        ports.dedup();
        (requests, ports.len())
    };
    // Requests, and connections that they came by.
    assert_eq!(
        (of("GET"), of("HEAD")),
        ((5, 1), (5, 1)),
        "{kind:?} {origin:?}: {seen:?}"
    );
}

/// An upload arrives whole, with its length said, in chunks, and where the server is asked first; one that is given up
/// is not taken for whole, and neither that nor a download given up is in the way of who asks next.
fn puts(server: &Server, kind: Kind, ask: (&str, Way, Origin)) {
    let (guest, way, origin) = ask;
    let place = server.place();
    let ask = Ask {
        place,
        guest,
        way,
        origin,
    };
    let whole = sha256(&body(UPLOAD));
    let length = UPLOAD.to_string();
    let about = |what: &str| format!("{kind:?} {guest} {way:?} {origin:?}: {what}");
    for (number, words) in [
        &["--send", &length, "--say", &length][..],
        &["--send", &length],
        &[
            "--send",
            &length,
            "--say",
            &length,
            "--field",
            "expect:100-continue",
        ],
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("{}-{way:?}-{}-{number}", guest.replace('/', "-"), origin.1);
        let (_, said) = ask.must("PUT", &format!("/put/{name}"), words);
        assert!(matches!(said[..], [(201 | 204, _)]), "{}", about("answer"));
        let taken = place.taken(&name).map(|taken| sha256(&taken));
        assert_eq!(
            taken.as_ref(),
            Some(&whole),
            "{}",
            about(&format!("{words:?}"))
        );
        std::fs::remove_file(place.path().join("www/put").join(name)).unwrap();
    }
    let cut = ask.run("PUT", "/put/cut", &["--send", "1000000", "--say", &length]);
    assert_eq!(cut.code, 1, "{}", about(&cut.err));
    assert!(place.taken("cut").is_none(), "{}", about("cut"));
    let (page, _) = ask.must("GET", "/page", &["--take", "1000000"]);
    assert!(body(PAGE).starts_with(&page), "{}", about("the beginning"));
    let (page, _) = ask.must("GET", "/page", &[]);
    assert_eq!(
        sha256(&page),
        sha256(&body(PAGE)),
        "{}",
        about("afterwards")
    );
}

/// All of it, in the clear and over TLS: by each interface on the one network, by ours on the other.
fn serves(kind: Kind) {
    let _network = network();
    let mut server = kind.start(Place::new());
    for way in TWO {
        // What is below the client is the same for each interface.
        let guests = match way {
            Way::User => &GUESTS[..],
            Way::Tap => &GUESTS[..1],
        };
        for origin in ORIGINS {
            for guest in guests {
                let begun = Instant::now();
                gets(&mut server, kind, (guest, way, origin));
                let gets = begun.elapsed();
                puts(&server, kind, (guest, way, origin));
                println!(
                    "{kind:?}, {}, {way:?}, {guest}: pages in {gets:.1?}, uploads of {UPLOAD} bytes in {:.1?}",
                    origin.2,
                    begun.elapsed() - gets,
                );
            }
        }
    }
}

/// Goal: nginx and our client understand each other. Method: see [`gets`] and [`puts`].
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn http_of_nginx() {
    serves(Kind::Nginx);
}

/// The same of haproxy, with nginx behind it.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn http_of_haproxy() {
    serves(Kind::Haproxy);
}

/// The same of Node's http and https.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn http_of_node() {
    serves(Kind::Node);
}

/// The same of Python's http.server, also over its ssl.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn http_of_python() {
    serves(Kind::Python);
}
