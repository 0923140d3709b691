//! The same seed, the same run: twice in one process, in every build, and as it was when it was committed.

mod common;

use nexus_sim::standard::{self, Options};

use common::each_of;

/// Where the hash of seed 1 is kept; debug and release must both come to it.
const COMMITTED: &str = "tests/hash-of-seed-1.txt";

fn hash(seed: u64) -> String {
    let outcome = standard::run(seed, &Options::default()).expect("the options make a world");
    outcome
        .hash
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[test]
fn two_hundred_seeds_run_twice_are_the_same() {
    let first = each_of(0..200, hash);
    let second = each_of(0..200, hash);
    assert_eq!(first, second);
    let mut hashes: Vec<_> = first.into_iter().map(|(_, hash)| hash).collect();
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), 200, "another seed is another run");
}

/// `BLESS=1 cargo test -p nexus-sim --test determinism` when a change of what happens is meant.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "outside netcore's sources: a file beside this test"
)]
fn seed_1_is_as_it_was() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(COMMITTED);
    let now = hash(1);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, format!("{now}\n")).expect("writable");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        committed.trim(),
        now,
        "what happens in seed 1 has changed; if that is meant: BLESS=1 cargo test -p nexus-sim --test determinism"
    );
}
