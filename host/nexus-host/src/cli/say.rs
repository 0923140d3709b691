//! What verbs other than `run` answer, on standard output.

use std::io::{self, Write};

use serde_json::{Value, json};

use super::{CliError, Kind, Output};

/// Writes the answer. A reader that has gone away (`| head`) is no error.
pub(super) fn answer(output: Output, text: &str, data: Value) -> Result<(), CliError> {
    let written = match output {
        Output::Text => io::stdout().lock().write_all(text.as_bytes()),
        Output::Json => {
            let envelope = json!({"ok": true, "data": data, "error": null});
            writeln!(io::stdout().lock(), "{envelope:#}")
        }
    };
    match written {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CliError::new(
            Kind::Host,
            format!("standard output: {error}"),
        )),
        _ => Ok(()),
    }
}
