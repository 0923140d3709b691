//! The stack: its tables, the wire side, and what drives them.

pub(crate) mod gateway;
mod listen;
pub(crate) mod lookup;
mod tcp;
mod udp;

use nexus_types::{Instant, InterfaceAddress, Seed};

use crate::config::{Config, ConfigError};
use crate::frame::{Frame, Pool};
use crate::id::Scope;
use crate::stats::Stats;

/// One TCP/IP stack. See the crate's documentation.
pub struct Stack {
    config: Config,
    stats: Stats,
    pool: Pool,
}

impl Stack {
    /// A stack that has sent nothing yet.
    pub fn new(config: Config, now: Instant, seed: Seed) -> Result<Self, ConfigError> {
        config.check()?;
        let _ = (now, seed);
        Ok(Self {
            pool: Pool::new(config.mtu),
            stats: Stats::default(),
            config,
        })
    }

    /// Takes one frame from the wire. Never panics, whatever the bytes.
    pub fn handle_frame(&mut self, now: Instant, frame: &[u8]) {
        let _ = now;
        self.stats.frames_in += 1;
        self.stats.bytes_in += frame.len() as u64;
    }

    /// The next frame for the wire, if there is one. Give it back with [`Stack::recycle`].
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Frame> {
        let _ = now;
        None
    }

    /// Takes a transmitted frame's buffer back.
    pub fn recycle(&mut self, frame: Frame) {
        self.pool.put(frame);
    }

    /// When [`Stack::handle_timeout`] must be called next, if nothing else happens before.
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        None
    }

    /// Does what is due at `now`. Frames may have to be transmitted afterwards.
    pub fn handle_timeout(&mut self, now: Instant) {
        let _ = now;
    }

    /// Our addresses, loopback apart.
    pub fn addresses(&self) -> &[InterfaceAddress] {
        &self.config.addresses
    }

    /// What was counted.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Ends everything of a scope: an instance is gone. Connections are reset.
    pub fn end_scope(&mut self, now: Instant, scope: Scope) {
        let _ = (now, scope);
    }
}
