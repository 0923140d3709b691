//! By which proxy a collector is reached: the variables that curl and others read, checked before anything is sent.
//!
//! ureq could read them itself. It passes over a value it does not understand, and past a SOCKS proxy it goes straight
//! to the collector: what the operator sends through a proxy, keys among it, would go where nobody meant it to.

use std::collections::BTreeMap;
use std::net::IpAddr;

use nexus_types::InterfaceAddress;
use ureq::Proxy;
use ureq::http::Uri;
use ureq::http::uri::Authority;

use super::variables::{VariableError, error};

/// Variables that name proxies, as `HTTP_PROXY` or `http_proxy`.
pub(super) struct Proxies(BTreeMap<String, String>);

/// Whether a variable of this name is one of them.
pub(super) fn is_ours(name: &str) -> bool {
    ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"]
        .iter()
        .any(|ours| name == *ours || name == ours.to_ascii_lowercase())
}

impl Proxies {
    /// Takes them out of these variables.
    pub(super) fn take(variables: &mut BTreeMap<String, String>) -> Self {
        let (ours, rest) = std::mem::take(variables)
            .into_iter()
            .partition(|(name, _)| is_ours(name));
        *variables = rest;
        Self(ours)
    }

    /// By its name in capitals, or else in small letters.
    fn get(&self, name: &str) -> Option<(&str, &str)> {
        let small = name.to_ascii_lowercase();
        let found = self.0.get_key_value(name);
        let (name, value) = found.or_else(|| self.0.get_key_value(&small))?;
        Some((name, value))
    }

    /// What this URL is reached by; none: straight.
    ///
    /// # Errors
    /// The proxy that would be used cannot be.
    pub(super) fn of(&self, url: &Uri) -> Result<Option<Proxy>, VariableError> {
        let secure = url.scheme_str() == Some("https");
        let host = url.host().unwrap_or_default();
        let port = url.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let spared = |list| is_spared(list, host, port);
        // A proxy's loopback is not ours.
        if is_here(host) || self.get("NO_PROXY").is_some_and(|(_, list)| spared(list)) {
            return Ok(None);
        }
        let name = if secure { "HTTPS_PROXY" } else { "HTTP_PROXY" };
        self.get(name)
            .or_else(|| self.get("ALL_PROXY"))
            .map(|(name, value)| read(name, value))
            .transpose()
    }
}

fn read(name: &str, value: &str) -> Result<Proxy, VariableError> {
    let wrong = |problem| {
        let fix = "write it as http://proxy.example.com:3128 (or https://), or name the collector's host in NO_PROXY";
        Err(error(name, problem, fix))
    };
    let text = if value.contains("://") {
        value.to_owned()
    } else {
        format!("http://{value}")
    };
    let Ok(url) = text.parse::<Uri>() else {
        return wrong("not the URL of a proxy");
    };
    match url.scheme_str() {
        Some("http" | "https") => {}
        Some(scheme) if scheme.starts_with("socks") => return wrong("SOCKS is not spoken here"),
        _ => return wrong("begins with neither http:// nor https://"),
    }
    if !url.authority().is_some_and(names_a_host) {
        return wrong("names no host, or a port there is not");
    }
    if url.path() != "/" || url.query().is_some() || text.contains('#') {
        return wrong("has a path, query or fragment, which a proxy has not");
    }
    Proxy::new(&text).or_else(|_| wrong("not the URL of a proxy"))
}

/// Whether there is a host, and a port that there can be or none.
pub(super) fn names_a_host(authority: &Authority) -> bool {
    let (_, place) = authority
        .as_str()
        .rsplit_once('@')
        .unwrap_or(("", authority.as_str()));
    let port = place.strip_prefix(authority.host());
    !authority.host().is_empty()
        && match port {
            Some("") => true,
            Some(port) => port
                .strip_prefix(':')
                .is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port != 0)),
            None => false,
        }
}

fn address(host: &str) -> Option<IpAddr> {
    host.trim_matches(['[', ']']).parse().ok()
}

/// Whether it is this machine by its loopback.
fn is_here(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || address(host).is_some_and(|a| a.is_loopback())
}

/// Whether `NO_PROXY` has it: `*`, a name and all below it, `.name` for those below it alone, an address, a network
/// such as `10.0.0.0/8`; each with a port or without. As Go has it, in which collectors are written.
fn is_spared(list: &str, host: &str, port: u16) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    list.split(|c: char| c == ',' || c.is_whitespace())
        .filter(|entry| !entry.is_empty())
        .any(|entry| is_entry(&entry.to_ascii_lowercase(), &host, port))
}

