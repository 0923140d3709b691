//! Takes every connection and reads from none: for those who write to it from outside.

use nexus_sdk::svc::net::TcpListener;
use probes::{Outcome, success};

async fn run() -> Outcome {
    let listener = success(TcpListener::bind("0.0.0.0:7070").await, "bind")?;
    println!("listening");
    let mut held = Vec::new();
    loop {
        held.push(success(listener.accept().await, "accept")?);
    }
}

nexus_sdk::main!(run);
