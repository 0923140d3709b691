//! A panic is told on stderr, then traps.

use probes::Outcome;

async fn run() -> Outcome {
    println!("before the trap");
    panic!("on purpose")
}

nexus_sdk::main!(run);
