//! Never ends, always waits: for those who stop it from outside.

use core::time::Duration;

use nexus_sdk::svc::time::sleep;
use probes::Outcome;

async fn run() -> Outcome {
    println!("waiting");
    // The longest wait there is: 584 years in nanoseconds, the end of the host's clock.
    sleep(Duration::MAX).await;
    Err("the end of time came".into())
}

nexus_sdk::main!(run);
