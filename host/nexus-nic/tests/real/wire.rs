//! Frames written and read by hand, independent of the crate under test.

use nexus_nic::Mac;

use crate::place::{KERNEL_V4, OURS_V4};

/// RFC 1071, by its definition.
pub(crate) fn checksum(parts: &[&[u8]]) -> u16 {
    let bytes = parts.concat();
    let mut sum = 0_u32;
    for pair in bytes.chunks(2) {
        sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |&low| u32::from(low));
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

pub(crate) fn ethernet(to: [u8; 6], from: Mac, ether_type: u16, data: &[u8]) -> Vec<u8> {
    [&to[..], &from.bytes(), &ether_type.to_be_bytes(), data].concat()
}

/// An ARP packet (RFC 826): 1 asks, 2 answers.
pub(crate) fn arp(
    operation: u8,
    from: Mac,
    from_ip: [u8; 4],
    to: [u8; 6],
    to_ip: [u8; 4],
) -> Vec<u8> {
    let mut data = vec![0, 1, 8, 0, 6, 4, 0, operation];
    data.extend(from.bytes());
    data.extend(from_ip);
    data.extend(to);
    data.extend(to_ip);
    data
}

/// Who has the kernel's address?
pub(crate) fn arp_request(from: Mac) -> Vec<u8> {
    ethernet(
        [0xff; 6],
        from,
        0x0806,
        &arp(1, from, OURS_V4, [0; 6], KERNEL_V4),
    )
}

/// The kernel's hardware address, if the frame is its ARP answer to us.
pub(crate) fn arp_answer(frame: &[u8]) -> Option<[u8; 6]> {
    let sender = frame.get(22..32)?;
    (frame[12..14] == [8, 6] && frame[20..22] == [0, 2] && sender[6..] == KERNEL_V4)
        .then(|| sender[..6].try_into().expect("six bytes"))
}

/// Our answer, if the frame asks for our address.
pub(crate) fn arp_reply(frame: &[u8], ours: Mac) -> Option<Vec<u8>> {
    let packet = frame.get(14..42)?;
    (frame[12..14] == [8, 6] && packet[6..8] == [0, 1] && packet[24..28] == OURS_V4).then(|| {
        let asker: [u8; 6] = packet[8..14].try_into().expect("six bytes");
        ethernet(
            asker,
            ours,
            0x0806,
            &arp(2, ours, OURS_V4, asker, KERNEL_V4),
        )
    })
}

pub(crate) fn ipv4(protocol: u8, data: &[u8]) -> Vec<u8> {
    let [high, low] = ((20 + data.len()) as u16).to_be_bytes();
    let mut header = vec![0x45, 0, high, low, 0, 1, 0x40, 0, 64, protocol, 0, 0];
    header.extend(OURS_V4);
    header.extend(KERNEL_V4);
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    header.extend(data);
    header
}

pub(crate) fn ping(number: u16, data: &[u8]) -> Vec<u8> {
    let mut message = vec![8, 0, 0, 0, 0x77, 0x77];
    message.extend(number.to_be_bytes());
    message.extend(data);
    let sum = checksum(&[&message]);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    ipv4(1, &message)
}

/// The number of a ping's answer, with right checksums.
pub(crate) fn pong(frame: &[u8]) -> Option<u16> {
    let packet = frame.get(14..)?;
    if frame[12..14] != [8, 0] || packet.get(9) != Some(&1) || packet.get(20) != Some(&0) {
        return None;
    }
    let total = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    assert_eq!(checksum(&[&packet[..20]]), 0);
    assert_eq!(checksum(&[&packet[20..total]]), 0);
    Some(u16::from_be_bytes([packet[26], packet[27]]))
}

/// A TCP segment of an IPv4 frame.
#[derive(Debug)]
pub(crate) struct Segment<'a> {
    pub(crate) from: u16,
    pub(crate) sequence: u32,
    pub(crate) acknowledged: u32,
    pub(crate) flags: u8,
    pub(crate) data: &'a [u8],
}

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const PSH: u8 = 8;
pub(crate) const ACK: u8 = 16;

/// The TCP segment in a frame to `port`, if it is one.
pub(crate) fn tcp(frame: &[u8], port: u16) -> Option<Segment<'_>> {
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
pub(crate) fn transport_is_right(frame: &[u8]) -> bool {
    let packet = &frame[14..];
    let total = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
    let length = ((total - 20) as u16).to_be_bytes();
    let pseudo = [&packet[12..20], &[0, packet[9]][..], &length].concat();
    checksum(&[&packet[..20]]) == 0 && checksum(&[&pseudo, &packet[20..total]]) == 0
}

/// A TCP segment from us; its checksum is right.
pub(crate) fn tcp_packet(
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
    let sum = checksum(&[&OURS_V4, &KERNEL_V4, &[0, 6], &length, &header]);
    header[16..18].copy_from_slice(&sum.to_be_bytes());
    ipv4(6, &header)
}

/// A TCP segment of IPv6 from us to whoever has the hardware address; its checksum is not made.
pub(crate) fn tcp_v6(to: [u8; 6], from: Mac, data: &[u8]) -> Vec<u8> {
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
pub(crate) fn tcp_v6_data(frame: &[u8], absent: bool) -> Option<&[u8]> {
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
