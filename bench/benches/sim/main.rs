//! The simulated world: what a packet costs in it and how many seeds a core runs, of netcore alone; and how fast a
//! thousand guests are.
//!
//! `cargo bench -p nexus-bench --bench sim`. Packets are counted beside a bare smoltcp loop, taken by turns in one
//! go, so that a busy machine is busy for both.

#[path = "../stack/bare.rs"]
mod bare;
mod flood;
mod guests;
#[path = "../stack/pair.rs"]
#[allow(dead_code, reason = "only its setting is of use here")]
mod pair;

use std::hint::black_box;
use std::time::Instant as Clock;

use criterion::{Criterion, Throughput, criterion_group};

use bare::Bare;
use flood::Flood;
use nexus_bench::fact;
use nexus_sim::standard::{self, Options};
use pair::Setting;

const BULK: usize = 4 << 20;

/// MTU 1500, checksums made and checked, the buffers a connection has by default.
const SETTING: Setting = Setting {
    buffer: 64 << 10,
    ..Setting::ALL[0]
};

/// Packets a second of a world of two machines without faults, over those of the bare loop.
fn packets() {
    let mut ours = Flood::new(SETTING.mtu, SETTING.buffer);
    let mut theirs = Bare::new(SETTING);
    let mut rates = [Vec::new(), Vec::new()];
    for round in 0..42 {
        let now = [rate(|| ours.bulk(BULK)), rate(|| theirs.bulk(BULK))];
        // The first rounds warm caches and pools.
        if round >= 2 {
            for (rates, rate) in rates.iter_mut().zip(now) {
                rates.push(rate);
            }
        }
    }
    let [ours, theirs] = rates.map(median);
    fact(
        "sim_packets_ratio",
        ours / theirs,
        "x",
        &format!("packets a second: a world {ours:.0}, bare smoltcp {theirs:.0}"),
    );
}

/// What a core runs of the standard world: two machines, 64 KiB each way, faults on, all checkers looking.
fn seeds() {
    let options = Options::default();
    let mut rates = Vec::new();
    let mut first = 0;
    for _ in 0..10 {
        let begun = Clock::now();
        for seed in first..first + 200 {
            black_box(standard::run(seed, &options).expect("the options make a world"));
        }
        rates.push(200.0 / begun.elapsed().as_secs_f64());
        first += 200;
    }
    fact(
        "sim_seeds_per_second",
        median(rates),
        "seeds/s",
        "one core; two machines, 64 KiB each way, small messages, datagrams and a scanner beside; chaos, heal, drain",
    );
}

fn rate(run: impl FnOnce() -> u64) -> f64 {
    let begun = Clock::now();
    run() as f64 / begun.elapsed().as_secs_f64()
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

fn world(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("sim");
    group.throughput(Throughput::Bytes(BULK as u64));
    let mut flood = Flood::new(SETTING.mtu, SETTING.buffer);
    group.bench_function("bulk_1500_checksums", |bencher| {
        bencher.iter(|| black_box(flood.bulk(BULK)));
    });
    group.finish();
}

criterion_group!(benches, world);

fn main() {
    packets();
    seeds();
    guests::thousand();
    benches();
    Criterion::default().configure_from_args().final_summary();
}
