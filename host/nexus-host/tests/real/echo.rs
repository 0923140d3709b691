//! Bytes there and back, whole and in order.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use nexus_testbed::{Network, PATIENCE};

use crate::peer::{MIB, V4, V6, connect, echo, echo_on, start_echo};
use crate::run::file;

/// Goal: an app on a TAP interface serves the kernel, both families, byte for byte.
/// Method: 1 GiB there and back over IPv4, 64 MiB over IPv6, SHA-256 of both directions.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn an_app_on_tap_echoes_a_gibibyte() {
    let _network = Network::tap(1500);
    let app = echo_on("tap:nx0", &[], "0.0.0.0:7777");
    echo(V4, 1024 * MIB);
    app.end();
    let app = echo_on("tap:nx0", &[], "[::]:7777");
    echo(V6, 64 * MIB);
    app.end();
}

/// Goal: packets as long as the device allows. Method: the same at MTU 9000.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn an_app_on_tap_uses_a_large_mtu() {
    let _network = Network::tap(9000);
    let app = echo_on("tap:nx0", &[], "0.0.0.0:7777");
    echo(V4, 64 * MIB);
    app.end();
}

/// Goal: the same beside the kernel's own stack on an Ethernet interface. Method: a veth pair, its
/// far end in another namespace, where the client is.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn an_app_on_a_packet_socket_echoes() {
    let network = Network::veth();
    let app = echo_on("packet:nx0", &[], "0.0.0.0:7777");
    let v4 = network.far().spawn(|| echo(V4, 64 * MIB));
    v4.join().unwrap();
    app.end();
    let app = echo_on("packet:nx0", &[], "[::]:7777");
    network.far().spawn(|| echo(V6, 16 * MIB)).join().unwrap();
    app.end();
}

/// Goal: 1,000 connections at once. Method: all open before the first is used.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn an_app_on_tap_serves_a_thousand_at_once() {
    let _network = Network::tap(1500);
    let limits = "[limits]\nsockets = 1100\nbytes-in-flight = \"256MiB\"\n";
    let policy = file(limits);
    let manifest = file(&format!(
        "[app]\nid = \"echo\"\nclass = \"system\"\n{limits}\
         [capabilities.\"network.tcp.listen\"]\nallow = [\"any:7777\"]\n",
    ));
    let paths = [&manifest, &policy].map(|file| file.path().display().to_string());
    let more = ["--manifest", &paths[0], "--policy", &paths[1]];
    let app = start_echo("tap:nx0", &more, "0.0.0.0:7777 1000").prints("listening on");
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
    app.end();
}
