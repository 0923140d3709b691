//! `nexus-host run`: one app, from its file to its end.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;
use serde_json::{Value, json};

use super::app::GrantArgs;
use super::consent::AskArgs;
use super::learn::Learning;
use super::mode::ModeArgs;
use super::net::NetArgs;
use super::observing::ObserveArgs;
use super::opening::{self, Opened, Progress, Wanted};
use super::start::{Given, Host};
use super::values::{parse_duration, parse_size};
use super::{CliError, Common, Kind, Output, StateArgs};
use crate::observe::{report, summary};
use crate::runtime::early::Early;
use crate::runtime::instance::{Ended, Outcome};
use crate::runtime::shown;
use crate::runtime::stdio::Input;

const EXAMPLES: &str = "Examples:
  nexus-host run app.wasm -- an argument      run an app that asks for nothing
  nexus-host run fetch.wasm --manifest nexus.toml --allow-manifest -- http://host.internal:8000/
  nexus-host run fetch.wasm --allow network.tcp.connect=api.example.com:443
  nexus-host run tcp-echo.wasm --publish 8080:7777 --allow network.tcp.listen=any:7777
  nexus-host run app.wasm --timeout 30s --report r.json
  nexus-host run app.wasm --mode learn nexus.toml -- an argument
  nexus-host run tcp-echo.wasm --net tap:tap0 --address 10.0.0.2/24 --allow network.tcp.listen=any:7777
  nexus-host run app.wasm --net packet:eth0 --address dhcp,slaac

Names: host.internal is this machine, reachable only through a rule that names it.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RunArgs {
    /// The component
    #[arg(value_name = "APP.wasm")]
    app: PathBuf,
    /// The manifest [default: the one the component carries; none: the app asks for nothing]
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
    #[command(flatten)]
    grants: GrantArgs,
    #[command(flatten)]
    mode: ModeArgs,
    #[command(flatten)]
    ask: AskArgs,
    #[command(flatten)]
    net: NetArgs,
    /// End the app after this long, host calls included (500ms, 30s, 5m)
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, env = "NEXUS_TIMEOUT")]
    timeout: Option<Duration>,
    /// Give the app no more memory than this, whatever its manifest asks (64MiB, 1GiB)
    #[arg(long, value_name = "SIZE", value_parser = parse_size, env = "NEXUS_MAX_MEMORY")]
    max_memory: Option<u64>,
    /// Write what the run came to, as JSON
    #[arg(long, value_name = "FILE", env = "NEXUS_REPORT")]
    report: Option<PathBuf>,
    /// Say nothing of refusals and nothing at the end of a run
    #[arg(long, short, env = "NEXUS_QUIET", value_parser = BoolishValueParser::new())]
    quiet: bool,
    #[command(flatten)]
    observe: ObserveArgs,
    #[command(flatten)]
    state: StateArgs,
    #[command(flatten)]
    pub(super) common: Common,
    /// What the app gets as its arguments
    #[arg(last = true, value_name = "ARGUMENT")]
    arguments: Vec<String>,
}

/// A run that is over: nothing of it has been told yet.
pub(super) struct Done {
    pub(super) code: u8,
    pub(super) report: Value,
    /// What is said of it.
    pub(super) closing: String,
    pub(super) host: Host,
}

pub(super) fn run(args: &RunArgs) -> Result<u8, CliError> {
    let mut progress = Progress::default();
    conclude(
        args.report.as_deref(),
        args.common.output,
        |progress| attempt(args, progress),
        &mut progress,
        |error, progress| progress.report(error),
    )
}

/// Runs, and writes the report before anything is said: who reads what we say may never do it.
pub(super) fn conclude<P>(
    path: Option<&Path>,
    output: Output,
    attempt: impl FnOnce(&mut P) -> Result<Done, CliError>,
    progress: &mut P,
    of_error: impl FnOnce(&CliError, &P) -> Value,
) -> Result<u8, CliError> {
    let of_file = |path: &Path, result: io::Result<()>| {
        result.map_err(|error| CliError::new(Kind::Host, format!("{}: {error}", shown::path(path))))
    };
    // An app does what cannot be done again: not when nobody would learn of it.
    if let Some(path) = path {
        of_file(path, report::check(path))?;
    }
    let result = attempt(progress);
    let report = match &result {
        Ok(done) => done.report.clone(),
        Err(error) => of_error(error, progress),
    };
    let written = path.map_or(Ok(()), |path| of_file(path, report::write(path, &report)));
    let mut done = match result {
        Ok(done) => done,
        Err(error) => return written.and(Err(error)),
    };
    if output == Output::Json && written.is_ok() {
        // Standard output is the app's.
        let envelope = json!({"ok": true, "data": report, "error": null});
        done.closing.push_str(&format!("{envelope}\n"));
    }
    done.host.finish(&done.closing);
    written.map(|()| done.code)
}

