//! `nexus-host sim`: a scenario in a simulated world, seed after seed.

mod blessed;
mod boot;
mod capture;
mod diff;
mod file;
mod heard;
mod open;
mod place;
mod plan;
mod progress;
mod replay;
mod run;
mod scenario;
mod seeds;
mod shelf;
mod shrink;
mod starting;
mod trace;
mod verdict;

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use nexus_policy::explain::escape;
use serde::Serialize;
use serde_json::{Value, json};

use super::values::parse_duration;
use super::{CliError, Common, Kind, Output, StateArgs, say};
use crate::observe::summary;
use crate::runtime::stdio::{say as tell, say_last};
pub(super) use blessed::{Blessed, bless};
pub(super) use file::{replace, writable};
pub(super) use open::{open, parse};
pub(super) use plan::Prepared;
use progress::Progress;
pub(super) use replay::replay;
pub(super) use run::Ran;
use run::Watch;
use scenario::RUNS_MAX;
pub(super) use seeds::{Seeds, jobs};
pub(super) use verdict::{Failure, Kind as FailureKind};

const EXAMPLES: &str = "Examples:
  nexus-host sim lossy.toml                      one run, seed 1
  nexus-host sim lossy.toml --runs 200           seeds 1 to 200
  nexus-host sim lossy.toml --seed 17 --trace t  seed 17 again, every event of it in the file t
  nexus-host sim lossy.toml --seed 17 --shrink   what of all that goes wrong its failure needs

