//! The command that runs a seed again, as a shell takes it.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use crate::cli::values::format_duration;

/// What a shell takes as it stands.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "/._-+=:,@%".contains(c)
}

/// Quoted if it must be. What is no text a terminal shows as it is goes into `$'...'`, which bash and others read.
fn quoted(text: &str) -> String {
    if !text.is_empty() && text.chars().all(is_plain) {
        return text.to_owned();
    }
    if text.chars().all(|c| c == ' ' || c.is_ascii_graphic()) {
        return format!("'{}'", text.replace('\'', "'\\''"));
    }
    let mut out = String::from("$'");
    for byte in text.bytes() {
        match byte {
            b'\'' | b'\\' => {
                out.push('\\');
                out.push(char::from(byte));
            }
            b' '..=b'~' => out.push(char::from(byte)),
            // Writing to a string does not fail.
            _ => _ = write!(out, "\\x{byte:02x}"),
        }
    }
    out + "'"
}

/// See the module.
pub(in crate::cli) fn replay(scenario: &Path, seed: u64, until: Option<Duration>) -> String {
    let scenario = scenario.to_string_lossy();
    let until = until.map(|until| format!(" --until {}", format_duration(until)));
    let until = until.unwrap_or_default();
    // A path that begins like a flag is none.
    let dashes = if scenario.starts_with('-') { "./" } else { "" };
    let scenario = quoted(&format!("{dashes}{scenario}"));
    format!("nexus-host sim {scenario} --seed {seed} --runs 1{until} --trace trace.txt")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_what_was_meant() {
        for (text, wanted) in [
            ("tests/a.toml", "tests/a.toml"),
            ("", "''"),
            ("it's a b", "'it'\\''s a b'"),
            ("$(x)", "'$(x)'"),
            ("a\u{1b}[31m'", "$'a\\x1b[31m\\''"),
        ] {
            assert_eq!(quoted(text), wanted);
        }
        let shown = replay(Path::new("-x.toml"), 7, Some(Duration::from_secs(2)));
        assert_eq!(
            shown,
            "nexus-host sim ./-x.toml --seed 7 --runs 1 --until 2s --trace trace.txt"
        );
    }
}
