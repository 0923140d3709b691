//! A file that only grows, and of which no half line is left behind.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::thread;
use std::time::Duration;

#[cfg(not(test))]
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

/// How long who looks at a file that was just made is waited for, and how often it is tried again.
const LOCK_WAIT: Duration = Duration::from_millis(100);
const LOCK_STEP: Duration = Duration::from_millis(2);

/// A file that is written at its end.
pub(super) struct Out {
    file: File,
    pub(super) len: u64,
    /// Up to where the disk keeps room for it; none: a file system that cannot.
    reserved: Option<u64>,
    /// Tests: bytes the disk still takes.
    #[cfg(test)]
    room: super::test_support::Disk,
}

impl Out {
    /// Makes the file; an error if it is there.
    pub(super) fn create(
        path: &Path,
        #[cfg(test)] room: &super::test_support::Disk,
    ) -> io::Result<Self> {
        let file = OpenOptions::new()
            .append(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        Ok(Self {
            file,
            len: 0,
            reserved: Some(0),
            #[cfg(test)]
            room: room.clone(),
        })
    }

    /// Writes what it can; how much that was, and whether it was all.
    pub(super) fn write(&mut self, bytes: &[u8]) -> (usize, io::Result<()>) {
        let mut done = 0;
        while done < bytes.len() {
            match self.write_some(&bytes[done..]) {
                Ok(0) => return (done, Err(io::ErrorKind::WriteZero.into())),
                Ok(written) => {
                    done += written;
                    self.len += written as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return (done, Err(error)),
            }
        }
        (done, Ok(()))
    }

    #[cfg(not(test))]
    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    #[cfg(test)]
    fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let kept = self.reserved.unwrap_or(0).saturating_sub(self.len);
        let kept = bytes.len().min(kept as usize);
        let taken = match kept {
            0 => self.room.take(bytes.len())?,
            kept => kept,
        };
        self.file.write(&bytes[..taken])
    }

    /// Writes all of it or nothing.
    pub(super) fn write_whole(&mut self, bytes: &[u8]) -> io::Result<()> {
        let before = self.len;
        let (_, written) = self.write(bytes);
        if written.is_err() {
            self.cut(before)?;
        }
        written
    }

    pub(super) fn cut(&mut self, len: u64) -> io::Result<()> {
        if self.len != len {
            self.file.set_len(len)?;
            self.len = len;
            self.reserved = self.reserved.map(|_| len);
        }
        Ok(())
    }

    /// Has the disk keep room for what is written up to `end`, and for `ahead` more if it has that.
    pub(super) fn reserve(&mut self, end: u64, ahead: u64) -> io::Result<()> {
        let Some(reserved) = self.reserved.filter(|reserved| *reserved < end) else {
            return Ok(());
        };
        let more = self.keep_room(reserved, end - reserved + ahead);
        let (end, kept) = match more {
            Err(Errno::NOSPC | Errno::DQUOT) => (end, self.keep_room(reserved, end - reserved)),
            kept => (end + ahead, kept),
        };
        match kept {
            Ok(()) => self.reserved = Some(end),
            Err(error @ (Errno::NOSPC | Errno::DQUOT)) => return Err(error.into()),
            // It is written without, as far as there is room.
            Err(_) => self.reserved = None,
        }
        Ok(())
    }

    #[cfg(not(test))]
    fn keep_room(&self, from: u64, bytes: u64) -> Result<(), Errno> {
        fallocate(&self.file, FallocateFlags::KEEP_SIZE, from, bytes)
    }

    #[cfg(test)]
    fn keep_room(&self, _from: u64, bytes: u64) -> Result<(), Errno> {
        self.room.keep(bytes)
    }

    /// Gives back what was kept and is not needed: nothing more is written.
    pub(super) fn end(&mut self) {
        if self.reserved.is_some_and(|reserved| reserved > self.len) {
            let _ = self.file.set_len(self.len);
        }
        self.reserved = None;
    }
}

/// Says to others that somebody writes it, for as long as it is open. Who looks at it may be in the way for a
/// moment; where that lasts nothing is left of the file.
pub(super) fn locked(out: Out, path: &Path) -> io::Result<Out> {
    if let Err(error) = lock_within(&out.file, LOCK_WAIT) {
        let _ = fs::remove_file(path);
        return Err(error.into());
    }
    Ok(out)
}

/// Locks a file; waits for who has it, for a bounded time.
pub(super) fn lock_within(file: &File, time: Duration) -> Result<(), TryLockError> {
    let mut waited = Duration::ZERO;
    loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if waited < time => {
                thread::sleep(LOCK_STEP);
                waited += LOCK_STEP;
            }
            locked => return locked,
        }
    }
}
