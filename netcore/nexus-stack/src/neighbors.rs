//! Who has which address on an Ethernet link, for ARP (RFC 826) and NDISC (RFC 4861) alike.
//!
//! Pure table: who asks and answers on the wire is in `stack/link.rs`. Answers are taken for what we asked,
//! and from who asks for us (they are about to talk to us); nothing else is learnt, so that nobody fills the
//! table or takes over an address by talking into the room.

use std::collections::{BTreeMap, BTreeSet};

use nexus_types::{Duration, Instant, IpAddr, limits};

use crate::frame::Frame;

/// A hardware address.
pub(crate) type Mac = [u8; 6];

/// How often somebody is asked for, a second apart (RFC 4861 section 10: MAX_MULTICAST_SOLICIT).
const TRIES: u8 = 3;
const RETRY: Duration = Duration::from_secs(1);
const VALID: Duration = Duration::from_micros(limits::NEIGHBOR_MICROS);

enum Neighbor {
    Known {
        mac: Mac,
        until: Instant,
    },
    Asked {
        tries: u8,
        again: Instant,
        waiting: Vec<Frame>,
    },
}

/// See the module.
#[derive(Default)]
pub(crate) struct Neighbors {
    table: BTreeMap<IpAddr, Neighbor>,
    /// When whom to ask again.
    asks: BTreeSet<(Instant, IpAddr)>,
}

/// What to do with a frame.
pub(crate) enum Way {
    /// Send it there.
    To(Mac, Frame),
    /// It waits; the neighbour is to be asked for.
    Ask,
    /// It waits for an answer.
    Wait,
    /// There is no room for it.
    Drop(Frame),
}

impl Neighbors {
    /// The way of a frame to a neighbour.
    pub(crate) fn way(&mut self, now: Instant, ip: IpAddr, frame: Frame) -> Way {
        match self.table.get_mut(&ip) {
            Some(Neighbor::Known { mac, until }) if *until > now => Way::To(*mac, frame),
            Some(Neighbor::Asked { waiting, .. }) => {
                if waiting.len() >= limits::NEIGHBOR_FRAMES as usize {
                    return Way::Drop(frame);
                }
                waiting.push(frame);
                Way::Wait
            }
            known => {
                if known.is_none() && !self.make_room(now) {
                    return Way::Drop(frame);
                }
                let again = now + RETRY;
                self.asks.insert((again, ip));
                let asked = Neighbor::Asked {
                    tries: 1,
                    again,
                    waiting: vec![frame],
                };
                self.table.insert(ip, asked);
                Way::Ask
            }
        }
    }

    /// Somebody says who they are. `asked`: only if we asked. What waited for it comes back.
    pub(crate) fn learn(&mut self, now: Instant, ip: IpAddr, mac: Mac, asked: bool) -> Vec<Frame> {
        let until = now + VALID;
        if !self.table.contains_key(&ip) && (asked || !self.make_room(now)) {
            return Vec::new();
        }
        let freed = match self.table.get_mut(&ip) {
            Some(Neighbor::Asked { again, waiting, .. }) => {
                self.asks.remove(&(*again, ip));
                core::mem::take(waiting)
            }
            // An answer nobody asked for, or one more to the same question.
            Some(Neighbor::Known { .. }) if asked => return Vec::new(),
            Some(Neighbor::Known { .. }) | None => Vec::new(),
        };
        self.table.insert(ip, Neighbor::Known { mac, until });
        freed
    }

