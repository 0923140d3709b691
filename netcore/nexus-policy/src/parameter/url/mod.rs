//! Where HTTP requests may go.
//!
//! `network.http.request`: `[METHODS ]URL`
//! - `https://api.example.com` or `https://api.example.com/*`: that origin, the latter being how it
//!   is written;
//! - `https://api.example.com/v1/*`: every path below `/v1/`, not `/v1` itself;
//! - `https://api.example.com/v1/me`: that path, whatever the query;
//! - `GET,HEAD https://...`: with these methods alone; without, with all of [`Method::ALL`].
//!
//! `cloud.graphql.query` and `.mutate`: `URL#OPERATION`, the URL of the endpoint as a whole and the
//! name of an operation the app brings, or `#*` for all of them.
//!
//! The host is what it is in a destination ([`crate::rule`]), networks aside: a name (at public
//! addresses alone), `*.example.com`, `host.internal`, an address, a class. An endpoint is one
//! place: a name or an address. The port may be left out where it is the scheme's own.
//!
//! Not supported, each refused with what to write: other schemes, users and passwords, queries, several ports, a
//! path that ends in `/` in a request's rule (it could mean the page or all below it), `*` but as the whole last part
//! of the path, other methods (`CONNECT` and `TRACE` are no app's), and in paths whatever two
//! servers may read in two ways, see [`path`].

mod endpoint;
mod method;
pub mod path;

use core::fmt;

pub use endpoint::{OPERATION_BYTES_MAX, OperationRule};
pub use method::{Method, Methods};

use super::plain;
use crate::explain::escape;
use crate::rule::{HostPattern, RuleError, network_v6};
use path::PathPattern;

/// How the bytes travel.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Scheme {
    /// `http`
    Http,
    /// `https`
    Https,
}

impl Scheme {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port that is meant when none is written.
    pub const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Scheme, host and port: what is trusted as one (RFC 6454 section 4).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Origin {
    /// `https` or `http`
    pub scheme: Scheme,
    /// Never a network of more than one address.
    pub host: HostPattern,
    /// Never 0.
    pub port: u16,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.as_str(), self.host)?;
        if self.port == self.scheme.port() {
            Ok(())
        } else {
            write!(f, ":{}", self.port)
        }
    }
}

/// `GET,HEAD https://api.example.com/v1/*`
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct UrlRule {
    /// How it may be asked.
    pub methods: Methods,
    /// Who may be asked.
    pub origin: Origin,
    /// For what.
    pub path: PathPattern,
}

impl UrlRule {
    /// Reads `[METHODS ]URL`.
    pub fn parse(text: &str) -> Result<Self, RuleError> {
        plain(text, "a URL, `https://api.example.com/v1/*`", true)?;
        let (methods, url) = match text.rsplit_once(' ') {
            Some((methods, url)) => (Methods::parse(methods)?, url),
            None => (Methods::ALL, text),
        };
        // The advice of a part, made a whole rule again.
        let whole = |error: RuleError| RuleError {
            meant: error.meant.map(|url| methods.before(&url)),
            ..error
        };
        let Split { origin, path } = split(url).map_err(whole)?;
        let path = PathPattern::parse(&origin, path).map_err(whole)?;
        Ok(Self {
            methods,
            origin,
            path,
        })
    }
}

/// What two rules have in common, but for their hosts.
impl UrlRule {
    /// Whether all that `other` is about is in this one.
    pub(crate) fn has_all(&self, other: &Self) -> bool {
        self.door() == other.door()
            && self.methods.covers(other.methods)
            && self.path.covers(&other.path)
    }

    /// Whether something is in both.
    pub(crate) fn has_some(&self, other: &Self) -> bool {
        self.door() == other.door()
            && self.methods.meets(other.methods)
            && self.path.meets(&other.path)
    }

    fn door(&self) -> (Scheme, u16) {
        (self.origin.scheme, self.origin.port)
    }
}

impl fmt::Display for UrlRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = format!("{}{}", self.origin, self.path);
        f.write_str(&self.methods.before(&url))
    }
}

