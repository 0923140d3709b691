//! Where an app that is served listens, as flags and files say it.

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

use nexus_policy::explain::escape;
use serde::Deserialize;
use toml::Spanned;

use super::world::Checker;

/// A place to listen at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Listen {
    /// A port of this machine.
    Kernel(SocketAddr),
    /// A port of the app's node.
    Stack(SocketAddr),
}

impl Listen {
    /// A port of the app's node, at all its addresses of IPv4.
    fn of_port(port: u16) -> Self {
        Self::Stack((Ipv4Addr::UNSPECIFIED, port).into())
    }
}

impl FromStr for Listen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || {
            "ADDR:PORT, as in 127.0.0.1:8080 or [::1]:8080; or stack:PORT, a port of the app's own node".to_owned()
        };
        match text.strip_prefix("stack:") {
            None => text.parse().map(Self::Kernel).map_err(|_| bad()),
            Some(text) => match text.parse() {
                Ok(port) => Ok(Self::of_port(port)),
                Err(_) => text.parse().map(Self::Stack).map_err(|_| bad()),
            },
        }
    }
}

/// `serve` of a `[[node.app]]`: `80`, which is `"stack:80"`; `"127.0.0.1:8080"`; or a list of such.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a port of the app's node, as in 80, \"stack:80\" or \"stack:10.0.0.1:80\", or a list of such"
)]
pub(super) enum Serve {
    /// A port of its node.
    Port(u16),
    /// As `--listen` has it.
    One(String),
    /// Several of them.
    Some(Vec<String>),
}

impl Checker<'_> {
    /// Where an app is to be served, of which there is at least one place. Empty: it is not, or that is a problem.
    pub(super) fn serve(&mut self, said: Option<&Spanned<Serve>>) -> Vec<Listen> {
        let Some(said) = said else {
            return Vec::new();
        };
        let texts = match said.get_ref() {
            Serve::Port(port) => &[format!("stack:{port}")][..],
            Serve::One(text) => std::slice::from_ref(text),
            Serve::Some(texts) => texts,
        };
        let mut places = Vec::new();
        for text in texts {
            match text.parse() {
                // Who comes to a node has to know where.
                Ok(Listen::Stack(at)) if at.port() == 0 => {
                    self.problem(said.span(), "port 0 is nowhere".into());
                }
                Ok(place) if places.contains(&place) => {
                    let message = format!("`{}` is said twice", escape(text));
                    self.problem(said.span(), message);
                }
                Ok(place) => places.push(place),
                Err(wanted) => {
                    let message = format!("`{}` is not {wanted}", escape(text));
                    self.problem(said.span(), message);
                }
            }
        }
        if texts.is_empty() {
            self.problem(said.span(), "a list of places to listen at is empty".into());
        }
        places
    }
}