    /// When somebody is to be asked for again.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.asks.first().map(|(at, _)| *at)
    }

    /// Somebody to be asked for again at `now`; or, if they were asked often enough, what waited for them.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Result<IpAddr, Vec<Frame>>> {
        let (at, ip) = *self.asks.first()?;
        if at > now {
            return None;
        }
        self.asks.pop_first();
        match self.table.get_mut(&ip) {
            Some(Neighbor::Asked { tries, again, .. }) if *tries < TRIES => {
                *tries += 1;
                *again = now + RETRY;
                self.asks.insert((*again, ip));
                Some(Ok(ip))
            }
            _ => Some(Err(self.forget(ip))),
        }
    }

    fn forget(&mut self, ip: IpAddr) -> Vec<Frame> {
        match self.table.remove(&ip) {
            Some(Neighbor::Asked { again, waiting, .. }) => {
                self.asks.remove(&(again, ip));
                waiting
            }
            _ => Vec::new(),
        }
    }

    /// Room for one more: what has expired goes first, then who has not answered longest.
    fn make_room(&mut self, now: Instant) -> bool {
        if self.table.len() < limits::NEIGHBORS as usize {
            return true;
        }
        self.table.retain(
            |_, neighbor| !matches!(neighbor, Neighbor::Known { until, .. } if *until <= now),
        );
        if self.table.len() < limits::NEIGHBORS as usize {
            return true;
        }
        match self.asks.first().copied() {
            Some((_, ip)) => {
                // Dropped with the frames that waited: their senders try again.
                self.forget(ip);
                true
            }
            None => false,
        }
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Pool;

    fn ip(number: u32) -> IpAddr {
        IpAddr::V4((0x0a00_0000 + number).into())
    }

    fn frame() -> Frame {
        Pool::new().take(40)
    }

    #[test]
    fn asked_three_times_then_given_up() {
        let mut table = Neighbors::default();
        let now = Instant::ZERO;
        assert!(matches!(table.way(now, ip(1), frame()), Way::Ask));
        assert!(matches!(table.way(now, ip(1), frame()), Way::Wait));
        for second in 1..=2 {
            let now = Instant::from_secs(second);
            assert_eq!(table.next(), Some(now));
            assert!(matches!(table.pop_due(now), Some(Ok(again)) if again == ip(1)));
            assert!(table.pop_due(now).is_none());
        }
        let now = Instant::from_secs(3);
        assert!(matches!(table.pop_due(now), Some(Err(frames)) if frames.len() == 2));
        assert_eq!((table.next(), table.len()), (None, 0));
    }

    #[test]
    fn reject_answers_nobody_asked_for() {
        let mut table = Neighbors::default();
        table.learn(Instant::ZERO, ip(1), [2; 6], true);
        assert_eq!(table.len(), 0);
        assert!(matches!(table.way(Instant::ZERO, ip(1), frame()), Way::Ask));
        assert_eq!(table.learn(Instant::ZERO, ip(1), [2; 6], true).len(), 1);
        // A second answer does not take the address over.
        table.learn(Instant::ZERO, ip(1), [4; 6], true);
        let way = table.way(Instant::ZERO, ip(1), frame());
        assert!(matches!(way, Way::To([2, 2, 2, 2, 2, 2], _)));
        let later = Instant::from_secs(61);
        assert!(matches!(table.way(later, ip(1), frame()), Way::Ask));
    }

    #[test]
    fn the_table_and_its_queues_at_and_over_their_limits() {
        let mut table = Neighbors::default();
        let now = Instant::ZERO;
        table.learn(now, ip(0), [2; 6], false);
        for number in 1..10_000 {
            let now = Instant::from_micros(number.into());
            assert!(matches!(table.way(now, ip(number), frame()), Way::Ask));
            assert!(table.len() <= limits::NEIGHBORS as usize);
        }
        assert!(
            matches!(table.way(now, ip(0), frame()), Way::To(..)),
            "a known one stays"
        );
        for _ in 1..limits::NEIGHBOR_FRAMES {
            assert!(matches!(table.way(now, ip(9_999), frame()), Way::Wait));
        }
        assert!(matches!(table.way(now, ip(9_999), frame()), Way::Drop(_)));
        // Full of known ones: a new one is not taken in.
        let mut table = Neighbors::default();
        for number in 0..limits::NEIGHBORS {
            table.learn(now, ip(number), [2; 6], false);
        }
        assert!(matches!(table.way(now, ip(99_999), frame()), Way::Drop(_)));
    }
}
