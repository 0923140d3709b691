//! How much of a node one app may hold, and how much it has used.
//!
//! An app's connections that wait to be accepted count like those it holds, so accepting one changes nothing.
//! Those it has closed and that are still being delivered count apart, up to as many again; beyond that the
//! oldest is reset. Were they one sum, a server that closes a connection a millisecond would be refused sockets
//! because of clients that read slowly, and an app with `sockets = 1` would cut its last connection by making
//! the next one.

use nexus_stack::ScopeLimits;
use nexus_types::{Reason, limits};

use crate::NetError;

/// What an instance may hold at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quota {
    /// Sockets: connections (those that wait to be accepted, too), listeners and UDP sockets together.
    /// Of the connections it has closed, as many again may linger.
    pub sockets: u32,
    /// Bytes of socket buffers. As many again may linger.
    pub bytes_in_flight: u64,
}

/// What one connection's buffers count for.
pub(crate) const CONNECTION_BYTES: u64 = limits::TCP_RX_BYTES as u64 + limits::TCP_TX_BYTES as u64;

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
    /// Most bytes of socket buffers held at a time.
    pub bytes_in_flight_peak: u64,
    /// Bytes the app has read from the network.
    pub bytes_in: u64,
    /// Bytes the app has written to the network.
    pub bytes_out: u64,
    /// Acts that were refused.
    pub denials: u64,
}

impl Usage {
    /// Takes one socket with buffers of `bytes` out of `quota`, of which connections that wait to be
    /// accepted have their part.
    pub(crate) fn take(&mut self, quota: &Quota, waiting: u32, bytes: u64) -> Result<(), NetError> {
        let sockets = self.sockets.saturating_add(waiting);
        if sockets >= quota.sockets {
            let why = format!("the app has {sockets} sockets, as many as it may");
            return Err(NetError::because(Reason::NoCapacity, why));
        }
        let held = self.bytes_in_flight + u64::from(waiting) * CONNECTION_BYTES;
        if held.saturating_add(bytes) > quota.bytes_in_flight {
            let why = format!("the app's socket buffers take {held} bytes");
            return Err(NetError::because(Reason::NoCapacity, why));
        }
        self.add(bytes);
        Ok(())
    }

    /// Takes a connection that waited: it was counted then.
    pub(crate) fn add_accepted(&mut self) {
        self.add(CONNECTION_BYTES);
    }

    fn add(&mut self, bytes: u64) {
        self.sockets += 1;
        self.sockets_peak = self.sockets_peak.max(self.sockets);
        self.bytes_in_flight += bytes;
        self.bytes_in_flight_peak = self.bytes_in_flight_peak.max(self.bytes_in_flight);
    }

    /// What the stack may hold for the app beside this.
    pub(crate) fn scope_limits(&self, quota: &Quota) -> ScopeLimits {
        let fit = |sockets: u32, bytes: u64| {
            sockets.min(u32::try_from(bytes / CONNECTION_BYTES).unwrap_or(u32::MAX))
        };
        ScopeLimits {
            waiting: fit(
                quota.sockets.saturating_sub(self.sockets),
                quota.bytes_in_flight.saturating_sub(self.bytes_in_flight),
            ),
            lingering: fit(quota.sockets, quota.bytes_in_flight),
        }
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
        usage.take(&QUOTA, 0, 1).unwrap();
        usage.take(&QUOTA, 0, 1).unwrap();
        assert_eq!(
            usage.take(&QUOTA, 0, 1).unwrap_err().code,
            ErrorCode::NoCapacity
        );
        usage.give_back(1);
        usage.take(&QUOTA, 0, 1).unwrap();
        assert_eq!(usage.sockets_peak, 2);
    }

    #[test]
    fn bytes_at_and_over_the_limit() {
        let mut usage = Usage::default();
        usage.take(&QUOTA, 0, 100).unwrap();
        assert_eq!(
            usage.take(&QUOTA, 0, 1).unwrap_err().code,
            ErrorCode::NoCapacity
        );
        usage.give_back(100);
        assert_eq!(
            usage.take(&QUOTA, 0, 101).unwrap_err().code,
            ErrorCode::NoCapacity
        );
        assert_eq!(usage.sockets, 0);
    }

    #[test]
    fn what_waits_to_be_accepted_counts() {
        let quota = Quota {
            sockets: 3,
            bytes_in_flight: 3 * CONNECTION_BYTES,
        };
        let mut usage = Usage::default();
        usage.take(&quota, 2, 0).unwrap();
        let reason = usage.take(&quota, 2, 0).unwrap_err().code;
        assert_eq!(reason, ErrorCode::NoCapacity);
        let waiting = |usage: &Usage, quota| usage.scope_limits(quota).waiting;
        assert_eq!(waiting(&usage, &quota), 2);
        usage.add_accepted();
        assert_eq!((usage.sockets, waiting(&usage, &quota)), (2, 1));

        let bytes = Quota {
            bytes_in_flight: 2 * CONNECTION_BYTES - 1,
            ..Quota::default()
        };
        let mut usage = Usage::default();
        assert_eq!(waiting(&usage, &bytes), 1);
        let reason = usage.take(&bytes, 1, CONNECTION_BYTES).unwrap_err().code;
        assert_eq!(reason, ErrorCode::NoCapacity);
        usage.take(&bytes, 0, CONNECTION_BYTES).unwrap();
        assert_eq!(waiting(&usage, &bytes), 0);
        assert_eq!(usage.scope_limits(&bytes).lingering, 1);
    }
}
