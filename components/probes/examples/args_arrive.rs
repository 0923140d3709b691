//! Arguments arrive as they were given, by both ways to ask for them.

use probes::{Outcome, same};

async fn run() -> Outcome {
    let expected = ["plain", "with space", "", "--allow", "ünïcödé", "-"];
    same(
        nexus_sdk::args(),
        expected.map(str::to_owned).to_vec(),
        "the SDK's",
    )?;
    let std: Vec<_> = std::env::args().skip(1).collect();
    same(std, expected.map(str::to_owned).to_vec(), "std's")
}

nexus_sdk::main!(run);
