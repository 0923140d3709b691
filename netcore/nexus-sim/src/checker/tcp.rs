//! TCP as the wire shows it: nobody acknowledges what was not sent, leaves a gap in what it sends, or sends more
//! than it was offered (RFC 9293 sections 3.4 and 3.8.6).
//!
//! It follows both ends of a connection by the segments that leave them and the sound ones that reach them. Numbers
//! are kept as distances from the first sequence number, so that wrapping does not matter below 2^31 bytes a
//! direction. Resets are left alone: they answer what may belong to nobody. So are gaps on an Ethernet: there a stack
//! may drop what it has sent while it looks for the neighbour.

use std::collections::{BTreeMap, VecDeque};

use nexus_types::{Instant, SocketAddr};

use super::{Checker, Found, Seen};
use crate::machine::MachineId;
use crate::wire::{self, Ip, Tcp};

/// Connections of one pair of addresses and ports that are remembered: older segments may still be on their way.
const REMEMBERED: usize = 8;

/// Directions that are followed; the least address goes. Stops a flood of ports from filling memory.
const DIRECTIONS: usize = 1 << 16;

/// The most a stack can have sent and dropped: the largest window (RFC 7323 section 2.3).
const GAP: u32 = 1 << 30;

/// One direction of one connection.
#[derive(Clone, Copy, Debug)]
struct Course {
    first: u32,
    /// Sequence space used so far.
    sent: u32,
    /// How much of it the other end has.
    known: u32,
    /// How far it has offered to take it.
    offered: u32,
    scale: Option<u8>,
}

impl Course {
    /// How far a number is from the first one, if it can be of this connection's past.
    fn within(&self, number: u32, most: u32) -> Option<u32> {
        let distance = number.wrapping_sub(self.first);
        (distance <= most).then_some(distance)
    }
}

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct TcpRules {
    /// From whom to whom; the newest connection last.
    courses: BTreeMap<(SocketAddr, SocketAddr), VecDeque<Course>>,
}

impl TcpRules {
    /// A segment leaves `from`: what is wrong with it. It may be as far as `gap` from what was sent.
    fn sent(
        &mut self,
        from: SocketAddr,
        to: SocketAddr,
        gap: u32,
        tcp: &Tcp<'_>,
    ) -> Option<String> {
        if tcp.rst {
            return None;
        }
        if let Some(ack) = tcp.ack
            && let Some(theirs) = self.courses.get(&(to, from))
        {
            let heard = |course: &Course| {
                let known = course.within(ack, course.sent);
                known.is_some_and(|known| known > 0)
            };
            if !theirs.iter().any(heard) {
                return Some(format!("acknowledges {ack}, of {theirs:?}"));
            }
        }
        if self.courses.len() >= DIRECTIONS {
            self.courses.pop_first();
        }
        let ours = self.courses.entry((from, to)).or_default();
        if tcp.syn {
            if !ours.iter().any(|course| course.first == tcp.seq) {
                if ours.len() == REMEMBERED {
                    ours.pop_front();
                }
                ours.push_back(Course {
                    first: tcp.seq,
                    sent: 1,
                    known: 0,
                    offered: 0,
                    scale: tcp.scale,
                });
            }
            return None;
        }
        // Nobody saw it begin.
        let last = ours.back()?.sent;
        let course = ours
            .iter_mut()
            .rev()
            .find(|course| course.within(tcp.seq, course.sent + gap).is_some());
        let Some(course) = course else {
            return Some(format!("sends {} after {last} bytes at most", tcp.seq));
        };
        let begin = tcp.seq.wrapping_sub(course.first);
        let end = begin + tcp.data.len() as u32;
        course.sent = course.sent.max(begin + tcp.length());
        // One byte more asks whether a window has opened (RFC 9293 section 3.8.6.1).
        (!tcp.data.is_empty() && end > course.offered + 1).then(|| {
            let offered = course.offered;
            format!("sends up to {end}, offered {offered}")
        })
    }

    /// A sound segment reaches `to`.
    fn arrived(&mut self, from: SocketAddr, to: SocketAddr, tcp: &Tcp<'_>) {
        let Some(ack) = tcp.ack.filter(|_| !tcp.rst) else {
            return;
        };
        // The scale counts if both ends have named one; a SYN's own window is never scaled.
        let theirs = self.courses.get(&(from, to));
        let theirs = theirs.and_then(|all| all.iter().map(|course| course.scale).max().flatten());
        let Some(ours) = self.courses.get_mut(&(to, from)) else {
            return;
        };
        for course in ours {
            let Some(known) = course.within(ack, course.sent) else {
                continue;
            };
            let scale = match (theirs, course.scale) {
                (Some(theirs), Some(_)) if !tcp.syn => theirs,
                _ => 0,
            };
            let window = u32::from(tcp.window) << scale;
            course.known = course.known.max(known);
            course.offered = course.offered.max(known.saturating_add(window));
        }
    }
}

