//! A passphrase, read from the terminal without showing it.
//!
//! The terminal is put into a mode where every key comes to us: with echo off alone, ctrl-c would
//! end the process and leave the terminal mute. A signal that ends the process is waited for as well, for the same
//! reason.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use zeroize::Zeroizing;

use super::{CliError, Kind};
use crate::runtime::signals::Signal;
use crate::runtime::stdio::say;
use crate::signature::secret::PASSPHRASE_BYTES;

const INTERRUPT: u8 = 0x03;
const END: u8 = 0x04;
const BACKSPACE: u8 = 0x08;
const KILL: u8 = 0x15;
const DELETE: u8 = 0x7f;

/// Whether there is a person to ask.
pub(super) fn can_ask() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// Asks once.
pub(super) fn ask(prompt: &str) -> Result<Zeroizing<Vec<u8>>, CliError> {
    // Before the terminal is mute, and until it no longer is.
    let ends = Held::new()?;
    let quiet = Quiet::new()?;
    say(prompt);
    let answer = read_line(|| {
        let mut byte = [0];
        loop {
            if let Some(signal) = ends.0.came() {
                return Err(interrupted(signal));
            }
            let stdin = std::io::stdin();
            let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
            match poll(&mut fds, Some(&LOOK)) {
                Ok(0) | Err(Errno::INTR) => continue,
                Ok(_) => {}
                Err(error) => return Err(terminal(error)),
            }
            match rustix::io::read(&stdin, &mut byte) {
                Ok(0) => return Ok(None),
                Ok(_) => return Ok(Some(byte[0])),
                Err(Errno::INTR) => {}
                Err(error) => return Err(terminal(error)),
            }
        }
    });
    drop(quiet);
    say("\n");
    match ends.0.came() {
        // After the last key, it is none the less meant.
        Some(signal) => Err(interrupted(signal)),
        None => answer,
    }
}

/// Asks for a new one, twice.
pub(super) fn ask_new(what: &str) -> Result<Zeroizing<Vec<u8>>, CliError> {
    let first = ask(&format!("New passphrase for {what}: "))?;
    if first.is_empty() {
        return Err(CliError::new(Kind::Usage, "the passphrase is empty")
            .hint("for a key without one: --no-passphrase"));
    }
    if ask("The same again: ")? != first {
        return Err(CliError::new(Kind::Usage, "the two passphrases differ"));
    }
    Ok(first)
}

/// A line of keys, edited as at any prompt.
fn read_line(
    mut key: impl FnMut() -> Result<Option<u8>, CliError>,
) -> Result<Zeroizing<Vec<u8>>, CliError> {
    // Of one size, so that no copy is left behind where it grew.
    let mut line = Zeroizing::new(Vec::with_capacity(PASSPHRASE_BYTES));
    loop {
        match key()? {
            Some(b'\r' | b'\n') => return Ok(line),
            Some(INTERRUPT) => return Err(interrupted(Signal::Interrupt)),
            None | Some(END) => {
                return Err(CliError::new(Kind::Usage, "no passphrase was given"));
            }
            Some(BACKSPACE | DELETE) => {
                // A whole character: the bytes that continue one, and its first.
                while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
            }
            Some(KILL) => line.clear(),
            Some(byte) if byte < 0x20 => {}
            Some(byte) if line.len() < PASSPHRASE_BYTES => line.push(byte),
            Some(_) => {
                let message = format!("the passphrase is longer than {PASSPHRASE_BYTES} bytes");
                return Err(CliError::new(Kind::Usage, message));
            }
        }
    }
}

fn interrupted(signal: Signal) -> CliError {
    let message = "interrupted: nothing was done";
    CliError::new(Kind::Interrupted(signal), message)
}

/// How often it is looked whether a signal came just before the wait for a key.
const LOOK: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 100_000_000,
};

/// The signals that end a process.
struct Ends {
    /// They end it as ever.
    let_go: Arc<AtomicBool>,
    came: [(Arc<AtomicBool>, Signal); 3],
}

