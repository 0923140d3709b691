//! What `policy check` is asked, read from the command line in every spelling a person may use.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nexus_policy::explain::escape;
use nexus_policy::rule::{DirectoryMode, DirectoryRule};
use nexus_policy::{Capability, host_name, spelling};
use nexus_types::HostName;

/// One thing an app may want to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Question {
    /// As it was asked: `--tcp api.example.com:443`.
    pub(super) asked: String,
    pub(super) wish: Wish,
}

/// What is wished for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Wish {
    /// Connect or send to an address.
    Address(Capability, SocketAddr),
    /// Connect or send to a name.
    Name(Capability, HostName, u16),
    /// An address in a spelling that nothing here reads as one, and what others read in it.
    Misspelt(Capability, Ipv4Addr, u16),
    /// Listen (TCP) or bind (UDP).
    Local(Capability, SocketAddr),
    /// Look a name up.
    Resolve(HostName),
    /// Have a folder: its path as it is to be judged.
    Directory(String, DirectoryMode),
    /// See a variable.
    Variable(String),
}

enum Host {
    Address(IpAddr),
    Name(HostName),
    Misspelt(Ipv4Addr),
}

/// `HOST:PORT`
pub(super) fn far_end(flag: &str, capability: Capability, text: &str) -> Result<Question, String> {
    let (host, port) = host_port(flag, text)?;
    let wish = match host {
        Host::Address(ip) => Wish::Address(capability, SocketAddr::new(ip, port)),
        Host::Name(name) => Wish::Name(capability, name, port),
        Host::Misspelt(v4) => Wish::Misspelt(capability, v4, port),
    };
    Ok(question(flag, text, wish))
}

/// `ADDR:PORT` of the node; `any` and `loopback` as rules have them.
pub(super) fn local(flag: &str, capability: Capability, text: &str) -> Result<Question, String> {
    let word = text.rsplit_once(':').and_then(|(host, port)| {
        let ip = match host {
            "any" | "*" => Ipv4Addr::UNSPECIFIED,
            "loopback" => Ipv4Addr::LOCALHOST,
            _ => return None,
        };
        Some((Host::Address(ip.into()), port_of(flag, text, port)))
    });
    let (host, port) = match word {
        Some((host, port)) => (host, port?),
        None => host_port(flag, text)?,
    };
    let wish = match host {
        Host::Address(ip) => Wish::Local(capability, SocketAddr::new(ip, port)),
        Host::Misspelt(v4) => Wish::Misspelt(capability, v4, port),
        Host::Name(name) => {
            return Err(format!(
                "{flag} {}: `{name}` is a name; an app listens on `any`, `loopback` or an address",
                escape(text)
            ));
        }
    };
    Ok(question(flag, text, wish))
}

/// A name to look up.
pub(super) fn resolve(text: &str) -> Result<Question, String> {
    let wish = match host_of("--resolve", text)? {
        Host::Name(name) => Wish::Resolve(name),
        Host::Misspelt(v4) => Wish::Misspelt(Capability::NetworkTcpConnect, v4, 0),
        Host::Address(ip) => {
            return Err(format!(
                "--resolve {ip}: an address is not looked up; ask --tcp {ip}:PORT"
            ));
        }
    };
    Ok(question("--resolve", text, wish))
}

/// `PATH:ro` or `PATH:rw`. The path is judged with its links resolved, as when it is opened.
pub(super) fn directory(text: &str) -> Result<Question, String> {
    let rule = DirectoryRule::parse(text).map_err(|error| format!("--dir {error}"))?;
    let real = std::fs::canonicalize(rule.path()).ok();
    let path = real
        .as_deref()
        .and_then(|path| path.to_str())
        .unwrap_or(rule.path());
    let wish = Wish::Directory(path.to_owned(), rule.mode());
    Ok(question("--dir", text, wish))
}

/// The name of a variable.
pub(super) fn variable(text: &str) -> Question {
    question("--env", text, Wish::Variable(text.to_owned()))
}

