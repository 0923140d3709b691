//! Who has which address on an Ethernet link, for ARP (RFC 826) and NDISC (RFC 4861) alike.
//!
//! Pure table: who asks and answers on the wire is in `stack/link.rs` and `stack/ndisc.rs`. Answers are taken for
//! what we asked, and what somebody says of themselves when they ask for us is a hint; nothing else is learnt.
//!
//! ```text
//!            way()                answer                  way(), a minute later
//! (nothing) -----------> Asked --------------> Confirmed -----------------------> Checking (one by one, to the
//!     |                    | three tries           ^   somebody else claims it -->    |  address it has)
//!     | asks for us        v                       |                                  |
//!     v                 (nothing)                  +----------------------------------+ answer from there
//!   Heard ------------------------------------------- way() -----------------------> Checking
//!                                                                                     | three tries
//!                                                                                     v
//!                                                                                 (nothing)
//! ```
//!
//! Who answers keeps its address, whoever else claims it: a claim only makes us ask the one we know, and only
//! when that one is silent are all asked (RFC 4861 section 7.2.5 would believe the claim, and check later).
//! While it is checked it is used, so that a live one is never without its frames.

use std::collections::{BTreeMap, BTreeSet};

use nexus_types::{Duration, Instant, IpAddr, limits};

use crate::frame::Frame;

/// A hardware address.
pub(crate) type Mac = [u8; 6];

/// How often somebody is asked for, a second apart (RFC 4861 section 10: MAX_MULTICAST_SOLICIT, MAX_UNICAST_SOLICIT).
const TRIES: u8 = 3;
const RETRY: Duration = Duration::from_secs(1);
const VALID: Duration = Duration::from_micros(limits::NEIGHBOR_MICROS);
/// Before somebody who asked for us is asked in turn (RFC 4861 section 10: DELAY_FIRST_PROBE_TIME).
const DELAY: Duration = Duration::from_secs(5);

enum Neighbor {
    Asked {
        tries: u8,
        again: Instant,
        waiting: Vec<Frame>,
    },
    Known {
        mac: Mac,
        trust: Trust,
        /// When a frame last went there; or when we heard of it.
        used: Instant,
    },
}

/// Why we believe that a neighbour is where we send to.
#[derive(Clone, Copy)]
enum Trust {
    /// It said so, and nothing was sent there yet.
    Heard,
    /// It answered us.
    Confirmed { until: Instant },
    /// It may not be there any more.
    Checking { tries: u8, again: Instant },
}

/// See the module.
#[derive(Default)]
pub(crate) struct Neighbors {
    table: BTreeMap<IpAddr, Neighbor>,
    /// When whom to ask again.
    asks: BTreeSet<(Instant, IpAddr)>,
    /// What the frames take that wait.
    held: usize,
}

/// What to do with a frame.
pub(crate) enum Way {
    /// Send it there.
    To(Mac, Frame),
    /// It waits; the neighbour is to be asked for. What waited for another one, who makes room, is dropped.
    Ask(Vec<Frame>),
    /// It waits for an answer.
    Wait,
    /// There is no room for it; and so it is for what comes with it, as in [`Way::Ask`].
    Drop(Frame, Vec<Frame>),
}

/// What is due.
pub(crate) enum Due {
    /// Ask all for it.
    Ask(IpAddr),
    /// Ask this one whether it still has it.
    Check(IpAddr, Mac),
    /// This one did not answer; what waited for it.
    GiveUp(IpAddr, Vec<Frame>),
}

