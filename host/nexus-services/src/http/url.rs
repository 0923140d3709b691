//! The one parser of URLs. What is judged is what is asked for.
//!
//! `url::Url` reads as browsers do (WHATWG): `127.1`, `0x7f000001`, `①②⑦.0.0.1` are 127.0.0.1, `/a/../b` is `/b`.
//! It also forgives: tabs and line breaks vanish, `\` is `/`, `http:host` has a host. Two readers of such a text
//! differ, so those are refused before it is read.

use core::fmt;
use core::net::IpAddr;

use http::uri::PathAndQuery;
use http::{HeaderValue, Uri};
use nexus_types::{HostName, limits};
use url::Url;

use super::Scheme;
use super::error::UrlFault;

/// Who is asked.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Host {
    /// By name: lower case, ASCII (IDNA), without a trailing dot.
    Name(HostName),
    /// By address; `::ffff:a.b.c.d` is a.b.c.d, whose packets are the same.
    Address(IpAddr),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => name.fmt(f),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

/// A URL that can be asked for: `http` or `https`, a host, no user, no port 0.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestUrl {
    url: Url,
    scheme: Scheme,
    host: Host,
    port: u16,
}

/// The origin alone: paths and queries may hold secrets.
impl fmt::Debug for RequestUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}://{}:{}/…",
            self.scheme.as_str(),
            self.host,
            self.port
        )
    }
}

impl RequestUrl {
    /// Reads a URL.
    pub fn parse(text: &str) -> Result<Self, UrlFault> {
        spelt_plainly(text)?;
        if authority(text).is_none() {
            return Err(UrlFault::Scheme);
        }
        Self::of(Url::parse(text).map_err(|_| UrlFault::Syntax)?)
    }

    /// Where `location`, of a response to this URL, leads (RFC 9110 section 10.2.2).
    pub fn join(&self, location: &[u8]) -> Result<Self, UrlFault> {
        let text = core::str::from_utf8(location).map_err(|_| UrlFault::Character)?;
        // RFC 3986 is ASCII; what is not is read in two ways.
        if text.is_empty() || !text.is_ascii() {
            return Err(UrlFault::Character);
        }
        spelt_plainly(text)?;
        // `http:path` is relative to some readers and absolute to others.
        let scheme = text
            .find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')))
            .is_some_and(|end| text[end..].starts_with(':'));
        if scheme && authority(text).is_none() {
            return Err(UrlFault::Scheme);
        }
        if text.starts_with("//") && !is_host_first(&text[2..]) {
            return Err(UrlFault::Userinfo);
        }
        Self::of(self.url.join(text).map_err(|_| UrlFault::Syntax)?)
    }

    fn of(mut url: Url) -> Result<Self, UrlFault> {
        url.set_fragment(None);
        if url.as_str().len() > limits::HTTP_URL_BYTES {
            return Err(UrlFault::TooLong);
        }
        let scheme = match url.scheme() {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            _ => return Err(UrlFault::Scheme),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlFault::Userinfo);
        }
        let host = match url.host().ok_or(UrlFault::Host)? {
            url::Host::Domain(name) => {
                Host::Name(HostName::parse(name).map_err(|_| UrlFault::Host)?)
            }
            url::Host::Ipv4(address) => Host::Address(address.into()),
            url::Host::Ipv6(address) => Host::Address(IpAddr::from(address).to_canonical()),
        };
        let port = url.port().unwrap_or(scheme.port());
        if port == 0 {
            return Err(UrlFault::Port);
        }
        let url = Self {
            url,
            scheme,
            host,
            port,
        };
        // What goes on the wire is what was judged, to the byte.
        let target = url.target().ok_or(UrlFault::Character)?;
        if target.path() != url.path() || target.query() != url.query() {
            return Err(UrlFault::Character);
        }
        Ok(url)
    }

    /// How the bytes travel.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Who is asked.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port, the scheme's own where none is written.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path: begins with `/`, dot segments gone, percent-encoded.
    pub fn path(&self) -> &str {
        self.url.path()
    }

    /// The query, without its `?`. May hold secrets.
    pub fn query(&self) -> Option<&str> {
        self.url.query()
    }

    /// The whole, without a fragment. May hold secrets.
    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// Whether scheme, host and port are the same (RFC 6454 section 5).
    pub fn same_origin(&self, other: &Self) -> bool {
        (self.scheme, &self.host, self.port) == (other.scheme, &other.host, other.port)
    }

    /// The request target in origin form (RFC 9112 section 3.2.1).
    pub(super) fn target(&self) -> Option<Uri> {
        let text = match self.query() {
            Some(query) => format!("{}?{query}", self.path()),
            None => self.path().to_owned(),
        };
        let path = PathAndQuery::from_maybe_shared(bytes::Bytes::from(text)).ok()?;
        Some(Uri::from(path))
    }

    /// The `Host` header (RFC 9110 section 7.2).
    pub(super) fn host_value(&self) -> Option<HeaderValue> {
        let text = if self.port == self.scheme.port() {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        };
        HeaderValue::try_from(text).ok()
    }
}

/// Refuses what readers of URLs drop or turn into something else.
fn spelt_plainly(text: &str) -> Result<(), UrlFault> {
    if text.len() > limits::HTTP_URL_BYTES {
        return Err(UrlFault::TooLong);
    }
    if text
        .chars()
        .any(|c| c.is_control() || c.is_whitespace() || c == '\\')
    {
        return Err(UrlFault::Character);
    }
    match authority(text) {
        Some(rest) if !is_host_first(rest) => Err(UrlFault::Userinfo),
        _ => Ok(()),
    }
}

/// What follows `http://` or `https://`, if something does.
fn authority(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    let known = scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https");
    (known && !rest.is_empty() && !rest.starts_with('/')).then_some(rest)
}

/// Whether no user, not even an empty one, stands before the host.
fn is_host_first(rest: &str) -> bool {
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    !rest[..end].contains('@')
}
