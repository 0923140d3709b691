//! What no rule names is denied, by address and by name, with a stable reason, and the app goes on.

use nexus_sdk::ErrorCode;
use nexus_sdk::svc::net::TcpStream;
use probes::{Outcome, failure, same, still_alive};

async fn run() -> Outcome {
    // TEST-NET-1 (RFC 5737), a private address, and the addresses that wrap our loopback.
    for remote in [
        "192.0.2.1:80",
        "10.0.0.1:80",
        "169.254.169.254:80",
        "[2001:db8::1]:80",
        "[::ffff:192.0.2.1]:80",
    ] {
        failure(TcpStream::connect(remote).await, ErrorCode::Denied, remote)?;
    }
    let error = failure(
        TcpStream::connect("unlisted.example.com:80").await,
        ErrorCode::Denied,
        "a name",
    )?;
    same(
        error.reason(),
        "name-not-permitted",
        "the reason for a name",
    )?;
    still_alive().await
}

nexus_sdk::main!(run);
