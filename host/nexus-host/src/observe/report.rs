//! The report file: what a run came to, for programs. It is authoritative where an exit code,
//! which an app can choose, is not.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use nexus_policy::{Admission, AppIdentity};
use serde_json::{Value, json};

use crate::runtime::instance::{Ended, Outcome};
use crate::runtime::limits::AppLimits;

/// The report of an app that was started.
pub fn of_run(app: &AppIdentity, limits: &AppLimits, ended: &Ended, denials: Value) -> Value {
    json!({
        "outcome": ended.outcome.word(),
        "code": ended.outcome.code(),
        "message": message(&ended.outcome),
        "app": app.id,
        "digest": app.digest.to_string(),
        "usage": usage(ended),
        "limits": limits_of(limits),
        "denials": denials,
    })
}

/// The report of an app that was not: refused, or a file is wrong, or the host cannot.
pub fn of_refusal(
    outcome: &str,
    code: u8,
    message: &str,
    app: Option<&AppIdentity>,
    admission: Option<&Admission>,
) -> Value {
    json!({
        "outcome": outcome,
        "code": code,
        "message": message,
        "app": app.map(|app| &app.id),
        "digest": app.map(|app| app.digest.to_string()),
        "missing": admission.map(|admission| &admission.missing),
    })
}

fn message(outcome: &Outcome) -> Option<String> {
    match outcome {
        Outcome::Trap(text) | Outcome::Failed(text) => Some(text.clone()),
        Outcome::Exit(_) | Outcome::Deadline(_) | Outcome::Interrupted(_) | Outcome::Stopped => {
            None
        }
    }
}

fn usage(ended: &Ended) -> Value {
    json!({
        "wall_us": ended.usage.wall.as_micros() as u64,
        "cpu_us": ended.usage.cpu.as_micros() as u64,
        "slices": ended.usage.slices,
        "memory_bytes_peak": ended.usage.memory_bytes_peak,
        "sockets_peak": ended.usage.net.sockets_peak,
        "bytes_in": ended.usage.net.bytes_in,
        "bytes_out": ended.usage.net.bytes_out,
        "denials": ended.usage.net.denials,
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
