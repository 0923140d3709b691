//! The command line.

use core::net::{Ipv4Addr, SocketAddr};
use core::num::NonZeroUsize;

const USAGE: &str = "usage: tcp-echo [ADDRESS:PORT [CONNECTIONS]]";

/// Most connections served at once, unless said: well below the host's default quota of sockets, so
/// that it is our backlog that fills and not an error that shows.
const CONNECTIONS: NonZeroUsize = NonZeroUsize::new(200).unwrap();

/// What the arguments ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Options {
    /// Where to listen.
    pub(crate) listen: SocketAddr,
    /// Most connections served at once.
    pub(crate) connections: NonZeroUsize,
}

impl Options {
    /// Reads the arguments, without the app's name.
    pub(crate) fn parse(args: &[String]) -> Result<Self, String> {
        let (listen, connections) = match args {
            [] => (None, None),
            [listen] => (Some(listen), None),
            [listen, connections] => (Some(listen), Some(connections)),
            _ => return Err(USAGE.into()),
        };
        let listen = match listen {
            None => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 7777)),
            Some(text) => text
                .parse()
                .map_err(|_| format!("{USAGE}; {text:?} is not address:port"))?,
        };
        let connections = match connections {
            None => CONNECTIONS,
            Some(text) => text
                .parse()
                .map_err(|_| format!("{USAGE}; {text:?} is not a number above 0"))?,
        };
        Ok(Self {
            listen,
            connections,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Options, String> {
        Options::parse(&args.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn arguments_have_defaults() {
        assert_eq!(parse(&[]).unwrap().listen.to_string(), "0.0.0.0:7777");
        let given = parse(&["[::]:80", "1000"]).unwrap();
        assert_eq!(given.listen.to_string(), "[::]:80");
        assert_eq!(given.connections.get(), 1_000);
    }

    #[test]
    fn reject_other_arguments() {
        assert!(parse(&["localhost:80"]).is_err());
        assert!(parse(&["7777"]).is_err());
        assert!(parse(&["0.0.0.0:1", "0.0.0.0:2"]).is_err());
        assert!(parse(&["0.0.0.0:1", "0"]).is_err());
        assert!(parse(&["0.0.0.0:1", "1", "1"]).is_err());
    }
}
