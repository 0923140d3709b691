//! Ends what an app has open of its folders, once the operator's policy no longer allows them.
//!
//! The host judges folders and says here which are left ([`Revocations::leave`]); what an app has
//! open of others ends before the app's next call that could use it. Nobody is waited for: files are
//! served where they are called, so no call is under way when a policy is read.
//!
//! What stands in the app's table (handles) is looked through once (`Revocations::end`); a stream
//! does not, or not as what it is, and looks by itself (`Watch`). Where nothing was ever revoked both
//! cost one load of a number.
//!
//! What is open is judged by where it is now, as the kernel knows it (proc_pid_fd(5)), not by the folder
//! it was opened through: one that is still granted may be inside one that is not.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use nexus_policy::wasi::DirectoryMode;
use rustix::fs::{FileType, Mode, OFlags, fstat, open};
use rustix::io::Errno;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::FsPerms;
use wasmtime_wasi::filesystem::{Descriptor, Dir, OpenMode};

use super::state::GrantedDir;

/// What the app is told by what is ours; in WASI `not-permitted`.
pub(super) const REVOKED: Errno = Errno::PERM;

/// What the kernel puts behind the path of what is gone.
const GONE: &str = " (deleted)";

/// Which of its folders an app still has.
#[derive(Debug, Default)]
pub struct Revocations {
    /// How often some were taken.
    generation: AtomicU64,
    /// As they are left; none are while the generation is 0.
    left: Mutex<Vec<(PathBuf, DirectoryMode)>>,
    /// What comes to stand where something was taken; none for an app without folders.
    nothing: Option<Arc<File>>,
}

impl Revocations {
    /// Nothing is taken yet of what was granted.
    pub(super) fn new(dirs: &[GrantedDir]) -> io::Result<Self> {
        let nothing = match dirs {
            [] => None,
            _ => Some(Arc::new(nothing()?)),
        };
        Ok(Self {
            nothing,
            ..Self::default()
        })
    }

    /// From now on the app has these folders and nothing beside them.
    pub fn leave(&self, folders: impl IntoIterator<Item = (PathBuf, DirectoryMode)>) {
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = folders.into_iter().collect();
        self.generation.fetch_add(1, Ordering::Release);
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Ends the handles in an app's table, and takes folders off the list of those it is given.
    pub(super) fn end(&self, table: &mut ResourceTable, granted: &mut Vec<(Dir, String)>) {
        // Without folders there has never been a handle.
        let Some(nothing) = &self.nothing else {
            return;
        };
        for entry in table.iter_mut() {
            match entry.downcast_mut::<Descriptor>() {
                Some(Descriptor::File(file)) => self.narrow(
                    nothing,
                    (&mut file.file, &mut file.perms, &mut file.open_mode),
                    What::File,
                ),
                Some(Descriptor::Dir(dir)) => self.narrow_dir(nothing, dir),
                None => {}
            }
        }
        granted.retain_mut(|(dir, _)| {
            self.narrow_dir(nothing, dir);
            !is_revoked(dir.open_mode)
        });
    }

    fn narrow_dir(&self, nothing: &Arc<File>, dir: &mut Dir) {
        let handle = (&mut dir.dir, &mut dir.perms, &mut dir.open_mode);
        self.narrow(nothing, handle, What::Folder);
    }

    /// Leaves of a handle what may be left of it. (Every function that changes something looks at
    /// its permissions, also where it was opened for writing: filesystem.rs of wasmtime-wasi.)
    fn narrow(
        &self,
        nothing: &Arc<File>,
        (file, perms, mode): (&mut Arc<File>, &mut FsPerms, &mut OpenMode),
        what: What,
    ) {
        match self.left(&**file, what) {
            Some(DirectoryMode::Rw) => return,
            Some(DirectoryMode::Ro) => mode.remove(OpenMode::WRITE),
            None => *mode = OpenMode::empty(),
        }
        *perms = FsPerms::ReadOnly;
        if is_revoked(*mode) {
            *file = Arc::clone(nothing);
        }
    }

    /// How something that is open may be used.
    fn left(&self, open: impl AsFd, what: What) -> Option<DirectoryMode> {
        let place = place(open)?;
        if what == What::Folder && place.to_string_lossy().ends_with(GONE) {
            return None;
        }
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let covers =
            |folder: &Path| place.starts_with(folder) && (what == What::Folder || place != folder);
        left.iter()
            .filter(|(folder, _)| covers(folder))
            .map(|(_, mode)| *mode)
            .max()
    }
}

/// What is open. A file is inside a folder, never the folder; one that was removed is still told by
/// where it was, and is an app's own business.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum What {
    File,
    Folder,
}

/// Whether a handle was taken: each is opened for something, until then.
pub(super) fn is_revoked(mode: OpenMode) -> bool {
    mode.is_empty()
}

/// Where something open is. One that cannot be told is nowhere an app may be.
fn place(open: impl AsFd) -> Option<PathBuf> {
    let number = open.as_fd().as_raw_fd();
    let place = fs::read_link(format!("/proc/self/fd/{number}")).ok()?;
    place.is_absolute().then_some(place)
}

/// A handle that can be neither read nor written, as it is of a path alone (`O_PATH` of open(2)), and in
/// which there is no path, as it is no folder.
fn nothing() -> io::Result<File> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let nothing = open("/dev/null", flags, Mode::empty())?;
    match FileType::from_raw_mode(fstat(&nothing)?.st_mode) {
        FileType::CharacterDevice => Ok(nothing.into()),
        _ => Err(io::Error::other("/dev/null is no device")),
    }
}

/// Looks, for something that uses what is open without asking for it again, whether it still may.
#[derive(Debug)]
pub(super) struct Watch {
    revocations: Arc<Revocations>,
    /// The generation in which it was allowed last.
    seen: u64,
    what: What,
    needs: DirectoryMode,
}

impl Watch {
    /// Of what was opened, or found in the table, just now.
    pub(super) fn new(revocations: &Arc<Revocations>, what: What, needs: DirectoryMode) -> Self {
        Self {
            revocations: Arc::clone(revocations),
            seen: revocations.generation(),
            what,
            needs,
        }
    }

    /// Before each use.
    pub(super) fn look(&mut self, open: impl AsFd) -> Result<(), Errno> {
        let generation = self.revocations.generation();
        if generation == self.seen {
            return Ok(());
        }
        match self.revocations.left(open, self.what) {
            Some(mode) if mode >= self.needs => {
                self.seen = generation;
                Ok(())
            }
            _ => Err(REVOKED),
        }
    }
}

#[cfg(test)]
#[path = "revoked_tests.rs"]
mod tests;
