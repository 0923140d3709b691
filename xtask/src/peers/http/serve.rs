//! `nexus-host serve` beside `wasmtime serve`: the same component, asked by wrk.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::super::Programs;
use super::super::statistics::{median, spread};
use super::{SLACK, ensure_program};
use crate::bench::measured::fact;
use crate::running::{Running, free_port};
use crate::step::run_quietly;

/// How often each side is asked, and for how long.
const ROUNDS: usize = 5;
const SECONDS: u64 = 6;
const CONNECTIONS: u32 = 64;

/// A component that answers, and what it is asked for.
struct Served {
    id: &'static str,
    component: &'static str,
    path: &'static str,
}

const SERVED: &[Served] = &[
    Served {
        id: "p2",
        component: "http-api.wasm",
        path: "/hello/bob",
    },
    Served {
        id: "p3",
        component: "probes/http_serve_p3.wasm",
        path: "/hello",
    },
];

/// The two sides, ours first.
const SIDES: [&str; 2] = ["nexus_host", "wasmtime"];

/// What one turn of wrk came to.
struct Turn {
    per_second: f64,
    /// Milliseconds.
    p99: f64,
    /// The server's, microseconds a request.
    cpu: f64,
}

pub(in crate::peers) fn run(programs: &Programs) -> Result<()> {
    ensure_program("wrk", "wrk")?;
    for served in SERVED {
        measure(programs, served)?;
    }
    Ok(())
}

fn measure(programs: &Programs, served: &Served) -> Result<()> {
    let component = programs.component(served.component);
    let ports = [free_port()?, free_port()?];
    let address = |side: usize| format!("127.0.0.1:{}", ports[side]);
    let mut ours = Command::new(&programs.host);
    ours.args(["serve", "--access-log", "off", "--listen"])
        .arg(address(0))
        .arg("--state")
        .arg(programs.state())
        .arg(&component);
    let mut theirs = Command::new(&programs.wasmtime);
    theirs
        .args(["serve", "-C", "cache=y", "-S", "cli=y", "--addr"])
        .arg(address(1));
    if served.id == "p3" {
        theirs.args(["-S", "p3=y", "-W", "component-model-async=y"]);
    }
    theirs.arg(&component);
    let mut running = Vec::new();
    for (mut command, says) in [(ours, "serving"), (theirs, "Serving HTTP")] {
        command.env("RUST_BACKTRACE", "0");
        let mut server = Running::start(command)?;
        server.wait_for_line(says)?;
        running.push(server);
    }
    let mut taken = [Vec::new(), Vec::new()];
    // The first round is not counted. Whoever goes second finds the machine as the first left it: they take turns at
    // that, too.
    for round in 0..=ROUNDS {
        for side in [round % 2, (round + 1) % 2] {
            let url = format!("http://{}{}", address(side), served.path);
            let turn = ask(running[side].pid(), &url)
                .with_context(|| format!("{} {}", SIDES[side], served.id))?;
            if round > 0 {
                taken[side].push(turn);
            }
        }
    }
    tell(programs, served.id, &taken)
}

/// A column of the turns: its name, its unit, and where it is.
type Column = (&'static str, &'static str, fn(&Turn) -> f64);

const COLUMNS: [Column; 3] = [
    ("requests", "/s", |turn| turn.per_second),
    ("p99", "ms", |turn| turn.p99),
    ("cpu", "µs a request", |turn| turn.cpu),
];

fn tell(programs: &Programs, id: &str, taken: &[Vec<Turn>; 2]) -> Result<()> {
    let target = &programs.target;
    let of = |side: usize, what: fn(&Turn) -> f64| -> Vec<f64> {
        taken[side].iter().map(what).collect()
    };
    for (kind, unit, what) in COLUMNS {
        let [ours, theirs] = [of(0, what), of(1, what)];
        for (name, values) in SIDES.into_iter().zip([&ours, &theirs]) {
            let id = format!("http_serve_{id}_{kind}_{name}");
            fact(target, &id, median(values), unit, &spread(values))?;
        }
        let ratios: Vec<f64> = ours.iter().zip(&theirs).map(|(a, b)| a / b).collect();
        let id = format!("http_serve_{id}_{kind}_ratio");
        let note = format!("of each round; {}", spread(&ratios));
        fact(target, &id, median(&ratios), "x", &note)?;
    }
    Ok(())
}