impl Checker for TcpRules {
    fn name(&self) -> &'static str {
        "tcp-rules"
    }

    fn see(&mut self, _: Instant, _: MachineId, seen: &Seen<'_>, found: &mut Found<'_>) {
        let (ethernet, frame, leaves) = match *seen {
            Seen::Sent { ethernet, frame } => (ethernet, frame, true),
            Seen::Arrived { ethernet, frame } => (ethernet, frame, false),
            _ => return,
        };
        let Some(ip) = wire::packet(ethernet, frame).and_then(Ip::parse) else {
            return;
        };
        if ip.protocol != wire::TCP || ip.fragment {
            return;
        }
        if !leaves && !ip.is_sound() {
            return;
        }
        let Some(tcp) = Tcp::parse(ip.payload) else {
            return;
        };
        let from = SocketAddr::new(ip.from, tcp.from);
        let to = SocketAddr::new(ip.to, tcp.to);
        let gap = if ethernet { GAP } else { 0 };
        if !leaves {
            self.arrived(from, to, &tcp);
        } else if let Some(wrong) = self.sent(from, to, gap, &tcp) {
            found.violation(|| format!("{from} to {to}: {wrong}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends() -> (SocketAddr, SocketAddr) {
        let parse = |text: &str| text.parse().unwrap();
        (parse("10.0.0.1:5000"), parse("10.0.0.2:80"))
    }

    fn segment(seq: u32, ack: Option<u32>, data: &[u8]) -> Tcp<'_> {
        Tcp {
            from: 0,
            to: 0,
            seq,
            ack,
            syn: false,
            fin: false,
            rst: false,
            window: 100,
            scale: None,
            data,
        }
    }

    fn syn(seq: u32, ack: Option<u32>) -> Tcp<'static> {
        Tcp {
            syn: true,
            scale: Some(2),
            ..segment(seq, ack, &[])
        }
    }

    /// A connection from a to b whose sequence numbers are about to wrap.
    fn connected() -> TcpRules {
        let (a, b) = ends();
        let mut rules = TcpRules::default();
        let first = syn(u32::MAX - 5, None);
        assert_eq!(rules.sent(a, b, 0, &first), None);
        rules.arrived(a, b, &first);
        let second = syn(700, Some(u32::MAX - 4));
        assert_eq!(rules.sent(b, a, 0, &second), None);
        rules.arrived(b, a, &second);
        rules
    }

    #[test]
    fn what_was_offered_may_be_sent_and_what_was_sent_acknowledged() {
        let (a, b) = ends();
        let mut rules = connected();
        let data = [0; 100];
        let first = segment(u32::MAX - 4, Some(701), &data);
        assert_eq!(rules.sent(a, b, 0, &first), None);
        // 100 more were offered, by a window that is scaled.
        let answer = segment(701, Some(95), &[]);
        assert_eq!(rules.sent(b, a, 0, &answer), None);
        rules.arrived(b, a, &answer);
        for part in 0..4 {
            let more = segment(95 + 100 * part, Some(701), &data);
            assert_eq!(rules.sent(a, b, 0, &more), None);
        }
        let probe = segment(495, Some(701), &[0]);
        assert_eq!(rules.sent(a, b, 0, &probe), None);
    }

    #[test]
    fn reject_more_than_was_offered() {
        let (a, b) = ends();
        let data = [0; 102];
        let wrong = connected().sent(a, b, 0, &segment(u32::MAX - 4, Some(701), &data));
        assert!(wrong.unwrap().contains("offered 101"));
    }

    #[test]
    fn reject_an_acknowledgement_of_what_was_not_sent() {
        let (a, b) = ends();
        for ack in [702, 700, 1, u32::MAX] {
            let wrong = connected().sent(a, b, 0, &segment(u32::MAX - 4, Some(ack), &[]));
            assert!(wrong.unwrap().contains("acknowledges"), "{ack}");
        }
    }

    #[test]
    fn reject_a_gap() {
        let (a, b) = ends();
        let wrong = connected().sent(a, b, 0, &segment(u32::MAX - 3, Some(701), &[1]));
        assert!(wrong.unwrap().contains("sends"));
    }
}
