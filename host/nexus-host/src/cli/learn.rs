//! `--mode learn OUT.toml`: what a run used, written as a manifest for review.
//!
//! The file is new or not written at all: nothing a person has looked at is replaced by what an app
//! did. It says at its top where it comes from; the app's arguments are left out of that, as they may
//! hold what nobody else should read. The values of `[wasi] env` cannot be left out, as a manifest has no other place
//! for them; so nobody but who runs the app can read the file.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use nexus_policy::explain::escape;
use nexus_policy::wasi::join_path;
use nexus_policy::{Admission, Capability, Learnt};
use serde_json::{Value, json};

use super::app::Candidate;
use super::policies::wall_time;
use super::{CliError, Kind};
use crate::runtime::shown;

/// What is known of the app before it runs, and wanted when it has.
pub(super) struct Learning {
    out: PathBuf,
    id: String,
    version: Option<String>,
    digest: String,
    imported: Vec<Capability>,
    rest: String,
    /// How many folders and variables there are in `rest`.
    kept: [usize; 2],
    /// Folders that `host` would not lead to from the new file's folder: as written, and where they are.
    folders: Vec<(String, String)>,
}

/// Whether the file could be written, before there is anything to write, and is not where the report goes.
pub(super) fn check(out: &Path, report: Option<&Path>) -> Result<(), CliError> {
    let there = || {
        let message = format!(
            "--mode learn: {} is there already, and no file is written over",
            shown::path(out)
        );
        CliError::new(Kind::Usage, message).hint("name a new file, or move that one away")
    };
    let tried = create(out).and_then(|file| {
        let made = file.metadata()?;
        // By what they lead to, and not by how they are written: `./x` is `x`, and a link may be.
        let same = report
            .and_then(|report| fs::metadata(report).ok())
            .is_some_and(|report| (report.dev(), report.ino()) == (made.dev(), made.ino()));
        fs::remove_file(out)?;
        Ok(same)
    });
    match tried {
        Ok(false) => Ok(()),
        Ok(true) => {
            let message = format!("--mode learn and --report both name {}", shown::path(out));
            Err(CliError::new(Kind::Usage, message).hint("name two files"))
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Err(there()),
        Err(error) => Err(CliError::new(
            Kind::Host,
            format!("--mode learn: {}: {error}", shown::path(out)),
        )),
    }
}

fn create(out: &Path) -> io::Result<fs::File> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(out)
}

impl Learning {
    pub(super) fn new(out: &Path, candidate: &Candidate, admission: &Admission) -> Self {
        let imported = |capability: &Capability| {
            let mut imports = admission.imports.iter();
            imports.any(|import| import.capabilities.contains(capability))
        };
        let manifest = &candidate.manifest;
        let folder = match out.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let folder = folder.canonicalize().ok();
        let folder = folder.as_deref().and_then(Path::to_str);
        let folders = manifest.directories().iter().filter_map(|directory| {
            let was = directory.path.clone()?;
            let is = join_path(folder?, &directory.host);
            (is.as_ref() != Some(&was)).then(|| (directory.host.clone(), was))
        });
        Self {
            out: out.to_owned(),
            id: candidate.identity.id.clone(),
            version: manifest.app().and_then(|app| app.version.clone()),
            digest: candidate.identity.digest.to_string(),
            imported: Capability::ALL.into_iter().filter(imported).collect(),
            rest: manifest.rest(),
            kept: [manifest.directories().len(), manifest.variables().len()],
            folders: folders.collect(),
        }
    }

    /// Writes what was learnt. `ended`: how the run did. What to say of it, and what to report.
    pub(super) fn write(&self, learnt: &Learnt, ended: &str) -> Result<(String, Value), CliError> {
        let text = self.text(learnt, ended);
        let written = create(&self.out).and_then(|mut file| {
            let written = file.write_all(text.as_bytes());
            if written.is_err() {
                let _ = fs::remove_file(&self.out);
            }
            written
        });
        let out = shown::path(&self.out);
        written.map_err(|error| {
            let message = format!("--mode learn: {out}: {error}; what was learnt is lost");
            CliError::new(Kind::Host, message)
        })?;
        let rules: usize = Capability::ALL
            .into_iter()
            .map(|capability| learnt.rules(capability).len())
            .sum();
        let [folders, variables] = self.kept;
        let mut line = format!("learn  wrote {out}: ");
        line.push_str(&match (rules, folders + variables) {
            (0, 0) => "it asks for nothing, as nothing was used".to_owned(),
            (0, _) => "no rule, as nothing was used".to_owned(),
            _ => count(rules, "rule"),
        });
        if folders + variables > 0 {
            line.push_str(&format!(
                "; of [wasi], as it was, {} and {}",
                count(folders, "folder"),
                count(variables, "variable")
            ));
        }
        if variables > 0 {
            line.push_str(" with their values: only you can read the file");
        }
        if learnt.left_out() > 0 {
            line.push_str(&format!("; {} acts are in none", learnt.left_out()));
        }
        line.push_str(". Nothing applies it: review it, then pass it as --manifest\n");
        let report = json!({
            "file": self.out.display().to_string(),
            "rules": rules,
            "folders": folders,
            "variables": variables,
            "left_out": learnt.left_out(),
        });
        Ok((line, report))
    }

    fn text(&self, learnt: &Learnt, ended: &str) -> String {
        let mut head = format!(
            "For review, and applied by nothing: what one run of `{}` used, as the smallest manifest that allows it.\n\
             Written at {} by nexus-host {}, of {}\n\
             {}\n\
             The run ended with {ended}.\n",
            escape(&self.id),
            wall_time().utc(),
            env!("CARGO_PKG_VERSION"),
            self.digest,
            command(),
        );
        match learnt.left_out() {
            0 => {}
            1 => {
                head.push_str("1 act is in no rule: no rule can name it, or there were too many.\n")
            }
            many => head.push_str(&format!(
                "{many} acts are in no rule: no rule can name them, or there were too many.\n"
            )),
        }
        if self.kept[1] > 0 {
            head.push_str(
                "The values of variables are in it as they were: mind who may read it.\n",
            );
        }
        for (host, was) in &self.folders {
            head.push_str(&format!(
                "The folder {} was {}, and is now taken from the folder this file is in.\n",
                escape(host),
                escape(was)
            ));
        }
        let head: String = head.lines().map(|line| format!("# {line}\n")).collect();
        let version = self.version.as_deref();
        let manifest = learnt.manifest(&self.id, version, &self.imported, &self.rest);
        format!("{head}\n{manifest}")
    }
}

fn count(number: usize, what: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {what}{s}")
}

/// The command of this run, without what it passes to the app.
fn command() -> String {
    let mut words = vec!["nexus-host".to_owned()];
    let mut arguments = std::env::args_os().skip(1);
    let ours = arguments.by_ref().take_while(|word| word != "--");
    words.extend(ours.map(|word| escape(&word.to_string_lossy())));
    let line = words.join(" ");
    match arguments.count() {
        0 => line,
        1 => format!("{line} -- (1 argument of the app's)"),
        many => format!("{line} -- ({many} arguments of the app's)"),
    }
}