A scenario:
  [scenario]
  until = \"60s\"                      # virtual time; an app that runs then still has failed
  chaos = \"10s\"                      # for so long things go wrong that the seed draws

  [[link]]
  name = \"lan\"
  latency = \"2ms\"                    # also: jitter, rate, queue, burst, duplication, reorder, reorder-by,
  loss = \"2%\"                        # corruption, truncation, replay, mtu

  [[node]]
  name = \"server\"
  link = \"lan\"
  addresses = [\"10.0.0.1/24\"]          # also: policy, dns
  [[node.app]]
  component = \"tcp-echo.wasm\"        # relative to the file; so is manifest = \"...\"
  background = true                  # ended when the other apps have ended; so is one with serve = 80,
                                     # which answers HTTP
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
  exit = 0                           # or \"any\"
  within = \"5s\"
  stdout = [\"done\"]                  # each must be in what it wrote; so stderr
  golden = \"done.txt\"                # its stdout is this file
  denied = []                        # what it was refused, all of it

  [[node]]
  name = \"web\"                      # a far end that is not under test; also tcp, udp, dns, call: see the guide
  link = \"lan\"
  addresses = [\"10.0.0.80/24\"]
  [[node.peer]]
  http = 80
  route = [{ path = \"/\", body = \"a page\" }]

  [[fault]]
  at = \"1s\"
  for = \"500ms\"                      # left out: to the end
  between = [\"server\", \"client\"]     # or one way: from, to; left out: everybody
  cut = true                         # or what a link may be, worse; or clog = true
  [[fault]]
  node = \"server\"
  crash = true                       # or pause, nic-down, clock-step, clock-drift, addresses

The same seed, scenario, components and nexus-host give the same run: its hash says so. Apps see virtual
time and seeded randomness; the policy files of this machine do not count. Exits with 1 if any run was
not as expected. The guide has the rest: docs/guide/simulation.md.";

/// How many failed seeds are told one by one.
const FAILURES_TOLD: u64 = 8;

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct SimArgs {
    /// The scenario
    #[arg(value_name = "SCENARIO.toml")]
    scenario: PathBuf,
    /// The first seed [default: the scenario's, or 1]
    #[arg(long, value_name = "N", env = "NEXUS_SEED")]
    seed: Option<u64>,
    /// How many seeds, from the first one on
    #[arg(long, value_name = "K", default_value_t = 1, env = "NEXUS_RUNS",
          value_parser = clap::value_parser!(u64).range(1..=RUNS_MAX))]
    runs: u64,
    /// How many runs at a time, at most 256 [default: as many as there are processors]
    #[arg(long, value_name = "J", env = "NEXUS_JOBS")]
    jobs: Option<NonZeroUsize>,
    /// End the world at this time, whatever the scenario says
    #[arg(long, value_name = "DURATION", env = "NEXUS_UNTIL", value_parser = parse_duration)]
    until: Option<Duration>,
    /// Write every event of the run to this file, a line each; for one seed
    #[arg(long, value_name = "FILE", env = "NEXUS_TRACE")]
    trace: Option<PathBuf>,
    /// Write every frame of the run to this file (pcapng); for one seed
    #[arg(long, value_name = "FILE", env = "NEXUS_PCAP")]
    pcap: Option<PathBuf>,
    /// Look what of all that goes wrong the first failure needs, and write it as [[fault]]s
    #[arg(long, env = "NEXUS_SHRINK", value_parser = clap::builder::BoolishValueParser::new())]
    shrink: bool,
    /// Say that the first seed's run is right: keep its hash beside the scenario, to be checked
    #[arg(long, env = "NEXUS_BLESS", value_parser = clap::builder::BoolishValueParser::new())]
    bless: bool,
    #[command(flatten)]
    state: StateArgs,
    #[command(flatten)]
    pub(super) common: Common,
}

/// A run, in the words of JSON output.
#[derive(Serialize)]
struct Run {
    seed: u64,
    hash: String,
    ok: bool,
    failures: Vec<String>,
    /// How to see it again, if it failed.
    replay: Option<String>,
    virtual_seconds: f64,
    frames: u64,
}

/// What the runs of a command came to.
#[derive(Default)]
struct Sum {
    runs: Vec<Run>,
    time: Duration,
    frames: u64,
    failed: u64,
    first: Option<Ran>,
    /// The first that failed otherwise than by being another run than the blessed one.
    to_shrink: Option<Ran>,
}

pub(super) fn sim(args: &SimArgs) -> Result<u8, CliError> {
    let usage = |message: &str| Err(CliError::new(Kind::Usage, message));
    if (args.trace.is_some() || args.pcap.is_some()) && args.runs > 1 {
        return usage("--trace and --pcap are of one run: give --seed N and leave --runs out");
    }
    if args.bless && args.shrink {
        return usage("--bless is of a run that is right, --shrink of one that is not: not both");
    }
    if args.bless && args.until.is_some() {
        return usage("--bless is of the whole run: leave --until out");
    }
    let mut cache = args.state.cache();
    let scenario = parse(&args.scenario, args.until)?;
    let jobs = jobs(args.jobs, args.runs, scenario.guests());
    let scene = open(scenario, jobs, &mut cache)?;
    for warning in cache.take_warnings() {
        tell(&format!("warning: {warning}\n"));
    }
    spare(args, &scene)?;
    // What ends earlier has another hash.
    let blessed = match args.until {
        None if !args.bless => Blessed::read(&args.scenario, &scene)?,
        _ => None,
    };
    let begun = Instant::now();
    let sum = run_all(args, &scene, jobs, blessed.as_ref())?;
    let mut notes = scene.notes();
    let seeds = seeds(args, &scene);
    notes.extend(blessed.and_then(|blessed| blessed.note(seeds, args.seed.is_some())));
    if args.bless {
        match sum.first.as_ref().filter(|ran| ran.failures.is_empty()) {
            Some(ran) => {
                let path = bless(&args.scenario, &scene, ran)?;
                notes.push(format!("wrote {}", escape(&path.display().to_string())));
            }
            None => notes.push("not blessed: the run is not as expected".to_owned()),
        }
    }
    let mut shrunk_text = None;
    if args.shrink {
        match &sum.to_shrink {
            Some(ran) => shrunk_text = Some(shrunk(args, &scene, ran)?),
            None if sum.failed > 0 => notes.push(
                "nothing to shrink: runs are as expected, but one is not the blessed one"
                    .to_owned(),
            ),
            None => notes.push("nothing to shrink: no seed failed".to_owned()),
        }
    }
    match args.common.output {
        Output::Text => {
            for note in notes {
                tell(&format!("note: {note}\n"));
            }
            tell_sum(args, &sum, begun.elapsed());
            if let Some(text) = shrunk_text {
                say::answer(Output::Text, &text, Value::Null)?;
            }
        }
        Output::Json => {
            let data = json!({
                "scenario": args.scenario.display().to_string(),
                "runs": sum.runs,
                "failed": sum.failed,
                "virtual_seconds": sum.time.as_secs_f64(),
                "frames": sum.frames,
                "shrunk": shrunk_text,
                "notes": notes,
            });
            say::outcome(sum.failed == 0, &data)?;
        }
    }
    Ok(u8::from(sum.failed > 0))
}

/// A trace or capture is written over nothing that the scenario is made of.
fn spare(args: &SimArgs, scene: &Prepared) -> Result<(), CliError> {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let blessed = args.scenario.with_extension("blessed");
    let mut taken: Vec<_> = scene.files().into_iter().map(real).collect();
    taken.extend([real(&args.scenario), real(&blessed)]);
    for path in [&args.trace, &args.pcap].into_iter().flatten() {
        if taken.contains(&real(path)) {
            let path = escape(&path.display().to_string());
            let message = format!("{path} is a file of the scenario, or of the other flag");
            return Err(CliError::new(Kind::Usage, message)
                .hint("give --trace and --pcap files of their own"));
        }
        taken.push(real(path));
    }
    Ok(())
}

fn seeds(args: &SimArgs, scene: &Prepared) -> Seeds {
    Seeds {
        first: args.seed.unwrap_or(scene.scenario.seed),
        runs: args.runs,
    }
}

fn run_all(
    args: &SimArgs,
    scene: &Arc<Prepared>,
    jobs: usize,
    blessed: Option<&Blessed>,
) -> Result<Sum, CliError> {
    let seeds = seeds(args, scene);
    let mut sum = Sum::default();
    let mut progress = Progress::new(args.common.output);
    let mut done = 0;
    let mut take = |mut ran: Ran| {
        ran.failures
            .extend(blessed.and_then(|blessed| blessed.check(&ran)));
        let failed = !ran.failures.is_empty();
        done += 1;
        sum.time += ran.time;
        sum.frames += ran.frames;
        sum.failed += u64::from(failed);
        if args.common.output == Output::Json {
            sum.runs.push(of_run(args, &ran));
        } else if failed && sum.failed <= FAILURES_TOLD {
            progress.clear();
            tell(&told(args, &ran));
        }
        progress.show(done, args.runs, || {
            format!("sim  {done} of {} seeds, {} failed", args.runs, sum.failed)
        });
        if done == 1 {
            sum.first = Some(ran.clone());
        }
        let mut failures = ran.failures.iter();
        if sum.to_shrink.is_none() && failures.any(|one| one.kind != FailureKind::Blessed) {
            sum.to_shrink = Some(ran);
        }
        Ok(())
    };
    if args.runs == 1 {
        let trace = args.trace.as_deref().map(trace::Trace::create);
        let trace = trace.transpose()?;
        let pcap = args.pcap.as_deref();
        let pcap = pcap.map(|path| capture::Frames::create(path, &scene.scenario));
        let pcap = pcap.transpose()?;
        let watch = Watch {
            trace: trace.as_ref().map(trace::Trace::sink),
            frames: pcap.as_ref().map(capture::Frames::checker),
            output: false,
            clock: Some(clock(args, scene.scenario.until)),
        };
        let seed = seeds.first;
        take(scene.run(seed, &scene.goes_wrong(seed), watch)?)?;
        trace.map_or(Ok(()), trace::Trace::finish)?;
        pcap.map_or(Ok(()), capture::Frames::finish)?;
    } else {
        seeds.run(scene, jobs, false, take)?;
    }
    progress.clear();
    Ok(sum)
}

/// Shows how far one long run is.
fn clock(args: &SimArgs, until: Duration) -> Box<dyn FnMut(Duration)> {
    let mut progress = Progress::new(args.common.output);
    let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    Box::new(move |now| {
        progress.show(nanos(now), nanos(until), || {
            let (now, until) = (summary::duration(now), summary::duration(until));
            format!("sim  {now} of {until} of virtual time")
        });
    })
}

fn shrunk(args: &SimArgs, scene: &Arc<Prepared>, ran: &Ran) -> Result<String, CliError> {
    let mut progress = Progress::new(args.common.output);
    let shrunk = shrink::shrink(scene, ran, |tries| {
        progress.show(u64::from(tries), u64::MAX, || {
            format!("shrinking seed {}: {tries} runs", ran.seed)
        });
    })?;
    progress.clear();
    if args.common.output == Output::Text {
        tell(&format!(
            "shrunk seed {} in {} runs\n",
            ran.seed, shrunk.tries
        ));
    }
    Ok(shrunk.text(scene))
}

fn tell_sum(args: &SimArgs, sum: &Sum, real: Duration) {
    if args.runs == 1
        && sum.failed == 0
        && let Some(ran) = &sum.first
    {
        tell(&format!("seed {}  ok  {}\n", ran.seed, ran.hash));
    }
    let more = if sum.failed > FAILURES_TOLD {
        format!(" (the first {FAILURES_TOLD} are above)")
    } else {
        String::new()
    };
    let times = sum.time.as_nanos() / real.as_nanos().max(1);
    say_last(&format!(
        "sim  {}: {} of {} seeds ok, {} failed{more}; {} of virtual time, {} frames, in {} ({times} x real time)\n",
        escape(&args.scenario.display().to_string()),
        args.runs - sum.failed,
        args.runs,
        sum.failed,
        summary::duration(sum.time),
        sum.frames,
        summary::duration(real),
    ));
}

fn of_run(args: &SimArgs, ran: &Ran) -> Run {
    let failed = !ran.failures.is_empty();
    Run {
        seed: ran.seed,
        hash: ran.hash.clone(),
        ok: !failed,
        failures: ran.failures.iter().map(ToString::to_string).collect(),
        replay: failed.then(|| replay(&args.scenario, ran.seed, args.until)),
        virtual_seconds: ran.time.as_secs_f64(),
        frames: ran.frames,
    }
}

/// What went wrong with a seed, and how to see it again.
fn told(args: &SimArgs, ran: &Ran) -> String {
    let mut text = format!("failed  seed {}\n", ran.seed);
    for failure in &ran.failures {
        text.push_str(&format!("  {failure}\n"));
    }
    let replay = replay(&args.scenario, ran.seed, args.until);
    text + &format!("  replay: {replay}\n")
}
