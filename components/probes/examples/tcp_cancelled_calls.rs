//! Calls that are given up half way leave nothing behind that disturbs the next.

use nexus_sdk::svc::net::TcpStream;
use probes::{Outcome, listener, pair, pair_through, round_trip, stays_pending};

async fn run() -> Outcome {
    let listener = listener().await?;
    for _ in 0..3 {
        stays_pending(listener.accept(), "accept").await?;
    }
    let (mut near, mut far) = pair_through(&listener).await?;
    round_trip(&mut near, &mut far).await?;

    // Nothing was under way, so nothing can have been lost.
    for _ in 0..3 {
        stays_pending(near.read(10), "read").await?;
    }
    round_trip(&mut near, &mut far).await?;

    // Two that wait for different things at once.
    let (mut quiet, _held) = pair().await?;
    let both = nexus_sdk::task::race(quiet.read(1), listener.accept());
    let waited = async {
        both.await;
        Ok::<(), nexus_sdk::Error>(())
    };
    stays_pending(waited, "two waits").await?;
    let address = listener.local_addr();
    let again = nexus_sdk::task::join(TcpStream::connect(address), listener.accept()).await;
    let (Ok(mut near), Ok(mut far)) = again else {
        return Err("connect after giving up".into());
    };
    round_trip(&mut near, &mut far).await
}

nexus_sdk::main!(run);
