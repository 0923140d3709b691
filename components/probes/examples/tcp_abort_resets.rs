//! An abort is a reset at the far end, while it waits and afterwards.

use nexus_sdk::ErrorCode;
use nexus_sdk::svc::time::timeout;
use nexus_sdk::task::join;
use probes::{Outcome, PATIENCE, failure, pair};

async fn run() -> Outcome {
    let (near, mut far) = pair().await?;
    let (read, ()) = join(timeout(PATIENCE, far.read(1)), async { near.abort() }).await;
    failure(read, ErrorCode::Reset, "read during an abort")?;
    failure(
        timeout(PATIENCE, far.read(1)).await,
        ErrorCode::Reset,
        "read after it",
    )?;
    let written = far.write_all("anybody there?").await;
    failure(written, ErrorCode::Reset, "write after it")?;
    Ok(())
}

nexus_sdk::main!(run);
