//! What was written before the connection was dropped is delivered, then the end.

use nexus_sdk::svc::time::timeout;
use probes::{Outcome, PATIENCE, pair, pattern, same, success};

async fn run() -> Outcome {
    let (mut near, mut far) = pair().await?;
    let bytes = pattern(40_000);
    success(near.write_all(bytes.as_slice()).await, "write")?;
    drop(near);
    let all = success(timeout(PATIENCE, far.read_to_end(1 << 20)).await, "read")?;
    same(all == bytes, true, "what was written is what was read")
}

nexus_sdk::main!(run);
