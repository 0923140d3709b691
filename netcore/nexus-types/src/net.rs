//! Small network words: ports, transports, an address with its prefix.

use core::fmt;
use core::net::IpAddr;
use core::num::NonZeroU16;

/// A port a packet can be sent to: 1 to 65535. Port 0 means "any" in a request and nothing on a wire.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Port(NonZeroU16);

impl Port {
    /// The port, if `number` is one.
    pub const fn new(number: u16) -> Option<Self> {
        match NonZeroU16::new(number) {
            Some(number) => Some(Self(number)),
            None => None,
        }
    }

    /// The number.
    pub const fn number(self) -> u16 {
        self.0.get()
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What a port number is counted in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Transport {
    /// RFC 9293.
    Tcp,
    /// RFC 768.
    Udp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// An address of an interface and how many leading bits its link shares.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct InterfaceAddress {
    address: IpAddr,
    prefix: u8,
}

impl InterfaceAddress {
    /// The pair, if `prefix` fits the address family.
    pub const fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        let bits = match address {
            IpAddr::V4(_) => 32,
            IpAddr::V6(_) => 128,
        };
        if prefix <= bits {
            Some(Self { address, prefix })
        } else {
            None
        }
    }

    /// The address.
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// The number of leading bits the link shares.
    pub const fn prefix(self) -> u8 {
        self.prefix
    }

    /// Whether `other` is on the same network.
    pub fn contains(self, other: IpAddr) -> bool {
        let same = |ours: u128, other: u128, bits: u32| {
            let host_bits = bits - u32::from(self.prefix);
            ours.checked_shr(host_bits) == other.checked_shr(host_bits)
        };
        match (self.address, other) {
            (IpAddr::V4(ours), IpAddr::V4(other)) => {
                same(u32::from(ours).into(), u32::from(other).into(), 32)
            }
            (IpAddr::V6(ours), IpAddr::V6(other)) => same(ours.into(), other.into(), 128),
            _ => false,
        }
    }
}

impl fmt::Display for InterfaceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_what_shares_its_prefix() {
        for (address, prefix, other, same) in [
            ("10.0.0.2", 24, "10.0.0.255", true),
            ("10.0.0.2", 24, "10.0.1.2", false),
            ("10.0.0.2", 32, "10.0.0.2", true),
            ("10.0.0.2", 32, "10.0.0.3", false),
            ("10.0.0.2", 0, "203.0.113.1", true),
            ("fd00::2", 64, "fd00::ffff", true),
            ("fd00::2", 64, "fd00:0:0:1::2", false),
            ("fd00::2", 0, "2001:db8::1", true),
            ("fd00::2", 128, "fd00::3", false),
            ("10.0.0.2", 0, "fd00::2", false),
        ] {
            let own = InterfaceAddress::new(address.parse().unwrap(), prefix).unwrap();
            assert_eq!(own.contains(other.parse().unwrap()), same, "{own} {other}");
        }
    }
}
