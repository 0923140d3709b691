//! What the far end says it is missing, and when that is lost (RFC 6675).
//!
//! smoltcp sends again what is first missing when three segments in a row say the same, carry nothing and
//! change no window; else after a timeout of a second and more. While bytes go both ways the far end
//! says so on segments that carry bytes, with each of which smoltcp counts anew, and a second hole in one
//! window waits for three segments of its own. So nearly every loss would cost a second. What is
//! missing stands in every segment that follows it (SACK, RFC 2018): it is read here, and where it says
//! that the first missing byte is lost, smoltcp is handed the three segments it waits for.
//!
//! smoltcp also reads no acknowledgement of a segment that lies outside the window. One that stands at its
//! right edge is what a far end says that has filled the window, one to the left of it asks whether a
//! closed one is open: what these acknowledge counts (RFC 9293 section 3.10.7.4, first: "special allowance
//! should be made to accept valid ACKs"), or two ends that are full wait for a timeout.

use crate::packet::{ACK, Packet, RST, SYN, Segment, seq_lt, u32_at};

/// How many segments must have passed a byte for it to be lost and not late: DupThresh.
const DUP_THRESH: u32 = 3;

/// How often [`bare_ack`] makes smoltcp send again.
pub(crate) const REPEATS: usize = 3;

/// What was found lost on one connection.
#[derive(Default, Debug)]
pub(crate) struct Recovery {
    /// The first missing byte that was sent again, and SND.MAX when it was.
    resent: Option<(u32, u32)>,
    /// SND.UNA, as the far end has said it.
    una: Option<u32>,
}

impl Recovery {
    /// Whether a segment acknowledges what none before it did.
    pub(crate) fn is_news(&self, segment: &Segment, snd_max: u32) -> bool {
        segment.has(ACK)
            && !segment.has(SYN)
            && !segment.has(RST)
            && !seq_lt(snd_max, segment.ack)
            && self.una.is_none_or(|una| seq_lt(una, segment.ack))
    }

    /// Notes that a segment that was news was taken for what it is.
    pub(crate) fn acknowledged(&mut self, segment: &Segment) {
        self.una = Some(segment.ack);
    }

    /// SND.UNA, as far as anything told it.
    pub(crate) fn una(&self) -> Option<u32> {
        self.una
    }

    /// Whether the byte that a segment waits for is lost, and is not on its way again already.
    ///
    /// A far end that lies is sent nothing more than one segment for each that it lets us send: once a
    /// missing byte, and again only when as much of what was sent after that has arrived.
    pub(crate) fn is_due(
        &mut self,
        segment: &Segment,
        bytes: &[u8],
        snd_max: u32,
        mss: u32,
    ) -> bool {
        if segment.header_len <= 20
            || !segment.has(ACK)
            || segment.has(SYN)
            || segment.has(RST)
            || !seq_lt(segment.ack, snd_max)
        {
            return false;
        }
        let una = segment.ack;
        let beyond = match self.resent {
            // An old segment, passed by the one that told of more.
            Some((at, _)) if seq_lt(una, at) => return false,
            // A segment from there on was sent again: who acknowledges it byte by byte gets no more of them.
            Some((at, sent)) if una.wrapping_sub(at) < mss => sent,
            _ => una,
        };
        let held = held(&bytes[20..segment.header_len], una, beyond, snd_max);
        // Where less is under way than would tell, nothing more will: all but one segment has to do
        // (early retransmit, RFC 5827 section 3.1).
        let under_way = snd_max.wrapping_sub(una);
        let early = beyond == una && held.bytes > 0 && held.bytes + mss >= under_way;
        let due = held.bytes > (DUP_THRESH - 1) * mss || held.ranges >= DUP_THRESH || early;
        if due {
            self.resent = Some((una, snd_max));
        }
        due
    }
}

/// What the far end has of what lies beyond a sequence number.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Held {
    bytes: u32,
    ranges: u32,
}

