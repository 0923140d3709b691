//! Memory ends at its limit, inside the app: an allocation fails and the app goes on.

use probes::{Outcome, ensure};

const CHUNK: usize = 1 << 20;

async fn run() -> Outcome {
    let mut kept: Vec<Vec<u8>> = Vec::new();
    loop {
        let mut chunk = Vec::new();
        if chunk.try_reserve_exact(CHUNK).is_err() {
            break;
        }
        chunk.resize(CHUNK, 1);
        kept.push(chunk);
        ensure(kept.len() <= 64, format!("{} MiB were given", kept.len()))?;
    }
    // Most of the default of 64 MiB: code, stack and the allocator take the rest.
    ensure(
        kept.len() >= 48,
        format!("only {} MiB were given", kept.len()),
    )?;
    kept.truncate(10);
    println!("still running");
    Ok(())
}

nexus_sdk::main!(run);
