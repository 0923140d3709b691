//! HTTP beside wasmtime: the same components, the same clients and servers, by turns.

pub(super) mod egress;
mod nginx;
pub(super) mod serve;
pub(super) mod tls;
mod wire;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::real::{install, is_there};
use crate::step::Said;

/// Longer than any one measurement asks for, by so much: starting, compiling, ending.
const SLACK: Duration = Duration::from_secs(60);

/// Sees to it that a program of the distribution is there.
fn ensure_program(program: &str, package: &str) -> Result<()> {
    if !is_there(program) {
        install(&[package]).with_context(|| {
            format!("{program} is missing: install the distribution's {package}, as root")
        })?;
    }
    ensure!(is_there(program), "there is no {program} in PATH");
    Ok(())
}

/// What components/http-burst says of itself.
fn report(said: &Said) -> Result<Value> {
    let line = said.stdout.lines().last().unwrap_or_default();
    serde_json::from_str(line).with_context(|| format!("no report of the guest:\n{}", said.tail()))
}

/// A number of a report.
fn number(report: &Value, key: &str) -> Result<f64> {
    report[key]
        .as_f64()
        .with_context(|| format!("{key} is no number: {report}"))
}
