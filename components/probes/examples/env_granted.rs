//! Exactly the variables of the manifest reach an app that was granted them.

use probes::{Outcome, same};

async fn run() -> Outcome {
    let found: Vec<_> = std::env::vars().collect();
    let expected = vec![("PROBE".to_owned(), "a value".to_owned())];
    same(found, expected, "variables")
}

nexus_sdk::main!(run);
