//! `--ca`: certificates that a person at the keyboard trusts for one run, beside the public ones.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use nexus_caps::RootsFor;
use nexus_services::http::{RequestUrl, TlsProfile};

use super::{CliError, Kind};
use crate::runtime::load::read_text;
use crate::runtime::shown;

/// A file of certificates has a few KiB each; all public roots together have 300.
const CA_BYTES_MAX: u64 = 1 << 20;

/// Whom TLS trusts for this run. There is no variable for it: who widens trust says so at the keyboard.
#[derive(Args, Clone, Default)]
pub(super) struct TrustArgs {
    /// Trust these certificates (PEM), too, for one origin (https://localhost:8443=ca.pem) or for all
    #[arg(long, value_name = "[ORIGIN=]FILE", value_parser = parse)]
    ca: Vec<Ca>,
}

/// One `--ca`.
#[derive(Clone)]
pub(super) struct Ca {
    origin: Option<RequestUrl>,
    file: PathBuf,
}

fn parse(text: &str) -> Result<Ca, String> {
    let Some((origin, file)) = text
        .split_once('=')
        .filter(|(origin, _)| origin.contains("://"))
    else {
        return Ok(Ca {
            origin: None,
            file: text.into(),
        });
    };
    let url = RequestUrl::parse(origin)
        .map_err(|_| format!("`{origin}` is no origin, as https://localhost:8443"))?;
    if url.scheme().as_str() != "https" || url.path() != "/" || url.query().is_some() {
        return Err(format!(
            "`{origin}` is no origin of https: it is https://, a host and perhaps a port"
        ));
    }
    Ok(Ca {
        origin: Some(url),
        file: file.into(),
    })
}

/// To find out whether a file has roots in it; nothing is verified by this clock.
struct AnyDay;

impl nexus_services::http::WallClock for AnyDay {
    fn unix_time(&self) -> Option<std::time::Duration> {
        None
    }
}

impl TrustArgs {
    /// Reads the files.
    ///
    /// # Errors
    /// One cannot be read, or has no certificates in it.
    pub(super) fn read(&self) -> Result<Vec<RootsFor>, CliError> {
        let read = |ca: &Ca| {
            let pem = read_text(&ca.file, CA_BYTES_MAX)
                .map_err(|why| CliError::new(Kind::Config, format!("--ca {why}")))?;
            TlsProfile::with_roots(AnyDay, pem.as_bytes()).map_err(|error| {
                let why = format!("--ca {}: {error}", shown::path(&ca.file));
                CliError::new(Kind::Config, why)
            })?;
            Ok(RootsFor {
                origin: ca.origin.clone(),
                pem: Arc::from(pem.into_bytes()),
            })
        };
        self.ca.iter().map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_may_be_for_one_origin() {
        let all = parse("certs/a=b.pem").unwrap();
        assert_eq!(
            (all.origin.is_none(), all.file),
            (true, "certs/a=b.pem".into())
        );
        let one = parse("https://localhost:8443=ca.pem").unwrap();
        let origin = RequestUrl::parse("https://localhost:8443/x").unwrap();
        assert!(one.origin.unwrap().same_origin(&origin));
        assert_eq!(one.file, PathBuf::from("ca.pem"));
    }

    #[test]
    fn reject_what_is_no_origin() {
        for text in [
            "http://localhost:8443=ca.pem",
            "https://localhost/path=ca.pem",
            "https://user@localhost=ca.pem",
            "https://=ca.pem",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
