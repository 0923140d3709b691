//! The stack alone, no host and no guests: what a packet costs, and what an idle connection does.
//!
//! `cargo bench -p nexus-bench --bench stack`. The memory of 50,000 idle connections is measured first, in this
//! process, from `/proc/self/statm`: the far ends are packets made by hand and keep nothing.

mod bare;
mod idle;
mod pair;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};

use bare::Bare;
use idle::Node;
use nexus_bench::fact;
use pair::{Pair, Setting};

/// RTT of 64 bytes to an echo at a node with that many idle connections beside it.
fn echo(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("echo_rtt_beside_idle");
    group.measurement_time(Duration::from_secs(5));
    for idle in [0, 1_000, 50_000] {
        let mut node = Node::with_idle(idle);
        group.bench_function(BenchmarkId::from_parameter(idle), |bencher| {
            bencher.iter(|| black_box(node.echo()));
        });
    }
    group.finish();
}

const BULK: usize = 4 << 20;

/// Bytes one way through two stacks, and through two bare smoltcp interfaces.
fn bulk(criterion: &mut Criterion) {
    for setting in Setting::ALL {
        let mut group = criterion.benchmark_group(format!("bulk_{}", setting.name));
        group.throughput(Throughput::Bytes(BULK as u64));
        group.measurement_time(Duration::from_secs(5));
        let mut pair = Pair::new(setting);
        group.bench_function("nexus_stack", |bencher| {
            bencher.iter(|| black_box(pair.bulk(BULK)));
        });
        let mut bare = Bare::new(setting);
        group.bench_function("bare_smoltcp", |bencher| {
            bencher.iter(|| black_box(bare.bulk(BULK)));
        });
        group.finish();
    }
}

/// The same, taken by turns in one go, so that a busy machine is busy for both: packets per second.
fn packets(setting: Setting) {
    let mut pair = Pair::new(setting);
    let mut bare = Bare::new(setting);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for round in 0..42 {
        let ours_now = rate(|| pair.bulk(BULK));
        let theirs_now = rate(|| bare.bulk(BULK));
        // The first rounds warm caches and pools.
        if round >= 2 {
            ours.push(ours_now);
            theirs.push(theirs_now);
        }
    }
    let (ours, theirs) = (median(ours), median(theirs));
    fact(
        &format!("packets_ratio_{}", setting.name),
        ours.0 / theirs.0,
        "x",
        &format!(
            "packets a second: ours {:.0} ({:.1} Gbit/s), bare smoltcp {:.0} ({:.1} Gbit/s); {:.2}x bytes",
            ours.0,
            ours.1,
            theirs.0,
            theirs.1,
            ours.1 / theirs.1,
        ),
    );
}

/// Packets and Gbit a second.
fn rate(run: impl FnOnce() -> u64) -> (f64, f64) {
    let begun = std::time::Instant::now();
    let packets = run();
    let seconds = begun.elapsed().as_secs_f64();
    (packets as f64 / seconds, BULK as f64 * 8.0 / seconds / 1e9)
}

fn median(mut rates: Vec<(f64, f64)>) -> (f64, f64) {
    rates.sort_by(|a, b| a.0.total_cmp(&b.0));
    rates[rates.len() / 2]
}

criterion_group!(benches, echo, bulk);

fn main() {
    idle::report_memory(50_000);
    idle::report_ratio(50_000);
    for setting in Setting::ALL {
        packets(setting);
    }
    benches();
    Criterion::default().configure_from_args().final_summary();
}
