//! Values of flags: sizes, durations, NICs.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use nexus_nic::{Target, TargetError};
use nexus_types::InterfaceAddress;

/// `64MiB`, `512KiB`, `1GiB`, or a number of bytes.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let units: [(&str, u64); 4] = [
        ("KiB", 1 << 10),
        ("MiB", 1 << 20),
        ("GiB", 1 << 30),
        ("B", 1),
    ];
    let (number, unit) = units
        .iter()
        .find_map(|(name, bytes)| text.strip_suffix(name).map(|number| (number, *bytes)))
        .unwrap_or((text, 1));
    let number: u64 = number
        .trim()
        .parse()
        .map_err(|_| "a size, such as 64MiB, 512KiB, 1GiB or a number of bytes".to_owned())?;
    match number.checked_mul(unit) {
        Some(0) | None => Err("a size above 0 that fits 64 bits".into()),
        Some(bytes) => Ok(bytes),
    }
}

/// `500ms`, `30s`, `5m`, `1h`; also `us` and `ns`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let units = [
        ("ns", 1),
        ("us", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ];
    let nanos = units
        .iter()
        .find_map(|(name, nanos)| text.strip_suffix(name).map(|number| (number, *nanos)))
        .and_then(|(number, unit)| number.trim().parse::<u64>().ok()?.checked_mul(unit));
    match nanos {
        Some(nanos) if nanos > 0 => Ok(Duration::from_nanos(nanos)),
        _ => Err("a duration above 0 with its unit, such as 500ms, 30s, 5m or 1h".into()),
    }
}

/// A duration as [`parse_duration`] reads it, in the largest unit that has it whole.
pub(super) fn format_duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    let units = [
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
    ];
    let whole = units.iter().find(|(_, unit)| nanos.is_multiple_of(*unit));
    match whole {
        Some((name, unit)) => format!("{}{name}", nanos / unit),
        None => format!("{nanos}ns"),
    }
}

/// Whether.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(super) enum Switch {
    On,
    Off,
}

/// What the node's stack is connected to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Net {
    /// Kernel sockets at the far end; no privileges.
    User,
    /// Nothing: the app's own loopback only.
    None,
    /// A real interface of this machine.
    Wire(Target),
}

impl FromStr for Net {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split(':').next() {
            Some("user") if text == "user" => Ok(Self::User),
            Some("none") if text == "none" => Ok(Self::None),
            Some("tap" | "packet") => text
                .parse()
                .map(Self::Wire)
                .map_err(|error: TargetError| error.to_string()),
            Some("sim") => Err("`sim` is not built yet; this nexus-host has: ".to_owned() + KINDS),
            _ => Err("one of: ".to_owned() + KINDS),
        }
    }
}

/// Every kind of NIC.
const KINDS: &str = "user (kernel sockets at the far end), none, tap:NAME (a TAP interface), \
                     packet:IFACE (a station beside the kernel's on an Ethernet interface)";

/// `10.0.0.2/24`, `fd00::2/64`.
pub(super) fn parse_interface_address(text: &str) -> Result<InterfaceAddress, String> {
    interface_address(text)
        .ok_or_else(|| "an address with its prefix, as in 10.0.0.2/24 or fd00::2/64".to_owned())
}

/// Where an address of a node on a real interface comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum AddressSource {
    /// From here.
    Fixed(InterfaceAddress),
    /// IPv4, from a DHCP server.
    Dhcp,
    /// IPv6, from what routers advertise.
    Slaac,
}

/// `10.0.0.2/24`, `fd00::2/64`, `dhcp`, `slaac`.
pub(super) fn parse_address_source(text: &str) -> Result<AddressSource, String> {
    match text {
        "dhcp" => Ok(AddressSource::Dhcp),
        "slaac" => Ok(AddressSource::Slaac),
        _ => match interface_address(text) {
            Some(address) => Ok(AddressSource::Fixed(address)),
            None => Err(
                "an address with its prefix, as in 10.0.0.2/24 or fd00::2/64, or dhcp, or slaac"
                    .to_owned(),
            ),
        },
    }
}

