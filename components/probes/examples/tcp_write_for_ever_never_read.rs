//! Who writes and is never read waits: what the host keeps for it is bounded.

use nexus_sdk::ErrorCode;
use nexus_sdk::svc::time::timeout;
use probes::{Outcome, QUIET, ensure, pair, still_alive};

/// More than the buffers of both ends together.
const BYTES_MAX: usize = 16 << 20;

async fn run() -> Outcome {
    let (mut near, _far) = pair().await?;
    let mut written = 0;
    loop {
        match timeout(QUIET, near.write_all(vec![0; 64 << 10])).await {
            Ok(()) => written += 64 << 10,
            Err(error) if error.code() == ErrorCode::Deadline => break,
            Err(error) => return Err(format!("write: {error}")),
        }
        ensure(
            written < BYTES_MAX,
            format!("{written} bytes taken that nobody reads"),
        )?;
    }
    ensure(written > 0, "nothing was taken at all")?;
    still_alive().await
}

nexus_sdk::main!(run);
