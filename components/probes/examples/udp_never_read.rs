//! What nobody receives is dropped, not kept: the sender does not notice, the socket works on.

use nexus_sdk::ErrorCode;
use nexus_sdk::svc::net::UdpSocket;
use nexus_sdk::svc::time::timeout;
use probes::{ANY_PORT, Outcome, PATIENCE, QUIET, ensure, success};

const DATAGRAMS: usize = 5_000;

async fn run() -> Outcome {
    let mut far = success(UdpSocket::bind(ANY_PORT).await, "bind")?;
    let mut near = success(UdpSocket::connect(far.local_addr()).await, "connect")?;
    for _ in 0..DATAGRAMS {
        success(timeout(PATIENCE, near.send(vec![0; 1_000])).await, "send")?;
    }
    let mut kept = 0;
    loop {
        match timeout(QUIET, far.recv_batch(64)).await {
            Ok(batch) => kept += batch.len(),
            Err(error) if error.code() == ErrorCode::Deadline => break,
            Err(error) => return Err(error.to_string()),
        }
    }
    ensure(kept > 0, "nothing was kept at all")?;
    ensure(kept < DATAGRAMS, "everything was kept")?;
    success(near.send("after").await, "send after")?;
    let after = success(timeout(PATIENCE, far.recv()).await, "receive after")?;
    ensure(after == b"after", "another datagram")
}

nexus_sdk::main!(run);
