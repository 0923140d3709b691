//! Which far ends a list of rules names: read here by itself, and not with what the gate reads them with.

use std::collections::BTreeMap;

use nexus_types::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A rule's ports.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Ports(Vec<(u16, u16)>);

impl Ports {
    fn read(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self(vec![(0, u16::MAX)]));
        }
        let ranges = text.split(',').map(|part| {
            let (least, most) = part.split_once('-').unwrap_or((part, part));
            Some((least.trim().parse().ok()?, most.trim().parse().ok()?))
        });
        ranges.collect::<Option<_>>().map(Self)
    }

    fn hold(&self, port: u16) -> bool {
        let mut ranges = self.0.iter();
        ranges.any(|(least, most)| (*least..=*most).contains(&port))
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Host {
    Any,
    Network(IpAddr, u8),
    Name(String),
    Below(String),
    Lan,
    Public,
    LinkLocal,
    Loopback,
    Multicast,
}

/// Rules that were read.
#[derive(Clone, Debug, Default)]
pub(super) struct Reach(Vec<(Host, Ports)>);

impl Reach {
    /// None: a text is no rule this knows.
    pub(super) fn read<'a>(rules: impl IntoIterator<Item = &'a String>) -> Option<Self> {
        let rules = rules.into_iter().map(|rule| {
            let (host, ports) = rule.rsplit_once(':')?;
            Some((read_host(host)?, Ports::read(ports)?))
        });
        rules.collect::<Option<_>>().map(Self)
    }

    pub(super) fn names(
        &self,
        ip: IpAddr,
        port: u16,
        known: &BTreeMap<IpAddr, Vec<String>>,
    ) -> bool {
        self.0
            .iter()
            .any(|(host, ports)| ports.hold(port) && host.holds(ip, known))
    }

    /// Whether it names the address, with whatever port.
    pub(super) fn names_address(&self, ip: IpAddr, known: &BTreeMap<IpAddr, Vec<String>>) -> bool {
        self.0.iter().any(|(host, _)| host.holds(ip, known))
    }

    /// Whether it names a port, at whatever address: for rules about one's own.
    pub(super) fn names_port(&self, port: u16) -> bool {
        self.0.iter().any(|(_, ports)| ports.hold(port))
    }

    pub(super) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

fn read_host(text: &str) -> Option<Host> {
    let bare = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    let bare = bare.unwrap_or(text);
    let (address, prefix) = match bare.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix.parse().ok()?)),
        None => (bare, None),
    };
    if let Ok(address) = address.parse::<IpAddr>() {
        let whole = if address.is_ipv4() { 32 } else { 128 };
        return Some(Host::Network(address, prefix.unwrap_or(whole)));
    }
    Some(match text {
        "any" => Host::Any,
        "lan" => Host::Lan,
        "public" => Host::Public,
        "link-local" => Host::LinkLocal,
        "loopback" => Host::Loopback,
        "multicast" => Host::Multicast,
        _ if text.is_empty() || prefix.is_some() => return None,
        _ => match text.strip_prefix("*.") {
            Some(below) => Host::Below(format!(".{}", below.to_lowercase())),
            None => Host::Name(text.to_lowercase()),
        },
    })
}

impl Host {
    fn holds(&self, ip: IpAddr, known: &BTreeMap<IpAddr, Vec<String>>) -> bool {
        let named = |holds: &dyn Fn(&String) -> bool| {
            known.get(&ip).is_some_and(|names| names.iter().any(holds))
        };
        match self {
            Self::Any => true,
            Self::Network(network, prefix) => shares(*network, ip, *prefix),
            Self::Name(name) => named(&|known| known == name),
            Self::Below(below) => named(&|known| known.ends_with(below.as_str())),
            Self::Lan => is_lan(ip),
            Self::LinkLocal => is_link_local(ip),
            Self::Loopback => ip.is_loopback(),
            Self::Multicast => ip.is_multicast(),
            Self::Public => {
                !is_lan(ip)
                    && !is_link_local(ip)
                    && !ip.is_loopback()
                    && !ip.is_multicast()
                    && !ip.is_unspecified()
                    && ip != IpAddr::V4(Ipv4Addr::BROADCAST)
            }
        }
    }
}

fn shares(one: IpAddr, other: IpAddr, prefix: u8) -> bool {
    let differ = match (one, other) {
        (IpAddr::V4(one), IpAddr::V4(other)) => u128::from(one.to_bits() ^ other.to_bits()) << 96,
        (IpAddr::V6(one), IpAddr::V6(other)) => one.to_bits() ^ other.to_bits(),
        _ => return false,
    };
    differ.leading_zeros() >= u32::from(prefix)
}

/// RFC 1918, RFC 6598, RFC 4193, and the site-local addresses of RFC 3879.
fn is_lan(ip: IpAddr) -> bool {
    let v4 = |a, b, c, d, prefix| shares(Ipv4Addr::new(a, b, c, d).into(), ip, prefix);
    let v6 = |first, prefix| shares(Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, 0).into(), ip, prefix);
    v4(10, 0, 0, 0, 8)
        || v4(172, 16, 0, 0, 12)
        || v4(192, 168, 0, 0, 16)
        || v4(100, 64, 0, 0, 10)
        || v6(0xfc00, 7)
        || v6(0xfec0, 10)
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_and_hold_what_they_say() {
        let known = BTreeMap::from([(
            "203.0.113.7".parse().unwrap(),
            vec!["api.example.com".to_owned()],
        )]);
        for (rule, ip, port, holds) in [
            ("10.0.0.2:80", "10.0.0.2", 80, true),
            ("10.0.0.2:80", "10.0.0.2", 81, false),
            ("10.0.0.2:80", "10.0.0.3", 80, false),
            ("10.0.0.0/8:80,8000-8010", "10.9.9.9", 8_005, true),
            ("10.0.0.0/8:80,8000-8010", "10.9.9.9", 8_011, false),
            ("10.0.0.0/8:*", "11.0.0.0", 80, false),
            ("[fd00::/8]:443", "fd12::1", 443, true),
            ("[fd00::1]:443", "fd00::2", 443, false),
            ("api.example.com:443", "203.0.113.7", 443, true),
            ("*.example.com:443", "203.0.113.7", 443, true),
            ("example.com:443", "203.0.113.7", 443, false),
            ("lan:*", "192.168.3.4", 1, true),
            ("lan:*", "8.8.8.8", 1, false),
            ("public:*", "8.8.8.8", 1, true),
            ("public:*", "10.0.0.1", 1, false),
        ] {
            let reach = Reach::read([&rule.to_owned()]).unwrap();
            assert_eq!(
                reach.names(ip.parse().unwrap(), port, &known),
                holds,
                "{rule} {ip}:{port}"
            );
        }
    }

    #[test]
    fn reject_what_is_no_rule() {
        for text in [
            "10.0.0.1",
            "10.0.0.1:",
            "10.0.0.1:x",
            ":80",
            "10.0.0.0/x:80",
        ] {
            assert!(Reach::read([&text.to_owned()]).is_none(), "{text}");
        }
    }
}
