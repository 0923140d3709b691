//! The command line.

use core::net::{Ipv4Addr, SocketAddr};

/// What the arguments ask for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Options {
    /// Where to listen.
    pub(crate) listen: SocketAddr,
}

impl Options {
    /// Reads the arguments, without the app's name.
    pub(crate) fn parse(args: &[String]) -> Result<Self, String> {
        let listen = match args {
            [] => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 7777)),
            [one] => one.parse().map_err(|_| {
                format!("usage: tcp-echo [ADDRESS:PORT]; {one:?} is not address:port")
            })?,
            _ => return Err("usage: tcp-echo [ADDRESS:PORT]".into()),
        };
        Ok(Self { listen })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str]) -> Result<Options, String> {
        Options::parse(&args.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn one_argument_or_none() {
        assert_eq!(parse(&[]).unwrap().listen.to_string(), "0.0.0.0:7777");
        assert_eq!(parse(&["[::]:80"]).unwrap().listen.to_string(), "[::]:80");
    }

    #[test]
    fn reject_other_arguments() {
        assert!(parse(&["localhost:80"]).is_err());
        assert!(parse(&["7777"]).is_err());
        assert!(parse(&["0.0.0.0:1", "0.0.0.0:2"]).is_err());
    }
}
