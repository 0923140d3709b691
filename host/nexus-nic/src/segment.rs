//! Splits one large TCP or UDP frame into several that fit a wire: what a NIC with segmentation
//! offload does in hardware, for the interfaces that have none. Pure.

use std::fmt;
use std::num::NonZeroU16;

use crate::checksum::{Sum, pseudo};
use crate::headers::{FRAME_MAX, Headers, Protocol, Version};

/// Why a frame cannot be split. It is to be dropped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SegmentError {
    /// Not an unfragmented TCP or UDP packet, or its lengths contradict each other.
    NotSplittable,
}

impl fmt::Display for SegmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the frame is not a whole TCP or UDP packet, so it cannot be split")
    }
}

impl std::error::Error for SegmentError {}

const TCP_FIN: u8 = 0x01;
const TCP_PSH: u8 = 0x08;
const TCP_CWR: u8 = 0x80;

/// Splits `frame` (an Ethernet frame with one TCP segment, or with several UDP datagrams' worth of
/// payload behind one header) into frames of at most `size` bytes of payload each, and hands each
/// to `out` with right lengths, sequence numbers and checksums; the frame's own checksum may be
/// anything. `scratch` is where they are put together: no allocation once it has grown.
///
/// TCP flags go as hardware does it: FIN and PSH with the last segment alone, CWR with the first
/// (RFC 3168 section 6.1.2); an IPv4 identification counts up.
///
/// # Errors
/// See [`SegmentError`]; `out` was not called then.
pub fn segment(
    frame: &[u8],
    size: NonZeroU16,
    scratch: &mut Vec<u8>,
    mut out: impl FnMut(&[u8]),
) -> Result<usize, SegmentError> {
    let headers = Headers::of(frame).ok_or(SegmentError::NotSplittable)?;
    if frame.len() > FRAME_MAX {
        return Err(SegmentError::NotSplittable);
    }
    let data = &frame[headers.payload..headers.end];
    let size = usize::from(size.get());
    // A segment without payload (a pure acknowledgement) is one frame, too.
    let count = data.len().div_ceil(size).max(1);
    scratch.clear();
    scratch.extend_from_slice(&frame[..headers.payload]);
    for index in 0..count {
        let begin = index * size;
        let piece = &data[begin..data.len().min(begin + size)];
        scratch.truncate(headers.payload);
        scratch.extend_from_slice(piece);
        let place = Place {
            index,
            begin,
            last: index + 1 == count,
        };
        rewrite(scratch, frame, &headers, &place);
        out(scratch);
    }
    Ok(count)
}

/// Which of the segments it is.
struct Place {
    index: usize,
    /// Where its payload begins in the whole.
    begin: usize,
    last: bool,
}

