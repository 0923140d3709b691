//! One host at a time asks at a terminal: of two, each would take answers to what the other has shown.

use std::fs::{File, OpenOptions};
use std::os::fd::{AsFd, AsRawFd as _};
use std::os::unix::fs::OpenOptionsExt as _;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

/// The terminal is this host's to ask at until this is dropped.
pub(super) struct Turn {
    _locked: Option<File>,
}

impl Turn {
    /// Of who asks at no terminal.
    pub(super) fn nowhere() -> Self {
        Self { _locked: None }
    }
}

/// Takes the turn at the terminal behind a descriptor; none: another host has it.
pub(super) fn take(terminal: impl AsFd) -> Option<Turn> {
    // Opened anew: a lock is for all that shares an opening, as hosts that one shell has started do. Not by its name,
    // which may be that of another in another container.
    let path = format!("/proc/self/fd/{}", terminal.as_fd().as_raw_fd());
    let flags = OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits() as i32)
        .open(path);
    // A terminal of another user's, as after `su`: it cannot be locked, and whoever is there is asked as ever.
    let Ok(file) = opened else {
        return Some(Turn::nowhere());
    };
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::INTR) => {}
            Err(Errno::WOULDBLOCK) => return None,
            Ok(()) | Err(_) => {
                return Some(Turn {
                    _locked: Some(file),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::pty::OpenptFlags;

    /// Goal: of two at one terminal one asks, and the other once that is done; at another terminal nobody waits.
    /// Method: two descriptors of one opening, as two processes have them from their shell.
    #[test]
    fn reject_a_second_at_one_terminal() {
        let terminal = || {
            let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY;
            let person = rustix::pty::openpt(flags).expect("a terminal");
            rustix::pty::unlockpt(&person).expect("unlocked");
            let name = rustix::pty::ptsname(&person, Vec::new()).expect("a name");
            let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
            let mode = rustix::fs::Mode::empty();
            let program = rustix::fs::open(&name, flags, mode).expect("opens");
            (person, program)
        };
        let ((_one, first), (_other, elsewhere)) = (terminal(), terminal());
        let second = first.try_clone().expect("another");
        let turn = take(&first);
        assert!(turn.is_some());
        assert!(take(&second).is_none());
        assert!(take(&elsewhere).is_some());
        drop(turn);
        assert!(take(&second).is_some());
    }
}
