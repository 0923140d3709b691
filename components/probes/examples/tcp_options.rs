//! Keep-alive can be set and unset; both ends know both addresses.

use core::time::Duration;

use probes::{Outcome, pair, round_trip, same, success};

async fn run() -> Outcome {
    let (mut near, mut far) = pair().await?;
    same(
        near.local_addr(),
        far.remote_addr(),
        "the address of who connected",
    )?;
    same(
        near.remote_addr(),
        far.local_addr(),
        "the address of who accepted",
    )?;
    same(near.local_addr().port() == 0, false, "port 0")?;
    success(
        near.set_keep_alive(Some(Duration::from_secs(1))),
        "keep-alive on",
    )?;
    round_trip(&mut near, &mut far).await?;
    success(near.set_keep_alive(None), "keep-alive off")?;
    round_trip(&mut near, &mut far).await
}

nexus_sdk::main!(run);
