//! Which of our addresses talks to somebody (RFC 6724 section 5, as far as a host of one link needs it).

use nexus_types::{InterfaceAddress, IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Stack, contains, is_link_local};
use crate::key::Path;

impl Stack {
    /// Which of our addresses talks to `remote`.
    pub(super) fn source_for(&self, path: Path, remote: IpAddr) -> Option<IpAddr> {
        if let Path::Loop(_) = path {
            return Some(match remote {
                IpAddr::V4(v4) if v4.is_loopback() => Ipv4Addr::LOCALHOST.into(),
                other => other,
            });
        }
        self.source_where(remote, |_| true)
    }

    /// Which of our addresses asks for a neighbour: one that is sure, for who asks tells where it is.
    pub(super) fn source_of_question(&self, whom: IpAddr) -> Option<IpAddr> {
        self.source_where(whom, |own| !self.is_tentative(own))
    }

    fn source_where(&self, remote: IpAddr, may: impl Fn(IpAddr) -> bool) -> Option<IpAddr> {
        let own = self.config.addresses.iter();
        let fit =
            own.filter(|own| own.address().is_ipv4() == remote.is_ipv4() && may(own.address()));
        let best = match remote {
            // One on its link, else a global one, else any.
            IpAddr::V4(_) => fit.min_by_key(|own| {
                let elsewhere = !contains(own, remote);
                (elsewhere, elsewhere && is_link_local(own.address()))
            }),
            // The rules 2, 3, 6 and 8; the first of equals.
            IpAddr::V6(remote) => fit.rev().max_by_key(|own| self.fitness(own, remote)),
        };
        best.map(|own| own.address())
    }

    /// How well an address talks to another: of its scope, not deprecated, of its kind, alike.
    fn fitness(&self, own: &InterfaceAddress, remote: Ipv6Addr) -> (bool, bool, bool, u32) {
        let IpAddr::V6(ip) = own.address() else {
            return (false, false, false, 0);
        };
        let slaac = self.learnt.slaac.as_ref();
        let deprecated = slaac.is_some_and(|slaac| slaac.is_deprecated(self.now, ip));
        let alike = (ip.to_bits() ^ remote.to_bits()).leading_zeros();
        (
            ip.is_unicast_link_local() == stays_on_link(remote),
            !deprecated,
            label(ip) == label(remote),
            alike.min(own.prefix().into()),
        )
    }
}

/// Whether no router passes on what goes there.
fn stays_on_link(ip: Ipv6Addr) -> bool {
    ip.is_unicast_link_local() || ip.is_multicast() && ip.octets()[1] & 0x0f <= 2
}

/// RFC 6724 section 2.1, of addresses in use today.
fn label(ip: Ipv6Addr) -> u8 {
    match ip.segments() {
        [0x2002, ..] => 2,
        [0x2001, 0, ..] => 5,
        [first, ..] if first >> 9 == 0xfc >> 1 => 13,
        _ => 1,
    }
}
