//! The command line.

use core::net::{Ipv4Addr, SocketAddr};

use nexus_sdk::svc::net::{Remote, ToRemote};

/// RFC 868's own port.
const TIME_PORT: u16 = 37;

/// Where we serve: 37 is not for everybody.
const SERVE_PORT: u16 = 3737;

const USAGE: &str = "usage: udp-time ask HOST[:PORT] | udp-time serve [ADDRESS:PORT]";

/// What the arguments ask for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Options {
    /// Ask this server.
    Ask(Remote),
    /// Serve here.
    Serve(SocketAddr),
}

impl Options {
    /// Reads the arguments, without the app's name.
    pub(crate) fn parse(args: &[String]) -> Result<Self, String> {
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        match args.as_slice() {
            ["ask", host] => host
                .to_remote()
                .or_else(|error| {
                    // Without a port: a name, or an address that is not one already.
                    if host.contains(':') && host.parse::<core::net::Ipv6Addr>().is_err() {
                        Err(error)
                    } else {
                        (*host, TIME_PORT).to_remote()
                    }
                })
                .map(Self::Ask)
                .map_err(|error| format!("{}; {USAGE}", error.why())),
            ["serve"] => Ok(Self::Serve((Ipv4Addr::UNSPECIFIED, SERVE_PORT).into())),
            ["serve", local] => local
                .parse()
                .map(Self::Serve)
                .map_err(|_| format!("{local:?} is not address:port; {USAGE}")),
            _ => Err(USAGE.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Options, String> {
        Options::parse(&args.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn asking_takes_a_host_with_or_without_a_port() {
        for (text, expected) in [
            ("host.internal", "host.internal:37"),
            ("host.internal:3737", "host.internal:3737"),
            ("10.0.0.2", "10.0.0.2:37"),
            ("::1", "[::1]:37"),
            ("[::1]:3737", "[::1]:3737"),
        ] {
            let Ok(Options::Ask(remote)) = parse(&["ask", text]) else {
                panic!("{text}");
            };
            assert_eq!(remote.to_string(), expected);
        }
    }

    #[test]
    fn serving_takes_an_address_or_none() {
        assert_eq!(
            parse(&["serve"]),
            Ok(Options::Serve("0.0.0.0:3737".parse().unwrap()))
        );
        assert_eq!(
            parse(&["serve", "[::]:1"]),
            Ok(Options::Serve("[::]:1".parse().unwrap()))
        );
    }

    #[test]
    fn reject_other_arguments() {
        for args in [
            &[][..],
            &["ask"],
            &["ask", "a:b"],
            &["ask", "a:0"],
            &["ask", ""],
            &["ask", "a", "b"],
            &["serve", "localhost:1"],
            &["tell"],
        ] {
            assert!(parse(args).is_err(), "{args:?}");
        }
    }
}
