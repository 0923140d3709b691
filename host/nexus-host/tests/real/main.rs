//! Apps on real interfaces, against the kernel's own TCP: a namespace a test, made and removed by it.
//!
//! They need root, /dev/net/tun and iproute2: `cargo xtask test --real`, or
//! `cargo test -p nexus-host --test real -- --ignored`.

#[path = "../guests/mod.rs"]
mod guests;
mod place;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use place::{Namespace, PATIENCE, Run};
use sha2::{Digest as _, Sha256};

const MIB: usize = 1 << 20;

/// What is sent: no two of its blocks are the same, so that a lost, doubled or moved one shows.
fn block(number: usize, seed: u64) -> Vec<u8> {
    let mut state = seed ^ (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut block = Vec::with_capacity(64 << 10);
    while block.len() < 64 << 10 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        block.extend_from_slice(&state.to_le_bytes());
    }
    block
}

/// Sends `bytes` to an echo and checks by SHA-256 that all of it comes back, in order.
fn echo(to: &str, bytes: usize) {
    let stream = place::connect(to);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut writer = stream.try_clone().unwrap();
    let sending = thread::spawn(move || {
        let mut sent = Sha256::new();
        for number in 0..bytes.div_ceil(64 << 10) {
            let block = block(number, 7);
            let part = &block[..block.len().min(bytes - number * (64 << 10))];
            sent.update(part);
            writer.write_all(part).expect("the echo takes it");
        }
        writer.shutdown(Shutdown::Write).unwrap();
        sent.finalize()
    });
    let mut reader = stream;
    let (mut received, mut count) = (Sha256::new(), 0);
    let mut part = vec![0; 256 << 10];
    loop {
        match reader.read(&mut part).expect("the echo answers") {
            0 => break,
            read => {
                received.update(&part[..read]);
                count += read;
            }
        }
    }
    assert_eq!(count, bytes);
    assert_eq!(received.finalize(), sending.join().unwrap());
}

const V4: &str = "10.77.0.2:7777";
const V6: &str = "[fd77::2]:7777";

/// An echo that listens on the interface.
fn echo_on(net: &str, more: &[&str], address: &str) -> Run {
    start_echo(net, more, address).prints("listening on")
}

/// An echo on the interface; `.1` and `::1` are the kernel's.
fn start_echo(net: &str, more: &[&str], to_echo: &str) -> Run {
    let mut arguments = vec![
        "--net",
        net,
        "--address",
        "10.77.0.2/24",
        "--address",
        "fd77::2/64",
        "--allow-manifest",
        "--allow",
        "network.tcp.listen=any:7777",
        "--timeout",
        "120s",
    ];
    arguments.extend(more);
    arguments.push("--");
    arguments.extend(to_echo.split(' '));
    Run::start("tcp-echo", &arguments)
}

/// Goal: an app on a TAP interface serves the kernel, both families, byte for byte.
/// Method: 1 GiB there and back over IPv4, 64 MiB over IPv6, SHA-256 of both directions.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn an_app_on_tap_echoes_a_gibibyte() {
    let _place = Namespace::with_tap(1500);
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
    let _place = Namespace::with_tap(9000);
    let app = echo_on("tap:nx0", &[], "0.0.0.0:7777");
    echo(V4, 64 * MIB);
    app.end();
}

/// Goal: the same beside the kernel's own stack on an Ethernet interface. Method: a veth pair, its
/// far end in another namespace, where the client is.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn an_app_on_a_packet_socket_echoes() {
    let place = Namespace::with_veth();
    let app = echo_on("packet:nx0", &[], "0.0.0.0:7777");
    let v4 = place.far(|| echo(V4, 64 * MIB));
    v4.join().unwrap();
    app.end();
    let app = echo_on("packet:nx0", &[], "[::]:7777");
    place.far(|| echo(V6, 16 * MIB)).join().unwrap();
    app.end();
}

/// Goal: an app that connects reaches the kernel's server, by address. Method: fetch a page.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn an_app_on_tap_fetches_from_the_kernel() {
    let _place = Namespace::with_tap(1500);
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

/// Goal: 1,000 connections at once. Method: all open before the first is used.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn an_app_on_tap_serves_a_thousand_at_once() {
    let _place = Namespace::with_tap(1500);
    let limits = "[limits]\nsockets = 1100\nbytes-in-flight = \"256MiB\"\n";
    let policy = place::file(limits);
    let manifest = place::file(&format!(
        "[app]\nid = \"echo\"\nclass = \"system\"\n{limits}\
         [capabilities.\"network.tcp.listen\"]\nallow = [\"any:7777\"]\n",
    ));
    let paths = [&manifest, &policy].map(|file| file.path().display().to_string());
    let more = ["--manifest", &paths[0], "--policy", &paths[1]];
    let app = start_echo("tap:nx0", &more, "0.0.0.0:7777 1000").prints("listening on");
    let mut streams: Vec<TcpStream> = (0..1_000).map(|_| place::connect(V4)).collect();
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

/// Goal: a capture holds the conversation. Method: tcpdump, which is not ours, reads it.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn a_capture_shows_the_conversation() {
    let _place = Namespace::with_tap(1500);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("f.pcapng").display().to_string();
    let app = echo_on("tap:nx0", &["--pcap", &file], "0.0.0.0:7777");
    echo(V4, 1000);
    app.end();
    let read = place::output(&["tcpdump", "-n", "-r", &file, "tcp port 7777"]);
    for flags in ["Flags [S]", "Flags [S.]", "Flags [P.]", "Flags [F.]"] {
        assert!(read.contains(flags), "{flags} is not in\n{read}");
    }
}

/// Goal: an interface that goes, in whichever way, is said once and ends no app. Method: down, up,
/// then deleted while the app listens.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn an_interface_that_vanishes_is_said() {
    let place = Namespace::with_tap(1500);
    let mut app = echo_on("tap:nx0", &[], "0.0.0.0:7777");
    place.run("ip link set nx0 down");
    app.says("the interface is down");
    place.run("ip link set nx0 up");
    app.says("the interface is up");
    echo(V4, MIB);
    place.run("ip link del nx0");
    app.says("the interface nx0 is gone");
    assert!(app.runs());
    app.end();
}

/// Goal: what cannot be opened is refused before the app runs, with what to do. Method: each cause.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn reject_interfaces_that_cannot_be_had() {
    let _place = Namespace::with_tap(1500);
    for (net, mtu, says) in [
        ("packet:missing0", None, "there is no interface"),
        ("packet:lo", None, "lo"),
        ("tap:nx0", Some("9000"), "MTU"),
    ] {
        let mut more = vec![];
        if let Some(mtu) = mtu {
            more.extend(["--mtu", mtu]);
        }
        let (code, out, err) = start_echo(net, &more, "0.0.0.0:7777").wait();
        assert_eq!((code, &*out), (1, ""), "{net}: {err}");
        assert!(err.contains(says), "{net}: {err}");
    }
    let app = echo_on("tap:nx0", &[], "0.0.0.0:7777");
    let (code, _, err) = start_echo("tap:nx0", &[], "0.0.0.0:7777").wait();
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("another program"), "{err}");
    app.end();
}
