//! Real time, as the shards see it.

use nexus_caps::Clock;
use nexus_types::Instant;

/// The OS's monotonic clock, counted from when this was made.
#[derive(Clone, Copy, Debug)]
pub struct OsClock(std::time::Instant);

impl OsClock {
    /// A clock that begins at [`Instant::ZERO`] now.
    pub fn start() -> Self {
        Self(std::time::Instant::now())
    }
}

impl Clock for OsClock {
    fn now(&self) -> Instant {
        Instant::ZERO + self.0.elapsed()
    }
}
