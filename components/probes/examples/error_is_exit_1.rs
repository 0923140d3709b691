//! An error of the entry function is on stderr, and the exit code 1.

use probes::Outcome;

async fn run() -> Outcome {
    Err("this is what went wrong".into())
}

nexus_sdk::main!(run);
