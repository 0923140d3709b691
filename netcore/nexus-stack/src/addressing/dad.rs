//! Duplicate address detection: RFC 5227 for IPv4, RFC 4862 section 5.4 for IPv6.
//!
//! ```text
//!  begin() -> Probing --(probes unanswered)--> announced --(2 s)--> announced again -> ours, watched
//!                |                                  |
//!          claimed: Taken                     claimed: Defend, every 10 s at most
//! ```
//!
//! An address in use is defended and never given up (RFC 5227 section 2.4 c): two spoofed frames would be enough
//! to take it otherwise.

use nexus_types::{Duration, Instant, IpAddr};

use super::DuplicateDetection;

/// RFC 5227 section 1.1: ANNOUNCE_INTERVAL.
const ANNOUNCE: Duration = Duration::from_secs(2);
/// RFC 5227 section 1.1: DEFEND_INTERVAL.
const DEFEND: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Probes left.
    Probing(u8),
    Announced,
    /// Ours; when it was defended last.
    Watched(Option<Instant>),
}

#[derive(Clone, Copy, Debug)]
struct Watch {
    ip: IpAddr,
    phase: Phase,
    at: Instant,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Dad {
    how: DuplicateDetection,
    /// One for each of our addresses, so no more than those may be.
    watched: Vec<Watch>,
    probing: usize,
}

/// What is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Due {
    /// Ask whether somebody has it.
    Probe(IpAddr),
    /// Nobody has: it is ours, and the link is to be told.
    Free(IpAddr),
    /// Tell the link once more.
    Announce(IpAddr),
}

/// What follows from somebody else's use of an address of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Claim {
    /// It is theirs.
    Taken,
    /// The link is to be told that it is ours.
    Defend,
    /// It was told a moment ago.
    Quiet,
}

impl Dad {
    pub(crate) fn new(how: DuplicateDetection) -> Self {
        Self {
            how,
            watched: Vec::new(),
            probing: 0,
        }
    }

    /// Begins with an address, after `delay`.
    pub(crate) fn begin(&mut self, now: Instant, ip: IpAddr, delay: Duration) {
        self.forget(ip);
        self.probing += 1;
        self.watched.push(Watch {
            ip,
            phase: Phase::Probing(self.how.probes),
            at: now + delay,
        });
    }

    pub(crate) fn forget(&mut self, ip: IpAddr) {
        self.watched.retain(|watch| watch.ip != ip);
        self.count();
    }

    fn count(&mut self) {
        let is_probing = |watch: &&Watch| matches!(watch.phase, Phase::Probing(_));
        self.probing = self.watched.iter().filter(is_probing).count();
    }

    /// Whether the link may still say that an address is somebody else's.
    pub(crate) fn is_tentative(&self, ip: IpAddr) -> bool {
        self.probing > 0
            && self
                .watched
                .iter()
                .any(|watch| watch.ip == ip && matches!(watch.phase, Phase::Probing(_)))
    }

    /// Whether there is any such address.
    pub(crate) fn is_probing(&self) -> bool {
        self.probing > 0
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.watched
            .iter()
            .filter(|watch| !matches!(watch.phase, Phase::Watched(_)))
            .map(|watch| watch.at)
            .min()
    }

    /// What is to be done at `now`, one thing at a time.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Due> {
        let watch = self
            .watched
            .iter_mut()
            .find(|watch| watch.at <= now && !matches!(watch.phase, Phase::Watched(_)))?;
        let (phase, wait, due) = match watch.phase {
            Phase::Probing(0) => (Phase::Announced, ANNOUNCE, Due::Free(watch.ip)),
            Phase::Probing(left) => (
                Phase::Probing(left - 1),
                self.how.interval,
                Due::Probe(watch.ip),
            ),
            _ => (
                Phase::Watched(None),
                Duration::ZERO,
                Due::Announce(watch.ip),
            ),
        };
        watch.phase = phase;
        watch.at = now + wait;
        self.count();
        Some(due)
    }

    /// Somebody else uses an address of ours.
    pub(crate) fn claimed(&mut self, now: Instant, ip: IpAddr) -> Claim {
        let Some(watch) = self.watched.iter_mut().find(|watch| watch.ip == ip) else {
            // Not looked after: an address that was never probed.
            self.watched.push(Watch {
                ip,
                phase: Phase::Watched(Some(now)),
                at: now,
            });
            return Claim::Defend;
        };
        match watch.phase {
            Phase::Probing(_) => {
                self.forget(ip);
                Claim::Taken
            }
            Phase::Watched(Some(at)) if at + DEFEND > now => Claim::Quiet,
            _ => {
                watch.phase = Phase::Watched(Some(now));
                Claim::Defend
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: IpAddr = IpAddr::V4(nexus_types::Ipv4Addr::new(10, 0, 0, 1));

    fn all_due(dad: &mut Dad, now: Instant) -> Vec<Due> {
        core::iter::from_fn(|| dad.pop_due(now)).collect()
    }

    #[test]
    fn probed_then_announced_twice_then_watched() {
        let mut dad = Dad::new(DuplicateDetection::default());
        dad.begin(Instant::ZERO, OURS, Duration::ZERO);
        for probe in 0..3 {
            let now = Instant::from_millis(probe * 250);
            assert_eq!(dad.next(), Some(now));
            assert_eq!(all_due(&mut dad, now), [Due::Probe(OURS)]);
            assert!(dad.is_tentative(OURS));
        }
        let now = Instant::from_millis(750);
        assert_eq!(all_due(&mut dad, now), [Due::Free(OURS)]);
        assert!(!dad.is_tentative(OURS));
        let now = Instant::from_millis(2_750);
        assert_eq!(all_due(&mut dad, now), [Due::Announce(OURS)]);
        assert_eq!(dad.next(), None);
    }

    #[test]
    fn reject_one_that_is_taken_and_defend_one_in_use() {
        let mut dad = Dad::new(DuplicateDetection::default());
        dad.begin(Instant::ZERO, OURS, Duration::ZERO);
        assert_eq!(dad.claimed(Instant::ZERO, OURS), Claim::Taken);
        assert_eq!((dad.next(), dad.is_tentative(OURS)), (None, false));
        // Never probed, so in use.
        for (second, then) in [
            (0, Claim::Defend),
            (1, Claim::Quiet),
            (9, Claim::Quiet),
            (10, Claim::Defend),
            (11, Claim::Quiet),
        ] {
            assert_eq!(dad.claimed(Instant::from_secs(second), OURS), then);
        }
        assert_eq!(dad.watched.len(), 1);
    }
}
