//! What the design promises of measurements (DESIGN section 12).

use super::measured::{All, Measured};
use super::page::Section;

/// One promise.
pub(super) struct Target {
    /// The key in `bench/reasons.toml`.
    key: &'static str,
    what: &'static str,
    kind: Kind,
}

enum Kind {
    /// The first measurement over the second, at most this.
    RatioAtMost(&'static str, &'static str, f64),
    /// As `RatioAtMost`, the worst of all whose ids begin with the first text and end with the second, each over the one
    /// that ends with the third.
    WorstRatioAtMost(&'static str, [&'static str; 2], f64),
    /// As `AtMost`, the worst of all whose ids begin and end so.
    WorstAtMost(&'static str, &'static str, f64),
    /// A measurement itself, at most this (nanoseconds, or the unit of a fact).
    AtMost(&'static str, f64),
    /// A measurement itself, at least this.
    AtLeast(&'static str, f64),
    /// As `AtLeast`, but what is aimed at, not promised.
    Aim(&'static str, f64),
}

const fn target(key: &'static str, what: &'static str, kind: Kind) -> Target {
    Target { key, what, kind }
}

/// Of the parts.
const PARTS: &[Target] = &[
    target(
        "rtt-idle",
        "RTT with 50,000 idle connections / with none",
        Kind::AtMost("echo_rtt_ratio_50000", 1.2),
    ),
    target(
        "resident-idle",
        "resident memory of the node with 50,000 idle connections",
        Kind::AtMost("idle_50000_resident", (1_u64 << 30) as f64),
    ),
    target(
        "packets-1500",
        "packets per second of the pure stack / of a bare smoltcp loop; MTU 1500, checksums",
        Kind::AtLeast("packets_ratio_1500_checksums", 0.5),
    ),
    target(
        "packets-65535",
        "the same; MTU 65535, no checksums (the in-process link)",
        Kind::AtLeast("packets_ratio_65535_none", 0.5),
    ),
    target(
        "sim-packets",
        "packets per second of a simulated world / of a bare smoltcp loop; MTU 1500, checksums, no faults",
        Kind::AtLeast("sim_packets_ratio", 0.5),
    ),
    target(
        "sim-seeds",
        "seeds a second and core of two simulated nodes, 64 KiB each way, faults on",
        Kind::AtLeast("sim_seeds_per_second", 500.0),
    ),
    target(
        "sim-guests",
        "virtual / real time of a world of 1,000 nodes with a guest each, every guest one echo a second",
        Kind::AtLeast("sim_thousand_guests", 1.0),
    ),
    target(
        "data-call",
        "a data call with its check / the same without",
        Kind::RatioAtMost("data_call/checked", "data_call/unchecked", 1.3),
    ),
    target(
        "instance",
        "fresh store, instance, teardown / bare wasmtime with the same pooling",
        Kind::RatioAtMost("fresh_instance/host", "fresh_instance/bare", 1.1),
    ),
    target(
        "decide-name",
        "`decide` by name with 10,000 rules / with 10",
        Kind::RatioAtMost("decide/by name/10000", "decide/by name/10", 2.0),
    ),
    target(
        "decide-network",
        "`decide` by network with 10,000 rules / with 10",
        Kind::RatioAtMost("decide/by network/10000", "decide/by network/10", 2.0),
    ),
    target(
        "decide",
        "`decide` by name with 10,000 rules",
        Kind::AtMost("decide/by name/10000", 1_000.0),
    ),
    target(
        "decide-all-growth",
        "`decide` with 10,000 rules / with 10, the worst of all kinds of acts, of one table and of three",
        Kind::WorstRatioAtMost("decide", ["/10000", "/10"], 2.0),
    ),
    target(
        "decide-all",
        "`decide` with 10,000 rules, the slowest of them",
        Kind::WorstAtMost("decide", "/10000", 1_000.0),
    ),
];

/// Beside peers.
const PEERS: &[Target] = &[
    target(
        "tcp-throughput",
        "TCP between two apps in one host, 64 KiB writes / two `wasmtime run` over the kernel's loopback: throughput",
        Kind::AtLeast("peer_tcp_ratio", 2.5),
    ),
    target(
        "tcp-rtt",
        "the same: RTT p50, 64 bytes",
        Kind::AtMost("peer_rtt_ratio", 0.25),
    ),
    target(
        "tcp-fidelity",
        "the same, as on a wire (MTU 1500, checksums, congestion control): throughput",
        Kind::AtLeast("peer_tcp_fidelity_ratio", 1.2),
    ),
    target(
        "start-wall",
        "whole `nexus-host run hello.wasm`, warm / `wasmtime run -C cache=y`: wall time",
        Kind::AtMost("peer_start_wall_ratio", 1.5),
    ),
    target(
        "start-memory",
        "the same: peak memory",
        Kind::AtMost("peer_start_memory_ratio", 1.5),
    ),
    target(
        "tap-1500-in-default",
        "a guest on TAP as it runs by default (offload), from the kernel / bare smoltcp on the same TAP; MTU 1500",
        Kind::AtLeast("tap_1500_in_ratio_offload", 0.9),
    ),
    target(
        "tap-1500-out-default",
        "a guest on TAP as it runs by default (offload), to the kernel / bare smoltcp on the same TAP; MTU 1500",
        Kind::AtLeast("tap_1500_out_ratio_offload", 0.9),
    ),
    target(
        "tap-9000-in-default",
        "a guest on TAP as it runs by default (offload), from the kernel / bare smoltcp on the same TAP; MTU 9000",
        Kind::AtLeast("tap_9000_in_ratio_offload", 0.9),
    ),
    target(
        "tap-9000-out-default",
        "a guest on TAP as it runs by default (offload), to the kernel / bare smoltcp on the same TAP; MTU 9000",
        Kind::AtLeast("tap_9000_out_ratio_offload", 0.9),
    ),
    target(
        "tap-1500-in",
        "the same without offload, from the kernel / bare smoltcp on the same TAP; MTU 1500",
        Kind::AtLeast("tap_1500_in_ratio", 0.9),
    ),
    target(
        "tap-1500-out",
        "the same without offload, to the kernel / bare smoltcp on the same TAP; MTU 1500",
        Kind::AtLeast("tap_1500_out_ratio", 0.9),
    ),
    target(
        "tap-9000-in",
        "the same without offload, from the kernel / bare smoltcp on the same TAP; MTU 9000",
        Kind::AtLeast("tap_9000_in_ratio", 0.9),
    ),
    target(
        "tap-9000-out",
        "the same without offload, to the kernel / bare smoltcp on the same TAP; MTU 9000",
        Kind::AtLeast("tap_9000_out_ratio", 0.9),
    ),
    target(
        "tap-offload-in",
        "what offload adds, from the kernel, MTU 1500",
        Kind::Aim("tap_1500_in_offload_adds", 3.0),
    ),
    target(
        "tap-offload-in-speed",
        "a guest on TAP with offload, from the kernel, MTU 1500",
        Kind::Aim("tap_1500_in_guest_offload", 8.0),
    ),
    target(
        "tap-offload-out",
        "what offload adds, to the kernel, MTU 1500",
        Kind::Aim("tap_1500_out_offload_adds", 3.0),
    ),
    target(
        "tap-offload-out-speed",
        "a guest on TAP with offload, to the kernel, MTU 1500",
        Kind::Aim("tap_1500_out_guest_offload", 8.0),
    ),
];

/// HTTP, and programs as they are.
const HTTP: &[Target] = &[
    target(
        "serve-p2",
        "`nexus-host serve` / `wasmtime serve`, wasi:http 0.2: requests per second",
        Kind::AtLeast("http_serve_p2_requests_ratio", 1.0),
    ),
    target(
        "serve-p2-p99",
        "the same: p99",
        Kind::AtMost("http_serve_p2_p99_ratio", 1.0),
    ),
    target(
        "serve-p3",
        "the same, wasi:http 0.3: requests per second",
        Kind::AtLeast("http_serve_p3_requests_ratio", 1.0),
    ),
    target(
        "serve-p3-p99",
        "the same: p99",
        Kind::AtMost("http_serve_p3_p99_ratio", 1.0),
    ),
    target(
        "egress",
        "requests per second of a guest, pooled / wasmtime's default sender; one after another, for 120 s",
        Kind::AtLeast("http_egress_sustained_ratio", 5.0),
    ),
    target(
        "tls-bulk",
        "TLS bulk download through a guest / the same rustls and hyper outside wasm",
        Kind::AtLeast("http_tls_bulk_ratio", 0.7),
    ),
    target(
        "std-throughput",
        "`std::net` between two apps in one host / two `wasmtime run` over the kernel's loopback: throughput",
        Kind::AtLeast("http_std_tcp_ratio", 1.7),
    ),
    target(
        "std-rtt",
        "the same: RTT p50, 64 bytes",
        Kind::AtMost("http_std_rtt_ratio", 0.3),
    ),
];

pub(super) fn of(section: Section) -> &'static [Target] {
    match section {
        Section::Parts => PARTS,
        Section::Peers => PEERS,
        Section::Http => HTTP,
    }
}

impl Target {
    /// Its line of the table.
    pub(super) fn line(&self, reasons: &toml::Table, measured: &All) -> String {
        let own = |id: &str, sign: &str, limit: f64| {
            let one = measured.get(id);
            let in_unit = |value| {
                let unit = one.map_or("", |one| one.unit.as_str());
                Measured::new(value, unit).show()
            };
            let found = one.map(|one| one.value);
            let shown = found.map(in_unit);
            (found, shown, format!("{sign} {}", in_unit(limit)))
        };
        let (found, shown, wanted, met): (_, _, _, fn(f64, f64) -> bool) = match self.kind {
            Kind::RatioAtMost(one, other, limit) => {
                let value = |id: &str| measured.get(id).map(|one| one.value);
                let found = value(one).zip(value(other)).map(|(one, other)| one / other);
                let show = |ratio| Measured::new(ratio, "x").show();
                let wanted = format!("<= {}", show(limit));
                (found, found.map(show), wanted, |found, limit| {
                    found <= limit
                })
            }
            Kind::WorstRatioAtMost(begin, [end, other], limit) => {
                let found = worst(measured, begin, end, |id, one| {
                    let other = measured.get(&format!("{}{other}", id.strip_suffix(end)?))?;
                    Some(one.value / other.value)
                });
                let show = |ratio| Measured::new(ratio, "x").show();
                let wanted = format!("<= {}", show(limit));
                let shown = found.map(|(id, ratio)| format!("{} ({id})", show(ratio)));
                let found = found.map(|(_, ratio)| ratio);
                (found, shown, wanted, |found, limit| found <= limit)
            }
            Kind::WorstAtMost(begin, end, limit) => {
                let found = worst(measured, begin, end, |_, one| Some(one.value));
                let show = |value| Measured::new(value, "ns").show();
                let shown = found.map(|(id, value)| format!("{} ({id})", show(value)));
                let found = found.map(|(_, value)| value);
                let wanted = format!("<= {}", show(limit));
                (found, shown, wanted, |found, limit| found <= limit)
            }
            Kind::AtMost(id, limit) => {
                let (found, shown, wanted) = own(id, "<=", limit);
                (found, shown, wanted, |found, limit| found <= limit)
            }
            Kind::AtLeast(id, limit) => {
                let (found, shown, wanted) = own(id, ">=", limit);
                (found, shown, wanted, |found, limit| found >= limit)
            }
            Kind::Aim(id, limit) => {
                let (found, shown, wanted) = own(id, "aim: >=", limit);
                (found, shown, wanted, |found, limit| found >= limit)
            }
        };
        let (Kind::RatioAtMost(_, _, limit)
        | Kind::WorstRatioAtMost(_, _, limit)
        | Kind::WorstAtMost(_, _, limit)
        | Kind::AtMost(_, limit)
        | Kind::AtLeast(_, limit)
        | Kind::Aim(_, limit)) = self.kind;
        let outcome = match found {
            None => "not measured".to_owned(),
            Some(found) if met(found, limit) => "met".to_owned(),
            Some(_) => format!(
                "**missed**: {}",
                reasons
                    .get(self.key)
                    .and_then(toml::Value::as_str)
                    .unwrap_or("no reason is written in bench/reasons.toml yet")
            ),
        };
        let shown = shown.unwrap_or_else(|| "-".into());
        format!("| {} | {shown} | {wanted} | {outcome} |\n", self.what)
    }
}

/// The largest value of those whose ids begin and end so, and whose it is.
fn worst<'a>(
    measured: &'a All,
    begin: &str,
    end: &str,
    value: impl Fn(&str, &Measured) -> Option<f64>,
) -> Option<(&'a str, f64)> {
    measured
        .iter()
        .filter(|(id, _)| id.starts_with(begin) && id.ends_with(end))
        .filter_map(|(id, one)| Some((id.as_str(), value(id, one)?)))
        .max_by(|(_, a), (_, b)| a.total_cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(key: &str, reasons: &str, values: &[(&str, f64, &str)]) -> String {
        let target = [PARTS, PEERS, HTTP]
            .into_iter()
            .flatten()
            .find(|target| target.key == key)
            .expect("a target");
        let measured = values
            .iter()
            .map(|&(id, value, unit)| (id.to_owned(), Measured::new(value, unit)))
            .collect();
        target.line(&reasons.parse().expect("TOML"), &measured)
    }

    #[test]
    fn a_ratio_is_met_missed_with_its_reason_or_not_measured() {
        let call = |checked| {
            [
                ("data_call/checked", checked, "ns"),
                ("data_call/unchecked", 10.0, "ns"),
            ]
        };
        assert!(line("data-call", "", &call(13.0)).ends_with("| 1.30 | <= 1.30 | met |\n"));
        assert!(
            line("data-call", "data-call = 'cold caches'", &call(14.0))
                .ends_with("| 1.40 | <= 1.30 | **missed**: cold caches |\n")
        );
        assert!(line("data-call", "", &[]).ends_with("| - | <= 1.30 | not measured |\n"));
    }

    #[test]
    fn more_than_asked_is_met() {
        let packets = |ratio| [("packets_ratio_1500_checksums", ratio, "x")];
        assert!(line("packets-1500", "", &packets(0.8)).ends_with("| 0.80 | >= 0.50 | met |\n"));
        assert!(line("packets-1500", "", &packets(0.4)).contains("missed"));
        let tcp = |ratio| [("peer_tcp_ratio", ratio, "x")];
        assert!(line("tcp-throughput", "", &tcp(2.5)).ends_with("| 2.50 | >= 2.50 | met |\n"));
    }

    #[test]
    fn an_absolute_value_is_shown_in_its_unit() {
        let memory = [("idle_50000_resident", 805306368.0, "bytes")];
        assert!(line("resident-idle", "", &memory).ends_with("| 768 MiB | <= 1024 MiB | met |\n"));
        let decide = [("decide/by name/10000", 1500.0, "ns")];
        assert!(line("decide", "", &decide).contains("| 1.500 µs | <= 1.000 µs | **missed**"));
    }

    /// Goal: the worst of a group counts, and says which it was. Method: two acts, one of which grows too much.
    #[test]
    fn the_worst_of_a_group_counts() {
        let decide = |grown| {
            [
                ("decide/by name/10", 100.0, "ns"),
                ("decide/by name/10000", 110.0, "ns"),
                ("decide_three_tables/listen/10", 50.0, "ns"),
                ("decide_three_tables/listen/10000", grown, "ns"),
            ]
        };
        let growth = |grown| line("decide-all-growth", "", &decide(grown));
        assert!(
            growth(75.0).ends_with("| 1.50 (decide_three_tables/listen/10000) | <= 2.00 | met |\n")
        );
        assert!(growth(101.0).contains("missed"));
        assert!(growth(1.0).contains("| 1.10 (decide/by name/10000) |"));
        assert!(line("decide-all", "", &decide(999.0)).ends_with("| met |\n"));
        assert!(line("decide-all", "", &decide(1_001.0)).contains("missed"));
        assert!(line("decide-all", "", &[]).ends_with("| - | <= 1.000 µs | not measured |\n"));
    }

    /// Goal: no target reads another section's measurements, which are not shown to it.
    #[test]
    fn every_target_reads_what_its_section_has() {
        for section in Section::ALL {
            for target in of(section) {
                let ids = match target.kind {
                    Kind::RatioAtMost(one, other, _) => vec![one, other],
                    Kind::WorstRatioAtMost(id, ..)
                    | Kind::WorstAtMost(id, ..)
                    | Kind::AtMost(id, _)
                    | Kind::AtLeast(id, _)
                    | Kind::Aim(id, _) => vec![id],
                };
                assert!(
                    ids.into_iter().all(|id| Section::of(id) == section),
                    "{}",
                    target.key
                );
            }
        }
    }
}
