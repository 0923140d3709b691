//! Where to and where from: names and addresses in, the WIT's records out.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use crate::Error;
use crate::host::net::types;

/// The longest text taken for a host: RFC 1035 section 2.3.4 with the root's dot.
const NAME_BYTES_MAX: usize = 254;

/// A name, or an address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Host {
    /// For the host to resolve. It checks the name; here it is only bounded.
    Name(String),
    /// As it is.
    Address(IpAddr),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => write!(f, "{address}"),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// Where to: a host and a port.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Remote {
    /// The host.
    pub host: Host,
    /// The port, not 0.
    pub port: u16,
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// What names a far end: `"name:port"`, `("name", port)`, a `SocketAddr`, `(IpAddr, port)`.
///
/// ```
/// use nexus_sdk::svc::net::ToRemote;
///
/// for (remote, text) in [
///     ("example.com:80".to_remote()?, "example.com:80"),
///     (("example.com", 80).to_remote()?, "example.com:80"),
///     ("[::1]:80".to_remote()?, "[::1]:80"),
///     (("::1", 80).to_remote()?, "[::1]:80"),
///     ((std::net::Ipv4Addr::LOCALHOST, 80).to_remote()?, "127.0.0.1:80"),
/// ] {
///     assert_eq!(remote.to_string(), text);
/// }
/// # Ok::<(), nexus_sdk::Error>(())
/// ```
pub trait ToRemote {
    /// The far end, or why this can be none.
    fn to_remote(&self) -> Result<Remote, Error>;
}

impl ToRemote for Remote {
    fn to_remote(&self) -> Result<Remote, Error> {
        remote(self.host.clone(), self.port)
    }
}

impl ToRemote for str {
    fn to_remote(&self) -> Result<Remote, Error> {
        if let Ok(address) = self.parse::<SocketAddr>() {
            return address.to_remote();
        }
        let Some((host, port)) = self.rsplit_once(':') else {
            return Err(Error::invalid(format!(
                "{} has no port; write name:port",
                shown(self)
            )));
        };
        if host.contains(':') {
            return Err(Error::invalid(format!(
                "{} is not name:port; write an IPv6 address in brackets",
                shown(self)
            )));
        }
        (host, parse_port(port)?).to_remote()
    }
}

impl ToRemote for String {
    fn to_remote(&self) -> Result<Remote, Error> {
        self.as_str().to_remote()
    }
}

impl ToRemote for (&str, u16) {
    fn to_remote(&self) -> Result<Remote, Error> {
        let (host, port) = *self;
        let host = match host.parse() {
            Ok(address) => Host::Address(address),
            Err(_) if host.is_empty() => return Err(Error::invalid("the host is empty")),
            Err(_) if host.len() > NAME_BYTES_MAX => {
                return Err(Error::invalid("the host is longer than any name"));
            }
            Err(_) => Host::Name(host.to_owned()),
        };
        remote(host, port)
    }
}

impl ToRemote for (String, u16) {
    fn to_remote(&self) -> Result<Remote, Error> {
        (self.0.as_str(), self.1).to_remote()
    }
}

impl ToRemote for SocketAddr {
    fn to_remote(&self) -> Result<Remote, Error> {
        remote(Host::Address(self.ip()), self.port())
    }
}

macro_rules! address_and_port {
    ($($address:ty)*) => { $(
        impl ToRemote for ($address, u16) {
            fn to_remote(&self) -> Result<Remote, Error> {
                remote(Host::Address(self.0.into()), self.1)
            }
        }
        impl ToLocal for ($address, u16) {
            fn to_local(&self) -> Result<SocketAddr, Error> {
                Ok(SocketAddr::new(self.0.into(), self.1))
            }
        }
    )* };
}

address_and_port!(IpAddr Ipv4Addr Ipv6Addr);

impl<T: ToRemote + ?Sized> ToRemote for &T {
    fn to_remote(&self) -> Result<Remote, Error> {
        (**self).to_remote()
    }
}

/// What names one of our own addresses: `"0.0.0.0:7777"`, a `SocketAddr`, `(IpAddr, port)`. Port 0 takes a
/// free one. Never a name.
pub trait ToLocal {
    /// The address, or why this can be none.
    fn to_local(&self) -> Result<SocketAddr, Error>;
}

impl ToLocal for str {
    fn to_local(&self) -> Result<SocketAddr, Error> {
        self.parse().map_err(|_| {
            Error::invalid(format!(
                "{} is not address:port, such as 0.0.0.0:7777 or [::]:7777",
                shown(self)
            ))
        })
    }
}

