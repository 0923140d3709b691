//! What an address *is*: one canonical form for every spelling, and the class it belongs to.
//!
//! A rule is judged on the canonical form, so that `::ffff:127.0.0.1`, `64:ff9b::7f00:1`,
//! `2002:7f00:1::` and `::127.0.0.1` are all 127.0.0.1. The standard library's predicates miss
//! the last three; the table here is our own. Sources at each line.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::ops::RangeInclusive;

use nexus_types::{InterfaceAddress, Port, Transport};
use serde::Serialize;

/// The kinds of addresses a rule can tell apart. `Public` never implies another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
#[repr(u8)]
pub enum AddressClass {
    /// The internet.
    Public,
    /// Private networks: RFC 1918, RFC 6598 (carrier NAT), RFC 4193 (unique local), site-local.
    Lan,
    /// Only this link: RFC 3927, RFC 4291 section 2.5.6.
    LinkLocal,
    /// The app's own loopback, and the node's own addresses.
    Loopback,
    /// RFC 5771, RFC 4291 section 2.7.
    Multicast,
    /// A cloud's instance metadata service: whoever reaches it can have the machine's credentials.
    Metadata,
    /// The machine the host runs on, as the node's network shows it. Its name is `host.internal`.
    Host,
    /// The node's own gateway, resolver and the like. No rule can name it.
    Infrastructure,
    /// `0.0.0.0` and `::`. No rule can name it.
    Unspecified,
    /// Documentation, benchmarking, broadcast, future use. No rule can name it.
    Reserved,
}

impl AddressClass {
    /// How many there are.
    pub(crate) const COUNT: usize = 10;

    /// All of them, those no rule can name last.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Public,
        Self::Lan,
        Self::LinkLocal,
        Self::Loopback,
        Self::Multicast,
        Self::Metadata,
        Self::Host,
        Self::Infrastructure,
        Self::Unspecified,
        Self::Reserved,
    ];

    /// The classes a rule can name.
    pub const NAMEABLE: [Self; 7] = [
        Self::Public,
        Self::Lan,
        Self::LinkLocal,
        Self::Loopback,
        Self::Multicast,
        Self::Metadata,
        Self::Host,
    ];

    /// The word used in rules, reports and texts.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Lan => "lan",
            Self::LinkLocal => "link-local",
            Self::Loopback => "loopback",
            Self::Multicast => "multicast",
            Self::Metadata => "metadata",
            Self::Host => "host",
            Self::Infrastructure => "infrastructure",
            Self::Unspecified => "unspecified",
            Self::Reserved => "reserved",
        }
    }

    /// Whether a rule can ever name it.
    pub const fn is_nameable(self) -> bool {
        !matches!(
            self,
            Self::Infrastructure | Self::Unspecified | Self::Reserved
        )
    }

    /// The class of that word.
    pub fn parse(text: &str) -> Option<Self> {
        Self::NAMEABLE
            .into_iter()
            .find(|class| class.as_str() == text)
    }
}

impl fmt::Display for AddressClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An IPv6 form that carries an IPv4 address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wrapping {
    /// `::ffff:a.b.c.d`, RFC 4291 section 2.5.5.2: the same packet as the IPv4 address.
    Mapped,
    /// `::a.b.c.d`, RFC 4291 section 2.5.5.1, deprecated.
    Compatible,
    /// `64:ff9b::a.b.c.d`, RFC 6052.
    Nat64,
    /// `2002:aabb:ccdd::`, RFC 3056.
    SixToFour,
    /// `2001:0:…`, RFC 4380: the client's address, inverted, in the last 32 bits.
    Teredo,
}

/// An address as rules see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Canonical {
    /// What is judged.
    pub address: IpAddr,
    /// What it was unwrapped from, if it was.
    pub wrapping: Option<Wrapping>,
}

