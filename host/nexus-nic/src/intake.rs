//! What every received frame passes before it is handed out: checks, counters, and the work that
//! a caller without offloads does not want to see.

use std::num::NonZeroU16;

use crate::checksum::finish_partial;
use crate::headers::{ETHERNET_HEADER, FRAME_MAX, is_tagged};
use crate::mac::Mac;
use crate::segment::segment;
use crate::vnet::{Incoming, Kind};
use crate::{Checksum, Inbound, Stats};

/// The checks and what they are made against.
#[derive(Debug)]
pub(crate) struct Intake {
    pub(crate) mac: Mac,
    /// Most bytes of an IP packet, as the interface has it now.
    pub(crate) mtu: usize,
    /// Whether the caller takes large segments and unfinished checksums.
    pub(crate) offload: bool,
    pub(crate) stats: Stats,
    scratch: Vec<u8>,
}

impl Intake {
    pub(crate) fn new(mac: Mac, mtu: usize, offload: bool) -> Self {
        Self {
            mac,
            mtu,
            offload,
            stats: Stats::default(),
            scratch: Vec::new(),
        }
    }

    /// Checks one frame and hands it to `f`; or in pieces, or not at all. How often: what a call
    /// is bounded by.
    pub(crate) fn take(
        &mut self,
        frame: &mut [u8],
        incoming: Option<Incoming>,
        tagged: bool,
        f: &mut impl FnMut(&Inbound<'_>),
    ) -> usize {
        let Some(incoming) = incoming else {
            self.stats.malformed += 1;
            return 1;
        };
        if frame.len() < ETHERNET_HEADER {
            self.stats.runts += 1;
            return 1;
        }
        if tagged || is_tagged(frame) {
            self.stats.tagged += 1;
            return 1;
        }
        if frame[0] & 1 == 0 && frame[..6] != self.mac.bytes() {
            self.stats.others += 1;
            return 1;
        }
        let longest = match incoming.gso {
            Some(_) => FRAME_MAX,
            None => ETHERNET_HEADER + self.mtu,
        };
        if frame.len() > longest {
            self.stats.jumbos += 1;
            return 1;
        }
        match incoming.gso {
            // Several datagrams behind one header are not a datagram to any stack.
            Some((Kind::Udp, size)) => self.split(frame, size, f),
            Some((Kind::Tcp, size)) if !self.offload => self.split(frame, size, f),
            gso => {
                self.hand_out(frame, &incoming, gso.map(|(_, size)| size), f);
                1
            }
        }
    }

    fn split(&mut self, frame: &[u8], size: NonZeroU16, f: &mut impl FnMut(&Inbound<'_>)) -> usize {
        let checksum = Checksum::Right;
        let hand_out = |frame: &[u8]| {
            f(&Inbound {
                frame,
                checksum,
                gso_size: None,
            });
        };
        match segment(frame, size, &mut self.scratch, hand_out) {
            Ok(count) => {
                self.stats.received += count as u64;
                count
            }
            Err(_) => {
                self.stats.malformed += 1;
                1
            }
        }
    }

    fn hand_out(
        &mut self,
        frame: &mut [u8],
        incoming: &Incoming,
        gso_size: Option<NonZeroU16>,
        f: &mut impl FnMut(&Inbound<'_>),
    ) {
        let checksum = match incoming.partial {
            Some(_) if self.offload => Checksum::Absent,
            Some((start, offset)) => {
                if !finish_partial(frame, start, offset) {
                    self.stats.malformed += 1;
                    return;
                }
                Checksum::Right
            }
            None if incoming.valid => Checksum::Right,
            None => Checksum::Unknown,
        };
        self.stats.received += 1;
        f(&Inbound {
            frame,
            checksum,
            gso_size,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::headers::tests::frame;
    use crate::headers::{Headers, Protocol, Version};
    use crate::vnet::Request;

    const MAC: Mac = Mac::new([2, 0, 0, 0, 0, 1]);

    fn take(
        intake: &mut Intake,
        frame: &[u8],
        incoming: Option<Incoming>,
    ) -> Vec<(Vec<u8>, Checksum)> {
        let mut out = Vec::new();
        intake.take(&mut frame.to_vec(), incoming, false, &mut |inbound| {
            out.push((inbound.frame.to_vec(), inbound.checksum));
        });
        out
    }

    fn intake(offload: bool) -> Intake {
        Intake::new(MAC, 1_500, offload)
    }

    #[test]
    fn ours_and_groups_pass_at_every_length_of_a_wire() {
        for len in [ETHERNET_HEADER, 60, ETHERNET_HEADER + 1_500] {
            for first in [2, 0x33, 0xff] {
                let mut frame = vec![0; len];
                frame[..6].copy_from_slice(&[first, 0, 0, 0, 0, 1]);
                let out = take(&mut intake(false), &frame, Some(Incoming::PLAIN));
                assert_eq!(out, [(frame, Checksum::Unknown)]);
            }
        }
    }

    #[test]
    fn reject_runts_jumbos_tags_and_what_is_for_others() {
        let plain = Some(Incoming::PLAIN);
        let mut intake = intake(true);
        let mut frame = vec![0; ETHERNET_HEADER + 1_501];
        frame[..6].copy_from_slice(&MAC.bytes());
        assert_eq!(take(&mut intake, &frame, plain), []);
        assert_eq!(take(&mut intake, &frame[..ETHERNET_HEADER - 1], plain), []);
        assert_eq!(take(&mut intake, &[], plain), []);
        for tag in [[0x81, 0], [0x88, 0xa8]] {
            frame[12..14].copy_from_slice(&tag);
            assert_eq!(take(&mut intake, &frame[..60], plain), []);
        }
        frame[12..14].fill(0);
        let mut f = |_: &Inbound<'_>| panic!("the kernel took the tag off and said so");
        intake.take(&mut frame[..60], plain, true, &mut f);
        frame[5] = 2;
        assert_eq!(take(&mut intake, &frame[..60], plain), []);
        assert_eq!(take(&mut intake, &frame[..60], None), []);
        assert_eq!(
            intake.stats,
            Stats {
                jumbos: 1,
                runts: 2,
                tagged: 3,
                others: 1,
                malformed: 1,
                ..Stats::default()
            }
        );
    }

    #[test]
    fn a_partial_checksum_is_finished_or_said_to_be_absent() {
        let right = frame(Version::V4, Protocol::Tcp, &[], b"data");
        let request = Request::new(&right, None).expect("tcp");
        let mut partial = right.clone();
        partial[request.field..request.field + 2].copy_from_slice(&request.pseudo);
        let incoming = Incoming::parse(&request.header);
        assert_eq!(
            take(&mut intake(false), &partial, incoming),
            [(right, Checksum::Right)]
        );
        assert_eq!(
            take(&mut intake(true), &partial, incoming),
            [(partial, Checksum::Absent)]
        );
    }

    #[test]
    fn reject_a_partial_checksum_outside_the_frame() {
        let mut intake = intake(false);
        let incoming = Incoming {
            partial: Some((40, 21)),
            ..Incoming::PLAIN
        };
        let mut frame = vec![0; 60];
        frame[..6].copy_from_slice(&MAC.bytes());
        assert_eq!(take(&mut intake, &frame, Some(incoming)), []);
        assert_eq!(intake.stats.malformed, 1);
    }

    #[test]
    fn large_segments_come_whole_or_split() {
        let whole = frame(Version::V4, Protocol::Tcp, &[], &[7; 4_000]);
        let incoming = Incoming {
            partial: Some((34, 16)),
            gso: Some((Kind::Tcp, NonZeroU16::new(1_460).expect("not 0"))),
            valid: false,
        };
        let out = take(&mut intake(true), &whole, Some(incoming));
        assert_eq!(out, [(whole.clone(), Checksum::Absent)]);
        let mut plain = intake(false);
        let out = take(&mut plain, &whole, Some(incoming));
        assert_eq!(out.len(), 3);
        assert_eq!(plain.stats.received, 3);
        for (piece, checksum) in out {
            assert!(piece.len() <= 1_514 && Headers::of(&piece).is_some());
            assert_eq!(checksum, Checksum::Right);
        }
    }

    #[test]
    fn datagrams_behind_one_header_are_always_split() {
        let whole = frame(Version::V6, Protocol::Udp, &[], &[7; 3_000]);
        let incoming = Incoming {
            partial: Some((54, 6)),
            gso: Some((Kind::Udp, NonZeroU16::new(1_000).expect("not 0"))),
            valid: false,
        };
        assert_eq!(take(&mut intake(true), &whole, Some(incoming)).len(), 3);
    }

    #[test]
    fn reject_segments_of_what_cannot_be_split() {
        let mut intake = intake(false);
        let incoming = Incoming {
            gso: Some((Kind::Tcp, NonZeroU16::MIN)),
            ..Incoming::PLAIN
        };
        let mut frame = vec![0; 60];
        frame[..6].copy_from_slice(&MAC.bytes());
        assert_eq!(take(&mut intake, &frame, Some(incoming)), []);
        assert_eq!(intake.stats.malformed, 1);
    }
}