/// An address a node can have, with its prefix.
pub(super) fn interface_address(text: &str) -> Option<InterfaceAddress> {
    let (address, prefix) = text.split_once('/')?;
    let address: IpAddr = address.parse().ok()?;
    if address.is_unspecified() || address.is_multicast() || address.is_loopback() {
        return None;
    }
    InterfaceAddress::new(address, prefix.parse().ok()?)
}

/// `10.0.0.1`, `10.0.0.1:53`, `[fd00::1]:53`: where a name server is; its port is 53 unless given.
pub(super) fn parse_resolver(text: &str) -> Result<SocketAddr, String> {
    text.parse::<IpAddr>()
        .map(|address| SocketAddr::new(address, 53))
        .or_else(|_| text.parse())
        .map_err(|_| {
            "an address, with a port or without, as in 10.0.0.1 or [fd00::1]:53".to_owned()
        })
}

/// `1500`: most bytes of an IP packet; RFC 791 section 3.1 says the least and the most.
pub(super) fn parse_mtu(text: &str) -> Result<usize, String> {
    text.parse()
        .ok()
        .filter(|mtu| (576..=65_535).contains(mtu))
        .ok_or_else(|| "a number of bytes from 576 to 65535".to_owned())
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User => f.write_str("user"),
            Self::None => f.write_str("none"),
            Self::Wire(target) => fmt::Display::fmt(target, f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        assert_eq!(parse_size("64MiB"), Ok(64 << 20));
        assert_eq!(parse_size("1 GiB"), Ok(1 << 30));
        assert_eq!(parse_size("4096"), Ok(4096));
    }

    #[test]
    fn reject_sizes_of_another_shape() {
        for text in ["", "MiB", "-1", "64MB", "1.5GiB", "0", "99999999999GiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse_duration("7us"), Ok(Duration::from_micros(7)));
    }

    #[test]
    fn a_duration_is_written_as_it_is_read() {
        for text in ["1h", "90s", "2m", "1500ms", "7us", "1001ns"] {
            let duration = parse_duration(text).expect(text);
            assert_eq!(format_duration(duration), text);
        }
    }

    #[test]
    fn reject_durations_of_another_shape() {
        for text in [
            "",
            "5",
            "0s",
            "s",
            "-1s",
            "1.5s",
            "99999999999999999999h",
            "1d",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn nics_are_named_by_kind_and_interface() {
        for text in ["user", "none", "tap:tap0", "packet:eth0"] {
            assert_eq!(text.parse::<Net>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn reject_nics_that_are_not_there() {
        for (text, says) in [
            ("usr", "user"),
            ("user:x", "user"),
            ("sim", "not built yet"),
            ("tap", "tap:"),
            ("tap:", "name"),
            ("tap:a/b", "a/b"),
            ("packet:far-too-long-a-name", "far-too-long-a-name"),
        ] {
            let error = text.parse::<Net>().unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn a_resolver_has_a_port() {
        assert_eq!(parse_resolver("10.0.0.1"), Ok(([10, 0, 0, 1], 53).into()));
        assert_eq!(
            parse_resolver("[fd00::1]:5353").map(|a| a.to_string()),
            Ok("[fd00::1]:5353".to_owned())
        );
        assert!(parse_resolver("dns.example.com").is_err());
    }

    #[test]
    fn reject_addresses_a_node_cannot_have() {
        assert!(parse_interface_address("10.0.0.2/24").is_ok());
        assert_eq!(parse_address_source("dhcp"), Ok(AddressSource::Dhcp));
        assert_eq!(parse_address_source("slaac"), Ok(AddressSource::Slaac));
        assert!(parse_interface_address("dhcp").is_err());
        for text in [
            "10.0.0.2",
            "10.0.0.2/33",
            "127.0.0.1/8",
            "ff02::1/64",
            "::/0",
            "x/24",
        ] {
            assert!(parse_interface_address(text).is_err(), "{text}");
            assert!(parse_address_source(text).is_err(), "{text}");
        }
    }
}
