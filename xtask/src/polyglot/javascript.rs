//! `fetch-js`, which componentize-js makes: from npm, at the versions and hashes of `package-lock.json`.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{Job, made, read, tools};
use crate::step::{Step, run_quietly_ok};

/// What the engine can do that the program does not: it answers no requests.
const NOT_USED: &str = "fetch-event";

const DOWNLOAD_LIMIT: Duration = Duration::from_secs(900);
const BUILD_LIMIT: Duration = Duration::from_secs(300);

/// Makes it.
pub(super) fn make(job: &Job<'_>) -> Result<Vec<u8>> {
    let folder = job.workspace.target.join("tools").join("componentize-js");
    let lists = ["package.json", "package-lock.json"];
    let mut pinned = String::new();
    for name in lists {
        pinned += &read(&job.sources.join(name))?;
    }
    tools(&folder, &pinned, || {
        let step = Step::begin("installing componentize-js from npm", "30 s, once");
        for name in lists {
            fs::copy(job.sources.join(name), folder.join(name))?;
        }
        // No package's own script is run: what they need is in them.
        run_quietly_ok(
            Command::new("npm")
                .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
                .current_dir(&folder),
            DOWNLOAD_LIMIT,
        )
        .context(
            "Node.js 20 or later with npm is needed (Debian's packages nodejs and npm), and npm's registry or \
             a mirror of it that npm is set up with",
        )?;
        step.end();
        Ok(())
    })?;
    let component = job.work.join("component.wasm");
    run_quietly_ok(
        Command::new("node")
            .arg(folder.join("node_modules/@bytecodealliance/componentize-js/src/cli.js"))
            .arg(job.sources.join("main.js"))
            .arg("--wit")
            .arg(&job.wit)
            .args(["--world-name", "fetch", "--disable", NOT_USED, "--out"])
            .arg(&component)
            .current_dir(&job.work),
        BUILD_LIMIT,
    )?;
    made(&component)
}
