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
        // Four lanes of 32-bit words in 64 bits: 2^32 words before one could overflow.
        let mut lanes = [0_u64; 4];
        let mut chunks = bytes.chunks_exact(16);
        for chunk in &mut chunks {
            for (lane, word) in lanes.iter_mut().zip(chunk.chunks_exact(4)) {
                *lane += u64::from(u32::from_ne_bytes([word[0], word[1], word[2], word[3]]));
            }
        }
        let mut sum = fold32(lanes[0]) + fold32(lanes[1]) + fold32(lanes[2]) + fold32(lanes[3]);
        let mut pairs = chunks.remainder().chunks_exact(2);
        for pair in &mut pairs {
            sum += u64::from(u16::from_ne_bytes([pair[0], pair[1]]));
        }
        if let [last] = pairs.remainder() {
            sum += u64::from(u16::from_ne_bytes([*last, 0]));
        }
        Self(fold32(self.0 + sum))
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
    fn long_runs_of_ones_do_not_overflow() {
        let mut bytes = vec![0xff; 65_536];
        bytes[0] = 0;
        bytes[1] = 0;
        let checksum = Sum::default().bytes(&bytes).finish();
        bytes[..2].copy_from_slice(&checksum);
        assert!(Sum::default().bytes(&bytes).is_intact());
    }
}
