//! The app's exit code is the host's.

use probes::Outcome;

async fn run() -> Outcome {
    println!("before the end");
    nexus_sdk::exit(7)
}

nexus_sdk::main!(run);