impl Canonical {
    /// Whether the packets go where `address` says. An address wrapped for a translator or a
    /// tunnel reaches whatever the far end of it makes of the number inside.
    pub fn is_direct(self) -> bool {
        matches!(self.wrapping, None | Some(Wrapping::Mapped))
    }
}

/// Unwraps `address`, once: what is inside is IPv4 and wraps nothing.
pub fn canonical(address: IpAddr) -> Canonical {
    let IpAddr::V6(v6) = address else {
        return Canonical {
            address,
            wrapping: None,
        };
    };
    let bits = u128::from(v6);
    let low = |shift: u32| Ipv4Addr::from((bits >> shift) as u32);
    let (inside, wrapping) = match v6.segments() {
        // `::` and `::1` are themselves; the rest of ::/96 is a v4-compatible address.
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => {
            return Canonical {
                address,
                wrapping: None,
            };
        }
        [0, 0, 0, 0, 0, 0xffff, _, _] => (low(0), Wrapping::Mapped),
        [0, 0, 0, 0, 0, 0, _, _] => (low(0), Wrapping::Compatible),
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => (low(0), Wrapping::Nat64),
        [0x2002, ..] => (low(80), Wrapping::SixToFour),
        [0x2001, 0, ..] => (Ipv4Addr::from(!(bits as u32)), Wrapping::Teredo),
        _ => {
            return Canonical {
                address,
                wrapping: None,
            };
        }
    };
    Canonical {
        address: IpAddr::V4(inside),
        wrapping: Some(wrapping),
    }
}

/// The class of a canonical address by the registries alone, without a topology.
pub fn class_of(address: IpAddr) -> AddressClass {
    match address {
        IpAddr::V4(v4) => class_of_v4(v4),
        IpAddr::V6(v6) => class_of_v6(v6),
    }
}

/// Metadata services by their published addresses: AWS, GCP, Azure, OpenStack and most others
/// (169.254.169.254), AWS ECS tasks (169.254.170.2, .23), Azure's wire server (168.63.129.16),
/// Alibaba (100.100.100.200), Oracle's second (192.0.0.192), Scaleway (169.254.42.42), Tencent (169.254.0.23,
/// 169.254.10.10); over IPv6 AWS (fd00:ec2::254, ::23), GCP (fd20:ce::254), Oracle (fd00:c1::a9fe:a9fe), Scaleway
/// (fd00:42::42), Alibaba (fd00:100::100:200), Akamai (fd00:a9fe:a9fe::1), OpenStack (fe80::a9fe:a9fe).
const METADATA_V4: [Ipv4Addr; 9] = [
    Ipv4Addr::new(169, 254, 169, 254),
    Ipv4Addr::new(169, 254, 170, 2),
    Ipv4Addr::new(169, 254, 170, 23),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(192, 0, 0, 192),
    Ipv4Addr::new(169, 254, 42, 42),
    Ipv4Addr::new(169, 254, 0, 23),
    Ipv4Addr::new(169, 254, 10, 10),
];
const METADATA_V6: [Ipv6Addr; 8] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xc1, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),
    Ipv6Addr::new(0xfd00, 0x100, 0, 0, 0, 0, 0x100, 0x200),
    Ipv6Addr::new(0xfd00, 0xa9fe, 0xa9fe, 0, 0, 0, 0, 1),
    Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe),
];

