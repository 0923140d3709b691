//! An address or port that no rule names is not listened on.

use nexus_sdk::ErrorCode;
use nexus_sdk::svc::net::TcpListener;
use probes::{Outcome, failure, same, still_alive};

async fn run() -> Outcome {
    for local in ["0.0.0.0:7777", "[::]:7777"] {
        let error = failure(TcpListener::bind(local).await, ErrorCode::Denied, local)?;
        same(error.reason(), "bind-not-permitted", "the reason")?;
    }
    still_alive().await
}

nexus_sdk::main!(run);
