//! Where the headers of a frame are: Ethernet, IPv4 or IPv6, TCP or UDP. Pure; reads any bytes.

/// Bytes of an Ethernet header without a VLAN tag.
pub const ETHERNET_HEADER: usize = 14;

/// The longest frame there is: an Ethernet header and the longest IP packet.
pub const FRAME_MAX: usize = ETHERNET_HEADER + 65_535;

/// 802.1Q and 802.1ad tags (IEEE 802.1Q-2018 table 9-1).
const VLAN: [u16; 2] = [0x8100, 0x88a8];

/// Extension headers looked through before the transport's: one of each kind the kernel may put
/// before TCP, and one more. Bounds the walk.
const EXTENSIONS: usize = 4;

/// Which IP.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Version {
    V4,
    V6,
}

/// Which transport.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Protocol {
    Tcp,
    Udp,
}

impl Protocol {
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Tcp => 6,
            Self::Udp => 17,
        }
    }

    /// Where the checksum is in the transport's header.
    pub(crate) const fn checksum_offset(self) -> usize {
        match self {
            Self::Tcp => 16,
            Self::Udp => 6,
        }
    }
}

/// Where the parts of a TCP or UDP frame are. All of it is within the frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Headers {
    pub(crate) version: Version,
    pub(crate) protocol: Protocol,
    /// Where the IP header begins.
    pub(crate) ip: usize,
    /// Where the transport's header begins.
    pub(crate) transport: usize,
    /// Where the payload begins.
    pub(crate) payload: usize,
    /// Where the IP packet ends; the frame may go on with padding.
    pub(crate) end: usize,
}

impl Headers {
    /// The headers of an unfragmented TCP or UDP frame. `None`: it is something else, or broken.
    pub(crate) fn of(frame: &[u8]) -> Option<Self> {
        let ip = ETHERNET_HEADER;
        let (version, number, transport, end) = match ether_type(frame)? {
            0x0800 => v4(frame, ip)?,
            0x86dd => v6(frame, ip)?,
            _ => return None,
        };
        let (protocol, header) = match number {
            6 => {
                let words = usize::from(*frame.get(transport + 12)? >> 4);
                (Protocol::Tcp, words * 4)
            }
            17 => (Protocol::Udp, 8),
            _ => return None,
        };
        let least = match protocol {
            Protocol::Tcp => 20,
            Protocol::Udp => 8,
        };
        let payload = transport + header;
        (header >= least && payload <= end && end <= frame.len()).then_some(Self {
            version,
            protocol,
            ip,
            transport,
            payload,
            end,
        })
    }
}

fn v4(frame: &[u8], ip: usize) -> Option<(Version, u8, usize, usize)> {
    let header = usize::from(*frame.get(ip)? & 0x0f) * 4;
    let fixed = frame.get(ip..ip + 20)?;
    let total = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    let fragment = u16::from_be_bytes([fixed[6], fixed[7]]) & 0x3fff;
    (fixed[0] >> 4 == 4 && header >= 20 && total >= header && fragment == 0).then_some((
        Version::V4,
        fixed[9],
        ip + header,
        ip + total,
    ))
}

fn v6(frame: &[u8], ip: usize) -> Option<(Version, u8, usize, usize)> {
    let fixed = frame.get(ip..ip + 40)?;
    if fixed[0] >> 4 != 6 {
        return None;
    }
    let end = ip + 40 + usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
    let mut number = fixed[6];
    let mut at = ip + 40;
    for _ in 0..EXTENSIONS {
        match number {
            // Hop-by-hop, routing, destination options: next header, length in 8 bytes without the first 8.
            0 | 43 | 60 => {
                number = *frame.get(at)?;
                at += (usize::from(*frame.get(at + 1)?) + 1) * 8;
            }
            _ => break,
        }
    }
    (at <= end).then_some((Version::V6, number, at, end))
}

fn ether_type(frame: &[u8]) -> Option<u16> {
    frame
        .get(12..ETHERNET_HEADER)
        .map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
}

