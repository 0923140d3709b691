//! The `wasmtime` command-line program, compiled into target/tools on first use: what people would otherwise
//! run a component with. Its version is that of the library we use; its features are the default ones.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

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
    let lock = fs::read_to_string(workspace.root.join("Cargo.lock")).context("Cargo.lock")?;
    let version = locked_version(&lock)?;
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

/// The version of wasmtime in a Cargo.lock.
fn locked_version(lock: &str) -> Result<String> {
    let lock: toml::Table = lock.parse().context("Cargo.lock")?;
    lock.get("package")
        .and_then(toml::Value::as_array)
        .and_then(|packages| {
            let wasmtime = packages.iter().find(|package| {
                package.get("name").and_then(toml::Value::as_str) == Some("wasmtime")
            })?;
            wasmtime.get("version")?.as_str().map(str::to_owned)
        })
        .context("Cargo.lock has no wasmtime")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_lock_file() {
        let lock = "[[package]]\nname = \"wasmtime-wasi\"\nversion = \"1.0.0\"\n\
                    [[package]]\nname = \"wasmtime\"\nversion = \"48.0.8\"\n";
        assert_eq!(locked_version(lock).expect("there"), "48.0.8");
        assert!(locked_version("version = 4").is_err());
    }
}
