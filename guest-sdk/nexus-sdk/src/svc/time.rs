//! Time limits, waits and bounded retries, on the host's clock (a virtual one in simulation).

use core::time::Duration;

pub use nexus_types::{Backoff, BackoffConfig, Instant};
use nexus_types::{ErrorCode, Seed};

use crate::Error;
use crate::host::{insecure_seed, monotonic_clock};
use crate::task::{Either, race};

/// Now, on a line whose zero means nothing: only differences do.
///
/// ```no_run
/// use nexus_sdk::svc::time;
/// let begin = time::now();
/// // ...
/// println!("took {:?}", time::now() - begin);
/// ```
pub fn now() -> Instant {
    Instant::from_nanos(monotonic_clock::now())
}

/// Waits this long.
pub async fn sleep(duration: Duration) {
    // 584 years at most: nothing waits longer than the host's clock counts.
    let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
    monotonic_clock::wait_for(nanos).await;
}

/// Gives `future` this long, then drops it and answers [`ErrorCode::Deadline`].
///
/// A read or write that is dropped may have moved bytes already, so after a timeout abort the connection
/// instead of going on with it. Connecting, accepting and resolving can be tried again.
///
/// ```no_run
/// use std::time::Duration;
/// use nexus_sdk::svc::{net::TcpStream, time::timeout};
///
/// async fn connect() -> Result<TcpStream, nexus_sdk::Error> {
///     timeout(Duration::from_secs(5), TcpStream::connect("api.example.com:443")).await
/// }
/// ```
pub async fn timeout<T, E: From<Error>>(
    limit: Duration,
    future: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    match race(future, sleep(limit)).await {
        Either::First(result) => result,
        Either::Second(()) => Err(not_within(limit).into()),
    }
}

fn not_within(limit: Duration) -> Error {
    let why = format!("not done within {limit:?}");
    Error::new(ErrorCode::Deadline, "deadline", why)
}

/// Calls `attempt` until it succeeds, fails for good, or the schedule is over; the error is the last one.
///
/// Only what [may pass by itself](Error::is_transient) is retried: a denial is final at once.
///
/// ```no_run
/// use nexus_sdk::svc::{net::TcpStream, time::{BackoffConfig, retry}};
///
/// async fn connect() -> Result<TcpStream, nexus_sdk::Error> {
///     retry(BackoffConfig::default(), || TcpStream::connect(("host.internal", 8000))).await
/// }
/// ```
pub async fn retry<T, F: Future<Output = Result<T, Error>>>(
    config: BackoffConfig,
    mut attempt: impl FnMut() -> F,
) -> Result<T, Error> {
    let mut waits = None;
    loop {
        let error = match attempt().await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if !error.is_transient() {
            return Err(error);
        }
        match waits.get_or_insert_with(|| backoff(config)).next() {
            Some(wait) => sleep(wait).await,
            None => return Err(error),
        }
    }
}

/// As [`retry`], with all of it, attempts and waits, within `budget`.
///
/// An attempt that is under way at its end is dropped, and the error is that of the last attempt that failed, or
/// [`ErrorCode::Deadline`] if none did; a wait that would outlast it is not begun. So repeat only what
/// may be dropped and made twice: connecting, resolving, a request without effect.
///
/// ```no_run
/// use std::time::Duration;
/// use nexus_sdk::svc::{net::TcpStream, time::{BackoffConfig, retry_within}};
///
/// async fn connect() -> Result<TcpStream, nexus_sdk::Error> {
///     let budget = Duration::from_secs(20);
///     retry_within(budget, BackoffConfig::default(), || TcpStream::connect(("host.internal", 8000))).await
/// }
/// ```
pub async fn retry_within<T, F: Future<Output = Result<T, Error>>>(
    budget: Duration,
    config: BackoffConfig,
    mut attempt: impl FnMut() -> F,
) -> Result<T, Error> {
    let begin = now();
    let mut waits = None;
    let mut last = None;
    loop {
        let left = budget.saturating_sub(now() - begin);
        let error = match race(attempt(), sleep(left)).await {
            Either::First(Ok(value)) => return Ok(value),
            Either::First(Err(error)) => error,
            Either::Second(()) => return Err(last.unwrap_or_else(|| not_within(budget))),
        };
        if !error.is_transient() {
            return Err(error);
        }
        let wait = waits.get_or_insert_with(|| backoff(config)).next();
        let left = budget.saturating_sub(now() - begin);
        match wait {
            Some(wait) if wait < left => sleep(wait).await,
            _ => return Err(error),
        }
        last = Some(error);
    }
}

/// The waits of one schedule, shortened at random so that many clients of one server do not come back at once.
pub fn backoff(config: BackoffConfig) -> Backoff {
    let (a, b) = insecure_seed::get_insecure_seed();
    // The same for the whole run of an app, by its definition; the clock tells two schedules apart.
    Backoff::new(
        config,
        &Seed::from_number(a ^ b.rotate_left(32) ^ now().as_nanos()),
    )
}
