//! Recursion without end comes to the end of the stack, and that is the app's end alone.

use std::hint::black_box;

use probes::Outcome;

/// Hardly a local variable: it is the stack of calls that ends, not the one in the app's own memory.
fn deeper(depth: u64) -> u64 {
    let next = black_box(deeper as fn(u64) -> u64);
    next(depth + 1).wrapping_mul(3)
}

async fn run() -> Outcome {
    Err(format!("came back from {}", deeper(0)))
}

nexus_sdk::main!(run);
