//! The folders of the log in a state folder, and what is in them.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nexus_policy::explain::escape;
use rustix::fs::OFlags;

use super::SEGMENT_BYTES_MAX;
use super::names::{self, SegmentName};
use crate::runtime::owned::own_dir;

/// Names read of one folder. The writer keeps far fewer files; stops a folder that was filled by
/// somebody else from filling memory.
const NAMES_MAX: usize = 1 << 16;

/// Where a log lies.
#[derive(Clone, Debug)]
pub struct Place {
    /// The segments.
    pub log: PathBuf,
    /// Their heads.
    pub heads: PathBuf,
    /// The key.
    pub keys: PathBuf,
}

impl Place {
    /// That of a state folder; looks at nothing.
    pub fn of(state: &Path) -> Self {
        Self {
            log: state.join("audit"),
            heads: state.join("audit-heads"),
            keys: state.join("keys"),
        }
    }

    /// That of a folder with nothing but heads.
    pub fn of_heads(heads: &Path) -> Self {
        Self {
            log: PathBuf::new(),
            heads: heads.to_owned(),
            keys: PathBuf::new(),
        }
    }

    /// Makes the folders where they are not there; an error if one is anybody else's, or open to others.
    pub(super) fn make(state: &Path) -> Result<Self, (PathBuf, io::Error)> {
        let place = Self::of(state);
        for dir in [state, &place.log, &place.heads, &place.keys] {
            own_dir(dir).map_err(|error| (dir.to_owned(), error))?;
        }
        Ok(place)
    }

    /// The public half of the key.
    pub fn public_key(&self) -> PathBuf {
        self.keys.join("audit.pub")
    }

    pub(super) fn log_file(&self, name: &SegmentName) -> PathBuf {
        self.log.join(name.log_file())
    }

    pub(super) fn heads_file(&self, name: &SegmentName) -> PathBuf {
        self.heads.join(name.heads_file())
    }

    pub(super) fn dropped_file(&self, chain: &str) -> PathBuf {
        self.heads.join(names::dropped_file(chain))
    }

    /// Every segment there is, by chain and number, with its path.
    ///
    /// # Errors
    /// The folder cannot be read, or holds more than any log.
    pub fn segments(&self) -> io::Result<BTreeMap<SegmentName, PathBuf>> {
        Ok(entries(&self.log)?
            .into_iter()
            .filter_map(|name| Some((SegmentName::of_log(&name)?, self.log.join(name))))
            .collect())
    }

    /// Whether there is a head of anything, or a folder that cannot be looked into.
    pub fn has_heads(&self) -> bool {
        let heads = self.head_files().map(|files| files.len());
        let dropped = self.dropped_files().map(|files| files.len());
        heads.unwrap_or(1) + dropped.unwrap_or(1) > 0
    }

    /// Every heads file there is.
    pub(super) fn head_files(&self) -> io::Result<BTreeMap<SegmentName, PathBuf>> {
        Ok(entries(&self.heads)?
            .into_iter()
            .filter_map(|name| Some((SegmentName::of_heads(&name)?, self.heads.join(name))))
            .collect())
    }

    /// Every statement of what was given up, by chain.
    pub(super) fn dropped_files(&self) -> io::Result<BTreeMap<String, PathBuf>> {
        Ok(entries(&self.heads)?
            .into_iter()
            .filter_map(|name| Some((names::of_dropped(&name)?.to_owned(), self.heads.join(&name))))
            .collect())
    }
}

/// The names in a folder that are text; one that is not is none of ours. No folder: none.
fn entries(dir: &Path) -> io::Result<Vec<String>> {
    let listing = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listing => listing?,
    };
    let mut names = Vec::new();
    for entry in listing {
        if names.len() == NAMES_MAX {
            let message =
                format!("holds more than {NAMES_MAX} files: move away what is not of the log");
            return Err(io::Error::other(message));
        }
        names.extend(entry?.file_name().into_string().ok());
    }
    Ok(names)
}

/// Opens a file to read: a pipe would be waited at for ever, a device has no end, and a link leads to
/// what nobody named.
///
/// # Errors
/// It is no file, or cannot be opened.
pub fn open_plain(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC).bits() as i32)
        .open(path)?;
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("is no file"))
    }
}

/// Whether a file has more bytes than any segment.
pub(super) fn too_long(bytes: u64) -> bool {
    bytes > SEGMENT_BYTES_MAX
}

/// Opens a segment to read: one that is too long is none.
///
/// # Errors
/// It is no file, too long, or cannot be opened.
pub fn open_segment(path: &Path) -> io::Result<File> {
    let file = open_plain(path)?;
    let bytes = file.metadata()?.len();
    if too_long(bytes) {
        let message = format!("is not read: it has {bytes} bytes, more than any segment of a log");
        return Err(io::Error::other(message));
    }
    Ok(file)
}

/// A path with nothing in it that a terminal obeys, as long as it is: its end says which file.
pub(super) fn shown(path: &Path) -> String {
    let text = path.display().to_string();
    let chars = text.chars();
    chars.map(|c| escape(c.encode_utf8(&mut [0; 4]))).collect()
}
