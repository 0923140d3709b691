//! The servers of `cargo xtask test --real` and `bench http`, unpacked to `target/tools/servers` and not installed: an installed one
//! would start at once, and with the machine.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::polyglot::tools;
use crate::real::is_there;
use crate::step::{Step, run_quietly, run_quietly_ok};
use crate::workspace::Workspace;

/// Programs, each of Debian's package of its name.
const SERVERS: [&str; 2] = ["nginx", "haproxy"];

const DOWNLOAD_LIMIT: Duration = Duration::from_secs(300);
const UNPACK_LIMIT: Duration = Duration::from_secs(60);

/// One of them, unpacked or in PATH.
pub(crate) fn command(workspace: &Workspace, name: &str) -> Result<Command> {
    unpack(workspace)?;
    if is_there(name) {
        return Ok(Command::new(name));
    }
    let folder = workspace.target.join("tools").join("servers");
    let mut command = Command::new(folder.join("usr/sbin").join(name));
    // Libraries it needs and this machine has not, unpacked with it.
    let libraries = folder.join(format!("usr/lib/{}-linux-gnu", std::env::consts::ARCH));
    command.env("LD_LIBRARY_PATH", libraries);
    Ok(command)
}

/// Sees to it that each is in PATH or unpacked, with the libraries that this machine does not have.
pub(crate) fn unpack(workspace: &Workspace) -> Result<()> {
    let missing: Vec<&str> = SERVERS.into_iter().filter(|name| !is_there(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let folder = workspace.target.join("tools").join("servers");
    tools(&folder, &missing.join(" "), || {
        let step = Step::begin(format!("unpacking {}", missing.join(", ")), "10 s, once");
        let archives = folder.join("archives");
        fs::create_dir_all(archives.join("partial"))?;
        run_quietly(
            Command::new("apt-get").args(["-q", "update"]),
            DOWNLOAD_LIMIT,
        )?;
        run_quietly_ok(
            Command::new("apt-get")
                .args([
                    "-qy",
                    "install",
                    "--download-only",
                    "--no-install-recommends",
                ])
                .arg("-o")
                .arg(format!("Dir::Cache::archives={}", archives.display()))
                // The download's own user could not write into our folder.
                .args(["-o", "APT::Sandbox::User="])
                .args(&missing),
            DOWNLOAD_LIMIT,
        )
        .context("the tests need nginx and haproxy: install them, if there is no apt-get here")?;
        for entry in fs::read_dir(&archives)? {
            let path = entry?.path();
            if path.extension().is_some_and(|kind| kind == "deb") {
                let mut dpkg = Command::new("dpkg");
                run_quietly_ok(dpkg.arg("-x").arg(path).arg(&folder), UNPACK_LIMIT)?;
            }
        }
        for name in &missing {
            let program = folder.join("usr/sbin").join(name);
            ensure!(program.is_file(), "there is no {}", program.display());
        }
        step.end();
        Ok(())
    })
}
