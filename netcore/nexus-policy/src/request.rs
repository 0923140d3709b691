//! A request of HTTP as it is judged: its method, and of its URL what rules are about.
//!
//! What is not in it decides nothing and is in no record: user and password, query, fragment, headers, body.
//!
//! The parts come from whoever has parsed the URL, once: the request on the wire is built from the same. They are checked here again,
//! strictly: a host that one reader takes for an address and another for a name (`127.1`, `0x7f000001`) is neither.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use nexus_types::{HostName, HostNameError};

use crate::parameter::url::path::RequestPath;
use crate::parameter::url::{Method, Scheme};
use crate::rule::host_name;

/// The longest path that is judged. Stops an app from making a decision, or what is kept with a connection, large: a
/// URL is at most 8 KiB long.
pub const PATH_BYTES_MAX: usize = 8_192;

/// Of a path, what refusals and records show.
const SHOWN_BYTES_MAX: usize = 256;

/// A URL as rules see it. Copies share what is in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RequestUrl(Arc<Parts>);

#[derive(PartialEq, Eq, Debug)]
struct Parts {
    scheme: Scheme,
    host: UrlHost,
    port: u16,
    path: RequestPath,
}

/// Whom a URL names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum UrlHost {
    /// A name, in its one form.
    Name(HostName),
    /// An address, as the packets would carry it.
    Address(IpAddr),
}

/// Why parts make no URL that can be judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum UrlError {
    /// It is neither `http` nor `https`.
    Scheme,
    /// There is none.
    NoHost,
    /// It is no address in its usual form, and no name.
    Host(HostNameError),
    /// It is 0.
    Port,
    /// It does not begin with `/`, or has a character in it that no path has: a blank, a control character, a letter
    /// beyond ASCII, `?`, `#`.
    Path,
    /// The path is longer than [`PATH_BYTES_MAX`].
    TooLong,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scheme => f.write_str("the scheme is neither http nor https"),
            Self::NoHost => f.write_str("the URL has no host"),
            Self::Host(error) => write!(f, "the host is no host: {error}"),
            Self::Port => f.write_str("port 0 is no port of a URL"),
            Self::Path => f.write_str("the path has a character in it that no path has"),
            Self::TooLong => write!(f, "the path is longer than {PATH_BYTES_MAX} bytes"),
        }
    }
}

impl core::error::Error for UrlError {}

impl RequestUrl {
    /// Puts a URL together from its parts: the host as it stands in the URL, IPv6 in brackets; no port is the scheme's
    /// own; the path without query, percent-encoded as it is sent, empty for `/`.
    ///
    /// # Errors
    /// A part is none.
    pub fn new(scheme: &str, host: &str, port: Option<u16>, path: &str) -> Result<Self, UrlError> {
        let scheme = [Scheme::Http, Scheme::Https]
            .into_iter()
            .find(|known| known.as_str().eq_ignore_ascii_case(scheme))
            .ok_or(UrlError::Scheme)?;
        let port = match port {
            Some(0) => return Err(UrlError::Port),
            Some(port) => port,
            None => scheme.port(),
        };
        if path.len() > PATH_BYTES_MAX {
            return Err(UrlError::TooLong);
        }
        let path = RequestPath::parse(path).ok_or(UrlError::Path)?;
        Ok(Self(Arc::new(Parts {
            scheme,
            host: UrlHost::parse(host)?,
            port,
            path,
        })))
    }

    /// How the bytes travel.
    pub fn scheme(&self) -> Scheme {
        self.0.scheme
    }

    /// Whom it names.
    pub fn host(&self) -> &UrlHost {
        &self.0.host
    }

    /// The name, if its host is one.
    pub fn name(&self) -> Option<&HostName> {
        match self.host() {
            UrlHost::Name(name) => Some(name),
            UrlHost::Address(_) => None,
        }
    }

    /// The address, if its host is one.
    pub fn address(&self) -> Option<IpAddr> {
        match self.host() {
            UrlHost::Name(_) => None,
            UrlHost::Address(address) => Some(*address),
        }
    }

    /// Never 0.
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// The path, in the form that rules are in.
    pub fn path(&self) -> &str {
        self.0.path.as_str()
    }

    /// Whether all servers read the path alike. Of one that they do not, only a rule for the whole origin allows it.
    pub fn is_plain(&self) -> bool {
        self.0.path.is_plain()
    }

    /// Whether scheme, host and port are the same: what one connection can be used for.
    pub fn is_same_origin(&self, other: &Self) -> bool {
        (self.scheme(), self.host(), self.port()) == (other.scheme(), other.host(), other.port())
    }
}

impl UrlHost {
    fn parse(host: &str) -> Result<Self, UrlError> {
        if host.is_empty() {
            return Err(UrlError::NoHost);
        }
        if let Some(inside) = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
        {
            let address: Ipv6Addr = inside
                .parse()
                .map_err(|_| UrlError::Host(HostNameError::BadCharacter('[')))?;
            return Ok(Self::Address(address.into()));
        }
        match host.parse::<Ipv4Addr>() {
            Ok(address) => Ok(Self::Address(address.into())),
            Err(_) => host_name(host).map(Self::Name).map_err(UrlError::Host),
        }
    }
}

impl fmt::Display for UrlHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => fmt::Display::fmt(name, f),
            Self::Address(IpAddr::V4(v4)) => fmt::Display::fmt(v4, f),
            Self::Address(IpAddr::V6(v6)) => write!(f, "[{v6}]"),
        }
    }
}

/// As refusals and records show it: a long path is cut. It has no character in it that a terminal could take amiss.
impl fmt::Display for RequestUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme().as_str(), self.host())?;
        if self.port() != self.scheme().port() {
            write!(f, ":{}", self.port())?;
        }
        // A path in its one form is ASCII.
        match self.path().get(..SHOWN_BYTES_MAX) {
            Some(head) if head.len() < self.path().len() => write!(f, "{head}…"),
            _ => f.write_str(self.path()),
        }
    }
}

/// One request, as it is judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Request<'a> {
    /// Its method; none: one that no rule names (`OPTIONS`, `CONNECT`, `TRACE`, an invented one), so that its refusal
    /// is recorded as every other.
    pub method: Option<Method>,
    /// For what.
    pub url: &'a RequestUrl,
    /// Whether a server sent the app there. The same rules hold; a refusal says so.
    pub redirected: bool,
}

impl Request<'_> {
    /// To be kept.
    pub fn kept(&self) -> KeptRequest {
        KeptRequest {
            method: self.method,
            url: self.url.clone(),
            redirected: self.redirected,
        }
    }
}

impl fmt::Display for Request<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.method {
            Some(method) => write!(f, "{method} {}", self.url),
            None => write!(f, "(other method) {}", self.url),
        }
    }
}

/// A request as a permit, a refusal or a connection keeps it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeptRequest {
    method: Option<Method>,
    url: RequestUrl,
    redirected: bool,
}

impl KeptRequest {
    /// To be judged.
    pub fn request(&self) -> Request<'_> {
        Request {
            method: self.method,
            url: &self.url,
            redirected: self.redirected,
        }
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
mod tests;
