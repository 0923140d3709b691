//! Values of flags: sizes, durations, NICs, published ports.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use nexus_types::Transport;

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

/// `500ms`, `30s`, `5m`, `1h`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let units = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];
    let millis = units
        .iter()
        .find_map(|(name, millis)| text.strip_suffix(name).map(|number| (number, *millis)))
        .and_then(|(number, unit)| number.trim().parse::<u64>().ok()?.checked_mul(unit));
    match millis {
        Some(millis) if millis > 0 => Ok(Duration::from_millis(millis)),
        _ => Err("a duration above 0 with its unit, such as 500ms, 30s, 5m or 1h".into()),
    }
}

/// What the node's stack is connected to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Net {
    /// Kernel sockets at the far end; no privileges.
    User,
    /// Nothing: the app's own loopback only.
    None,
}

impl FromStr for Net {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "user" => Ok(Self::User),
            "none" => Ok(Self::None),
            _ => {
                let kind = text.split(':').next().unwrap_or(text);
                Err(match kind {
                    "tap" | "packet" | "sim" => {
                        format!("`{kind}` is not built yet; this nexus-host has: user, none")
                    }
                    _ => "one of: user (kernel sockets at the far end), none".into(),
                })
            }
        }
    }
}

impl fmt::Display for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::None => "none",
        })
    }
}

/// A port of the host whose connections (or datagrams) go to a port of the app.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Publish {
    /// Where the host listens. Without an address: 127.0.0.1, so that nothing is
    /// open to the network by accident.
    pub host: SocketAddr,
    /// The app's port.
    pub port: u16,
    /// TCP or UDP.
    pub transport: Transport,
}

impl FromStr for Publish {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shape = || {
            "[ADDR:]HOSTPORT:PORT[/udp], such as 8080:80, 0.0.0.0:8080:80 or [::1]:5353:53/udp"
                .to_owned()
        };
        let (ports, transport) = match text.rsplit_once('/') {
            None => (text, Transport::Tcp),
            Some((ports, "tcp")) => (ports, Transport::Tcp),
            Some((ports, "udp")) => (ports, Transport::Udp),
            Some(_) => return Err(shape()),
        };
        let (host, port) = ports.rsplit_once(':').ok_or_else(shape)?;
        let (address, host_port) = match host.rsplit_once(':') {
            None => (IpAddr::V4(Ipv4Addr::LOCALHOST), host),
            Some((address, host_port)) => {
                let address = match address
                    .strip_prefix('[')
                    .and_then(|address| address.strip_suffix(']'))
                {
                    Some(v6) => v6.parse::<Ipv6Addr>().map(IpAddr::V6),
                    None => address.parse::<Ipv4Addr>().map(IpAddr::V4),
                };
                (address.map_err(|_| shape())?, host_port)
            }
        };
        let host_port: u16 = port_of(host_port).ok_or_else(shape)?;
        let port = match port_of(port) {
            Some(0) => return Err("an app's port from 1 to 65535".into()),
            port => port.ok_or_else(shape)?,
        };
        Ok(Self {
            host: SocketAddr::new(address, host_port),
            port,
            transport,
        })
    }
}

/// Digits alone: `parse` would also take `+80`.
fn port_of(text: &str) -> Option<u16> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
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
    fn published_ports_default_to_loopback_and_tcp() {
        let publish: Publish = "8080:80".parse().expect("reads");
        assert_eq!(publish.host, "127.0.0.1:8080".parse().expect("address"));
        assert_eq!((publish.port, publish.transport), (80, Transport::Tcp));
        let publish: Publish = "[::1]:5353:53/udp".parse().expect("reads");
        assert_eq!(publish.host, "[::1]:5353".parse().expect("address"));
        assert_eq!((publish.port, publish.transport), (53, Transport::Udp));
        let publish: Publish = "0.0.0.0:0:80/tcp".parse().expect("reads");
        assert_eq!(publish.host, "0.0.0.0:0".parse().expect("address"));
    }

    #[test]
    fn reject_published_ports_of_another_shape() {
        for text in [
            "",
            "80",
            ":80",
            "80:",
            "65536:80",
            "80:65536",
            "80:0",
            "+80:80",
            "host:80:80",
            "::1:80:80",
            "80:80/sctp",
            "1.2.3.4.5:80:80",
            "8080:80:tcp",
        ] {
            assert!(text.parse::<Publish>().is_err(), "{text}");
        }
    }

    #[test]
    fn reject_nics_that_are_not_there() {
        assert!(
            "tap:tap0"
                .parse::<Net>()
                .is_err_and(|e| e.contains("not built yet"))
        );
        assert!("usr".parse::<Net>().is_err_and(|e| e.contains("user")));
    }
}
