//! Frames written and read by hand, independent of what is under test: between [`GUEST_V4`] and
//! [`KERNEL_V4`], hosts 2 and 1 of their IPv6 network.

use std::net::Ipv6Addr;

use crate::{GUEST_V4, GUEST_V6, KERNEL_V4};

/// A hardware address.
pub type Mac = [u8; 6];

/// RFC 1071, by its definition.
pub fn checksum(parts: &[&[u8]]) -> u16 {
    let bytes = parts.concat();
    let mut sum = 0_u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |&low| u32::from(low));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// An Ethernet frame.
pub fn ethernet(to: Mac, from: Mac, ether_type: u16, data: &[u8]) -> Vec<u8> {
    [&to[..], &from, &ether_type.to_be_bytes(), data].concat()
}

/// An ARP packet (RFC 826): 1 asks, 2 answers.
pub fn arp(operation: u8, from: Mac, from_ip: [u8; 4], to: Mac, to_ip: [u8; 4]) -> Vec<u8> {
    let mut data = vec![0, 1, 8, 0, 6, 4, 0, operation];
    data.extend(from);
    data.extend(from_ip);
    data.extend(to);
    data.extend(to_ip);
    data
}

/// Who has the kernel's address?
pub fn arp_request(from: Mac) -> Vec<u8> {
    ethernet(
        [0xff; 6],
        from,
        0x0806,
        &arp(1, from, GUEST_V4.octets(), [0; 6], KERNEL_V4.octets()),
    )
}

/// The kernel's hardware address, if the frame is its ARP answer to us.
pub fn arp_answer(frame: &[u8]) -> Option<Mac> {
    let sender = frame.get(22..32)?;
    (frame[12..14] == [8, 6] && frame[20..22] == [0, 2] && sender[6..] == KERNEL_V4.octets())
        .then(|| sender[..6].try_into().expect("six bytes"))
}

/// Our answer, if the frame asks for our address.
pub fn arp_reply(frame: &[u8], ours: Mac) -> Option<Vec<u8>> {
    let packet = frame.get(14..42)?;
    (frame[12..14] == [8, 6] && packet[6..8] == [0, 1] && packet[24..28] == GUEST_V4.octets()).then(
        || {
            let asker: [u8; 6] = packet[8..14].try_into().expect("six bytes");
            ethernet(
                asker,
                ours,
                0x0806,
                &arp(2, ours, GUEST_V4.octets(), asker, KERNEL_V4.octets()),
            )
        },
    )
}

/// An IPv4 packet from us to the kernel.
pub fn ipv4(protocol: u8, data: &[u8]) -> Vec<u8> {
    let [high, low] = ((20 + data.len()) as u16).to_be_bytes();
    let mut header = vec![0x45, 0, high, low, 0, 1, 0x40, 0, 64, protocol, 0, 0];
    header.extend(GUEST_V4.octets());
    header.extend(KERNEL_V4.octets());
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    header.extend(data);
    header
}

/// An ICMP echo request from us to the kernel.
pub fn ping(number: u16, data: &[u8]) -> Vec<u8> {
    let mut message = vec![8, 0, 0, 0, 0x77, 0x77];
    message.extend(number.to_be_bytes());
    message.extend(data);
    let sum = checksum(&[&message]);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    ipv4(1, &message)
}

/// The number of a ping's answer, with right checksums.
pub fn pong(frame: &[u8]) -> Option<u16> {
    let packet = frame.get(14..)?;
    if frame[12..14] != [8, 0] || packet.get(9) != Some(&1) || packet.get(20) != Some(&0) {
        return None;
    }
    let total = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    assert_eq!(checksum(&[&packet[..20]]), 0);
    assert_eq!(checksum(&[&packet[20..total]]), 0);
    Some(u16::from_be_bytes([packet[26], packet[27]]))
}

/// A neighbour solicitation (RFC 4861 section 4.3) for [`GUEST_V6`], sent to its hardware address: whoever
/// it is from has this address and this hardware address.
pub fn solicitation(to: Mac, from: Mac, from_ip: Ipv6Addr) -> Vec<u8> {
    let mut message = vec![135, 0, 0, 0, 0, 0, 0, 0];
    message.extend(GUEST_V6.octets());
    message.extend([1, 1]);
    message.extend(from);
    let addresses = [from_ip.octets(), GUEST_V6.octets()].concat();
    let pseudo = [0, 0, 0, message.len() as u8, 0, 0, 0, 58];
    let sum = checksum(&[&addresses, &pseudo, &message]);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    let mut packet = vec![0x60, 0, 0, 0, 0, message.len() as u8, 58, 255];
    packet.extend(addresses);
    packet.extend(message);
    ethernet(to, from, 0x86dd, &packet)
}

