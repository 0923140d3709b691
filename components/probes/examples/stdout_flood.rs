//! Eight mebibytes to stdout arrive whole; the last line has no end.

use std::io::Write as _;

use probes::{Outcome, success};

async fn run() -> Outcome {
    let line = [b'x'; 1_023];
    let mut out = std::io::stdout().lock();
    for _ in 0..8 << 10 {
        success(out.write_all(&line), "write")?;
        success(out.write_all(b"\n"), "write")?;
    }
    success(out.write_all(b"end"), "write")
}

nexus_sdk::main!(run);
