//! Standard input arrives to its end, and standard output is what was written.

use std::io::{Read as _, Write as _};

use probes::{Outcome, success};

async fn run() -> Outcome {
    let mut all = Vec::new();
    success(std::io::stdin().lock().read_to_end(&mut all), "read")?;
    success(std::io::stdout().lock().write_all(&all), "write")
}

nexus_sdk::main!(run);
