//! What the model knows of addresses: the registries once more, from the RFCs, as one list in which the
//! longest prefix counts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A class by its word.
pub(super) type Class = &'static str;

/// The IANA special-purpose registry (RFC 6890 and its updates), multicast, the metadata services as
/// clouds publish them.
const V4: &[([u8; 4], u32, Class)] = &[
    ([0, 0, 0, 0], 0, "public"),
    ([0, 0, 0, 0], 8, "reserved"),
    ([0, 0, 0, 0], 32, "unspecified"),
    ([10, 0, 0, 0], 8, "lan"),
    ([100, 64, 0, 0], 10, "lan"),
    ([100, 100, 100, 200], 32, "metadata"),
    ([127, 0, 0, 0], 8, "loopback"),
    ([168, 63, 129, 16], 32, "metadata"),
    ([169, 254, 0, 0], 16, "link-local"),
    ([169, 254, 0, 23], 32, "metadata"),
    ([169, 254, 10, 10], 32, "metadata"),
    ([169, 254, 42, 42], 32, "metadata"),
    ([169, 254, 169, 254], 32, "metadata"),
    ([169, 254, 170, 2], 32, "metadata"),
    ([169, 254, 170, 23], 32, "metadata"),
    ([172, 16, 0, 0], 12, "lan"),
    ([192, 0, 0, 0], 24, "reserved"),
    ([192, 0, 0, 192], 32, "metadata"),
    ([192, 0, 2, 0], 24, "reserved"),
    ([192, 88, 99, 0], 24, "reserved"),
    ([192, 168, 0, 0], 16, "lan"),
    ([198, 18, 0, 0], 15, "reserved"),
    ([198, 51, 100, 0], 24, "reserved"),
    ([203, 0, 113, 0], 24, "reserved"),
    ([224, 0, 0, 0], 4, "multicast"),
    ([240, 0, 0, 0], 4, "reserved"),
];

const V6: &[([u16; 8], u32, Class)] = &[
    ([0, 0, 0, 0, 0, 0, 0, 0], 0, "reserved"),
    ([0, 0, 0, 0, 0, 0, 0, 0], 128, "unspecified"),
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, "loopback"),
    ([0x2000, 0, 0, 0, 0, 0, 0, 0], 3, "public"),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, "reserved"),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, "reserved"),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, "reserved"),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, "lan"),
    ([0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42], 128, "metadata"),
    ([0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe], 128, "metadata"),
    ([0xfd00, 0x100, 0, 0, 0, 0, 0x100, 0x200], 128, "metadata"),
    ([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23], 128, "metadata"),
    ([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128, "metadata"),
    ([0xfd00, 0xa9fe, 0xa9fe, 0, 0, 0, 0, 1], 128, "metadata"),
    ([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128, "metadata"),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, "link-local"),
    ([0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe], 128, "metadata"),
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10, "lan"),
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, "multicast"),
];

const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

const fn v6(a: u16, b: u16, c: u16, h: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(a, b, c, 0, 0, 0, 0, h))
}

/// At least one of each class and of each place of the network of [`super::topology`].
pub(super) const KNOWN: [IpAddr; 24] = [
    v4(93, 184, 216, 34),
    v4(8, 8, 8, 8),
    v6(0x2606, 0x4700, 0, 0x1111),
    v4(10, 1, 2, 3),
    v4(192, 168, 1, 1),
    v6(0xfd12, 0, 0, 1),
    v4(169, 254, 1, 1),
    v6(0xfe80, 0, 0, 1),
    v4(169, 254, 169, 254),
    v6(0xfd00, 0xec2, 0, 0x254),
    v4(127, 0, 0, 1),
    v6(0, 0, 0, 1),
    v4(10, 0, 2, 15),
    v6(0xfd00, 2, 0, 0x15),
    v4(10, 0, 2, 2),
    v6(0xfd00, 2, 0, 2),
    v4(10, 0, 2, 3),
    v4(10, 0, 2, 4),
    v4(10, 0, 2, 255),
    v4(224, 0, 0, 251),
    v6(0xff02, 0, 0, 0xfb),
    v4(0, 0, 0, 0),
    v4(255, 255, 255, 255),
    v4(198, 18, 0, 1),
];

