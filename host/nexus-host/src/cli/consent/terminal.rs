//! A person at the terminal.
//!
//! Asked only where standard input and standard error are one terminal, ours and in the foreground. The
//! terminal's modes are left as they are: the kernel edits the line, and ctrl-c ends the process as ever,
//! before anything was written or started. What was typed before a question was shown is thrown away.

use std::io::{Stderr, Stdin};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nexus_policy::AnsweredBy;
use nexus_types::limits;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::{QueueSelector, isatty, tcdrain, tcflush};

use super::agent::{Ask, ConsentAgent, Said};
use super::prompt;
use crate::cli::{CliError, Kind};

/// How long one question waits.
const TIMEOUT: Duration = Duration::from_secs(limits::CONSENT_SECONDS);

/// The longest line that can be an answer.
const LINE_BYTES: usize = 16;

/// Asks there.
pub(super) struct Terminal<I, O> {
    pub(super) input: I,
    pub(super) output: O,
    /// For each question.
    pub(super) timeout: Duration,
}

impl Terminal<Stdin, Stderr> {
    /// The one of this process, if somebody can be asked there.
    pub(super) fn at_hand() -> Option<Self> {
        let (input, output) = (std::io::stdin(), std::io::stderr());
        if !isatty(&input) || !isatty(&output) {
            return None;
        }
        // Shown on another screen, it would be answered by who does not see it.
        let device = |stat: rustix::fs::Stat| stat.st_rdev;
        let shown = rustix::fs::fstat(&output).ok().map(device)?;
        if rustix::fs::fstat(&input).ok().map(device) != Some(shown) {
            return None;
        }
        // In the background a read would stop the process; a terminal that is not ours is nobody's.
        let foreground = rustix::termios::tcgetpgrp(&input).ok()?;
        (foreground == rustix::process::getpgrp()).then_some(Self {
            input,
            output,
            timeout: TIMEOUT,
        })
    }
}

/// What came of waiting for a line.
#[derive(PartialEq, Eq, Debug)]
enum Line {
    Text(String),
    /// Longer than any answer.
    Long,
    /// Nothing came in time.
    Late,
    /// Nothing will come any more.
    End,
}

impl<I: AsFd, O: AsFd> ConsentAgent for Terminal<I, O> {
    fn by(&self) -> AnsweredBy {
        AnsweredBy::Terminal
    }

    fn ask(&mut self, ask: &Ask<'_>) -> Result<Vec<Said>, CliError> {
        let before = self.what()?;
        self.show(prompt::RESET)?;
        self.show(&prompt::heading(ask, self.timeout))?;
        let of = ask.questions.len();
        let mut said = Vec::with_capacity(of);
        for (index, question) in ask.questions.iter().enumerate() {
            // What was typed so far was typed for something else: also while a slow line still drew what is above.
            self.drain()?;
            tcflush(&self.input, QueueSelector::IFlush).map_err(terminal)?;
            self.show(&prompt::line(index + 1, ask, question))?;
            let line = self.line()?;
            if self.what()? != before {
                let message =
                    "the terminal became another one while it was asked: nothing was answered";
                return Err(CliError::new(Kind::Host, message));
            }
            match line {
                Line::Text(text) => match prompt::meaning(&text, ask.offers) {
                    Some(Said::NoToAll) => {
                        said.resize(of, Said::NoToAll);
                        break;
                    }
                    Some(answer) => said.push(answer),
                    None => {
                        self.show("not an answer: taken as no\n")?;
                        said.push(Said::Nothing);
                    }
                },
                Line::Long => {
                    self.show("not an answer: taken as no\n")?;
                    said.push(Said::Nothing);
                }
                // Nobody is there, for the others either.
                Line::Late => {
                    // Half an answer is not to become the next program's input.
                    tcflush(&self.input, QueueSelector::IFlush).map_err(terminal)?;
                    let seconds = self.timeout.as_secs_f64();
                    self.show(&format!("\nno answer within {seconds} s: taken as no\n"))?;
                    break;
                }
                Line::End => {
                    self.show("\nno answer: taken as no\n")?;
                    break;
                }
            }
        }
        said.resize(of, Said::Nothing);
        Ok(said)
    }

    fn tell(&mut self, text: &str) {
        // Who was asked has gone: it is in the file, or in the audit log.
        let _ = self.show(text);
    }
}

impl<I: AsFd, O: AsFd> Terminal<I, O> {
    /// What the input is.
    fn what(&self) -> Result<(u64, u64, u64), CliError> {
        let stat = rustix::fs::fstat(&self.input).map_err(terminal)?;
        Ok((stat.st_dev, stat.st_ino, stat.st_rdev))
    }

    /// Waits until all that was written is shown.
    fn drain(&self) -> Result<(), CliError> {
        loop {
            match tcdrain(&self.output) {
                Err(Errno::INTR) => {}
                done => return done.map_err(terminal),
            }
        }
    }

    /// Writes all of it.
    fn show(&self, text: &str) -> Result<(), CliError> {
        let mut bytes = text.as_bytes();
        while !bytes.is_empty() {
            match rustix::io::write(&self.output, bytes) {
                Ok(written) => bytes = &bytes[written..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    let mut fds = [PollFd::new(&self.output, PollFlags::OUT)];
                    match poll(&mut fds, None) {
                        Ok(_) | Err(Errno::INTR) => {}
                        Err(error) => return Err(terminal(error)),
                    }
                }
                Err(error) => return Err(terminal(error)),
            }
        }
        Ok(())
    }

    /// A line, in time.
    fn line(&self) -> Result<Line, CliError> {
        let deadline = Instant::now() + self.timeout;
        let mut line = Vec::new();
        let mut long = false;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(Line::Late);
            }
            let mut fds = [PollFd::new(&self.input, PollFlags::IN)];
            let left = Timespec::try_from(left).unwrap_or_default();
            match poll(&mut fds, Some(&left)) {
                Ok(0) => return Ok(Line::Late),
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Err(terminal(error)),
            }
            let mut piece = [0; 256];
            let read = match rustix::io::read(&self.input, &mut piece) {
                Ok(0) => return Ok(Line::End),
                Ok(read) => read,
                Err(Errno::INTR | Errno::AGAIN) => continue,
                // The other end of it was closed.
                Err(Errno::IO) => return Ok(Line::End),
                Err(error) => return Err(terminal(error)),
            };
            // One line at a time comes from a terminal, and what is behind it was typed ahead.
            let piece = &piece[..read];
            let end = piece.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            line.extend_from_slice(&piece[..end.unwrap_or(read)]);
            long |= line.len() > LINE_BYTES;
            line.truncate(LINE_BYTES);
            if end.is_some() {
                return Ok(match String::from_utf8(line) {
                    Ok(line) if !long => Line::Text(line),
                    _ => Line::Long,
                });
            }
        }
    }
}

fn terminal(error: Errno) -> CliError {
    CliError::new(Kind::Host, format!("the terminal: {error}"))
}

#[cfg(test)]
#[path = "terminal_tests.rs"]
mod tests;
