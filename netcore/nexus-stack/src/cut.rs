//! Cutting what a connection has to send into segments: what a NIC does where there is one that can
//! ([`Config::offload`](crate::Config::offload)), and we do where there is none.
//!
//! smoltcp decides on each segment anew: window, congestion, options, deadlines. That is paid once
//! for up to [`SEGMENTS`] of them, and what a wire sees is the same.

use crate::checksum::Sum;
use crate::flow::seal_header;
use crate::frame::{Frame, Pool};
use crate::offload::Offload;
use crate::packet::{self, FIN, Segment};

/// How many segments are made of one frame at most: beyond, what is cut is no longer in the first
/// cache when its turn comes, and the other connections wait longer for theirs.
pub(crate) const SEGMENTS: usize = 16;

const PSH: u8 = 0x08;
const CWR: u8 = 0x80;

/// A frame that is being cut.
pub(crate) struct Cut {
    whole: Frame,
    header_len: usize,
    segment: Segment,
    /// How much data a segment carries.
    size: usize,
    /// How much has been cut off.
    done: usize,
}

impl Cut {
    /// Begins, if the frame is to be cut; else it comes back.
    pub(crate) fn begin(whole: Frame) -> Result<Self, Frame> {
        let Offload::Segments(size) = whole.offload else {
            return Err(whole);
        };
        let header_len = if whole.packet()[0] >> 4 == 4 { 20 } else { 40 };
        let Ok(segment) = Segment::parse(&whole.packet()[header_len..]) else {
            debug_assert!(false, "smoltcp writes well-formed segments");
            return Err(whole);
        };
        Ok(Self {
            whole,
            header_len,
            segment,
            size: usize::from(size.get()),
            done: 0,
        })
    }

    /// The next segment; none: it was the last.
    pub(crate) fn next(&mut self, pool: &mut Pool, checksums: bool) -> Option<Frame> {
        let rest = self.segment.data_len - self.done;
        if rest == 0 {
            return None;
        }
        let (first, len) = (self.done == 0, rest.min(self.size));
        let tcp = self.header_len;
        let data = tcp + self.segment.header_len;
        let from = data + self.done;
        let mut piece = pool.take(data + len);
        piece.copy_link_header(&self.whole);
        let whole = self.whole.packet();
        let bytes = piece.packet_mut();
        bytes[..data].copy_from_slice(&whole[..data]);
        if tcp == 20 {
            bytes[2..4].copy_from_slice(&((data + len) as u16).to_be_bytes());
        } else {
            bytes[4..6].copy_from_slice(&((data + len - tcp) as u16).to_be_bytes());
        }
        let seq = self.segment.seq.wrapping_add(self.done as u32);
        bytes[tcp + 4..tcp + 8].copy_from_slice(&seq.to_be_bytes());
        // The end is behind the last, and a sender slows down once (RFC 3168 section 6.1.2).
        if len < rest {
            bytes[tcp + 13] &= !(FIN | PSH);
        }
        if !first {
            bytes[tcp + 13] &= !CWR;
        }
        bytes[tcp + 16..tcp + 18].fill(0);
        let (headers, room) = bytes.split_at_mut(data);
        let source = &whole[from..from + len];
        if checksums {
            let (src, dst) = packet::addresses(headers);
            let sum = Sum::default()
                .pseudo(src, dst, packet::TCP, data - tcp + len)
                .bytes(&headers[tcp..])
                .copied(source, room);
            headers[tcp + 16..tcp + 18].copy_from_slice(&sum.finish());
            seal_header(headers, tcp);
        } else {
            room.copy_from_slice(source);
        }
        self.done += len;
        Some(piece)
    }

    /// The frame, to be used again.
    pub(crate) fn into_frame(self) -> Frame {
        self.whole
    }
}

#[cfg(test)]
mod tests {
    use core::num::NonZeroU16;

    use nexus_types::SocketAddr;

    use super::*;
    use crate::emit::{Bare, Emit};
    use crate::packet::{ACK, Packet};

