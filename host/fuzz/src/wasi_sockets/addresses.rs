//! The addresses that sockets are given, and what the WIT says of each.

use nexus_types::SocketAddr;
use wasmtime_wasi::p2::bindings::sockets::network::ErrorCode;

use super::world::Side;

/// Good and bad ones, of both sides, of nobody, and of other kinds.
const ALL: [&str; 28] = [
    "0.0.0.0:0",
    "0.0.0.0:80",
    "0.0.0.0:81",
    "10.0.0.1:0",
    "10.0.0.1:80",
    "10.0.0.1:81",
    "10.0.0.2:80",
    "10.0.0.2:81",
    "10.0.0.2:0",
    "127.0.0.1:80",
    "127.0.0.1:81",
    "127.0.0.1:0",
    "[::]:0",
    "[::]:80",
    "[fd00::1]:80",
    "[fd00::2]:80",
    "[fd00::1]:0",
    "[::1]:80",
    "[::1]:0",
    "0.0.0.0:82",
    "10.0.0.9:80",
    "[fd00::9]:80",
    "[::ffff:10.0.0.2]:80",
    "224.0.0.1:80",
    "255.255.255.255:80",
    "10.0.0.255:80",
    "[ff02::1]:80",
    "10.0.0.2:83",
];

pub(super) fn pick(choice: u8) -> SocketAddr {
    let text = ALL[usize::from(choice) % ALL.len()];
    text.parse().expect("an address")
}

/// Why an address can be no far end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// Whatever the network is.
    Invalid,
    /// It is all stations of this network.
    Broadcast,
}

fn is_mapped(address: SocketAddr) -> bool {
    matches!(address, SocketAddr::V6(v6) if v6.ip().to_ipv4_mapped().is_some())
}

fn is_many(address: SocketAddr) -> bool {
    address.ip().is_multicast() || matches!(address, SocketAddr::V4(v4) if v4.ip().is_broadcast())
}

/// What `bind` says of an address, if anything.
pub(super) fn local_fault(side: Side, v6: bool, local: SocketAddr) -> Option<ErrorCode> {
    if local.is_ipv6() != v6 || is_mapped(local) || is_many(local) {
        return Some(ErrorCode::InvalidArgument);
    }
    let ip = local.ip();
    let own = ip.is_unspecified() || ip.is_loopback() || side.addresses().contains(&ip);
    (!own).then_some(ErrorCode::AddressNotBindable)
}

/// What `connect`, or with `one` false a datagram, says of an address.
pub(super) fn remote_fault(v6: bool, remote: SocketAddr, one: bool) -> Option<Fault> {
    let invalid = remote.is_ipv6() != v6
        || is_mapped(remote)
        || remote.ip().is_unspecified()
        || remote.port() == 0;
    if invalid || (one && is_many(remote)) {
        return Some(Fault::Invalid);
    }
    let all = matches!(remote, SocketAddr::V4(v4) if v4.ip().octets() == [10, 0, 0, 255]);
    all.then_some(Fault::Broadcast)
}

/// Whose an address is, seen from `side`.
pub(super) fn owner(side: Side, address: SocketAddr) -> Option<Side> {
    if address.ip().is_loopback() {
        return Some(side);
    }
    [Side(0), Side(1)]
        .into_iter()
        .find(|side| side.addresses().contains(&address.ip()))
}

/// Whether one packet could be for both.
pub(super) fn overlap(a: SocketAddr, b: SocketAddr) -> bool {
    let (one, other) = (a.ip(), b.ip());
    let same = one == other || one.is_unspecified() || other.is_unspecified();
    a.is_ipv4() == b.is_ipv4() && a.port() == b.port() && same
}
