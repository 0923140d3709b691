//! A port is listened on once, and free again when the listener is gone.

use nexus_sdk::ErrorCode;
use nexus_sdk::svc::net::TcpListener;
use probes::{Outcome, failure, listener, pair_through, round_trip, success};

async fn run() -> Outcome {
    let first = listener().await?;
    let address = first.local_addr();
    failure(
        TcpListener::bind(address).await,
        ErrorCode::AlreadyExists,
        "a second listener",
    )?;
    let (mut near, mut far) = pair_through(&first).await?;
    drop(first);
    let second = success(TcpListener::bind(address).await, "listen again")?;
    // What was accepted before is not the listener's any more.
    round_trip(&mut near, &mut far).await?;
    let (mut near, mut far) = pair_through(&second).await?;
    round_trip(&mut near, &mut far).await
}

nexus_sdk::main!(run);
