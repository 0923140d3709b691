//! `virtio_net_hdr`: what stands before a frame when the kernel and we leave checksums and
//! segmentation to each other (virtio 1.2 section 5.1.6; the first ten bytes, in the machine's order).

use std::num::NonZeroU16;

use crate::checksum::pseudo;
use crate::headers::{Headers, Protocol, Version};

/// Bytes of the header.
pub(crate) const LEN: usize = 10;

const NEEDS_CSUM: u8 = 1;
const DATA_VALID: u8 = 2;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_UDP_L4: u8 = 5;
/// Beside one of the TCP types: the first segment has CWR set.
const GSO_ECN: u8 = 0x80;

/// What the kernel says of a frame it hands us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Incoming {
    /// The kernel or the hardware has seen that the checksum is right.
    pub(crate) valid: bool,
    /// The sender has left the checksum to the NIC: where summing begins, and the field from there.
    /// The frame was never on a wire, so nothing can have damaged it.
    pub(crate) partial: Option<(usize, usize)>,
    /// Several segments in one frame.
    pub(crate) gso: Option<(Kind, NonZeroU16)>,
}

/// What the segments of a frame are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Tcp,
    Udp,
}

impl Incoming {
    /// A frame that nothing is said of.
    pub(crate) const PLAIN: Self = Self {
        valid: false,
        partial: None,
        gso: None,
    };

    /// `None`: segments of a kind that we did not ask for.
    pub(crate) fn parse(bytes: &[u8; LEN]) -> Option<Self> {
        let [
            flags,
            gso_type,
            _,
            _,
            size_1,
            size_2,
            start_1,
            start_2,
            offset_1,
            offset_2,
        ] = *bytes;
        let number = |one, two| u16::from_ne_bytes([one, two]);
        let size = NonZeroU16::new(number(size_1, size_2));
        let gso = match (gso_type & !GSO_ECN, size) {
            (GSO_NONE, _) => None,
            (GSO_TCPV4 | GSO_TCPV6, Some(size)) => Some((Kind::Tcp, size)),
            (GSO_UDP_L4, Some(size)) => Some((Kind::Udp, size)),
            _ => return None,
        };
        let partial = (flags & NEEDS_CSUM != 0).then(|| {
            let start = usize::from(number(start_1, start_2));
            (start, usize::from(number(offset_1, offset_2)))
        });
        Some(Self {
            valid: flags & DATA_VALID != 0,
            partial,
            gso,
        })
    }
}

/// The header of a frame that needs nothing of the kernel.
pub(crate) const NOTHING: [u8; LEN] = [0; LEN];

/// What the kernel is to do with a frame of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Request {
    pub(crate) header: [u8; LEN],
    /// Where the checksum's field is in the frame, and what the kernel wants to find there: the
    /// folded sum of the pseudo header.
    pub(crate) field: usize,
    pub(crate) pseudo: [u8; 2],
}

impl Request {
    /// Asks for the checksum of `frame`, and with `gso` for its segmentation. `None`: the frame is
    /// not whole TCP or UDP, or UDP to be segmented (which we have not asked leave for).
    pub(crate) fn new(frame: &[u8], gso: Option<NonZeroU16>) -> Option<Self> {
        let headers = Headers::of(frame)?;
        // The kernel sums to the end of the frame: padding would be counted.
        if headers.end != frame.len() {
            return None;
        }
        let mut header = NOTHING;
        header[0] = NEEDS_CSUM;
        let mut put = |at: usize, number: usize| {
            header[at..at + 2].copy_from_slice(&(number as u16).to_ne_bytes());
        };
        put(2, headers.payload);
        put(6, headers.transport);
        put(8, headers.protocol.checksum_offset());
        if let Some(size) = gso {
            put(4, usize::from(size.get()));
            let kind = match (headers.protocol, headers.version) {
                (Protocol::Tcp, Version::V4) => GSO_TCPV4,
                (Protocol::Tcp, Version::V6) => GSO_TCPV6,
                (Protocol::Udp, _) => return None,
            };
            let cwr = frame[headers.transport + 13] & 0x80;
            header[1] = if cwr == 0 { kind } else { kind | GSO_ECN };
        }
        Some(Self {
            header,
            field: headers.transport + headers.protocol.checksum_offset(),
            pseudo: pseudo(frame, &headers, headers.end - headers.transport).fold(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::finish_partial;
    use crate::headers::tests::frame;

    #[test]
    fn what_the_kernel_says_is_understood() {
        assert_eq!(Incoming::parse(&NOTHING), Some(Incoming::PLAIN));
        let [one, two] = 1_448_u16.to_ne_bytes();
        let [start, start_2] = 34_u16.to_ne_bytes();
        let [offset, offset_2] = 16_u16.to_ne_bytes();
        let header = [1, 1, 0, 0, one, two, start, start_2, offset, offset_2];
        assert_eq!(
            Incoming::parse(&header),
            Some(Incoming {
                valid: false,
                partial: Some((34, 16)),
                gso: Some((Kind::Tcp, NonZeroU16::new(1_448).expect("not 0"))),
            })
        );
        let valid = Incoming::parse(&[2, 0, 0, 0, 0, 0, 0, 0, 0, 0]).expect("plain");
        assert!(valid.valid && valid.partial.is_none() && valid.gso.is_none());
    }

    #[test]
    fn reject_segments_of_another_kind_or_without_a_size() {
        assert_eq!(Incoming::parse(&[1, 3, 0, 0, 8, 8, 0, 0, 0, 0]), None);
        assert_eq!(Incoming::parse(&[1, 1, 0, 0, 0, 0, 0, 0, 0, 0]), None);
    }

    /// The kernel's view of our request: the checksum finished from it is the right one.
    #[test]
    fn a_request_says_where_and_from_what() {
        for version in [Version::V4, Version::V6] {
            for protocol in [Protocol::Tcp, Protocol::Udp] {
                let right = frame(version, protocol, &[], b"some data");
                let mut sent = right.clone();
                let request = Request::new(&right, None).expect("whole");
                sent[request.field..request.field + 2].copy_from_slice(&request.pseudo);
                let seen = Incoming::parse(&request.header).expect("ours");
                let (start, offset) = seen.partial.expect("asked for");
                assert!(finish_partial(&mut sent, start, offset));
                assert_eq!(sent, right);
            }
        }
    }

    #[test]
    fn segmentation_is_asked_for_by_kind() {
        let size = NonZeroU16::new(100);
        let mut v4 = frame(Version::V4, Protocol::Tcp, &[1; 12], &[0; 300]);
        let request = Request::new(&v4, size).expect("tcp");
        assert_eq!(request.header[..2], [1, 1]);
        assert_eq!(
            request.header[2..6],
            [66_u16.to_ne_bytes(), 100_u16.to_ne_bytes()].concat()
        );
        v4[47] |= 0x80;
        assert_eq!(Request::new(&v4, size).expect("tcp").header[1], 0x81);
        let v6 = frame(Version::V6, Protocol::Tcp, &[], &[0; 300]);
        assert_eq!(Request::new(&v6, size).expect("tcp").header[1], 4);
    }

    #[test]
    fn reject_a_request_for_what_the_kernel_cannot_do() {
        let udp = frame(Version::V4, Protocol::Udp, &[], &[0; 300]);
        assert_eq!(Request::new(&udp, NonZeroU16::new(100)), None);
        let mut padded = frame(Version::V4, Protocol::Udp, &[], b"x");
        padded.push(0);
        assert_eq!(Request::new(&padded, None), None);
        assert_eq!(Request::new(&[0; 60], None), None);
    }
}