fn ask(server: u32, url: &str) -> Result<Turn> {
    let before = cpu(server)?;
    let mut wrk = Command::new("wrk");
    wrk.args(["--latency", "--threads", "1"])
        .args(["--connections", &CONNECTIONS.to_string()])
        .args(["--duration", &format!("{SECONDS}s")])
        .arg(url);
    let said = run_quietly(&mut wrk, Duration::from_secs(SECONDS) + SLACK)?;
    ensure!(said.status.success(), "wrk:\n{}", said.tail());
    let cpu = cpu(server)?.saturating_sub(before);
    let (requests, per_second, p99) = read(&said.stdout)?;
    Ok(Turn {
        per_second,
        p99,
        cpu: cpu.as_secs_f64() * 1e6 / requests,
    })
}

/// Requests, requests a second and the 99th percentile in milliseconds, of what wrk says. An answer that is none, or a
/// connection that broke, is an error: a server could be quick with those.
fn read(said: &str) -> Result<(f64, f64, f64)> {
    let bad = ["Non-2xx", "Socket errors"];
    let wrong = said
        .lines()
        .find(|line| bad.iter().any(|bad| line.contains(bad)));
    ensure!(wrong.is_none(), "not every request was answered: {said}");
    let after = |word: &str| -> Option<&str> {
        let line = said.lines().find(|line| line.contains(word))?;
        line.split_whitespace()
            .skip_while(|each| !each.contains(word))
            .nth(1)
    };
    let p99 = after("99%").and_then(milliseconds);
    let per_second = after("Requests/sec:").and_then(|number| number.parse().ok());
    let requests = said.lines().find_map(|line| {
        let (count, _) = line.split_once(" requests in ")?;
        count.trim().parse().ok()
    });
    requests
        .zip(per_second)
        .zip(p99)
        .map(|((requests, per_second), p99)| (requests, per_second, p99))
        .with_context(|| format!("wrk says it in words we do not know: {said}"))
}

/// `1.16ms`, `980.00us`, `1.02s`
fn milliseconds(text: &str) -> Option<f64> {
    let units = [("us", 1e-3), ("ms", 1.0), ("s", 1e3)];
    units.into_iter().find_map(|(unit, factor)| {
        let number: f64 = text.strip_suffix(unit)?.parse().ok()?;
        Some(number * factor)
    })
}

/// What a process has computed, its threads and the kernel for it included (proc(5): fields 14 and 15 of `stat`, in
/// hundredths of a second).
fn cpu(process: u32) -> Result<Duration> {
    let text = fs::read_to_string(format!("/proc/{process}/stat"))
        .context("a server that is measured has ended")?;
    let fields = text.rsplit(')').next().unwrap_or_default();
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum();
    Ok(Duration::from_millis(ticks * 10))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = "Running 5s test @ http://127.0.0.1:8081/hello\n\
        \x20 Latency Distribution\n     50%    1.16ms\n     75%    1.50ms\n     99%    6.58ms\n\
        \x20 174472 requests in 5.00s, 20.30MB read\n\
        Requests/sec:  34894.36\nTransfer/sec:      4.06MB\n";

    #[test]
    fn what_wrk_says_is_read() {
        let (requests, per_second, p99) = read(SAID).expect("understood");
        assert!((requests - 174_472.0).abs() < 1e-9);
        assert!((per_second - 34_894.36).abs() < 1e-9);
        assert!((p99 - 6.58).abs() < 1e-9);
        assert_eq!(milliseconds("980.00us"), Some(0.98));
        assert_eq!(milliseconds("1.02s"), Some(1_020.0));
    }

    #[test]
    fn reject_a_turn_with_requests_that_failed() {
        let bad = format!("{SAID}  Non-2xx or 3xx responses: 7\n");
        assert!(read(&bad).is_err());
        let bad = format!("{SAID}  Socket errors: connect 0, read 3, write 0, timeout 0\n");
        assert!(read(&bad).is_err());
        assert!(read("unable to connect").is_err());
    }
}
