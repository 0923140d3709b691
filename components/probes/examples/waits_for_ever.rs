//! Never ends, always waits: for those who stop it from outside.

use probes::Outcome;

async fn run() -> Outcome {
    println!("waiting");
    core::future::pending::<()>().await;
    Ok(())
}

nexus_sdk::main!(run);
