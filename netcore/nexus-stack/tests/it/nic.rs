//! A NIC that does what a stack leaves to it: checksums, and segments of large frames. Written for the
//! tests and by the RFCs, not with the code that is tested.

use std::num::NonZeroU16;

use nexus_stack::{Offload, Received};

/// `large`: what is left to it need not be done, since the other end is no wire.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Nic {
    pub(crate) large: bool,
}

impl Nic {
    /// The frames that leave it, with what the far NIC will say of each.
    pub(crate) fn send(self, packet: &[u8], offload: Offload) -> Vec<(Vec<u8>, Received)> {
        let size = match offload {
            Offload::None => return vec![(packet.to_vec(), Received::PLAIN)],
            Offload::Checksum => None,
            Offload::Segments(size) => Some(size),
        };
        if self.large {
            let received = Received {
                checked: true,
                segments: size,
            };
            return vec![(packet.to_vec(), received)];
        }
        split(packet, size)
            .into_iter()
            .map(|segment| (segment, Received::PLAIN))
            .collect()
    }
}

fn header_len(packet: &[u8]) -> usize {
    if packet[0] >> 4 == 4 { 20 } else { 40 }
}

/// Segments of `size` bytes of data each, sealed.
fn split(packet: &[u8], size: Option<NonZeroU16>) -> Vec<Vec<u8>> {
    let ip = header_len(packet);
    let headers = ip + usize::from(packet[ip + 12] >> 4) * 4;
    let data = &packet[headers..];
    assert!(!data.is_empty(), "an acknowledgement is left to nobody");
    let size = size.map_or(data.len(), |size| usize::from(size.get()));
    let first = u32::from_be_bytes(packet[ip + 4..ip + 8].try_into().expect("four"));
    let mut segments = Vec::new();
    for (index, part) in data.chunks(size).enumerate() {
        let mut segment = packet[..headers].to_vec();
        segment.extend_from_slice(part);
        let begin = index * size;
        let sequence = first.wrapping_add(begin as u32);
        segment[ip + 4..ip + 8].copy_from_slice(&sequence.to_be_bytes());
        if begin + part.len() < data.len() {
            // FIN and PSH are the last one's.
            segment[ip + 13] &= !0x09;
        }
        let len = segment.len();
        if ip == 20 {
            segment[2..4].copy_from_slice(&(len as u16).to_be_bytes());
            seal_header(&mut segment);
        } else {
            segment[4..6].copy_from_slice(&((len - 40) as u16).to_be_bytes());
        }
        seal_tcp(&mut segment);
        segments.push(segment);
    }
    segments
}

/// RFC 1071, as plainly as it can be said.
fn sum(bytes: &[u8], mut sum: u32) -> u32 {
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum
}

/// Puts the right checksum into an IPv4 header.
pub(crate) fn seal_header(packet: &mut [u8]) {
    packet[10..12].fill(0);
    let checksum = !(sum(&packet[..20], 0) as u16);
    packet[10..12].copy_from_slice(&checksum.to_be_bytes());
}

fn seal_tcp(packet: &mut [u8]) {
    let ip = header_len(packet);
    let addresses = if ip == 20 { 12..20 } else { 8..40 };
    packet[ip + 16..ip + 18].fill(0);
    let pseudo = sum(&packet[addresses], 6 + (packet.len() - ip) as u32);
    let checksum = !(sum(&packet[ip..], pseudo) as u16);
    packet[ip + 16..ip + 18].copy_from_slice(&checksum.to_be_bytes());
}
