//! What decisions cost, and what it costs to keep records of them.
//!
//! `cargo xtask bench policy`, or `cargo bench -p nexus-bench --bench policy`.

mod audit;
mod call;
mod decide;

use criterion::{Criterion, criterion_group};

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(50);
    targets = decide::bench, audit::bench
}

fn main() {
    benches();
    call::bench();
    Criterion::default().configure_from_args().final_summary();
}