impl ToLocal for String {
    fn to_local(&self) -> Result<SocketAddr, Error> {
        self.as_str().to_local()
    }
}

impl ToLocal for SocketAddr {
    fn to_local(&self) -> Result<SocketAddr, Error> {
        Ok(*self)
    }
}

impl<T: ToLocal + ?Sized> ToLocal for &T {
    fn to_local(&self) -> Result<SocketAddr, Error> {
        (**self).to_local()
    }
}

fn remote(host: Host, port: u16) -> Result<Remote, Error> {
    if port == 0 {
        return Err(Error::invalid("nothing can be reached at port 0"));
    }
    Ok(Remote { host, port })
}

fn parse_port(text: &str) -> Result<u16, Error> {
    // `parse` alone would take "+80".
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Error::invalid(format!("{} is not a port", shown(text))));
    }
    text.parse()
        .map_err(|_| Error::invalid(format!("{} is not a port", shown(text))))
}

/// Quoted and cut, so that a message stays short.
fn shown(text: &str) -> String {
    let mut cut: String = text.chars().take(40).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    format!("{cut:?}")
}

pub(super) fn to_wit_ip(address: IpAddr) -> types::IpAddress {
    match address {
        IpAddr::V4(address) => types::IpAddress::Ipv4(address.octets().into()),
        IpAddr::V6(address) => types::IpAddress::Ipv6(address.segments().into()),
    }
}

pub(super) fn from_wit_ip(address: types::IpAddress) -> IpAddr {
    match address {
        types::IpAddress::Ipv4((a, b, c, d)) => Ipv4Addr::new(a, b, c, d).into(),
        types::IpAddress::Ipv6((a, b, c, d, e, f, g, h)) => {
            Ipv6Addr::new(a, b, c, d, e, f, g, h).into()
        }
    }
}

pub(super) fn to_wit(address: SocketAddr) -> types::SocketAddress {
    types::SocketAddress {
        address: to_wit_ip(address.ip()),
        port: address.port(),
    }
}

pub(super) fn from_wit(address: types::SocketAddress) -> SocketAddr {
    match from_wit_ip(address.address) {
        IpAddr::V4(ip) => SocketAddrV4::new(ip, address.port).into(),
        IpAddr::V6(ip) => SocketAddrV6::new(ip, address.port, 0, 0).into(),
    }
}

pub(super) fn to_wit_host(host: Host) -> types::Destination {
    match host {
        Host::Name(name) => types::Destination::Name(name),
        Host::Address(address) => types::Destination::Address(to_wit_ip(address)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stays_a_name_and_an_address_becomes_one() {
        assert_eq!(
            "host.internal:8000".to_remote().unwrap(),
            Remote {
                host: Host::Name("host.internal".into()),
                port: 8000
            }
        );
        assert_eq!(
            "10.0.0.2:80".to_remote().unwrap().host,
            Host::Address(Ipv4Addr::new(10, 0, 0, 2).into())
        );
        // What only looks like an address is a name: the host refuses it.
        assert_eq!(
            "127.1:80".to_remote().unwrap().host,
            Host::Name("127.1".into())
        );
    }

    #[test]
    fn reject_what_names_no_far_end() {
        for text in [
            "",
            "example.com",
            "example.com:",
            ":80",
            "example.com:0",
            "example.com:+80",
            "example.com:65536",
            "example.com:http",
            "::1:80",
            "[::1]",
            "10.0.0.1:0",
        ] {
            let error = text.to_remote().unwrap_err();
            assert_eq!(
                error.code(),
                crate::ErrorCode::InvalidArgument,
                "{text}: {error}"
            );
        }
        assert!((&*"a".repeat(NAME_BYTES_MAX), 80).to_remote().is_ok());
        assert!((&*"a".repeat(NAME_BYTES_MAX + 1), 80).to_remote().is_err());
    }

    #[test]
    fn reject_a_name_to_listen_on() {
        for text in ["localhost:80", "80", "0.0.0.0", ""] {
            assert!(text.to_local().is_err(), "{text}");
        }
        assert!("[::]:0".to_local().is_ok());
    }

    #[test]
    fn addresses_survive_the_way_through_wit() {
        for text in ["192.0.2.1:65535", "[2001:db8::1:2]:1"] {
            let address: SocketAddr = text.parse().unwrap();
            assert_eq!(from_wit(to_wit(address)), address);
        }
    }
}