impl Neighbors {
    /// The way of a frame to a neighbour.
    pub(crate) fn way(&mut self, now: Instant, ip: IpAddr, frame: Frame) -> Way {
        match self.table.get_mut(&ip) {
            Some(Neighbor::Known { mac, trust, used })
                if !matches!(trust, Trust::Heard) || *used + VALID > now =>
            {
                *used = now;
                let check = match trust {
                    Trust::Confirmed { until } if *until <= now => now,
                    Trust::Heard => now + DELAY,
                    _ => return Way::To(*mac, frame),
                };
                *trust = Trust::Checking {
                    tries: 0,
                    again: check,
                };
                self.asks.insert((check, ip));
                return Way::To(*mac, frame);
            }
            Some(Neighbor::Asked { waiting, .. }) => {
                let held = self.held + frame.buffer_bytes();
                if waiting.len() >= limits::NEIGHBOR_FRAMES as usize
                    || held > limits::NEIGHBOR_BYTES as usize
                {
                    return Way::Drop(frame, Vec::new());
                }
                self.held = held;
                waiting.push(frame);
                return Way::Wait;
            }
            Some(Neighbor::Known { .. }) | None => {}
        }
        let mut evicted = Vec::new();
        if !self.table.contains_key(&ip) {
            match self.make_room(now, true) {
                Some(frames) => evicted = frames,
                None => return Way::Drop(frame, evicted),
            }
        }
        // Room may just have been made.
        let held = self.held + frame.buffer_bytes();
        if held > limits::NEIGHBOR_BYTES as usize {
            return Way::Drop(frame, evicted);
        }
        self.held = held;
        let again = now + RETRY;
        self.asks.insert((again, ip));
        let asked = Neighbor::Asked {
            tries: 1,
            again,
            waiting: vec![frame],
        };
        self.table.insert(ip, asked);
        Way::Ask(evicted)
    }

    /// Somebody answers, where it says so; `solicited`: they say they were asked. What waited for it comes back.
    pub(crate) fn answered(
        &mut self,
        now: Instant,
        ip: IpAddr,
        says: Option<Mac>,
        solicited: bool,
    ) -> Option<(Mac, Vec<Frame>)> {
        let until = now + VALID;
        match (self.table.get_mut(&ip)?, says) {
            (Neighbor::Asked { again, waiting, .. }, Some(mac)) => {
                self.asks.remove(&(*again, ip));
                let waiting = core::mem::take(waiting);
                self.held -= bytes_of(&waiting);
                let trust = if solicited {
                    Trust::Confirmed { until }
                } else {
                    let again = now + DELAY;
                    self.asks.insert((again, ip));
                    Trust::Checking { tries: 0, again }
                };
                let known = Neighbor::Known {
                    mac,
                    trust,
                    used: now,
                };
                self.table.insert(ip, known);
                Some((mac, waiting))
            }
            (Neighbor::Known { mac, .. }, Some(says)) if *mac != says => {
                self.contested(now, ip);
                None
            }
            (Neighbor::Known { trust, .. }, _) if solicited => {
                if let Trust::Checking { again, .. } = *trust {
                    self.asks.remove(&(again, ip));
                    *trust = Trust::Confirmed { until };
                }
                None
            }
            _ => None,
        }
    }

    /// Somebody who asks for us says who they are. While we ask for them, only their answer counts.
    pub(crate) fn heard(&mut self, now: Instant, ip: IpAddr, says: Mac) {
        match self.table.get_mut(&ip) {
            Some(Neighbor::Asked { .. }) => {}
            // Nobody relies on it: the newest is as good as any.
            Some(Neighbor::Known {
                mac,
                trust: Trust::Heard,
                used,
            }) => (*mac, *used) = (says, now),
            Some(Neighbor::Known { mac, .. }) if *mac == says => {}
            Some(Neighbor::Known { .. }) => self.contested(now, ip),
            None => {
                // Nobody's who is waited for: no frame comes back.
                if self.make_room(now, false).is_some() {
                    let heard = Neighbor::Known {
                        mac: says,
                        trust: Trust::Heard,
                        used: now,
                    };
                    self.table.insert(ip, heard);
                }
            }
        }
    }

    /// Whether a frame has gone to this neighbour there.
    pub(crate) fn is_used(&self, ip: IpAddr, at: Mac) -> bool {
        match self.table.get(&ip) {
            Some(Neighbor::Known { mac, trust, .. }) => {
                *mac == at && !matches!(trust, Trust::Heard)
            }
            _ => false,
        }
    }

    /// Somebody else claims a neighbour's address: it is asked, once a second at most.
    fn contested(&mut self, now: Instant, ip: IpAddr) {
        if let Some(Neighbor::Known { trust, .. }) = self.table.get_mut(&ip)
            && let Trust::Confirmed { until } = *trust
            && until <= now + (VALID - RETRY)
        {
            *trust = Trust::Checking {
                tries: 0,
                again: now,
            };
            self.asks.insert((now, ip));
        }
    }

