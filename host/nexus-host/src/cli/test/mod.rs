//! `nexus-host test`: the scenarios beside an app's manifest, each a test.

mod junit;
mod report;

use std::io::Write as _;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use nexus_policy::explain::escape;

use super::sim::{self, Blessed, Failure, FailureKind, Prepared, Ran, Seeds};
use super::{CliError, Common, Kind, Output, StateArgs, say};
use crate::runtime::cache::CodeCache;
use crate::runtime::shown;
use crate::runtime::stdio::say as tell;

const EXAMPLES: &str = "Examples:
  nexus-host test                      the app in this folder
  nexus-host test components/fetch     the app in that folder
  nexus-host test . refused            only the scenarios with `refused` in their name
  nexus-host test --update             take what apps write now as what their golden files say

An app's folder:
  nexus.toml                           its manifest
  tests/page.toml                      a scenario: see `nexus-host sim --help`
  tests/page.txt                       what it must write: golden = \"page.txt\" under [node.app.expect]

[scenario] runs = 20 tries 20 seeds, each another network. Exits with 1 if any scenario failed.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TestArgs {
    /// The folder of the app: where its nexus.toml is, and tests/*.toml beside it
    #[arg(value_name = "DIR", default_value = ".")]
    dir: PathBuf,
    /// Only scenarios whose name has this in it
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// How many runs at a time [default: as many as there are processors]
    #[arg(long, value_name = "J", env = "NEXUS_JOBS")]
    jobs: Option<NonZeroUsize>,
    /// Write golden files and blessed hashes anew, from the first seed's run
    #[arg(long, env = "NEXUS_UPDATE", value_parser = clap::builder::BoolishValueParser::new())]
    update: bool,
    /// Write the results to this file as well, as JUnit XML
    #[arg(long, value_name = "FILE", env = "NEXUS_JUNIT")]
    junit: Option<PathBuf>,
    #[command(flatten)]
    state: StateArgs,
    #[command(flatten)]
    pub(super) common: Common,
}

/// A scenario and how it went.
struct Test {
    /// The file's, without `.toml`.
    name: String,
    scenario: PathBuf,
    /// Seeds tried, and of these failed.
    seeds: u64,
    failed: u64,
    /// Of the worlds; and how long it took.
    time: Duration,
    took: Duration,
    /// How long its world lives.
    until: Duration,
    /// The first seed that failed, and why.
    first: Option<(u64, Vec<Failure>)>,
    /// Why it could not be run at all.
    error: Option<CliError>,
}

impl Test {
    fn is_ok(&self) -> bool {
        self.failed == 0 && self.error.is_none()
    }
}

pub(super) fn test(args: &TestArgs) -> Result<u8, CliError> {
    let scenarios = scenarios(args)?;
    let begun = Instant::now();
    // Before anything runs: what cannot be written is told at once.
    let junit = args.junit.as_deref().map(junit::create).transpose()?;
    let text = args.common.output == Output::Text;
    if text {
        report::tell(&report::head(&args.dir, scenarios.len()))?;
    }
    let mut cache = args.state.cache();
    let mut tests = Vec::new();
    for (name, scenario) in scenarios {
        let mut test = Test {
            name,
            scenario,
            seeds: 0,
            failed: 0,
            time: Duration::ZERO,
            took: Duration::ZERO,
            until: Duration::ZERO,
            first: None,
            error: None,
        };
        let begun = Instant::now();
        test.error = run(args, &mut test, &mut cache).err();
        test.took = begun.elapsed();
        for warning in cache.take_warnings() {
            tell(&format!("warning: {warning}\n"));
        }
        if text {
            report::tell(&report::line(&test))?;
        }
        tests.push(test);
    }
    let failed = tests.iter().filter(|test| !test.is_ok()).count();
    match args.common.output {
        Output::Text => report::tell(&report::tail(&tests, begun.elapsed()))?,
        Output::Json => say::outcome(failed == 0, &report::json(&tests))?,
    }
    if let (Some(path), Some(mut file)) = (&args.junit, junit) {
        let suite = args.dir.display().to_string();
        let text = junit::text(&suite, &tests, begun.elapsed());
        file.write_all(text.as_bytes())
            .map_err(|error| of_file(path, &error))?;
    }
    Ok(u8::from(failed > 0))
}

