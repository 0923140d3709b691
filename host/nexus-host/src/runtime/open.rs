//! Opens files of granted folders for an app, and never waits for anybody while doing so.
//!
//! Files are served where they are called, on the shard's thread. What stands in a folder is not
//! always a file: `open(2)` of a FIFO waits until somebody opens its other end, and with it would
//! wait every app of the shard, timers and deadlines included. So a path is first looked at without
//! being opened (`O_PATH`), then opened without waiting (`O_NONBLOCK`), and what came of it is
//! looked at again, as somebody may have put a FIFO there in between.
//!
//! wasmtime-wasi has no hook for this; the functions here stand in for its `open-at` and
//! `set-times-at` (which opens, too), with its rules about permissions and modes.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags, Timespec, Timestamps, UTIME_NOW,
    UTIME_OMIT, fstat, openat2, utimensat,
};
use rustix::io::Errno;
use wasmtime_wasi::filesystem::{Descriptor, Dir, OpenMode};

use super::held::exhausted;

/// How often `openat2(2)` is asked again when a path moved under it, or a signal came. Stops
/// somebody who renames without end from keeping the thread.
const TRIES: u32 = 8;

/// A path stays below its folder, whatever links are on the way.
const BENEATH: ResolveFlags = ResolveFlags::BENEATH.union(ResolveFlags::NO_MAGICLINKS);

/// What `open-at` is asked for, in the words of either WASI version.
#[derive(Clone, Copy, Default, Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the interface"
)]
pub(super) struct Ask {
    pub(super) follow: bool,
    pub(super) create: bool,
    pub(super) directory: bool,
    pub(super) exclusive: bool,
    pub(super) truncate: bool,
    pub(super) read: bool,
    pub(super) write: bool,
    /// Any of the three kinds of synchronised writes.
    pub(super) synchronized: bool,
}

/// A time to set.
#[derive(Clone, Copy, Debug)]
pub(super) enum Time {
    Keep,
    Now,
    At { seconds: i64, nanoseconds: u32 },
}

/// Opens a granted folder to look into, not to read: what is read of it is opened again. There must be no link on the
/// way: whoever can write a folder above it could put one in its place after it was judged.
pub(super) fn folder(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match openat2(CWD, path, flags, Mode::empty(), resolve) {
        Err(Errno::LOOP) => Err(io::Error::other("there is a link on the way")),
        Err(Errno::NOSYS) => Err(io::Error::other(
            "openat2(2) of Linux 5.6 is missing, without which no folder is granted",
        )),
        opened => Ok(opened?),
    }
}

/// Opens a regular file or a folder; anything else is refused as unsupported.
pub(super) fn open(dir: &Dir, path: &str, ask: Ask) -> io::Result<Descriptor> {
    let writes = ask.write || ask.create || ask.truncate;
    // Without a mode it is opened for reading, and what is done with it is checked by the mode.
    let reads = ask.read || !ask.write;
    if ask.synchronized {
        return Err(Errno::OPNOTSUPP.into());
    }
    if ask.directory && (ask.create || ask.exclusive || ask.truncate) {
        return Err(Errno::INVAL.into());
    }
    if writes && dir.perms.write_not_permitted() {
        return Err(Errno::PERM.into());
    }
    let mut mode = OpenMode::empty();
    mode.set(OpenMode::READ, reads);
    mode.set(OpenMode::WRITE, writes);
    let mut flags = OFlags::NOCTTY;
    flags |= match (reads, writes) {
        (true, true) => OFlags::RDWR,
        (false, true) => OFlags::WRONLY,
        (_, false) => OFlags::RDONLY,
    };
    flags.set(OFlags::NOFOLLOW, !ask.follow);
    flags.set(OFlags::CREATE, ask.create);
    flags.set(OFlags::EXCL, ask.create && ask.exclusive);
    flags.set(OFlags::TRUNC, ask.truncate);

    // Opening alone can do something: it rewinds a tape, arms a watchdog, wakes a FIFO's writer.
    match look(&dir.dir, path, ask.follow) {
        // A link that is not to be followed: opening it says so.
        Ok(FileType::RegularFile | FileType::Directory | FileType::Symlink) => {}
        Ok(_) => return Err(Errno::OPNOTSUPP.into()),
        Err(Errno::NOENT) if ask.create => {}
        Err(error) => return Err(told(error)),
    }
    let mode_of_new = if ask.create {
        Mode::from_raw_mode(0o666)
    } else {
        Mode::empty()
    };
    let (opened, found) = open_at_once(&dir.dir, path, flags, mode_of_new)?;
    match found {
        FileType::Directory => Ok(Descriptor::Dir(Dir::new(
            opened.into(),
            dir.perms,
            mode,
            true,
        ))),
        _ if ask.directory => Err(Errno::NOTDIR.into()),
        _ => Ok(Descriptor::File(wasmtime_wasi::filesystem::File::new(
            opened.into(),
            dir.perms,
            mode,
            true,
        ))),
    }
}

