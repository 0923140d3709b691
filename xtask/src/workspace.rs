//! Where things are: the checkout, the target folder, the packages; as cargo itself says.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::Value;

/// The facts every verb needs.
pub(crate) struct Workspace {
    /// The checkout.
    pub(crate) root: PathBuf,
    /// Cargo's target folder: `CARGO_TARGET_DIR`, cargo's configuration, or `target`.
    pub(crate) target: PathBuf,
    /// `packages` of `cargo metadata --no-deps`.
    pub(crate) packages: Vec<Value>,
}

impl Workspace {
    /// Asks cargo.
    pub(crate) fn find() -> Result<Self> {
        // Compile-time: xtask is always run from the checkout that built it.
        let root = Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .context("xtask is not inside a workspace")?
            .to_path_buf();
        let output = cargo(&root)
            .args(["metadata", "--no-deps", "--format-version=1"])
            .stderr(std::process::Stdio::inherit())
            .output()
            .context("cannot run cargo")?;
        anyhow::ensure!(
            output.status.success(),
            "`cargo metadata` failed; its message is above"
        );
        let metadata: Value = serde_json::from_slice(&output.stdout)?;
        let target = metadata["target_directory"]
            .as_str()
            .context("`cargo metadata` names no target_directory")?
            .into();
        let packages = metadata["packages"]
            .as_array()
            .context("`cargo metadata` names no packages")?
            .clone();
        Ok(Self {
            root,
            target,
            packages,
        })
    }

    /// `cargo` in the checkout.
    pub(crate) fn cargo(&self) -> Command {
        cargo(&self.root)
    }

    /// The rustc that cargo uses in the checkout.
    pub(crate) fn rustc(&self) -> Command {
        self.in_root(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
    }

    /// A program started in the checkout, so that rust-toolchain.toml decides for rustup's tools.
    pub(crate) fn in_root(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root);
        command
    }

    /// A path under the target folder, shown shorter if it is inside the checkout.
    pub(crate) fn show(&self, path: &Path) -> String {
        path.strip_prefix(&self.root)
            .unwrap_or(path)
            .display()
            .to_string()
    }

    /// The version of a dependency, as Cargo.lock has it: a program of the same project is installed in the same.
    pub(crate) fn locked_version(&self, name: &str) -> Result<String> {
        let lock = std::fs::read_to_string(self.root.join("Cargo.lock")).context("Cargo.lock")?;
        locked_version(&lock, name)
    }

    /// The release binary of the host.
    pub(crate) fn host_binary(&self) -> PathBuf {
        self.target
            .join("release")
            .join(format!("nexus-host{}", std::env::consts::EXE_SUFFIX))
    }

    /// Where components are put.
    pub(crate) fn components(&self) -> PathBuf {
        self.target.join("components")
    }
}

/// The version of a package in a Cargo.lock; the first, where there are several.
fn locked_version(lock: &str, name: &str) -> Result<String> {
    let lock: toml::Table = lock.parse().context("Cargo.lock")?;
    lock.get("package")
        .and_then(toml::Value::as_array)
        .and_then(|packages| {
            let package = packages
                .iter()
                .find(|package| package.get("name").and_then(toml::Value::as_str) == Some(name))?;
            package.get("version")?.as_str().map(str::to_owned)
        })
        .with_context(|| format!("Cargo.lock has no {name}"))
}

/// The cargo that runs us (rustup's choice for this folder), without the variables that it set for
/// xtask's own run: they would make build scripts of the inner build see a wrong world.
fn cargo(root: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root);
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("CARGO_PKG_") || name_text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    command
}

/// Cargo's home folder, as cargo finds it.
pub(crate) fn cargo_home() -> Result<PathBuf> {
    std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
        .context("neither CARGO_HOME nor HOME is set")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_that_of_the_lock_file() {
        let lock = "[[package]]\nname = \"wasmtime-wasi\"\nversion = \"1.0.0\"\n\
                    [[package]]\nname = \"wasmtime\"\nversion = \"48.0.8\"\n";
        assert_eq!(locked_version(lock, "wasmtime").expect("there"), "48.0.8");
        assert!(locked_version("version = 4", "wasmtime").is_err());
        assert!(locked_version(lock, "wasm").is_err());
    }
}
