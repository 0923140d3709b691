//! `openssl s_server`, which knows TLS and next to nothing of HTTP: files by HTTP/1.0 (`-WWW`), and files that are whole
//! responses (`-HTTP`).

use std::fs;

use super::{Ask, GUESTS, PAGE, Place, Way, body, network, sha256};
use crate::peer::connect;
use crate::run::Run;

/// Goal: a page comes whole over a TLS that is openssl's, of each version and cipher, and a server's own words arrive as
/// they are. Method: each version with what it is asked for; SHA-256.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn https_of_openssl() {
    let _network = network();
    let place = Place::new();
    let page = body(PAGE);
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {PAGE}\r\nconnection: close\r\n\r\n");
    fs::write(
        place.path().join("answer"),
        [answer.as_bytes(), &page].concat(),
    )
    .unwrap();
    fs::write(place.path().join("page"), &page).unwrap();
    let chacha = ["-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"];
    let versions: [(&str, &[&str]); 4] = [
        ("-tls1_2", &["-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"]),
        ("-tls1_2", &chacha),
        ("-tls1_3", &["-ciphersuites", "TLS_AES_256_GCM_SHA384"]),
        (
            "-tls1_3",
            &["-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"],
        ),
    ];
    for (version, ciphers) in versions {
        for (how, path) in [("-WWW", "/page"), ("-HTTP", "/answer")] {
            let port = 8443;
            let (cert, key) = (place.file("cert.pem"), place.file("key.pem"));
            let command = "cd \"$1\" && shift && exec openssl s_server -quiet -accept 8443 \"$@\"";
            let folder = place.path().display().to_string();
            let mut words = vec!["sh", "-c", command, "sh", &folder, how, version];
            words.extend(ciphers);
            words.extend(["-cert", &cert, "-key", &key]);
            let server = Run::program(&words);
            // It serves one after another; this one says nothing.
            drop(connect(&format!("127.0.0.1:{port}")));
            for guest in GUESTS {
                for way in [Way::User, Way::Tap] {
                    let origin = ("https", port, version);
                    let place = &place;
                    let ask = Ask {
                        place,
                        guest,
                        way,
                        origin,
                    };
                    let (got, said) = ask.must("GET", path, &[]);
                    assert_eq!(said, [(200, PAGE)], "{how} {version} {ciphers:?}");
                    assert_eq!(sha256(&got), sha256(&page), "{how} {version} {ciphers:?}");
                }
            }
            drop(server);
        }
    }
}

/// Goal: a server that speaks no version later than 1.1 is refused as such. Method: openssl, told to.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn reject_tls_1_1_of_openssl() {
    let _network = network();
    let place = Place::new();
    let (cert, key) = (place.file("cert.pem"), place.file("key.pem"));
    let words = [
        "openssl", "s_server", "-quiet", "-accept", "8443", "-WWW", "-tls1_1",
    ];
    let more = ["-cipher", "ALL:@SECLEVEL=0", "-cert", &cert, "-key", &key];
    let _server = Run::program(&[&words[..], &more].concat());
    drop(connect("127.0.0.1:8443"));
    let ask = Ask {
        place: &place,
        guest: GUESTS[0],
        way: Way::User,
        origin: ("https", 8443, "TLS 1.1"),
    };
    let answer = ask.run("GET", "/page", &[]);
    assert_eq!((answer.code, answer.out.len()), (1, 0), "{}", answer.err);
    assert!(answer.err.contains("tls"), "{}", answer.err);
}
