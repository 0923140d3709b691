//! A signal that ends the process before the host listens for signals: something may be left to do first.

use std::io::{self, Read as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread;

use signal_hook::SigId;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::low_level::{emulate_default_handler, pipe, unregister};

use super::signals::Signal;

/// Until this is dropped SIGINT and SIGTERM end the process as ever, whatever it is doing, after something was done.
pub struct Early(Vec<SigId>);

impl Drop for Early {
    fn drop(&mut self) {
        // The pipe ends with it, and with the pipe the thread.
        for id in self.0.drain(..) {
            unregister(id);
        }
    }
}

impl Early {
    /// Does this first, on another thread.
    pub fn before_the_end(act: impl Fn(Signal) + Send + Sync + 'static) -> io::Result<Self> {
        let act = Arc::new(act);
        let mut early = Self(Vec::new());
        for (number, signal) in [(SIGINT, Signal::Interrupt), (SIGTERM, Signal::Terminate)] {
            let (mut reads, writes) = UnixStream::pair()?;
            early.0.push(pipe::register(number, writes)?);
            let act = Arc::clone(&act);
            thread::Builder::new()
                .name("nexus-early".into())
                .spawn(move || {
                    if matches!(reads.read(&mut [0]), Ok(1..)) {
                        act(signal);
                        let _ = emulate_default_handler(number);
                    }
                })?;
        }
        Ok(early)
    }
}
