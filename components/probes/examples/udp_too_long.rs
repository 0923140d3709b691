//! A datagram longer than UDP can carry is an invalid argument, and nothing is sent of it.

use nexus_sdk::ErrorCode;
use nexus_sdk::svc::net::UdpSocket;
use nexus_sdk::svc::time::timeout;
use probes::{ANY_PORT, Outcome, PATIENCE, failure, same, stays_pending, success};

async fn run() -> Outcome {
    let mut far = success(UdpSocket::bind(ANY_PORT).await, "bind")?;
    let mut near = success(UdpSocket::connect(far.local_addr()).await, "connect")?;
    // RFC 768: 16 bits of length, 8 of which are the header; and IPv4's own 20.
    for size in [65_508, 65_536, 1 << 20] {
        failure(
            near.send(vec![0; size]).await,
            ErrorCode::InvalidArgument,
            &format!("{size} bytes"),
        )?;
    }
    stays_pending(far.recv(), "something of it").await?;
    success(near.send("short").await, "send")?;
    let arrived = success(timeout(PATIENCE, far.recv()).await, "receive")?;
    same(arrived.as_slice(), b"short", "what arrived")
}

nexus_sdk::main!(run);
