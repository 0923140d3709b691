//! The state folder: keys, answers, the audit log, compiled code. It is the user's alone.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{Access, access};

use super::finding::{Finding, Level};
use super::fix::Fix;
use crate::cli::consent::store;
use crate::runtime::cache::CodeCache;

/// Entries looked at, all folders together. What we keep is a dozen beside compiled code and the log's files; more is
/// not ours.
const ENTRIES_MAX: usize = 16 << 10;

/// Folders in folders. We make none below those of the state folder.
const DEPTH_MAX: usize = 3;

/// Those we make; a link in their place is not followed by who would use it.
const FOLDERS: [&str; 5] = ["keys", "audit", "audit-heads", "control", "code-cache"];

const WHY_FOLDER: &str =
    "it holds keys and what you have agreed to: who can write it can answer for you";
const WHY_KEY: &str = "who reads a key can pass for this host, or have code run unchecked";
const WHY_FILE: &str = "what the host remembers of you is nobody else's";
const WHY_CONSENT: &str = "an app starts only where all answers were read: one may be a no";
const WHY_CACHE: &str = "without it apps are compiled at each start";

pub(super) fn look(state: Option<&Path>, no_cache: bool, findings: &mut Vec<Finding>) {
    let Some(state) = state else {
        let what = "there is no state folder: neither HOME nor XDG_STATE_HOME is an absolute path";
        findings.push(
            Finding::new("state", Level::Warning, what, WHY_CACHE)
                .advise("set HOME, or name a folder with --state DIR"),
        );
        return;
    };
    let shown = state.display();
    let metadata = match fs::symlink_metadata(state) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            findings.push(to_be_made(state));
            return;
        }
        Err(error) => {
            let what = format!("{shown}: {error}");
            findings.push(
                Finding::new("state", Level::Error, what, WHY_FOLDER)
                    .advise("make it readable to you, or name another with --state DIR"),
            );
            return;
        }
    };
    if !metadata.is_dir() {
        let what = format!("{shown} is not a folder (a link is not followed)");
        findings.push(
            Finding::new("state", Level::Error, what, WHY_FOLDER)
                .advise("move it away, or name another with --state DIR"),
        );
        return;
    }
    match exposed(state, &metadata, "state", WHY_FOLDER, Level::Error) {
        Some(finding) => findings.push(finding),
        None => findings.push(Finding::new(
            "state",
            Level::Ok,
            format!("{shown} is yours alone"),
            WHY_FOLDER,
        )),
    }
    let before = findings.len();
    look_inside(state, findings);
    if no_cache {
        let what = "compiled code is not kept (--no-cache)";
        findings.push(Finding::new("cache", Level::Note, what, WHY_CACHE));
    } else if findings[before - 1..].iter().all(|f| f.level == Level::Ok) {
        findings.push(cache(state));
    }
}

fn to_be_made(state: &Path) -> Finding {
    let there = state.ancestors().skip(1).find(|folder| folder.exists());
    let writable = there.is_some_and(|folder| access(folder, Access::WRITE_OK).is_ok());
    let shown = state.display();
    if writable {
        let what = format!("{shown} is not there; it is made when it is first needed");
        Finding::new("state", Level::Note, what, WHY_FOLDER)
    } else {
        let what = format!("{shown} is not there, and you cannot make it");
        Finding::new("state", Level::Error, what, WHY_CACHE)
            .advise("name a folder of yours with --state DIR")
    }
}

/// Every file and folder in it, and in those: keys first of all, but nothing there is others' to see.
fn look_inside(state: &Path, findings: &mut Vec<Finding>) {
    let mut left = ENTRIES_MAX;
    look_into(state, 0, &mut left, findings);
    if left == 0 {
        let what = format!(
            "{} has more than {ENTRIES_MAX} entries; the rest was not looked at",
            state.display()
        );
        findings.push(
            Finding::new("state", Level::Warning, what, WHY_FILE)
                .advise("move away what is not the host's"),
        );
    }
    // Read as a start would, which others' rights alone make fail: these are told above, each with what mends it.
    if findings.iter().any(|finding| finding.fix.is_some()) {
        return;
    }
    if let Err(error) = store::read(state) {
        let finding = Finding::new("consent", Level::Error, error.message, WHY_CONSENT);
        findings.push(match error.hint {
            Some(hint) => finding.advise(hint),
            None => finding,
        });
    }
}

