//! What identifies a connection or a bound port in the tables.

use nexus_types::{IpAddr, SocketAddr, Transport};

use crate::flow_map::MapKey;
use crate::id::Scope;

/// Where a packet travels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Path {
    /// Over the wire.
    Wire,
    /// Within one scope; it never leaves it.
    Loop(Scope),
}

impl Path {
    fn word(self) -> u64 {
        match self {
            Self::Wire => 0,
            // `Scope` says that its last number is none.
            Self::Loop(scope) => u64::from(scope.0.saturating_add(1)),
        }
    }
}

/// A connection: path, local and remote address and port, packed. Forty bytes, so that a slot
/// of the table is one cache line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct FlowKey([u64; 5]);

impl FlowKey {
    #[inline]
    pub(crate) fn new(path: Path, local: SocketAddr, remote: SocketAddr) -> Self {
        let [local_high, local_low] = halves(local.ip());
        let [remote_high, remote_low] = halves(remote.ip());
        let ports = u64::from(local.port()) << 16 | u64::from(remote.port());
        Self([
            local_high,
            local_low,
            remote_high,
            remote_low,
            path.word() << 32 | ports,
        ])
    }
}

impl MapKey for FlowKey {
    #[inline]
    fn words(&self) -> [u64; 5] {
        self.0
    }
}

/// A bound address and port, as a packet finds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BoundKey([u64; 5]);

impl BoundKey {
    pub(crate) fn new(transport: Transport, path: Path, local: SocketAddr) -> Self {
        let [high, low] = halves(local.ip());
        let transport = match transport {
            Transport::Tcp => 0,
            Transport::Udp => 1,
        };
        Self([high, low, u64::from(local.port()), path.word(), transport])
    }
}

impl MapKey for BoundKey {
    fn words(&self) -> [u64; 5] {
        self.0
    }
}

/// IPv4 addresses in their mapped form: no packet carries that form itself (it is dropped).
#[inline]
fn halves(ip: IpAddr) -> [u64; 2] {
    match ip {
        IpAddr::V4(v4) => [0, 0xffff_0000_0000 | u64::from(v4.to_bits())],
        IpAddr::V6(v6) => {
            let bits = v6.to_bits();
            [(bits >> 64) as u64, bits as u64]
        }
    }
}

/// An address and port without the flow label and zone that `SocketAddrV6` also compares.
pub(crate) fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_tells_keys_apart() {
        let a: SocketAddr = "192.0.2.1:1".parse().expect("an address");
        let b: SocketAddr = "192.0.2.1:2".parse().expect("an address");
        let c: SocketAddr = "[::ffff:192.0.2.1]:1".parse().expect("an address");
        let key = |path, local, remote| FlowKey::new(path, local, remote);
        assert_ne!(key(Path::Wire, a, b), key(Path::Wire, b, a));
        assert_ne!(key(Path::Wire, a, b), key(Path::Loop(Scope(0)), a, b));
        assert_ne!(
            key(Path::Loop(Scope(1)), a, b),
            key(Path::Loop(Scope(0)), a, b)
        );
        // The reason why packets with mapped addresses are dropped.
        assert_eq!(key(Path::Wire, a, a), key(Path::Wire, c, c));
    }
}
