//! The loopback is there in IPv6 too, and apart from IPv4's.

use nexus_sdk::ErrorCode;
use nexus_sdk::svc::net::{TcpListener, TcpStream};
use probes::{Outcome, failure, pair_through, round_trip, success};

async fn run() -> Outcome {
    let listener = success(TcpListener::bind("[::1]:0").await, "listen")?;
    let (mut near, mut far) = pair_through(&listener).await?;
    round_trip(&mut near, &mut far).await?;
    let port = listener.local_addr().port();
    failure(
        TcpStream::connect(("127.0.0.1", port)).await,
        ErrorCode::Refused,
        "the same port in IPv4",
    )?;
    Ok(())
}

nexus_sdk::main!(run);
