//! Standard output and standard error of an app in a simulated world: kept, to be looked at afterwards.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::{OutputStream, StreamResult};

use super::lock;

/// What is kept of one stream of one app. Stops an app that writes without end from filling memory; it is not
/// told: what it writes beyond is counted.
pub const KEPT_BYTES: usize = 256 << 10;

/// What one WASI 0.2 write may carry.
const WRITE_BYTES: usize = 64 << 10;

/// What an app wrote. Handles of it share that.
#[derive(Clone, Debug, Default)]
pub struct Kept(Arc<Mutex<Text>>);

#[derive(Debug, Default)]
struct Text {
    bytes: Vec<u8>,
    lost: u64,
}

impl Kept {
    fn put(&self, bytes: &[u8]) {
        let mut text = lock(&self.0);
        let room = KEPT_BYTES - text.bytes.len();
        let kept = &bytes[..bytes.len().min(room)];
        text.bytes.extend_from_slice(kept);
        text.lost += (bytes.len() - kept.len()) as u64;
    }

    /// What was written, as far as it was kept; what is no UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&lock(&self.0).bytes).into_owned()
    }

    /// The same as it was written.
    pub fn bytes(&self) -> Vec<u8> {
        lock(&self.0).bytes.clone()
    }

    /// How many bytes were not kept.
    pub fn lost(&self) -> u64 {
        lock(&self.0).lost
    }
}

impl IsTerminal for Kept {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Kept {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Kept {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.put(&bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES)
    }
}

#[async_trait]
impl Pollable for Kept {
    async fn ready(&mut self) {}
}

impl AsyncWrite for Kept {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.put(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Where an app's standard output or standard error goes.
#[derive(Clone)]
pub enum Stdout {
    /// To the host's.
    Host(super::Output),
    /// Nowhere yet.
    Kept(Kept),
}

impl From<super::Output> for Stdout {
    fn from(output: super::Output) -> Self {
        Self::Host(output)
    }
}

impl From<Kept> for Stdout {
    fn from(kept: Kept) -> Self {
        Self::Kept(kept)
    }
}

impl Stdout {
    /// Whether what the host has to say, so long, would be taken at once.
    pub fn has_room(&self, bytes: usize) -> bool {
        match self {
            Self::Host(output) => output.has_room(bytes),
            // What is too much is counted.
            Self::Kept(_) => true,
        }
    }

    /// Says something of the host's among what the app writes.
    pub fn say(&self, text: &str) {
        match self {
            Self::Host(output) => output.say(text),
            Self::Kept(kept) => kept.put(text.as_bytes()),
        }
    }
}

impl IsTerminal for Stdout {
    fn is_terminal(&self) -> bool {
        match self {
            Self::Host(output) => output.is_terminal(),
            Self::Kept(kept) => kept.is_terminal(),
        }
    }
}

impl StdoutStream for Stdout {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        match self {
            Self::Host(output) => output.async_stream(),
            Self::Kept(kept) => kept.async_stream(),
        }
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        match self {
            Self::Host(output) => output.p2_stream(),
            Self::Kept(kept) => kept.p2_stream(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_at_and_over_the_limit() {
        let kept = Kept::default();
        kept.put(&vec![b'x'; KEPT_BYTES]);
        assert_eq!((kept.text().len(), kept.lost()), (KEPT_BYTES, 0));
        kept.put(b"more");
        assert_eq!((kept.text().len(), kept.lost()), (KEPT_BYTES, 4));
    }
}
