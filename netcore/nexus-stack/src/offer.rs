//! How far the far end has offered to take what we send.
//!
//! smoltcp sends again what is first missing as a full segment, however little was offered. Behind a window that is
//! closed, or nearly, that would be bytes that were never sent before. SND.MAX would stand beyond the window, and with
//! it each empty segment of ours; the far end takes no acknowledgement from there (RFC 9293 section 3.10.7.4). Two ends
//! that both send would be deaf to each other but for probes of closed windows, a minute apart in the end.

use crate::packet::{ACK, FIN, RST, SYN, Segment, seq_lt};

/// See the module.
#[derive(Default, Debug)]
pub(crate) struct Offer {
    /// How far windows are shifted (RFC 7323 section 2.3).
    shift: u8,
    /// The right edge of the window that reached furthest.
    edge: Option<u32>,
    /// The last window, as it stood in its segment.
    window: u16,
}

impl Offer {
    /// What the far end's SYN says of its windows: ours always offers to shift them.
    pub(crate) fn set_shift(&mut self, theirs: Option<u8>) {
        self.shift = theirs.unwrap_or(0);
    }

    /// Notes what a segment offers. Whether that is just the window of the last one.
    pub(crate) fn note(&mut self, segment: &Segment) -> bool {
        if !segment.has(ACK) || segment.has(RST) {
            return false;
        }
        let shift = if segment.has(SYN) { 0 } else { self.shift };
        let edge = segment.ack.wrapping_add(u32::from(segment.window) << shift);
        // One that shrinks takes nothing back that was not sent yet, for all we know (section 3.8.6).
        if self.edge.is_none_or(|furthest| seq_lt(furthest, edge)) {
            self.edge = Some(edge);
        }
        let same = self.window == segment.window;
        self.window = segment.window;
        same
    }

    /// Whether the byte at `seq` was ever offered to be taken.
    pub(crate) fn reaches(&self, seq: u32) -> bool {
        self.edge.is_none_or(|edge| seq_lt(seq, edge))
    }

    /// Whether so many bytes from `una` on lie within what was ever offered.
    pub(crate) fn covers(&self, una: u32, bytes: u32) -> bool {
        self.edge
            .is_none_or(|edge| !seq_lt(edge, una.wrapping_add(bytes)))
    }
}

/// Whether a segment does nothing but acknowledge.
pub(crate) fn is_bare(segment: &Segment) -> bool {
    segment.data_len == 0 && segment.flags & (SYN | FIN | RST | ACK) == ACK
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says(flags: u8, ack: u32, window: u16) -> Segment {
        let mut bytes = vec![0, 1, 0, 2, 0, 0, 0, 0];
        bytes.extend(ack.to_be_bytes());
        bytes.extend([5 << 4, flags]);
        bytes.extend(window.to_be_bytes());
        bytes.extend([0; 4]);
        Segment::parse(&bytes).unwrap()
    }

    /// Goal: what was offered once counts, to the byte. Method: a window of four steps of two bytes, one that takes a
    /// byte of it back, one that opens further; around the end of the circle.
    #[test]
    fn the_furthest_edge_counts() {
        let base = u32::MAX - 3;
        let mut offer = Offer::default();
        assert!(offer.covers(base, u32::MAX / 2), "nothing is known yet");
        offer.set_shift(Some(1));
        assert!(!offer.note(&says(ACK, base, 4)));
        assert!(offer.covers(base, 8) && !offer.covers(base, 9));
        assert!(offer.reaches(base.wrapping_add(7)) && !offer.reaches(base.wrapping_add(8)));
        let una = base.wrapping_add(1);
        assert!(!offer.note(&says(ACK, una, 3)));
        assert!(offer.covers(una, 7) && !offer.covers(una, 8));
        assert!(!offer.note(&says(ACK, una, 9)));
        assert!(offer.covers(una, 18) && !offer.covers(una, 19));
    }

    #[test]
    fn the_window_of_a_syn_is_not_shifted() {
        let mut offer = Offer::default();
        offer.set_shift(Some(7));
        offer.note(&says(SYN | ACK, 1, 100));
        assert!(offer.covers(1, 100) && !offer.covers(1, 101));
        let mut offer = Offer::default();
        offer.set_shift(None);
        offer.note(&says(ACK, 1, 100));
        assert!(!offer.covers(1, 101));
    }

    /// Goal: only what says the same once more says nothing. Method: as it is; another window; a reset; no
    /// acknowledgement.
    #[test]
    fn the_same_window_is_known_again() {
        let mut offer = Offer::default();
        offer.note(&says(ACK, 1, 100));
        assert!(offer.note(&says(ACK, 1, 100)));
        assert!(!offer.note(&says(ACK, 1, 101)));
        assert!(offer.note(&says(ACK, 2, 101)));
        for flags in [RST | ACK, SYN] {
            assert!(!offer.note(&says(flags, 1, 5)));
            assert!(!is_bare(&says(flags, 1, 5)));
        }
        assert!(is_bare(&says(ACK, 1, 5)) && !is_bare(&says(FIN | ACK, 1, 5)));
    }
}
