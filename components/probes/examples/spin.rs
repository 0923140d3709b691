//! Never ends, never waits: for those who stop it from outside.

use probes::Outcome;

async fn run() -> Outcome {
    println!("spinning");
    let mut number = 1_u64;
    loop {
        number = std::hint::black_box(number.wrapping_mul(6_364_136_223_846_793_005));
    }
}

nexus_sdk::main!(run);
