//! Reading a router advertisement (RFC 4861 section 4.2): total, bounds-checked, no state.

use core::time::Duration;

use nexus_types::{Instant, Ipv6Addr};

use crate::options::Options;
use crate::packet::u32_at;

const PREFIX: u8 = 3;
const RDNSS: u8 = 25;

const ON_LINK: u8 = 0x80;
const AUTONOMOUS: u8 = 0x40;

/// How long what a router said of the link and its name servers holds, said once, if it said longer: forged, it would
/// stay for ever. Whoever means it says it again within half an hour (RFC 4861 section 6.2.1: MaxRtrAdvInterval), so
/// three advertisements may be lost.
const UNHEARD: Duration = Duration::from_secs(7_200);

/// What a router says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Advert<'a> {
    /// How long it is a default router; zero: it is none.
    pub(crate) lifetime: Duration,
    pub(crate) preference: Preference,
    pub(crate) options: Options<'a>,
}

/// RFC 4191 section 2.1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Preference {
    Low,
    Medium,
    High,
}

/// A prefix (RFC 4861 section 4.6.2): what is within it is on the link, or addresses are made of it, or both.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Announced {
    /// Without host bits.
    pub(crate) prefix: Prefix,
    pub(crate) on_link: bool,
    pub(crate) autonomous: bool,
    pub(crate) valid: Lifetime,
    pub(crate) preferred: Lifetime,
}

/// The leading bits of an address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Prefix {
    bits: u128,
    len: u8,
}

/// Seconds, or for ever.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Lifetime(u32);

impl Lifetime {
    pub(crate) fn secs(self) -> u32 {
        self.0
    }

    pub(crate) fn until(self, now: Instant) -> Instant {
        match self.0 {
            u32::MAX => Instant::FAR_FUTURE,
            secs => now + Duration::from_secs(secs.into()),
        }
    }

    /// The same, of what is to be heard again to stay: see [`UNHEARD`].
    pub(crate) fn until_unheard(self, now: Instant) -> Instant {
        self.until(now).min(now + UNHEARD)
    }
}

impl Prefix {
    /// One that a link can have. What is in ::/8 is set apart (RFC 4291 section 2.4: no address, loopback,
    /// embedded IPv4), link-local addresses are nobody's to announce (RFC 4862 section 5.5.3 b), groups are no
    /// addresses; and a prefix of less than 48 bits, the most a site is given (RFC 6177), would make whole providers
    /// our neighbours, and what is said to them would get lost.
    pub(crate) fn new(address: Ipv6Addr, len: u8) -> Option<Self> {
        let fit = (48..=128).contains(&len)
            && address.octets()[0] != 0
            && !address.is_multicast()
            && !address.is_unicast_link_local();
        let mask = u128::MAX.checked_shl(128_u32.checked_sub(len.into())?)?;
        let bits = address.to_bits() & mask;
        fit.then_some(Self { bits, len })
    }

    pub(crate) fn contains(self, address: Ipv6Addr) -> bool {
        (self.bits ^ address.to_bits()).leading_zeros() >= u32::from(self.len)
    }

    /// The upper half, of one that leaves 64 bits for an interface (RFC 4291 section 2.5.1).
    pub(crate) fn network(self) -> Option<u64> {
        (self.len == 64).then_some((self.bits >> 64) as u64)
    }
}

impl<'a> Advert<'a> {
    /// Reads what follows the IP header.
    pub(crate) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let options = Options::parse(bytes.get(16..)?)?;
        if bytes[1] != 0 {
            return None;
        }
        let preference = match bytes[5] >> 3 & 3 {
            1 => Preference::High,
            3 => Preference::Low,
            // 2 is reserved, and to be taken for this.
            _ => Preference::Medium,
        };
        Some(Self {
            lifetime: Duration::from_secs(u16::from_be_bytes([bytes[6], bytes[7]]).into()),
            preference,
            options,
        })
    }

    /// The prefixes that can be used for something.
    pub(crate) fn prefixes(&self) -> impl Iterator<Item = Announced> + use<'a> {
        self.options.iter().filter_map(|(kind, option)| {
            if kind != PREFIX || option.len() != 32 {
                return None;
            }
            let prefix = Prefix::new(ip_at(option, 16), option[2])?;
            let valid = Lifetime(u32_at(option, 4));
            let preferred = Lifetime(u32_at(option, 8));
            let announced = Announced {
                prefix,
                on_link: option[3] & ON_LINK != 0,
                // RFC 4862 section 5.5.3 c and d.
                autonomous: option[3] & AUTONOMOUS != 0
                    && preferred <= valid
                    && prefix.network().is_some(),
                valid,
                preferred,
            };
            (announced.on_link || announced.autonomous).then_some(announced)
        })
    }

    /// Name servers (RFC 8106 section 5.1), as far as one can be asked there.
    pub(crate) fn resolvers(&self) -> impl Iterator<Item = (Ipv6Addr, Lifetime)> + use<'a> {
        let sound = |(kind, option): &(u8, &[u8])| {
            *kind == RDNSS && option.len() >= 24 && option.len() % 16 == 8
        };
        self.options.iter().filter(sound).flat_map(|(_, option)| {
            let lifetime = Lifetime(u32_at(option, 4));
            option[8..]
                .chunks_exact(16)
                .map(|octets| ip_at(octets, 0))
                .filter(|ip| ip.octets()[0] != 0 && !ip.is_multicast())
                .map(move |ip| (ip, lifetime))
        })
    }
}

fn ip_at(bytes: &[u8], at: usize) -> Ipv6Addr {
    let mut octets = [0; 16];
    octets.copy_from_slice(&bytes[at..at + 16]);
    octets.into()
}
