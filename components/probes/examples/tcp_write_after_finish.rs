//! Who has finished sending cannot write, and can finish again; reading goes on.

use nexus_sdk::ErrorCode;
use nexus_sdk::svc::time::timeout;
use probes::{Outcome, PATIENCE, failure, pair, same, success};

async fn run() -> Outcome {
    let (mut near, mut far) = pair().await?;
    success(near.finish(), "finish")?;
    failure(
        near.write_all("too late").await,
        ErrorCode::InvalidState,
        "write after finish",
    )?;
    success(near.finish(), "finish again")?;
    success(far.write_all("still here").await, "write the other way")?;
    success(far.finish(), "finish the other way")?;
    let rest = success(timeout(PATIENCE, near.read_to_end(64)).await, "read")?;
    same(rest.as_slice(), b"still here", "what was read")
}

nexus_sdk::main!(run);
