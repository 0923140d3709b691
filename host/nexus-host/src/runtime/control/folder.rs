//! The folder of the sockets, held open: whatever becomes of its path, what is done in it is done in the folder that was
//! looked at.

use std::fs;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RenameFlags};

use crate::runtime::owned::{check_closed_dir, check_own_dir, own_dir};

/// Digits of the random part of a name.
const DIGITS: usize = 16;

pub(super) struct Folder(OwnedFd);

fn told(path: &Path, error: io::Error) -> io::Error {
    let path = nexus_policy::explain::escape(&path.display().to_string());
    io::Error::new(error.kind(), format!("{path}: {error}"))
}

/// The name of a host's socket.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Name {
    pub(super) pid: u32,
    random: String,
}

impl Name {
    /// One for this process.
    pub(super) fn draw() -> io::Result<Self> {
        let mut random = [0; DIGITS / 2];
        getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Self {
            pid: std::process::id(),
            random: format!("{:016x}", u64::from_be_bytes(random)),
        })
    }

    fn parse(name: &str) -> Option<Self> {
        let (pid, random) = name.strip_suffix(".sock")?.split_once('-')?;
        let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        (random.len() == DIGITS && random.bytes().all(digit)).then_some(Self {
            pid: pid.parse().ok()?,
            random: random.to_owned(),
        })
    }

    /// Where who connects finds it.
    pub(super) fn socket(&self) -> String {
        format!("{}-{}.sock", self.pid, self.random)
    }

    /// Where it is made: nobody looks there.
    pub(super) fn new_socket(&self) -> String {
        format!("{}-{}.new", self.pid, self.random)
    }
}

impl Folder {
    /// The one of this state folder, made if it is not there.
    ///
    /// # Errors
    /// It is anybody else's, or open to others, or a link; so is the state folder, as far as writing goes.
    pub(super) fn make(state: &Path) -> io::Result<Self> {
        match check_closed_dir(state) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                own_dir(state).map_err(|error| told(state, error))?;
            }
            done => done.map_err(|error| told(state, error))?,
        }
        let path = state.join("control");
        own_dir(&path).map_err(|error| told(&path, error))?;
        Self::open(state, &path)
    }

    /// The one of this state folder, if it is there.
    ///
    /// # Errors
    /// As [`Folder::make`]'s.
    pub(super) fn find(state: &Path) -> io::Result<Option<Self>> {
        match Self::open(state, &state.join("control")) {
            Ok(folder) => Ok(Some(folder)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn open(state: &Path, path: &Path) -> io::Result<Self> {
        check_closed_dir(state).map_err(|error| told(state, error))?;
        check_own_dir(path).map_err(|error| told(path, error))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let folder = rustix::fs::open(path, flags, Mode::empty());
        Ok(Self(folder.map_err(|error| told(path, error.into()))?))
    }

    /// A path to a name in it, short enough for a socket however long the folder's own path is.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.itself().join(name)
    }

    fn itself(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }

    /// The sockets of hosts, in the order of their process ids.
    pub(super) fn names(&self) -> io::Result<Vec<Name>> {
        let name = |entry: fs::DirEntry| Name::parse(entry.file_name().to_str()?);
        let entries = fs::read_dir(self.itself())?;
        let mut names: Vec<_> = entries.flatten().filter_map(name).collect();
        names.sort();
        Ok(names)
    }

    /// The inode of a socket there; none: it is no socket, or gone.
    pub(super) fn inode(&self, name: &str) -> Option<u64> {
        let stat = rustix::fs::statat(&self.0, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
        let socket = FileType::from_raw_mode(stat.st_mode) == FileType::Socket;
        socket.then_some(stat.st_ino)
    }

    /// For its owner alone.
    pub(super) fn close_to_others(&self, name: &str) -> io::Result<()> {
        let mode = Mode::RUSR | Mode::WUSR;
        Ok(rustix::fs::chmodat(&self.0, name, mode, AtFlags::empty())?)
    }

    /// Gives a name to what has another, unless something has it.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let flags = RenameFlags::NOREPLACE;
        match rustix::fs::renameat_with(&self.0, from, &self.0, to, flags) {
            // A file system that cannot promise that; the name is a random one.
            Err(rustix::io::Errno::INVAL) => Ok(rustix::fs::renameat(&self.0, from, &self.0, to)?),
            done => Ok(done?),
        }
    }

    /// Takes a socket away if it is still this one.
    pub(super) fn remove(&self, name: &str, inode: u64) {
        if self.inode(name) == Some(inode) {
            let _ = rustix::fs::unlinkat(&self.0, name, AtFlags::empty());
        }
    }
}
