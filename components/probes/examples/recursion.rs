//! Recursion without end comes to the end of the stack, and that is the app's end alone.

use std::hint::black_box;

use probes::Outcome;

#[allow(unconditional_recursion, reason = "that is what is probed")]
fn deeper(depth: u64) -> u64 {
    let frame = black_box([depth; 32]);
    deeper(depth + 1) + black_box(frame)[0]
}

async fn run() -> Outcome {
    Err(format!("came back from {}", deeper(0)))
}

nexus_sdk::main!(run);
