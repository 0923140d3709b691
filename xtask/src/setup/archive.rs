//! The ready-made library: an archive that holds `<target>/lib/...` for each target.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::{Compiler, Sysroot};
use crate::step::{Step, run_quietly_ok};

/// Unpacks `file` (any compression that tar knows) and installs the targets that are missing.
pub(super) fn unpack(
    compiler: &Compiler,
    sysroot: &Sysroot,
    file: &Path,
    missing: &[&str],
) -> Result<()> {
    ensure!(
        file.is_file(),
        "{} is not a file; it should be a tar archive holding {}/lib/...",
        file.display(),
        missing.join("/lib and ")
    );
    let step = Step::begin(format!("unpacking {}", file.display()), "10 s");
    let work = sysroot.folder.join("unpacking");
    if work.exists() {
        fs::remove_dir_all(&work)?;
    }
    fs::create_dir_all(&work)?;
    run_quietly_ok(
        Command::new("tar")
            .arg("-xf")
            .arg(file)
            .arg("-C")
            .arg(&work)
            .args(missing),
        Duration::from_secs(300),
    )?;
    for target in missing {
        sysroot.install(target, &work.join(target).join("lib"), compiler)?;
    }
    fs::remove_dir_all(&work)?;
    step.end();
    Ok(())
}
