//! The operator's files: where they are, and that they are read.

use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use nexus_policy::{Gate, Policy, Topology, WallTime};
use nexus_types::{Instant, limits};

use super::publishers::Publishers;
use super::{CliError, Kind};
use crate::runtime::load::read_text;
use crate::runtime::shown;

/// The machine's policy: its forbids always hold.
pub(super) const MACHINE: &str = "/etc/nexus-host/policy.toml";

/// What the operator has written: for the machine, and for this run or this user.
#[derive(Clone, Debug)]
pub(super) struct Policies {
    machine: Policy,
    operator: Policy,
}

impl Policies {
    /// Reads the machine's file if there is one, then `named`, or else the user's if there is one.
    /// Never a file in the app's folder: an app would grant itself.
    pub(super) fn read(named: Option<&Path>) -> Result<Self, CliError> {
        let machine = read_if_there(Path::new(MACHINE))?;
        let operator = match (named, user_file()) {
            (Some(path), _) => read(path)?,
            (None, Some(path)) => read_if_there(&path)?,
            (None, None) => Policy::none(),
        };
        Ok(Self { machine, operator })
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

    /// Gives them to a gate.
    pub(super) fn set(&self, gate: &mut Gate, now: Instant) {
        gate.set_policies(
            now,
            wall_time(),
            self.machine.clone(),
            self.operator.clone(),
        );
    }

    /// A gate with these and nobody behind it, to ask before anything of a network stands.
    pub(super) fn gate(&self) -> Gate {
        let mut gate = Gate::new(Topology::default());
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
fn read_if_there(path: &Path) -> Result<Policy, CliError> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Policy::none()),
        // What stands in the way (a folder without rights) is reported by reading.
        _ => read(path),
    }
}

/// Reads a policy.
pub(super) fn read(path: &Path) -> Result<Policy, CliError> {
    let text = read_text(path, limits::POLICY_BYTES)
        .map_err(|error| CliError::new(Kind::Config, error))?;
    Policy::parse(&text, &shown::path(path)).map_err(|error| CliError::new(Kind::Config, error))
}
