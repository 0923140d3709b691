//! No variable of the host's environment reaches an app that was granted none.

use probes::{Outcome, same};

async fn run() -> Outcome {
    let found: Vec<_> = std::env::vars().map(|(name, _)| name).collect();
    same(found, Vec::new(), "variables")
}

nexus_sdk::main!(run);
