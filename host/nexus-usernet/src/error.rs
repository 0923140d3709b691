//! Why the NIC cannot start.

use std::fmt;
use std::io;

use nexus_types::{SocketAddr, Transport};

/// Why [`crate::UserNet::new`] failed. All of these are the operator's to mend.
#[derive(Debug)]
pub enum UserNetError {
    /// Another program listens on the address and port of a `--publish`. Choose another HOSTPORT.
    PortInUse {
        /// Where the kernel should have listened.
        host: SocketAddr,
        /// TCP or UDP.
        transport: Transport,
    },
    /// The kernel does not let this process listen there: a port below 1024, as a rule.
    NotAllowed {
        /// Where the kernel should have listened.
        host: SocketAddr,
        /// TCP or UDP.
        transport: Transport,
    },
    /// The address of a `--publish` is none of this host's.
    NoSuchAddress {
        /// Where the kernel should have listened.
        host: SocketAddr,
        /// TCP or UDP.
        transport: Transport,
    },
    /// The kernel refused for another reason.
    Listen {
        /// Where the kernel should have listened.
        host: SocketAddr,
        /// TCP or UDP.
        transport: Transport,
        /// What it said.
        error: io::Error,
    },
    /// The gateway's own stack cannot be set up; a fault of ours.
    Gateway(nexus_stack::ConfigError),
}

impl UserNetError {
    pub(crate) fn listen(host: SocketAddr, transport: Transport, error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::AddrInUse => Self::PortInUse { host, transport },
            io::ErrorKind::PermissionDenied => Self::NotAllowed { host, transport },
            io::ErrorKind::AddrNotAvailable => Self::NoSuchAddress { host, transport },
            _ => Self::Listen {
                host,
                transport,
                error,
            },
        }
    }
}

impl fmt::Display for UserNetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PortInUse { host, transport } => write!(
                f,
                "cannot publish {transport} port {} on {}: it is in use by another program",
                host.port(),
                host.ip()
            ),
            Self::NotAllowed { host, transport } => write!(
                f,
                "cannot publish {transport} port {} on {}: this user may not listen there \
                 (ports below 1024 need a privilege)",
                host.port(),
                host.ip()
            ),
            Self::NoSuchAddress { host, transport } => write!(
                f,
                "cannot publish {transport} port {} on {}: the address is none of this host's",
                host.port(),
                host.ip()
            ),
            Self::Listen {
                host,
                transport,
                error,
            } => write!(
                f,
                "cannot publish {transport} port {} on {}: {error}",
                host.port(),
                host.ip()
            ),
            Self::Gateway(error) => write!(f, "cannot set up the gateway: {error}"),
        }
    }
}

impl std::error::Error for UserNetError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Listen { error, .. } => Some(error),
            Self::Gateway(error) => Some(error),
            _ => None,
        }
    }
}