fn look_into(folder: &Path, depth: usize, left: &mut usize, findings: &mut Vec<Finding>) {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => {
            let what = format!("{}: {error}", folder.display());
            findings.push(
                Finding::new("state", Level::Error, what, WHY_FOLDER)
                    .advise(format!("chmod u+rwx {}", folder.display())),
            );
            return;
        }
    };
    let mut paths: Vec<_> = entries
        .flatten()
        .take(*left)
        .map(|entry| entry.path())
        .collect();
    *left -= paths.len();
    paths.sort();
    for path in paths {
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        let name = path.file_name().unwrap_or_default();
        let finding = if path.extension().is_some_and(|extension| extension == "key") {
            key(&path, &metadata)
        } else if depth == 0 && FOLDERS.iter().any(|ours| name == *ours) && !metadata.is_dir() {
            let what = format!(
                "{} is not a folder (a link is not followed)",
                path.display()
            );
            Some(
                Finding::new("state", Level::Error, what, WHY_FILE)
                    .advise("move it away; a new one is made"),
            )
        } else if metadata.is_symlink() {
            // What it leads to is not ours to judge, and none of ours is followed.
            None
        } else {
            exposed(&path, &metadata, "state", WHY_FILE, Level::Warning)
        };
        findings.extend(finding);
        if metadata.is_dir() && depth < DEPTH_MAX {
            look_into(&path, depth + 1, left, findings);
        }
    }
}

fn key(path: &Path, metadata: &Metadata) -> Option<Finding> {
    if !metadata.is_file() {
        let what = format!("{} is not a file (a link is not followed)", path.display());
        return Some(
            Finding::new("keys", Level::Error, what, WHY_KEY)
                .advise("move it away; a new key is made"),
        );
    }
    let finding = exposed(path, metadata, "keys", WHY_KEY, Level::Error)?;
    // Taking the right away does not take back what was read.
    let advice = finding.advice.as_ref().map(|advice| {
        format!("{advice}\nif others use this machine, remove the key instead: a new one is made")
    });
    Some(Finding { advice, ..finding })
}

/// What is wrong with who can get at a file of ours.
fn exposed(
    path: &Path,
    metadata: &Metadata,
    check: &'static str,
    why: &'static str,
    level: Level,
) -> Option<Finding> {
    let us = rustix::process::geteuid().as_raw();
    let shown = path.display();
    if metadata.uid() != us {
        let what = format!(
            "{shown} belongs to user {}, not to user {us}",
            metadata.uid()
        );
        return Some(Finding::new(check, Level::Error, what, why).advise(format!(
            "as root: chown {us} {shown}; or name another folder with --state DIR"
        )));
    }
    let mode = metadata.mode() & 0o777;
    if mode & 0o077 == 0 {
        return None;
    }
    let what = format!("{shown} is open to other users (mode {mode:03o})");
    Some(Finding::new(check, level, what, why).mend(Fix {
        path: path.to_path_buf(),
        without: 0o077,
    }))
}

fn cache(state: &Path) -> Finding {
    let (folder, key) = (state.join("code-cache"), state.join("code-cache.key"));
    if !(folder.exists() && key.exists()) {
        let what = "no compiled code is kept yet; the first run of an app makes it";
        return Finding::new("cache", Level::Note, what, WHY_CACHE);
    }
    // Makes nothing: folder and key are there.
    let mut cache = CodeCache::open(state);
    match cache.take_warnings().into_iter().next() {
        Some(warning) => Finding::new("cache", Level::Warning, warning, WHY_CACHE)
            .advise(format!("remove {}; a new one is made", folder.display())),
        None if access(&folder, Access::WRITE_OK).is_err() => {
            let what = format!("{} cannot be written", folder.display());
            Finding::new("cache", Level::Warning, what, WHY_CACHE)
                .advise(format!("chmod u+w {}", folder.display()))
        }
        None => Finding::new("cache", Level::Ok, "compiled code is kept", WHY_CACHE),
    }
}