/// Whether the frame carries a VLAN tag.
pub(crate) fn is_tagged(frame: &[u8]) -> bool {
    ether_type(frame).is_some_and(|ether_type| VLAN.contains(&ether_type))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::checksum::{Sum, pseudo};

    /// A frame of these, with right lengths and checksums.
    pub(crate) fn frame(
        version: Version,
        protocol: Protocol,
        options: &[u8],
        data: &[u8],
    ) -> Vec<u8> {
        let mut transport = match protocol {
            Protocol::Tcp => {
                let mut header = vec![0x12, 0x34, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2];
                header.extend([
                    (((20 + options.len()) / 4) << 4) as u8,
                    0x18,
                    1,
                    0,
                    0,
                    0,
                    0,
                    0,
                ]);
                header.extend(options);
                header
            }
            Protocol::Udp => {
                let [high, low] = ((8 + data.len()) as u16).to_be_bytes();
                vec![0x12, 0x34, 0, 53, high, low, 0, 0]
            }
        };
        transport.extend(data);
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        match version {
            Version::V4 => {
                let [high, low] = ((20 + transport.len()) as u16).to_be_bytes();
                let mut ip = [
                    0x45,
                    0,
                    high,
                    low,
                    0xff,
                    0xff,
                    0x40,
                    0,
                    64,
                    protocol.number(),
                    0,
                    0,
                    10,
                    0,
                    0,
                    1,
                    10,
                    0,
                    0,
                    2,
                ];
                let sum = Sum::default().add(&ip).finish();
                ip[10..12].copy_from_slice(&sum);
                frame.extend([8, 0]);
                frame.extend(ip);
            }
            Version::V6 => {
                let [high, low] = (transport.len() as u16).to_be_bytes();
                frame.extend([0x86, 0xdd, 0x60, 0, 0, 0, high, low, protocol.number(), 64]);
                frame.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
                frame.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
            }
        }
        frame.extend(transport);
        let headers = Headers::of(&frame).expect("a frame of ours");
        let sum = pseudo(&frame, &headers, headers.end - headers.transport)
            .add(&frame[headers.transport..])
            .finish();
        let field = headers.transport + protocol.checksum_offset();
        frame[field..field + 2].copy_from_slice(&sum);
        frame
    }

    #[test]
    fn headers_are_found() {
        for version in [Version::V4, Version::V6] {
            let ip = if version == Version::V4 { 20 } else { 40 };
            let tcp = Headers::of(&frame(version, Protocol::Tcp, &[1; 12], b"data")).expect("tcp");
            assert_eq!(
                (tcp.transport, tcp.payload, tcp.end),
                (14 + ip, 46 + ip, 50 + ip)
            );
            let udp = Headers::of(&frame(version, Protocol::Udp, &[], b"data")).expect("udp");
            assert_eq!(
                (udp.transport, udp.payload, udp.end),
                (14 + ip, 22 + ip, 26 + ip)
            );
        }
    }

    #[test]
    fn padding_is_not_payload() {
        let mut short = frame(Version::V4, Protocol::Udp, &[], b"x");
        let end = short.len();
        short.resize(60, 0);
        assert_eq!(Headers::of(&short).expect("udp").end, end);
    }

    #[test]
    fn extension_headers_are_passed() {
        let mut plain = frame(Version::V6, Protocol::Udp, &[], b"data");
        plain[20] = 60;
        plain[19] += 8;
        plain.splice(54..54, [17, 0, 1, 4, 0, 0, 0, 0]);
        let headers = Headers::of(&plain).expect("udp");
        assert_eq!((headers.transport, headers.end), (62, plain.len()));
    }

    #[test]
    fn reject_a_frame_that_is_cut_anywhere() {
        for version in [Version::V4, Version::V6] {
            for protocol in [Protocol::Tcp, Protocol::Udp] {
                let whole = frame(version, protocol, &[], b"payload");
                for len in 0..whole.len() {
                    assert_eq!(Headers::of(&whole[..len]), None, "{len} bytes");
                }
            }
        }
    }

    #[test]
    fn reject_fragments_and_broken_lengths() {
        let good = frame(Version::V4, Protocol::Tcp, &[], b"payload");
        for (place, value) in [
            (20, 0x20),
            (21, 1),
            (14, 0x44),
            (14, 0x65),
            (17, 19),
            (46, 0x40),
            (46, 0xf0),
            (23, 1),
        ] {
            let mut bad = good.clone();
            bad[place] = value;
            assert_eq!(Headers::of(&bad), None, "byte {place} = {value:#x}");
        }
    }
}
