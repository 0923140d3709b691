//! An address that is not ours cannot be listened on.

use nexus_sdk::ErrorCode;
use nexus_sdk::svc::net::TcpListener;
use probes::{Outcome, ensure, still_alive};

async fn run() -> Outcome {
    match TcpListener::bind("192.0.2.1:7777").await {
        Ok(_) => Err("listening on somebody else's address".to_owned()),
        Err(error) => ensure(
            matches!(
                error.code(),
                ErrorCode::Denied | ErrorCode::InvalidArgument | ErrorCode::NotFound
            ),
            error,
        ),
    }?;
    still_alive().await
}

nexus_sdk::main!(run);