/// A TCP segment of an IPv4 frame.
#[derive(Debug)]
pub struct Segment<'a> {
    /// Port it comes from.
    pub from: u16,
    /// Number of its first byte.
    pub sequence: u32,
    /// Number of the byte it waits for.
    pub acknowledged: u32,
    /// [`SYN`] and the like.
    pub flags: u8,
    /// What it carries.
    pub data: &'a [u8],
}

/// The sender has sent all.
pub const FIN: u8 = 1;
/// The sender begins.
pub const SYN: u8 = 2;
/// The receiver should hand on what it has.
pub const PSH: u8 = 8;
/// The acknowledged number counts.
pub const ACK: u8 = 16;

/// The TCP segment in a frame to `port`, if it is one.
pub fn tcp(frame: &[u8], port: u16) -> Option<Segment<'_>> {
    let packet = frame.get(14..)?;
    if frame[12..14] != [8, 0] || packet.get(9) != Some(&6) {
        return None;
    }
    let total = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    let tcp = packet.get(20..total)?;
    let word = |at: usize| u32::from_be_bytes(tcp[at..at + 4].try_into().expect("four bytes"));
    let half = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
    (half(2) == port).then(|| Segment {
        from: half(0),
        sequence: word(4),
        acknowledged: word(8),
        flags: tcp[13],
        data: &tcp[usize::from(tcp[12] >> 4) * 4..],
    })
}

/// Whether the TCP or UDP checksum of an IPv4 frame is right.
pub fn transport_is_right(frame: &[u8]) -> bool {
    let packet = &frame[14..];
    let total = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    let length = ((total - 20) as u16).to_be_bytes();
    let pseudo = [&packet[12..20], &[0, packet[9]][..], &length].concat();
    checksum(&[&packet[..20]]) == 0 && checksum(&[&pseudo, &packet[20..total]]) == 0
}

/// A TCP segment from us; its checksum is right.
pub fn tcp_packet(
    ports: (u16, u16),
    sequence: u32,
    acknowledge: u32,
    flags: u8,
    data: &[u8],
) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend(ports.0.to_be_bytes());
    header.extend(ports.1.to_be_bytes());
    header.extend(sequence.to_be_bytes());
    header.extend(acknowledge.to_be_bytes());
    let options: &[u8] = if flags & SYN != 0 {
        // A maximum segment size of 1460 and a window scale of 2^7.
        &[2, 4, 5, 0xb4, 1, 3, 3, 7]
    } else {
        &[]
    };
    header.extend([
        ((20 + options.len()) as u8 / 4) << 4,
        flags,
        0xff,
        0xff,
        0,
        0,
        0,
        0,
    ]);
    header.extend(options);
    header.extend(data);
    let length = (header.len() as u16).to_be_bytes();
    let sum = checksum(&[
        &GUEST_V4.octets(),
        &KERNEL_V4.octets(),
        &[0, 6],
        &length,
        &header,
    ]);
    header[16..18].copy_from_slice(&sum.to_be_bytes());
    ipv4(6, &header)
}

/// A TCP segment of IPv6 from us to whoever has the hardware address; its checksum is not made.
pub fn tcp_v6(to: Mac, from: Mac, data: &[u8]) -> Vec<u8> {
    let [high, low] = ((20 + data.len()) as u16).to_be_bytes();
    let mut packet = vec![0x60, 0, 0, 0, high, low, 6, 64];
    packet.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    packet.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    packet.extend([
        0, 1, 0, 9, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, ACK, 1, 0, 0xde, 0xad, 0, 0,
    ]);
    packet.extend(data);
    ethernet(to, from, 0x86dd, &packet)
}

/// The payload of a segment of [`tcp_v6`], whose checksum is right unless `absent`.
pub fn tcp_v6_data(frame: &[u8], absent: bool) -> Option<&[u8]> {
    let packet = frame.get(14..)?;
    if frame[12..14] != [0x86, 0xdd] || packet.get(6) != Some(&6) {
        return None;
    }
    let length = [0, 0, packet[4], packet[5], 0, 0, 0, 6];
    assert_eq!(
        usize::from(u16::from_be_bytes([packet[4], packet[5]])),
        packet.len() - 40
    );
    if !absent {
        assert_eq!(checksum(&[&packet[8..40], &length, &packet[40..]]), 0);
    }
    Some(&packet[60..])
}
