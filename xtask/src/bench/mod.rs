//! `cargo xtask bench`: measures and writes `bench/RESULTS.md`.
//!
//! Without `--peers` it runs the benches of `bench/`; with it, or `http`, whole programs beside what people would
//! otherwise use ([`crate::peers`]). Each renews its own section of the page. `bench/settings.md` (how it is
//! measured) is taken over as it is, and `bench/reasons.toml` says why a target is missed.

pub(crate) mod measured;
mod page;
mod targets;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::build;
use crate::peers;
use crate::step::{Step, run as run_command, run_quietly};
use crate::workspace::Workspace;
use page::Section;

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request<'a> {
    section: Section,
    /// Nothing is run: the page is written from what there is.
    collect: bool,
    /// Only what has this in its name.
    filter: Option<&'a str>,
}

impl<'a> Request<'a> {
    /// As the command line has it.
    ///
    /// # Errors
    /// It makes no sense.
    pub(crate) fn new(
        peers: bool,
        collect: bool,
        filter: Option<&'a str>,
        part: Option<&'a str>,
    ) -> Result<Self> {
        let (section, filter) = match (filter, part) {
            (Some("http"), part) => (Section::Http, part),
            (_, Some(part)) => bail!("{part}: only `bench http` has a second word"),
            (filter, None) if peers => (Section::Peers, filter),
            (filter, None) => (Section::Parts, filter),
        };
        Ok(Self {
            section,
            collect,
            filter,
        })
    }
}

/// Runs what is asked for and writes the page.
pub(crate) fn run(workspace: &Workspace, request: Request<'_>) -> Result<()> {
    let section = request.section;
    // Of the machine as it is found: what is measured makes a load of its own.
    let machine = machine(workspace, request.collect);
    if !request.collect {
        build::guests(workspace)?;
        if request.filter.is_none() {
            // A bench that is gone or renamed must not stay in the table.
            measured::forget_facts(&workspace.target, section)?;
        }
        match section {
            Section::Parts => {
                // A world of guests is run by the program itself.
                build::host(workspace)?;
                parts(workspace, request.filter)?;
            }
            Section::Peers => peers::run(workspace, peers::PARTS, request.filter)?,
            Section::Http => peers::run(workspace, peers::HTTP, request.filter)?,
        }
    }
    let measured = measured::measurements(&workspace.target, section)?;
    ensure!(
        !measured.is_empty(),
        "there is no measurement below {}; run `{}` without --collect",
        workspace.show(&workspace.target),
        section.verb()
    );
    let folder = workspace.root.join("bench");
    let settings = read_or_empty(&folder.join("settings.md"))?;
    let reasons: toml::Table = read_or_empty(&folder.join("reasons.toml"))?
        .parse()
        .context("bench/reasons.toml")?;
    let body = page::body(section, &machine, &settings, &reasons, &measured);
    let file = folder.join("RESULTS.md");
    let page = page::renew(&read_or_empty(&file)?, section, &body);
    fs::write(file, page)?;
    for line in body.lines().filter(|line| line.starts_with('|')) {
        println!("{line}");
    }
    eprintln!("    written to bench/RESULTS.md");
    Ok(())
}

/// The criterion benches.
fn parts(workspace: &Workspace, filter: Option<&str>) -> Result<()> {
    let medians = workspace.target.join("criterion");
    if filter.is_none() && medians.exists() {
        fs::remove_dir_all(medians)?;
    }
    let step = Step::begin("benches", "10 min");
    let mut cargo = workspace.cargo();
    cargo.args(["bench", "-p", "nexus-bench"]);
    // The name of a bench is all of it, and nothing of the others: what they measure beside criterion no filter keeps
    // them from.
    let whole = filter.filter(|name| workspace.root.join("bench/benches").join(name).is_dir());
    match whole {
        Some(name) => cargo.args(["--bench", name]),
        None => cargo.args(["--benches", "--"]).args(filter),
    };
    // With backtraces on, wasmtime takes one whenever a store ends (the error is made before it
    // is known not to be needed): 4 us an instance, on both sides of every comparison.
    cargo.env("RUST_BACKTRACE", "0");
    run_command(&mut cargo)?;
    step.end();
    Ok(())
}

fn read_or_empty(path: &Path) -> Result<String> {
    if !path.exists() {
        return Ok(String::new());
    }
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The machine, the compiler and the commit, as lines of the page.
fn machine(workspace: &Workspace, collect: bool) -> String {
    let said = |command: &mut Command| {
        run_quietly(command, Duration::from_secs(10))
            .ok()
            .filter(|said| said.status.success())
            .map_or_else(|| "unknown".into(), |said| said.stdout.trim().to_owned())
    };
    let first = |path: &str, key: &str| {
        fs::read_to_string(path)
            .ok()
            .and_then(|text| {
                text.lines()
                    .find_map(|line| line.strip_prefix(key)?.split_once(':'))
                    .map(|(_, value)| value.trim().to_owned())
            })
            .unwrap_or_else(|| "unknown".into())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    // What was measured earlier may be of an earlier commit; say so rather than guess which.
    let when = if collect {
        "written, from measurements taken before,"
    } else {
        "measured"
    };
    format!(
        "- {when} {}\n- commit: {}\n- load of the machine then: {}\n- processor: {} ({cores} cores), memory {}\n- system: {}\n- compiler: {}\n",
        said(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"])),
        said(
            workspace
                .in_root("git")
                .args(["describe", "--always", "--dirty"])
        ),
        fs::read_to_string("/proc/loadavg").map_or_else(
            |_| "unknown".into(),
            |text| text
                .split_whitespace()
                .take(3)
                .collect::<Vec<_>>()
                .join(" "),
        ),
        first("/proc/cpuinfo", "model name"),
        first("/proc/meminfo", "MemTotal"),
        said(Command::new("uname").arg("-sr")),
        said(workspace.rustc().arg("--version")),
    )
}
