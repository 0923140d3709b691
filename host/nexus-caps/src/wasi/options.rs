//! A socket's options: kept as they were set, within bounds, and read back as they are.

use std::num::NonZeroU8;
use std::time::Duration;

use nexus_node::{KeepAlive, TcpOptions};

use super::code::Code;

/// What IPv4 and IPv6 recommend (RFC 1700, RFC 4861 section 6.3.2), and what our stack does by itself.
pub(super) const HOP_LIMIT: NonZeroU8 = NonZeroU8::new(64).unwrap();

/// TTL or hop limit. "The TTL value must be 1 or higher."
pub(super) fn hop_limit(value: u8) -> Result<NonZeroU8, Code> {
    NonZeroU8::new(value).ok_or(Code::InvalidArgument)
}

/// The size of a buffer: any but 0.
pub(super) fn buffer_bytes(value: u64) -> Result<usize, Code> {
    match usize::try_from(value) {
        Ok(0) => Err(Code::InvalidArgument),
        Ok(bytes) => Ok(bytes),
        Err(_) => Ok(usize::MAX),
    }
}

/// Options of a TCP socket. Connections a listener accepts begin with the listener's.
#[derive(Clone, Debug)]
pub(super) struct Options {
    pub(super) keep_alive: bool,
    idle: Duration,
    interval: Duration,
    count: u32,
    pub(super) hop_limit: NonZeroU8,
    /// As asked for; none: as the node has it.
    pub(super) rx_bytes: Option<usize>,
    pub(super) tx_bytes: Option<usize>,
}

/// RFC 1122 section 4.2.3.6 wants no less than two hours by default; the rest is what the common systems have, and
/// programs know.
impl Default for Options {
    fn default() -> Self {
        Self {
            keep_alive: false,
            idle: Duration::from_secs(7_200),
            interval: Duration::from_secs(75),
            count: 9,
            hop_limit: HOP_LIMIT,
            rx_bytes: None,
            tx_bytes: None,
        }
    }
}

impl Options {
    /// Whole seconds, as other systems count them, and no more than theirs.
    const SECONDS: std::ops::RangeInclusive<u64> = 1..=32_767;
    const COUNT: std::ops::RangeInclusive<u32> = 1..=127;

    /// "If the provided value is 0, an `invalid-argument` error is returned. Any other value will never cause an
    /// error, but it might be silently clamped and/or rounded."
    fn seconds(nanos: u64) -> Result<Duration, Code> {
        if nanos == 0 {
            return Err(Code::InvalidArgument);
        }
        let seconds = nanos.div_ceil(1_000_000_000);
        Ok(Duration::from_secs(
            seconds.clamp(*Self::SECONDS.start(), *Self::SECONDS.end()),
        ))
    }

    /// Silence before the first probe, in nanoseconds.
    pub(super) fn idle_nanos(&self) -> u64 {
        nanos(self.idle)
    }

    pub(super) fn set_idle_nanos(&mut self, value: u64) -> Result<(), Code> {
        self.idle = Self::seconds(value)?;
        Ok(())
    }

    /// Silence between probes, in nanoseconds.
    pub(super) fn interval_nanos(&self) -> u64 {
        nanos(self.interval)
    }

    pub(super) fn set_interval_nanos(&mut self, value: u64) -> Result<(), Code> {
        self.interval = Self::seconds(value)?;
        Ok(())
    }

    /// Probes without an answer before the connection is given up.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    pub(super) fn set_count(&mut self, value: u32) -> Result<(), Code> {
        if value == 0 {
            return Err(Code::InvalidArgument);
        }
        self.count = value.clamp(*Self::COUNT.start(), *Self::COUNT.end());
        Ok(())
    }

    /// How the stack probes: as often while it is idle as afterwards, so the first probe comes no later than it was
    /// asked for; a dead far end is given up when it was asked for.
    pub(super) fn probes(&self) -> Option<KeepAlive> {
        self.keep_alive.then(|| KeepAlive {
            every: self.idle.min(self.interval),
            give_up: self.idle + self.interval * self.count,
        })
    }

    pub(super) fn for_stack(&self) -> TcpOptions {
        TcpOptions {
            rx_bytes: self.rx_bytes,
            tx_bytes: self.tx_bytes,
            keep_alive: self.probes(),
            hop_limit: Some(self.hop_limit),
            ..TcpOptions::default()
        }
    }
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn times_are_rounded_up_to_seconds_and_bounded() {
        let mut options = Options::default();
        for (set, got) in [
            (1, SECOND),
            (SECOND, SECOND),
            (SECOND + 1, 2 * SECOND),
            (32_767 * SECOND, 32_767 * SECOND),
            (32_767 * SECOND + 1, 32_767 * SECOND),
            (u64::MAX, 32_767 * SECOND),
        ] {
            options.set_idle_nanos(set).unwrap();
            options.set_interval_nanos(set).unwrap();
            assert_eq!(options.idle_nanos(), got, "{set}");
            assert_eq!(options.interval_nanos(), got, "{set}");
        }
        options.set_count(127).unwrap();
        assert_eq!(options.count(), 127);
        options.set_count(u32::MAX).unwrap();
        assert_eq!(options.count(), 127);
    }

    #[test]
    fn reject_nothing_but_zero() {
        let mut options = Options::default();
        assert_eq!(options.set_idle_nanos(0), Err(Code::InvalidArgument));
        assert_eq!(options.set_interval_nanos(0), Err(Code::InvalidArgument));
        assert_eq!(options.set_count(0), Err(Code::InvalidArgument));
        assert_eq!(hop_limit(0), Err(Code::InvalidArgument));
        assert_eq!(buffer_bytes(0), Err(Code::InvalidArgument));
        assert_eq!(buffer_bytes(u64::MAX), Ok(usize::MAX));
    }

    #[test]
    fn a_dead_far_end_is_given_up_when_it_was_asked_for() {
        let mut options = Options::default();
        assert_eq!(options.probes(), None);
        options.keep_alive = true;
        options.set_idle_nanos(60 * SECOND).unwrap();
        options.set_interval_nanos(10 * SECOND).unwrap();
        options.set_count(3).unwrap();
        let probes = options.probes().unwrap();
        assert_eq!(probes.every, Duration::from_secs(10));
        assert_eq!(probes.give_up, Duration::from_secs(90));
    }
}