/// Adds up the ranges of a segment's SACK option that lie between `una` and `snd_max`, as far as they
/// lie `beyond`.
fn held(mut options: &[u8], una: u32, beyond: u32, snd_max: u32) -> Held {
    let mut held = Held::default();
    while let [kind, rest @ ..] = options {
        match (kind, rest) {
            (0, _) => break,
            (1, _) => {
                options = rest;
                continue;
            }
            (_, [len, ..]) if *len >= 2 && usize::from(*len) <= options.len() => {}
            _ => break,
        }
        let (option, after) = options.split_at(usize::from(rest[0]));
        options = after;
        if *kind != 5 {
            continue;
        }
        let ranges = option[2..].chunks_exact(8);
        let mut ranges = ranges.map(|range| (u32_at(range, 0), u32_at(range, 4)));
        // The first range may be of what came twice, and then lies within what is acknowledged or
        // within the second (RFC 2883 section 4).
        let (first, second) = (ranges.next(), ranges.next());
        let within = |(left, right): (u32, u32), (from, to): (u32, u32)| {
            !seq_lt(left, from) && !seq_lt(to, right)
        };
        let first = first.filter(|&first| !second.is_some_and(|second| within(first, second)));
        for (left, right) in first.into_iter().chain(second).chain(ranges) {
            if !seq_lt(una, left) || !seq_lt(left, right) || seq_lt(snd_max, right) {
                continue;
            }
            let left = if seq_lt(left, beyond) { beyond } else { left };
            if seq_lt(left, right) {
                held.bytes = held.bytes.saturating_add(right.wrapping_sub(left));
                held.ranges += 1;
            }
        }
    }
    held
}

