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
}

impl fmt::Display for InterfaceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}
