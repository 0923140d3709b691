//! A connected socket learns that nobody is there, and can be used on.

use nexus_sdk::ErrorCode;
use nexus_sdk::svc::net::UdpSocket;
use nexus_sdk::svc::time::timeout;
use probes::{ANY_PORT, Outcome, PATIENCE, failure, same, success};

async fn run() -> Outcome {
    let far = success(UdpSocket::bind(ANY_PORT).await, "bind")?;
    let address = far.local_addr();
    drop(far);
    let mut near = success(UdpSocket::connect(address).await, "connect")?;
    success(near.send("anybody there?").await, "send")?;
    failure(
        timeout(PATIENCE, near.recv()).await,
        ErrorCode::Refused,
        "receive",
    )?;

    let mut far = success(UdpSocket::bind(address).await, "bind again")?;
    success(near.send("and now?").await, "send again")?;
    let question = success(timeout(PATIENCE, far.recv()).await, "receive")?;
    same(question.as_slice(), b"and now?", "what arrived")
}

nexus_sdk::main!(run);
