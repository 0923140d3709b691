//! `STATE/consent.toml`: read whole or not at all, and replaced in one step under a lock.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nexus_policy::Remembered;
use nexus_policy::explain::escape;
use nexus_policy::remembered::REMEMBERED_BYTES;
use rustix::fs::{Access, FlockOperation, OFlags, access, flock};

use crate::cli::{CliError, Kind};
use crate::runtime::owned::{check_own_dir, open_own, own_dir};
use crate::runtime::shown;

/// What tells this start of the machine from every other.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The file of a state folder.
pub(in crate::cli) fn path(state: &Path) -> PathBuf {
    state.join("consent.toml")
}

/// Which start of the machine this is; none: it does not say.
pub(in crate::cli) fn boot() -> Option<String> {
    let text = fs::read_to_string(BOOT_ID).ok()?;
    let id = text.trim();
    (!id.is_empty()).then(|| id.to_owned())
}

/// What is remembered. No file: nothing.
///
/// # Errors
/// There is one that cannot be read or understood: what is in it may be a no.
pub(in crate::cli) fn read(state: &Path) -> Result<Remembered, CliError> {
    let path = path(state);
    let fail = |error: &dyn std::fmt::Display| {
        let path = escape(&path.display().to_string());
        CliError::new(Kind::Config, format!("{path}: {error}"))
            .hint("mend it, or remove it: what was answered is asked again then")
    };
    let mut file = match open_own(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Remembered::default()),
        Err(error) => return Err(fail(&error)),
    };
    // As the host makes them, and not as an unpacked archive does: an app could bring its answers along.
    check_own_dir(state).map_err(|error| fail(&format!("the folder it is in: {error}")))?;
    let mode = file.metadata().map_err(|error| fail(&error))?.mode() & 0o777;
    if mode & 0o077 != 0 {
        let shown = escape(&path.display().to_string());
        return Err(fail(&format!(
            "other users can read it (mode {mode:o}), so it is not as the host wrote it; if the answers in it are \
             yours, run: chmod 600 {shown}"
        )));
    }
    let mut text = String::new();
    let most = REMEMBERED_BYTES + 1;
    match (&mut file).take(most).read_to_string(&mut text) {
        Ok(_) => {}
        Err(error) => return Err(fail(&error)),
    }
    Remembered::parse(&text, &shown::path(&path)).map_err(|error| {
        CliError::new(Kind::Config, error)
            .hint("mend it, or remove it: what was answered is asked again then")
    })
}

/// Whether something could be kept there: the folder is ours and can be written, or can be made. Makes nothing.
///
/// # Errors
/// Why not.
pub(in crate::cli) fn keeps(state: &Path) -> io::Result<()> {
    let there = match check_own_dir(state) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut above = state.ancestors().skip(1);
            above
                .find(|folder| folder.is_dir())
                .unwrap_or(Path::new("."))
        }
        ours => ours.map(|()| state)?,
    };
    access(there, Access::WRITE_OK).map_err(io::Error::from)
}

/// Changes what is remembered, as it is now; another host waits until that is done.
///
/// # Errors
/// It cannot be read or written: nothing was changed.
pub(in crate::cli) fn change<T>(
    state: &Path,
    change: impl FnOnce(&mut Remembered) -> T,
) -> Result<(Remembered, T), CliError> {
    let host = |error: io::Error| {
        let path = escape(&path(state).display().to_string());
        CliError::new(Kind::Host, format!("{path}: {error}"))
    };
    own_dir(state).map_err(host)?;
    // Held until it is dropped; never removed, or two would hold it.
    let _lock = lock(&state.join("consent.lock")).map_err(host)?;
    let mut remembered = read(state)?;
    let before = remembered.text().to_owned();
    let done = change(&mut remembered);
    if remembered.text() != before {
        replace(&path(state), remembered.text()).map_err(host)?;
    }
    Ok((remembered, done))
}

fn lock(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC).bits() as i32)
        .open(path)?;
    loop {
        match flock(&file, FlockOperation::LockExclusive) {
            Err(rustix::io::Errno::INTR) => {}
            done => return done.map(|()| file).map_err(io::Error::from),
        }
    }
}

/// Under another name first, and on the disk: whoever reads, and whenever the power goes, sees one or the other.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    let new = path.with_extension("toml.new");
    // Left by one that was ended; the lock is ours.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&new)?;
    let written = file
        .write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        let _ = fs::remove_file(&new);
        return written;
    }
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
