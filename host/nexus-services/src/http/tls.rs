//! TLS: 1.2 and 1.3 by rustls with ring, Mozilla's roots and those a rule adds, `http/1.1` alone.

use core::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use nexus_types::Duration;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{CertificateError, ClientConfig, RootCertStore, version};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::error::{Error, TlsFault};
use super::guard::Stream;
use super::network::Refusal;
use super::url::Host;

/// What day it is, for what certificates are valid.
pub trait WallClock: Send + Sync + 'static {
    /// Since 1970-01-01 UTC; `None` if nobody knows, and then no certificate is valid.
    fn unix_time(&self) -> Option<Duration>;
}

struct Clock(Box<dyn WallClock>);

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

impl TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        self.0.unix_time().map(UnixTime::since_unix_epoch)
    }
}

/// Whom TLS trusts. Connections made under one are never used under another.
#[derive(Clone)]
pub struct TlsProfile {
    id: u64,
    config: Arc<ClientConfig>,
}

/// Why a file is no list of certificates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RootsError {
    /// It is not PEM.
    Pem,
    /// There is no certificate in it.
    Empty,
    /// One of them cannot be a root.
    Certificate,
    /// This build has no TLS that fits; a fault of ours.
    Provider,
}

impl fmt::Display for RootsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pem => "this is not PEM",
            Self::Empty => "there is no certificate in it",
            Self::Certificate => "a certificate in it cannot be a root",
            Self::Provider => "this build has no TLS 1.2 and 1.3",
        })
    }
}

impl core::error::Error for RootsError {}

impl TlsProfile {
    /// Trusts Mozilla's roots.
    pub fn public(clock: impl WallClock) -> Result<Self, RootsError> {
        Self::new(clock, RootCertStore::empty())
    }

    /// Trusts Mozilla's roots and the certificates of a PEM file. The reader of the file bounds its size.
    pub fn with_roots(clock: impl WallClock, pem: &[u8]) -> Result<Self, RootsError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(pem) {
            roots
                .add(certificate.map_err(|_| RootsError::Pem)?)
                .map_err(|_| RootsError::Certificate)?;
        }
        if roots.is_empty() {
            return Err(RootsError::Empty);
        }
        Self::new(clock, roots)
    }

    fn new(clock: impl WallClock, mut roots: RootCertStore) -> Result<Self, RootsError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        // By name, and never the process's default: two providers in one build would make that panic.
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config =
            ClientConfig::builder_with_details(provider, Arc::new(Clock(Box::new(clock))))
                .with_protocol_versions(&[&version::TLS13, &version::TLS12])
                .map_err(|_| RootsError::Provider)?
                .with_root_certificates(roots)
                .with_no_client_auth();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        // A ticket would tell a server that two apps are on one host, and outlast the policy that allowed it.
        config.resumption = Resumption::disabled();
        Ok(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            config: Arc::new(config),
        })
    }

    /// Tells it from all others of this process.
    pub(super) fn id(&self) -> u64 {
        self.id
    }

    /// Shakes hands over `stream`, in the name of `host`.
    pub(super) async fn connect<S: Stream>(
        &self,
        host: &Host,
        stream: S,
    ) -> Result<TlsStream<S>, Error> {
        let name = match host {
            Host::Name(name) => {
                ServerName::try_from(name.as_str().to_owned()).map_err(|_| TlsFault::WrongName)?
            }
            Host::Address(address) => ServerName::IpAddress((*address).into()),
        };
        TlsConnector::from(self.config.clone())
            .connect(name, stream)
            .await
            .map_err(|error| match fault(&error) {
                Some(fault) => fault.into(),
                None if error.kind() == io::ErrorKind::PermissionDenied => {
                    Refusal::revoked().into()
                }
                None => TlsFault::Closed.into(),
            })
    }
}

impl fmt::Debug for TlsProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TlsProfile({})", self.id)
    }
}

/// What of TLS an error of a stream is, if it is of TLS.
pub(super) fn fault(error: &io::Error) -> Option<TlsFault> {
    use rustls::Error as Tls;
    let error = error.get_ref()?.downcast_ref::<Tls>()?;
    Some(match error {
        Tls::InvalidCertificate(error) => match error {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                TlsFault::Expired
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                TlsFault::NotYetValid
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                TlsFault::WrongName
            }
            CertificateError::UnknownIssuer => TlsFault::UnknownIssuer,
            _ => TlsFault::BadCertificate,
        },
        Tls::AlertReceived(alert) => match alert {
            // How a server says that it speaks another version, cipher or protocol.
            rustls::AlertDescription::ProtocolVersion
            | rustls::AlertDescription::HandshakeFailure
            | rustls::AlertDescription::NoApplicationProtocol => TlsFault::Incompatible,
            _ => TlsFault::Alert,
        },
        Tls::PeerIncompatible(_) | Tls::NoApplicationProtocol => TlsFault::Incompatible,
        Tls::NoCertificatesPresented => TlsFault::BadCertificate,
        Tls::FailedToGetCurrentTime => TlsFault::Clock,
        _ => TlsFault::Protocol,
    })
}
