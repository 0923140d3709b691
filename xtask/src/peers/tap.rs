//! The kernel against a guest and against a bare smoltcp loop, both on the same TAP interface.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use crate::build;
use crate::step::{Step, run as run_command};
use crate::workspace::Workspace;

/// Runs `bench/src/bin/tap` in a network namespace of its own, which is gone when it ends, and with
/// it the interface. It leaves its facts (`tap_…`) itself.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let id = Command::new("id").arg("-u").output().context("id")?;
    ensure!(
        id.stdout.trim_ascii() == b"0" && Path::new("/dev/net/tun").exists(),
        "what a TAP interface carries is measured as root, with /dev/net/tun: sudo, or a container \
         with --cap-add NET_ADMIN --device /dev/net/tun"
    );
    build::guests(workspace)?;
    build::host(workspace)?;
    run_command(workspace.cargo().args([
        "build",
        "--release",
        "-p",
        "nexus-bench",
        "--bin",
        "tap",
    ]))?;
    let step = Step::begin("a guest on TAP beside bare smoltcp", "5 min");
    run_command(
        workspace
            .in_root("unshare")
            .arg("--net")
            .arg(workspace.target.join("release").join("tap"))
            .arg("--host")
            .arg(workspace.host_binary())
            .arg("--guest")
            .arg(workspace.components().join("burst.wasm")),
    )?;
    step.end();
    Ok(())
}
