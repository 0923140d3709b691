//! `cargo xtask bench`: runs the benches of `bench/` and writes `bench/RESULTS.md`.
//!
//! Criterion leaves its medians below target/criterion; a bench that measures something that is no
//! time (resident bytes) leaves `target/bench-facts/<id>.json` with `id`, `value`, `unit`, `note`.
//! `bench/settings.md` (how it is measured) is taken over as it is, and `bench/reasons.toml` says why
//! a target is missed.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::build;
use crate::step::{Step, run as run_command, run_quietly};
use crate::workspace::Workspace;

/// What the design promises of a measurement.
struct Target {
    /// The key in `bench/reasons.toml`.
    key: &'static str,
    what: &'static str,
    kind: Kind,
}

enum Kind {
    /// The first measurement over the second, at most this.
    RatioAtMost(&'static str, &'static str, f64),
    /// A measurement itself, at most this (nanoseconds, or the unit of a fact).
    AtMost(&'static str, f64),
    /// A measurement itself, at least this.
    AtLeast(&'static str, f64),
}

/// The targets that are measured so far (issue 2, "Shown by" 6, and DESIGN section 12).
const TARGETS: &[Target] = &[
    Target {
        key: "rtt-idle",
        what: "RTT with 50,000 idle connections / with none",
        kind: Kind::AtMost("echo_rtt_ratio_50000", 1.2),
    },
    Target {
        key: "resident-idle",
        what: "resident memory of the node with 50,000 idle connections",
        kind: Kind::AtMost("idle_50000_resident", (1_u64 << 30) as f64),
    },
    Target {
        key: "packets-1500",
        what: "packets per second of the pure stack / of a bare smoltcp loop; MTU 1500, checksums",
        kind: Kind::AtLeast("packets_ratio_1500_checksums", 0.5),
    },
    Target {
        key: "packets-65535",
        what: "the same; MTU 65535, no checksums (the in-process link)",
        kind: Kind::AtLeast("packets_ratio_65535_none", 0.5),
    },
    Target {
        key: "data-call",
        what: "a data call with its check / the same without",
        kind: Kind::RatioAtMost("data_call/checked", "data_call/unchecked", 1.3),
    },
    Target {
        key: "instance",
        what: "fresh store, instance, teardown / bare wasmtime with the same pooling",
        kind: Kind::RatioAtMost("fresh_instance/host", "fresh_instance/bare", 1.1),
    },
    Target {
        key: "decide-name",
        what: "`decide` by name with 10,000 rules / with 10",
        kind: Kind::RatioAtMost("decide/by name/10000", "decide/by name/10", 2.0),
    },
    Target {
        key: "decide-network",
        what: "`decide` by network with 10,000 rules / with 10",
        kind: Kind::RatioAtMost("decide/by network/10000", "decide/by network/10", 2.0),
    },
    Target {
        key: "decide",
        what: "`decide` by name with 10,000 rules",
        kind: Kind::AtMost("decide/by name/10000", 1_000.0),
    },
];

/// Runs what `filter` names (everything without one) and writes the page.
pub(crate) fn run(workspace: &Workspace, collect: bool, filter: Option<&str>) -> Result<()> {
    if !collect {
        build::guests(workspace)?;
        if filter.is_none() {
            // A bench that is gone or renamed must not stay in the table.
            for stale in ["criterion", "bench-facts"] {
                let folder = workspace.target.join(stale);
                if folder.exists() {
                    fs::remove_dir_all(folder)?;
                }
            }
        }
        let step = Step::begin("benches", "10 min");
        let mut cargo = workspace.cargo();
        cargo.args(["bench", "-p", "nexus-bench", "--benches", "--"]);
        // With backtraces on, wasmtime takes one whenever a store ends (the error is made before it
        // is known not to be needed): 4 us an instance, on both sides of every comparison.
        cargo.env("RUST_BACKTRACE", "0");
        run_command(cargo.args(filter))?;
        step.end();
    }
    let measured = measurements(&workspace.target)?;
    ensure!(
        !measured.is_empty(),
        "there is no measurement below {}; run `cargo xtask bench` without --collect",
        workspace.show(&workspace.target.join("criterion"))
    );
    let folder = workspace.root.join("bench");
    let settings = read_or_empty(&folder.join("settings.md"))?;
    let reasons: toml::Table = read_or_empty(&folder.join("reasons.toml"))?
        .parse()
        .context("bench/reasons.toml")?;
    let page = page(&machine(workspace, collect), &settings, &reasons, &measured);
    fs::write(folder.join("RESULTS.md"), &page)?;
    for line in page.lines().filter(|line| line.starts_with('|')) {
        println!("{line}");
    }
    eprintln!("    written to bench/RESULTS.md");
    Ok(())
}

/// One median or fact.
struct Measured {
    value: f64,
    unit: String,
    note: String,
}

impl Measured {
    fn new(value: f64, unit: String) -> Self {
        Self {
            value,
            unit,
            note: String::new(),
        }
    }

    fn show(&self) -> String {
        match self.unit.as_str() {
            "ns" => show_nanoseconds(self.value),
            "bytes" => format!("{:.0} MiB", self.value / f64::from(1 << 20)),
            // A ratio, or a target of something that was not measured.
            "x" | "" => format!("{:.2}", self.value),
            unit => format!("{} {unit}", self.value),
        }
    }
}

fn show_nanoseconds(value: f64) -> String {
    for (limit, divisor, unit) in [(1e3, 1.0, "ns"), (1e6, 1e3, "µs"), (1e9, 1e6, "ms")] {
        if value < limit {
            return format!("{:.3} {unit}", value / divisor);
        }
    }
    format!("{:.3} s", value / 1e9)
}

fn measurements(target: &Path) -> Result<BTreeMap<String, Measured>> {
    let mut found = BTreeMap::new();
    criterion(&target.join("criterion"), &mut found)?;
    let facts = target.join("bench-facts");
    if facts.is_dir() {
        for entry in fs::read_dir(facts)? {
            let path = entry?.path();
            let fact = json(&path)?;
            let text = |key: &str| fact[key].as_str().map(str::to_owned);
            found.insert(
                text("id").with_context(|| format!("{}: no id", path.display()))?,
                Measured {
                    value: fact["value"]
                        .as_f64()
                        .with_context(|| format!("{}: no value", path.display()))?,
                    unit: text("unit").unwrap_or_default(),
                    note: text("note").unwrap_or_default(),
                },
            );
        }
    }
    Ok(found)
}

/// `.../new/{benchmark,estimates}.json`, wherever they are below `folder`.
fn criterion(folder: &Path, found: &mut BTreeMap<String, Measured>) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    if folder.file_name().is_some_and(|name| name == "new") {
        let benchmark = folder.join("benchmark.json");
        if benchmark.is_file() {
            let benchmark = json(&benchmark)?;
            let estimates = json(&folder.join("estimates.json"))?;
            let id = benchmark["full_id"]
                .as_str()
                .context("benchmark.json has no full_id")?;
            let value = estimates["median"]["point_estimate"]
                .as_f64()
                .context("estimates.json has no median")?;
            found.insert(
                id.to_owned(),
                Measured {
                    value,
                    unit: "ns".into(),
                    note: throughput(&benchmark["throughput"], value),
                },
            );
        }
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        criterion(&entry?.path(), found)?;
    }
    Ok(())
}

/// What an iteration moves, a second.
fn throughput(throughput: &Value, nanoseconds: f64) -> String {
    let per_second = |key: &str| {
        throughput[key]
            .as_f64()
            .map(|each| each / nanoseconds * 1e9)
    };
    if let Some(bytes) = per_second("Bytes") {
        format!("{:.2} Gbit/s", bytes * 8.0 / 1e9)
    } else if let Some(elements) = per_second("Elements") {
        format!("{:.0} a second", elements)
    } else {
        String::new()
    }
}

fn json(path: &Path) -> Result<Value> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not JSON", path.display()))
}

