//! `cargo xtask test`: everything that must hold before a change lands; `.ci/run` runs this.
//!
//! One profile (release) throughout, so that wasmtime is compiled once for lints and docs and once
//! for tests and demo. The first step that fails ends it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::build;
use crate::setup;
use crate::step::{Step, run, show_command, show_duration};
use crate::workspace::Workspace;

/// A step: its name, what it usually takes on two cores from an empty target folder, its work.
struct Check {
    name: &'static str,
    usual: &'static str,
    work: fn(&Workspace, &mut Tally) -> Result<()>,
}

const CHECKS: &[Check] = &[
    Check {
        name: "format",
        usual: "2 s",
        work: |workspace, _| run(workspace.cargo().args(["fmt", "--all", "--", "--check"])),
    },
    Check {
        name: "guests",
        usual: "3 min",
        work: |workspace, _| build::guests(workspace),
    },
    Check {
        name: "lints",
        usual: "5 min",
        work: |workspace, _| {
            run(workspace
                .cargo()
                .args(["clippy", "--release", "--workspace", "--all-targets"])
                .args(["--", "-D", "warnings"]))
        },
    },
    Check {
        name: "tests",
        usual: "15 min",
        work: |workspace, tally| {
            tally.run(workspace.cargo().args([
                "test",
                "--release",
                "--workspace",
                "--no-fail-fast",
            ]))
        },
    },
    Check {
        name: "docs",
        usual: "1 min",
        work: |workspace, _| {
            run(workspace
                .cargo()
                .args(["doc", "--release", "--workspace", "--no-deps"])
                .env("RUSTDOCFLAGS", "-D warnings"))
        },
    },
    Check {
        name: "netcore without an operating system",
        usual: "1 min",
        work: netcore_on_wasm,
    },
    Check {
        name: "fuzz corpus",
        usual: "5 min",
        work: fuzz_corpus,
    },
];

/// Runs every check whose name contains `only`.
pub(crate) fn run_all(workspace: &Workspace, only: Option<&str>) -> Result<()> {
    let names: Vec<&str> = CHECKS.iter().map(|check| check.name).collect();
    let chosen: Vec<&Check> = CHECKS
        .iter()
        .filter(|check| only.is_none_or(|text| check.name.contains(text)))
        .collect();
    ensure!(
        !chosen.is_empty(),
        "no step is called that; the steps are: {}",
        names.join(", ")
    );
    eprintln!(
        "{} steps, usually 30 min together when nothing is built yet, 3 min when everything is: {}",
        chosen.len(),
        chosen
            .iter()
            .map(|check| check.name)
            .collect::<Vec<_>>()
            .join(", ")
    );
    let begun = Instant::now();
    let mut tally = Tally::default();
    let mut took: Vec<(&str, Duration)> = Vec::new();
    for check in &chosen {
        let step = Step::begin(check.name, check.usual);
        (check.work)(workspace, &mut tally)
            .with_context(|| format!("the step `{}` failed", check.name))?;
        took.push((check.name, step.end()));
    }
    println!();
    for (name, duration) in took {
        println!("{name:<36} {:>12}", show_duration(duration));
    }
    println!("{:<36} {:>12}", "all", show_duration(begun.elapsed()));
    if tally.runs > 0 {
        tally.print();
        ensure!(tally.passed > 0, "not one test ran");
    }
    Ok(())
}

/// How many tests ran, as cargo's own closing lines say.
#[derive(Default)]
pub(crate) struct Tally {
    runs: u32,
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Tally {
    /// Runs `cargo test`, passing its output on line by line and adding up.
    pub(crate) fn run(&mut self, command: &mut Command) -> Result<()> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run cargo")?;
        self.runs += 1;
        let mut out = BufReader::new(child.stdout.take().context("no pipe")?);
        let mut line = Vec::new();
        while out.read_until(b'\n', &mut line)? > 0 {
            std::io::stdout().write_all(&line)?;
            self.add(&String::from_utf8_lossy(&line));
            line.clear();
        }
        let status = child.wait()?;
        ensure!(
            status.success(),
            "`{}` failed ({status}); its message is above",
            show_command(command)
        );
        Ok(())
    }

    /// `test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; ...`
    fn add(&mut self, line: &str) {
        let Some((_, counts)) = line
            .strip_prefix("test result: ")
            .and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for count in counts.split(';') {
            let mut words = count.split_whitespace();
            let (Some(number), Some(word)) = (words.next(), words.next()) else {
                continue;
            };
            let Ok(number) = number.parse::<u64>() else {
                continue;
            };
            match word {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }

    pub(crate) fn passed(&self) -> u64 {
        self.passed
    }

    pub(crate) fn print(&self) {
        println!(
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.ignored
        );
    }
}

/// netcore compiles where there is no clock, no thread, no socket and no randomness to call.
fn netcore_on_wasm(workspace: &Workspace, _: &mut Tally) -> Result<()> {
    const TARGET: &str = "wasm32-unknown-unknown";
    let guest_std = setup::ensure(workspace, None)?;
    let mut cargo = workspace.cargo();
    cargo
        .args(["check", "--release", "--lib", "--target", TARGET])
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            guest_std.rustflags(TARGET).join("\u{1f}"),
        );
    let mut any = false;
    for package in &workspace.packages {
        let (Some(manifest), Some(name)) =
            (package["manifest_path"].as_str(), package["name"].as_str())
        else {
            continue;
        };
        if Path::new(manifest).starts_with(workspace.root.join("netcore")) {
            cargo.args(["-p", name]);
            any = true;
        }
    }
    ensure!(any, "netcore has no crate");
    run(&mut cargo)
}

/// Every committed input once more through its fuzz target, as ordinary tests.
fn fuzz_corpus(workspace: &Workspace, tally: &mut Tally) -> Result<()> {
    for folder in ["netcore/fuzz", "host/fuzz"] {
        let manifest = workspace.root.join(folder).join("Cargo.toml");
        if manifest.is_file() {
            tally.run(
                workspace
                    .cargo()
                    .args(["test", "--release", "--manifest-path"])
                    .arg(&manifest)
                    .env("CARGO_TARGET_DIR", &workspace.target),
            )?;
        } else {
            eprintln!("    {folder} does not exist");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_added_up() {
        let mut tally = Tally::default();
        tally.add("test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 3 filtered out; finished in 0.1s\n");
        tally.add("test result: FAILED. 2 passed; 4 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s\n");
        tally.add("test reject_all ... ok\n");
        assert_eq!((tally.passed, tally.failed, tally.ignored), (14, 4, 1));
    }
}