/// The scenarios of an app, by name.
fn scenarios(args: &TestArgs) -> Result<Vec<(String, PathBuf)>, CliError> {
    let dir = &args.dir;
    if !dir.join("nexus.toml").is_file() {
        let message = format!(
            "{} has no nexus.toml: it is no app's folder",
            shown::path(dir)
        );
        return Err(CliError::new(Kind::Usage, message)
            .hint("nexus-host test DIR, with DIR/nexus.toml and DIR/tests/*.toml"));
    }
    let folder = dir.join("tests");
    let mut found = Vec::new();
    let listing = match std::fs::read_dir(&folder) {
        Ok(listing) => Some(listing),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(of_file(&folder, &error)),
    };
    for entry in listing.into_iter().flatten() {
        let path = entry.map_err(|error| of_file(&folder, &error))?.path();
        if path.extension().is_some_and(|ending| ending == "toml")
            && let Some(name) = path.file_stem()
        {
            found.push((escape(&name.to_string_lossy()), path));
        }
    }
    found.sort();
    if found.is_empty() {
        let message = format!("{} has no scenario (*.toml)", shown::path(&folder));
        return Err(
            CliError::new(Kind::Usage, message).hint("`nexus-host sim --help` shows one whole")
        );
    }
    if let Some(wanted) = &args.name {
        let names: Vec<_> = found.iter().map(|(name, _)| name.clone()).collect();
        found.retain(|(name, _)| name.contains(wanted));
        if found.is_empty() {
            let message = format!(
                "no scenario has `{wanted}` in its name; there are: {}",
                names.join(", ")
            );
            return Err(CliError::new(Kind::Usage, message));
        }
    }
    Ok(found)
}

fn of_file(path: &Path, error: &std::io::Error) -> CliError {
    CliError::new(Kind::Host, format!("{}: {error}", shown::path(path)))
}

/// Runs a scenario with all its seeds.
fn run(args: &TestArgs, test: &mut Test, cache: &mut CodeCache) -> Result<(), CliError> {
    if args.update {
        update(&test.scenario, cache)?;
    }
    let scenario = sim::parse(&test.scenario, None)?;
    let (first, runs) = (scenario.seed, scenario.runs);
    test.until = scenario.until;
    let jobs = sim::jobs(args.jobs, runs, scenario.guests());
    let scene = sim::open(scenario, jobs, cache)?;
    let blessed = Blessed::read(&test.scenario, &scene)?;
    for note in scene.notes() {
        tell(&format!("note: {note}\n"));
    }
    let mut first_ran = None;
    let seeds = Seeds { first, runs };
    seeds.run(&scene, jobs, false, |mut ran| {
        if args.update {
            first_ran.get_or_insert_with(|| ran.clone());
        } else {
            ran.failures
                .extend(blessed.as_ref().and_then(|blessed| blessed.check(&ran)));
        }
        test.seeds += 1;
        test.time += ran.time;
        if !ran.failures.is_empty() {
            test.failed += 1;
            test.first.get_or_insert((ran.seed, ran.failures));
        }
        Ok(())
    })?;
    match (blessed, first_ran) {
        (Some(_), Some(ran)) if test.failed == 0 => {
            let path = sim::bless(&test.scenario, &scene, &ran)?;
            tell(&format!("wrote {}\n", shown::path(&path)));
        }
        (Some(blessed), None) => {
            if let Some(note) = blessed.note(seeds, false) {
                tell(&format!("note: {note}\n"));
            }
        }
        _ => {}
    }
    Ok(())
}

/// Takes what the apps write with the first seed as what their golden files say.
fn update(path: &Path, cache: &mut CodeCache) -> Result<(), CliError> {
    let scenario = sim::parse(path, None)?;
    let seed = scenario.seed;
    let scene = sim::open(scenario, 1, cache)?;
    if scene.apps.iter().all(|app| app.golden.is_none()) {
        return Ok(());
    }
    let mut ran = None;
    Seeds {
        first: seed,
        runs: 1,
    }
    .run(&scene, 1, true, |one| {
        ran = Some(one);
        Ok(())
    })?;
    let folder = path.parent().unwrap_or(path);
    ran.map_or(Ok(()), |ran| write(&scene, folder, &ran))
}

/// Of a run that is otherwise as expected: what an app writes that traps is no golden output.
fn write(scene: &Prepared, folder: &Path, ran: &Ran) -> Result<(), CliError> {
    let is_golden = |failure: &&Failure| failure.kind == FailureKind::Golden;
    if let Some(failure) = ran.failures.iter().find(|failure| !is_golden(failure)) {
        let message = format!("nothing was updated: {failure}");
        return Err(CliError::new(Kind::Host, message));
    }
    let mut changed = Vec::new();
    for (app, stdout) in scene.apps.iter().zip(&ran.stdout) {
        if let (Some(golden), Some(stdout)) = (&app.golden, stdout)
            && golden.bytes.as_ref() != Some(stdout)
        {
            // All before any: half an update is none.
            sim::writable(&golden.path, folder)?;
            changed.push((&golden.path, stdout));
        }
    }
    for (path, stdout) in changed {
        sim::replace(path, stdout)?;
        tell(&format!("wrote {}\n", escape(&path.display().to_string())));
    }
    Ok(())
}