fn is_entry(entry: &str, host: &str, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    if let Some(entry) = address(entry) {
        return address(host) == Some(entry);
    }
    if let Some((network, prefix)) = entry.split_once('/') {
        let network = address(network)
            .zip(prefix.parse().ok())
            .and_then(|(network, prefix)| InterfaceAddress::new(network, prefix));
        return network
            .zip(address(host))
            .is_some_and(|(network, host)| network.contains(host));
    }
    if let Some((entry, only)) = entry.rsplit_once(':') {
        return only.parse() == Ok(port) && !entry.contains('/') && is_entry(entry, host, port);
    }
    let name = entry.strip_prefix('*').unwrap_or(entry);
    match name.strip_prefix('.') {
        Some(_) => host.ends_with(name),
        None => {
            host == name
                || host
                    .strip_suffix(name)
                    .is_some_and(|rest| rest.ends_with('.'))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(variables: &[(&str, &str)], url: &str) -> Result<Option<String>, VariableError> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut variables = variables.iter().map(owned).collect();
        let proxies = Proxies::take(&mut variables);
        assert!(variables.is_empty());
        let url = url.parse().expect("a URL");
        let proxy = proxies.of(&url)?;
        Ok(proxy.map(|proxy| format!("{}:{}", proxy.host(), proxy.port())))
    }

    /// Goal: a collector is reached by the proxy of its scheme, else by that of all, and straight if it is this
    /// machine. Method: variables, a URL, and the proxy.
    #[test]
    fn each_scheme_has_its_proxy() {
        let of_http = ("HTTP_PROXY", "http://a:1");
        let small = ("https_proxy", "b:2");
        let of_all = ("ALL_PROXY", "https://u:p%23w@c:3/");
        let (http, https) = ("http://x.example/v1", "https://x.example/v1");
        for (variables, url, want) in [
            (&[][..], http, None),
            (&[of_http, small, of_all], http, Some("a:1")),
            (&[of_http, small, of_all], https, Some("b:2")),
            (&[of_all], https, Some("c:3")),
            (&[of_http], https, None),
            (&[of_http, ("http_proxy", "http://d:4")], http, Some("a:1")),
            (&[of_all], "http://LOCALHOST:4318", None),
            (&[of_all], "http://127.1.2.3:4318", None),
            (&[of_all], "http://[::1]:4318", None),
        ] {
            assert_eq!(by(variables, url), Ok(want.map(str::to_owned)), "{url}");
        }
    }

    #[test]
    fn no_proxy_spares_what_it_names() {
        for (list, url, spared) in [
            ("*", "http://x.example", true),
            ("x.example", "http://X.example:4318", true),
            ("a, x.example", "http://y.x.example", true),
            ("x.example", "http://yx.example", false),
            ("*.x.example", "http://y.x.example", true),
            (".x.example", "http://x.example", false),
            ("x.example:4318", "http://x.example:4318", true),
            ("x.example:443", "https://x.example", true),
            ("x.example:4318", "http://x.example", false),
            ("10.0.0.1", "http://10.0.0.1:4318", true),
            ("10.0.0.1:80", "http://10.0.0.1", true),
            ("10.0.0.0/8", "http://10.9.9.9", true),
            ("10.0.0.0/8", "http://11.0.0.1", false),
            ("10.0.0.0/99", "http://10.0.0.1", false),
            ("2001:db8::/32", "http://[2001:db8::1]:4318", true),
            ("[2001:db8::1]:80", "http://[2001:db8::1]", true),
            (".0.0.1", "http://10.0.0.2", false),
            ("", "http://x.example", false),
        ] {
            let variables = [("ALL_PROXY", "http://a:1"), ("no_proxy", list)];
            let straight = by(&variables, url).expect("good").is_none();
            assert_eq!(straight, spared, "{list} {url}");
        }
    }

    /// Goal: a proxy that cannot be used is refused, and not shown; one that nothing goes by is not looked at.
    #[test]
    fn reject_proxies_that_cannot_be_used_without_repeating_them() {
        for value in [
            "hunter2://x",
            "socks5://u:hunter2@x:1080",
            "socks5h://x",
            "ftp://x",
            "http://",
            "http://u:hunter2@",
            "http://x:0",
            "http://x:hunter2",
            "http://x:99999",
            "http://x:",
            "http://x/hunter2",
            "http://x?hunter2",
            "http://x#hunter2",
            "http://u:%ff@x",
            "hunter2 x",
            "\u{fffd}hunter2",
        ] {
            for name in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
                let error = by(&[(name, value)], "http://x.example").expect_err(value);
                assert_eq!(error.name, name);
                let text = format!("{error} {}", error.fix);
                assert!(!text.contains("hunter2"), "{text}");
            }
            let all = [("HTTP_PROXY", value), ("NO_PROXY", "x.example")];
            assert_eq!(by(&all, "http://x.example"), Ok(None));
            assert_eq!(by(&all, "https://y.example"), Ok(None));
        }
    }
}
