//! A large download by TLS: a guest through our client, beside the same rustls and hyper in an ordinary program over
//! the kernel's TCP.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::super::Programs;
use super::super::statistics::{median, spread};
use super::{SLACK, nginx, number, report};
use crate::bench::measured::fact;
use crate::step::{run as run_command, run_quietly};
use crate::workspace::Workspace;

const ROUNDS: usize = 5;

/// What one response has: what the default limits let through. All requests are on one connection.
const BULK_BYTES: usize = 8 << 20;
const REQUESTS: u32 = 100;

/// The two sides, ours first.
const SIDES: [&str; 2] = ["guest", "native"];

pub(in crate::peers) fn run(workspace: &Workspace, programs: &Programs) -> Result<()> {
    run_command(workspace.cargo().args([
        "build",
        "--release",
        "-p",
        "nexus-bench",
        "--bin",
        "https-client",
    ]))?;
    let nginx = nginx::start(workspace, programs, BULK_BYTES, None)?;
    let ask = |side: usize| {
        let mut command = if side == 0 {
            let authority = format!("host.internal:{}", nginx.https);
            let grant = format!("network.http.request=GET https://{authority}/*");
            let mut command = Command::new(&programs.host);
            command
                .args([
                    "run",
                    "--quiet",
                    "--allow-manifest",
                    "--allow",
                    &grant,
                    "--ca",
                ])
                .arg(&nginx.certificate)
                .arg("--state")
                .arg(programs.state())
                .arg(programs.component("http-burst.wasm"))
                .arg("--")
                .arg(format!("https://{authority}/bulk"))
                .args(["--requests", &REQUESTS.to_string()]);
            command
        } else {
            let mut command = Command::new(programs.target.join("release/https-client"));
            command
                .arg(&nginx.certificate)
                .arg(format!("127.0.0.1:{}", nginx.https))
                .args(["/bulk", &REQUESTS.to_string()]);
            command
        };
        command.env("RUST_BACKTRACE", "0");
        let said = run_quietly(&mut command, SLACK)?;
        let report = report(&said)?;
        let whole = number(&report, "bytes")? as u64 == BULK_BYTES as u64 * u64::from(REQUESTS);
        ensure!(said.status.success() && whole, "{report}\n{}", said.tail());
        number(&report, "gbit_per_s")
    };
    let mut taken = [Vec::new(), Vec::new()];
    for round in 0..=ROUNDS {
        for side in [round % 2, (round + 1) % 2] {
            let speed = ask(side).with_context(|| SIDES[side].to_owned())?;
            if round > 0 {
                taken[side].push(speed);
            }
        }
    }
    let target = &programs.target;
    for (name, values) in SIDES.into_iter().zip(&taken) {
        let id = format!("http_tls_bulk_{name}");
        fact(target, &id, median(values), "Gbit/s", &spread(values))?;
    }
    let [ours, theirs] = &taken;
    let ratios: Vec<f64> = ours.iter().zip(theirs).map(|(a, b)| a / b).collect();
    let note = format!("of each round; {}", spread(&ratios));
    fact(target, "http_tls_bulk_ratio", median(&ratios), "x", &note)
}
