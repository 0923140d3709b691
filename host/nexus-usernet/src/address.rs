//! The link's addresses, and what a destination that the node dials stands for.
//!
//! The link carries its own small networks, so that no address of a real network hides behind it:
//! - IPv4: `192.0.0.0/29`, reserved by RFC 7335 for the inside of one host. No LAN uses it.
//! - IPv6: the unique local prefix `fd6e:6578:7573::/64` (RFC 4193; its global id is "nexus").
//!
//! [`destination`] is the second fence behind policy: the kernel is never asked to connect to an
//! address that means this host, in any spelling, except through the host address itself.

use nexus_types::{HostName, InterfaceAddress, IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The name that resolves to [`Addresses::host`].
pub const HOST_NAME: &str = "host.internal";

/// The port a resolver listens on, RFC 1035 section 4.2.
pub(crate) const DNS_PORT: u16 = 53;

/// The addresses on the link between a node and its gateway. There is one set of them: [`ADDRESSES`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Addresses {
    /// `host.internal`: what is sent here reaches the host's own loopback. Also the node's gateway.
    pub host: (Ipv4Addr, Ipv6Addr),
    /// The node.
    pub node: (Ipv4Addr, Ipv6Addr),
    /// Port 53 here is answered by the system's resolvers. For the node's resolver, never for an app.
    pub dns: (Ipv4Addr, Ipv6Addr),
    /// Where the clients of published ports seem to come from. Nothing listens here.
    pub clients: (Ipv4Addr, Ipv6Addr),
    /// The prefix lengths of the link's networks.
    pub prefix: (u8, u8),
}

/// The addresses every `user` NIC uses. Each node has a link of its own, so they never meet.
pub const ADDRESSES: Addresses = Addresses {
    host: (Ipv4Addr::new(192, 0, 0, 1), ula(1)),
    node: (Ipv4Addr::new(192, 0, 0, 2), ula(2)),
    dns: (Ipv4Addr::new(192, 0, 0, 3), ula(3)),
    clients: (Ipv4Addr::new(192, 0, 0, 4), ula(4)),
    prefix: (29, 64),
};

const fn ula(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd6e, 0x6578, 0x7573, 0, 0, 0, 0, last)
}

impl Addresses {
    /// What the node's interface is configured with.
    pub fn node_interface(&self) -> Vec<InterfaceAddress> {
        self.interface(self.node)
    }

    /// The server the node's resolver asks. One is enough: it stands for all the system has.
    pub fn resolvers(&self) -> Vec<SocketAddr> {
        vec![SocketAddr::new(self.dns.0.into(), DNS_PORT)]
    }

    /// The entries of the node's resolver that need no server: `host.internal`.
    pub fn hosts(&self) -> Vec<(HostName, Vec<IpAddr>)> {
        let addresses = vec![self.host.0.into(), self.host.1.into()];
        HostName::parse(HOST_NAME)
            .map(|name| (name, addresses))
            .into_iter()
            .collect()
    }

    /// The gateway's own: it dials from the clients' address. All others it answers for as well.
    pub(crate) fn gateway_interface(&self) -> Vec<InterfaceAddress> {
        let mut all = self.interface(self.host);
        all.extend(self.interface(self.clients));
        all
    }

    fn interface(&self, (v4, v6): (Ipv4Addr, Ipv6Addr)) -> Vec<InterfaceAddress> {
        [
            InterfaceAddress::new(v4.into(), self.prefix.0),
            InterfaceAddress::new(v6.into(), self.prefix.1),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    /// Whether `address` is on the link itself.
    pub fn is_link(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX << (32 - self.prefix.0);
                v4.to_bits() & mask == self.host.0.to_bits() & mask
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX << (128 - self.prefix.1);
                v6.to_bits() & mask == self.host.1.to_bits() & mask
            }
        }
    }
}

/// What a destination stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Destination {
    /// The host's own loopback, at this kernel address.
    Host(SocketAddr),
    /// The system's resolvers.
    Dns,
    /// A client of a published port.
    Client,
    /// An address outside, to be dialled as it is.
    Outside(SocketAddr),
    /// Nothing that may be dialled from here.
    Forbidden,
}

pub(crate) fn destination(to: SocketAddr) -> Destination {
    let addresses = &ADDRESSES;
    let (host, loopback, dns, client): (_, IpAddr, _, _) = match to.ip() {
        IpAddr::V4(v4) => (
            v4 == addresses.host.0,
            Ipv4Addr::LOCALHOST.into(),
            v4 == addresses.dns.0,
            v4 == addresses.clients.0,
        ),
        IpAddr::V6(v6) => (
            v6 == addresses.host.1,
            Ipv6Addr::LOCALHOST.into(),
            v6 == addresses.dns.1,
            v6 == addresses.clients.1,
        ),
    };
    if to.port() == 0 {
        Destination::Forbidden
    } else if host {
        Destination::Host(SocketAddr::new(loopback, to.port()))
    } else if dns && to.port() == DNS_PORT {
        Destination::Dns
    } else if client {
        Destination::Client
    } else if is_forbidden(to.ip()) {
        Destination::Forbidden
    } else {
        Destination::Outside(to)
    }
}