fn read_or_empty(path: &Path) -> Result<String> {
    if !path.exists() {
        return Ok(String::new());
    }
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

/// The machine, the compiler and the commit, as lines of the page.
fn machine(workspace: &Workspace, collect: bool) -> String {
    let said = |command: &mut Command| {
        run_quietly(command, Duration::from_secs(10))
            .ok()
            .filter(|said| said.status.success())
            .map_or_else(|| "unknown".into(), |said| said.stdout.trim().to_owned())
    };
    let first = |path: &str, key: &str| {
        fs::read_to_string(path)
            .ok()
            .and_then(|text| {
                text.lines()
                    .find_map(|line| line.strip_prefix(key)?.split_once(':'))
                    .map(|(_, value)| value.trim().to_owned())
            })
            .unwrap_or_else(|| "unknown".into())
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    // What was measured earlier may be of an earlier commit; say so rather than guess which.
    let when = if collect {
        "written, from measurements taken before,"
    } else {
        "measured"
    };
    format!(
        "- {when} {}\n- commit: {}\n- load of the machine then: {}\n- processor: {} ({cores} cores), memory {}\n- system: {}\n- compiler: {}\n",
        said(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"])),
        said(
            workspace
                .in_root("git")
                .args(["describe", "--always", "--dirty"])
        ),
        fs::read_to_string("/proc/loadavg").map_or_else(
            |_| "unknown".into(),
            |text| text
                .split_whitespace()
                .take(3)
                .collect::<Vec<_>>()
                .join(" "),
        ),
        first("/proc/cpuinfo", "model name"),
        first("/proc/meminfo", "MemTotal"),
        said(Command::new("uname").arg("-sr")),
        said(workspace.rustc().arg("--version")),
    )
}

fn page(
    machine: &str,
    settings: &str,
    reasons: &toml::Table,
    measured: &BTreeMap<String, Measured>,
) -> String {
    let mut page = format!(
        "# Measurements\n\nWritten by `cargo xtask bench`; not by hand.\n\n{machine}\n## Targets\n\n\
         | what | measured | target | |\n|---|---|---|---|\n"
    );
    for target in TARGETS {
        page.push_str(&target_line(target, reasons, measured));
    }
    if !settings.is_empty() {
        page.push_str(&format!("\n## Settings\n\n{}\n", settings.trim_end()));
    }
    page.push_str("\n## Medians\n\n| bench | median | |\n|---|---|---|\n");
    for (id, one) in measured {
        page.push_str(&format!("| {id} | {} | {} |\n", one.show(), one.note));
    }
    page
}

fn target_line(
    target: &Target,
    reasons: &toml::Table,
    measured: &BTreeMap<String, Measured>,
) -> String {
    let own = |id: &str, sign: &str, limit: f64| {
        let one = measured.get(id);
        let in_unit = |value| {
            let unit = one.map_or(String::new(), |one| one.unit.clone());
            Measured::new(value, unit).show()
        };
        let found = one.map(|one| one.value);
        (
            found,
            found.map(in_unit),
            format!("{sign} {}", in_unit(limit)),
        )
    };
    let (found, shown, wanted, met): (_, _, _, fn(f64, f64) -> bool) = match target.kind {
        Kind::RatioAtMost(one, other, limit) => {
            let value = |id: &str| measured.get(id).map(|one| one.value);
            let found = value(one).zip(value(other)).map(|(one, other)| one / other);
            let show = |ratio| Measured::new(ratio, "x".into()).show();
            let wanted = format!("<= {}", show(limit));
            (found, found.map(show), wanted, |found, limit| {
                found <= limit
            })
        }
        Kind::AtMost(id, limit) => {
            let (found, shown, wanted) = own(id, "<=", limit);
            (found, shown, wanted, |found, limit| found <= limit)
        }
        Kind::AtLeast(id, limit) => {
            let (found, shown, wanted) = own(id, ">=", limit);
            (found, shown, wanted, |found, limit| found >= limit)
        }
    };
    let (Kind::RatioAtMost(_, _, limit) | Kind::AtMost(_, limit) | Kind::AtLeast(_, limit)) =
        target.kind;
    let outcome = match found {
        None => "not measured".to_owned(),
        Some(found) if met(found, limit) => "met".to_owned(),
        Some(_) => format!(
            "**missed**: {}",
            reasons
                .get(target.key)
                .and_then(toml::Value::as_str)
                .unwrap_or("no reason is written in bench/reasons.toml yet")
        ),
    };
    let shown = shown.unwrap_or_else(|| "-".into());
    format!("| {} | {shown} | {wanted} | {outcome} |\n", target.what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(values: &[(&str, f64, &str)]) -> BTreeMap<String, Measured> {
        values
            .iter()
            .map(|&(id, value, unit)| (id.to_owned(), Measured::new(value, unit.into())))
            .collect()
    }

    fn line(key: &str, reasons: &str, values: &[(&str, f64, &str)]) -> String {
        let target = TARGETS
            .iter()
            .find(|target| target.key == key)
            .expect("a target");
        let reasons = reasons.parse().expect("TOML");
        target_line(target, &reasons, &measured(values))
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
    fn more_packets_than_asked_is_met() {
        let packets = |ratio| [("packets_ratio_1500_checksums", ratio, "x")];
        assert!(line("packets-1500", "", &packets(0.8)).ends_with("| 0.80 | >= 0.50 | met |\n"));
        assert!(line("packets-1500", "", &packets(0.4)).contains("missed"));
    }

    #[test]
    fn an_absolute_value_is_shown_in_its_unit() {
        let memory = [("idle_50000_resident", 805306368.0, "bytes")];
        assert!(line("resident-idle", "", &memory).ends_with("| 768 MiB | <= 1024 MiB | met |\n"));
        let decide = [("decide/by name/10000", 1500.0, "ns")];
        assert!(line("decide", "", &decide).contains("| 1.500 µs | <= 1.000 µs | **missed**"));
    }
}
