//! Reads what says "fragment" in a packet, and writes the header of the packet made whole.

use nexus_types::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{FragmentDrop, Key, PACKET_BYTES_MAX, PIECE_COST};

const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const FRAGMENT_HEADER: usize = 8;

// IANA "Assigned Internet Protocol Numbers".
const HOP_BY_HOP: u8 = 0;
const TCP: u8 = 6;
const UDP: u8 = 17;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const ICMPV6: u8 = 58;
const DESTINATION: u8 = 60;

/// A checked fragment: its place is within the longest packet, its length fits its place.
#[derive(Debug)]
pub(super) struct Fragment<'a> {
    pub(super) key: Key,
    pub(super) offset: usize,
    pub(super) more: bool,
    pub(super) data: &'a [u8],
    /// The headers before the data, without the fragment header.
    before: &'a [u8],
    /// IPv6: where `before` names the next header, and what it must say without fragments.
    next_header: Option<(usize, u8)>,
}

impl Fragment<'_> {
    pub(super) fn end(&self) -> usize {
        self.offset + self.data.len()
    }

    /// What holding it counts for.
    pub(super) fn cost(&self) -> usize {
        let head = if self.offset == 0 {
            self.before.len()
        } else {
            0
        };
        PIECE_COST + head + self.data.len()
    }

    /// The header of the whole packet, its length still missing.
    pub(super) fn head(&self) -> Vec<u8> {
        let mut head = self.before.to_vec();
        if let Some((place, next)) = self.next_header {
            head[place] = next;
        }
        head
    }
}

/// The fragment in `packet`; `None` for a packet that is none, or that is no IP packet (whoever
/// reads it next drops it with the right cause).
pub(super) fn fragment(
    packet: &[u8],
    checksums: bool,
) -> Result<Option<Fragment<'_>>, FragmentDrop> {
    let found = match packet.first().map(|byte| byte >> 4) {
        Some(4) => fragment_v4(packet, checksums)?,
        Some(6) => fragment_v6(packet)?,
        _ => None,
    };
    let Some(fragment) = found else {
        return Ok(None);
    };
    if fragment.data.is_empty() {
        return Err(FragmentDrop::Malformed);
    }
    if fragment.more && !fragment.data.len().is_multiple_of(8) {
        return Err(FragmentDrop::Unaligned);
    }
    // The first fragment's header may be longer than this one's; `finish` looks again.
    let fixed = if fragment.next_header.is_some() {
        fragment.before.len() - IPV6_HEADER
    } else {
        fragment.before.len()
    };
    if fixed + fragment.end() > PACKET_BYTES_MAX {
        return Err(FragmentDrop::TooLong);
    }
    Ok(Some(fragment))
}

/// RFC 791 section 3.1.
fn fragment_v4(packet: &[u8], checksums: bool) -> Result<Option<Fragment<'_>>, FragmentDrop> {
    let Some(fixed) = packet.first_chunk::<IPV4_HEADER>() else {
        return Ok(None);
    };
    let place = u16::from_be_bytes([fixed[6], fixed[7]]);
    let offset = usize::from(place & 0x1fff) * 8;
    let more = place & 0x2000 != 0;
    if offset == 0 && !more {
        return Ok(None);
    }
    let header = usize::from(fixed[0] & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    if header < IPV4_HEADER || total < header || packet.len() < total {
        return Err(FragmentDrop::Malformed);
    }
    let (before, data) = packet[..total].split_at(header);
    if checksums && checksum(before) != 0 {
        return Err(FragmentDrop::Malformed);
    }
    Ok(Some(Fragment {
        key: Key {
            source: IpAddr::V4(Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15])),
            destination: IpAddr::V4(Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19])),
            id: u32::from(u16::from_be_bytes([fixed[4], fixed[5]])),
            protocol: fixed[9],
        },
        offset,
        more,
        data,
        before,
        next_header: None,
    }))
}

