//! What the commands that serve do alike: open where to listen, and tell what it came to.

use std::path::Path;

use nexus_caps::NetCtx;
use nexus_policy::AppIdentity;
use nexus_types::{ErrorCode, Instant, limits};
use serde_json::json;
use zeroize::Zeroizing;

use super::listen::Listen;
use super::start::Host;
use super::{CliError, Kind, Output};
use crate::runtime::instance::{Ended, Outcome, Usage};
use crate::runtime::load::read_text;
use crate::runtime::shown;
use crate::serve::{Listener as _, Served, Server, StackListener, Tls, TlsError};

/// A chain of certificates has a few KiB.
const TLS_BYTES_MAX: u64 = 1 << 20;

/// Reads a certificate and its key; `what` each is called. Of a key file nothing is ever said but that it is none.
pub(super) fn read_tls(certificate: &Path, key: &Path, what: [&str; 2]) -> Result<Tls, CliError> {
    let read = |path: &Path| {
        let text = read_text(path, TLS_BYTES_MAX);
        text.map_err(|why| CliError::new(Kind::Config, why))
    };
    let chain = read(certificate)?;
    let secret = Zeroizing::new(read(key)?);
    Tls::new(chain.as_bytes(), secret.as_bytes()).map_err(|error| {
        let (what, path) = match error {
            TlsError::Certificate => (what[0], certificate),
            TlsError::Key | TlsError::Mismatch => (what[1], key),
        };
        let why = format!("{what} {}: {error}", shown::path(path));
        CliError::new(Kind::Config, why)
    })
}

/// Opens places to listen at, and says so.
pub(super) struct Opening<'a> {
    /// What stands before a place in an error.
    pub(super) what: &'a str,
    /// Which app it is, where there are several.
    pub(super) by: Option<&'a str>,
    pub(super) output: Output,
    pub(super) quiet: bool,
}

impl Opening<'_> {
    /// Opens one.
    ///
    /// # Errors
    /// The gate does not let the app, or the port is taken.
    pub(super) fn listen(
        &self,
        host: &mut Host,
        server: &Server,
        net: &NetCtx,
        (at, tls): (Listen, &Option<Tls>),
    ) -> Result<(), CliError> {
        let what = self.what;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let (local, chosen) = match at {
            Listen::Kernel(address) => {
                let listener = host.driver().listen(address, limits::SERVE_BACKLOG);
                let listener = listener.map_err(|error| {
                    CliError::new(Kind::Host, format!("{what}{address}: {error}"))
                        .hint("name another port, or port 0 for any that is free")
                })?;
                let local = listener.local();
                server.listen(listener, tls.clone());
                if !local.ip().is_loopback() {
                    host.outputs()[1].say(&format!(
                        "note: {local} is not on the loopback: whoever reaches this machine can send requests to the app\n"
                    ));
                }
                (format!("{scheme}://{local}/"), address.port() == 0)
            }
            Listen::Stack(address) => {
                let listener = StackListener::bind(net.clone(), address).map_err(|error| {
                    let kind = match error.code {
                        ErrorCode::Denied => Kind::Refused,
                        _ => Kind::Host,
                    };
                    CliError::new(kind, format!("{what}stack:{address}: {error}")).hint(
                        "a port of the app's node needs its network.tcp.listen, as in --allow network.tcp.listen=any:80",
                    )
                })?;
                let local = listener.local();
                server.listen(listener, tls.clone());
                (format!("{scheme}://{local}/ of {}", net.node), false)
            }
        };
        // A port nobody chose has to be said, or nobody could come.
        let line = match (self.output, self.by) {
            (Output::Json, None) => format!("{}\n", json!({"serving": local})),
            (Output::Json, Some(app)) => format!("{}\n", json!({"serving": local, "app": app})),
            (Output::Text, _) if self.quiet && !chosen => return Ok(()),
            (Output::Text, None) => format!("serving {local}\n"),
            (Output::Text, Some(app)) => format!("serving {local} by {app}\n"),
        };
        host.outputs()[1].say(&line);
        Ok(())
    }
}

/// An app that served from `began` on has ended, with all its instances.
pub(super) fn ended(
    host: &mut Host,
    server: &Server,
    (identity, net): (&AppIdentity, &NetCtx),
    (began, outcome): (Instant, Outcome),
) -> Ended {
    let used = host.ended(net, identity, &outcome);
    let totals = server.totals();
    Ended {
        usage: Usage {
            wall: net.shard.now().saturating_since(began),
            cpu: totals.cpu,
            slices: totals.slices,
            memory_bytes_peak: totals.memory_bytes_peak,
            table_elements_peak: totals.table_elements_peak,
            net: used,
        },
        outcome,
        over_limit: false,
    }
}

/// What was served, for a person.
pub(super) fn told(app: &str, served: &Served) -> String {
    let mut text = format!(
        "nexus-host: {app}: {} requests ({} failed) on {} connections by {} instances\n",
        served.requests, served.failed, served.connections, served.instances
    );
    if served.cut > 0 {
        text.push_str(&format!(
            "warning: {} requests had not ended when the grace period had; they were cut off\n",
            served.cut
        ));
    }
    if served.lines_dropped > 0 {
        text.push_str(&format!(
            "warning: {} lines of the access log had no reader; they are lost\n",
            served.lines_dropped
        ));
    }
    text
}

/// The same for a report.
pub(super) fn of_served(served: &Served) -> serde_json::Value {
    json!({
        "requests": served.requests,
        "failed": served.failed,
        "connections": served.connections,
        "instances": served.instances,
        "cut": served.cut,
        "access_lines_dropped": served.lines_dropped,
    })
}
