//! A whole run of `hello.wasm`, its compiled code cached: wall time and peak memory.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use super::Programs;
use super::statistics::{median, spread};
use crate::bench::measured::fact;
use crate::step::show_command;

/// Runs of each that are timed, and of which the memory is taken.
const TIMED: usize = 101;
const WEIGHED: usize = 15;

/// What tells the peak memory of a child: GNU time, by wait4. As a child of xtask itself it would begin with
/// xtask's own, which the kernel carries over when a program is started.
const TIME: &str = "/usr/bin/time";

pub(super) fn run(programs: &Programs) -> Result<()> {
    ensure!(
        Path::new(TIME).is_file(),
        "{TIME} is missing: install the package `time` (GNU time)"
    );
    let hello = programs.component("hello.wasm");
    let ours = || {
        let mut command = Command::new(&programs.host);
        command
            .args(["run", "--state"])
            .arg(programs.state())
            .arg(&hello);
        command
    };
    let theirs = || {
        let mut command = Command::new(&programs.wasmtime);
        command.args(["run", "-C", "cache=y"]).arg(&hello);
        command
    };
    // The first runs compile.
    for mut command in [ours(), theirs(), ours(), theirs()] {
        time(&mut command)?;
    }
    let mut wall = [Vec::new(), Vec::new()];
    let sides: [&dyn Fn() -> Command; 2] = [&ours, &theirs];
    for round in 0..TIMED {
        // Whoever goes second finds the machine as the first left it: they take turns at that, too.
        for side in [round % 2, (round + 1) % 2] {
            wall[side].push(time(&mut sides[side]())?);
        }
    }
    let mut memory = [Vec::new(), Vec::new()];
    for _ in 0..WEIGHED {
        memory[0].push(weigh(programs, &ours())?);
        memory[1].push(weigh(programs, &theirs())?);
    }
    let [ours, theirs] = [median(&wall[0]), median(&wall[1])];
    let target = &programs.target;
    let note = format!("{ours:.2} ms / {theirs:.2} ms");
    fact(target, "peer_start_wall_ratio", ours / theirs, "x", &note)?;
    fact(
        target,
        "peer_start_wall_nexus_host",
        ours,
        "ms",
        &spread(&wall[0]),
    )?;
    fact(
        target,
        "peer_start_wall_wasmtime",
        theirs,
        "ms",
        &spread(&wall[1]),
    )?;
    let [ours, theirs] = [median(&memory[0]), median(&memory[1])];
    fact(target, "peer_start_memory_ratio", ours / theirs, "x", "")?;
    let runs = format!("{WEIGHED} runs");
    fact(target, "peer_start_memory_nexus_host", ours, "bytes", &runs)?;
    fact(target, "peer_start_memory_wasmtime", theirs, "bytes", &runs)
}

/// Milliseconds from before a program starts to when it has ended.
fn time(command: &mut Command) -> Result<f64> {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let begun = Instant::now();
    let status = command
        .status()
        .with_context(|| format!("cannot run `{}`", show_command(command)))?;
    let took = begun.elapsed();
    ensure!(
        status.success(),
        "`{}` failed ({status})",
        show_command(command)
    );
    Ok(took.as_secs_f64() * 1e3)
}

/// Most bytes a program had resident at a time.
fn weigh(programs: &Programs, command: &Command) -> Result<f64> {
    let said = programs.scratch.join("memory");
    let mut weighed = Command::new(TIME);
    weighed
        .args(["--format", "%M", "--output"])
        .arg(&said)
        .arg(command.get_program())
        .args(command.get_args());
    time(&mut weighed)?;
    let text = fs::read_to_string(&said)?;
    let kibibytes: f64 = text
        .trim()
        .parse()
        .with_context(|| format!("{TIME} said {text:?}"))?;
    Ok(kibibytes * 1024.0)
}