/// The acknowledgement of a segment without its bytes and options: an IP packet of this length.
pub(crate) fn bare_ack(packet: &Packet<'_>, rcv_nxt: u32) -> ([u8; 60], usize) {
    let mut bare = [0; 60];
    let ip = if packet.src.is_ipv4() { 20 } else { 40 };
    bare[..ip].copy_from_slice(&packet.bytes[..ip]);
    if ip == 20 {
        bare[0] = 0x45;
        bare[2..4].copy_from_slice(&40_u16.to_be_bytes());
        // Of a packet that came in fragments, too.
        bare[6..8].fill(0);
    } else {
        bare[4..6].copy_from_slice(&20_u16.to_be_bytes());
        bare[6] = packet.protocol;
    }
    let tcp = &mut bare[ip..ip + 20];
    tcp.copy_from_slice(&packet.payload()[..20]);
    tcp[4..8].copy_from_slice(&rcv_nxt.to_be_bytes());
    tcp[12] = 5 << 4;
    tcp[13] = ACK;
    (bare, ip + 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MSS: u32 = 1_000;

    /// A segment that acknowledges `ack` and has these ranges.
    fn says(ack: u32, ranges: &[(u32, u32)]) -> Vec<u8> {
        let mut bytes = vec![0, 1, 0, 2, 0, 0, 0, 0];
        bytes.extend(ack.to_be_bytes());
        let words = if ranges.is_empty() {
            5
        } else {
            6 + ranges.len() as u8 * 2
        };
        bytes.extend([words << 4, ACK, 1, 0, 0, 0, 0, 0]);
        if !ranges.is_empty() {
            bytes.extend([1, 1, 5, 2 + ranges.len() as u8 * 8]);
            for (left, right) in ranges {
                bytes.extend(left.to_be_bytes());
                bytes.extend(right.to_be_bytes());
            }
        }
        bytes.extend(b"data");
        bytes
    }

    fn is_due(recovery: &mut Recovery, snd_max: u32, ack: u32, ranges: &[(u32, u32)]) -> bool {
        let bytes = says(ack, ranges);
        let segment = Segment::parse(&bytes).unwrap();
        recovery.is_due(&segment, &bytes, snd_max, MSS)
    }

    /// Goal: lost is what more than two segments have passed, once. Method: one hole, then the next,
    /// around the end of the circle too.
    #[test]
    fn a_hole_is_found_once_and_the_next_at_once() {
        for base in [0_u32, u32::MAX - 2_500] {
            let at = |offset: u32| base.wrapping_add(offset);
            let mut recovery = Recovery::default();
            let mut due = |ack, ranges: &[(u32, u32)]| {
                let ranges: Vec<_> = ranges.iter().map(|r| (at(r.0), at(r.1))).collect();
                is_due(&mut recovery, at(9_000), at(ack), &ranges)
            };
            assert!(!due(0, &[]));
            assert!(!due(0, &[(1_000, 3_000)]));
            assert!(due(0, &[(1_000, 3_001)]));
            assert!(!due(0, &[(1_000, 6_000)]), "it is on its way");
            // It arrives, and the next hole shows.
            assert!(due(6_000, &[(7_000, 9_000), (6_500, 6_600)]));
            // What was sent first comes last.
            assert!(!due(0, &[(1_000, 6_000)]));
        }
    }

    /// Goal: what was sent again and lost again does not wait for the timeout. Method: bytes that were
    /// sent after it arrive.
    #[test]
    fn what_is_lost_twice_is_found_twice() {
        let mut recovery = Recovery::default();
        assert!(is_due(&mut recovery, 5_000, 0, &[(1_000, 5_000)]));
        assert!(!is_due(&mut recovery, 9_000, 0, &[(1_000, 7_000)]));
        assert!(is_due(&mut recovery, 9_000, 0, &[(1_000, 7_001)]));
        assert!(!is_due(&mut recovery, 9_000, 0, &[(1_000, 9_000)]));
    }

    #[test]
    fn an_acknowledgement_is_news_once_and_never_of_what_was_not_sent() {
        let mut recovery = Recovery::default();
        let mut is_news = |ack| {
            let segment = Segment::parse(&says(ack, &[])).unwrap();
            let news = recovery.is_news(&segment, 5);
            assert_eq!(
                news,
                recovery.is_news(&segment, 5),
                "only what is taken is old"
            );
            if news {
                recovery.acknowledged(&segment);
            }
            news
        };
        let first = u32::MAX - 5;
        assert!(is_news(first));
        assert!(is_news(2));
        assert!(!is_news(2) && !is_news(first) && !is_news(6));
        assert!(is_news(5));
    }

    /// Goal: the last segments of a burst tell, too. Method: one is missing, the rest arrives.
    #[test]
    fn where_little_is_under_way_all_the_rest_is_enough() {
        assert!(is_due(
            &mut Recovery::default(),
            1_500,
            0,
            &[(1_000, 1_500)]
        ));
        assert!(is_due(
            &mut Recovery::default(),
            3_000,
            0,
            &[(1_000, 3_000)]
        ));
        assert!(!is_due(
            &mut Recovery::default(),
            3_001,
            0,
            &[(1_000, 3_000)]
        ));
        let mut recovery = Recovery::default();
        assert!(is_due(&mut recovery, 2_000, 0, &[(1_000, 2_000)]));
        assert!(!is_due(&mut recovery, 2_000, 0, &[(1_000, 2_000)]));
    }

    #[test]
    fn three_ranges_are_enough() {
        let ranges = [(10, 20), (30, 40), (50, 60)];
        assert!(!is_due(&mut Recovery::default(), 2_000, 0, &ranges[..2]));
        assert!(is_due(&mut Recovery::default(), 2_000, 0, &ranges));
    }

    #[test]
    fn reject_ranges_of_what_is_acknowledged_never_sent_or_empty() {
        for ranges in [
            &[(0, 9_000)][..],
            &[(4_000, 9_000)],
            &[(5_000, 9_000)],
            &[(6_000, 10_001)],
            &[(9_000, 6_000)],
            &[(6_000, 6_000), (7_000, 7_000), (8_000, 8_000)],
            // What came twice, within the next range.
            &[(6_000, 7_500), (6_000, 8_000)],
        ] {
            let due = is_due(&mut Recovery::default(), 10_000, 5_000, ranges);
            assert!(!due, "{ranges:?}");
        }
        // All is acknowledged; more than was sent is.
        for ack in [10_000, 10_001] {
            let ranges = [(6_000, 9_999)];
            assert!(!is_due(&mut Recovery::default(), 10_000, ack, &ranges));
        }
    }
}
