//! What verbs other than `run` answer, on standard output.

use std::io;

use serde_json::{Value, json};

use super::{CliError, Kind, Output};
use crate::runtime::stdio::Sink;

/// Writes the answer in the form asked for.
pub(super) fn answer(output: Output, text: &str, data: Value) -> Result<(), CliError> {
    match output {
        Output::Text => told(Sink::Stdout.write_all(text.as_bytes())),
        Output::Json => envelope(data, None),
    }
}

/// Writes the one JSON object; with an error, `ok` is false.
pub(super) fn envelope(data: Value, error: Option<&CliError>) -> Result<(), CliError> {
    let envelope = json!({
        "ok": error.is_none(),
        "data": data,
        "error": error.map(CliError::json),
    });
    told(Sink::Stdout.write_all(format!("{envelope:#}\n").as_bytes()))
}

/// Writes the one JSON object of a verb that went through and has something to say of what it looked at.
pub(super) fn outcome(ok: bool, data: &Value) -> Result<(), CliError> {
    let envelope = json!({"ok": ok, "data": data, "error": null});
    told(Sink::Stdout.write_all(format!("{envelope}\n").as_bytes()))
}

/// A reader that has gone away (`| head`) is no error.
fn told(written: io::Result<()>) -> Result<(), CliError> {
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::new(
            Kind::Host,
            format!("standard output: {error}"),
        )),
        _ => Ok(()),
    }
}
