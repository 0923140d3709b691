//! Bytes there and back, whole and in order.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Instant;

use nexus_testbed::{Network, PATIENCE};

use crate::peer::{MIB, V4, V6, connect, echo, echo_on, start_echo};
use crate::run::file;

/// Sends bytes to an echo on `net` and takes them back, once in each family. Says how fast that was.
fn echo_both_families(network: &Network, net: &str, bytes: usize) {
    for (listen, to) in [("0.0.0.0:7777", V4), ("[::]:7777", V6)] {
        let app = echo_on(net, &[], listen);
        let begun = Instant::now();
        network.far().spawn(move || echo(to, bytes)).join().unwrap();
        let took = begun.elapsed();
        let rate = bytes as f64 * 8e-9 / took.as_secs_f64();
        println!(
            "{net}: {} MiB to {to} and back in {took:.1?}, {rate:.2} Gbit/s each way at once",
            bytes / MIB
        );
        app.end();
    }
}

/// Goal: an app on a TAP interface serves the kernel, both families, byte for byte.
/// Method: 1 GiB there and back in each, SHA-256 of both directions.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn an_app_on_tap_echoes_a_gibibyte() {
    echo_both_families(&Network::tap(1500), "tap:nx0", 1024 * MIB);
}

/// Goal: the same beside the kernel's own stack on an Ethernet interface. Method: a veth pair, its
/// far end in another namespace, where the client is.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn an_app_on_a_packet_socket_echoes_a_gibibyte() {
    echo_both_families(&Network::veth(), "packet:nx0", 1024 * MIB);
}

/// Goal: packets as long as the device allows. Method: the same at MTU 9000, and at the largest of a TAP interface.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn an_app_on_tap_uses_a_large_mtu() {
    for mtu in [9_000, 65_521] {
        let _network = Network::tap(mtu);
        let app = echo_on("tap:nx0", &[], "0.0.0.0:7777");
        echo(V4, 64 * MIB);
        app.end();
    }
}

/// Goal: 1,000 connections at once. Method: all open before the first is used.
fn serve_a_thousand(network: &Network, net: &str) {
    let limits = "[limits]\nsockets = 1100\nbytes-in-flight = \"256MiB\"\n";
    let policy = file(limits);
    let manifest = file(&format!(
        "[app]\nid = \"echo\"\nclass = \"system\"\n{limits}\
         [capabilities.\"network.tcp.listen\"]\nallow = [\"any:7777\"]\n",
    ));
    let paths = [&manifest, &policy].map(|file| file.path().display().to_string());
    let more = ["--manifest", &paths[0], "--policy", &paths[1]];
    let app = start_echo(net, &more, "0.0.0.0:7777 1000").prints("listening on");
    network.far().spawn(use_a_thousand).join().unwrap();
    app.end();
}

fn use_a_thousand() {
    let mut streams: Vec<TcpStream> = (0..1_000).map(|_| connect(V4)).collect();
    for (number, stream) in streams.iter_mut().enumerate() {
        stream.write_all(&number.to_le_bytes()).unwrap();
    }
    for (number, stream) in streams.iter_mut().enumerate() {
        let mut answer = [0; 8];
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(usize::from_le_bytes(answer), number);
    }
}

#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn an_app_on_tap_serves_a_thousand_at_once() {
    serve_a_thousand(&Network::tap(1500), "tap:nx0");
}

#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn an_app_on_a_packet_socket_serves_a_thousand_at_once() {
    serve_a_thousand(&Network::veth(), "packet:nx0");
}
