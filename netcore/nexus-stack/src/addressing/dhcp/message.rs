//! DHCP messages (RFC 2131 section 2, options of RFC 2132): what a client writes and reads.
//!
//! Not supported: options in `sname` and `file` (overload), split options (RFC 3396).

use nexus_types::Ipv4Addr;

use crate::neighbors::Mac;
use crate::packet::u32_at;

const MAGIC: [u8; 4] = [0x63, 0x82, 0x53, 0x63];
const OPTIONS: usize = 240;

const PAD: u8 = 0;
const SUBNET_MASK: u8 = 1;
const ROUTER: u8 = 3;
const DNS: u8 = 6;
const REQUESTED: u8 = 50;
const LEASE: u8 = 51;
const KIND: u8 = 53;
const SERVER: u8 = 54;
const PARAMETERS: u8 = 55;
const SIZE_MAX: u8 = 57;
const RENEWAL: u8 = 58;
const REBINDING: u8 = 59;
const CLIENT: u8 = 61;
const END: u8 = 255;

/// What a client says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ask {
    Discover = 1,
    Request = 3,
    Decline = 4,
    Release = 7,
}

/// What a server says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Say {
    Offer,
    Ack,
    Nak,
}

/// A message of ours.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message {
    pub(crate) ask: Ask,
    pub(crate) xid: u32,
    pub(crate) secs: u16,
    pub(crate) mac: Mac,
    /// The address we use already.
    pub(crate) own: Option<Ipv4Addr>,
    pub(crate) requested: Option<Ipv4Addr>,
    pub(crate) server: Option<Ipv4Addr>,
}

impl Message {
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut bytes = vec![0; OPTIONS];
        bytes[..4].copy_from_slice(&[1, 1, 6, 0]);
        bytes[4..8].copy_from_slice(&self.xid.to_be_bytes());
        bytes[8..10].copy_from_slice(&self.secs.to_be_bytes());
        match self.own {
            Some(own) => bytes[12..16].copy_from_slice(&own.octets()),
            // We cannot be sent to yet: to all, please (RFC 2131 section 4.1).
            None => bytes[10] = 0x80,
        }
        bytes[28..34].copy_from_slice(&self.mac);
        bytes[236..OPTIONS].copy_from_slice(&MAGIC);
        bytes.extend([KIND, 1, self.ask as u8, CLIENT, 7, 1]);
        bytes.extend(self.mac);
        for (option, value) in [(REQUESTED, self.requested), (SERVER, self.server)] {
            if let Some(value) = value {
                bytes.extend([option, 4]);
                bytes.extend(value.octets());
            }
        }
        // What gives an address up asks for nothing (RFC 2131 table 5).
        if matches!(self.ask, Ask::Discover | Ask::Request) {
            // 576: what everybody must be able to receive.
            bytes.extend([SIZE_MAX, 2, 2, 64]);
            bytes.extend([PARAMETERS, 3, SUBNET_MASK, ROUTER, DNS]);
        }
        bytes.push(END);
        // RFC 1542 section 2.1: some relays drop what is shorter than a BOOTP message.
        bytes.resize(bytes.len().max(300), PAD);
        bytes
    }
}

/// A server's message to a client, as far as a client reads it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Reply<'a> {
    pub(crate) say: Say,
    pub(crate) xid: u32,
    pub(crate) mac: Mac,
    pub(crate) address: Ipv4Addr,
    pub(crate) server: Ipv4Addr,
    pub(crate) mask: Option<Ipv4Addr>,
    /// The first one.
    pub(crate) router: Option<Ipv4Addr>,
    /// Four bytes a server.
    dns: &'a [u8],
    pub(crate) lease_secs: Option<u32>,
    pub(crate) renewal_secs: Option<u32>,
    pub(crate) rebinding_secs: Option<u32>,
}