    /// When somebody is to be asked for again.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.asks.first().map(|(at, _)| *at)
    }

    /// What is to be done at `now`, one thing at a time.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<Due> {
        let (at, ip) = *self.asks.first()?;
        if at > now {
            return None;
        }
        self.asks.pop_first();
        let (tries, again, due) = match self.table.get_mut(&ip) {
            Some(Neighbor::Asked { tries, again, .. }) => (tries, again, Due::Ask(ip)),
            Some(Neighbor::Known {
                mac,
                trust: Trust::Checking { tries, again },
                ..
            }) => (tries, again, Due::Check(ip, *mac)),
            _ => return Some(Due::GiveUp(ip, Vec::new())),
        };
        if *tries < TRIES {
            *tries += 1;
            *again = now + RETRY;
            self.asks.insert((*again, ip));
            return Some(due);
        }
        Some(Due::GiveUp(ip, self.forget(ip)))
    }

    /// Takes back frames that wait for whomever.
    pub(crate) fn take_waiting(&mut self, is: impl Fn(&Frame) -> bool) -> Vec<Frame> {
        let waiting = self
            .table
            .values_mut()
            .filter_map(|neighbor| match neighbor {
                Neighbor::Asked { waiting, .. } => Some(waiting),
                Neighbor::Known { .. } => None,
            });
        let taken: Vec<_> = waiting
            .flat_map(|waiting| waiting.extract_if(.., |frame| is(frame)))
            .collect();
        self.held -= bytes_of(&taken);
        taken
    }

    fn forget(&mut self, ip: IpAddr) -> Vec<Frame> {
        match self.table.remove(&ip) {
            Some(Neighbor::Asked { again, waiting, .. }) => {
                self.asks.remove(&(again, ip));
                self.held -= bytes_of(&waiting);
                waiting
            }
            Some(Neighbor::Known {
                trust: Trust::Checking { again, .. },
                ..
            }) => {
                self.asks.remove(&(again, ip));
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// Room for one more: who was only heard of goes first, then who has had no frame for a minute; and for one
    /// we want to send to (`wanted`), who has not answered longest, with the frames that waited: their senders
    /// try again. Never one in use. These frames, if there is room.
    fn make_room(&mut self, now: Instant, wanted: bool) -> Option<Vec<Frame>> {
        if self.table.len() < limits::NEIGHBORS as usize {
            return Some(Vec::new());
        }
        let rank = |neighbor: &Neighbor| match neighbor {
            Neighbor::Known {
                trust: Trust::Heard,
                used,
                ..
            } => Some((0, *used)),
            Neighbor::Known { used, .. } if *used + VALID <= now => Some((1, *used)),
            Neighbor::Asked { again, .. } if wanted => Some((2, *again)),
            _ => None,
        };
        let first = self
            .table
            .iter()
            .filter_map(|(ip, neighbor)| rank(neighbor).map(|rank| (rank, *ip)))
            .min();
        first.map(|(_, ip)| self.forget(ip))
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }
}

fn bytes_of(frames: &[Frame]) -> usize {
    frames.iter().map(Frame::buffer_bytes).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Pool;

    const LIVE: Mac = [2; 6];
    const THIEF: Mac = [4; 6];

    fn ip(number: u32) -> IpAddr {
        IpAddr::V4((0x0a00_0000 + number).into())
    }

    fn frame() -> Frame {
        Pool::new().take(40)
    }

    /// Where a frame goes now.
    fn to(table: &mut Neighbors, now: Instant, ip: IpAddr) -> Option<Mac> {
        match table.way(now, ip, frame()) {
            Way::To(mac, _) => Some(mac),
            _ => None,
        }
    }

    fn confirmed(table: &mut Neighbors, now: Instant, ip: IpAddr) {
        assert!(matches!(table.way(now, ip, frame()), Way::Ask(_)));
        assert!(table.answered(now, ip, Some(LIVE), true).is_some());
    }

    #[test]
    fn asked_three_times_then_given_up() {
        let mut table = Neighbors::default();
        let now = Instant::ZERO;
        assert!(matches!(table.way(now, ip(1), frame()), Way::Ask(_)));
        assert!(matches!(table.way(now, ip(1), frame()), Way::Wait));
        for second in 1..=2 {
            let now = Instant::from_secs(second);
            assert_eq!(table.next(), Some(now));
            assert!(matches!(table.pop_due(now), Some(Due::Ask(again)) if again == ip(1)));
            assert!(table.pop_due(now).is_none());
        }
        let now = Instant::from_secs(3);
        assert!(
            matches!(table.pop_due(now), Some(Due::GiveUp(who, frames)) if who == ip(1) && frames.len() == 2)
        );
        assert_eq!((table.next(), table.len()), (None, 0));
    }

    #[test]
    fn one_in_use_is_checked_where_it_is_and_used_meanwhile() {
        let mut table = Neighbors::default();
        confirmed(&mut table, Instant::ZERO, ip(1));
        let now = Instant::from_secs(61);
        assert_eq!(to(&mut table, now, ip(1)), Some(LIVE));
        assert!(matches!(table.pop_due(now), Some(Due::Check(who, LIVE)) if who == ip(1)));
        // An answer without an address is one from where we asked (RFC 4861 section 4.4).
        table.answered(now, ip(1), None, true);
        assert_eq!(table.next(), None);
        assert_eq!(to(&mut table, now, ip(1)), Some(LIVE));
        // Silent: three questions, then all are asked.
        let now = Instant::from_secs(122);
        assert_eq!(to(&mut table, now, ip(1)), Some(LIVE));
        for second in 122..125 {
            let now = Instant::from_secs(second);
            assert!(matches!(table.pop_due(now), Some(Due::Check(..))));
            assert_eq!(to(&mut table, now, ip(1)), Some(LIVE));
        }
        let now = Instant::from_secs(125);
        assert!(matches!(table.pop_due(now), Some(Due::GiveUp(..))));
        assert!(matches!(table.way(now, ip(1), frame()), Way::Ask(_)));
    }

    #[test]
    fn who_asked_for_us_is_used_and_checked_after_a_moment() {
        let mut table = Neighbors::default();
        let now = Instant::ZERO;
        table.heard(now, ip(1), LIVE);
        assert_eq!(table.next(), None);
        assert!(!table.is_used(ip(1), LIVE));
        assert_eq!(to(&mut table, now, ip(1)), Some(LIVE));
        assert!(table.is_used(ip(1), LIVE) && !table.is_used(ip(1), THIEF));
        assert_eq!(table.next(), Some(Instant::from_secs(5)));
        // Heard of long ago is as good as never.
        table.heard(now, ip(2), LIVE);
        let later = Instant::from_secs(61);
        assert!(matches!(table.way(later, ip(2), frame()), Way::Ask(_)));
    }

    #[test]
    fn reject_answers_nobody_asked_for() {
        let mut table = Neighbors::default();
        let now = Instant::ZERO;
        assert!(table.answered(now, ip(1), Some(THIEF), true).is_none());
        assert_eq!(table.len(), 0);
        confirmed(&mut table, now, ip(1));
        // One more does not take the address over, nor does a question in its name.
        for second in 0..50 {
            let now = Instant::from_secs(second);
            table.answered(now, ip(1), Some(THIEF), true);
            table.heard(now, ip(1), THIEF);
            assert_eq!(to(&mut table, now, ip(1)), Some(LIVE));
            while let Some(due) = table.pop_due(now) {
                // What they are good for: the live one is asked, and answers.
                assert!(matches!(due, Due::Check(_, LIVE)));
                table.answered(now, ip(1), Some(THIEF), true);
                table.answered(now, ip(1), Some(LIVE), true);
            }
        }
    }

    #[test]
    fn a_claim_while_we_ask_is_not_an_answer() {
        let mut table = Neighbors::default();
        let now = Instant::ZERO;
        assert!(matches!(table.way(now, ip(1), frame()), Way::Ask(_)));
        table.heard(now, ip(1), THIEF);
        assert!(matches!(table.way(now, ip(1), frame()), Way::Wait));
        let answer = table.answered(now, ip(1), Some(LIVE), true);
        assert!(matches!(answer, Some((LIVE, frames)) if frames.len() == 2));
    }

    #[test]
    fn the_table_and_its_queues_at_and_over_their_limits() {
        let mut table = Neighbors::default();
        let now = Instant::ZERO;
        confirmed(&mut table, now, ip(0));
        for number in 1..10_000 {
            let now = Instant::from_micros(number.into());
            assert!(matches!(table.way(now, ip(number), frame()), Way::Ask(_)));
            assert!(table.len() <= limits::NEIGHBORS as usize);
            assert!(table.asks.len() <= limits::NEIGHBORS as usize);
        }
        assert_eq!(to(&mut table, now, ip(0)), Some(LIVE), "one in use stays");
        for _ in 1..limits::NEIGHBOR_FRAMES {
            assert!(matches!(table.way(now, ip(9_999), frame()), Way::Wait));
        }
        assert!(matches!(table.way(now, ip(9_999), frame()), Way::Drop(..)));
        // Who talks into the room takes nobody's place who is wanted.
        table.heard(now, ip(20_000), THIEF);
        assert!(!table.table.contains_key(&ip(20_000)));
        // Full of those in use: a new one is not taken in, until one was not used for a minute.
        let mut table = Neighbors::default();
        for number in 0..limits::NEIGHBORS {
            confirmed(&mut table, now, ip(number));
        }
        assert!(matches!(table.way(now, ip(99_999), frame()), Way::Drop(..)));
        let later = Instant::from_secs(60);
        assert!(matches!(table.way(later, ip(99_999), frame()), Way::Ask(_)));
    }

    /// Goal: what waited for one who makes room is given back, whether or not there is room then. Method: a full table
    /// of those who are asked for; one more, for a frame that fits and for one that does not.
    #[test]
    fn what_waited_for_one_who_makes_room_comes_back() {
        let mut table = Neighbors::default();
        let asked = |table: &mut Neighbors, number: u32, frame| {
            table.way(Instant::from_micros(number.into()), ip(number), frame)
        };
        for number in 0..limits::NEIGHBORS {
            assert!(
                matches!(asked(&mut table, number, frame()), Way::Ask(evicted) if evicted.is_empty())
            );
        }
        assert!(matches!(
            table.way(Instant::ZERO, ip(0), frame()),
            Way::Wait
        ));
        let next = limits::NEIGHBORS;
        assert!(
            matches!(asked(&mut table, next, frame()), Way::Ask(evicted) if evicted.len() == 2)
        );
        table.held += limits::NEIGHBOR_BYTES as usize;
        let way = asked(&mut table, next + 1, frame());
        assert!(matches!(way, Way::Drop(_, evicted) if evicted.len() == 1));
    }

    /// Goal: large frames that wait take so much memory and no more, and give it back whatever becomes of them. Method:
    /// as many as fit, and one; then an answer, one that gives up, and those whose sender is gone.
    #[test]
    fn the_bytes_that_wait_at_and_over_their_limit() {
        let large = || Pool::new().take(30_000);
        let each = large().buffer_bytes();
        let fit = limits::NEIGHBOR_BYTES as usize / each;
        let mut table = Neighbors::default();
        let now = Instant::ZERO;
        let fill = |table: &mut Neighbors, now| {
            let waits = |number: &usize| {
                let ip = ip(*number as u32 / limits::NEIGHBOR_FRAMES);
                !matches!(table.way(now, ip, large()), Way::Drop(..))
            };
            (0..2 * fit).take_while(waits).count()
        };
        assert_eq!(fill(&mut table, now), fit);
        assert_eq!(table.held, fit * each);
        assert!(matches!(table.way(now, ip(9_999), large()), Way::Drop(..)));
        assert!(table.table.len() < limits::NEIGHBORS as usize);
        let (_, frames) = table.answered(now, ip(0), Some(LIVE), true).unwrap();
        assert_eq!(table.held, (fit - frames.len()) * each);
        for _ in 0..frames.len() {
            assert!(!matches!(table.way(now, ip(9_999), large()), Way::Drop(..)));
        }
        assert!(matches!(table.way(now, ip(9_998), large()), Way::Drop(..)));
        for second in 1..=3 {
            while table.pop_due(Instant::from_secs(second)).is_some() {}
        }
        assert_eq!(table.held, 0);
        let mut table = Neighbors::default();
        assert_eq!(fill(&mut table, now), fit);
        assert_eq!(table.take_waiting(|_| true).len(), fit);
        assert_eq!(table.held, 0);
    }

    #[test]
    fn those_only_heard_of_make_room_and_take_none() {
        let mut table = Neighbors::default();
        let now = Instant::ZERO;
        confirmed(&mut table, now, ip(0));
        for number in 1..10_000 {
            let now = Instant::from_micros(number.into());
            table.heard(now, ip(number), THIEF);
            assert!(table.len() <= limits::NEIGHBORS as usize);
        }
        assert!(matches!(table.way(now, ip(30_000), frame()), Way::Ask(_)));
        assert_eq!(to(&mut table, now, ip(0)), Some(LIVE));
    }
}
