//! The Internet checksum (RFC 1071), in one place for everything we send and receive.
//!
//! smoltcp makes and checks none: it would walk each packet again, and we change sequence
//! numbers after it (SND.MAX).

use nexus_types::IpAddr;

/// A sum in the making: native byte order, folded only at the end.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sum(u64);

impl Sum {
    /// Adds bytes that begin at an even offset.
    #[inline]
    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        let mut sum = 0;
        let (whole, rest) = bytes.split_at(bytes.len() / CHUNK * CHUNK);
        for block in whole.chunks(BLOCK) {
            let mut lanes = Lanes::default();
            for chunk in block.chunks_exact(CHUNK) {
                lanes.add(chunk);
            }
            sum += lanes.sum();
        }
        let mut words = rest.chunks_exact(4);
        for word in &mut words {
            sum += u64::from(u32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
        }
        let mut pairs = words.remainder().chunks_exact(2);
        for pair in &mut pairs {
            sum += u64::from(u16::from_ne_bytes([pair[0], pair[1]]));
        }
        if let [last] = pairs.remainder() {
            sum += u64::from(u16::from_ne_bytes([*last, 0]));
        }
        Self(fold32(self.0 + sum))
    }

    /// Adds bytes that begin at an even offset, and copies them: `to` is as long.
    #[inline]
    pub(crate) fn copied(self, from: &[u8], to: &mut [u8]) -> Self {
        debug_assert!(from.len() == to.len());
        let mut sum = 0;
        let (whole, rest) = from.split_at(from.len() / CHUNK * CHUNK);
        let (whole_to, rest_to) = to.split_at_mut(whole.len());
        for (block, to) in whole.chunks(BLOCK).zip(whole_to.chunks_mut(BLOCK)) {
            let mut lanes = Lanes::default();
            for (chunk, to) in block.chunks_exact(CHUNK).zip(to.chunks_exact_mut(CHUNK)) {
                to.copy_from_slice(chunk);
                lanes.add(chunk);
            }
            sum += lanes.sum();
        }
        rest_to.copy_from_slice(rest);
        Self(fold32(self.0 + sum)).bytes(rest)
    }

    /// Adds the pseudo header of TCP, UDP and ICMPv6.
    pub(crate) fn pseudo(self, src: IpAddr, dst: IpAddr, protocol: u8, len: usize) -> Self {
        let sum = match (src, dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => self.bytes(&src.octets()).bytes(&dst.octets()),
            (IpAddr::V6(src), IpAddr::V6(dst)) => self.bytes(&src.octets()).bytes(&dst.octets()),
            _ => self,
        };
        sum.bytes(&(len as u32).to_be_bytes()).bytes(&[0, protocol])
    }

    /// The checksum as it stands in a packet.
    pub(crate) fn finish(self) -> [u8; 2] {
        (!self.fold16()).to_ne_bytes()
    }

    /// Whether what was summed, its checksum included, is intact.
    pub(crate) fn is_intact(self) -> bool {
        self.fold16() == 0xffff
    }

    fn fold16(self) -> u16 {
        let sum =
            (self.0 & 0xffff) + (self.0 >> 16 & 0xffff) + (self.0 >> 32 & 0xffff) + (self.0 >> 48);
        let sum = (sum & 0xffff) + (sum >> 16);
        ((sum & 0xffff) + (sum >> 16)) as u16
    }
}

/// Bytes that are added at once.
const CHUNK: usize = 32;

/// How much [`Lanes`] take: 2^16 halves of a word fit 32 bits.
const BLOCK: usize = CHUNK << 16;

/// Sums of 32-bit words side by side, in a shape that becomes vector instructions everywhere. To widen each
/// word to 64 bits first takes half as many again.
#[derive(Clone, Copy, Default)]
struct Lanes {
    /// Of the words, wrapping.
    words: [u32; CHUNK / 4],
    /// Of their upper halves.
    upper: [u32; CHUNK / 4],
}

impl Lanes {
    #[inline]
    fn add(&mut self, chunk: &[u8]) {
        let mut words = [0; CHUNK / 4];
        for (word, bytes) in words.iter_mut().zip(chunk.chunks_exact(4)) {
            *word = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        for (sum, word) in self.words.iter_mut().zip(words) {
            *sum = sum.wrapping_add(word);
        }
        for (sum, word) in self.upper.iter_mut().zip(words) {
            *sum = sum.wrapping_add(word >> 16);
        }
    }

    /// All of it: what wrapped away of the words stands in their upper halves' sum.
    #[inline]
    fn sum(self) -> u64 {
        let each =
            self.words.iter().zip(self.upper).map(|(words, upper)| {
                u64::from(upper) + u64::from(words.wrapping_sub(upper << 16))
            });
        each.sum()
    }
}

#[inline]
fn fold32(sum: u64) -> u64 {
    (sum & 0xffff_ffff) + (sum >> 32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 1071 section 3's example.
    #[test]
    fn the_example_of_the_rfc() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(
            Sum::default().bytes(&bytes).finish(),
            (!0xddf2_u16).to_be_bytes()
        );
    }

    #[test]
    fn agrees_with_the_plain_definition_at_every_length() {
        let bytes: Vec<u8> = (0..300_u32)
            .map(|n| (n.wrapping_mul(167) >> 2) as u8 | 0x80)
            .collect();
        for len in 0..bytes.len() {
            let mut plain = 0_u32;
            for pair in bytes[..len].chunks(2) {
                plain += u32::from(u16::from_be_bytes([pair[0], *pair.get(1).unwrap_or(&0)]));
                plain = (plain & 0xffff) + (plain >> 16);
            }
            assert_eq!(
                Sum::default().bytes(&bytes[..len]).finish(),
                (!(plain as u16)).to_be_bytes(),
                "{len}"
            );
        }
    }

    #[test]
    fn what_is_copied_is_summed_as_what_is_not() {
        let bytes: Vec<u8> = (0..3_000_u32)
            .map(|n| ((n * n) >> 3) as u8 | 0x80)
            .collect();
        for len in (0..200).chain([1_459, 1_460, 3_000]) {
            let mut copy = vec![0; len];
            let sum = Sum(7).copied(&bytes[..len], &mut copy);
            assert_eq!(sum.finish(), Sum(7).bytes(&bytes[..len]).finish(), "{len}");
            assert_eq!(copy, bytes[..len]);
        }
    }

    /// Goal: no lane overflows, however much is summed. Method: ones beyond what a lane takes at once.
    #[test]
    fn more_than_the_lanes_take_is_summed() {
        let bytes = vec![0xff; BLOCK + 3 * CHUNK];
        assert_eq!(Sum::default().bytes(&bytes).finish(), [0, 0]);
        let mut copy = vec![0; bytes.len()];
        assert_eq!(Sum::default().copied(&bytes, &mut copy).finish(), [0, 0]);
    }

    #[test]
    fn long_runs_of_ones_do_not_overflow() {
        let mut bytes = vec![0xff; 65_536];
        bytes[0] = 0;
        bytes[1] = 0;
        let checksum = Sum::default().bytes(&bytes).finish();
        bytes[..2].copy_from_slice(&checksum);
        assert!(Sum::default().bytes(&bytes).is_intact());
    }
}
