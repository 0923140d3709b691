//! The Internet checksum (RFC 1071): sums, folds, and the pseudo header.

use crate::headers::{Headers, Version};

/// A one's complement sum that is not folded yet, in the order of the machine's bytes: RFC 1071
/// section 2 (B) shows that the order does not matter until the end.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sum(u64);

impl Sum {
    /// Adds bytes that begin at an even place of what is summed.
    pub(crate) fn add(mut self, bytes: &[u8]) -> Self {
        let mut words = bytes.chunks_exact(4);
        // At most 2^14 words a frame: no overflow of 64 bits.
        for word in &mut words {
            let word: [u8; 4] = word.try_into().unwrap_or_default();
            self.0 += u64::from(u32::from_ne_bytes(word));
        }
        let rest = words.remainder();
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        self.0 += u64::from(u32::from_ne_bytes(last));
        self
    }

    /// The sum as it stands in a header, not complemented.
    pub(crate) fn fold(self) -> [u8; 2] {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        (sum as u16).to_ne_bytes()
    }

    /// The checksum of what was summed.
    pub(crate) fn finish(self) -> [u8; 2] {
        let [one, two] = self.fold();
        [!one, !two]
    }
}

/// The sum of the pseudo header (RFC 9293 section 3.1, RFC 8200 section 8.1) for `len` bytes of TCP or UDP.
pub(crate) fn pseudo(frame: &[u8], headers: &Headers, len: usize) -> Sum {
    let addresses = match headers.version {
        Version::V4 => &frame[headers.ip + 12..headers.ip + 20],
        Version::V6 => &frame[headers.ip + 8..headers.ip + 40],
    };
    let len = (len as u32).to_be_bytes();
    Sum::default()
        .add(addresses)
        .add(&len)
        .add(&[0, 0, 0, headers.protocol.number()])
}

/// Finishes a checksum that its sender left to the NIC: the field holds the folded sum of the
/// pseudo header, `start` is where summing begins and `offset` the field's place from there
/// (virtio 1.2 section 5.1.6.2). `false`: that place is not in the frame, which is as it was.
pub(crate) fn finish_partial(frame: &mut [u8], start: usize, offset: usize) -> bool {
    let field = start + offset;
    if field + 2 > frame.len() {
        return false;
    }
    let mut sum = Sum::default().add(&frame[start..]).finish();
    // For UDP, zero would say "no checksum" (RFC 768); in TCP both are zero in one's complement.
    if sum == [0, 0] {
        sum = [0xff, 0xff];
    }
    frame[field..field + 2].copy_from_slice(&sum);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(Sum::default().add(&bytes).fold(), [0xdd, 0xf2]);
        assert_eq!(Sum::default().add(&bytes).finish(), [0x22, 0x0d]);
    }

    #[test]
    fn an_odd_length_is_padded_with_zero() {
        assert_eq!(
            Sum::default().add(&[1, 2, 3]).fold(),
            Sum::default().add(&[1, 2, 3, 0]).fold()
        );
    }

    #[test]
    fn any_bytes_have_the_sum_of_the_definition() {
        let mut seed = 1_u32;
        for len in 0..200 {
            let bytes: Vec<u8> = (0..len)
                .map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    (seed >> 24) as u8
                })
                .collect();
            let mut sum = 0_u32;
            for pair in bytes.chunks(2) {
                sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |&low| u32::from(low));
                sum = (sum & 0xffff) + (sum >> 16);
            }
            assert_eq!(
                Sum::default().add(&bytes).fold(),
                (sum as u16).to_be_bytes(),
                "{len} bytes"
            );
        }
    }

    #[test]
    fn a_finished_checksum_sums_to_all_ones() {
        let mut frame = [7_u8; 40];
        assert!(finish_partial(&mut frame, 10, 6));
        // The field held a sum (of a pseudo header); adding it again is what the receiver does.
        assert_eq!(
            Sum::default().add(&frame[10..]).add(&[7, 7]).fold(),
            [0xff, 0xff]
        );
    }

    #[test]
    fn reject_a_checksum_outside_the_frame() {
        let mut frame = [0; 20];
        assert!(finish_partial(&mut frame, 12, 6));
        assert!(!finish_partial(&mut frame, 12, 7));
        assert!(!finish_partial(&mut frame, 65_535, 65_535));
    }
}
