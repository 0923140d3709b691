//! Names that are answered here and never sent to a server.

use std::collections::BTreeMap;

use nexus_types::{HostName, IpAddr, Ipv4Addr, Ipv6Addr};

/// Names below these (and these themselves) are nobody's but this host's:
/// - `localhost`: RFC 6761 section 6.3;
/// - `invalid`: RFC 6761 section 6.4;
/// - `local`: RFC 6762 section 3, multicast DNS, which we do not speak;
/// - `onion`: RFC 7686 section 2;
/// - `host.internal`: the host this stack runs on, if the configuration says that it may be
///   known. A server's idea of it would be a way to choose what counts as the host.
const KEPT: [&str; 5] = ["localhost", "invalid", "local", "onion", "host.internal"];

const LOCALHOST: [IpAddr; 2] = [
    IpAddr::V6(Ipv6Addr::LOCALHOST),
    IpAddr::V4(Ipv4Addr::LOCALHOST),
];

/// The configuration's names, and those kept back by convention.
#[derive(Clone, Debug)]
pub(super) struct Local {
    hosts: BTreeMap<HostName, Vec<IpAddr>>,
}

impl Local {
    pub(super) fn new(hosts: Vec<(HostName, Vec<IpAddr>)>) -> Self {
        let mut all: BTreeMap<HostName, Vec<IpAddr>> = BTreeMap::new();
        for (name, addresses) in hosts {
            // The same name twice means both lines, as in a hosts file.
            let known = all.entry(name).or_default();
            for address in addresses {
                if !known.contains(&address) {
                    known.push(address);
                }
            }
        }
        Self { hosts: all }
    }

    /// The addresses of `name`, none if it is ours and has none; `None` if a server is to be asked.
    pub(super) fn find(&self, name: &HostName) -> Option<&[IpAddr]> {
        if let Some(addresses) = self.hosts.get(name) {
            return Some(addresses);
        }
        let kept = KEPT.iter().find(|kept| is_or_below(name, kept))?;
        Some(if *kept == "localhost" {
            &LOCALHOST
        } else {
            &[]
        })
    }
}

fn is_or_below(name: &HostName, parent: &str) -> bool {
    name.as_str()
        .strip_suffix(parent)
        .is_some_and(|head| head.is_empty() || head.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> HostName {
        HostName::parse(text).unwrap()
    }

    #[test]
    fn what_is_kept_and_what_is_asked_for() {
        let local = Local::new(vec![
            (
                name("host.internal"),
                vec![Ipv4Addr::new(10, 0, 2, 2).into()],
            ),
            (name("db.example.com"), vec![]),
        ]);
        let host: IpAddr = Ipv4Addr::new(10, 0, 2, 2).into();
        assert_eq!(local.find(&name("Host.Internal.")), Some(&[host][..]));
        assert_eq!(local.find(&name("db.example.com")), Some(&[][..]));
        for ours in ["localhost", "a.b.localhost"] {
            assert_eq!(local.find(&name(ours)), Some(&LOCALHOST[..]), "{ours}");
        }
        for nobodys in [
            "invalid",
            "x.invalid",
            "printer.local",
            "x.onion",
            "x.host.internal",
        ] {
            assert_eq!(local.find(&name(nobodys)), Some(&[][..]), "{nobodys}");
        }
        for asked in [
            "example.com",
            "notlocalhost",
            "localhost.example.com",
            "myhost.internal",
            "metadata.internal",
            "db",
        ] {
            assert_eq!(local.find(&name(asked)), None, "{asked}");
        }
        assert_eq!(
            Local::new(vec![]).find(&name("host.internal")),
            Some(&[][..])
        );
    }

    #[test]
    fn a_host_given_twice_has_all_its_addresses_once() {
        let one: IpAddr = Ipv4Addr::new(10, 0, 0, 1).into();
        let two: IpAddr = Ipv4Addr::new(10, 0, 0, 2).into();
        let local = Local::new(vec![
            (name("a.example"), vec![one, two]),
            (name("A.example"), vec![two, one]),
        ]);
        assert_eq!(local.find(&name("a.example")), Some(&[one, two][..]));
    }
}
