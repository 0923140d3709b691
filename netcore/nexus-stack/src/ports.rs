//! Which addresses and ports are taken, per transport.
//!
//! The wire is shared by all scopes; each scope has a loopback of its own. IPv6 sockets are IPv6
//! only: `[::]:80` and `0.0.0.0:80` are two different places.

use std::collections::BTreeMap;

use nexus_types::{IpAddr, SocketAddr, Transport};

use crate::flow_map::{MapKey as _, siphash};
use crate::id::Scope;
use crate::key::FlowKey;

/// The ports we choose from where nobody names one (RFC 6335 section 6).
pub(crate) const EPHEMERAL: core::ops::RangeInclusive<u16> = 49_152..=65_535;

const EPHEMERAL_COUNT: u32 = *EPHEMERAL.end() as u32 - *EPHEMERAL.start() as u32 + 1;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    /// By whether it is UDP, and port.
    taken: BTreeMap<(bool, u16), Vec<Binding>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Binding {
    address: IpAddr,
    scope: Scope,
}

impl Binding {
    /// Whether some packet could be for both.
    fn overlaps(self, other: Self) -> bool {
        let (a, b) = (self.address, other.address);
        if a.is_ipv4() != b.is_ipv4() {
            return false;
        }
        let same = a == b || a.is_unspecified() || b.is_unspecified();
        match (a.is_loopback(), b.is_loopback()) {
            (false, false) => same,
            _ => same && self.scope == other.scope,
        }
    }
}

impl Ports {
    pub(crate) fn is_taken(&self, transport: Transport, local: SocketAddr, scope: Scope) -> bool {
        let wanted = Binding {
            address: local.ip(),
            scope,
        };
        self.taken
            .get(&(transport == Transport::Udp, local.port()))
            .is_some_and(|bindings| bindings.iter().any(|taken| taken.overlaps(wanted)))
    }

    pub(crate) fn take(&mut self, transport: Transport, local: SocketAddr, scope: Scope) {
        self.taken
            .entry((transport == Transport::Udp, local.port()))
            .or_default()
            .push(Binding {
                address: local.ip(),
                scope,
            });
    }

    pub(crate) fn release(&mut self, transport: Transport, local: SocketAddr, scope: Scope) {
        let place = (transport == Transport::Udp, local.port());
        let Some(bindings) = self.taken.get_mut(&place) else {
            return;
        };
        let released = Binding {
            address: local.ip(),
            scope,
        };
        if let Some(at) = bindings.iter().position(|binding| *binding == released) {
            bindings.swap_remove(at);
        }
        if bindings.is_empty() {
            self.taken.remove(&place);
        }
    }
}

/// The order in which connections to one destination take the ephemeral ports: each once before any twice,
/// and nobody without the key knows the next.
///
/// A port used a moment ago may be in TIME-WAIT at the far end, and random ones meet such a one after some 160
/// connections. RFC 6056 section 3.3.4 counts on from a secret offset for each destination; here the count is
/// enciphered as well, so that the destination itself cannot tell the next port nor how often it was counted.
#[derive(Debug)]
pub(crate) struct Turns {
    key: (u64, u64),
    /// How many ports were tried. Destinations share one where they fall together, which brings the others
    /// back to a port sooner, and is no more than that.
    counts: [u16; Turns::COUNTS],
}

impl Turns {
    const COUNTS: usize = 256;
    /// Bits of half a number of a port: there are 2^14 of them.
    const HALF: u32 = 7;
    const ROUNDS: u64 = 4;

    pub(crate) fn new(key: (u64, u64)) -> Self {
        Self {
            key,
            counts: [0; Self::COUNTS],
        }
    }

    /// The next port to try towards who `destination` names: a connection without its local port.
    pub(crate) fn next(&mut self, destination: &FlowKey) -> u16 {
        let secret = siphash(self.key.0, self.key.1, &destination.words());
        let count = &mut self.counts[secret as usize % Self::COUNTS];
        *count = count.wrapping_add(1);
        let number = *count % EPHEMERAL_COUNT as u16;
        *EPHEMERAL.start() + self.encipher(secret, number)
    }

    /// A Feistel network: whatever its rounds compute, no two numbers become one (Luby, Rackoff: "How to
    /// Construct Pseudorandom Permutations from Pseudorandom Functions").
    fn encipher(&self, secret: u64, number: u16) -> u16 {
        const MASK: u16 = (1 << Turns::HALF) - 1;
        let (mut left, mut right) = (number >> Self::HALF, number & MASK);
        for round in 0..Self::ROUNDS {
            let mixed = siphash(self.key.1, secret, &[round, right.into(), 0, 0, 0]) as u16;
            (left, right) = (right, left ^ mixed & MASK);
        }
        left << Self::HALF | right
    }
}

const _: () = assert!(
    EPHEMERAL_COUNT == 1 << (2 * Turns::HALF),
    "the cipher has as many numbers as there are ports"
);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    /// Every pair of kinds of address, in one scope and in two: what overlaps, and what does not.
    #[test]
    fn what_overlaps() {
        let places = [
            "0.0.0.0:80",
            "127.0.0.1:80",
            "127.0.0.2:80",
            "192.0.2.1:80",
            "[::]:80",
            "[::1]:80",
        ];
        let overlaps = |a: &str, b: &str, other_scope: bool| {
            let mut ports = Ports::default();
            ports.take(Transport::Tcp, at(a), Scope(1));
            ports.is_taken(
                Transport::Tcp,
                at(b),
                Scope(if other_scope { 2 } else { 1 }),
            )
        };
        for a in places {
            for b in places {
                assert_eq!(overlaps(a, b, false), overlaps(b, a, false), "{a} {b}");
                let family = a.starts_with('[') == b.starts_with('[');
                let any = |text: &str| text.starts_with("0.") || text.starts_with("[::]");
                let looped = |text: &str| text.starts_with("127") || text.starts_with("[::1]");
                let same = family && (a == b || any(a) || any(b));
                assert_eq!(overlaps(a, b, false), same, "{a} {b}");
                assert_eq!(
                    overlaps(a, b, true),
                    same && !looped(a) && !looped(b),
                    "{a} {b}"
                );
            }
        }
    }

    #[test]
    fn transports_and_ports_are_apart_and_a_release_frees() {
        let mut ports = Ports::default();
        ports.take(Transport::Tcp, at("0.0.0.0:80"), Scope(1));
        assert!(!ports.is_taken(Transport::Udp, at("0.0.0.0:80"), Scope(1)));
        assert!(!ports.is_taken(Transport::Tcp, at("0.0.0.0:81"), Scope(1)));
        ports.release(Transport::Tcp, at("0.0.0.0:80"), Scope(2));
        assert!(ports.is_taken(Transport::Tcp, at("0.0.0.0:80"), Scope(1)));
        ports.release(Transport::Tcp, at("0.0.0.0:80"), Scope(1));
        assert!(!ports.is_taken(Transport::Tcp, at("0.0.0.0:80"), Scope(1)));
        assert!(ports.taken.is_empty());
    }
}
