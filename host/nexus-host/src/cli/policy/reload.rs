//! `nexus-host policy reload`: running hosts read the operator's files anew.

use std::io;

use clap::Args;
use nexus_policy::explain::escape;
use serde_json::json;

use super::super::{CliError, Common, Kind, StateArgs, say};
use crate::runtime::control::{Answer, Asker, Heard, Request};

const EXAMPLES: &str = "Examples:
  nexus-host policy reload                     every host that runs with this state folder
  nexus-host policy reload --pid 4711
  kill -HUP 4711                               the same, without an answer

What is open and no longer allowed ends with `revoked`, at once; nothing else does. A host whose
file does not parse keeps the policy it has, and says so.

Exit codes: 0 every host reads by the new policy, 78 one of them keeps the old or does not answer, 1 no host runs, or none
may be asked.";

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

/// What one host said, or that it did not.
struct Said {
    pid: u32,
    ok: bool,
    text: String,
    ended: u64,
}

impl Said {
    fn of(heard: Heard) -> Self {
        let pid = heard.pid;
        match heard.answer {
            Ok(Answer { ok, text, ended }) => Self {
                pid,
                ok,
                text,
                ended,
            },
            Err(error) => Self {
                pid,
                ok: false,
                text: format!("host {pid} {}", why(&error)),
                ended: 0,
            },
        }
    }

    /// For a person: what a host says is no more than text, even if it is none of ours.
    fn lines(&self) -> String {
        let lines = self.text.lines().map(escape).collect::<Vec<_>>();
        format!("{}  {}\n", self.pid, lines.join("\n    "))
    }
}

/// Why there is no answer.
fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut => {
            "does not answer: it is stopped or hangs, and keeps the old policy until it goes on"
                .into()
        }
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::BrokenPipe => "ended while it was asked, or took too long".into(),
        _ => format!("cannot be asked: {error}"),
    }
}

pub(super) fn reload(args: &PolicyReloadArgs) -> Result<u8, CliError> {
    let said = ask_all(args)?;
    if said.is_empty() {
        let whom = args
            .pid
            .map_or_else(|| "no host".to_owned(), |pid| format!("no host {pid}"));
        return Err(
            CliError::new(Kind::Host, format!("{whom} runs with this state folder")).hint(
                "one that is about to start reads the files as they are then; one that runs with another \
                 state folder is asked with --state",
            ),
        );
    }
    let text: String = said.iter().map(Said::lines).collect();
    let data = said.iter().map(
        |said| json!({"pid": said.pid.to_string(), "ok": said.ok, "text": said.text, "ended": said.ended}),
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
    let fail = |error: io::Error| {
        CliError::new(Kind::Host, format!("no host was asked: {error}")).hint(
            "hosts do not listen in a folder that is not their user's alone; SIGHUP reaches them",
        )
    };
    let heard = Asker::of(&state).and_then(|asker| asker.ask(args.pid, Request::ReloadPolicy));
    let heard = heard.map_err(fail)?;
    Ok(heard.into_iter().map(Said::of).collect())
}
