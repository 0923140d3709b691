//! How the tests went, for people (in the manner of `cargo test`) and for programs.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::Test;
use crate::cli::{CliError, Kind, sim};
use crate::observe::summary;
use crate::runtime::shown;
use crate::runtime::stdio::Sink;

/// Writes a part of the report.
pub(super) fn tell(text: &str) -> Result<(), CliError> {
    match Sink::Stdout.write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(CliError::new(
            Kind::Host,
            format!("standard output: {error}"),
        )),
        _ => Ok(()),
    }
}

pub(super) fn head(dir: &Path, count: usize) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("running {count} scenario{s} of {}\n", shown::path(dir))
}

/// A test, as soon as it is over.
pub(super) fn line(test: &Test) -> String {
    let what = if test.is_ok() { "ok" } else { "FAILED" };
    let s = if test.seeds == 1 { "" } else { "s" };
    let seeds = match (test.failed, test.seeds) {
        (0, seeds) => format!("{seeds} seed{s}"),
        (failed, seeds) => format!("{failed} of {seeds} seed{s} failed"),
    };
    let more = match &test.error {
        Some(_) => String::new(),
        None => format!(
            " ({seeds}, {} of virtual time)",
            summary::duration(test.time)
        ),
    };
    format!("test {} ... {what}{more}\n", test.name)
}

/// What failed, and the sum.
pub(super) fn tail(tests: &[Test], took: Duration) -> String {
    let mut text = String::from("\n");
    let failed: Vec<_> = tests.iter().filter(|test| !test.is_ok()).collect();
    if !failed.is_empty() {
        text.push_str("failures:\n\n");
    }
    for test in &failed {
        text.push_str(&format!("---- {} ----\n{}\n", test.name, why(test)));
    }
    let passed = tests.len() - failed.len();
    let what = if failed.is_empty() { "ok" } else { "FAILED" };
    text + &format!(
        "test result: {what}. {passed} passed; {} failed; finished in {}\n",
        failed.len(),
        summary::duration(took)
    )
}

/// Why a test failed, a paragraph.
pub(super) fn why(test: &Test) -> String {
    let mut text = String::new();
    if let Some(error) = &test.error {
        text.push_str(&format!("{}\n", error.message.trim_end()));
        if let Some(hint) = &error.hint {
            text.push_str(&format!("  fix: {hint}\n"));
        }
    }
    if let Some((seed, failures)) = &test.first {
        for failure in failures {
            text.push_str(&format!("{failure}\n"));
        }
        let replay = replay(test, *seed);
        text.push_str(&format!("  replay: {replay}\n"));
    }
    text
}

/// `test` does not take a time from the environment, and `sim` would.
fn replay(test: &Test, seed: u64) -> String {
    let is_set = std::env::var_os("NEXUS_UNTIL").is_some();
    sim::replay(&test.scenario, seed, is_set.then_some(test.until))
}

pub(super) fn json(tests: &[Test]) -> Value {
    let passed = tests.iter().filter(|test| test.is_ok()).count();
    let all: Vec<_> = tests
        .iter()
        .map(|test| {
            json!({
                "name": test.name,
                "scenario": test.scenario.display().to_string(),
                "ok": test.is_ok(),
                "seeds": test.seeds,
                "failed": test.failed,
                "first_failed": test.first.as_ref().map(|(seed, failures)| json!({
                    "seed": seed,
                    "replay": replay(test, *seed),
                    "failures": failures.iter().map(ToString::to_string).collect::<Vec<_>>(),
                })),
                "error": test.error.as_ref().map(CliError::json),
                "virtual_seconds": test.time.as_secs_f64(),
                "seconds": test.took.as_secs_f64(),
            })
        })
        .collect();
    json!({"tests": all, "passed": passed, "failed": tests.len() - passed})
}
