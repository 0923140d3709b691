//! `nexus-host run`: one app, from its file to its end.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use nexus_node::Mesh;
use nexus_types::{Seed, limits};
use wasmtime::component::Linker;

use super::values::{parse_duration, parse_size};
use super::{CliError, Common, Kind, Output, StateArgs};
use crate::driver::{Driver, OsClock};
use crate::observe::{report, summary};
use crate::runtime::clocks::WallClock;
use crate::runtime::engine::{EngineOptions, HostEngine};
use crate::runtime::instance::{Ended, Outcome, Prepared};
use crate::runtime::limits::AppLimits;
use crate::runtime::load::AppFile;
use crate::runtime::signals::Signals;
use crate::runtime::state::{AppStart, AppState};
use crate::runtime::stdio::{Input, Output as GuestOutput, Sink, say};
use crate::runtime::{imports, linker};

const EXAMPLES: &str = "Examples:
  nexus-host run app.wasm -- an argument      run an app that asks for nothing
  nexus-host run app.wasm --timeout 30s --report r.json
  nexus-host run app.wasm --max-memory 256MiB";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RunArgs {
    /// The component
    #[arg(value_name = "APP.wasm")]
    app: PathBuf,
    /// End the app after this long, host calls included (500ms, 30s, 5m)
    #[arg(long, value_name = "DURATION", value_parser = parse_duration, env = "NEXUS_TIMEOUT")]
    timeout: Option<Duration>,
    /// The most memory a manifest may ask for
    #[arg(long, value_name = "SIZE", value_parser = parse_size, default_value = "1GiB", env = "NEXUS_MAX_MEMORY")]
    max_memory: u64,
    /// Write what the run came to, as JSON
    #[arg(long, value_name = "FILE", env = "NEXUS_REPORT")]
    report: Option<PathBuf>,
    /// Say nothing at the end of a run
    #[arg(long, short, env = "NEXUS_QUIET")]
    quiet: bool,
    #[command(flatten)]
    state: StateArgs,
    #[command(flatten)]
    pub(super) common: Common,
    /// What the app gets as its arguments
    #[arg(last = true, value_name = "ARGUMENT")]
    arguments: Vec<String>,
}

pub(super) fn run(args: &RunArgs) -> Result<u8, CliError> {
    let host = |error: &dyn std::fmt::Display| CliError::new(Kind::Host, error);
    let file = AppFile::read(&args.app).map_err(|error| host(&error))?;
    let engine = HostEngine::new(EngineOptions {
        memory_bytes_cap: args.max_memory.min(limits::MEMORY_BYTES_CAP),
        ..EngineOptions::default()
    })
    .map_err(|error| host(&error))?;
    let mut cache = args.state.cache();
    let (component, _) = cache
        .component(engine.engine(), file.digest, &file.bytes)
        .map_err(|error| host(&file.invalid(&error)))?;
    for warning in cache.take_warnings() {
        say(&format!("warning: {warning}\n"));
    }
    let imports = imports::of_component(engine.engine(), &component);
    let missing: Vec<_> = imports.iter().filter(|i| !linker::is_base(i)).collect();
    if !missing.is_empty() {
        let list: String = missing.iter().map(|i| format!("  {i}\n")).collect();
        return Err(CliError::new(
            Kind::Refused,
            format!("refused: nothing grants these imports:\n{list}"),
        ));
    }
    let mut linker = Linker::new(engine.engine());
    linker::link_base(&mut linker, &imports).map_err(|error| host(&error))?;
    let prepared = Prepared::new(&linker, &component).map_err(|error| host(&error))?;

    let app = args
        .app
        .file_stem()
        .map_or_else(String::new, |stem| stem.to_string_lossy().into_owned());
    let limits = AppLimits {
        deadline: args.timeout,
        ..AppLimits::default()
    };
    let mut arguments = vec![app.clone()];
    arguments.extend(args.arguments.iter().cloned());
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(|error| host(&error))?;
    let outputs = [
        GuestOutput::new(Sink::Stdout),
        GuestOutput::new(Sink::Stderr),
    ];
    let start = AppStart {
        args: arguments,
        env: Vec::new(),
        dirs: Vec::new(),
        stdin: Some(Input::default()),
        stdout: Some(outputs[0].clone()),
        stderr: Some(outputs[1].clone()),
        seed: Seed::new(seed),
        wall: WallClock::Os,
        limits,
    };
    let signals = Signals::install().map_err(|error| host(&error))?;
    engine
        .start_ticking(Some(signals.clone()))
        .map_err(|error| host(&error))?;
    let mut driver = Driver::new(Mesh::new(), OsClock::start()).map_err(|error| host(&error))?;
    let state = AppState::new(start, driver.shard().clone()).map_err(|error| host(&error))?;
    let ended = driver
        .block_on(async move { prepared.run(state, &outputs, Some(&signals)).await })
        .map_err(|error| host(&error))?;

    tell(args, &app, &ended);
    if let Some(path) = &args.report {
        let report = report::of_run(&app, file.digest, &limits, &ended);
        report::write(path, &report)
            .map_err(|error| host(&format!("{}: {error}", path.display())))?;
    }
    Ok(ended.outcome.code())
}

fn tell(args: &RunArgs, app: &str, ended: &Ended) {
    if args.common.output == Output::Text {
        match &ended.outcome {
            Outcome::Trap(text) => say(&format!("trap    {app}: {text}\n")),
            Outcome::Failed(text) => say(&format!("error: {app}: {text}\n")),
            Outcome::Deadline(deadline) => say(&format!(
                "deadline  {app}: not done after {}\n",
                summary::duration(*deadline)
            )),
            Outcome::Exit(_) | Outcome::Interrupted(_) => {}
        }
        if !args.quiet {
            say(&summary::line(app, ended));
        }
    }
}
