//! Addresses between WIT and Rust.

use nexus_types::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::bindings::nexus::net::types::{IpAddress, SocketAddress};

impl From<IpAddr> for IpAddress {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::Ipv4(v4.octets().into()),
            IpAddr::V6(v6) => Self::Ipv6(v6.segments().into()),
        }
    }
}

impl From<IpAddress> for IpAddr {
    fn from(address: IpAddress) -> Self {
        match address {
            IpAddress::Ipv4(octets) => Self::V4(Ipv4Addr::from(<[u8; 4]>::from(octets))),
            IpAddress::Ipv6(segments) => Self::V6(Ipv6Addr::from(<[u16; 8]>::from(segments))),
        }
    }
}

impl From<SocketAddr> for SocketAddress {
    fn from(address: SocketAddr) -> Self {
        Self {
            address: address.ip().into(),
            port: address.port(),
        }
    }
}

impl From<SocketAddress> for SocketAddr {
    fn from(address: SocketAddress) -> Self {
        Self::new(address.address.into(), address.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_come_back_as_they_went() {
        for text in [
            "192.0.2.1:53",
            "[2001:db8::1]:65535",
            "0.0.0.0:0",
            "[::ffff:127.0.0.1]:80",
        ] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(SocketAddr::from(SocketAddress::from(address)), address);
        }
    }
}
