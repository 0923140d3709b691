//! `--mode`: whether what is refused is kept to, or told and let pass, and what is said of that.
//!
//! No variable sets it, and it is never quiet: a run that lets things pass must not look like one
//! that does not.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Args;
use nexus_policy::Mode;
use serde_json::json;

use super::{CliError, Kind, Output, learn};
use crate::runtime::shown;
use crate::runtime::stdio::say;

/// What is done with refusals.
#[derive(Args)]
pub(super) struct ModeArgs {
    /// What to do with refusals: `enforce`; `observe`: tell of what is missing and let it pass; `learn OUT.toml`: as
    /// observe, and write the smallest manifest that allows what the run used, for review, into a new file that is its
    /// owner's alone. Never past a forbid
    #[arg(long, value_name = "MODE", value_parser = parse, default_value = "enforce")]
    mode: Chosen,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Chosen {
    Enforce,
    Observe,
    Learn(PathBuf),
}

/// What no mode lets pass, for who reads the banner.
const NEVER: &str = "never let pass: what the operator's policy forbids, what a person declined, metadata services, \
                     the host's own ports, and addresses no rule can name; [wasi] folders and variables still need \
                     their grant";

fn parse(text: &str) -> Result<Chosen, String> {
    match text.split_once('=') {
        Some(("learn", out)) if !out.is_empty() => Ok(Chosen::Learn(out.into())),
        _ => match text {
            "enforce" => Ok(Chosen::Enforce),
            "observe" => Ok(Chosen::Observe),
            "learn" | "learn=" => Err("name the file to write: --mode learn OUT.toml".to_owned()),
            _ => Err("one of: enforce, observe, learn OUT.toml".to_owned()),
        },
    }
}

/// `--mode learn OUT.toml` is `--mode learn=OUT.toml`. Two values of one flag are not left to the
/// parser: of `--mode observe app.wasm` it would take the app for the second.
pub(super) fn with_learn_joined(arguments: Vec<OsString>) -> Vec<OsString> {
    let mut joined: Vec<OsString> = Vec::with_capacity(arguments.len());
    let mut rest = arguments.into_iter().peekable();
    while let Some(mut word) = rest.next() {
        // What follows is the app's.
        if word == "--" {
            joined.push(word);
            joined.extend(rest);
            break;
        }
        let learn = word == "--mode=learn"
            || (word == "learn" && joined.last().is_some_and(|w| w == "--mode"));
        if learn && let Some(out) = rest.next_if(|next| !next.as_encoded_bytes().starts_with(b"-"))
        {
            word.push("=");
            word.push(out);
        }
        joined.push(word);
    }
    joined
}

impl ModeArgs {
    pub(super) const fn mode(&self) -> Mode {
        match self.mode {
            Chosen::Enforce => Mode::Enforce,
            Chosen::Observe => Mode::Observe,
            Chosen::Learn(_) => Mode::Learn,
        }
    }

    /// Where what is learnt goes.
    pub(super) fn out(&self) -> Option<&Path> {
        match &self.mode {
            Chosen::Learn(out) => Some(out),
            _ => None,
        }
    }

    /// Before anything of an app is looked at: whether what is learnt could be written.
    pub(super) fn check(&self, report: Option<&Path>) -> Result<(), CliError> {
        let Some(out) = self.out() else {
            return Ok(());
        };
        learn::check(out, report)
    }

    /// `learn` is of one app alone.
    pub(super) fn check_for_many(&self) -> Result<(), CliError> {
        match self.mode {
            Chosen::Learn(_) => Err(CliError::new(
                Kind::Usage,
                "`up` does not learn: what is learnt is the manifest of one app, and a world has several",
            )
            .hint("learn from each app by itself, with `nexus-host run`; or use --mode observe")),
            _ => Ok(()),
        }
    }

    /// Says, before an app runs, that this run lets pass what others would not.
    pub(super) fn banner(&self, output: Output) {
        let mode = self.mode();
        if !mode.lets_pass() {
            return;
        }
        let what = match self.out() {
            None => "in this run what is not granted is told and let pass".to_owned(),
            Some(out) => format!(
                "in this run what is not granted is told and let pass; what it uses is written to {}",
                shown::path(out)
            ),
        };
        match output {
            Output::Text => say(&format!("--mode {mode}: {what}\n  {NEVER}\n")),
            Output::Json => say(&format!(
                "{}\n",
                json!({"mode": mode.as_str(), "message": what, "note": NEVER})
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: each spelling of the flag is read as meant, and takes nothing that is another's. Method: lines, and
    /// what they become.
    #[test]
    fn the_file_to_learn_into_is_joined_to_its_mode() {
        for (line, want) in [
            (
                "run a.wasm --mode learn o.toml -- x",
                "run a.wasm --mode learn=o.toml -- x",
            ),
            (
                "run --mode=learn o.toml a.wasm",
                "run --mode=learn=o.toml a.wasm",
            ),
            (
                "run --mode learn=o.toml a.wasm",
                "run --mode learn=o.toml a.wasm",
            ),
            ("run --mode observe a.wasm", "run --mode observe a.wasm"),
            (
                "run a.wasm --mode learn --quiet",
                "run a.wasm --mode learn --quiet",
            ),
            ("run a.wasm --mode learn", "run a.wasm --mode learn"),
            (
                "run a.wasm -- --mode learn x",
                "run a.wasm -- --mode learn x",
            ),
            ("run learn a.wasm", "run learn a.wasm"),
        ] {
            let words = line.split(' ').map(OsString::from).collect();
            let joined = with_learn_joined(words).join(" ".as_ref());
            assert_eq!(joined, OsString::from(want));
        }
        assert_eq!(
            parse("learn=a=b.toml"),
            Ok(Chosen::Learn("a=b.toml".into()))
        );
    }

    #[test]
    fn reject_modes_that_are_none() {
        for (text, says) in [
            ("", "enforce"),
            ("Observe", "observe"),
            ("learn", "OUT.toml"),
            ("learn=", "OUT.toml"),
            ("observe=x", "observe"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
