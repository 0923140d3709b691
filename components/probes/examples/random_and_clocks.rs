//! Randomness is there and differs, the monotonic clock never goes back, the wall clock knows the year.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::time::{Duration, Instant, SystemTime};

use nexus_sdk::svc::time::{BackoffConfig, backoff, now};
use probes::{Outcome, ensure, same, success};

async fn run() -> Outcome {
    let hash = RandomState::new().hash_one(0);
    println!("{hash}");

    let mut before = (now(), Instant::now());
    for _ in 0..1_000 {
        let after = (now(), Instant::now());
        ensure(
            after.0 >= before.0 && after.1 >= before.1,
            "a clock went back",
        )?;
        before = after;
    }
    let since_1970 = success(
        SystemTime::now().duration_since(SystemTime::UNIX_EPOCH),
        "the wall clock",
    )?;
    ensure(
        since_1970 > Duration::from_secs(1_577_836_800),
        format!("{since_1970:?} since 1970"),
    )?;

    let schedules: HashSet<Vec<_>> = (0..4)
        .map(|_| backoff(BackoffConfig::default()).collect())
        .collect();
    same(schedules.len(), 4, "schedules that differ")
}

nexus_sdk::main!(run);
