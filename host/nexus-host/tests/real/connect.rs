//! An app that connects.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;

use nexus_testbed::Network;

use crate::run::Run;

/// Goal: an app that connects reaches the kernel's server, by address. Method: fetch a page.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn an_app_on_tap_fetches_from_the_kernel() {
    let _network = Network::tap(1500);
    let server = TcpListener::bind("10.77.0.1:8000").unwrap();
    let serving = thread::spawn(move || {
        let (mut stream, from) = server.accept().unwrap();
        let mut request = [0; 1024];
        let read = stream.read(&mut request).unwrap();
        assert!(request[..read].starts_with(b"GET / HTTP/1.0\r\n"));
        stream
            .write_all(b"HTTP/1.0 200 OK\r\n\r\nthe page\n")
            .unwrap();
        from
    });
    let run = Run::start(
        "fetch",
        &[
            "--net",
            "tap:nx0",
            "--address",
            "10.77.0.2/24",
            "--allow",
            "network.tcp.connect=lan:8000",
            "--",
            "http://10.77.0.1:8000/",
        ],
    );
    let (code, out, err) = run.wait();
    assert_eq!((code, &*out), (0, "the page\n"), "{err}");
    assert_eq!(serving.join().unwrap().ip().to_string(), "10.77.0.2");
}