fn question(flag: &str, text: &str, wish: Wish) -> Question {
    Question {
        asked: format!("{flag} {}", escape(text)),
        wish,
    }
}

fn host_port(flag: &str, text: &str) -> Result<(Host, u16), String> {
    let shown = escape(text);
    if text.contains("://") || text.contains('@') {
        return Err(format!(
            "{flag}: write HOST:PORT, without a scheme or a user"
        ));
    }
    let Some((host, port)) = text.rsplit_once(':') else {
        return Err(format!("{flag} {shown} has no port; write {shown}:443"));
    };
    let port = port_of(flag, text, port)?;
    if let Some(inside) = host.strip_prefix('[') {
        let inside = inside.strip_suffix(']');
        let v6 = inside.and_then(|inside| inside.parse::<Ipv6Addr>().ok());
        return match v6 {
            Some(v6) => Ok((Host::Address(v6.into()), port)),
            None => Err(format!(
                "{flag} {shown}: in brackets is an IPv6 address, as in [2001:db8::1]:443"
            )),
        };
    }
    if host.contains(':') {
        return Err(format!(
            "{flag} {shown}: an IPv6 address is written in brackets, [2001:db8::1]:443"
        ));
    }
    Ok((host_of(flag, host)?, port))
}

fn port_of(flag: &str, text: &str, port: &str) -> Result<u16, String> {
    // `parse` takes a plus sign.
    let digits = port.bytes().all(|b| b.is_ascii_digit());
    port.parse().ok().filter(|_| digits).ok_or_else(|| {
        format!(
            "{flag} {}: after the last colon is one port, a number up to 65535",
            escape(text)
        )
    })
}

fn host_of(flag: &str, host: &str) -> Result<Host, String> {
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Ok(Host::Address(ip));
    }
    if let Some(v4) = spelling::numeric(host) {
        return Ok(Host::Misspelt(v4));
    }
    host_name(host)
        .map(Host::Name)
        .map_err(|error| format!("{flag}: `{}` is no host name: {error}", escape(host)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TCP: Capability = Capability::NetworkTcpConnect;

    #[test]
    fn every_spelling_is_read_as_what_it_is() {
        for (text, want) in [
            (
                "10.0.0.1:80",
                Wish::Address(TCP, "10.0.0.1:80".parse().expect("parses")),
            ),
            (
                "[::1]:80",
                Wish::Address(TCP, "[::1]:80".parse().expect("parses")),
            ),
            ("0x7f.1:80", Wish::Misspelt(TCP, Ipv4Addr::LOCALHOST, 80)),
            (
                "API.Example.com.:1",
                Wish::Name(TCP, HostName::parse("api.example.com").expect("parses"), 1),
            ),
        ] {
            assert_eq!(
                far_end("--tcp", TCP, text).map(|q| q.wish),
                Ok(want),
                "{text}"
            );
        }
        let any = local("--listen", TCP, "any:80").map(|q| q.wish);
        assert_eq!(
            any,
            Ok(Wish::Local(TCP, "0.0.0.0:80".parse().expect("parses")))
        );
    }

    #[test]
    fn reject_what_is_no_place_each_with_what_to_write() {
        for (text, says) in [
            ("example.com", "example.com:443"),
            ("example.com:http", "up to 65535"),
            ("example.com:65536", "up to 65535"),
            ("example.com:+1", "up to 65535"),
            ("https://example.com:443", "without a scheme"),
            ("me:secret@example.com:443", "without a scheme or a user"),
            ("::1:80", "in brackets"),
            ("[fe80::1%eth0]:80", "in brackets"),
            ("exa mple:80", "no host name"),
            (":80", "no host name"),
        ] {
            let error = far_end("--tcp", TCP, text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
        assert!(local("--listen", TCP, "example.com:80").is_err());
        assert!(resolve("10.0.0.1").is_err());
        assert!(directory("relative:ro").is_err());
    }
}
