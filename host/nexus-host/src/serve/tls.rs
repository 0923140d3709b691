//! TLS for those who come: 1.2 and 1.3 by rustls with ring, `http/1.1` and `http/1.0`.

use std::fmt;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// A certificate and its key, ready to be shown.
#[derive(Clone)]
pub struct Tls(TlsAcceptor);

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

/// Why two files are no certificate and key. No text of it is theirs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TlsError {
    /// There is no certificate in PEM in the one.
    Certificate,
    /// There is no private key in PEM in the other.
    Key,
    /// The key is not the certificate's, or of a kind that is not spoken here.
    Mismatch,
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "there is no certificate in PEM in it",
            Self::Key => "there is no private key in PEM in it",
            Self::Mismatch => {
                "it is not the key of the certificate, or of a kind that is not known"
            }
        })
    }
}

impl std::error::Error for TlsError {}

impl Tls {
    /// Of a chain of certificates, the server's own first, and its key, both PEM.
    ///
    /// # Errors
    /// They are none, or do not belong together.
    pub fn new(certificates: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificates)
            .collect::<Result<_, _>>()
            .map_err(|_| TlsError::Certificate)?;
        if chain.is_empty() {
            return Err(TlsError::Certificate);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::Key)?;
        // By name, and never the process's default: two providers in one build would make that panic.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13, &TLS12])
            .map_err(|_| TlsError::Mismatch)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|_| TlsError::Mismatch)?;
        // A client that wants 1.0 says so (curl does), and one that is offered nothing it knows must be turned away
        // (RFC 7301 section 3.2).
        config.alpn_protocols = vec![b"http/1.1".to_vec(), b"http/1.0".to_vec()];
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// The handshake. None: there was none. Whoever calls bounds its time.
    pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: S,
    ) -> Option<TlsStream<S>> {
        self.0.accept(stream).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn made() -> (String, String) {
        let names = vec!["localhost".to_owned()];
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a_certificate_and_its_key() {
        let (certificate, key) = made();
        Tls::new(certificate.as_bytes(), key.as_bytes()).expect("they belong together");
    }

    #[test]
    fn reject_what_does_not_belong_together() {
        let ((certificate, key), (_, other)) = (made(), made());
        for (certificate, key, error) in [
            (&key, &key, TlsError::Certificate),
            (&String::new(), &key, TlsError::Certificate),
            (&certificate, &certificate, TlsError::Key),
            (&certificate, &other, TlsError::Mismatch),
        ] {
            let made = Tls::new(certificate.as_bytes(), key.as_bytes());
            assert_eq!(made.expect_err("refused"), error);
        }
    }

    /// Goal: who speaks 1.0 or 1.1, or does not say, is served; who speaks neither is not. Method: handshakes in memory,
    /// and what they agree on.
    #[test]
    fn reject_clients_of_other_protocols() {
        use rustls::pki_types::ServerName;

        let (certificate, key) = made();
        let tls = Tls::new(certificate.as_bytes(), key.as_bytes()).expect("a certificate");
        let mut roots = rustls::RootCertStore::empty();
        let trusted = CertificateDer::from_pem_slice(certificate.as_bytes()).expect("PEM");
        roots.add(trusted).expect("a root");
        let agreed = |offered: &[&str]| {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let mut config = rustls::ClientConfig::builder_with_provider(provider)
                .with_protocol_versions(&[&TLS13, &TLS12])
                .expect("versions")
                .with_root_certificates(roots.clone())
                .with_no_client_auth();
            config.alpn_protocols = offered
                .iter()
                .map(|name| name.as_bytes().to_vec())
                .collect();
            let client = tokio_rustls::TlsConnector::from(Arc::new(config));
            let (near, far) = tokio::io::duplex(16 << 10);
            let name = ServerName::try_from("localhost").expect("a name");
            let mut both = pin!(futures::future::join(
                client.connect(name, near),
                tls.accept(far),
            ));
            // Neither waits for anything but the other.
            let mut cx = Context::from_waker(Waker::noop());
            let (client, server) = loop {
                if let Poll::Ready(ended) = both.as_mut().poll(&mut cx) {
                    break ended;
                }
            };
            assert_eq!(client.is_ok(), server.is_some(), "{offered:?}");
            let stream = client.ok()?;
            let agreed = stream.get_ref().1.alpn_protocol().unwrap_or_default();
            Some(String::from_utf8_lossy(agreed).into_owned())
        };
        for (offered, said) in [
            (&["h2", "http/1.1"][..], Some("http/1.1")),
            (&["http/1.0"], Some("http/1.0")),
            (&[], Some("")),
            (&["h2"], None),
        ] {
            assert_eq!(agreed(offered).as_deref(), said, "{offered:?}");
        }
    }
}
