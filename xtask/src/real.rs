//! `cargo xtask test --real`: tests against the kernel's own interfaces and stack.
//!
//! Asked for, it fails where it cannot run; it never skips. Every test makes its own network
//! namespaces, so nothing of this machine's network is touched.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::build;
use crate::instructions;
use crate::servers;
use crate::step::{Step, run, run_quietly};
use crate::test::Tally;
use crate::workspace::Workspace;

/// Programs the tests run, and the package each is in (Debian's names).
const PROGRAMS: &[(&str, &str)] = &[
    ("ip", "iproute2"),
    ("sysctl", "procps"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
    ("dnsmasq", "dnsmasq-base"),
    ("iperf3", "iperf3"),
    ("tshark", "tshark"),
    ("curl", "curl"),
    ("node", "nodejs"),
    ("openssl", "openssl"),
    ("python3", "python3"),
    ("wrk", "wrk"),
];

/// The crates that have such tests, in a file called real.
const CRATES: &[&str] = &["nexus-nic", "nexus-host"];

/// Runs all, or the tests whose name contains `only`.
pub(crate) fn run_all(workspace: &Workspace, only: Option<&str>) -> Result<()> {
    prepare()?;
    servers::unpack(workspace)?;
    build::guests(workspace)?;
    let mut tally = Tally::default();
    for name in CRATES {
        let step = Step::begin(format!("{name} on real interfaces"), "8 min");
        // What a test prints when it passes are figures.
        let cargo = ["test", "--release", "-p", name, "--test", "real", "--"];
        tally.run(
            workspace
                .cargo()
                .args(cargo)
                .args(["--ignored", "--show-output"])
                .args(only),
        )?;
        step.end();
    }
    tally.print();
    ensure!(tally.passed() > 0, "not one test ran");
    match only {
        None => instructions::run(workspace, false),
        Some(_) => Ok(()),
    }
}

/// What the tests need of this machine.
fn prepare() -> Result<()> {
    let id = Command::new("id").arg("-u").output().context("id")?;
    ensure!(
        id.stdout.trim_ascii() == b"0",
        "`--real` needs root, to make network namespaces and interfaces: run it with sudo, or as \
         root of a container that may (--cap-add NET_ADMIN --device /dev/net/tun)"
    );
    ensure!(
        Path::new("/dev/net/tun").exists(),
        "there is no /dev/net/tun: load it (modprobe tun), or give the container that device"
    );
    let mut missing: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(program, _)| !is_there(program))
        .map(|(_, package)| *package)
        .collect();
    missing.dedup();
    if !missing.is_empty() {
        install(&missing).with_context(|| {
            format!(
                "the tests need programs that are not here and cannot be installed; on a machine \
                 without apt-get, install what is in Debian's {}",
                missing.join(", ")
            )
        })?;
    }
    for (program, package) in PROGRAMS {
        ensure!(
            is_there(program),
            "there is no {program}, although {package} is installed: it has to be in PATH"
        );
    }
    Ok(())
}

fn install(packages: &[&str]) -> Result<()> {
    let step = Step::begin(format!("install {}", packages.join(", ")), "1 min");
    run_quietly(
        Command::new("apt-get").args(["-q", "update"]),
        Duration::from_secs(300),
    )?;
    // It would ask whether everybody may capture packets. The default is no, and stays.
    run(Command::new("apt-get")
        .args(["-qy", "install", "--no-install-recommends"])
        .args(packages)
        .env("DEBIAN_FRONTEND", "noninteractive"))?;
    step.end();
    Ok(())
}

/// Whether PATH has it.
pub(crate) fn is_there(program: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| {
        std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
    })
}
