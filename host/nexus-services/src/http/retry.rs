//! What is tried again, and after how long: the same for the same seed, so that a run can be repeated.

use nexus_types::{Backoff, BackoffConfig, Seed};

use super::Method;
use super::error::{Error, HeadFault, Phase, SendFault, TlsFault};
use super::network::{ConnectError, ResolveError};

/// The waits before each of `retries` retries: the one schedule of the project, from the client's seed.
pub(super) fn waits(retries: u8, seed: &Seed) -> Backoff {
    let config = BackoffConfig {
        retries: retries.into(),
        ..BackoffConfig::default()
    };
    Backoff::new(config, seed)
}

/// RFC 9110 section 9.2.2: asked twice is as good as asked once.
pub(super) fn is_idempotent(method: Method) -> bool {
    matches!(
        method,
        Method::Get | Method::Head | Method::Put | Method::Delete
    )
}

/// Whether it may go better next time. What is the app's, the policy's or a broken protocol will not.
pub(super) fn is_passing(error: &Error) -> bool {
    match error {
        Error::Resolve(ResolveError::Failed)
        | Error::Connect(
            ConnectError::Rejected | ConnectError::Unreachable | ConnectError::TimedOut,
        )
        | Error::Tls(TlsFault::Closed)
        | Error::Send(SendFault::Closed | SendFault::Reset)
        | Error::Head(HeadFault::Closed | HeadFault::Reset) => true,
        Error::TimedOut(phase) => *phase != Phase::Total,
        _ => false,
    }
}
