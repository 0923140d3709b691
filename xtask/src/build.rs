//! `cargo xtask build`: the host in release, and every component to `target/components/`.
//!
//! What becomes a file:
//! - a `[[bin]]` of `components/X` -> `<bin>.wasm`
//! - a `cdylib` library of `components/X` -> `X.wasm`
//! - an `[[example]]` of `components/X` -> `X/<example>.wasm` (the probes)
//!
//! `[package.metadata.nexus] targets = [...]` names the targets (default wasm32-wasip2); the first
//! has the plain name, each other one `<name>-<target>.wasm`. The manifest (`manifests/<name>.toml`,
//! else `nexus.toml`) goes into the file, so that the component's digest covers it.
//!
//! Cargo decides what is stale; a file is rewritten only when its content changes.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::componentize;
use crate::polyglot;
use crate::setup::{self, GuestStd, TARGETS};
use crate::step::{Step, run, show_command};
use crate::workspace::{Workspace, cargo_home};

/// The cargo profile of guests, in the root Cargo.toml.
const PROFILE: &str = "guest";

/// Builds the host in release.
pub(crate) fn host(workspace: &Workspace) -> Result<()> {
    let step = Step::begin("building the host", "5 min at first, then seconds");
    run(workspace
        .cargo()
        .args(["build", "--release", "-p", "nexus-host", "--bins"]))?;
    step.end();
    Ok(())
}

/// Builds every component.
pub(crate) fn guests(workspace: &Workspace) -> Result<()> {
    let guest_std = setup::ensure(workspace, None)?;
    let step = Step::begin("building the components", "2 min at first, then seconds");

    fs::create_dir_all(workspace.components())?;
    // Tests call us in parallel; one packs at a time.
    let lock = fs::File::create(workspace.target.join("components.lock"))?;
    lock.lock()?;

    let packages = workspace
        .packages
        .iter()
        .filter_map(|package| Component::of(workspace, package).transpose())
        .collect::<Result<Vec<_>>>()?;
    let mut made = BTreeSet::new();
    let mut rewritten = 0;
    for target in TARGETS {
        for built in compile(workspace, &guest_std, target, &packages)? {
            let file = workspace.components().join(&built.file);
            ensure!(
                made.insert(file.clone()),
                "two artifacts want to be {}; rename one",
                workspace.show(&file)
            );
            let bytes = finish(&built)
                .with_context(|| format!("cannot make {} a component", built.artifact.display()))?;
            rewritten += usize::from(write_if_changed(&file, &bytes)?);
        }
    }
    let kept = made.iter().cloned().chain(polyglot::files(workspace));
    remove_strangers(&workspace.components(), &kept.collect())?;
    step.end();
    eprintln!(
        "    {} components in {} ({rewritten} changed)",
        made.len(),
        workspace.show(&workspace.components())
    );
    Ok(())
}

/// A package under `components/`.
struct Component {
    name: String,
    folder: PathBuf,
    manifest_path: String,
    targets: Vec<&'static str>,
    has_examples: bool,
    has_bins: bool,
}

impl Component {
    /// `None` if the package is something else.
    fn of(workspace: &Workspace, package: &Value) -> Result<Option<Self>> {
        let text = |key: &str| {
            package[key]
                .as_str()
                .with_context(|| format!("`cargo metadata` gives a package no {key}"))
        };
        let manifest_path = text("manifest_path")?;
        let folder = Path::new(manifest_path)
            .parent()
            .context("a manifest is in a folder")?;
        if !folder.starts_with(workspace.root.join("components")) {
            return Ok(None);
        }
        let name = text("name")?;
        let has_kind = |kind: &str| {
            package["targets"].as_array().is_some_and(|targets| {
                targets.iter().any(|target| {
                    target["kind"]
                        .as_array()
                        .is_some_and(|kinds| kinds.iter().any(|found| found == kind))
                })
            })
        };
        Ok(Some(Self {
            name: name.to_owned(),
            folder: folder.to_path_buf(),
            manifest_path: manifest_path.to_owned(),
            targets: targets_of(&package["metadata"]["nexus"])
                .with_context(|| format!("[package.metadata.nexus] of {manifest_path}"))?,
            has_examples: has_kind("example"),
            has_bins: has_kind("bin"),
        }))
    }

