//! Addresses and errors between the records of WIT and netcore.

use nexus_node::NetError;
use nexus_types::{ErrorCode, IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::bindings::nexus::error::types as wit;
use crate::bindings::nexus::net::types::{IpAddress, SocketAddress};

pub(super) fn to_wit_ip(address: IpAddr) -> IpAddress {
    match address {
        IpAddr::V4(address) => IpAddress::Ipv4(address.octets().into()),
        IpAddr::V6(address) => IpAddress::Ipv6(address.segments().into()),
    }
}

pub(super) fn from_wit_ip(address: IpAddress) -> IpAddr {
    match address {
        IpAddress::Ipv4(octets) => Ipv4Addr::from(<[u8; 4]>::from(octets)).into(),
        IpAddress::Ipv6(segments) => Ipv6Addr::from(<[u16; 8]>::from(segments)).into(),
    }
}

pub(super) fn to_wit(address: SocketAddr) -> SocketAddress {
    SocketAddress {
        address: to_wit_ip(address.ip()),
        port: address.port(),
    }
}

pub(super) fn from_wit(address: SocketAddress) -> SocketAddr {
    SocketAddr::new(from_wit_ip(address.address), address.port)
}

/// The address of what has none any more.
pub(super) fn unspecified() -> SocketAddress {
    to_wit(SocketAddr::from(([0, 0, 0, 0], 0)))
}

impl From<NetError> for wit::Error {
    fn from(error: NetError) -> Self {
        Self {
            code: error.code.into(),
            reason: error.reason.to_owned(),
            why: error.why.into_string(),
        }
    }
}

impl From<ErrorCode> for wit::ErrorCode {
    fn from(code: ErrorCode) -> Self {
        match code {
            ErrorCode::Denied => Self::Denied,
            ErrorCode::InvalidArgument => Self::InvalidArgument,
            ErrorCode::InvalidState => Self::InvalidState,
            ErrorCode::NotFound => Self::NotFound,
            ErrorCode::AlreadyExists => Self::AlreadyExists,
            ErrorCode::WouldBlock => Self::WouldBlock,
            ErrorCode::NoCapacity => Self::NoCapacity,
            ErrorCode::Deadline => Self::Deadline,
            ErrorCode::Cancelled => Self::Cancelled,
            ErrorCode::Refused => Self::Refused,
            ErrorCode::Unreachable => Self::Unreachable,
            ErrorCode::Reset => Self::Reset,
            ErrorCode::Closed => Self::Closed,
            ErrorCode::Protocol => Self::Protocol,
            ErrorCode::Unavailable => Self::Unavailable,
            ErrorCode::Internal => Self::Internal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_and_addresses_come_back_as_they_went() {
        for code in ErrorCode::ALL {
            let error = wit::Error::from(NetError::new(code, "why"));
            let error = crate::Error::from(error);
            assert_eq!((error.code(), error.why()), (code, "why"));
        }
        for text in ["192.0.2.1:53", "[2001:db8::1]:65535", "0.0.0.0:0"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(from_wit(to_wit(address)), address);
        }
    }
}
