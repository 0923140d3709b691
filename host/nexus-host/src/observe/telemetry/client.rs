//! One signal's way to its collector: a request, and what became of it.

use std::time::Duration;

use tracing::{debug, warn};
use ureq::Agent;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use super::variables::Exporter;
use super::wire::Message;
use super::{answer, otlp};

/// The most of an answer that is read: it is a number, and a text that is not used.
const ANSWER_BYTES: u64 = 64 << 10;

/// The most of a certificate file that is read: Mozilla's whole list is a quarter of it.
const CERTIFICATE_BYTES: u64 = 1 << 20;

/// What became of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sent {
    All,
    /// It was taken, and so many of what is in it were thrown away.
    But(u64),
    Nothing,
}

/// One signal's way.
pub(super) struct Client {
    signal: &'static str,
    exporter: Exporter,
    agent: Agent,
    /// The last request was not taken: that was said.
    failing: bool,
    /// Of the last request that was taken some was thrown away: that was said.
    rejecting: bool,
}

impl Client {
    /// # Errors
    /// A certificate that cannot be read.
    pub(super) fn new(signal: &'static str, exporter: Exporter) -> Result<Self, String> {
        let mut tls = TlsConfig::builder();
        if let Some(path) = &exporter.certificate {
            tls = tls.root_certs(certificates(path)?);
        }
        let config = Agent::config_builder()
            .http_status_as_error(false)
            // What is said to one host is not carried to another.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("nexus-host/", env!("CARGO_PKG_VERSION")))
            // Ours alone: left to itself the agent would read the variables its own way.
            .proxy(exporter.proxy.clone())
            .tls_config(tls.build())
            .build();
        Ok(Self {
            agent: config.into(),
            signal,
            exporter,
            failing: false,
            rejecting: false,
        })
    }

    /// Says when it is taken no longer or again, and not each time.
    pub(super) fn send(&mut self, request: &Message, limit: Option<Duration>) -> Sent {
        let (kind, body) = otlp::encode(self.exporter.protocol, request);
        let timeout = limit.map_or(self.exporter.timeout, |limit| {
            limit.min(self.exporter.timeout)
        });
        let (signal, place) = (self.signal, self.exporter.place());
        match self.post(kind, &body, timeout) {
            Ok(rejected) => {
                debug!(target: "nexus::telemetry", signal, collector = place, bytes = body.len(), "sent");
                if std::mem::take(&mut self.failing) {
                    warn!(target: "nexus::telemetry", signal, collector = place, "the collector takes it again");
                }
                let was = std::mem::replace(&mut self.rejecting, rejected > 0);
                if rejected == 0 {
                    return Sent::All;
                }
                if !was {
                    warn!(
                        target: "nexus::telemetry",
                        signal,
                        collector = place,
                        rejected,
                        "the collector throws away some of it; counted until it does not"
                    );
                }
                Sent::But(rejected)
            }
            Err(why) => {
                if !std::mem::replace(&mut self.failing, true) {
                    warn!(
                        target: "nexus::telemetry",
                        signal,
                        collector = place,
                        why,
                        "the collector does not take it; dropped and counted until it does"
                    );
                }
                Sent::Nothing
            }
        }
    }

    /// How many of what is in it were thrown away.
    fn post(&self, kind: &str, body: &[u8], timeout: Duration) -> Result<u64, String> {
        if timeout.is_zero() {
            return Err("no time left".to_owned());
        }
        let mut request = self
            .agent
            .post(self.exporter.url.clone())
            .header("content-type", kind);
        for (name, value) in &self.exporter.headers {
            request = request.header(name, value);
        }
        let sent = request
            .config()
            .timeout_global(Some(timeout))
            .build()
            .send(body);
        let mut answer = sent.map_err(|error| error.to_string())?;
        let status = answer.status();
        let said = answer
            .body_mut()
            .with_config()
            .limit(ANSWER_BYTES)
            .read_to_vec();
        // Only numbers: the texts are the collector's.
        if !status.is_success() {
            return Err(format!("status {}", status.as_u16()));
        }
        let said = said.unwrap_or_default();
        Ok(answer::rejected(self.exporter.protocol, &said))
    }
}

fn certificates(path: &std::path::Path) -> Result<RootCerts, String> {
    let wrong = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
    let about = std::fs::metadata(path).map_err(|error| wrong(&error))?;
    if !about.is_file() || about.len() > CERTIFICATE_BYTES {
        return Err(wrong(&"not a file of at most 1 MiB"));
    }
    let pem = std::fs::read(path).map_err(|error| wrong(&error))?;
    let mut list = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| wrong(&error))? {
            list.push(certificate);
        }
    }
    if list.is_empty() {
        return Err(wrong(&"no certificate in it (PEM is wanted)"));
    }
    Ok(RootCerts::from(list))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reject_a_certificate_that_is_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("ca.pem");
        assert!(certificates(&path).is_err());
        std::fs::write(&path, "no certificate").expect("written");
        let said = certificates(&path).expect_err("none in it");
        assert!(said.contains("no certificate in it"), "{said}");
        let file = std::fs::File::create(&path).expect("made");
        file.set_len(CERTIFICATE_BYTES + 1).expect("grown");
        assert!(certificates(&path).is_err());
    }
}
