//! Which addresses a socket may be given at all, whatever the policy says. The sentences are of the WIT, of `bind`
//! and `connect` of both versions.

use nexus_types::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::code::Code;
use crate::ctx::NetCtx;

/// IPv4 or IPv6; a socket of one speaks with none of the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Family {
    V4,
    V6,
}

impl Family {
    fn of(ip: IpAddr) -> Self {
        if ip.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// All addresses of ours, of this family.
    pub(super) fn any(self) -> IpAddr {
        match self {
            Self::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            Self::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        }
    }

    fn check(self, ip: IpAddr) -> Result<(), Code> {
        // "The address has the wrong address family."
        if self != Family::of(ip) {
            return Err(Code::InvalidArgument);
        }
        // "... is an IPv4-mapped IPv6 address."
        match ip {
            IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Err(Code::InvalidArgument),
            _ => Ok(()),
        }
    }

    /// A local address for a socket of this family to be bound to.
    pub(super) fn check_local(self, ctx: &NetCtx, local: SocketAddr) -> Result<(), Code> {
        let ip = local.ip();
        self.check(ip)?;
        // "`local-address` is not a unicast address."
        if ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
            return Err(Code::InvalidArgument);
        }
        // "`local-address` is not an address that the `network` can bind to." That is no secret: its own addresses
        // an app may see.
        let is_own = ip.is_unspecified()
            || ip.is_loopback()
            || ctx.node(|node, _| {
                node.stack()
                    .addresses()
                    .iter()
                    .any(|own| own.address() == ip)
            });
        if is_own {
            Ok(())
        } else {
            Err(Code::AddressNotBindable)
        }
    }

    /// A far end for a datagram.
    pub(super) fn check_remote(self, remote: SocketAddr) -> Result<(), Code> {
        self.check(remote.ip())?;
        // "The IP address in `remote-address` is set to INADDR_ANY", "The port in `remote-address` is set to 0."
        if remote.ip().is_unspecified() || remote.port() == 0 {
            return Err(Code::InvalidArgument);
        }
        Ok(())
    }

    /// A far end for a connection.
    pub(super) fn check_peer(self, remote: SocketAddr) -> Result<(), Code> {
        self.check_remote(remote)?;
        // "`remote-address` is not a unicast address."
        let ip = remote.ip();
        if ip.is_multicast() || ip == IpAddr::V4(Ipv4Addr::BROADCAST) {
            return Err(Code::InvalidArgument);
        }
        Ok(())
    }
}

/// An address as packets have it. A scope or flow that a program adds (`fe80::1%eth0`) is of no packet: with it, who
/// answers would not be who was asked.
pub(super) fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reject_far_ends_that_cannot_be_one() {
        for (family, remote) in [
            (Family::V4, "[2001:db8::1]:80"),
            (Family::V6, "192.0.2.1:80"),
            (Family::V6, "[::ffff:192.0.2.1]:80"),
            (Family::V4, "0.0.0.0:80"),
            (Family::V6, "[::]:80"),
            (Family::V4, "192.0.2.1:0"),
            (Family::V4, "224.0.0.1:80"),
            (Family::V6, "[ff02::1]:80"),
            (Family::V4, "255.255.255.255:80"),
        ] {
            let checked = family.check_peer(remote.parse().unwrap());
            assert_eq!(checked, Err(Code::InvalidArgument), "{remote}");
        }
    }

    #[test]
    fn datagrams_may_go_to_a_group() {
        let group = "224.0.0.251:5353".parse().unwrap();
        assert_eq!(Family::V4.check_remote(group), Ok(()));
    }
}