fn class_of_v4(v4: Ipv4Addr) -> AddressClass {
    use AddressClass as C;
    if METADATA_V4.contains(&v4) {
        return C::Metadata;
    }
    // The IANA special-purpose registry (RFC 6890 and its updates), in numeric order.
    match v4.octets() {
        [0, 0, 0, 0] => C::Unspecified,
        [0, ..] => C::Reserved,                   // "this network", RFC 791
        [10, ..] => C::Lan,                       // RFC 1918
        [100, b, ..] if b & 0xc0 == 64 => C::Lan, // 100.64/10, RFC 6598
        [127, ..] => C::Loopback,                 // RFC 1122
        [169, 254, ..] => C::LinkLocal,           // RFC 3927
        [172, b, ..] if b & 0xf0 == 16 => C::Lan, // 172.16/12, RFC 1918
        [192, 0, 0, _] => C::Reserved,            // RFC 6890
        [192, 0, 2, _] => C::Reserved,            // TEST-NET-1, RFC 5737
        [192, 88, 99, _] => C::Reserved,          // 6to4 relays, RFC 7526
        [192, 168, ..] => C::Lan,                 // RFC 1918
        [198, 18 | 19, ..] => C::Reserved,        // benchmarking, RFC 2544
        [198, 51, 100, _] => C::Reserved,         // TEST-NET-2
        [203, 0, 113, _] => C::Reserved,          // TEST-NET-3
        [224..=239, ..] => C::Multicast,          // RFC 5771
        [240..=255, ..] => C::Reserved,           // RFC 1112, broadcast included
        _ => C::Public,
    }
}

fn class_of_v6(v6: Ipv6Addr) -> AddressClass {
    use AddressClass as C;
    if METADATA_V6.contains(&v6) {
        return C::Metadata;
    }
    match v6.segments() {
        [0, 0, 0, 0, 0, 0, 0, 0] => C::Unspecified,
        [0, 0, 0, 0, 0, 0, 0, 1] => C::Loopback,
        [0x64, 0xff9b, 1, ..] => C::Reserved, // local NAT64, RFC 8215
        [0x100, 0, 0, 0, ..] => C::Reserved,  // discard, RFC 6666
        [0x2001, 0xdb8, ..] => C::Reserved,   // documentation, RFC 3849
        [0x2001, b, ..] if b & 0xfe00 == 0 => C::Reserved, // IETF protocols 2001::/23 (Teredo is unwrapped before)
        [0x3fff, b, ..] if b & 0xf000 == 0 => C::Reserved, // documentation, RFC 9637
        [0x5f00, ..] => C::Reserved,                       // segment routing, RFC 9602
        [a, ..] if a & 0xfe00 == 0xfc00 => C::Lan,         // unique local, RFC 4193
        [a, ..] if a & 0xffc0 == 0xfe80 => C::LinkLocal,   // RFC 4291
        [a, ..] if a & 0xffc0 == 0xfec0 => C::Lan,         // site-local, RFC 3879
        [a, ..] if a & 0xff00 == 0xff00 => C::Multicast,
        // Global unicast is 2000::/3 alone; the rest is not assigned.
        [a, ..] if a & 0xe000 == 0x2000 => C::Public,
        _ => C::Reserved,
    }
}

/// What the node's network looks like: which addresses mean something only here.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Topology {
    /// The node's own interface addresses: class `loopback` for its apps.
    pub own: Vec<InterfaceAddress>,
    /// The addresses that stand for the machine the host runs on (the user NIC's gateway, and
    /// where they are known the machine's own): class `host`.
    pub host: Vec<IpAddr>,
    /// Gateway, resolver and the like, which apps have no business with: class `infrastructure`.
    /// An address that is in `host` as well is `host`.
    pub infrastructure: Vec<IpAddr>,
    /// What the link told the node are its gateways, name servers and the like: class `infrastructure` as well, but
    /// only for what begins. What is open there goes on, or whoever is on the link ended what others began: it can
    /// name any address.
    pub learnt: Vec<IpAddr>,
    /// Ports of the node's own addresses, and of the machine, that belong to the host itself.
    pub host_owned_ports: Vec<(Transport, Port)>,
    /// Ports of the machine alone that do, as where it shows its numbers: an app may listen on the node's own.
    pub machine_ports: Vec<(Transport, Port)>,
}

impl Topology {
    /// The class of an address, in whatever form it is written. What it is here comes first: a router can
    /// give a node an address, or name a server, that carries another address inside (`2002:…`).
    pub fn classify(&self, address: IpAddr) -> AddressClass {
        self.classify_beside(&self.learnt, address)
    }

