//! Where nobody listens, connecting is refused; soon, and again and again.

use nexus_sdk::ErrorCode;
use nexus_sdk::svc::net::TcpStream;
use nexus_sdk::svc::time::timeout;
use probes::{Outcome, PATIENCE, failure, listener, still_alive};

async fn run() -> Outcome {
    // A port that was free a moment ago.
    let address = listener().await?.local_addr();
    for _ in 0..3 {
        failure(
            timeout(PATIENCE, TcpStream::connect(address)).await,
            ErrorCode::Refused,
            "connect",
        )?;
    }
    still_alive().await
}

nexus_sdk::main!(run);
