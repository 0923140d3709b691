//! The operator's files: that they can be read, and that nobody else can write them.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::finding::{Finding, Level};
use super::fix::Fix;
use crate::cli::policies::{MACHINE, read, user_file};

const WHY: &str = "an app starts only under policies that were read whole: one may hold a forbid";
const WHY_WRITABLE: &str = "who can write a policy can grant any app anything";

/// Root's, by the numbers of every Unix.
const ROOT: u32 = 0;

pub(super) fn look(findings: &mut Vec<Finding>) {
    file(Path::new(MACHINE), "the machine's", findings);
    match user_file() {
        Some(path) => file(&path, "the user's", findings),
        None => {
            let what = "the user's policy is looked for nowhere: neither HOME nor XDG_CONFIG_HOME is an absolute path";
            findings.push(Finding::new("policy", Level::Note, what, WHY));
        }
    }
}

fn file(path: &Path, whose: &str, findings: &mut Vec<Finding>) {
    let shown = path.display();
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let what = format!("{shown} is not there: {whose} policy says nothing");
            findings.push(Finding::new("policy", Level::Note, what, WHY));
            return;
        }
        _ => {}
    }
    findings.push(match read(path) {
        Ok(policy) => {
            let rules = match policy.rules().len() {
                1 => "1 rule".to_owned(),
                many => format!("{many} rules"),
            };
            Finding::new("policy", Level::Ok, format!("{shown}: {rules}"), WHY)
        }
        Err(error) => Finding::new("policy", Level::Error, error.message, WHY)
            .advise("mend the file; until then no app starts"),
    });
    // What a link leads to is what is read; and a name can be led elsewhere by whoever can write its folder.
    let real = fs::canonicalize(path).ok();
    let folder = path
        .parent()
        .and_then(|folder| fs::canonicalize(folder).ok());
    let real_folder = real
        .as_deref()
        .and_then(Path::parent)
        .map(Path::to_path_buf);
    let mut paths: Vec<_> = [real, folder, real_folder].into_iter().flatten().collect();
    paths.dedup();
    for path in paths {
        findings.extend(writable(&path));
    }
}

fn writable(path: &Path) -> Option<Finding> {
    let metadata = fs::metadata(path).ok()?;
    let us = rustix::process::geteuid().as_raw();
    let shown = path.display();
    if ![ROOT, us].contains(&metadata.uid()) {
        let what = format!("{shown} belongs to user {}", metadata.uid());
        return Some(
            Finding::new("policy", Level::Warning, what, WHY_WRITABLE)
                .advise(format!("as root: chown root {shown}")),
        );
    }
    let mode = metadata.mode() & 0o777;
    if mode & 0o022 == 0 {
        return None;
    }
    let what = format!("{shown} can be written by others (mode {mode:03o})");
    let finding = Finding::new("policy", Level::Warning, what, WHY_WRITABLE);
    Some(if metadata.uid() == us {
        finding.mend(Fix {
            path: path.to_path_buf(),
            without: 0o022,
        })
    } else {
        finding.advise(format!("as root: chmod go-w {shown}"))
    })
}