/// Whatever has come to stand there, opening it waits for nobody, and only a regular file or a
/// folder stays open. (Reading and writing one of those does not heed `O_NONBLOCK`: open(2).)
fn open_at_once(
    dir: &File,
    path: &str,
    flags: OFlags,
    mode: Mode,
) -> io::Result<(OwnedFd, FileType)> {
    let opened = beneath(dir, path, flags | OFlags::NONBLOCK, mode).map_err(told)?;
    match file_type(&opened)? {
        found @ (FileType::RegularFile | FileType::Directory) => Ok((opened, found)),
        _ => Err(Errno::OPNOTSUPP.into()),
    }
}

/// Sets the times of what is at `path`, without opening it.
pub(super) fn set_times(
    dir: &Dir,
    path: &str,
    follow: bool,
    access: Time,
    modification: Time,
) -> io::Result<()> {
    if dir.perms.write_not_permitted() {
        return Err(Errno::PERM.into());
    }
    let times = Timestamps {
        last_access: timespec(access)?,
        last_modification: timespec(modification)?,
    };
    let found = find(&dir.dir, path, follow).map_err(told)?;
    // Linux 5.8 for `AT_EMPTY_PATH` here.
    utimensat(&found, "", &times, AtFlags::EMPTY_PATH)?;
    Ok(())
}

fn timespec(time: Time) -> io::Result<Timespec> {
    let special = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    Ok(match time {
        Time::Keep => special(UTIME_OMIT),
        Time::Now => special(UTIME_NOW),
        Time::At {
            seconds,
            nanoseconds,
        } => Timespec {
            tv_sec: seconds
                .checked_add(i64::from(nanoseconds / 1_000_000_000))
                .ok_or(Errno::OVERFLOW)?,
            tv_nsec: (nanoseconds % 1_000_000_000).into(),
        },
    })
}

/// The place a path leads to, not opened.
fn find(dir: &File, path: &str, follow: bool) -> Result<OwnedFd, Errno> {
    let mut flags = OFlags::PATH;
    flags.set(OFlags::NOFOLLOW, !follow);
    beneath(dir, path, flags, Mode::empty())
}

fn look(dir: &File, path: &str, follow: bool) -> Result<FileType, Errno> {
    file_type(&find(dir, path, follow)?)
}

fn file_type(file: &OwnedFd) -> Result<FileType, Errno> {
    Ok(FileType::from_raw_mode(fstat(file)?.st_mode))
}

fn beneath(dir: impl AsFd, path: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    let mut tries = 0;
    loop {
        tries += 1;
        match openat2(dir.as_fd(), path, flags | OFlags::CLOEXEC, mode, BENEATH) {
            // A rename somewhere while `..` was on the way, or a lease on the file: openat2(2).
            Err(Errno::AGAIN | Errno::INTR) if tries < TRIES => {}
            Err(Errno::AGAIN) => return Err(Errno::BUSY),
            done => return done,
        }
    }
}

/// As wasmtime-wasi tells it: a way out of the folder is not permitted. Apart from it, used-up
/// descriptors: see `held.rs`.
fn told(error: Errno) -> io::Error {
    match error {
        Errno::XDEV => Errno::PERM.into(),
        error => exhausted(error).into(),
    }
}

#[cfg(test)]
#[path = "open_tests.rs"]
pub(super) mod tests;
