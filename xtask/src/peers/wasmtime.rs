//! The `wasmtime` command-line program, compiled into target/tools on first use: what people would otherwise
//! run a component with. Its version is that of the library we use; its features are the default ones.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::step::{Step, run, run_quietly};
use crate::workspace::Workspace;

/// Where it is, or will be.
pub(super) fn program(workspace: &Workspace) -> PathBuf {
    workspace
        .target
        .join("tools")
        .join("bin")
        .join(format!("wasmtime{}", std::env::consts::EXE_SUFFIX))
}

/// Installs it if it is not there, or is of another version.
pub(super) fn ensure(workspace: &Workspace) -> Result<()> {
    let version = workspace.locked_version("wasmtime")?;
    let installed = run_quietly(
        Command::new(program(workspace)).arg("--version"),
        Duration::from_secs(10),
    )
    // "wasmtime 48.0.8", and a commit where it was built from a checkout
    .is_ok_and(|said| said.stdout.split_whitespace().nth(1) == Some(version.as_str()));
    if installed {
        return Ok(());
    }
    let tools = workspace.target.join("tools");
    let step = Step::begin(
        format!(
            "installing wasmtime {version} into {}",
            workspace.show(&tools)
        ),
        "15 min, once",
    );
    run(workspace
        .cargo()
        .args(["install", "--locked", "--force", "--version", &version])
        .arg("--root")
        .arg(&tools)
        .arg("--target-dir")
        .arg(tools.join("build"))
        .arg("wasmtime-cli"))?;
    // 2 GiB that nothing needs any more.
    fs::remove_dir_all(tools.join("build"))?;
    step.end();
    Ok(())
}
