//! The SDK's own printing comes out, whole and in order, on both streams.

use probes::Outcome;

async fn run() -> Outcome {
    for number in 0..3 {
        nexus_sdk::print(&format!("out {number}\n")).await;
        nexus_sdk::eprint(&format!("err {number}\n")).await;
    }
    Ok(())
}

nexus_sdk::main!(run);