    /// The manifest that goes into an artifact of this package.
    fn manifest(&self, artifact: &str) -> Option<PathBuf> {
        [
            self.folder
                .join("manifests")
                .join(format!("{artifact}.toml")),
            self.folder.join("nexus.toml"),
        ]
        .into_iter()
        .find(|path| path.is_file())
    }
}

/// Reads `target = "..."` or `targets = [...]`; a key or target that is not known is an error.
fn targets_of(metadata: &Value) -> Result<Vec<&'static str>> {
    let Some(table) = metadata.as_object() else {
        return Ok(vec![TARGETS[0]]);
    };
    let mut targets = Vec::new();
    for (key, value) in table {
        let names = match (key.as_str(), value) {
            ("target", Value::String(_)) => std::slice::from_ref(value),
            ("targets", Value::Array(names)) if !names.is_empty() => names,
            _ => bail!("{key} = {value} is not known; write target = \"...\" or targets = [...]"),
        };
        for name in names {
            let known = TARGETS
                .into_iter()
                .find(|target| name == target)
                .with_context(|| format!("{name} is none of {}", TARGETS.join(", ")))?;
            ensure!(!targets.contains(&known), "{known} is named twice");
            targets.push(known);
        }
    }
    Ok(if targets.is_empty() {
        vec![TARGETS[0]]
    } else {
        targets
    })
}

/// What cargo made, and what is to become of it.
struct Built {
    artifact: PathBuf,
    /// Relative to `target/components`.
    file: PathBuf,
    manifest: Option<PathBuf>,
}

/// Runs cargo for one target and lists the artifacts of the components.
fn compile(
    workspace: &Workspace,
    guest_std: &GuestStd,
    target: &str,
    packages: &[Component],
) -> Result<Vec<Built>> {
    let wanted: Vec<&Component> = packages
        .iter()
        .filter(|package| package.targets.contains(&target))
        .collect();
    let mut built = Vec::new();
    let with_examples: Vec<&Component> = wanted
        .iter()
        .copied()
        .filter(|package| package.has_examples)
        .collect();
    for (packages, what) in [
        (
            wanted.as_slice(),
            if target == TARGETS[0] {
                None
            } else {
                Some("--lib")
            },
        ),
        (with_examples.as_slice(), Some("--examples")),
    ] {
        if packages.is_empty() {
            continue;
        }
        let mut cargo = workspace.cargo();
        cargo
            .args(["build", "--profile", PROFILE, "--target", target])
            .arg("--message-format=json-render-diagnostics")
            .args(what)
            .env(
                "CARGO_ENCODED_RUSTFLAGS",
                rustflags(workspace, guest_std, target)?,
            );
        for package in packages {
            if package.has_bins && target != TARGETS[0] {
                bail!(
                    "{} has a [[bin]], which {target} cannot run; make it a cdylib library",
                    package.name
                );
            }
            cargo.args(["-p", &package.name]);
        }
        let mut child = cargo
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run cargo")?;
        let messages = BufReader::new(child.stdout.take().context("no pipe")?);
        for line in messages.lines() {
            let message: Value = serde_json::from_str(&line?)?;
            built.extend(artifact(&message, target, packages));
        }
        let status = child.wait()?;
        ensure!(
            status.success(),
            "`{}` failed ({status}); its message is above",
            show_command(&cargo)
        );
    }
    Ok(built)
}