/// RFC 8200 section 4.5.
fn fragment_v6(packet: &[u8]) -> Result<Option<Fragment<'_>>, FragmentDrop> {
    let Some(fixed) = packet.first_chunk::<IPV6_HEADER>() else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
    let whole = packet.get(..IPV6_HEADER + length);
    // Without its end, a packet is only ours to refuse if what is here says "fragment".
    let packet = whole.unwrap_or(packet);
    let mut next_at = 6;
    let mut at = IPV6_HEADER;
    loop {
        // Every header is at least 8 bytes: the packet's length bounds this loop.
        let Some(header) = packet.get(at..).and_then(|rest| rest.first_chunk::<8>()) else {
            return Ok(None);
        };
        match packet[next_at] {
            HOP_BY_HOP | ROUTING | DESTINATION => {
                next_at = at;
                at += (usize::from(header[1]) + 1) * 8;
            }
            FRAGMENT => break,
            _ => return Ok(None),
        }
    }
    if whole.is_none() {
        return Err(FragmentDrop::Malformed);
    }
    let (before, rest) = packet.split_at(at);
    let (header, data) = rest.split_at(FRAGMENT_HEADER);
    let place = u16::from_be_bytes([header[2], header[3]]);
    let offset = usize::from(place & 0xfff8);
    let next = header[0];
    if offset == 0 && !headers_are_all_there(next, data) {
        return Err(FragmentDrop::HeadersCut);
    }
    Ok(Some(Fragment {
        key: Key {
            source: IpAddr::V6(address_v6(&fixed[8..24])),
            destination: IpAddr::V6(address_v6(&fixed[24..40])),
            id: u32::from_be_bytes([header[4], header[5], header[6], header[7]]),
            protocol: 0,
        },
        offset,
        more: place & 1 != 0,
        data,
        before,
        next_header: Some((next_at, next)),
    }))
}

/// RFC 7112 section 5: extension headers and the upper layer's header, within the first fragment.
fn headers_are_all_there(mut next: u8, mut data: &[u8]) -> bool {
    loop {
        let (length, then) = match (next, data) {
            (TCP, _) => return data.len() >= 20,
            (UDP | ICMPV6, _) => return data.len() >= 8,
            (FRAGMENT, _) => return false,
            (HOP_BY_HOP | ROUTING | DESTINATION, [then, length, ..]) => {
                ((usize::from(*length) + 1) * 8, *then)
            }
            // RFC 4302 section 2.2: in units of 4 bytes, minus 2.
            (AUTHENTICATION, [then, length, ..]) => ((usize::from(*length) + 2) * 4, *then),
            (HOP_BY_HOP | ROUTING | DESTINATION | AUTHENTICATION, _) => return false,
            _ => return true,
        };
        let Some(rest) = data.get(length..) else {
            return false;
        };
        data = rest;
        next = then;
    }
}

/// Writes the length of `data` more bytes (and what else depends on it) into `head`; `None` if
/// that is more than a packet can have.
pub(super) fn finish(mut head: Vec<u8>, data: usize) -> Option<Vec<u8>> {
    if head.first().is_some_and(|byte| byte >> 4 == 4) {
        let total = u16::try_from(head.len() + data).ok()?;
        head[2..4].copy_from_slice(&total.to_be_bytes());
        head[6..8].fill(0);
        head[10..12].fill(0);
        let sum = checksum(&head);
        head[10..12].copy_from_slice(&sum.to_be_bytes());
    } else {
        let length = u16::try_from(head.len() - IPV6_HEADER + data).ok()?;
        head[4..6].copy_from_slice(&length.to_be_bytes());
    }
    head.reserve_exact(data);
    Some(head)
}

/// RFC 1071; 0 over a header whose checksum is right. Header lengths are even.
pub(super) fn checksum(header: &[u8]) -> u16 {
    let sum: u32 = header
        .chunks_exact(2)
        .map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]])))
        .sum();
    // 30 words: twice is enough to fold the carries.
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    !(sum as u16)
}

fn address_v6(bytes: &[u8]) -> Ipv6Addr {
    let mut address = [0; 16];
    address.copy_from_slice(bytes);
    Ipv6Addr::from(address)
}