/// Until the host listens for signals: one that ends it has the report written first.
pub(super) fn reported(path: Option<&Path>) -> Result<Option<Early>, CliError> {
    let Some(path) = path.map(Path::to_owned) else {
        return Ok(None);
    };
    let early = Early::before_the_end(move |signal| {
        let kind = Kind::Interrupted(signal);
        let message = "interrupted: no app was started";
        let report = report::of_refusal(kind.word(), kind.exit_code(), message, None, None);
        // Nobody is left to be told.
        let _ = report::write(&path, &report);
    });
    early
        .map(Some)
        .map_err(|error| CliError::new(Kind::Host, error))
}

fn attempt(args: &RunArgs, progress: &mut Progress) -> Result<Done, CliError> {
    let wanted = Wanted {
        app: &args.app,
        manifest: args.manifest.as_deref(),
        grants: &args.grants,
        mode: &args.mode,
        ask: &args.ask,
        net: &args.net,
        observe: &args.observe,
        state: &args.state,
        report: args.report.as_deref(),
        output: args.common.output,
        quiet: args.quiet || args.common.output == Output::Json,
        instances: 1,
        needs_network: false,
    };
    let quiet = wanted.quiet;
    let Opened {
        mut host,
        node,
        candidate,
        admission,
        consent,
    } = opening::open(&wanted, progress)?;
    let out = args.mode.out();
    let learning = out.map(|out| Learning::new(out, &candidate, &admission));
    let given = Given {
        arguments: args.arguments.clone(),
        consent,
        timeout: args.timeout,
        memory_bytes_max: args.max_memory,
        stdin: Some(Input::default()),
        outputs: host.outputs().clone(),
    };
    let ready = host.ready(node, candidate, given)?;
    let (identity, instance) = (ready.identity.clone(), ready.instance);
    let (limits, quota) = (ready.limits, ready.quota);
    let task = host.task(ready, false);
    let ended = host.drive(task);
    // However the run ended.
    let learnt = learning.map(|learning| learning.write(&host.learnt(node), &how(&ended)));
    let ended = ended?;
    let left = host.linger()?;
    let mut closing = String::new();
    if left > 0 && !quiet {
        closing.push_str(&format!(
            "warning: {left} connections still had bytes nobody took; they are lost\n"
        ));
    }
    let refusals = host.refusals(node, instance);
    if args.common.output == Output::Text {
        closing.push_str(&host.rest_of_denials());
        let unrecorded = refusals.audit_records_dropped;
        closing.push_str(&told(args.quiet, &identity.id, &ended, unrecorded));
    }
    if args.common.output == Output::Text {
        closing.push_str(&refusals.passed.summary(&identity.id));
    }
    let mut report = report::of_run(&identity, &limits, &quota, &ended, refusals);
    let mut code = ended.outcome.code();
    match learnt {
        None => {}
        Some(Ok((line, learnt))) => {
            report["learnt"] = learnt;
            if args.common.output == Output::Text {
                closing.push_str(&line);
            }
        }
        Some(Err(error)) => {
            report["learnt"] = json!({"error": error.message});
            closing.push_str(&format!("error: {error}\n"));
            code = error.kind.exit_code();
        }
    }
    Ok(Done {
        code,
        report,
        closing,
        host,
    })
}

/// How it ended, in a few words.
fn how(ended: &Result<Ended, CliError>) -> String {
    match ended.as_ref().map(|ended| &ended.outcome) {
        Ok(Outcome::Exit(code)) => format!("exit code {code}"),
        Ok(outcome) => outcome.word().to_owned(),
        Err(_) => "an error of the host's".to_owned(),
    }
}

/// How it ended, for a person.
pub(super) fn told(quiet: bool, app: &str, ended: &Ended, unrecorded: u64) -> String {
    let mut text = match &ended.outcome {
        Outcome::Trap(text) => format!("trap  {app}: {text}\n"),
        Outcome::Failed(text) => format!("error: {app}: {text}\n"),
        Outcome::Deadline(deadline) => format!(
            "deadline  {app}: not done after {}\n",
            summary::duration(*deadline)
        ),
        Outcome::Exit(_) | Outcome::Interrupted(_) | Outcome::Stopped => String::new(),
    };
    if !quiet {
        text.push_str(&summary::line(app, ended, unrecorded));
    }
    text
}