impl<'a> Reply<'a> {
    /// `None` if it is not one, or if any of it is not sound.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        if bytes.len() < OPTIONS || bytes[..3] != [2, 1, 6] || bytes[236..OPTIONS] != MAGIC {
            return None;
        }
        let mut mac = [0; 6];
        mac.copy_from_slice(&bytes[28..34]);
        let (mut say, mut server) = (None, None);
        let mut reply = Self {
            say: Say::Nak,
            xid: u32_at(bytes, 4),
            mac,
            address: u32_at(bytes, 16).into(),
            server: Ipv4Addr::UNSPECIFIED,
            mask: None,
            router: None,
            dns: &[],
            lease_secs: None,
            renewal_secs: None,
            rebinding_secs: None,
        };
        let mut rest = &bytes[OPTIONS..];
        loop {
            let (kind, value) = match rest {
                [] | [END, ..] => break,
                [PAD, after @ ..] => {
                    rest = after;
                    continue;
                }
                [kind, len, after @ ..] => {
                    let (value, after) = after.split_at_checked(usize::from(*len))?;
                    rest = after;
                    (*kind, value)
                }
                [_] => return None,
            };
            let addresses = !value.is_empty() && value.len().is_multiple_of(4);
            match kind {
                KIND => {
                    say = Some(match value {
                        [2] => Say::Offer,
                        [5] => Say::Ack,
                        [6] => Say::Nak,
                        _ => return None,
                    });
                }
                SERVER => server = Some(Ipv4Addr::from(word_of(value)?)),
                SUBNET_MASK => reply.mask = Some(Ipv4Addr::from(word_of(value)?)),
                ROUTER if addresses => reply.router = Some(u32_at(value, 0).into()),
                DNS if addresses => reply.dns = value,
                ROUTER | DNS => return None,
                LEASE => reply.lease_secs = Some(word_of(value)?),
                RENEWAL => reply.renewal_secs = word_of(value),
                REBINDING => reply.rebinding_secs = word_of(value),
                _ => {}
            }
        }
        reply.say = say?;
        reply.server = server?;
        Some(reply)
    }

    /// The DNS servers.
    pub(crate) fn dns(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.dns
            .chunks_exact(4)
            .map(|octets| u32_at(octets, 0).into())
    }
}

fn word_of(value: &[u8]) -> Option<u32> {
    (value.len() == 4).then(|| u32_at(value, 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ack() -> Vec<u8> {
        let mut bytes = vec![0; OPTIONS];
        bytes[..4].copy_from_slice(&[2, 1, 6, 0]);
        bytes[4..8].copy_from_slice(&[1, 2, 3, 4]);
        bytes[16..20].copy_from_slice(&[10, 0, 0, 9]);
        bytes[28..34].copy_from_slice(&[2, 0, 0, 0, 0, 1]);
        bytes[236..OPTIONS].copy_from_slice(&MAGIC);
        bytes.extend([0, 53, 1, 5, 54, 4, 10, 0, 0, 1, 51, 4, 0, 0, 14, 16]);
        bytes.extend([3, 8, 10, 0, 0, 1, 10, 0, 0, 2, 1, 4, 255, 255, 255, 0]);
        bytes.extend([6, 8, 10, 0, 0, 3, 10, 0, 0, 4, 255]);
        bytes
    }

    #[test]
    fn a_reply_is_read() {
        let bytes = ack();
        let reply = Reply::parse(&bytes).expect("sound");
        assert_eq!((reply.say, reply.xid), (Say::Ack, 0x0102_0304));
        assert_eq!(reply.address, Ipv4Addr::new(10, 0, 0, 9));
        assert_eq!(reply.router, Some(Ipv4Addr::new(10, 0, 0, 1)));
        assert_eq!(reply.lease_secs, Some(3_600));
        let dns = [Ipv4Addr::new(10, 0, 0, 3), Ipv4Addr::new(10, 0, 0, 4)];
        assert_eq!(reply.dns().collect::<Vec<_>>(), dns);
    }

    #[test]
    fn reject_cut_and_changed_replies_without_a_panic() {
        let good = ack();
        // Up to the end mark each option is needed or of a length that is wrong then.
        for len in 0..good.len() - 1 {
            let cut = Reply::parse(&good[..len]);
            let whole_options = [OPTIONS + 10, OPTIONS + 16, OPTIONS + 26, OPTIONS + 32];
            assert_eq!(cut.is_some(), whole_options.contains(&len), "{len}");
        }
        for at in 0..good.len() {
            for value in [0, 1, 3, 5, 127, 254, 255] {
                let mut bytes = good.clone();
                bytes[at] = value;
                let _ = Reply::parse(&bytes);
            }
        }
        let mut request = good.clone();
        request[0] = 1;
        assert_eq!(Reply::parse(&request), None);
    }

    #[test]
    fn what_we_say_has_the_shape_of_rfc_2131() {
        let message = Message {
            ask: Ask::Request,
            xid: 7,
            secs: 3,
            mac: [2, 0, 0, 0, 0, 1],
            own: None,
            requested: Some(Ipv4Addr::new(10, 0, 0, 9)),
            server: Some(Ipv4Addr::new(10, 0, 0, 1)),
        };
        let bytes = message.write();
        assert_eq!(bytes.len(), 300);
        assert_eq!(bytes[..12], [1, 1, 6, 0, 0, 0, 0, 7, 0, 3, 0x80, 0]);
        let options = [53, 1, 3, 61, 7, 1, 2, 0, 0, 0, 0, 1, 50, 4, 10, 0, 0, 9];
        assert_eq!(bytes[OPTIONS..OPTIONS + 18], options);
    }
}
