//! Rules of the house that a machine can check over the whole repository.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("xtask is in the workspace")
}

/// Every file below `folder`, without what git does not keep.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable entry").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if path.is_symlink() || name == "target" || name == ".git" {
            continue;
        }
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn all_files() -> Vec<PathBuf> {
    let mut found = Vec::new();
    files(root(), &mut found);
    found
}

fn show(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}

fn manifests() -> Vec<PathBuf> {
    all_files()
        .into_iter()
        .filter(|path| path.file_name().is_some_and(|name| name == "Cargo.toml"))
        .collect()
}

#[test]
fn every_crate_inherits_the_lints() {
    let mut wrong = Vec::new();
    for path in manifests() {
        let text = fs::read_to_string(&path).expect("readable");
        let table: toml::Table = text.parse().expect("TOML");
        // A workspace of its own (fuzz) cannot inherit; it is checked like any other by clippy.
        if !table.contains_key("package") || table.contains_key("workspace") {
            continue;
        }
        let inherits = table
            .get("lints")
            .and_then(|lints| lints.get("workspace"))
            .and_then(toml::Value::as_bool);
        if inherits != Some(true) {
            wrong.push(show(&path));
        }
    }
    assert!(
        wrong.is_empty(),
        "these need `[lints]` with `workspace = true`: {wrong:#?}"
    );
}

/// A `//!` says in its first line what the file is for.
#[test]
fn every_source_file_has_a_header() {
    let wrong: Vec<String> = all_files()
        .iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .filter(|path| {
            let text = fs::read_to_string(path).expect("UTF-8");
            !text
                .lines()
                .find(|line| !line.trim().is_empty() && !line.starts_with("#!"))
                .is_some_and(|line| line.starts_with("//! "))
        })
        .map(|path| show(path))
        .collect();
    assert!(
        wrong.is_empty(),
        "these begin without `//! ...`: {wrong:#?}"
    );
}

/// Hosts of package registries and their mirrors, and paths of the machines we work on: a clone
/// works wherever it is, with whatever mirror its machine is set up with.
#[test]
fn no_file_names_a_registry_or_a_machine() {
    // Written in halves, so that this file does not hold what it looks for.
    let banned: Vec<String> = [
        ("deb.debian", ".org"),
        ("snapshot.debian", ".org"),
        ("static.rust-lang", ".org"),
        ("index.crates", ".io"),
        ("static.crates", ".io"),
        ("pypi", ".org"),
        ("pythonhosted", ".org"),
        ("registry.npmjs", ".org"),
        ("proxy.golang", ".org"),
        ("/work", "/main"),
        ("/work", "/wt"),
        ("/work", "/shared"),
        ("/root", "/."),
    ]
    .iter()
    .map(|(one, two)| format!("{one}{two}"))
    .collect();
    let mut wrong = Vec::new();
    for path in all_files() {
        // Fuzz inputs are bytes, not text.
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        for (number, line) in text.lines().enumerate() {
            for found in banned
                .iter()
                .filter(|banned| line.contains(banned.as_str()))
            {
                wrong.push(format!("{}:{}: {found}", show(&path), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