fn rewrite(piece: &mut [u8], whole: &[u8], headers: &Headers, place: &Place) {
    let ip = headers.ip;
    // All lengths are below 65536: the whole is at most `FRAME_MAX`.
    match headers.version {
        Version::V4 => {
            let total = ((piece.len() - ip) as u16).to_be_bytes();
            piece[ip + 2..ip + 4].copy_from_slice(&total);
            let id = u16::from_be_bytes([whole[ip + 4], whole[ip + 5]]);
            let id = id.wrapping_add(place.index as u16).to_be_bytes();
            piece[ip + 4..ip + 6].copy_from_slice(&id);
            piece[ip + 10..ip + 12].fill(0);
            let sum = Sum::default().add(&piece[ip..headers.transport]).finish();
            piece[ip + 10..ip + 12].copy_from_slice(&sum);
        }
        Version::V6 => {
            let length = ((piece.len() - ip - 40) as u16).to_be_bytes();
            piece[ip + 4..ip + 6].copy_from_slice(&length);
        }
    }
    let at = headers.transport;
    let length = piece.len() - at;
    match headers.protocol {
        Protocol::Tcp => {
            let first =
                u32::from_be_bytes([whole[at + 4], whole[at + 5], whole[at + 6], whole[at + 7]]);
            let sequence = first.wrapping_add(place.begin as u32).to_be_bytes();
            piece[at + 4..at + 8].copy_from_slice(&sequence);
            let mut flags = whole[at + 13];
            if !place.last {
                flags &= !(TCP_FIN | TCP_PSH);
            }
            if place.index > 0 {
                flags &= !TCP_CWR;
            }
            piece[at + 13] = flags;
        }
        Protocol::Udp => {
            piece[at + 4..at + 6].copy_from_slice(&(length as u16).to_be_bytes());
        }
    }
    let field = at + headers.protocol.checksum_offset();
    piece[field..field + 2].fill(0);
    let mut sum = pseudo(piece, headers, length).add(&piece[at..]).finish();
    if headers.protocol == Protocol::Udp && sum == [0, 0] {
        // Zero would say "no checksum" (RFC 768).
        sum = [0xff, 0xff];
    }
    piece[field..field + 2].copy_from_slice(&sum);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::headers::tests::frame;

    fn split(whole: &[u8], size: u16) -> Vec<Vec<u8>> {
        let mut pieces = Vec::new();
        let size = NonZeroU16::new(size).expect("not 0");
        let count = segment(whole, size, &mut Vec::new(), |piece| {
            pieces.push(piece.to_vec());
        });
        assert_eq!(count, Ok(pieces.len()));
        pieces
    }

    /// Lengths and both checksums, by the definition and not by the code above.
    fn check(piece: &[u8]) -> Headers {
        let headers = Headers::of(piece).expect("a whole packet");
        assert_eq!(headers.end, piece.len());
        if headers.version == Version::V4 {
            let sum = Sum::default().add(&piece[headers.ip..headers.transport]);
            assert_eq!(sum.fold(), [0xff, 0xff], "the IPv4 header's checksum");
        }
        let sum = pseudo(piece, &headers, headers.end - headers.transport);
        assert_eq!(
            sum.add(&piece[headers.transport..]).fold(),
            [0xff, 0xff],
            "the transport's checksum"
        );
        headers
    }

    #[test]
    fn tcp_is_split_as_hardware_does() {
        let data: Vec<u8> = (0..2_500_u32).map(|n| n as u8).collect();
        for version in [Version::V4, Version::V6] {
            let mut whole = frame(version, Protocol::Tcp, &[1; 12], &data);
            let headers = Headers::of(&whole).expect("tcp");
            whole[headers.transport + 13] = TCP_CWR | TCP_FIN | TCP_PSH | 0x10;
            // A sequence number that wraps on the way.
            whole[headers.transport + 4..headers.transport + 8]
                .copy_from_slice(&(u32::MAX - 999).to_be_bytes());
            let pieces = split(&whole, 1_000);
            assert_eq!(pieces.len(), 3);
            let flags: Vec<u8> = pieces.iter().map(|p| p[headers.transport + 13]).collect();
            assert_eq!(flags, [TCP_CWR | 0x10, 0x10, TCP_FIN | TCP_PSH | 0x10]);
            let sequence: Vec<&[u8]> = pieces
                .iter()
                .map(|p| &p[headers.transport + 4..headers.transport + 8])
                .collect();
            assert_eq!(
                sequence,
                [&[0xff, 0xff, 0xfc, 0x18], &[0, 0, 0, 0], &[0, 0, 3, 0xe8]]
            );
            if version == Version::V4 {
                let ids: Vec<&[u8]> = pieces.iter().map(|p| &p[18..20]).collect();
                assert_eq!(ids, [&[0xff, 0xff], &[0, 0], &[0, 1]]);
            }
            for piece in &pieces {
                check(piece);
                assert_eq!(piece[34 + 20..34 + 22], whole[34 + 20..34 + 22]);
            }
        }
    }

    #[test]
    fn a_segment_that_fits_stays_whole_and_gets_its_checksum() {
        let mut whole = frame(Version::V4, Protocol::Tcp, &[], b"all of it");
        let right = whole.clone();
        whole[50..52].copy_from_slice(&[0xde, 0xad]);
        assert_eq!(split(&whole, 9), [right]);
        let empty = frame(Version::V6, Protocol::Tcp, &[], b"");
        assert_eq!(split(&empty, 1), [empty]);
    }

    #[test]
    fn udp_becomes_datagrams() {
        let whole = frame(Version::V6, Protocol::Udp, &[], &[9; 250]);
        let lengths: Vec<usize> = split(&whole, 100)
            .iter()
            .map(|piece| {
                let headers = check(piece);
                let field = &piece[headers.transport + 4..headers.transport + 6];
                assert_eq!(
                    usize::from(u16::from_be_bytes([field[0], field[1]])),
                    piece.len() - headers.transport
                );
                piece.len() - headers.payload
            })
            .collect();
        assert_eq!(lengths, [100, 100, 50]);
    }

    #[test]
    fn the_longest_packet_there_is() {
        let whole = frame(Version::V4, Protocol::Tcp, &[], &vec![5; 65_495]);
        assert_eq!(whole.len(), FRAME_MAX);
        let pieces = split(&whole, 1_460);
        assert_eq!(pieces.len(), 45);
        assert!(pieces.iter().all(|piece| piece.len() <= 1_514));
    }

    #[test]
    fn reject_what_is_not_tcp_or_udp() {
        let size = NonZeroU16::MIN;
        let mut arp = vec![0; 60];
        arp[12..14].copy_from_slice(&[8, 6]);
        let mut fragment = frame(Version::V4, Protocol::Udp, &[], b"part");
        fragment[20] = 0x20;
        for bad in [&[][..], &arp, &fragment] {
            let result = segment(bad, size, &mut Vec::new(), |_| {
                panic!("nothing to hand out")
            });
            assert_eq!(result, Err(SegmentError::NotSplittable));
        }
    }

    proptest! {
        #[test]
        fn payload_survives_in_order(
            v6: bool,
            options in 0_usize..=10,
            data in proptest::collection::vec(any::<u8>(), 0..5_000),
            size in 1_u16..3_000,
        ) {
            let version = if v6 { Version::V6 } else { Version::V4 };
            let whole = frame(version, Protocol::Tcp, &vec![1; options * 4], &data);
            let mut again = Vec::new();
            for piece in split(&whole, size) {
                let headers = check(&piece);
                prop_assert!(piece.len() - headers.payload <= usize::from(size));
                again.extend_from_slice(&piece[headers.payload..]);
            }
            prop_assert_eq!(again, data);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), size: NonZeroU16) {
            let _ = segment(&bytes, size, &mut Vec::new(), |_| {});
        }
    }
}
