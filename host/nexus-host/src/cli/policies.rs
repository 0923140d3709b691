//! The operator's files: where they are, and that they are read.

use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nexus_policy::explain::escape;
use nexus_policy::{Gate, Policy, WallTime};
use nexus_types::{Instant, limits};

use super::publishers::Publishers;
use super::{CliError, Kind};
use crate::driver::user_topology;
use crate::runtime::load::{read_text, read_text_again};
use crate::runtime::shown;
use crate::runtime::stdio::say;

/// The machine's policy: its forbids always hold.
pub(super) const MACHINE: &str = "/etc/nexus-host/policy.toml";

/// What the operator has written: for the machine, and for this run or this user.
#[derive(Clone, Debug)]
pub(super) struct Policies {
    machine: Policy,
    operator: Policy,
    /// Which of the files others can change, and how that is mended.
    open: Vec<String>,
}

impl Policies {
    /// Reads the machine's file if there is one, then `named`, or else the user's if there is one.
    /// Never a file in the app's folder: an app would grant itself.
    pub(super) fn read(named: Option<&Path>) -> Result<Self, CliError> {
        let mut open = Vec::new();
        let machine = read_if_there(Path::new(MACHINE), &mut open)?;
        let operator = match (named, user_file()) {
            (Some(path), _) => read_again(path, &mut open)?,
            (None, Some(path)) => read_if_there(&path, &mut open)?,
            (None, None) => Policy::none(),
        };
        Ok(Self {
            machine,
            operator,
            open,
        })
    }

    /// Says which of the files others can change: they decide what apps may do, then.
    pub(super) fn warn(&self) {
        for open in &self.open {
            say(&format!("warning: {open}\n"));
        }
    }

    /// The most memory any app can be given under these.
    pub(super) fn memory_bytes_cap(&self) -> u64 {
        [&self.machine, &self.operator]
            .iter()
            .filter_map(|policy| policy.limits().memory)
            .min()
            .unwrap_or(limits::MEMORY_BYTES_CAP)
    }

    /// The files, for a record.
    pub(super) fn files(&self) -> String {
        let files: Vec<_> = [&self.machine, &self.operator]
            .iter()
            .filter_map(|policy| policy.source())
            .collect();
        files.join(" ")
    }

    /// The keys they name.
    pub(super) fn publishers(&self) -> Publishers {
        Publishers::of([&self.machine, &self.operator])
    }

    /// Whether an app that nobody listed signed may not start.
    pub(super) fn require_signature(&self) -> bool {
        self.machine.requires_signature() || self.operator.requires_signature()
    }

    /// Gives them to a gate.
    pub(super) fn set(&self, gate: &mut Gate, now: Instant) {
        gate.set_policies(
            now,
            wall_time(),
            self.machine.clone(),
            self.operator.clone(),
        );
    }

    /// A gate with these and nobody behind it, to ask before anything of a network stands: as on the one of
    /// `--net user`.
    pub(super) fn gate(&self) -> Gate {
        let mut gate = Gate::new(user_topology());
        self.set(&mut gate, Instant::ZERO);
        gate
    }
}

/// The time of day.
pub(super) fn wall_time() -> WallTime {
    let seconds = match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |s| -s),
    };
    WallTime(seconds)
}

/// Where the user's own is looked for.
pub(super) fn user_file() -> Option<PathBuf> {
    let absolute = |name: &str| {
        std::env::var_os(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    absolute("XDG_CONFIG_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".config")))
        .map(|dir| dir.join("nexus-host/policy.toml"))
}

/// No file is no policy; a file that cannot be read is an error, for it may hold a forbid.
fn read_if_there(path: &Path, open: &mut Vec<String>) -> Result<Policy, CliError> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Policy::none()),
        // What stands in the way (a folder without rights) is reported by reading.
        _ => read_again(path, open),
    }
}

/// Reads a policy that is read again at a reload.
fn read_again(path: &Path, open: &mut Vec<String>) -> Result<Policy, CliError> {
    let (text, metadata) = read_text_again(path, limits::POLICY_BYTES)
        .map_err(|error| CliError::new(Kind::Config, error))?;
    open.extend(open_to_others(path, &metadata));
    Policy::parse(&text, &shown::path(path)).map_err(|error| CliError::new(Kind::Config, error))
}

/// Who else can change a policy.
fn open_to_others(path: &Path, metadata: &Metadata) -> Option<String> {
    let shown = escape(&path.display().to_string());
    let us = rustix::process::geteuid().as_raw();
    let (uid, mode) = (metadata.uid(), metadata.mode() & 0o777);
    if uid != us && uid != 0 {
        return Some(format!(
            "{shown} belongs to user {uid}, who can grant any app anything; run: chown {us} {shown}"
        ));
    }
    (mode & 0o022 != 0).then(|| {
        format!(
            "other users can write {shown} (mode {mode:o}), and grant any app anything; run: chmod go-w {shown}"
        )
    })
}

/// Reads a policy.
pub(super) fn read(path: &Path) -> Result<Policy, CliError> {
    let text = read_text(path, limits::POLICY_BYTES)
        .map_err(|error| CliError::new(Kind::Config, error))?;
    Policy::parse(&text, &shown::path(path)).map_err(|error| CliError::new(Kind::Config, error))
}