    const TIMESTAMPS: [u8; 12] = [1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8];

    /// A segment of `len` bytes with an end, as smoltcp would make it where it is to be cut.
    fn whole(pool: &mut Pool, v6: bool, options: &[u8], len: usize, size: u16) -> Frame {
        let ends: [SocketAddr; 2] = if v6 {
            ["[fd00::1]:80", "[fd00::2]:50000"].map(|end| end.parse().unwrap())
        } else {
            ["10.0.0.1:80", "10.0.0.2:50000"].map(|end| end.parse().unwrap())
        };
        let bare = Bare {
            // It wraps on the way.
            seq: u32::MAX - 1_000,
            ack: 77,
            flags: ACK | PSH | FIN | CWR,
            window: 4_096,
            hop_limit: 64,
        };
        let mut emit = Emit {
            pool,
            checksums: false,
        };
        let head = emit.segment(ends[0], ends[1], bare, options);
        let header_len = head.packet().len();
        let mut frame = pool.take(header_len + len);
        frame.set_link_header(&[9; 14]);
        let bytes = frame.packet_mut();
        bytes[..header_len].copy_from_slice(head.packet());
        for (at, byte) in bytes[header_len..].iter_mut().enumerate() {
            *byte = ((at * at) >> 3) as u8;
        }
        frame.offload = Offload::Segments(NonZeroU16::new(size).unwrap());
        frame
    }

    /// Goal: what is cut is, put together, what it was; each piece is a whole packet with right lengths, numbers
    /// and checksums, and only the last says that it ends. Method: both families, with and without options, a
    /// rest and none; read by the parser that reads what others send.
    #[test]
    fn pieces_are_segments_of_the_whole() {
        for (v6, options, len) in [
            (false, &[][..], 4_000),
            (false, &TIMESTAMPS[..], 3_000),
            (true, &[][..], 2_001),
            (true, &TIMESTAMPS[..], 1_001),
        ] {
            let mut pool = Pool::new();
            let frame = whole(&mut pool, v6, options, len, 1_000);
            let data = frame.packet()[frame.packet().len() - len..].to_vec();
            let mut cut = Cut::begin(frame).expect("to be cut");
            let mut again = Vec::new();
            let mut flags = Vec::new();
            while let Some(piece) = cut.next(&mut pool, true) {
                assert_eq!(&piece[..14], [9; 14], "the link header");
                assert_eq!(piece.offload, Offload::None);
                let packet = Packet::parse(piece.packet(), true).expect("an intact header");
                assert_eq!(packet.bytes.len(), piece.packet().len());
                let payload = packet.payload();
                let segment = Segment::parse(payload).expect("a segment");
                let sum = Sum::default()
                    .pseudo(packet.src, packet.dst, packet::TCP, payload.len())
                    .bytes(payload);
                assert!(sum.is_intact());
                assert_eq!(segment.header_len, 20 + options.len());
                assert_eq!((segment.ack, segment.window), (77, 4_096));
                let at = (u32::MAX - 1_000).wrapping_add(again.len() as u32);
                assert_eq!(segment.seq, at);
                again.extend_from_slice(&payload[segment.header_len..]);
                assert_eq!(
                    payload[13] & CWR != 0,
                    flags.is_empty(),
                    "CWR is on the first"
                );
                flags.push(segment.flags);
            }
            assert_eq!(again, data);
            assert_eq!(flags.len(), len.div_ceil(1_000));
            let last = flags.len() - 1;
            for (index, flags) in flags.into_iter().enumerate() {
                // The parser keeps the flags it knows; CWR is looked at in the bytes.
                let mut expected = ACK;
                if index == last {
                    expected |= PSH | FIN;
                }
                assert_eq!(flags, expected, "{index} of {last}");
            }
        }
    }

    #[test]
    fn what_is_not_to_be_cut_comes_back() {
        let mut pool = Pool::new();
        let mut frame = whole(&mut pool, false, &[], 100, 1_000);
        frame.offload = Offload::None;
        assert!(Cut::begin(frame).is_err());
    }
}
