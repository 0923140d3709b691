//! The probes of wasi:sockets on a TAP interface, against the kernel's servers.

#[path = "../conformance/far.rs"]
mod far;
#[path = "../conformance/names.rs"]
mod names;

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::thread;

use nexus_testbed::Network;

use crate::guests;
use crate::run::{Run, file};

const KERNEL: &str = "10.77.0.1";
/// Where names are asked for: that address no rule can name.
const NAMES: &str = "10.77.0.3";
const NAME: &str = "far.example";

/// Looks names up for who asks, for as long as this process lives.
fn serve_names() {
    let socket = UdpSocket::bind((NAMES, 53)).unwrap();
    thread::spawn(move || {
        let mut part = [0; 1_500];
        while let Ok((count, from)) = socket.recv_from(&mut part) {
            let known = [(NAME, KERNEL.parse().unwrap())];
            if let Some(answer) = names::answer(&part[..count], &known) {
                let _ = socket.send_to(&answer, from);
            }
        }
    });
}

/// The functions that docs/conformance.md says were seen: its rows that are no hole.
fn rows() -> BTreeSet<String> {
    let page = guests::root().join("docs/conformance.md");
    let page = std::fs::read_to_string(page).unwrap();
    let row = |line: &str| {
        let name = line.strip_prefix("| `")?.split_once('`')?.0;
        line.contains("`--real`").then(|| name.to_owned())
    };
    page.lines().filter_map(row).collect()
}

/// Goal: every row of docs/conformance.md holds on a TAP interface, too. Method: all probes of both versions against
/// servers of the kernel's; what they say is the page's rows, each ok.
#[test]
#[ignore = "needs root: cargo xtask test --real"]
fn every_function_of_wasi_sockets_on_tap() {
    let network = Network::tap(1500);
    network
        .far()
        .run(&format!("ip addr add {NAMES}/24 dev nx0"));
    let (tcp, udp) = far::echo(KERNEL);
    serve_names();
    let policy = file(&far::policy(&format!(
        r#""loopback:*", "{NAME}:*", "lan:*""#
    )));
    let mut seen = BTreeSet::new();
    for guest in ["conformance/sockets_p2", "conformance/sockets_p3"] {
        let run = Run::start(
            guest,
            &[
                "--net",
                "tap:nx0",
                "--address",
                "10.77.0.2/24,fd77::2/64",
                "--dns",
                NAMES,
                "--allow-manifest",
                "--policy",
                &policy.path().display().to_string(),
                "--timeout",
                "120s",
                "--",
                KERNEL,
                &tcp.to_string(),
                &udp.to_string(),
                NAME,
                "all",
            ],
        );
        let (code, out, err) = run.wait();
        assert_eq!(code, 0, "{guest}\n{out}{err}");
        seen.extend(
            out.lines()
                .filter_map(|line| line.strip_prefix("ok "))
                .map(str::to_owned),
        );
    }
    println!("tap: {} functions", seen.len());
    assert_eq!(seen, rows());
}
