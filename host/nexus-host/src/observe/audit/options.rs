//! The bounds of a log, and why it cannot be opened.

use std::fmt;
use std::io;
use std::path::PathBuf;

use nexus_types::Duration;

use super::place::shown;
use super::room::Bounds;
use super::{HEAD_AFTER, HEAD_RECORDS, SEGMENT_BYTES_MAX};

/// Bounds, and how often a head is signed.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// One segment. Small enough to be looked at with ordinary tools.
    pub segment_bytes: u64,
    /// All chains of the state folder and their heads together, but for what hosts that run at the same
    /// time have open. Stops a log from filling the disk.
    pub disk_bytes: u64,
    /// Segments of all chains. Stops many short runs from making a folder that is slow to list: every
    /// start does (30 ms for 4096).
    pub files_max: usize,
    /// Records that wait to be written. Stops a disk that takes nothing from filling memory.
    pub buffer_bytes: usize,
    /// Bytes of the disk kept ahead of what is written, beside those for the last lines and heads; none: not even
    /// those. A disk that is full then takes what says that records are missing.
    pub ahead_bytes: Option<u64>,
    /// A head at least after so many records: a tail cut off further back shows.
    pub head_records: u64,
    /// And after so long with any.
    pub head_after: Duration,
    /// Heads of one segment; past it the next segment begins. Stops records that come one by one from
    /// making a heads file longer than the log.
    pub heads_max: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: SEGMENT_BYTES_MAX,
            disk_bytes: 256 << 20,
            files_max: 1024,
            buffer_bytes: 64 << 10,
            ahead_bytes: Some(32 << 10),
            head_records: HEAD_RECORDS,
            head_after: HEAD_AFTER,
            heads_max: 512,
        }
    }
}

impl Options {
    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            disk_bytes: self.disk_bytes,
            files_max: self.files_max,
        }
    }
}

/// The log cannot be used.
#[derive(Debug)]
pub enum OpenError {
    /// No state folder was named and none can be found.
    NoStateFolder,
    /// A folder is not there, not ours, or open to others.
    Folder(PathBuf, io::Error),
    /// The key cannot be read or made.
    Key(PathBuf, io::Error),
    /// No room could be made within the bound.
    NoRoom(PathBuf),
    /// A file cannot be made or written.
    File(PathBuf, io::Error),
    /// There is no randomness for the chain's name.
    Random,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoStateFolder => {
                f.write_str("no state folder: neither --state, XDG_STATE_HOME nor HOME names one")
            }
            Self::Folder(path, error) | Self::File(path, error) | Self::Key(path, error) => {
                write!(f, "{}: {error}", shown(path))
            }
            Self::NoRoom(path) => write!(
                f,
                "{}: no room within the bound of the log: hosts that run hold all of it; end some, or give this one a --state of its own",
                shown(path)
            ),
            Self::Random => f.write_str("the machine gives no random bytes"),
        }
    }
}

impl std::error::Error for OpenError {}
