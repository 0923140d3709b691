//! Measurements: where they are left, and how one is shown.
//!
//! Criterion leaves its medians below target/criterion; what measures something else leaves
//! `target/bench-facts/<id>.json` with `id`, `value`, `unit` and `note`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::page::Section;

/// All that is known, by id.
pub(crate) type All = BTreeMap<String, Measured>;

/// One median or fact.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    pub(crate) value: f64,
    pub(crate) unit: String,
    pub(crate) note: String,
}

impl Measured {
    pub(super) fn new(value: f64, unit: &str) -> Self {
        Self {
            value,
            unit: unit.to_owned(),
            note: String::new(),
        }
    }

    pub(super) fn show(&self) -> String {
        match self.unit.as_str() {
            "ns" => show_nanoseconds(self.value),
            "bytes" => {
                let mebibytes = self.value / f64::from(1 << 20);
                let digits = usize::from(mebibytes < 100.0);
                format!("{mebibytes:.digits$} MiB")
            }
            // A ratio, or a target of something that was not measured.
            "x" | "" => format!("{:.2}", self.value),
            unit => format!("{:.2} {unit}", self.value),
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

/// Leaves a measurement for the page.
pub(crate) fn fact(target: &Path, id: &str, value: f64, unit: &str, note: &str) -> Result<()> {
    let folder = target.join("bench-facts");
    fs::create_dir_all(&folder)?;
    let fact = json!({"id": id, "value": value, "unit": unit, "note": note});
    let path = folder.join(format!("{id}.json"));
    fs::write(&path, format!("{fact}\n"))
        .with_context(|| format!("cannot write {}", path.display()))
}

/// Forgets the facts of a section: what is not measured any more must not stay in the table.
pub(super) fn forget_facts(target: &Path, section: Section) -> Result<()> {
    let folder = target.join("bench-facts");
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let id = path.file_stem().unwrap_or_default().to_string_lossy();
        if Section::of(&id) == section {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// What there is for a section.
pub(super) fn measurements(target: &Path, section: Section) -> Result<All> {
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
    found.retain(|id, _| Section::of(id) == section);
    Ok(found)
}

/// `.../new/{benchmark,estimates}.json`, wherever they are below `folder`.
fn criterion(folder: &Path, found: &mut All) -> Result<()> {
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
            let note = throughput(&benchmark["throughput"], value);
            let median = Measured {
                note,
                ..Measured::new(value, "ns")
            };
            found.insert(id.to_owned(), median);
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: `bench` and `bench --peers` do not lose each other's facts. Method: one fact of each, one forgotten.
    #[test]
    fn facts_are_read_and_forgotten_by_section() {
        let target = tempfile::tempdir().expect("a folder");
        let target = target.path();
        fact(target, "idle_50000_resident", 7.0, "bytes", "").expect("written");
        fact(target, "peer_tcp_ratio", 2.5, "x", "a note").expect("written");
        let ids = |section| -> Vec<String> {
            let all = measurements(target, section).expect("readable");
            all.into_keys().collect()
        };
        assert_eq!(ids(Section::Parts), ["idle_50000_resident"]);
        assert_eq!(ids(Section::Peers), ["peer_tcp_ratio"]);
        forget_facts(target, Section::Parts).expect("removable");
        assert!(ids(Section::Parts).is_empty());
        let kept = measurements(target, Section::Peers).expect("readable");
        assert_eq!(kept["peer_tcp_ratio"].note, "a note");
    }

    #[test]
    fn values_are_shown_in_their_unit() {
        for (value, unit, shown) in [
            (1_500.0, "ns", "1.500 µs"),
            (14.5 * 1_048_576.0, "bytes", "14.5 MiB"),
            (1_073_741_824.0, "bytes", "1024 MiB"),
            (2.5, "x", "2.50"),
            (48.123, "Gbit/s", "48.12 Gbit/s"),
        ] {
            assert_eq!(Measured::new(value, unit).show(), shown);
        }
    }
}
