//! Streams that are made and never dropped come to a bound: the app traps, the host does not grow.

use nexus_sdk::__private::raw::wit_stream;
use probes::Outcome;

async fn run() -> Outcome {
    let mut kept = Vec::new();
    for _ in 0..1_000_000 {
        kept.push(wit_stream::new::<u8>());
    }
    Err(format!("{} streams were made", kept.len()))
}

nexus_sdk::main!(run);
