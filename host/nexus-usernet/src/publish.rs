//! `--publish [ADDR:]HOSTPORT:PORT[/udp]`: which port of the kernel leads to which port of the node.

use core::fmt;
use core::str::FromStr;

use nexus_types::{IpAddr, Ipv4Addr, Port, SocketAddr, Transport};

/// One published port.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Publish {
    /// TCP or UDP.
    pub transport: Transport,
    /// Where the kernel listens. Port 0 lets the kernel choose; see [`crate::UserNet::published`].
    pub host: SocketAddr,
    /// The port of the node.
    pub port: Port,
}

/// Why a text is not a published port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PublishError {
    /// Not of the form `[ADDR:]HOSTPORT:PORT[/udp]`.
    Form,
    /// What follows the `/` is neither `tcp` nor `udp`.
    Transport(String),
    /// Not an address of this host's form; an IPv6 address goes into brackets.
    Address(String),
    /// Not a number from 1 to 65535 (HOSTPORT may be 0: any free port).
    Port(String),
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form => f.write_str(
                "expected [ADDR:]HOSTPORT:PORT[/udp], for example 8080:80 or [::1]:5353:53/udp",
            ),
            Self::Transport(text) => write!(f, "{text:?} is neither `tcp` nor `udp`"),
            Self::Address(text) => write!(
                f,
                "{text:?} is not an IP address (an IPv6 address goes into brackets: [::1]:8080:80)"
            ),
            Self::Port(text) => write!(
                f,
                "{text:?} is not a port: 1 to 65535 (HOSTPORT may be 0: any free port)"
            ),
        }
    }
}

impl core::error::Error for PublishError {}

impl FromStr for Publish {
    type Err = PublishError;

    /// ```
    /// # use nexus_usernet::Publish;
    /// let publish: Publish = "8080:80".parse().unwrap();
    /// assert_eq!(publish.host, "127.0.0.1:8080".parse().unwrap());
    /// assert_eq!(publish.port.number(), 80);
    /// ```
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (ports, transport) = match text.split_once('/') {
            None | Some((_, "tcp")) => (text.split('/').next().unwrap_or(text), Transport::Tcp),
            Some((ports, "udp")) => (ports, Transport::Udp),
            Some((_, other)) => return Err(PublishError::Transport(other.into())),
        };
        let (rest, port) = ports.rsplit_once(':').ok_or(PublishError::Form)?;
        let (address, host_port) = match rest.rsplit_once(':') {
            None => (IpAddr::V4(Ipv4Addr::LOCALHOST), rest),
            Some((address, host_port)) => (parse_address(address)?, host_port),
        };
        let number = parse_number(port)?;
        Ok(Self {
            transport,
            host: SocketAddr::new(address, parse_number(host_port)?),
            port: Port::new(number).ok_or_else(|| PublishError::Port(port.into()))?,
        })
    }
}

fn parse_address(text: &str) -> Result<IpAddr, PublishError> {
    let error = || PublishError::Address(text.into());
    match text.strip_prefix('[') {
        Some(rest) => {
            let inner = rest.strip_suffix(']').ok_or_else(error)?;
            inner.parse().map(IpAddr::V6).map_err(|_| error())
        }
        None => text.parse().map(IpAddr::V4).map_err(|_| error()),
    }
}

/// Digits alone: `u16::from_str` would take `+80` too.
fn parse_number(text: &str) -> Result<u16, PublishError> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(number) if digits => Ok(number),
        _ => Err(PublishError::Port(text.into())),
    }
}

impl fmt::Display for Publish {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}/{}", self.host, self.port, self.transport)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forms_people_write() {
        for (text, whole) in [
            ("8080:80", "127.0.0.1:8080:80/tcp"),
            ("8080:80/tcp", "127.0.0.1:8080:80/tcp"),
            ("0:80", "127.0.0.1:0:80/tcp"),
            ("0.0.0.0:5353:53/udp", "0.0.0.0:5353:53/udp"),
            ("[::1]:8080:80", "[::1]:8080:80/tcp"),
            ("192.168.1.5:65535:65535", "192.168.1.5:65535:65535/tcp"),
        ] {
            let publish: Publish = text.parse().unwrap();
            assert_eq!(publish.to_string(), whole);
            assert_eq!(whole.parse::<Publish>().unwrap(), publish);
        }
    }

    #[test]
    fn reject_what_is_no_published_port() {
        use PublishError::{Address, Form, Port, Transport};
        for (text, error) in [
            ("", Form),
            ("80", Form),
            ("8080:80/sctp", Transport("sctp".into())),
            ("8080:80/udp/tcp", Transport("udp/tcp".into())),
            ("8080:0", Port("0".into())),
            ("8080:65536", Port("65536".into())),
            ("65536:80", Port("65536".into())),
            ("8080:+80", Port("+80".into())),
            (":80", Port(String::new())),
            ("8080:", Port(String::new())),
            ("localhost:8080:80", Address("localhost".into())),
            ("::1:8080:80", Address("::1".into())),
            ("[127.0.0.1]:8080:80", Address("[127.0.0.1]".into())),
            ("127.0.0.256:8080:80", Address("127.0.0.256".into())),
        ] {
            assert_eq!(text.parse::<Publish>(), Err(error), "{text}");
        }
    }
}
