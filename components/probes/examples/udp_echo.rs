//! Datagrams go there and back, the empty one too, and tell where they come from.

use nexus_sdk::Error;
use nexus_sdk::svc::net::UdpSocket;
use nexus_sdk::svc::time::timeout;
use probes::{ANY_PORT, Outcome, PATIENCE, pattern, same, success};

async fn run() -> Outcome {
    let mut far = success(UdpSocket::bind(ANY_PORT).await, "bind")?;
    let mut near = success(UdpSocket::connect(far.local_addr()).await, "connect")?;
    same(
        near.remote_addr(),
        Some(far.local_addr()),
        "the remote address",
    )?;
    same(
        far.remote_addr(),
        None,
        "the remote address of a bound socket",
    )?;
    for size in [0, 1, 1_000, 1_400] {
        let bytes = pattern(size);
        let both = async {
            near.send(bytes.as_slice()).await?;
            let (question, from) = far.recv_from().await?;
            far.send_to(question, from).await?;
            Ok::<_, Error>((near.recv().await?, from))
        };
        let (answer, from) = success(timeout(PATIENCE, both).await, &format!("{size} bytes"))?;
        same(answer, bytes, "the answer")?;
        same(from.port(), near.local_addr().port(), "where it came from")?;
    }
    Ok(())
}

nexus_sdk::main!(run);
