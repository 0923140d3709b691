//! `cargo xtask bench --instructions`: how many instructions the packet path takes, by callgrind, against the
//! counts in `bench/instructions.toml`. Unlike a time it is the same on a busy machine, so that a change which
//! doubles the work is seen.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::step::{Step, run as run_command, run_quietly, run_quietly_ok};
use crate::workspace::Workspace;

/// The work `bench/src/bin/packet-path.rs` knows, what one unit of it is, and how many are counted.
const WORKS: &[(&str, &str, u32)] = &[
    ("tcp-receive", "a full segment received and read", 4_000),
    ("tcp-send", "a full segment written and sent", 4_000),
    ("tcp-echo", "64 bytes there and back, both ends", 2_000),
    ("udp", "a datagram of 512 bytes, both ends", 2_000),
    ("decide", "a decision by name", 2_000),
];

/// More than this over the count that is committed is a failure. What the C library and the allocator do
/// differently on another machine is far less.
const MORE_MAX: f64 = 1.25;

/// What the counts are written into.
const FILE: &str = "bench/instructions.toml";

const HEADER: &str = "\
# Instructions on the packet path, a unit of work each (bench/src/bin/packet-path.rs). Counted by
# `cargo xtask bench --instructions`, which fails where one takes more than 1.25 times as many;
# written by the same with --bless, for a change that is worth it: say in its message why.
";

/// Counts, and compares; with `bless`, writes the counts instead.
pub(crate) fn run(workspace: &Workspace, bless: bool) -> Result<()> {
    install_valgrind()?;
    let step = Step::begin("instructions of the packet path", "20 s");
    run_command(workspace.cargo().args([
        "build",
        "--release",
        "-p",
        "nexus-bench",
        "--bin",
        "packet-path",
    ]))?;
    let program = workspace.target.join("release").join("packet-path");
    let mut counted = BTreeMap::new();
    for &(work, _, units) in WORKS {
        counted.insert(
            work.to_owned(),
            count(&program, work, units)? / u64::from(units),
        );
    }
    step.end();
    let file = workspace.root.join(FILE);
    if bless {
        fs::write(&file, page(&counted))?;
        println!("written to {FILE}");
        return Ok(());
    }
    let committed = fs::read_to_string(&file)
        .with_context(|| format!("cannot read {FILE}; --bless makes it"))?;
    let more = compare(&committed, &counted)?;
    ensure!(
        more.is_empty(),
        "the packet path takes more instructions than {FILE} says:\n  {}\n\
         Mend it; or, if it is worth it, renew the counts: cargo xtask bench --instructions --bless",
        more.join("\n  ")
    );
    Ok(())
}

/// Instructions of a run, in the function that is counted.
fn count(program: &Path, work: &str, units: u32) -> Result<u64> {
    let said = run_quietly(
        Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
            .arg("--toggle-collect=*packet_path*counted*")
            .arg(program)
            .args([work, &units.to_string()]),
        Duration::from_secs(300),
    )?;
    ensure!(said.status.success(), "{work}: {}", said.tail());
    collected(&said.stderr).with_context(|| format!("{work}: {}", said.tail()))
}

/// `==123== Collected : 456`
fn collected(text: &str) -> Result<u64> {
    let number = text
        .lines()
        .find_map(|line| line.split_once("Collected :"))
        .context("callgrind says no count")?
        .1;
    match number.trim().parse() {
        // A name that is not found is no error to callgrind.
        Ok(0) => bail!("callgrind counted nothing: is the function called otherwise now?"),
        Ok(count) => Ok(count),
        Err(_) => bail!("callgrind says {number:?}"),
    }
}

/// What takes more than it may; all of it is printed.
fn compare(committed: &str, counted: &BTreeMap<String, u64>) -> Result<Vec<String>> {
    let committed: toml::Table = committed.parse().context(FILE)?;
    let mut more = Vec::new();
    for (work, &count) in counted {
        let known = committed
            .get(work)
            .and_then(toml::Value::as_integer)
            .with_context(|| format!("{FILE} has no {work}; --bless writes it"))?;
        let ratio = count as f64 / known.max(1) as f64;
        let unit = WORKS
            .iter()
            .find(|(name, ..)| name == work)
            .map_or("", |(_, unit, _)| unit);
        let line = format!("{work} ({unit}): {count}, {ratio:.2} of {known}");
        println!("{line}");
        if ratio > MORE_MAX {
            more.push(line);
        }
    }
    Ok(more)
}

fn page(counted: &BTreeMap<String, u64>) -> String {
    let lines: String = counted
        .iter()
        .map(|(work, count)| format!("{work} = {count}\n"))
        .collect();
    format!("{HEADER}{lines}")
}

fn install_valgrind() -> Result<()> {
    let version = |limit| run_quietly(Command::new("valgrind").arg("--version"), limit);
    if version(Duration::from_secs(10)).is_ok_and(|said| said.status.success()) {
        return Ok(());
    }
    let step = Step::begin("install valgrind", "1 min");
    let apt = || {
        let mut command = Command::new("apt-get");
        command.env("DEBIAN_FRONTEND", "noninteractive");
        command
    };
    let limit = Duration::from_secs(300);
    run_quietly(apt().args(["-q", "update"]), limit)?;
    run_quietly_ok(
        apt().args(["-qy", "install", "--no-install-recommends", "valgrind"]),
        limit,
    )
    .context("valgrind is missing and cannot be installed; install it by hand")?;
    step.end();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(values: &[(&str, u64)]) -> BTreeMap<String, u64> {
        values
            .iter()
            .map(|&(work, count)| (work.to_owned(), count))
            .collect()
    }

    /// Goal: what doubles is named, what stays within the bound or gets less is not. Method: at and over the bound.
    #[test]
    fn reject_what_takes_more_than_a_quarter_more() {
        let committed = page(&counts(&[("decide", 100), ("tcp-send", 100), ("udp", 100)]));
        let found = counts(&[("decide", 125), ("tcp-send", 126), ("udp", 40)]);
        let more = compare(&committed, &found).expect("all are known");
        assert_eq!(more.len(), 1);
        assert!(
            more[0].starts_with("tcp-send (a full segment written and sent): 126, 1.26 of 100")
        );
        assert!(compare(&committed, &counts(&[("tcp-echo", 1)])).is_err());
    }

    #[test]
    fn reject_a_run_that_counted_nothing() {
        let said =
            |count: &str| format!("==7== Events    : Ir\n==7== Collected : {count}\n==7==\n");
        assert_eq!(collected(&said("1234")).expect("a count"), 1234);
        assert!(collected(&said("0")).is_err());
        assert!(collected(&said("")).is_err());
        assert!(collected("valgrind: failed").is_err());
    }
}
