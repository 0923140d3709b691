//! Packet capture: frames of any NIC to a pcapng file that Wireshark and tcpdump read.
//!
//! Frames gather in a bounded buffer and go to the file a buffer at a time. When the file takes no
//! more (disk full), the capture ends, says so once, and traffic goes on; the file holds whole
//! blocks then.

mod pcapng;

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nexus_types::limits;

use crate::headers::FRAME_MAX;

pub use pcapng::{Direction, LinkType};

/// Who writes the file, for those who read it.
const APPLICATION: &str = concat!("nexus-host ", env!("CARGO_PKG_VERSION"));

/// Why a capture cannot begin, or has ended.
#[derive(Debug)]
pub enum CaptureError {
    /// The file cannot be made.
    Create {
        /// Which.
        path: PathBuf,
        /// What the OS said.
        error: io::Error,
    },
    /// The file took no more. What it holds can be read.
    Ended {
        /// Which.
        path: PathBuf,
        /// How many frames it holds.
        frames: u64,
        /// What the OS said.
        error: io::Error,
    },
}

impl fmt::Display for CaptureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create { path, error } => write!(
                f,
                "cannot write the capture file {}: {error}",
                path.display()
            ),
            Self::Ended {
                path,
                frames,
                error,
            } => write!(
                f,
                "the capture to {} ended after {frames} frames: {error}; traffic goes on",
                path.display()
            ),
        }
    }
}

impl std::error::Error for CaptureError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Create { error, .. } | Self::Ended { error, .. } => Some(error),
        }
    }
}

/// An interface of a capture.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InterfaceId(u32);

/// A capture. What is in its buffer is written when it is dropped.
pub struct Capture {
    path: PathBuf,
    /// `None`: it has ended.
    file: Option<File>,
    buffer: Vec<u8>,
    interfaces: u32,
    /// Frames and bytes in the file.
    frames: u64,
    bytes: u64,
    /// Frames in the buffer.
    waiting: u64,
    ended: Option<CaptureError>,
}

impl Capture {
    /// Makes the file, over an old one of that name. A pipe (for `wireshark -k -i PIPE`) must have
    /// its reader already; one that does not keep up ends the capture.
    ///
    /// # Errors
    /// [`CaptureError::Create`].
    pub fn create(path: &Path) -> Result<Self, CaptureError> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            // Frames of others may be in it.
            .mode(0o600)
            // A pipe must not stop the thread that serves the packets.
            .custom_flags(libc::O_NONBLOCK)
            .open(path)
            .map_err(|error| CaptureError::Create {
                path: path.to_owned(),
                error,
            })?;
        let mut capture = Self {
            path: path.to_owned(),
            file: Some(file),
            buffer: Vec::with_capacity(limits::CAPTURE_BYTES as usize),
            interfaces: 0,
            frames: 0,
            bytes: 0,
            waiting: 0,
            ended: None,
        };
        pcapng::section(&mut capture.buffer, APPLICATION);
        Ok(capture)
    }

    /// Adds an interface.
    pub fn add_interface(&mut self, link: LinkType, name: &str) -> InterfaceId {
        let id = InterfaceId(self.interfaces);
        self.interfaces = self.interfaces.saturating_add(1);
        self.room(64 + name.len());
        if self.file.is_some() {
            pcapng::interface(&mut self.buffer, link, FRAME_MAX as u32, name);
        }
        id
    }

    /// Writes a frame down. Never fails: see [`Capture::take_end`].
    pub fn record(
        &mut self,
        interface: InterfaceId,
        since_epoch: Duration,
        direction: Direction,
        frame: &[u8],
    ) {
        if self.file.is_none() {
            return;
        }
        let held = &frame[..frame.len().min(FRAME_MAX)];
        self.room(64 + held.len());
        if self.file.is_some() {
            let original = frame.len();
            pcapng::packet(
                &mut self.buffer,
                interface.0,
                since_epoch,
                direction,
                held,
                original,
            );
            self.waiting += 1;
        }
    }

    /// Passes the buffer to the file: for a reader who watches it grow.
    pub fn flush(&mut self) {
        let Some(file) = &mut self.file else { return };
        if let Err(error) = file.write_all(&self.buffer) {
            // Part of the buffer may be there: cut to whole blocks. On a pipe there is nothing to cut.
            let _ = file.set_len(self.bytes);
            self.ended = Some(CaptureError::Ended {
                path: self.path.clone(),
                frames: self.frames,
                error,
            });
            self.file = None;
            self.buffer = Vec::new();
            return;
        }
        self.bytes += self.buffer.len() as u64;
        self.frames += self.waiting;
        self.waiting = 0;
        self.buffer.clear();
    }

    /// Why it has ended, if it has; said once.
    pub fn take_end(&mut self) -> Option<CaptureError> {
        self.ended.take()
    }

    fn room(&mut self, bytes: usize) {
        if self.buffer.len() + bytes > limits::CAPTURE_BYTES as usize {
            self.flush();
        }
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.flush();
    }
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture")
            .field("path", &self.path)
            .field("frames", &self.frames)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