    /// The class of the far end of what is open: see [`Topology::learnt`].
    pub(crate) fn classify_open(&self, address: IpAddr) -> AddressClass {
        self.classify_beside(&[], address)
    }

    fn classify_beside(&self, learnt: &[IpAddr], address: IpAddr) -> AddressClass {
        let inside = canonical(address).address;
        self.class_here(learnt, address)
            .or_else(|| self.class_here(learnt, inside))
            .unwrap_or_else(|| class_of(inside))
    }

    /// Whether some address of `network` may be of `class`, in some spelling of it. Where it cannot tell, it says yes.
    pub(crate) fn may_hold(&self, network: Network, class: AddressClass) -> bool {
        if network.is_host() {
            let host = class == AddressClass::Host && self.host.is_empty();
            return host || self.classify(network.address()) == class;
        }
        let here = || {
            let named = self.host.iter().chain(&self.infrastructure).copied();
            named.chain(self.own.iter().map(|own| own.address()))
        };
        class_named_by(network) == class
            // Nobody may have said yet which addresses are the machine's.
            || (class == AddressClass::Host && self.host.is_empty())
            || network.wraps()
            || here().any(|address| network.contains(address) && self.classify(address) == class)
            || network.other_classes().any(|(_, found)| found == class)
    }

    /// What an address is on this network alone.
    fn class_here(&self, learnt: &[IpAddr], address: IpAddr) -> Option<AddressClass> {
        if self.host.contains(&address) {
            return Some(AddressClass::Host);
        }
        if self.infrastructure.contains(&address) || learnt.contains(&address) {
            return Some(AddressClass::Infrastructure);
        }
        self.own.iter().find_map(|own| {
            if own.address() == address {
                Some(AddressClass::Loopback)
            } else {
                is_directed_broadcast(*own, address).then_some(AddressClass::Reserved)
            }
        })
    }

    /// Whether the host keeps this port of the node for itself.
    pub(crate) fn owns_port(&self, transport: Transport, port: u16) -> bool {
        has_port(&self.host_owned_ports, transport, port)
    }

    /// Whether the host keeps this port of the machine for itself.
    pub(crate) fn owns_machine_port(&self, transport: Transport, port: u16) -> bool {
        self.owns_port(transport, port) || has_port(&self.machine_ports, transport, port)
    }
}

fn has_port(ports: &[(Transport, Port)], transport: Transport, port: u16) -> bool {
    ports
        .iter()
        .any(|(owned, number)| *owned == transport && number.number() == port)
}

/// The class of `address` in `topology`.
pub fn classify(topology: &Topology, address: IpAddr) -> AddressClass {
    topology.classify(address)
}

/// The last address of one of our IPv4 links, RFC 919. A /31 or /32 has none (RFC 3021).
fn is_directed_broadcast(own: InterfaceAddress, address: IpAddr) -> bool {
    match (own.address(), address) {
        (IpAddr::V4(ours), IpAddr::V4(theirs)) if own.prefix() <= 30 => {
            let host_bits = u32::MAX.checked_shr(u32::from(own.prefix())).unwrap_or(0);
            u32::from(theirs) == u32::from(ours) | host_bits
        }
        _ => false,
    }
}

/// An address as a number that keeps the families apart, for ordered tables: IPv4 in its own
/// half-open space above none of IPv6's (the family is a separate table everywhere it is used).
pub(crate) fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => u128::from(u32::from(v4)),
        IpAddr::V6(v6) => u128::from(v6),
    }
}

