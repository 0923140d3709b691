//! More refusals than anybody reads: each comes back at once, and the app goes on.

use std::net::{Ipv4Addr, SocketAddr};

use nexus_sdk::ErrorCode;
use nexus_sdk::svc::net::TcpStream;
use probes::{Outcome, failure, still_alive};

async fn run() -> Outcome {
    for port in 1..=4_000 {
        // TEST-NET-1 (RFC 5737): no rule names it.
        let remote = SocketAddr::from((Ipv4Addr::new(192, 0, 2, 1), port));
        failure(
            TcpStream::connect(remote).await,
            ErrorCode::Denied,
            "a stranger",
        )?;
    }
    still_alive().await?;
    println!("still running");
    Ok(())
}

nexus_sdk::main!(run);