struct Split<'a> {
    origin: Origin,
    /// Empty, or from its `/` on.
    path: &'a str,
}

/// Takes a URL apart. What could be a password or a token is not shown.
fn split(url: &str) -> Result<Split<'_>, RuleError> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(no_scheme(url));
    };
    let scheme = match scheme.to_ascii_lowercase().as_str() {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => {
            return Err(RuleError::plain(format!(
                "`{}` is no scheme of these rules; it is `https` or `http`",
                escape(other)
            )));
        }
    };
    let (authority, path) = match rest.find(['/', '?', '#', '\\']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    if authority.contains('@') {
        return Err(RuleError::plain("a URL in a rule has no user and password"));
    }
    if path.contains('?') {
        return Err(RuleError::plain(
            "a URL in a rule has no query: a path is allowed with every query",
        ));
    }
    if path.contains('#') {
        return Err(RuleError::plain(
            "a URL in a rule has no fragment (`#`): it is never sent",
        ));
    }
    let (host, port) = host_and_port(authority)?;
    let port = match port {
        None => scheme.port(),
        Some(text) => parse_port(text)?,
    };
    let host = match host.strip_prefix('[') {
        Some(inside) => match network_v6(inside)? {
            one if one.is_host() => HostPattern::Network(one),
            _ => return Err(no_network()),
        },
        None => HostPattern::parse_plain(host, &port.to_string()).map_err(|error| {
            // Its advice is `host:port`, and here a URL is wanted.
            let url = |text: &str| {
                let (host, _) = text.rsplit_once(':')?;
                let origin = format!("{}://{host}:{port}{path}", scheme.as_str());
                match UrlRule::parse(&origin) {
                    Ok(rule) => Some(rule.to_string()),
                    Err(error) => error.meant,
                }
            };
            RuleError {
                meant: error.meant.as_deref().and_then(url),
                ..error
            }
        })?,
    };
    let origin = Origin { scheme, host, port };
    Ok(Split { origin, path })
}

/// The host (an IPv6 one with its opening bracket alone), and what is after its colon.
fn host_and_port(authority: &str) -> Result<(&str, Option<&str>), RuleError> {
    let shown = escape(authority);
    let (host, port) = if authority.starts_with('[') {
        let Some((host, after)) = authority.split_once(']') else {
            return Err(RuleError::plain(format!(
                "`{shown}`: the bracket is not closed; an address is `[2001:db8::7]`, and a URL names no network"
            )));
        };
        match after.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if after.is_empty() => (host, None),
            None => {
                return Err(RuleError::plain(format!(
                    "`{shown}`: after the bracket comes a colon and the port, or the path"
                )));
            }
        }
    } else {
        match authority.split_once(':') {
            Some((_, port)) if port.contains(':') => {
                return Err(RuleError::plain(format!(
                    "`{shown}`: an IPv6 address is written in brackets, `[2001:db8::7]`"
                )));
            }
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        }
    };
    if host.is_empty() {
        return Err(RuleError::plain(
            "the URL has no host; a rule is a URL, `https://api.example.com/v1/*`",
        ));
    }
    Ok((host, port))
}

fn parse_port(text: &str) -> Result<u16, RuleError> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse::<u16>() {
        Ok(port) if port != 0 && digits && !text.starts_with('0') => Ok(port),
        _ => Err(RuleError::plain(format!(
            "`{}` is no port of a URL: one number from 1 to 65535; a second port is a second rule",
            escape(text)
        ))),
    }
}

fn no_network() -> RuleError {
    RuleError::plain("a URL names no network: name a host, an address or a class of addresses")
}

/// What lacks a scheme is often a destination, or a URL as people say it.
fn no_scheme(text: &str) -> RuleError {
    const IS: &str = "a rule is a URL with its scheme, as in `https://api.example.com/v1/*`";
    let host = text.split(['/', '?', '#']).next().unwrap_or(text);
    match (
        host.contains('@'),
        UrlRule::parse(&format!("https://{text}")),
    ) {
        (false, Ok(rule)) => RuleError::new("a rule is a URL with its scheme", rule.to_string()),
        _ => RuleError::plain(IS),
    }
}
