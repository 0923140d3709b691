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
    /// The first measurement over the second, at least this.
    RatioAtLeast(&'static str, &'static str, f64),
    /// A measurement itself, at most this (nanoseconds or the unit of a fact).
    AtMost(&'static str, f64),
}

/// The targets that are measured so far (issue 2, "Shown by" 6, and DESIGN section 12).
const TARGETS: &[Target] = &[
    Target {
        key: "rtt-idle",
        what: "RTT with 50,000 idle connections / with none",
        kind: Kind::RatioAtMost("stack_rtt/idle/50000", "stack_rtt/idle/0", 1.2),
    },
    Target {
        key: "resident-idle",
        what: "resident memory of the node with 50,000 idle connections",
        kind: Kind::AtMost("stack_idle_50000_resident_bytes", (1_u64 << 30) as f64),
    },
    Target {
        key: "packets",
        what: "packets per second of the pure stack / of a bare smoltcp loop",
        kind: Kind::RatioAtLeast("stack_packets/smoltcp", "stack_packets/nexus", 0.5),
    },
    Target {
        key: "data-call",
        what: "a data call with its check / the same without",
        kind: Kind::RatioAtMost("data_call/checked", "data_call/unchecked", 1.3),
    },
    Target {
        key: "instance",
        what: "fresh store, instance, teardown / bare wasmtime with the same pooling",
        kind: Kind::RatioAtMost("instance/nexus", "instance/wasmtime", 1.1),
    },
    Target {
        key: "decide-growth",
        what: "`decide` with 10,000 rules / with 10",
        kind: Kind::RatioAtMost("policy_decide/rules/10000", "policy_decide/rules/10", 2.0),
    },
    Target {
        key: "decide",
        what: "`decide` with 10,000 rules",
        kind: Kind::AtMost("policy_decide/rules/10000", 1_000.0),
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
    let page = page(&machine(workspace), &settings, &reasons, &measured);
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
    fn show(&self) -> String {
        match self.unit.as_str() {
            "ns" => show_nanoseconds(self.value),
            "bytes" => format!("{:.0} MiB", self.value / f64::from(1 << 20)),
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
fn machine(workspace: &Workspace) -> String {
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
    format!(
        "- date: {}\n- commit: {}\n- processor: {} ({cores} cores), memory {}\n- system: {}\n- compiler: {}\n",
        said(Command::new("date").args(["-u", "+%Y-%m-%d %H:%M UTC"])),
        said(
            workspace
                .in_root("git")
                .args(["describe", "--always", "--dirty"])
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
    let value = |id: &str| measured.get(id).map(|one| one.value);
    let ratio = |one: &str, other: &str| Some(value(one)? / value(other)?);
    let (found, shown, wanted, met) = match target.kind {
        Kind::RatioAtMost(one, other, limit) => {
            let found = ratio(one, other);
            let met = found.is_some_and(|found| found <= limit);
            (found, None, format!("<= {limit}"), met)
        }
        Kind::RatioAtLeast(one, other, limit) => {
            let found = ratio(one, other);
            let met = found.is_some_and(|found| found >= limit);
            (found, None, format!(">= {limit}"), met)
        }
        Kind::AtMost(one, limit) => {
            let of_unit = |value| {
                measured.get(one).map(|found| {
                    Measured {
                        value,
                        unit: found.unit.clone(),
                        note: String::new(),
                    }
                    .show()
                })
            };
            let found = value(one);
            let met = found.is_some_and(|found| found <= limit);
            let wanted = of_unit(limit).unwrap_or_else(|| limit.to_string());
            (found, found.and_then(of_unit), format!("<= {wanted}"), met)
        }
    };
    let outcome = match (found, met) {
        (None, _) => "not measured".to_owned(),
        (_, true) => "met".to_owned(),
        (_, false) => format!(
            "**missed**: {}",
            reasons
                .get(target.key)
                .and_then(toml::Value::as_str)
                .unwrap_or("no reason is written in bench/reasons.toml yet")
        ),
    };
    let shown = shown
        .or_else(|| found.map(|found| format!("{found:.2}")))
        .unwrap_or_else(|| "-".into());
    format!("| {} | {shown} | {wanted} | {outcome} |\n", target.what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(values: &[(&str, f64, &str)]) -> BTreeMap<String, Measured> {
        values
            .iter()
            .map(|&(id, value, unit)| {
                let one = Measured {
                    value,
                    unit: unit.into(),
                    note: String::new(),
                };
                (id.to_owned(), one)
            })
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
        let idle = |with| {
            [
                ("stack_rtt/idle/50000", with, "ns"),
                ("stack_rtt/idle/0", 10.0, "ns"),
            ]
        };
        assert!(line("rtt-idle", "", &idle(12.0)).ends_with("| 1.20 | <= 1.2 | met |\n"));
        assert!(
            line("rtt-idle", "rtt-idle = 'cold caches'", &idle(13.0))
                .ends_with("| 1.30 | <= 1.2 | **missed**: cold caches |\n")
        );
        assert!(line("rtt-idle", "", &[]).ends_with("| - | <= 1.2 | not measured |\n"));
    }

    #[test]
    fn more_packets_than_asked_is_met() {
        let packets = |nexus| {
            [
                ("stack_packets/smoltcp", 50.0, "ns"),
                ("stack_packets/nexus", nexus, "ns"),
            ]
        };
        assert!(line("packets", "", &packets(80.0)).contains("| met |"));
        assert!(line("packets", "", &packets(120.0)).contains("missed"));
    }

    #[test]
    fn an_absolute_value_is_shown_in_its_unit() {
        let memory = [("stack_idle_50000_resident_bytes", 805306368.0, "bytes")];
        assert!(line("resident-idle", "", &memory).ends_with("| 768 MiB | <= 1024 MiB | met |\n"));
        let decide = [("policy_decide/rules/10000", 1500.0, "ns")];
        assert!(line("decide", "", &decide).contains("| 1.500 µs | <= 1.000 µs | **missed**"));
    }
}
