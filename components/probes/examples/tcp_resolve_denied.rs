//! A name that no rule names is not looked up.

use nexus_sdk::ErrorCode;
use nexus_sdk::svc::net::{resolve, resolve_for_udp};
use probes::{Outcome, failure, same};

async fn run() -> Outcome {
    for found in [
        resolve("unlisted.example.com").await,
        resolve_for_udp("unlisted.example.com").await,
    ] {
        let error = failure(found, ErrorCode::Denied, "resolve")?;
        same(error.reason(), "name-not-permitted", "the reason")?;
    }
    Ok(())
}

nexus_sdk::main!(run);
