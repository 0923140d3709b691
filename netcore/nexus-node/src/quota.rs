//! How much of a node one app may hold, and how much it has used.

use nexus_types::{Reason, limits};

use crate::NetError;

/// What an instance may hold at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quota {
    /// Sockets: connections, listeners and UDP sockets together.
    pub sockets: u32,
    /// Bytes of socket buffers.
    pub bytes_in_flight: u64,
}

impl Default for Quota {
    fn default() -> Self {
        Self {
            sockets: limits::SOCKETS,
            bytes_in_flight: limits::BYTES_IN_FLIGHT,
        }
    }
}

/// What an instance holds and has used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// Sockets open now.
    pub sockets: u32,
    /// Most sockets open at a time.
    pub sockets_peak: u32,
    /// Bytes of socket buffers held now.
    pub bytes_in_flight: u64,
    /// Bytes the app has read from the network.
    pub bytes_in: u64,
    /// Bytes the app has written to the network.
    pub bytes_out: u64,
    /// Acts that were refused.
    pub denials: u64,
}

impl Usage {
    /// Takes one socket with buffers of `bytes` out of `quota`.
    pub(crate) fn take(&mut self, quota: &Quota, bytes: u64) -> Result<(), NetError> {
        if self.sockets >= quota.sockets {
            let why = format!("the app has {} sockets, as many as it may", self.sockets);
            return Err(NetError::because(Reason::NoCapacity, why));
        }
        if self.bytes_in_flight.saturating_add(bytes) > quota.bytes_in_flight {
            let why = format!(
                "the app's socket buffers take {} bytes",
                self.bytes_in_flight
            );
            return Err(NetError::because(Reason::NoCapacity, why));
        }
        self.sockets += 1;
        self.sockets_peak = self.sockets_peak.max(self.sockets);
        self.bytes_in_flight += bytes;
        Ok(())
    }

    /// Gives back what [`Usage::take`] took.
    pub(crate) fn give_back(&mut self, bytes: u64) {
        debug_assert!(
            self.sockets > 0 && self.bytes_in_flight >= bytes,
            "given back twice"
        );
        self.sockets = self.sockets.saturating_sub(1);
        self.bytes_in_flight = self.bytes_in_flight.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexus_types::ErrorCode;

    const QUOTA: Quota = Quota {
        sockets: 2,
        bytes_in_flight: 100,
    };

    #[test]
    fn sockets_at_and_over_the_limit() {
        let mut usage = Usage::default();
        usage.take(&QUOTA, 1).unwrap();
        usage.take(&QUOTA, 1).unwrap();
        assert_eq!(
            usage.take(&QUOTA, 1).unwrap_err().code,
            ErrorCode::NoCapacity
        );
        usage.give_back(1);
        usage.take(&QUOTA, 1).unwrap();
        assert_eq!(usage.sockets_peak, 2);
    }

    #[test]
    fn bytes_at_and_over_the_limit() {
        let mut usage = Usage::default();
        usage.take(&QUOTA, 100).unwrap();
        assert_eq!(
            usage.take(&QUOTA, 1).unwrap_err().code,
            ErrorCode::NoCapacity
        );
        usage.give_back(100);
        assert_eq!(
            usage.take(&QUOTA, 101).unwrap_err().code,
            ErrorCode::NoCapacity
        );
        assert_eq!(usage.sockets, 0);
    }
}
