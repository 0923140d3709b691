//! Conformance guests: `examples/<interface>_<behaviour>.rs`, each a component of its own.
//!
//! A probe checks the host from inside: it exits 0 if everything was as its first line says, and otherwise
//! says on stderr what was not. `host/nexus-host/tests/probes.rs` runs every one of them; a probe that is not
//! in its table fails there.
//!
//! A probe has the manifest `manifests/<probe>.toml`, or else `nexus.toml`: its own loopback, nothing else.
//!
//! Here is what probes share.

use core::fmt::{Debug, Display};
use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;

use nexus_sdk::svc::net::{TcpListener, TcpStream};
use nexus_sdk::svc::time::timeout;
use nexus_sdk::task::join;
use nexus_sdk::{Error, ErrorCode};

/// What a probe returns: nothing, or what was not as it should be.
pub type Outcome = Result<(), String>;

/// A time in which nothing happens if nothing is going to.
pub const QUIET: Duration = Duration::from_millis(200);

/// A time in which everything happens that is going to, on a busy machine too.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Our loopback, a free port.
pub const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// That `ok` is so.
pub fn ensure(ok: bool, what: impl Display) -> Outcome {
    if ok { Ok(()) } else { Err(what.to_string()) }
}

/// That `found` is `expected`.
pub fn same<T: PartialEq + Debug>(found: T, expected: T, what: &str) -> Outcome {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what}: found {found:?}, expected {expected:?}"))
}

/// That `result` is a success.
pub fn success<T, E: Display>(result: Result<T, E>, what: &str) -> Result<T, String> {
    result.map_err(|error| format!("{what}: {error}"))
}

/// That `result` is an error of this code, one that says why in at most 256 bytes.
pub fn failure<T>(result: Result<T, Error>, code: ErrorCode, what: &str) -> Result<Error, String> {
    match result {
        Ok(_) => Err(format!("{what}: succeeded, expected {code}")),
        Err(error) if error.code() != code => Err(format!("{what}: {error}; expected {code}")),
        Err(error) if error.why().len() > 256 => {
            Err(format!("{what}: a why of {} bytes", error.why().len()))
        }
        Err(error) if error.reason().is_empty() => Err(format!("{what}: no reason")),
        Err(error) => Ok(error),
    }
}

/// That `future` is not done within [`QUIET`].
pub async fn stays_pending<T>(
    future: impl Future<Output = Result<T, Error>>,
    what: &str,
) -> Outcome {
    match timeout(QUIET, future).await {
        Err(error) if error.code() == ErrorCode::Deadline && error.reason() == "deadline" => Ok(()),
        Err(error) => Err(format!("{what}: {error}; expected it to wait")),
        Ok(_) => Err(format!("{what}: done, expected it to wait")),
    }
}

/// A listener on our loopback.
pub async fn listener() -> Result<TcpListener, String> {
    success(TcpListener::bind(ANY_PORT).await, "listen on our loopback")
}

/// Both ends of a connection through our loopback: who connected, who accepted.
pub async fn pair() -> Result<(TcpStream, TcpStream), String> {
    let listener = listener().await?;
    pair_through(&listener).await
}

/// Both ends of a connection to `listener`.
pub async fn pair_through(listener: &TcpListener) -> Result<(TcpStream, TcpStream), String> {
    let both = async {
        let (near, far) = join(TcpStream::connect(listener.local_addr()), listener.accept()).await;
        Ok::<_, Error>((near?, far?))
    };
    success(timeout(PATIENCE, both).await, "connect to ourselves")
}

/// That bytes go there and back between two ends.
pub async fn round_trip(near: &mut TcpStream, far: &mut TcpStream) -> Outcome {
    let both = async {
        let mut bytes = [0; 4];
        near.write_all("ping").await?;
        far.read_exact(&mut bytes).await?;
        far.write_all(bytes).await?;
        near.read_exact(&mut bytes).await?;
        Ok::<_, Error>(bytes)
    };
    same(
        &success(timeout(PATIENCE, both).await, "a round trip")?,
        b"ping",
        "what came back",
    )
}

/// That we still have a working network: for after a refusal.
pub async fn still_alive() -> Outcome {
    let (mut near, mut far) = pair().await?;
    round_trip(&mut near, &mut far).await
}

/// Bytes that show a loss, a doubling or a swap: each differs from its neighbours in a long cycle.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|index| (index as u32).wrapping_mul(0x9e37_79b1).rotate_left(9) as u8)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pattern_does_not_repeat_soon() {
        let bytes = pattern(100_000);
        for shift in 1..1_000 {
            assert_ne!(bytes[..4_096], bytes[shift..shift + 4_096], "{shift}");
        }
    }

    #[test]
    fn reject_a_failure_of_another_code() {
        let refused = || Err::<(), _>(Error::new(ErrorCode::Refused, "refused", ""));
        assert!(failure(refused(), ErrorCode::Refused, "").is_ok());
        assert!(failure(refused(), ErrorCode::Reset, "").is_err());
        assert!(failure(Ok(()), ErrorCode::Refused, "").is_err());
    }
}
