//! WASI's own WIT, which is no part of the repository: it is read from where cargo has put wasmtime-wasi-http,
//! whose 0.2 folder also has the packages that wasi:http names.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::step::run_quietly_ok;
use crate::workspace::Workspace;

/// Where WASI 0.2 is, one file a package.
pub(super) fn wasi(workspace: &Workspace) -> Result<PathBuf> {
    let metadata = run_quietly_ok(
        workspace
            .cargo()
            .args(["metadata", "--format-version=1", "--locked"]),
        Duration::from_secs(600),
    )?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let folder = package(&metadata, "wasmtime-wasi-http")?.join("wit/deps");
    ensure!(
        folder.join("http.wit").is_file(),
        "wasmtime-wasi-http no longer has wit/deps/http.wit; see where it keeps WASI 0.2 now"
    );
    Ok(folder)
}

/// Where cargo has a package that the workspace depends on.
fn package(metadata: &Value, name: &str) -> Result<PathBuf> {
    let manifest = metadata["packages"]
        .as_array()
        .and_then(|packages| packages.iter().find(|package| package["name"] == name))
        .and_then(|package| package["manifest_path"].as_str())
        .with_context(|| format!("`cargo metadata` knows no {name}"))?;
    Ok(Path::new(manifest)
        .parent()
        .context("a manifest is in a folder")?
        .to_path_buf())
}

/// A guest's world with WASI beside it, in the layout all WIT tools read: `world.wit` and `deps/`.
pub(super) fn folder(sources: &Path, wasi: &Path, work: &Path) -> Result<PathBuf> {
    let wit = work.join("wit");
    let deps = wit.join("deps");
    fs::create_dir_all(&deps)?;
    fs::copy(sources.join("wit/world.wit"), wit.join("world.wit")).context("no wit/world.wit")?;
    for entry in fs::read_dir(wasi)? {
        let entry = entry?;
        fs::copy(entry.path(), deps.join(entry.file_name()))?;
    }
    Ok(wit)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_package_is_where_its_manifest_is() {
        let metadata = json!({"packages": [
            {"name": "other", "manifest_path": "/x/other/Cargo.toml"},
            {"name": "it", "manifest_path": "/x/it-1.0/Cargo.toml"},
        ]});
        let found = package(&metadata, "it").expect("is there");
        assert_eq!(found, Path::new("/x/it-1.0"));
        assert!(package(&metadata, "missing").is_err());
        assert!(package(&Value::Null, "it").is_err());
    }
}
