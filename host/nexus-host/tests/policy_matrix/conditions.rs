//! The columns: every way in which an act may be one that must not happen, and one in which it may.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nexus_policy::AddressClass;

use crate::world::{DNS, MACHINE};

/// How a special address is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Spelling {
    V4,
    V6,
    Mapped,
    Nat64,
    SixToFour,
    Teredo,
}

impl Spelling {
    pub(crate) const ALL: [Self; 6] = [
        Self::V4,
        Self::V6,
        Self::Mapped,
        Self::Nat64,
        Self::SixToFour,
        Self::Teredo,
    ];

    /// Whether another machine makes an address of what is inside.
    pub(crate) fn is_carried(self) -> bool {
        matches!(self, Self::Nat64 | Self::SixToFour | Self::Teredo)
    }
}

/// The classes that are not the internet.
pub(crate) fn special() -> impl Iterator<Item = AddressClass> {
    let all = AddressClass::ALL.into_iter();
    all.filter(|class| *class != AddressClass::Public)
}

/// One address of the class, in IPv4.
pub(crate) fn in_v4(class: AddressClass) -> Ipv4Addr {
    let text = match class {
        AddressClass::Public => "93.184.216.34",
        AddressClass::Lan => "192.168.7.8",
        AddressClass::LinkLocal => "169.254.3.4",
        AddressClass::Loopback => "127.0.0.1",
        AddressClass::Multicast => "224.0.0.251",
        AddressClass::Metadata => "169.254.169.254",
        AddressClass::Host => MACHINE,
        AddressClass::Infrastructure => DNS,
        AddressClass::Unspecified => "0.0.0.0",
        AddressClass::Reserved => "240.0.0.1",
    };
    text.parse().expect("an address")
}

/// The address of a class in a spelling; none where it has none.
pub(crate) fn spelled(class: AddressClass, spelling: Spelling) -> Option<IpAddr> {
    let v4 = in_v4(class);
    let [a, b, c, d] = v4.octets().map(u16::from);
    let (high, low) = (a << 8 | b, c << 8 | d);
    let v6 = match spelling {
        Spelling::V4 => return Some(v4.into()),
        Spelling::V6 => {
            let text = match class {
                AddressClass::Lan => "fd00:9::5",
                AddressClass::LinkLocal => "fe80::5",
                AddressClass::Loopback => "::1",
                AddressClass::Multicast => "ff02::fb",
                AddressClass::Metadata => "fd00:ec2::254",
                AddressClass::Unspecified => "::",
                AddressClass::Reserved => "2001:db8::1",
                AddressClass::Public | AddressClass::Host | AddressClass::Infrastructure => {
                    return None;
                }
            };
            return Some(text.parse().expect("an address"));
        }
        Spelling::Mapped => v4.to_ipv6_mapped(),
        Spelling::Nat64 => Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
        Spelling::SixToFour => Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1),
        Spelling::Teredo => Ipv6Addr::new(0x2001, 0, 1, 1, 0, 0, !high, !low),
    };
    Some(v6.into())
}

/// One column.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Condition {
    /// The one in which it may: what fails here shows nothing in the others.
    Granted,
    NotGranted,
    AnotherApp,
    OtherHost,
    OtherPort,
    OtherMethod,
    OtherPath,
    OtherScheme,
    /// Where a server sends it.
    Redirected,
    Forbidden,
    Range(AddressClass, Spelling),
    /// A forbidden name, written in another way.
    Name(&'static str),
    /// An address that is written as a name.
    Numeric(&'static str),
    ResolvesTo(AddressClass),
    Rebinding,
    ExpiredAnswer,
    ImplicitBind,
    Unspecified,
    OverQuota,
    Deadline,
    Revoked,
    /// The policy changes between the permit and the act.
    Overtaken,
    Version(&'static str),
}

impl Condition {
    /// Whether only requests of HTTP can be under it.
    pub(crate) fn is_of_requests(self) -> bool {
        use Condition as C;
        matches!(
            self,
            C::OtherMethod | C::OtherPath | C::OtherScheme | C::Redirected
        )
    }
}

/// Spellings of names that are forbidden as `api.example.com` and `xn--bcher-kva.example.com`.
const NAMES: [&str; 6] = [
    "API.EXAMPLE.COM",
    "api.example.com.",
    "Api.Example.Com.",
    "xn--bcher-kva.example.com",
    "b\u{fc}cher.example.com",
    "B\u{dc}CHER.example.com.",
];

/// Spellings of 127.0.0.1 and 192.168.7.8 that C libraries read as addresses.
const NUMERIC: [&str; 8] = [
    "2130706433",
    "0x7f000001",
    "017700000001",
    "127.1",
    "0x7f.0.0.1",
    "127.0.0.1",
    "127.0.0.1.",
    "192.168.1800",
];

/// All of them.
pub(crate) fn conditions() -> Vec<Condition> {
    use Condition as C;
    let mut all = vec![
        C::Granted,
        C::NotGranted,
        C::AnotherApp,
        C::OtherHost,
        C::OtherPort,
        C::OtherMethod,
        C::OtherPath,
        C::OtherScheme,
        C::Redirected,
        C::Forbidden,
    ];
    for class in special() {
        let spellings = Spelling::ALL.into_iter();
        let written = spellings.filter(|spelling| spelled(class, *spelling).is_some());
        all.extend(written.map(|spelling| C::Range(class, spelling)));
    }
    all.extend(NAMES.map(C::Name));
    all.extend(NUMERIC.map(C::Numeric));
    all.extend(special().map(C::ResolvesTo));
    all.extend([
        C::Rebinding,
        C::ExpiredAnswer,
        C::ImplicitBind,
        C::Unspecified,
        C::OverQuota,
        C::Deadline,
        C::Revoked,
        C::Overtaken,
        C::Version("0.0.9"),
        C::Version("0.2.0"),
    ]);
    all
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(class, spelling) => write!(f, "{class} as {spelling:?}"),
            Self::Name(name) => write!(f, "the name {name}"),
            Self::Numeric(name) => write!(f, "the number {name}"),
            Self::ResolvesTo(class) => write!(f, "a name of {class}"),
            Self::Version(version) => write!(f, "version {version}"),
            other => write!(f, "{other:?}"),
        }
    }
}