impl Ends {
    /// Handlers are not taken back, so there is one set of them. They do what would be done without them, once let go.
    fn install() -> std::io::Result<Self> {
        let let_go = Arc::new(AtomicBool::new(false));
        let came = [
            (SIGINT, Arc::default(), Signal::Interrupt),
            (SIGTERM, Arc::default(), Signal::Terminate),
            (SIGHUP, Arc::default(), Signal::Hangup),
        ];
        for (number, flag, _) in &came {
            flag::register_conditional_default(*number, Arc::clone(&let_go))?;
            flag::register(*number, Arc::clone(flag))?;
        }
        let came = came.map(|(_, flag, signal)| (flag, signal));
        Ok(Self { let_go, came })
    }

    fn came(&self) -> Option<Signal> {
        let mut came = self.came.iter();
        let found = came.find(|(flag, _)| flag.load(Ordering::Relaxed));
        found.map(|(_, signal)| *signal)
    }
}

/// They are held off until this is dropped.
struct Held(&'static Ends);

impl Held {
    fn new() -> Result<Self, CliError> {
        static ENDS: OnceLock<Result<Ends, String>> = OnceLock::new();
        let ends = ENDS.get_or_init(|| Ends::install().map_err(|error| error.to_string()));
        let ends = ends
            .as_ref()
            .map_err(|error| CliError::new(Kind::Host, error))?;
        ends.let_go.store(false, Ordering::Relaxed);
        Ok(Self(ends))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.let_go.store(true, Ordering::Relaxed);
    }
}

/// The terminal, mute until this is dropped.
struct Quiet(Termios);

impl Quiet {
    fn new() -> Result<Self, CliError> {
        let before = rustix::termios::tcgetattr(std::io::stdin()).map_err(terminal)?;
        let mut quiet = before.clone();
        quiet.local_modes -=
            LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG;
        quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
        quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
        // What was typed ahead was typed for something else.
        rustix::termios::tcsetattr(std::io::stdin(), OptionalActions::Flush, &quiet)
            .map_err(terminal)?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        let _ = rustix::termios::tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}

fn terminal(error: Errno) -> CliError {
    CliError::new(Kind::Host, format!("the terminal: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(keys: &[u8]) -> Result<Vec<u8>, CliError> {
        let mut keys = keys.iter().copied();
        read_line(|| Ok(keys.next())).map(|line| line.to_vec())
    }

    /// Goal: a line is edited as people expect. Method: keys in, the passphrase out.
    #[test]
    fn a_line_is_edited_as_at_any_prompt() {
        for (keys, line) in [
            (&b"secret\n"[..], &b"secret"[..]),
            (b"secret\r", b"secret"),
            (b"sex\x7fcret\n", b"secret"),
            (b"x\x08\x08secret\n", b"secret"),
            (b"wrong\x15right\n", b"right"),
            ("büx\x7f\x7f\n".as_bytes(), b"b"),
            (b"a\x1b\tb\n", b"ab"),
            (b"\n", b""),
        ] {
            assert_eq!(typed(keys).expect("a line"), line, "{keys:?}");
        }
    }

    /// Goal: whoever gives up is believed. Method: ctrl-c, ctrl-d, a terminal that went away.
    #[test]
    fn reject_a_line_that_was_given_up() {
        let error = typed(b"secret\x03").expect_err("given up");
        assert_eq!(error.kind.exit_code(), 130);
        for keys in [&b"secret\x04"[..], b"secret"] {
            let error = typed(keys).expect_err("given up");
            assert_eq!(error.message, "no passphrase was given");
        }
    }

    #[test]
    fn a_passphrase_at_the_limit_and_reject_one_over() {
        let mut keys = vec![b'x'; PASSPHRASE_BYTES];
        keys.push(b'\n');
        assert_eq!(typed(&keys).expect("fits").len(), PASSPHRASE_BYTES);
        keys.insert(0, b'x');
        assert!(typed(&keys).is_err());
    }
}
