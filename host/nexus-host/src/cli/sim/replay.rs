//! The command that runs a seed again, as a shell takes it.

use std::fmt::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use crate::cli::values::format_duration;

/// What a shell takes as it stands.
fn is_plain(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b"/._-+=:,@%".contains(byte)
}

/// Quoted if it must be. What is no text a terminal shows as it is goes into `$'...'`, which bash and others read.
fn quoted(bytes: &[u8]) -> String {
    let shown = || String::from_utf8_lossy(bytes).into_owned();
    if !bytes.is_empty() && bytes.iter().all(is_plain) {
        return shown();
    }
    if bytes.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        return format!("'{}'", shown().replace('\'', "'\\''"));
    }
    let mut out = String::from("$'");
    for &byte in bytes {
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
    let scenario = scenario.as_os_str().as_bytes();
    let until = until.map(|until| format!(" --until {}", format_duration(until)));
    let until = until.unwrap_or_default();
    // A path that begins like a flag is none.
    let dashes: &[u8] = if scenario.starts_with(b"-") {
        b"./"
    } else {
        b""
    };
    let scenario = quoted(&[dashes, scenario].concat());
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
            assert_eq!(quoted(text.as_bytes()), wanted);
        }
        assert_eq!(quoted(b"\xff.toml"), r"$'\xff.toml'");
        let shown = replay(Path::new("-x.toml"), 7, Some(Duration::from_secs(2)));
        assert_eq!(
            shown,
            "nexus-host sim ./-x.toml --seed 7 --runs 1 --until 2s --trace trace.txt"
        );
    }
}
