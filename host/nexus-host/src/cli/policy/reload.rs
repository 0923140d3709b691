//! `nexus-host policy reload`: running hosts read the operator's files anew.

use std::fs;
use std::io;

use clap::Args;
use serde_json::json;

use super::super::{CliError, Common, Kind, StateArgs, say};
use crate::runtime::control::{self, Request};
use crate::runtime::shown;

const EXAMPLES: &str = "Examples:
  nexus-host policy reload                     every host that runs with this state folder
  nexus-host policy reload --pid 4711
  kill -HUP 4711                               the same, without an answer

What is open and no longer allowed ends with `revoked`, at once; nothing else does. A host whose
file does not parse keeps the policy it has, and says so.

Exit codes: 0 every host reads by the new policy, 78 one of them keeps the old, 1 no host runs.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct PolicyReloadArgs {
    /// Only the host of this process
    #[arg(long, value_name = "PID", env = "NEXUS_PID")]
    pid: Option<u32>,
    #[command(flatten)]
    state: StateArgs,
    #[command(flatten)]
    pub(super) common: Common,
}

/// What one host said.
struct Said {
    pid: String,
    ok: bool,
    text: String,
    ended: u64,
}

pub(super) fn reload(args: &PolicyReloadArgs) -> Result<u8, CliError> {
    let said = ask_all(args)?;
    if said.is_empty() {
        let whom = args
            .pid
            .map_or_else(|| "no host".to_owned(), |pid| format!("no host {pid}"));
        return Err(
            CliError::new(Kind::Host, format!("{whom} runs with this state folder"))
                .hint("a host that runs with another has its own: name it with --state"),
        );
    }
    let mut text = String::new();
    for said in &said {
        text.push_str(&format!("{}  {}\n", said.pid, said.text));
    }
    let data = said.iter().map(
        |said| json!({"pid": said.pid, "ok": said.ok, "text": said.text, "ended": said.ended}),
    );
    let data = json!({"hosts": data.collect::<Vec<_>>()});
    say::answer(args.common.output, &text, data)?;
    let all = said.iter().all(|said| said.ok);
    Ok(if all { 0 } else { Kind::Config.exit_code() })
}

fn ask_all(args: &PolicyReloadArgs) -> Result<Vec<Said>, CliError> {
    let Some(state) = args.state.dir() else {
        return Ok(Vec::new());
    };
    let folder = control::folder(&state);
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => {
            let message = format!("{}: {error}", shown::path(&folder));
            return Err(CliError::new(Kind::Host, message));
        }
    };
    let mut sockets: Vec<_> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let pid: u32 = name.strip_suffix(".sock")?.parse().ok()?;
            args.pid
                .is_none_or(|only| only == pid)
                .then(|| (pid, entry.path()))
        })
        .collect();
    sockets.sort();
    let mut said = Vec::new();
    for (pid, socket) in sockets {
        let answer = control::ask(&socket, Request::ReloadPolicy);
        let gone = |error: &io::Error| error.kind() == io::ErrorKind::ConnectionRefused;
        let (ok, text, ended) = match answer {
            Ok(answer) => (answer.ok, answer.text, answer.ended),
            // Whose it was has ended without a word.
            Err(error) if gone(&error) => {
                let _ = fs::remove_file(&socket);
                continue;
            }
            Err(error) => (false, format!("does not answer: {error}"), 0),
        };
        said.push(Said {
            pid: pid.to_string(),
            ok,
            text,
            ended,
        });
    }
    Ok(said)
}
