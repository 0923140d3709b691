//! What of a URL (RFC 3986) a plain HTTP request needs.

/// Longer ones are refused: servers refuse them too.
const URL_BYTES_MAX: usize = 8 * 1024;

/// `http://host[:port]/path?query`
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Url {
    /// A name or an address, without brackets.
    pub(crate) host: String,
    /// 80 if not given.
    pub(crate) port: u16,
    /// Path and query, as given; `/` if there is none.
    pub(crate) target: String,
}

impl Url {
    /// Reads a URL, or says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.len() > URL_BYTES_MAX {
            return Err(format!("the URL is longer than {URL_BYTES_MAX} bytes"));
        }
        // Also what keeps a line break, and with it another header, out of the request.
        if let Some(bad) = text.chars().find(|c| !c.is_ascii_graphic()) {
            return Err(format!(
                "{bad:?} cannot be in a URL; write it percent-encoded"
            ));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err("the URL has no scheme; write http://host/path".into());
        };
        if !scheme.eq_ignore_ascii_case("http") {
            return Err(format!("only http is spoken here, not {scheme}"));
        }
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        if authority.contains('@') {
            return Err("a user name or password in a URL is not sent; leave it out".into());
        }
        let (host, port) = match authority.strip_prefix('[') {
            Some(rest) => {
                let Some((address, after)) = rest.split_once(']') else {
                    return Err("the bracket of the IPv6 address is not closed".into());
                };
                if address.parse::<core::net::Ipv6Addr>().is_err() {
                    return Err(format!("[{address}] is not an IPv6 address"));
                }
                (
                    address,
                    after
                        .strip_prefix(':')
                        .or((!after.is_empty()).then_some(after)),
                )
            }
            None => match authority.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (authority, None),
            },
        };
        if host.is_empty() {
            return Err("the URL has no host".into());
        }
        let port = match port {
            // "http://host:/" is allowed by RFC 3986 section 3.2.3.
            None | Some("") => 80,
            Some(digits) => digits
                .parse()
                .ok()
                .filter(|port| *port != 0 && digits.bytes().all(|b| b.is_ascii_digit()))
                .ok_or_else(|| format!("{digits:?} is not a port"))?,
        };
        let target = match target.chars().next() {
            None => "/".to_owned(),
            Some('?') => format!("/{target}"),
            Some(_) => target.to_owned(),
        };
        Ok(Self {
            host: host.to_owned(),
            port,
            target,
        })
    }

    /// The request. `Host` is not of HTTP/1.0, but servers of many names need it.
    pub(crate) fn request(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        let port = if self.port == 80 {
            String::new()
        } else {
            format!(":{}", self.port)
        };
        format!(
            "GET {} HTTP/1.0\r\nHost: {host}{port}\r\nUser-Agent: nexus-fetch/0.1\r\nAccept: */*\r\n\r\n",
            self.target
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(host: &str, port: u16, target: &str) -> Url {
        Url {
            host: host.into(),
            port,
            target: target.into(),
        }
    }

    #[test]
    fn parts() {
        for (text, expected) in [
            (
                "http://host.internal:8000/",
                url("host.internal", 8000, "/"),
            ),
            ("http://example.com", url("example.com", 80, "/")),
            (
                "HTTP://example.com:/a/b?c=d#e",
                url("example.com", 80, "/a/b?c=d"),
            ),
            ("http://example.com?q", url("example.com", 80, "/?q")),
            ("http://[::1]:8080/x", url("::1", 8080, "/x")),
            ("http://[::1]", url("::1", 80, "/")),
            ("http://a/b:c@d", url("a", 80, "/b:c@d")),
        ] {
            assert_eq!(Url::parse(text).as_ref(), Ok(&expected), "{text}");
        }
    }

    #[test]
    fn the_request_names_the_host() {
        let request = url("::1", 8080, "/x").request();
        assert!(
            request.starts_with("GET /x HTTP/1.0\r\nHost: [::1]:8080\r\n"),
            "{request}"
        );
        assert!(request.ends_with("\r\n\r\n"));
    }

    #[test]
    fn reject_what_is_no_plain_http_url() {
        for text in [
            "",
            "example.com",
            "https://example.com/",
            "http://",
            "http:///path",
            "http://user:secret@example.com/",
            "http://example.com:0/",
            "http://example.com:65536/",
            "http://example.com:+80/",
            "http://example.com:80:80/",
            "http://[::1/",
            "http://[example.com]/",
            "http://[::1]x/",
            "http://example.com/a b",
            "http://example.com/\r\nX-Injected: 1",
            "http://bücher.example/",
        ] {
            assert!(Url::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn lengths_at_and_over_the_limit() {
        let at = format!("http://a/{}", "x".repeat(URL_BYTES_MAX - 9));
        assert_eq!(at.len(), URL_BYTES_MAX);
        assert!(Url::parse(&at).is_ok());
        assert!(Url::parse(&format!("{at}x")).is_err());
    }
}
