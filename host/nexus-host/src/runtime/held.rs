//! What an app holds open of its folders, bounded: for itself, and beside the rest of the process.
//!
//! A file stays open for as long as anything of it does: the handle, a stream of 0.2 made from it,
//! a stream of 0.3 (which stands in no table of ours). All share one `Arc`, so what is counted is
//! whether that `Arc` still lives; no drop has to be observed.

use std::any::Any;
use std::io;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::{Arc, Weak};

use nexus_types::limits;
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::process::{Resource, getrlimit};

/// One part in this many of the process's descriptors is never a file's: it stays for sockets, and
/// for what the host itself opens.
const RESERVE: u64 = 4;

/// The file descriptors one app holds by its granted folders, those of the folders themselves
/// (which the operator gave) apart.
#[derive(Debug)]
pub(super) struct OpenFiles {
    held: Vec<Weak<dyn Any + Send + Sync>>,
    most: usize,
}

impl Default for OpenFiles {
    fn default() -> Self {
        Self {
            held: Vec::new(),
            most: limits::FILES as usize,
        }
    }
}

impl OpenFiles {
    /// Whether one more may be opened. Asked before, as opening alone can make or empty a file.
    ///
    /// The error is `ENOMEM`, in WASI `insufficient-memory`: WASI has no `EMFILE`, wasmtime-wasi
    /// says `io` for it, which apps take for a broken disk, and `quota` is of storage.
    pub(super) fn room(&mut self, near: impl AsFd) -> io::Result<()> {
        self.room_of(near, getrlimit(Resource::Nofile).current)
    }

    fn room_of(&mut self, near: impl AsFd, of_process: Option<u64>) -> io::Result<()> {
        if self.held.len() >= self.most {
            self.held.retain(|held| held.strong_count() > 0);
        }
        if self.held.len() >= self.most {
            return Err(Errno::NOMEM.into());
        }
        // open(2) takes the lowest number that is free, and so does this: past the number, all
        // below it are taken, by whichever app or socket.
        let next = fcntl_dupfd_cloexec(near, 0).map_err(exhausted)?;
        if is_reserved(next.as_raw_fd(), of_process) {
            return Err(Errno::NOMEM.into());
        }
        Ok(())
    }

    /// Counts what was opened, until it lives no more.
    pub(super) fn hold<T: Any + Send + Sync>(&mut self, opened: &Arc<T>) {
        let opened: Weak<T> = Arc::downgrade(opened);
        self.held.push(opened);
    }
}

fn is_reserved(descriptor: RawFd, of_process: Option<u64>) -> bool {
    of_process.is_some_and(|all| {
        u64::try_from(descriptor).is_ok_and(|descriptor| descriptor >= all - all / RESERVE)
    })
}

/// The process's descriptors, or the machine's, are used up: the same to the app as its own limit.
pub(super) fn exhausted(error: Errno) -> Errno {
    match error {
        Errno::MFILE | Errno::NFILE => Errno::NOMEM,
        error => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    fn files(most: usize) -> OpenFiles {
        OpenFiles {
            most,
            ..OpenFiles::default()
        }
    }

    fn near() -> File {
        File::open(".").expect("opens")
    }

    #[track_caller]
    fn assert_none_left(asked: io::Result<()>) {
        let error = asked.expect_err("no room");
        assert_eq!(Errno::from_io_error(&error), Some(Errno::NOMEM));
    }

    #[test]
    fn files_at_the_limit_are_opened_and_given_back() {
        let mut files = files(3);
        for _ in 0..2 {
            let opened = [(); 3].map(|()| {
                files.room_of(near(), None).expect("room");
                let opened = Arc::new(near());
                files.hold(&opened);
                opened
            });
            drop(opened);
        }
        assert!(files.held.len() <= 3, "{files:?}");
    }

    #[test]
    fn reject_a_file_over_the_limit_while_anything_of_the_others_lives() {
        let mut files = files(2);
        let one = Arc::new(near());
        files.hold(&one);
        files.hold(&Arc::new(near()));
        let other = Arc::new(());
        files.room_of(near(), None).expect("one was dropped");
        files.hold(&other);
        assert_none_left(files.room_of(near(), None));
        let stream = Arc::clone(&one);
        drop(one);
        assert_none_left(files.room_of(near(), None));
        drop(stream);
        files.room_of(near(), None).expect("nothing of it lives");
    }

    #[test]
    fn reject_a_file_among_the_last_descriptors_of_the_process() {
        assert!(!is_reserved(767, Some(1_024)));
        assert!(is_reserved(768, Some(1_024)));
        assert!(!is_reserved(RawFd::MAX, None));
        // Standard streams and this file: more than three are open.
        assert_none_left(files(9).room_of(near(), Some(4)));
        files(9).room_of(near(), None).expect("no limit");
    }

    #[test]
    fn used_up_descriptors_are_told_alike() {
        assert_eq!(exhausted(Errno::MFILE), Errno::NOMEM);
        assert_eq!(exhausted(Errno::NFILE), Errno::NOMEM);
        assert_eq!(exhausted(Errno::ACCESS), Errno::ACCESS);
    }
}
