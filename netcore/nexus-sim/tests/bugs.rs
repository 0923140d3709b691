//! Bugs put in on purpose: each is found by the checker that should find it, within 10,000 seeds, and its seed shows
//! it again. What proves nothing finds nothing.
//!
//! `tests/bugs/*.patch` say what each changes and who is to find it. They are applied to a copy of netcore below the
//! target folder, which is built and run there; this tree is never changed.

#![expect(
    clippy::disallowed_methods,
    reason = "outside netcore's sources: builds and runs a changed copy of them"
)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use nexus_sim::standard::{self, Options, Outcome};

const SEEDS: u64 = 10_000;

const PATCHES: [&str; 3] = ["dropped-wake-up", "flow-not-freed", "address-check-skipped"];

fn root() -> &'static Path {
    let netcore = Path::new(env!("CARGO_MANIFEST_DIR")).parent();
    netcore
        .and_then(Path::parent)
        .expect("netcore is in the workspace")
}

fn patch(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/bugs/{name}.patch"))
}

/// `git apply` as if `folder` were in no repository.
fn apply(folder: &Path, name: &str, arguments: &[&str]) {
    let output = Command::new("git")
        .current_dir(folder)
        .env("GIT_CEILING_DIRECTORIES", folder.parent().unwrap_or(folder))
        .arg("apply")
        .args(arguments)
        .arg(patch(name))
        .output()
        .expect("git runs");
    assert!(
        output.status.success(),
        "{name}.patch does not apply any more: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn every_patch_still_applies() {
    for name in PATCHES {
        apply(root(), name, &["--check"]);
        let text = fs::read_to_string(patch(name)).expect("readable");
        assert!(text.contains("To be found by: "), "{name}");
    }
    let files = fs::read_dir(root().join("netcore/nexus-sim/tests/bugs")).expect("readable");
    assert_eq!(files.count(), PATCHES.len(), "each is in the list");
}

#[test]
#[ignore = "compiles netcore four times: `cargo test --release -p nexus-sim --test bugs each_bug -- --ignored --nocapture`"]
fn each_bug_is_found_by_the_checker_that_should_find_it() {
    for name in PATCHES {
        let text = fs::read_to_string(patch(name)).expect("readable");
        let finder = text
            .lines()
            .find_map(|line| line.strip_prefix("To be found by: "));
        let copy = copy();
        apply(&copy, name, &[]);
        let found = hunt_in(&copy);
        println!("{name}: {found}");
        let expected = format!("found by {} ", finder.expect("it says who"));
        assert!(found.starts_with(&expected), "{name}: {found}");
    }
}

/// A copy of netcore that is a workspace of its own.
fn copy() -> PathBuf {
    let copy = root().join("target/bugs");
    let netcore = copy.join("netcore");
    if netcore.exists() {
        fs::remove_dir_all(&netcore).expect("removable");
    }
    for crate_ in ["types", "policy", "stack", "node", "sim"] {
        let name = format!("nexus-{crate_}");
        copy_folder(&root().join("netcore").join(&name), &netcore.join(&name));
    }
    fs::copy(root().join("Cargo.lock"), copy.join("Cargo.lock")).expect("copied");
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("readable");
    let is_member = |line: &str| line.starts_with("  \"") && line.ends_with("\",");
    let manifest: Vec<_> = manifest
        .lines()
        .filter(|line| !is_member(line) || line.contains("netcore/"))
        .collect();
    fs::write(copy.join("Cargo.toml"), manifest.join("\n")).expect("written");
    copy
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("readable") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).expect("copied");
        }
    }
}

/// Runs [`hunt`] there; its last word.
fn hunt_in(copy: &Path) -> String {
    let output = Command::new(env!("CARGO"))
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", copy.join("target"))
        .args([
            "test",
            "--offline",
            "--release",
            "-p",
            "nexus-sim",
            "--test",
            "bugs",
        ])
        .args(["hunt", "--", "--ignored", "--exact", "--nocapture"])
        .output()
        .expect("cargo runs");
    let said = String::from_utf8_lossy(&output.stdout);
    let found = said.lines().find_map(|line| line.strip_prefix("hunt: "));
    found.map(str::to_owned).unwrap_or_else(|| {
        let errors = String::from_utf8_lossy(&output.stderr);
        panic!("the hunt said nothing: {said}\n{errors}")
    })
}

fn run(seed: u64) -> Outcome {
    standard::run(seed, &Options::default()).expect("the options make a world")
}

/// Looks for the first seed that fails, and sees that it fails again in the same way.
#[test]
#[ignore = "says which seed fails first; of an unchanged tree none does"]
fn hunt() {
    for seed in 0..SEEDS {
        let outcome = run(seed);
        let Some(first) = outcome.violations.first() else {
            continue;
        };
        let again = run(seed);
        assert_eq!(again.hash, outcome.hash);
        assert_eq!(again.violations, outcome.violations);
        println!(
            "hunt: found by {} at seed {seed}: {first}; {}",
            first.checker,
            common::replay_command("two", seed)
        );
        return;
    }
    println!("hunt: nothing in {SEEDS} seeds");
}
