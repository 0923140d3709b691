//! `cargo xtask deny`: licenses, bans, duplicate versions and sources by cargo-deny (deny.toml),
//! and advisories where their database can be had.
//!
//! cargo-deny is compiled into target/tools on first use; it is no dependency of anything we build,
//! and not part of `cargo xtask test`.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::step::{Step, run, run_quietly};
use crate::workspace::Workspace;

/// The version deny.toml is written for.
const VERSION: &str = "0.20.2";

/// How long the advisory database may take to arrive.
const DATABASE_LIMIT: Duration = Duration::from_secs(120);

/// Installs what is missing and checks.
pub(crate) fn run_checks(workspace: &Workspace) -> Result<()> {
    let tools = workspace.target.join("tools");
    let program = tools
        .join("bin")
        .join(format!("cargo-deny{}", std::env::consts::EXE_SUFFIX));
    let installed = run_quietly(Command::new(&program).arg("--version"), DATABASE_LIMIT)
        .is_ok_and(|said| said.stdout.trim() == format!("cargo-deny {VERSION}"));
    if !installed {
        let step = Step::begin(
            format!(
                "installing cargo-deny {VERSION} into {}",
                workspace.show(&tools)
            ),
            "6 min, once",
        );
        run(workspace
            .cargo()
            .args(["install", "--locked", "--force", "--version", VERSION])
            .arg("--root")
            .arg(&tools)
            .arg("--target-dir")
            .arg(tools.join("build"))
            .arg("cargo-deny"))?;
        // 1 GiB that nothing needs any more.
        std::fs::remove_dir_all(tools.join("build"))?;
        step.end();
    }
    let deny = || {
        let mut command = Command::new(&program);
        command
            .current_dir(&workspace.root)
            .args(["--workspace", "--all-features", "--locked"]);
        command
    };

    let step = Step::begin("licenses, bans, duplicate versions, sources", "5 s");
    // A skip that nothing needs any more hides the next duplicate: an error, too.
    run(deny()
        .args(["check", "--hide-inclusion-graph"])
        .args(["-D", "unmatched-skip", "-D", "unnecessary-skip"])
        .args(["licenses", "bans", "sources"]))?;
    step.end();

    let step = Step::begin("fetching the advisory database", "10 s");
    let fetched = run_quietly(deny().args(["fetch", "db"]), DATABASE_LIMIT);
    match fetched {
        Ok(said) if said.status.success() => {
            step.end();
            let step = Step::begin("advisories", "2 s");
            run(deny().args(["check", "advisories"]))?;
            step.end();
            println!("deny: licenses, bans, duplicates, sources and advisories are fine");
        }
        failed => {
            let why = match failed {
                Ok(said) => said.tail(),
                Err(error) => error.to_string(),
            };
            ensure!(
                !why.is_empty(),
                "cargo-deny failed without a word; run `{} fetch db`",
                program.display()
            );
            println!(
                "deny: licenses, bans, duplicates and sources are fine; \
                 ADVISORIES WERE SKIPPED: their database cannot be had here:\n{why}"
            );
        }
    }
    Ok(())
}
