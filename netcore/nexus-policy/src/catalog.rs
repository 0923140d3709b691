//! Imports by name: which of them this build provides, and which capability each needs.

use crate::capability::{Capability, Status};

/// What an import name stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Known {
    /// Always there, and empty of authority.
    Base,
    /// Needs this capability.
    Needs(Capability),
    /// One interface of several that come and go together, and need any of their capabilities.
    Family(&'static Family),
    /// Needs any of these, and this build does not have it.
    Absent(&'static [Capability]),
    /// Ours or WASI's, in a version this build does not have.
    OtherVersion {
        /// What it has instead.
        have: &'static str,
    },
    /// Nothing provides it.
    Unknown,
}

/// Interfaces of WASI's that are coarser than a capability: a program that only connects imports those that listen,
/// too. They are there where any of the capabilities is, and each act is judged as what it is.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Family {
    /// The package.
    pub(crate) name: &'static str,
    /// What they can be used for.
    pub(crate) capabilities: &'static [Capability],
    /// The interfaces of 0.2 and of 0.3.
    interfaces: [&'static [&'static str]; 2],
    /// What a function of theirs is for: part of its name, and the capabilities it is no use without. Functions that
    /// are in no row say nothing of what a program is about.
    uses: &'static [(&'static str, &'static [Capability])],
}

impl Family {
    /// Which capabilities a program that imports these functions could be about, in the family's order.
    pub(crate) fn could_mean<'a>(
        &self,
        functions: impl Iterator<Item = &'a str>,
    ) -> Vec<Capability> {
        let uses: Vec<_> = functions
            .flat_map(|function| {
                let uses = self
                    .uses
                    .iter()
                    .filter(move |(part, _)| function.contains(part));
                uses.flat_map(|(_, capabilities)| capabilities.iter())
            })
            .collect();
        let mut meant = self.capabilities.to_vec();
        if !uses.is_empty() {
            meant.retain(|capability| uses.contains(&capability));
        }
        meant
    }
}

static SOCKETS: Family = Family {
    name: "wasi:sockets",
    capabilities: &[
        Capability::NetworkTcpConnect,
        Capability::NetworkTcpListen,
        Capability::NetworkUdpSend,
        Capability::NetworkUdpBind,
    ],
    interfaces: [
        &[
            "network",
            "instance-network",
            "ip-name-lookup",
            "tcp",
            "tcp-create-socket",
            "udp",
            "udp-create-socket",
        ],
        &["types", "ip-name-lookup"],
    ],
    uses: &[
        ("tcp-socket.start-connect", &[Capability::NetworkTcpConnect]),
        ("tcp-socket.connect", &[Capability::NetworkTcpConnect]),
        ("tcp-socket.start-listen", &[Capability::NetworkTcpListen]),
        ("tcp-socket.listen", &[Capability::NetworkTcpListen]),
        (
            "udp-socket.stream",
            &[Capability::NetworkUdpSend, Capability::NetworkUdpBind],
        ),
        ("udp-socket.send", &[Capability::NetworkUdpSend]),
        (
            "udp-socket.receive",
            &[Capability::NetworkUdpSend, Capability::NetworkUdpBind],
        ),
    ],
};
static HTTP: Family = Family {
    name: "wasi:http",
    capabilities: &[Capability::NetworkHttpRequest],
    // Of `types` there is nothing to be granted: it is base.
    interfaces: [&["outgoing-handler"], &["client"]],
    uses: &[],
};

/// Base WASI of 0.2 and 0.3, interface by interface: package, interface, in 0.2, in 0.3.
const BASE: [(&str, &str, bool, bool); 24] = [
    ("cli", "environment", true, true),
    ("cli", "exit", true, true),
    ("cli", "stdin", true, true),
    ("cli", "stdout", true, true),
    ("cli", "stderr", true, true),
    ("cli", "types", false, true),
    ("cli", "terminal-input", true, true),
    ("cli", "terminal-output", true, true),
    ("cli", "terminal-stdin", true, true),
    ("cli", "terminal-stdout", true, true),
    ("cli", "terminal-stderr", true, true),
    ("clocks", "monotonic-clock", true, true),
    ("clocks", "wall-clock", true, false),
    ("clocks", "system-clock", false, true),
    ("clocks", "types", false, true),
    ("random", "random", true, true),
    ("random", "insecure", true, true),
    ("random", "insecure-seed", true, true),
    ("io", "error", true, false),
    ("io", "poll", true, false),
    ("io", "streams", true, false),
    ("filesystem", "types", true, true),
    ("filesystem", "preopens", true, true),
    // Requests, responses and fields as values: who only has them can send nothing.
    ("http", "types", true, true),
];