/// A network: an address with its host bits zero, and how many bits count.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// The network, if `prefix` fits and no host bit is set.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        (Self::containing(address, prefix)?.address == address).then_some(Self { address, prefix })
    }

    /// The network of that size around `address`; `None` if `prefix` does not fit the family.
    pub fn containing(address: IpAddr, prefix: u8) -> Option<Self> {
        let address = match address {
            IpAddr::V4(v4) if prefix <= 32 => {
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from(u32::from(v4) & mask))
            }
            IpAddr::V6(v6) if prefix <= 128 => {
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from(u128::from(v6) & mask))
            }
            _ => return None,
        };
        Some(Self { address, prefix })
    }

    /// The network of this one address.
    pub fn host(address: IpAddr) -> Self {
        let prefix = if address.is_ipv4() { 32 } else { 128 };
        Self { address, prefix }
    }

    /// The first address.
    pub const fn address(self) -> IpAddr {
        self.address
    }

    /// How many bits count.
    pub const fn prefix(self) -> u8 {
        self.prefix
    }

    /// Whether it is a single address.
    pub const fn is_host(self) -> bool {
        self.prefix == if self.address.is_ipv4() { 32 } else { 128 }
    }

    /// Its two halves; none of a single address.
    pub(crate) fn halves(self) -> Option<[Self; 2]> {
        if self.is_host() {
            return None;
        }
        let prefix = self.prefix + 1;
        let upper = match self.address {
            IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from(
                u32::from(v4) | 1 << (32 - u32::from(prefix)),
            )),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from(
                u128::from(v6) | 1 << (128 - u32::from(prefix)),
            )),
        };
        let half = |address| Self { address, prefix };
        Some([half(self.address), half(upper)])
    }

    /// First and last address as numbers.
    pub(crate) fn bounds(self) -> RangeInclusive<u128> {
        let bits: u32 = if self.address.is_ipv4() { 32 } else { 128 };
        let host_bits = bits - u32::from(self.prefix);
        let start = number(self.address);
        let span = 1_u128
            .checked_shl(host_bits)
            .map_or(u128::MAX, |size| size - 1);
        start..=(start | span)
    }

    /// Whether `address`, of the same family, is in it.
    pub fn contains(self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4() && self.bounds().contains(&number(address))
    }

    /// The parts of it that are of another class than the one it names when it allows.
    pub(crate) fn other_classes(self) -> impl Iterator<Item = (Self, AddressClass)> {
        let blocks = ONE_CLASS_BLOCKS.iter().map(|(address, prefix, class)| {
            let (address, prefix) = (*address, *prefix);
            (Self { address, prefix }, *class)
        });
        let metadata_v4 = METADATA_V4.map(IpAddr::V4);
        let metadata_v6 = METADATA_V6.map(IpAddr::V6);
        let metadata = metadata_v4.into_iter().chain(metadata_v6);
        let metadata = metadata.map(|address| (Self::host(address), AddressClass::Metadata));
        blocks
            .chain(metadata)
            .filter(move |(part, _)| self.prefix < part.prefix && self.covers(*part))
    }

    /// Whether addresses in it may carry IPv4 addresses ([`canonical`]).
    fn wraps(self) -> bool {
        const WRAPPING: [(u128, u8); 5] = [
            (0xffff_0000_0000, 96),
            (0, 96),
            (0x64_ff9b << 96, 96),
            (0x2002 << 112, 16),
            (0x2001 << 112, 32),
        ];
        WRAPPING.into_iter().any(|(address, prefix)| {
            let block = Self {
                address: IpAddr::V6(Ipv6Addr::from(address)),
                prefix,
            };
            block.covers(self) || self.covers(block)
        })
    }

    /// Whether all of `other` is in it.
    pub fn covers(self, other: Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.address)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Blocks whose every address (but the metadata services in them) is of one class other than