fn rustflags(workspace: &Workspace, guest_std: &GuestStd, target: &str) -> Result<String> {
    let mut flags = guest_std.rustflags(target);
    // No path of this machine in a guest: its digest must not depend on where it was built.
    flags.push(format!(
        "--remap-path-prefix={}=/nexus-host",
        workspace.root.display()
    ));
    flags.push(format!(
        "--remap-path-prefix={}=/cargo",
        cargo_home()?.display()
    ));
    Ok(flags.join("\u{1f}"))
}

/// The component that a cargo message reports, if it reports one.
fn artifact(message: &Value, target: &str, packages: &[&Component]) -> Option<Built> {
    if message["reason"] != "compiler-artifact" {
        return None;
    }
    let package = packages
        .iter()
        .find(|package| message["manifest_path"] == *package.manifest_path)?;
    let artifact = message["filenames"]
        .as_array()?
        .iter()
        .filter_map(Value::as_str)
        .find(|name| name.ends_with(".wasm"))?;
    let name = message["target"]["name"].as_str()?;
    let kinds = message["target"]["kind"].as_array()?;
    let (stem, folder) = if kinds.iter().any(|kind| kind == "example") {
        (name, Path::new(&package.name))
    } else if kinds.iter().any(|kind| kind == "bin") {
        (name, Path::new(""))
    } else {
        (package.name.as_str(), Path::new(""))
    };
    let suffix = if package.targets.first() == Some(&target) {
        String::new()
    } else {
        format!("-{target}")
    };
    Some(Built {
        artifact: artifact.into(),
        file: folder.join(format!("{stem}{suffix}.wasm")),
        manifest: package.manifest(stem),
    })
}

fn finish(built: &Built) -> Result<Vec<u8>> {
    let bytes = fs::read(&built.artifact)?;
    let mut component = componentize::component(bytes)?;
    if let Some(path) = &built.manifest {
        embed_manifest(&mut component, path)?;
    }
    Ok(component)
}

/// Puts a manifest into a component, as `nexus-host pack` does.
pub(crate) fn embed_manifest(component: &mut Vec<u8>, path: &Path) -> Result<()> {
    let manifest =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    // Only the form; the host judges the content, and refuses to `check` what is wrong in it.
    manifest
        .parse::<toml::Table>()
        .with_context(|| format!("{} is not TOML", path.display()))?;
    componentize::append_section(
        component,
        componentize::MANIFEST_SECTION,
        manifest.as_bytes(),
    );
    Ok(())
}

/// Keeps the time stamp of a file whose content is already right.
pub(crate) fn write_if_changed(file: &Path, bytes: &[u8]) -> Result<bool> {
    if fs::read(file).is_ok_and(|old| old == bytes) {
        return Ok(false);
    }
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    // A reader never sees half a file.
    let fresh = file.with_extension("wasm.new");
    fs::write(&fresh, bytes)?;
    fs::rename(&fresh, file)?;
    Ok(true)
}

/// Removes components that nothing makes any more, so that no test runs one by accident.
fn remove_strangers(folder: &Path, made: &BTreeSet<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_strangers(&path, made)?;
        } else if path
            .extension()
            .is_some_and(|extension| extension == "wasm")
            && !made.contains(&path)
        {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn targets_default_to_the_ordinary_one() {
        assert_eq!(targets_of(&Value::Null).expect("fine"), ["wasm32-wasip2"]);
        assert_eq!(targets_of(&json!({})).expect("fine"), ["wasm32-wasip2"]);
        assert_eq!(
            targets_of(&json!({"target": "wasm32-unknown-unknown"})).expect("fine"),
            ["wasm32-unknown-unknown"]
        );
    }

    #[test]
    fn reject_metadata_that_is_not_known() {
        for wrong in [
            json!({"target": "wasm32-wasip1"}),
            json!({"target": ["wasm32-wasip2"]}),
            json!({"targets": []}),
            json!({"targets": ["wasm32-wasip2", "wasm32-wasip2"]}),
            json!({"tragets": ["wasm32-wasip2"]}),
        ] {
            assert!(targets_of(&wrong).is_err(), "{wrong}");
        }
    }
}