/// `namespace:package/interface@version`, taken apart.
struct Name<'a> {
    namespace: &'a str,
    package: &'a str,
    interface: &'a str,
    version: Option<Version>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Version {
    major: u32,
    minor: u32,
    pre: bool,
}

fn parse(import: &str) -> Option<Name<'_>> {
    let (path, version) = match import.split_once('@') {
        Some((path, version)) => (path, Some(parse_version(version)?)),
        None => (import, None),
    };
    let (namespace, rest) = path.split_once(':')?;
    let (package, interface) = rest.split_once('/')?;
    Some(Name {
        namespace,
        package,
        interface,
        version,
    })
}

fn parse_version(text: &str) -> Option<Version> {
    let text = text.split_once('+').map_or(text, |(version, _)| version);
    let (numbers, pre) = text
        .split_once('-')
        .map_or((text, false), |(numbers, _)| (numbers, true));
    let mut numbers = numbers.split('.');
    let mut next = || numbers.next()?.parse::<u32>().ok();
    let (major, minor, _patch) = (next()?, next()?, next()?);
    numbers
        .next()
        .is_none()
        .then_some(Version { major, minor, pre })
}

/// What provides `import`.
pub(crate) fn known(import: &str) -> Known {
    let Some(name) = parse(import) else {
        return Known::Unknown;
    };
    match name.namespace {
        "nexus" => nexus(import, &name),
        "wasi" => wasi(&name),
        _ => Known::Unknown,
    }
}

fn nexus(import: &str, name: &Name<'_>) -> Known {
    let path = import.split_once('@').map_or(import, |(path, _)| path);
    let types = matches!(
        (name.package, name.interface),
        ("net", "types") | ("error", "types")
    );
    let capability = Capability::ALL
        .into_iter()
        .find(|c| c.interface() == Some(path));
    // 0.1.x is one version: WIT of 0.1 only ever grows (semver, as linkers match it).
    let ours = name
        .version
        .is_none_or(|v| v.major == 0 && v.minor == 1 && !v.pre);
    match (types, capability) {
        (true, _) | (_, Some(_)) if !ours => Known::OtherVersion { have: "0.1" },
        (true, _) => Known::Base,
        (_, Some(capability)) if capability.status() == Status::Built => Known::Needs(capability),
        (_, Some(capability)) => Known::Absent(one(capability)),
        _ if (name.package, name.interface) == ("data", "buffer") => Known::Absent(&[]),
        _ => Known::Unknown,
    }
}

/// The catalog's own entry, as a list of one.
fn one(capability: Capability) -> &'static [Capability] {
    Capability::ALL
        .iter()
        .position(|c| *c == capability)
        .map_or(&[], |at| &Capability::ALL[at..=at])
}

fn wasi(name: &Name<'_>) -> Known {
    let generation = match name.version {
        Some(Version {
            major: 0,
            minor: 2,
            pre: false,
        }) => 2_usize,
        Some(Version {
            major: 0,
            minor: 3,
            pre: false,
        }) => 3,
        _ => 0,
    };
    let package = [
        "cli",
        "clocks",
        "random",
        "io",
        "filesystem",
        "sockets",
        "http",
    ]
    .contains(&name.package);
    match (package, generation, name.package) {
        (false, ..) => Known::Unknown,
        (_, 0, _) => Known::OtherVersion {
            have: "0.2 and 0.3",
        },
        (_, generation, "sockets") => family(&SOCKETS, generation, name.interface),
        _ => {
            let found = BASE.iter().find(|(package, interface, ..)| {
                *package == name.package && *interface == name.interface
            });
            match found {
                Some((_, _, true, _)) if generation == 2 => Known::Base,
                Some((_, _, _, true)) if generation == 3 => Known::Base,
                _ if name.package == "http" => family(&HTTP, generation, name.interface),
                _ => Known::Unknown,
            }
        }
    }
}