/// `public`. A network rule inside one of them names that class; any other names `public`.
const ONE_CLASS_BLOCKS: [(IpAddr, u8, AddressClass); 25] = [
    (IpAddr::V4(Ipv4Addr::new(10, 0, 0, 0)), 8, AddressClass::Lan),
    (
        IpAddr::V4(Ipv4Addr::new(100, 64, 0, 0)),
        10,
        AddressClass::Lan,
    ),
    (
        IpAddr::V4(Ipv4Addr::new(127, 0, 0, 0)),
        8,
        AddressClass::Loopback,
    ),
    (
        IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0)),
        16,
        AddressClass::LinkLocal,
    ),
    (
        IpAddr::V4(Ipv4Addr::new(172, 16, 0, 0)),
        12,
        AddressClass::Lan,
    ),
    (
        IpAddr::V4(Ipv4Addr::new(192, 168, 0, 0)),
        16,
        AddressClass::Lan,
    ),
    (
        IpAddr::V4(Ipv4Addr::new(224, 0, 0, 0)),
        4,
        AddressClass::Multicast,
    ),
    (
        IpAddr::V6(Ipv6Addr::new(0, 0, 0, 0, 0, 0, 0, 1)),
        128,
        AddressClass::Loopback,
    ),
    (
        IpAddr::V6(Ipv6Addr::new(0xfc00, 0, 0, 0, 0, 0, 0, 0)),
        7,
        AddressClass::Lan,
    ),
    (
        IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)),
        10,
        AddressClass::LinkLocal,
    ),
    (
        IpAddr::V6(Ipv6Addr::new(0xfec0, 0, 0, 0, 0, 0, 0, 0)),
        10,
        AddressClass::Lan,
    ),
    (
        IpAddr::V6(Ipv6Addr::new(0xff00, 0, 0, 0, 0, 0, 0, 0)),
        8,
        AddressClass::Multicast,
    ),
    // Reserved and nameable by nothing; listed so that a rule inside them is refused.
    (
        IpAddr::V4(Ipv4Addr::new(0, 0, 0, 0)),
        8,
        AddressClass::Reserved,
    ),
    (
        IpAddr::V4(Ipv4Addr::new(192, 0, 0, 0)),
        24,
        AddressClass::Reserved,
    ),
    (
        IpAddr::V4(Ipv4Addr::new(192, 0, 2, 0)),
        24,
        AddressClass::Reserved,
    ),
    (
        IpAddr::V4(Ipv4Addr::new(192, 88, 99, 0)),
        24,
        AddressClass::Reserved,
    ),
    (
        IpAddr::V4(Ipv4Addr::new(198, 18, 0, 0)),
        15,
        AddressClass::Reserved,
    ),
    (
        IpAddr::V4(Ipv4Addr::new(198, 51, 100, 0)),
        24,
        AddressClass::Reserved,
    ),
    (
        IpAddr::V4(Ipv4Addr::new(203, 0, 113, 0)),
        24,
        AddressClass::Reserved,
    ),
    (
        IpAddr::V4(Ipv4Addr::new(240, 0, 0, 0)),
        4,
        AddressClass::Reserved,
    ),
    (
        IpAddr::V6(Ipv6Addr::new(0x64, 0xff9b, 1, 0, 0, 0, 0, 0)),
        48,
        AddressClass::Reserved,
    ),
    (
        IpAddr::V6(Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, 0)),
        64,
        AddressClass::Reserved,
    ),
    (
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0)),
        32,
        AddressClass::Reserved,
    ),
    (
        IpAddr::V6(Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0)),
        20,
        AddressClass::Reserved,
    ),
    (
        IpAddr::V6(Ipv6Addr::new(0x5f00, 0, 0, 0, 0, 0, 0, 0)),
        16,
        AddressClass::Reserved,
    ),
];

/// The class a network rule names when it *allows*: that of the block it lies in, else `public`.
///
/// So `10.0.0.0/8` means private addresses because it says so, and `0.0.0.0/0` means the internet
/// and neither the LAN nor the loopback. The classes that need an address written out in full
/// (`metadata`) or a name (`host`) are never named by a network.
pub fn class_named_by(network: Network) -> AddressClass {
    if network.is_host() {
        return class_of(network.address);
    }
    ONE_CLASS_BLOCKS
        .iter()
        .find(|(address, prefix, _)| {
            Network {
                address: *address,
                prefix: *prefix,
            }
            .covers(network)
        })
        .map_or(AddressClass::Public, |(_, _, class)| *class)
}

#[cfg(test)]
#[path = "address_tests.rs"]
mod tests;
