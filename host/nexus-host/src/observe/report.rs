//! The report file: what a run came to, for programs. It is authoritative where an exit code,
//! which an app can choose, is not.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use nexus_types::AppDigest;
use serde_json::{Value, json};

use crate::runtime::instance::{Ended, Outcome};
use crate::runtime::limits::AppLimits;

/// The report of an app that was started.
pub fn of_run(app: &str, digest: AppDigest, limits: &AppLimits, ended: &Ended) -> Value {
    json!({
        "outcome": ended.outcome.word(),
        "code": ended.outcome.code(),
        "message": message(&ended.outcome),
        "app": app,
        "digest": digest.to_string(),
        "usage": usage(ended),
        "limits": limits_of(limits),
    })
}

fn message(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Trap(text) | Outcome::Failed(text) => Some(text.clone()),
        Outcome::Exit(_) | Outcome::Deadline(_) | Outcome::Interrupted(_) => None,
    }
}

fn usage(ended: &Ended) -> Value {
    json!({
        "wall_us": ended.usage.wall.as_micros() as u64,
        "cpu_us": ended.usage.cpu.as_micros() as u64,
        "slices": ended.usage.slices,
        "memory_bytes_peak": ended.usage.memory_bytes_peak,
    })
}

fn limits_of(limits: &AppLimits) -> Value {
    json!({
        "memory_bytes": limits.memory_bytes,
        "table_elements": limits.table_elements,
        "handles": limits.handles,
        "hostcall_bytes": limits.hostcall_bytes,
        "deadline_ms": limits.deadline.map(|deadline| deadline.as_millis() as u64),
    })
}

/// Writes the report, whole or not at all.
pub fn write(path: &Path, report: &Value) -> std::io::Result<()> {
    let mut file = File::create(path)?;
    writeln!(file, "{report:#}")
}
