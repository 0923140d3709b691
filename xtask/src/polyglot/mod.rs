//! `cargo xtask build --polyglot`: the components in C, JavaScript and Python, to `target/components/`.
//!
//! Nothing of ours is in them: each is what its language's own tools make of one source file. The tools come
//! from the registries this machine is set up with, at the versions and hashes that are pinned beside the
//! source, into `target/tools`; what is there is used again. A guest is built again only when something
//! it is made of has changed. The JavaScript engine keeps the paths it was made with, so the digest of that
//! component is of one build alone.

mod c;
mod javascript;
mod python;
mod wit;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use crate::build::{embed_manifest, write_if_changed};
use crate::step::Step;
use crate::workspace::Workspace;

/// One of them.
struct Guest {
    /// Of its folder in `components/`, and of the file.
    name: &'static str,
    /// The files in its folder that it is made of, its manifest and its world aside.
    sources: &'static [&'static str],
    /// What it is made with that no file in its folder pins.
    tools: fn(&Workspace) -> Result<String>,
    /// Gets the tools, and makes a component in a folder of its own.
    make: fn(&Job<'_>) -> Result<Vec<u8>>,
    /// How long it takes, tools included, and without.
    usual: &'static str,
}

const GUESTS: &[Guest] = &[
    Guest {
        name: "fetch-c",
        sources: &["main.c", c::REQUIREMENTS],
        tools: c::tools,
        make: c::make,
        usual: "5 min at first, then seconds",
    },
    Guest {
        name: "fetch-js",
        sources: &["main.js", "package.json", "package-lock.json"],
        tools: |_| Ok(String::new()),
        make: javascript::make,
        usual: "1 min at first, then 20 s",
    },
    Guest {
        name: "fetch-py",
        sources: &["main.py", python::REQUIREMENTS],
        tools: |_| Ok(String::new()),
        make: python::make,
        usual: "30 s at first, then 15 s",
    },
];

/// What making a guest has to go by.
struct Job<'a> {
    workspace: &'a Workspace,
    /// Where its sources are.
    sources: PathBuf,
    /// Empty, and its own.
    work: PathBuf,
    /// Its world, with the packages of WASI that it names: what every tool takes as a WIT folder.
    wit: PathBuf,
}

/// Builds all three.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    fs::create_dir_all(workspace.components())?;
    // Not the lock of the other components: what stands on those need not wait for a download.
    let lock = fs::File::create(workspace.target.join("polyglot.lock"))?;
    lock.lock()?;
    for guest in GUESTS {
        bring_up_to_date(workspace, guest)
            .with_context(|| format!("cannot build {}", guest.name))?;
    }
    Ok(())
}

/// The files that [`build`] makes, whether they are there or not.
pub(crate) fn files(workspace: &Workspace) -> impl Iterator<Item = PathBuf> {
    GUESTS.iter().map(|guest| file(workspace, guest))
}

fn file(workspace: &Workspace, guest: &Guest) -> PathBuf {
    workspace
        .components()
        .join(guest.name)
        .with_extension("wasm")
}

fn bring_up_to_date(workspace: &Workspace, guest: &Guest) -> Result<()> {
    let sources = workspace.root.join("components").join(guest.name);
    let work = workspace.target.join("polyglot").join(guest.name);
    let file = file(workspace, guest);
    let wasi = wit::wasi(workspace)?;
    let made_of = made_of(workspace, guest, &sources, &wasi)?;
    let stamp = work.join("made-of.txt");
    if file.is_file() && fs::read_to_string(&stamp).is_ok_and(|old| old == made_of) {
        return Ok(());
    }
    let step = Step::begin(format!("building {}", guest.name), guest.usual);
    if work.exists() {
        fs::remove_dir_all(&work)?;
    }
    fs::create_dir_all(&work)?;
    let job = Job {
        wit: wit::folder(&sources, &wasi, &work)?,
        workspace,
        sources,
        work,
    };
    let mut component = (guest.make)(&job)?;
    embed_manifest(&mut component, &job.sources.join("nexus.toml"))?;
    write_if_changed(&file, &component)?;
    fs::write(&stamp, made_of)?;
    step.end();
    eprintln!("    {}", workspace.show(&file));
    Ok(())
}

/// The text of all it is made of, to be compared with what it was made of before.
fn made_of(workspace: &Workspace, guest: &Guest, sources: &Path, wasi: &Path) -> Result<String> {
    let mut text = format!("{}\n{}\n", wasi.display(), (guest.tools)(workspace)?);
    for name in ["nexus.toml", "wit/world.wit"].iter().chain(guest.sources) {
        let path = sources.join(name);
        text += &read(&path)?;
    }
    Ok(text)
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// Makes a folder of tools be what a pinned list says: `install` fills it when it is missing or was made from
/// another list. A folder that was not finished is made again.
pub(crate) fn tools(folder: &Path, list: &str, install: impl FnOnce() -> Result<()>) -> Result<()> {
    let stamp = folder.join("installed-from.txt");
    if fs::read_to_string(&stamp).is_ok_and(|old| old == list) {
        return Ok(());
    }
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    install()?;
    fs::write(stamp, list)?;
    Ok(())
}

/// A component as a tool left it.
fn made(file: &Path) -> Result<Vec<u8>> {
    let bytes = fs::read(file).with_context(|| format!("no {} was made", file.display()))?;
    ensure!(
        bytes.starts_with(b"\0asm\x0d\0\x01\0"),
        "{} is not a component",
        file.display()
    );
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: tools are installed once a list, and again after a failure. Method: the same list, another, and an
    /// installation that breaks off.
    #[test]
    fn tools_are_installed_when_the_list_changes() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path().join("tools");
        let mut installed = 0;
        for (list, times) in [("a", 1), ("a", 1), ("b", 2), ("a", 3)] {
            tools(&folder, list, || {
                assert!(fs::read_dir(&folder)?.next().is_none(), "it is not empty");
                installed += 1;
                Ok(())
            })
            .expect("installs");
            assert_eq!(installed, times, "{list}");
        }
        tools(&folder, "c", || anyhow::bail!("no network")).expect_err("fails");
        tools(&folder, "c", || {
            installed += 1;
            Ok(())
        })
        .expect("installs");
        assert_eq!(installed, 4);
    }

    #[test]
    fn reject_what_is_not_a_component() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("x.wasm");
        assert!(made(&file).is_err(), "there is none");
        for bytes in [&b""[..], b"\0asm\x01\0\0\0", b"#!/bin/sh"] {
            fs::write(&file, bytes).expect("written");
            assert!(made(&file).is_err(), "{bytes:?}");
        }
        fs::write(&file, b"\0asm\x0d\0\x01\0").expect("written");
        assert!(made(&file).is_ok());
    }
}