/// Whether the kernel would take `address` for the host itself, for a group, or for nobody.
///
/// The host's addresses on its own networks are not known here; see [`crate::own`].
pub(crate) fn is_forbidden(address: IpAddr) -> bool {
    if ADDRESSES.is_link(address) {
        return true;
    }
    match address {
        IpAddr::V4(v4) => is_forbidden_v4(v4),
        IpAddr::V6(v6) => {
            let segments = v6.segments();
            // `::`, `::1`, IPv4-compatible (RFC 4291 section 2.5.5.1) and IPv4-mapped (2.5.5.2, and
            // SIIT's `::ffff:0:a.b.c.d`): the kernel dials IPv4 behind a mapped one, and none is ever on a wire.
            let low = segments[..4] == [0; 4];
            // fe80::/10 needs an interface, which the node cannot name.
            let link_local = segments[0] & 0xffc0 == 0xfe80;
            low || v6.is_multicast()
                || link_local
                || embedded_v4(v6)
                    .is_some_and(|v4| is_forbidden_v4(v4) || ADDRESSES.is_link(IpAddr::V4(v4)))
        }
    }
}

fn is_forbidden_v4(v4: Ipv4Addr) -> bool {
    let [first, ..] = v4.octets();
    // 0/8 is "this network" (RFC 1122 section 3.2.1.3); Linux takes 0.0.0.0 for 127.0.0.1.
    first == 0 || v4.is_loopback() || v4.is_multicast() || v4.is_broadcast()
}

/// The IPv4 address a translator or tunnel on the way would unpack: NAT64 (RFC 6052 section 2.1),
/// 6to4 (RFC 3056 section 2), Teredo's client (RFC 4380 section 4).
fn embedded_v4(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let v4 = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match v6.segments() {
        [0x64, 0xff9b, 0 | 1, .., high, low] => Some(v4(high, low)),
        [0x2002, high, low, ..] => Some(v4(high, low)),
        [0x2001, 0, .., high, low] => Some(v4(!high, !low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(text: &str) -> Destination {
        destination(text.parse().unwrap())
    }

    #[test]
    fn the_host_is_one_address_of_each_family() {
        assert_eq!(
            to("192.0.0.1:8000"),
            Destination::Host("127.0.0.1:8000".parse().unwrap())
        );
        assert_eq!(
            to("[fd6e:6578:7573::1]:8000"),
            Destination::Host("[::1]:8000".parse().unwrap())
        );
    }

    #[test]
    fn dns_is_port_53_of_its_address() {
        assert_eq!(to("192.0.0.3:53"), Destination::Dns);
        assert_eq!(to("[fd6e:6578:7573::3]:53"), Destination::Dns);
        assert_eq!(to("192.0.0.3:54"), Destination::Forbidden);
    }

    #[test]
    fn reject_every_spelling_of_this_host_and_of_nobody() {
        for text in [
            "127.0.0.1:80",
            "127.255.255.254:80",
            "0.0.0.0:80",
            "0.1.2.3:80",
            "224.0.0.251:5353",
            "239.255.255.255:1",
            "255.255.255.255:67",
            "192.0.0.0:80",
            "192.0.0.2:80",
            "192.0.0.5:80",
            "192.0.0.7:80",
            "192.0.2.1:0",
            "[::]:80",
            "[::1]:80",
            "[::ffff:127.0.0.1]:80",
            "[::ffff:192.0.2.1]:80",
            "[::ffff:0:127.0.0.1]:80",
            "[::127.0.0.1]:80",
            "[64:ff9b::127.0.0.1]:80",
            "[64:ff9b::0.0.0.0]:80",
            "[64:ff9b::192.0.0.1]:80",
            "[64:ff9b:1::127.0.0.1]:80",
            "[2002:7f00:1::]:80",
            "[2001:0:1234::80ff:fffe]:80",
            "[ff02::fb]:5353",
            "[fe80::1]:80",
            "[fd6e:6578:7573::2]:80",
            "[fd6e:6578:7573::ffff]:80",
        ] {
            assert_eq!(to(text), Destination::Forbidden, "{text}");
        }
    }

    #[test]
    fn what_is_outside_is_dialled_as_it_is() {
        for text in [
            "192.0.0.8:80",
            "10.0.0.1:80",
            "1.1.1.1:443",
            "[2001:db8::1]:80",
            "[64:ff9b::1.1.1.1]:443",
            "[fd6e:6578:7573:1::1]:80",
        ] {
            assert_eq!(to(text), Destination::Outside(text.parse().unwrap()));
        }
    }

    #[test]
    fn the_node_gets_a_name_for_the_host() {
        let hosts = ADDRESSES.hosts();
        assert_eq!(hosts.len(), 1);
        assert_eq!(hosts[0].0.as_str(), HOST_NAME);
        assert!(hosts[0].1.iter().all(|a| ADDRESSES.is_link(*a)));
        assert_eq!(ADDRESSES.node_interface().len(), 2);
    }
}
