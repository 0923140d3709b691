//! Both directions as streams at the same time, more than any buffer holds, arrive whole.

use nexus_sdk::Error;
use nexus_sdk::svc::net::{Receiver, Sender};
use nexus_sdk::svc::time::timeout;
use nexus_sdk::task::join;
use probes::{Outcome, PATIENCE, pair, pattern, same, success};

const BYTES: usize = 3 << 20;

async fn send(mut sender: Sender, bytes: &[u8]) -> Result<(), Error> {
    let mut buffer = Vec::new();
    // Sizes that fit no buffer evenly.
    for chunk in bytes.chunks(70_001) {
        buffer.extend_from_slice(chunk);
        buffer = sender.write_all(buffer).await?;
    }
    sender.finish().await
}

async fn receive(mut receiver: Receiver) -> Result<Vec<u8>, Error> {
    let mut all = Vec::new();
    let mut buffer = Vec::with_capacity(50_021);
    loop {
        buffer = receiver.read(buffer).await?;
        if buffer.is_empty() {
            return Ok(all);
        }
        all.extend_from_slice(&buffer);
    }
}

async fn run() -> Outcome {
    let (near, far) = pair().await?;
    let (near_in, near_out) = success(near.into_streams(), "streams")?;
    let (far_in, far_out) = success(far.into_streams(), "streams")?;
    let there = pattern(BYTES);
    let mut back = there.clone();
    back.reverse();
    let all = async {
        let (sent, received) = join(
            join(send(near_out, &there), send(far_out, &back)),
            join(receive(far_in), receive(near_in)),
        )
        .await;
        sent.0?;
        sent.1?;
        Ok::<_, Error>((received.0?, received.1?))
    };
    let (at_far, at_near) = success(timeout(PATIENCE, all).await, "streams both ways")?;
    same(at_far.len(), BYTES, "bytes there")?;
    same(at_near.len(), BYTES, "bytes back")?;
    same(
        at_far == there && at_near == back,
        true,
        "the bytes are the same",
    )
}

nexus_sdk::main!(run);
