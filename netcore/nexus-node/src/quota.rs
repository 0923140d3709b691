//! How much of a node one app may hold, and how much it has used.
//!
//! What the app did not ask for counts apart, or others could use up what is the app's own.
//!
//! - Connections that wait to be accepted, up to half as many as it may hold; beyond, the peer tries again. One
//!   that is accepted moves over to those the app holds, and waits until there is room for it. Were they one
//!   sum, whoever connects to a server could keep it from connecting anywhere.
//! - Those it has closed and that are still being delivered, up to as many again; beyond, the oldest is reset.
//!   Were they one sum, a server that closes a connection a millisecond would be refused sockets because of
//!   clients that read slowly, and an app with `sockets = 1` would cut its last connection by making the next.

use nexus_stack::ScopeLimits;
use nexus_types::{Reason, limits};

use crate::NetError;

/// What an instance may hold at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quota {
    /// Sockets: connections, listeners and UDP sockets together. Half as many connections may wait to be
    /// accepted (at least one), and of those it has closed as many again may linger.
    pub sockets: u32,
    /// Bytes of socket buffers. Half as many again may wait to be accepted, and as many again linger.
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
    /// Takes one socket with buffers of `bytes` out of `quota`.
    pub(crate) fn take(&mut self, quota: &Quota, bytes: u64) -> Result<(), NetError> {
        let (sockets, held) = (self.sockets, self.bytes_in_flight);
        if sockets >= quota.sockets {
            let why = format!("the app has {sockets} sockets, as many as it may");
            return Err(NetError::because(Reason::NoCapacity, why));
        }
        if held.saturating_add(bytes) > quota.bytes_in_flight {
            let why = format!("the app's socket buffers take {held} bytes");
            return Err(NetError::because(Reason::NoCapacity, why));
        }
        self.sockets += 1;
        self.sockets_peak = self.sockets_peak.max(self.sockets);
        self.bytes_in_flight += bytes;
        self.bytes_in_flight_peak = self.bytes_in_flight_peak.max(self.bytes_in_flight);
        Ok(())
    }

    /// What the stack may hold for the app beside this, and whether it may hand over one connection more, whose
    /// buffers count for `connection` bytes.
    pub(crate) fn scope_limits(&self, quota: &Quota, connection: u64) -> ScopeLimits {
        let fit = |sockets: u32, bytes: u64| {
            sockets.min(u32::try_from(bytes / connection.max(1)).unwrap_or(u32::MAX))
        };
        let room = fit(
            quota.sockets.saturating_sub(self.sockets),
            quota.bytes_in_flight.saturating_sub(self.bytes_in_flight),
        );
        ScopeLimits {
            waiting: fit(quota.sockets / 2, quota.bytes_in_flight / 2).max(1),
            lingering: fit(quota.sockets, quota.bytes_in_flight),
            accepting: room > 0,
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

    const CONNECTION_BYTES: u64 = 128 << 10;

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

    #[test]
    fn what_waits_to_be_accepted_has_half_as_much_to_itself() {
        let quota = |sockets: u64, connections: u64| Quota {
            sockets: sockets as u32,
            bytes_in_flight: connections * CONNECTION_BYTES,
        };
        for (quota, waiting) in [
            (quota(64, 64), 32),
            (quota(3, 100), 1),
            (quota(100, 6), 3),
            (quota(1, 1), 1),
        ] {
            let mut usage = Usage::default();
            assert_eq!(
                usage.scope_limits(&quota, CONNECTION_BYTES).waiting,
                waiting
            );
            usage.take(&quota, CONNECTION_BYTES).unwrap();
            assert_eq!(
                usage.scope_limits(&quota, CONNECTION_BYTES).waiting,
                waiting
            );
        }
    }

    #[test]
    fn accepting_at_and_over_the_limit() {
        for quota in [
            Quota {
                sockets: 2,
                ..Quota::default()
            },
            Quota {
                bytes_in_flight: 2 * CONNECTION_BYTES,
                ..Quota::default()
            },
        ] {
            let mut usage = Usage::default();
            usage.take(&quota, CONNECTION_BYTES).unwrap();
            assert!(usage.scope_limits(&quota, CONNECTION_BYTES).accepting);
            usage.take(&quota, CONNECTION_BYTES).unwrap();
            assert!(!usage.scope_limits(&quota, CONNECTION_BYTES).accepting);
            usage.give_back(CONNECTION_BYTES);
            assert!(usage.scope_limits(&quota, CONNECTION_BYTES).accepting);
        }
    }
}
