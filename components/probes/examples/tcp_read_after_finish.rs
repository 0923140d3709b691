//! After the far end's last byte a read is empty, every time; nothing before it is lost.

use nexus_sdk::svc::time::timeout;
use probes::{Outcome, PATIENCE, pair, same, success};

async fn run() -> Outcome {
    let (mut near, mut far) = pair().await?;
    success(far.write_all("last words").await, "write")?;
    success(far.finish(), "finish")?;
    let mut all = Vec::new();
    loop {
        let chunk = success(timeout(PATIENCE, near.read(3)).await, "read")?;
        same(chunk.len() <= 3, true, "no more than asked for")?;
        if chunk.is_empty() {
            break;
        }
        all.extend(chunk);
    }
    same(all.as_slice(), b"last words", "what was read")?;
    for _ in 0..3 {
        let chunk = success(timeout(PATIENCE, near.read(3)).await, "read after the end")?;
        same(chunk.len(), 0, "a read after the end")?;
    }
    Ok(())
}

nexus_sdk::main!(run);
