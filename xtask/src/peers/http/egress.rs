//! Requests of a guest, one after another: our client and its pool beside wasmtime's sender, which makes a connection for
//! each. Short turns go over the loopback. The long ones go over a wire, where the kernel keeps the port of a connection
//! that was closed for a minute, as it does for whatever is not on the same machine: there are 28,000.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::super::Programs;
use super::super::statistics::{median, spread};
use super::nginx::{self, Nginx};
use super::wire::{self, Wire};
use super::{SLACK, number, report};
use crate::bench::measured::fact;
use crate::step::run_quietly;
use crate::workspace::Workspace;

/// How long a short turn is and how many there are, and how long the one is that has to last.
const SHORT: u64 = 5;
const ROUNDS: usize = 5;
const SUSTAINED: u64 = 120;

/// The two sides, ours first.
const SIDES: [&str; 2] = ["nexus_host", "wasmtime"];

/// Requests a second and the 99th percentile in microseconds.
type Turn = (f64, f64);

pub(in crate::peers) fn run(workspace: &Workspace, programs: &Programs) -> Result<()> {
    let nginx = nginx::start(workspace, programs, 1, None)?;
    let target = &programs.target;
    let loopback = Server {
        nginx: &nginx,
        wire: None,
    };
    let mut taken = [Vec::new(), Vec::new()];
    for round in 0..=ROUNDS {
        for side in [round % 2, (round + 1) % 2] {
            let turn = loopback.asked(programs, side, SHORT)?;
            if round > 0 {
                taken[side].push(turn);
            }
        }
    }
    let column = |side: usize, which: fn(&Turn) -> f64| -> Vec<f64> {
        taken[side].iter().map(which).collect()
    };
    for (side, name) in SIDES.into_iter().enumerate() {
        let (rate, p99) = (column(side, |turn| turn.0), column(side, |turn| turn.1));
        let id = format!("http_egress_short_{name}");
        fact(target, &id, median(&rate), "/s", &spread(&rate))?;
        let id = format!("http_egress_p99_{name}");
        fact(target, &id, median(&p99), "µs", &spread(&p99))?;
    }
    let (ours, theirs) = (column(0, |turn| turn.0), column(1, |turn| turn.0));
    let ratios: Vec<f64> = ours.iter().zip(&theirs).map(|(a, b)| a / b).collect();
    fact(
        target,
        "http_egress_short_ratio",
        median(&ratios),
        "x",
        &format!("of each round; {}", spread(&ratios)),
    )?;
    drop(nginx);
    let wire = Wire::new()?;
    let nginx = nginx::start(workspace, programs, 1, Some(&wire))?;
    let elsewhere = Server {
        nginx: &nginx,
        wire: Some(&wire),
    };
    let mut sustained = [0.0; 2];
    for (side, name) in SIDES.into_iter().enumerate() {
        sustained[side] = elsewhere.asked(programs, side, SUSTAINED)?.0;
        let id = format!("http_egress_sustained_{name}");
        let note = format!("one run of {SUSTAINED} s");
        fact(target, &id, sustained[side], "/s", &note)?;
    }
    let [ours, theirs] = sustained;
    fact(
        target,
        "http_egress_sustained_ratio",
        ours / theirs,
        "x",
        &format!("one run of {SUSTAINED} s each"),
    )
}

/// Who is asked.
struct Server<'a> {
    nginx: &'a Nginx,
    wire: Option<&'a Wire>,
}

impl Server<'_> {
    fn asked(&self, programs: &Programs, side: usize, seconds: u64) -> Result<Turn> {
        let mut command = self.client(programs, side);
        command
            .args(["--seconds", &seconds.to_string()])
            .env("RUST_BACKTRACE", "0");
        if let Some(wire) = self.wire {
            command = wire.client(&command);
        }
        let said = run_quietly(&mut command, Duration::from_secs(seconds) + SLACK)?;
        let report = report(&said).context(SIDES[side])?;
        // Ours may not fail at all. Theirs may, in the long run: what was answered counts.
        ensure!(
            side == 1 || said.status.success(),
            "a request failed: {report}\n{}",
            said.tail()
        );
        Ok((number(&report, "per_s")?, number(&report, "p99_us")?))
    }

    /// The guest in one of the hosts.
    fn client(&self, programs: &Programs, side: usize) -> Command {
        let component = programs.component("http-burst.wasm");
        let host = match (self.wire, side) {
            (Some(_), _) => wire::SERVER,
            // What the loopback is called from within a node.
            (None, 0) => "host.internal",
            (None, _) => "127.0.0.1",
        };
        let server = format!("http://{host}:{}", self.nginx.http);
        let mut command = if side == 0 {
            let mut command = Command::new(&programs.host);
            let grant = format!("network.http.request=GET {server}/*");
            command
                .args(["run", "--quiet", "--allow-manifest"])
                .args(["--allow", &grant, "--state"])
                .arg(programs.state())
                .arg(&component)
                .arg("--");
            command
        } else {
            let mut command = Command::new(&programs.wasmtime);
            command
                .args(["run", "-C", "cache=y"])
                .args(["-S", "http=y", "-S", "inherit-network=y"])
                .arg(&component);
            command
        };
        command.arg(format!("{server}/small"));
        command
    }
}
