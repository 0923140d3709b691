//! What tests over many seeds share.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses what it needs of the harness"
)]

use std::ops::Range;

/// What `run` says of each seed, by two threads: a world has one, two worlds have two.
pub fn each_of<T: Send>(seeds: Range<u64>, run: impl Fn(u64) -> T + Sync) -> Vec<(u64, T)> {
    let half = |parity| {
        let run = &run;
        let seeds = seeds.clone().filter(move |seed| seed % 2 == parity);
        move || seeds.map(|seed| (seed, run(seed))).collect::<Vec<_>>()
    };
    #[expect(
        clippy::disallowed_methods,
        reason = "outside netcore's sources: a world itself has one thread"
    )]
    let mut all = std::thread::scope(|scope| {
        let other = scope.spawn(half(1));
        let mut all = half(0)();
        match other.join() {
            Ok(others) => all.extend(others),
            Err(panic) => std::panic::resume_unwind(panic),
        }
        all
    });
    all.sort_by_key(|(seed, _)| *seed);
    all
}

/// A number from the environment.
#[expect(
    clippy::disallowed_methods,
    reason = "outside netcore's sources: which seed to replay"
)]
pub fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// How to see one seed again.
pub fn replay_command(world: &str, seed: u64) -> String {
    format!(
        "NEXUS_SIM_WORLD={world} NEXUS_SIM_SEED={seed} cargo test -p nexus-sim --test swarm replay -- --ignored --nocapture"
    )
}
