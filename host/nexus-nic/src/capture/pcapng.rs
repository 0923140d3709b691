//! The blocks of a pcapng file (draft-ietf-opsawg-pcapng), little-endian. Pure.

use std::time::Duration;

/// Section Header Block, section 4.1.
const SECTION: u32 = 0x0a0d_0d0a;
/// Interface Description Block, section 4.2.
const INTERFACE: u32 = 1;
/// Enhanced Packet Block, section 4.3.
const PACKET: u32 = 6;

const OPTION_END: u16 = 0;
/// `shb_userappl`.
const APPLICATION: u16 = 4;
/// `if_name`.
const NAME: u16 = 2;
/// `if_tsresol`.
const RESOLUTION: u16 = 9;
/// `epb_flags`.
const FLAGS: u16 = 2;

/// What a captured frame begins with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkType {
    /// An Ethernet header (LINKTYPE_ETHERNET).
    Ethernet,
    /// An IP header of either version (LINKTYPE_RAW).
    Ip,
}

impl LinkType {
    const fn number(self) -> u16 {
        match self {
            Self::Ethernet => 1,
            Self::Ip => 101,
        }
    }
}

/// Which way a captured frame went, as seen by the node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Direction {
    /// To the node.
    In,
    /// From the node.
    Out,
}

/// The beginning of a file.
pub(super) fn section(out: &mut Vec<u8>, application: &str) {
    block(out, SECTION, |out| {
        out.extend(0x1a2b_3c4d_u32.to_le_bytes());
        // Version 1.0, of unknown length.
        out.extend([1, 0, 0, 0]);
        out.extend(u64::MAX.to_le_bytes());
        option(out, APPLICATION, application.as_bytes());
        option(out, OPTION_END, &[]);
    });
}

/// An interface; the first is number 0. Times of its packets are in nanoseconds.
pub(super) fn interface(out: &mut Vec<u8>, link: LinkType, snap: u32, name: &str) {
    block(out, INTERFACE, |out| {
        out.extend(link.number().to_le_bytes());
        out.extend([0, 0]);
        out.extend(snap.to_le_bytes());
        option(out, NAME, name.as_bytes());
        option(out, RESOLUTION, &[9]);
        option(out, OPTION_END, &[]);
    });
}

/// A packet of `original` bytes, of which `frame` is the beginning.
pub(super) fn packet(
    out: &mut Vec<u8>,
    interface: u32,
    since_epoch: Duration,
    direction: Direction,
    frame: &[u8],
    original: usize,
) {
    // 584 years of nanoseconds.
    let nanos = u64::try_from(since_epoch.as_nanos()).unwrap_or(u64::MAX);
    let length = |len: usize| u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes();
    block(out, PACKET, |out| {
        out.extend(interface.to_le_bytes());
        out.extend(((nanos >> 32) as u32).to_le_bytes());
        out.extend((nanos as u32).to_le_bytes());
        out.extend(length(frame.len()));
        out.extend(length(original));
        out.extend_from_slice(frame);
        pad(out, frame.len());
        let flags: u32 = match direction {
            Direction::In => 1,
            Direction::Out => 2,
        };
        option(out, FLAGS, &flags.to_le_bytes());
        option(out, OPTION_END, &[]);
    });
}

/// A block: type, length, body, length again.
fn block(out: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend(kind.to_le_bytes());
    out.extend([0; 4]);
    body(out);
    // A body is a frame or a name of ours and a few words: far below 4 GiB.
    let length = ((out.len() + 4 - start) as u32).to_le_bytes();
    out.extend(length);
    out[start + 4..start + 8].copy_from_slice(&length);
}

/// Options hold at most 65535 bytes; ours are names.
fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = &value[..value.len().min(255)];
    out.extend(code.to_le_bytes());
    out.extend((value.len() as u16).to_le_bytes());
    out.extend_from_slice(value);
    pad(out, value.len());
}

/// To a multiple of four.
fn pad(out: &mut Vec<u8>, len: usize) {
    out.extend_from_slice(&[0; 3][..len.next_multiple_of(4) - len]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn golden_section() {
        let mut out = Vec::new();
        section(&mut out, "nexus");
        let golden = [
            0x0a, 0x0d, 0x0d, 0x0a, 44, 0, 0, 0, // type, length
            0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, // byte order, version
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, // section length
            4, 0, 5, 0, b'n', b'e', b'x', b'u', b's', 0, 0, 0, // application
            0, 0, 0, 0, // end of options
            44, 0, 0, 0,
        ];
        assert_eq!(out, golden);
    }

    #[test]
    fn golden_interfaces() {
        let mut out = Vec::new();
        interface(&mut out, LinkType::Ethernet, 65_549, "tap0");
        interface(&mut out, LinkType::Ip, 0, "");
        let golden = [
            1, 0, 0, 0, 40, 0, 0, 0, // type, length
            1, 0, 0, 0, 0x0d, 0, 1, 0, // Ethernet, snap length
            2, 0, 4, 0, b't', b'a', b'p', b'0', // name
            9, 0, 1, 0, 9, 0, 0, 0, // resolution
            0, 0, 0, 0, // end of options
            40, 0, 0, 0, //
            1, 0, 0, 0, 36, 0, 0, 0, // type, length
            101, 0, 0, 0, 0, 0, 0, 0, // raw IP, no snap length
            2, 0, 0, 0, // name
            9, 0, 1, 0, 9, 0, 0, 0, // resolution
            0, 0, 0, 0, // end of options
            36, 0, 0, 0,
        ];
        assert_eq!(out, golden);
    }

    #[test]
    fn golden_packet() {
        let mut out = Vec::new();
        // 2026-11-22 00:00:00.123456789 UTC: 0x18BA05E5_C2E8CD15 ns.
        let at = Duration::new(1_795_305_600, 123_456_789);
        let nanos = 1_795_305_600_123_456_789_u64;
        packet(&mut out, 1, at, Direction::Out, b"abcde", 9);
        let mut golden = vec![6, 0, 0, 0, 52, 0, 0, 0, 1, 0, 0, 0];
        golden.extend(((nanos >> 32) as u32).to_le_bytes());
        golden.extend((nanos as u32).to_le_bytes());
        golden.extend([
            5, 0, 0, 0, 9, 0, 0, 0, // captured, original
            b'a', b'b', b'c', b'd', b'e', 0, 0, 0, // data, padded
            2, 0, 4, 0, 2, 0, 0, 0, // flags: outbound
            0, 0, 0, 0, // end of options
            52, 0, 0, 0,
        ]);
        assert_eq!(out, golden);
        let mut other = Vec::new();
        packet(&mut other, 1, at, Direction::In, b"abcde", 9);
        golden[40] = 1;
        assert_eq!(other, golden);
    }

    #[test]
    fn a_multiple_of_four_is_not_padded() {
        let mut out = Vec::new();
        packet(&mut out, 0, Duration::ZERO, Direction::In, &[7; 8], 8);
        assert_eq!(out.len(), 52);
    }
}
