//! What `--fix` does: takes permissions away from others, on files and folders of our own.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::runtime::shown;
use rustix::fs::{Mode, OFlags, fchmod, fstat, open};
use serde::{Serialize, Serializer};

/// `chmod MODE PATH`
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Fix {
    pub(super) path: PathBuf,
    /// What is taken away.
    pub(super) without: u32,
}

impl Fix {
    /// Looks again at what it has opened: a name can lead elsewhere by now.
    pub(super) fn apply(&self) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = open(&self.path, flags, Mode::empty())?;
        let stat = fstat(&file)?;
        if stat.st_uid != rustix::process::geteuid().as_raw() {
            return Err(io::Error::other("belongs to another user"));
        }
        let mode = Mode::from_raw_mode(stat.st_mode & 0o7777 & !self.without);
        Ok(fchmod(&file, mode)?)
    }
}

impl fmt::Display for Fix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.without & 0o044 == 0 {
            "go-w"
        } else {
            "go="
        };
        write!(f, "chmod {what} {}", shown::path(&self.path))
    }
}

impl Serialize for Fix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
