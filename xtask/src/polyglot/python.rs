//! Tools from PyPI, each list in a virtual environment of its own; and `fetch-py`, which componentize-py makes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::{Job, made, read, tools};
use crate::step::{Step, run_quietly_ok};
use crate::workspace::Workspace;

/// The pinned list beside a source: names, versions and hashes, as pip reads it.
pub(super) const REQUIREMENTS: &str = "requirements.txt";

const DOWNLOAD_LIMIT: Duration = Duration::from_secs(900);
const BUILD_LIMIT: Duration = Duration::from_secs(300);

/// The programs of a virtual environment.
pub(super) struct Environment {
    folder: PathBuf,
}

impl Environment {
    /// Installs what `sources/requirements.txt` lists, unless that has been done.
    pub(super) fn ensure(workspace: &Workspace, name: &str, sources: &Path) -> Result<Self> {
        let folder = workspace.target.join("tools").join(name);
        let list = sources.join(REQUIREMENTS);
        tools(&folder, &read(&list)?, || {
            let step = Step::begin(
                format!("installing {} from PyPI", workspace.show(&list)),
                "30 s, once",
            );
            run_quietly_ok(
                Command::new("python3").args(["-m", "venv"]).arg(&folder),
                BUILD_LIMIT,
            )
            .context(
                "Python 3.10 or later with `venv` is needed (Debian's packages python3 and python3-venv)",
            )?;
            let environment = Self {
                folder: folder.clone(),
            };
            run_quietly_ok(
                environment
                    .program("python")
                    .args(["-m", "pip", "install", "--disable-pip-version-check"])
                    .args(["--require-hashes", "--only-binary=:all:", "--no-deps", "-r"])
                    .arg(&list),
                DOWNLOAD_LIMIT,
            )
            .with_context(|| {
                format!(
                    "pip cannot install what {} lists: it needs PyPI or a mirror of it that pip is \
                     set up with, and a system that one of the hashes is for",
                    workspace.show(&list)
                )
            })?;
            step.end();
            Ok(())
        })?;
        Ok(Self { folder })
    }

    /// A program of it.
    pub(super) fn program(&self, name: &str) -> Command {
        let folder = if cfg!(windows) { "Scripts" } else { "bin" };
        let mut command = Command::new(self.folder.join(folder).join(name));
        // Of whoever runs us, not of this environment.
        command.env_remove("PYTHONPATH").env_remove("PYTHONHOME");
        command
    }
}

/// Makes `fetch-py`.
pub(super) fn make(job: &Job<'_>) -> Result<Vec<u8>> {
    let environment = Environment::ensure(job.workspace, "componentize-py", &job.sources)?;
    let source = job.work.join("source");
    fs::create_dir_all(&source)?;
    fs::copy(job.sources.join("main.py"), source.join("main.py"))?;
    // No packages but its own and the bindings: site-packages of this machine stay out.
    let empty = job.work.join("no-environment");
    fs::create_dir_all(empty.join("lib/site-packages"))?;
    let component = job.work.join("component.wasm");
    run_quietly_ok(
        environment
            .program("componentize-py")
            .arg("-d")
            .arg(&job.wit)
            .args(["-w", "fetch", "componentize", "main", "-p"])
            .arg(&source)
            .arg("-o")
            .arg(&component)
            .env("VIRTUAL_ENV", &empty)
            .current_dir(&job.work),
        BUILD_LIMIT,
    )?;
    made(&component)
}