/// An IPv4 address inside an IPv6 one.
pub(super) fn wrap(how: u8, v4: Ipv4Addr) -> IpAddr {
    let [a, b, c, d] = v4.octets();
    let pair = |one, other| u16::from_be_bytes([one, other]);
    let (high, low) = (pair(a, b), pair(c, d));
    IpAddr::V6(match how % 5 {
        0 => Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, high, low),
        1 => Ipv6Addr::new(0, 0, 0, 0, 0, 0, high, low),
        2 => Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
        3 => Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
        _ => Ipv6Addr::new(0x2001, 0, 0x4136, 0xe378, 0x8000, 0x63bf, !high, !low),
    })
}

/// The address inside an address, and whether packets go there.
pub(super) fn inside(address: IpAddr) -> (IpAddr, bool) {
    let IpAddr::V6(v6) = address else {
        return (address, true);
    };
    let [o @ ..] = v6.octets();
    let v4 = |at: usize| IpAddr::V4(Ipv4Addr::new(o[at], o[at + 1], o[at + 2], o[at + 3]));
    if o[..10] == [0; 10] && o[10..12] == [0xff; 2] {
        (v4(12), true)
    } else if o[..12] == [0; 12] && !v6.is_unspecified() && !v6.is_loopback() {
        (v4(12), false)
    } else if o[..12] == [0, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0] {
        (v4(12), false)
    } else if o[..2] == [0x20, 2] {
        (v4(2), false)
    } else if o[..4] == [0x20, 1, 0, 0] {
        let flipped = Ipv4Addr::new(!o[12], !o[13], !o[14], !o[15]);
        (IpAddr::V4(flipped), false)
    } else {
        (address, true)
    }
}

/// First and last address of a network, as numbers.
pub(super) fn ends(base: u128, prefix: u32, bits: u32) -> (u128, u128) {
    let mut last = base;
    for bit in 0..bits - prefix {
        last |= 1 << bit;
    }
    (base, last)
}

pub(super) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

/// What an address is everywhere.
pub(super) fn registered(address: IpAddr) -> Class {
    blocks(address.is_ipv4())
        .filter(|(first, last, _, _)| (*first..=*last).contains(&number(address)))
        .max_by_key(|(_, _, prefix, _)| *prefix)
        .map(|(_, _, _, class)| class)
        .expect("the first block of each family has all of it")
}

fn blocks(is_v4: bool) -> impl Iterator<Item = (u128, u128, u32, Class)> {
    let fours = V4
        .iter()
        .filter(move |_| is_v4)
        .map(|(base, prefix, class)| {
            let (first, last) = ends(number(IpAddr::from(*base)), *prefix, 32);
            (first, last, *prefix, *class)
        });
    let sixes = V6
        .iter()
        .filter(move |_| !is_v4)
        .map(|(base, prefix, class)| {
            let (first, last) = ends(number(IpAddr::from(*base)), *prefix, 128);
            (first, last, *prefix, *class)
        });
    fours.chain(sixes)
}

/// What an address is in the network of [`super::topology`], and what a learnt name server's is.
pub(super) fn class(address: IpAddr) -> Class {
    let here = |address: IpAddr| {
        let is = |text: &str| text.parse() == Ok(address);
        if is("10.0.2.2") || is("fd00:2::2") {
            Some("host")
        } else if is("10.0.2.3") || is("10.0.2.4") {
            Some("infrastructure")
        } else if is("10.0.2.15") || is("fd00:2::15") {
            Some("loopback")
        } else if is("10.0.2.255") {
            Some("reserved")
        } else {
            None
        }
    };
    let (inner, _) = inside(address);
    here(address)
        .or(here(inner))
        .unwrap_or_else(|| registered(inner))
}

/// The class that a network means when it allows: what it lies in, if that is of one class (but for the
/// metadata services in it); the internet otherwise.
pub(super) fn meant(first: u128, last: u128, is_v4: bool) -> Class {
    blocks(is_v4)
        .filter(|(_, _, _, class)| {
            matches!(*class, "lan" | "link-local" | "loopback" | "multicast")
        })
        .find(|(from, to, _, _)| *from <= first && last <= *to)
        .map_or("public", |(_, _, _, class)| class)
}
