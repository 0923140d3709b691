//! Connections complete before they are accepted, up to the backlog; a further one waits outside and
//! completes when there is room.

use nexus_sdk::svc::net::{TcpListener, TcpStream};
use nexus_sdk::svc::time::timeout;
use probes::{ANY_PORT, Outcome, PATIENCE, round_trip, stays_pending, success};

const BACKLOG: u32 = 4;

async fn run() -> Outcome {
    let listener = success(
        TcpListener::bind_with_backlog(ANY_PORT, BACKLOG).await,
        "listen",
    )?;
    let address = listener.local_addr();
    let mut waiting = Vec::new();
    for _ in 0..BACKLOG {
        let stream = timeout(PATIENCE, TcpStream::connect(address)).await;
        waiting.push(success(stream, "connect within the backlog")?);
    }
    stays_pending(TcpStream::connect(address), "connect beyond the backlog").await?;

    // In their order.
    for near in &mut waiting {
        let mut far = success(timeout(PATIENCE, listener.accept()).await, "accept")?;
        round_trip(near, &mut far).await?;
    }
    let mut near = success(
        timeout(PATIENCE, TcpStream::connect(address)).await,
        "connect after",
    )?;
    loop {
        // Of the attempt that was given up, something may still be in the queue.
        let mut far = success(timeout(PATIENCE, listener.accept()).await, "accept after")?;
        if far.remote_addr() == near.local_addr() {
            return round_trip(&mut near, &mut far).await;
        }
    }
}

nexus_sdk::main!(run);
