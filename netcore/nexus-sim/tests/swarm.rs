//! Thousands of seeds of the standard world: whatever goes wrong, nothing that must be true is not.

use nexus_sim::standard::{self, Options};

#[test]
fn first() {
    for seed in 0..4000 {
        let outcome = standard::run(
            seed,
            &Options {
                faults: seed % 2 == 1,
                ..Options::default()
            },
        )
        .unwrap();
        if outcome.unfinished > 0 || outcome.violation_count > 0 {
            println!(
                "{seed} {} {:?} {}",
                outcome.time, outcome.counts, outcome.unfinished
            );
            for violation in outcome.violations.iter().take(4) {
                println!("   {violation}");
            }
        }
    }
}
