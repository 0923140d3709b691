//! `nexus-host sim`: a scenario in a simulated world, seed after seed.

mod run;
mod scenario;

use std::cell::RefCell;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use clap::Args;
use nexus_types::limits;
use serde_json::{Value, json};

use super::{CliError, Common, Kind, Output, StateArgs};
use crate::driver::SLICE_FUEL;
use crate::observe::summary;
use crate::runtime::engine::{EngineOptions, HostEngine, Slices};
use crate::runtime::load::read_text;
use crate::runtime::stdio::{say, say_last};
use run::{Plan, Ran};
use scenario::Scenario;

const EXAMPLES: &str = "Examples:
  nexus-host sim lossy.toml                      one run, seed 1
  nexus-host sim lossy.toml --runs 200           seeds 1 to 200
  nexus-host sim lossy.toml --seed 17 --trace t  seed 17 again, every event of it in the file t

A scenario:
  [scenario]
  until = \"60s\"                      # virtual time; an app that runs then still has failed

  [[link]]
  name = \"lan\"
  latency = \"2ms\"                    # also: jitter, duplication, reorder, reorder-by, corruption, mtu
  loss = \"2%\"

  [[node]]
  name = \"server\"
  link = \"lan\"
  addresses = [\"10.0.0.1/24\"]
  [[node.app]]
  component = \"tcp-echo.wasm\"        # relative to the file; so is manifest = \"...\"
  background = true                  # ended when the other apps have ended
  consent = \"manifest\"               # yes to what its manifest asks; default: \"none\"
  allow = [\"network.tcp.listen=any:7777\"]

  [[node]]
  name = \"client\"
  link = \"lan\"
  addresses = [\"10.0.0.2/24\"]
  [[node.app]]
  component = \"client.wasm\"
  args = [\"server:7777\"]
  consent = \"manifest\"
  [node.app.expect]                  # by default, that it ends with 0
  exit = 0
  stdout = [\"done\"]                  # each must be in what it wrote
  denied = []                        # what it was refused, all of it

The same seed, scenario, components and nexus-host give the same run: its hash says so. Apps see virtual
time and seeded randomness; the policy files of this machine do not count. Exits with 1 if any run was
not as expected.";

/// Most seeds of one command: more is a loop that somebody should see the end of.
const RUNS_MAX: u64 = 10_000_000;

/// How many failed seeds are told one by one.
const FAILURES_TOLD: usize = 8;

/// When progress begins to be shown, and how often.
const PROGRESS_AFTER: Duration = Duration::from_millis(300);
const PROGRESS_EVERY: Duration = Duration::from_millis(100);

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct SimArgs {
    /// The scenario
    #[arg(value_name = "SCENARIO.toml")]
    scenario: PathBuf,
    /// The first seed
    #[arg(long, value_name = "N", default_value_t = 1, env = "NEXUS_SEED")]
    seed: u64,
    /// How many seeds, one after the other
    #[arg(long, value_name = "K", default_value_t = 1, env = "NEXUS_RUNS",
          value_parser = clap::value_parser!(u64).range(1..=RUNS_MAX))]
    runs: u64,
    /// Write every event of the run to this file, a line each; for one seed
    #[arg(long, value_name = "FILE", env = "NEXUS_TRACE")]
    trace: Option<PathBuf>,
    #[command(flatten)]
    state: StateArgs,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) fn sim(args: &SimArgs) -> Result<u8, CliError> {
    if args.trace.is_some() && args.runs > 1 {
        let message = "--trace is of one run: give --seed N and leave --runs out";
        return Err(CliError::new(Kind::Usage, message));
    }
    let plan = plan(args)?;
    let begun = Instant::now();
    let mut progress = Progress::new(args);
    let mut runs = Vec::new();
    let (mut time, mut frames, mut failed) = (Duration::ZERO, 0_u64, 0_u64);
    for number in 0..args.runs {
        let seed = args.seed.wrapping_add(number);
        let trace = args.trace.as_deref().map(Trace::create).transpose()?;
        let ran = plan.run(seed, trace.as_ref().map(Trace::sink))?;
        if let Some(trace) = trace {
            trace.finish()?;
        }
        time += ran.time;
        frames += ran.frames;
        failed += u64::from(!ran.failures.is_empty());
        if args.common.output == Output::Json {
            runs.push(of_run(&ran));
        } else if !ran.failures.is_empty() && failed <= FAILURES_TOLD as u64 {
            progress.clear();
            say(&told(args, &ran));
        }
        progress.show(number + 1, args.runs, failed);
    }
    progress.clear();
    let code = u8::from(failed > 0);
    match args.common.output {
        Output::Text => {
            if args.runs == 1 && failed == 0 {
                say(&format!("seed {}  ok\n", args.seed));
            }
            let real = begun.elapsed();
            let more = if failed > FAILURES_TOLD as u64 {
                format!(" (the first {FAILURES_TOLD} are above)")
            } else {
                String::new()
            };
            let times = time.as_nanos() / real.as_nanos().max(1);
            say_last(&format!(
                "sim  {}: {} of {} seeds ok, {failed} failed{more}; {} of virtual time, {frames} frames, in {} \
                 ({times} x real time)\n",
                args.scenario.display(),
                args.runs - failed,
                args.runs,
                summary::duration(time),
                summary::duration(real),
            ));
        }
        Output::Json => {
            let data = json!({
                "scenario": args.scenario.display().to_string(),
                "runs": runs,
                "failed": failed,
                "virtual_seconds": time.as_secs_f64(),
                "frames": frames,
            });
            let envelope = json!({"ok": failed == 0, "data": data, "error": null});
            let mut out = io::stdout().lock();
            writeln!(out, "{envelope}").map_err(|error| CliError::new(Kind::Host, error))?;
        }
    }
    Ok(code)
}

fn plan(args: &SimArgs) -> Result<Rc<Plan>, CliError> {
    let text = read_text(&args.scenario, limits::POLICY_BYTES)
        .map_err(|error| CliError::new(Kind::Config, error))?;
    let folder = args.scenario.parent().unwrap_or(Path::new("."));
    let scenario = Scenario::parse(&text, &args.scenario.display().to_string(), folder)
        .map_err(|error| CliError::new(Kind::Config, error))?;
    let apps: usize = scenario.nodes.iter().map(|node| node.apps.len()).sum();
    let engine = HostEngine::new(EngineOptions {
        instances: u32::try_from(apps).unwrap_or(u32::MAX),
        slices: Slices::Fuel(SLICE_FUEL),
        ..EngineOptions::default()
    })
    .map_err(|error| CliError::new(Kind::Host, error))?;
    let mut cache = args.state.cache();
    let plan = Plan::new(scenario, engine, &mut cache)?;
    for warning in cache.take_warnings() {
        say(&format!("warning: {warning}\n"));
    }
    Ok(plan)
}

fn of_run(ran: &Ran) -> Value {
    json!({
        "seed": ran.seed,
        "hash": ran.hash,
        "ok": ran.failures.is_empty(),
        "failures": ran.failures,
        "virtual_seconds": ran.time.as_secs_f64(),
        "frames": ran.frames,
    })
}

/// What went wrong with a seed, and how to see it again.
fn told(args: &SimArgs, ran: &Ran) -> String {
    let mut text = format!("failed  seed {}\n", ran.seed);
    for failure in &ran.failures {
        text.push_str(&format!("  {failure}\n"));
    }
    text.push_str(&format!(
        "  replay: nexus-host sim {} --seed {} --trace trace.txt\n",
        args.scenario.display(),
        ran.seed
    ));
    text
}

/// The file of `--trace`.
struct Trace {
    path: PathBuf,
    file: Rc<RefCell<BufWriter<File>>>,
    failed: Rc<RefCell<Option<io::Error>>>,
}

impl Trace {
    fn create(path: &Path) -> Result<Self, CliError> {
        let file = File::create(path).map_err(|error| of_file(path, &error))?;
        Ok(Self {
            path: path.to_owned(),
            file: Rc::new(RefCell::new(BufWriter::new(file))),
            failed: Rc::default(),
        })
    }

    fn sink(&self) -> nexus_sim::TraceSink {
        let (file, failed) = (self.file.clone(), self.failed.clone());
        Box::new(move |line| {
            if let Err(error) = writeln!(file.borrow_mut(), "{line}") {
                failed.borrow_mut().get_or_insert(error);
            }
        })
    }

    fn finish(self) -> Result<(), CliError> {
        let flushed = self.file.borrow_mut().flush();
        match self.failed.borrow_mut().take().map_or(flushed, Err) {
            Ok(()) => Ok(()),
            Err(error) => Err(of_file(&self.path, &error)),
        }
    }
}

fn of_file(path: &Path, error: &io::Error) -> CliError {
    CliError::new(Kind::Host, format!("{}: {error}", path.display()))
}

/// A line on the terminal that is written over.
struct Progress {
    begun: Instant,
    shown: Option<Instant>,
    on: bool,
}

impl Progress {
    fn new(args: &SimArgs) -> Self {
        Self {
            begun: Instant::now(),
            shown: None,
            on: args.common.output == Output::Text && io::stderr().is_terminal(),
        }
    }

    fn show(&mut self, done: u64, of: u64, failed: u64) {
        let due = self
            .shown
            .is_none_or(|shown| shown.elapsed() >= PROGRESS_EVERY);
        if self.on && due && self.begun.elapsed() >= PROGRESS_AFTER && done < of {
            say(&format!(
                "\r\x1b[Ksim  {done} of {of} seeds, {failed} failed"
            ));
            self.shown = Some(Instant::now());
        }
    }

    fn clear(&mut self) {
        if self.shown.take().is_some() {
            say("\r\x1b[K");
        }
    }
}