fn family(family: &'static Family, generation: usize, interface: &str) -> Known {
    let interfaces = family.interfaces[usize::from(generation == 3)];
    match interfaces.contains(&interface) {
        true => Known::Family(family),
        false => Known::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_say_what_a_program_could_be_about() {
        use Capability::{NetworkTcpConnect, NetworkTcpListen, NetworkUdpBind, NetworkUdpSend};
        for (functions, want) in [
            (
                &[
                    "[method]tcp-socket.start-bind",
                    "[method]tcp-socket.start-connect",
                ][..],
                &[NetworkTcpConnect][..],
            ),
            (
                &["[method]tcp-socket.connect", "[method]tcp-socket.listen"],
                &[NetworkTcpConnect, NetworkTcpListen],
            ),
            (
                &["[method]udp-socket.stream"],
                &[NetworkUdpSend, NetworkUdpBind],
            ),
            (
                &["[method]tcp-socket.subscribe"],
                &[
                    NetworkTcpConnect,
                    NetworkTcpListen,
                    NetworkUdpSend,
                    NetworkUdpBind,
                ],
            ),
        ] {
            assert_eq!(
                SOCKETS.could_mean(functions.iter().copied()),
                want,
                "{functions:?}"
            );
        }
    }

    #[test]
    fn names_are_matched_by_version_as_linkers_match_them() {
        let connect = Known::Needs(Capability::NetworkTcpConnect);
        for (import, want) in [
            ("nexus:net/tcp-connect@0.1.0", connect),
            ("nexus:net/tcp-connect@0.1.7", connect),
            ("nexus:net/tcp-connect", connect),
            (
                "nexus:net/tcp-connect@0.2.0",
                Known::OtherVersion { have: "0.1" },
            ),
            (
                "nexus:net/tcp-connect@0.1.0-rc1",
                Known::OtherVersion { have: "0.1" },
            ),
            ("nexus:net/types@0.1.0", Known::Base),
            ("nexus:error/types@0.1.0", Known::Base),
            ("nexus:net/raw@0.1.0", Known::Unknown),
            (
                "nexus:net/http@0.1.0",
                Known::Needs(Capability::NetworkHttpRequest),
            ),
            ("nexus:data/buffer@0.1.0", Known::Absent(&[])),
            ("wasi:cli/stdout@0.2.6", Known::Base),
            ("wasi:cli/stdout@0.3.0", Known::Base),
            ("wasi:io/poll@0.2.0", Known::Base),
            ("wasi:io/poll@0.3.0", Known::Unknown),
            ("wasi:clocks/system-clock@0.2.0", Known::Unknown),
            (
                "wasi:cli/stdout@0.1.0",
                Known::OtherVersion {
                    have: "0.2 and 0.3",
                },
            ),
            ("wasi:sockets/tcp@0.2.6", Known::Family(&SOCKETS)),
            ("wasi:sockets/types@0.3.0", Known::Family(&SOCKETS)),
            ("wasi:sockets/types@0.2.0", Known::Unknown),
            ("wasi:sockets/udp@0.3.0", Known::Unknown),
            ("wasi:http/types@0.2.4", Known::Base),
            ("wasi:http/types@0.3.0", Known::Base),
            ("wasi:http/outgoing-handler@0.2.4", Known::Family(&HTTP)),
            ("wasi:http/client@0.3.0", Known::Family(&HTTP)),
            ("wasi:http/client@0.2.4", Known::Unknown),
            ("wasi:keyvalue/store@0.2.0", Known::Unknown),
            ("env", Known::Unknown),
            ("a:b/c@x", Known::Unknown),
            ("", Known::Unknown),
        ] {
            assert_eq!(known(import), want, "{import}");
        }
    }
}
