//! What the client stands on: who permits, resolves and connects, and what time it is.

use core::fmt;
use core::future::Future;
use core::net::SocketAddr;

use nexus_types::{InstanceId, Instant, PolicyEpoch, Reason, Why};
use tokio::io::{AsyncRead, AsyncWrite};

use super::Method;
use super::error::{Error, Phase};
use super::limits::Limits;
use super::tls::TlsProfile;
use super::url::RequestUrl;

/// On whose behalf. From the channel, never from a payload.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Caller(pub InstanceId);

/// One request on the wire that has to be judged: the first, or where a redirect leads.
#[derive(Clone, Copy)]
pub struct Hop<'a> {
    /// How many redirects led here; 0 is the request itself.
    pub index: u8,
    /// How it is asked.
    pub method: Method,
    /// For what, already parsed.
    pub url: &'a RequestUrl,
}

/// What a rule gives for a hop.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Which grant it is. Connections are shared under one key alone: another rule, another account,
    /// another number.
    pub key: u64,
    /// The epoch it was given in.
    pub epoch: PolicyEpoch,
    /// What it allows.
    pub limits: Limits,
    /// Whom TLS trusts.
    pub tls: TlsProfile,
}

/// The policy's no.
#[derive(Clone, PartialEq, Eq)]
pub struct Refusal {
    /// In one stable word.
    pub reason: Reason,
    /// For the app's author; whoever makes it keeps queries, header values and bodies out.
    pub why: Why,
}

impl Refusal {
    /// What was permitted no longer is.
    pub(super) fn revoked() -> Self {
        Self {
            reason: Reason::Revoked,
            why: Why::new("the grant was taken back while the request was under way"),
        }
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Refusal({})", self.reason)
    }
}

/// Why there is no address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ResolveError {
    /// An address of the answer, or the lookup itself, is not permitted.
    Refused(Refusal),
    /// The name does not exist, or has no address.
    NotFound,
    /// No name server answered in the time that the network itself gives one.
    TimedOut,
    /// No answer made sense.
    Failed,
    /// A bound of the host is reached.
    NoCapacity,
}

/// Why there is no stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ConnectError {
    /// The address is not permitted.
    Refused(Refusal),
    /// The far end said no.
    Rejected,
    /// No way to the far end.
    Unreachable,
    /// The far end never answered.
    TimedOut,
    /// A bound of the host is reached.
    NoCapacity,
}

/// Permits, resolves, connects, and tells the time.
///
/// A future that is dropped gives up what it was about. A stream that the policy ends answers reads and writes with [`std::io::ErrorKind::PermissionDenied`];
/// one that is dropped is closed.
pub trait Network: Send + Sync + 'static {
    /// Bytes both ways.
    type Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// What names a stream to [`Network::carry`] while others read and write it.
    type Carrier: Send + Unpin + 'static;

    /// What names this one.
    fn carrier(stream: &Self::Stream) -> Self::Carrier;

    /// Judges a hop: asked before anything is looked up, and again when the policy changed meanwhile.
    fn judge(&self, caller: Caller, hop: Hop<'_>) -> Result<Grant, Refusal>;

    /// The one address to connect to. Every address of the answer is judged, and one that is forbidden
    /// refuses them all: a server that hides a private address among public ones is not to be trusted.
    fn resolve(
        &self,
        caller: Caller,
        hop: Hop<'_>,
        grant: &Grant,
    ) -> impl Future<Output = Result<SocketAddr, ResolveError>> + Send;

    /// Opens a stream to exactly `address`, without looking anything up again, so that what was judged
    /// is what is dialled.
    fn connect(
        &self,
        caller: Caller,
        hop: Hop<'_>,
        grant: &Grant,
        address: SocketAddr,
    ) -> impl Future<Output = Result<Self::Stream, ConnectError>> + Send;

    /// Has a stream to `address` that stood idle carry this hop. Whether it does: from then on, what the policy says
    /// of this hop, and no more what it says of those before, decides whether the stream goes on. If not, one is
    /// opened, which says why that may not be.
    fn carry(
        &self,
        caller: Caller,
        hop: Hop<'_>,
        grant: &Grant,
        address: SocketAddr,
        carrier: &Self::Carrier,
    ) -> bool;

    /// Changes when the policy does.
    fn epoch(&self) -> PolicyEpoch;

    /// What time it is.
    fn now(&self) -> Instant;

    /// Ready from `at` on.
    fn sleep_until(&self, at: Instant) -> impl Future<Output = ()> + Send + 'static;
}

impl From<ResolveError> for Error {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Refused(refusal) => Self::Refused(refusal),
            ResolveError::TimedOut => Self::TimedOut(Phase::Resolve),
            error => Self::Resolve(error),
        }
    }
}

impl From<ConnectError> for Error {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Refused(refusal) => Self::Refused(refusal),
            error => Self::Connect(error),
        }
    }
}
