//! From a path to a scenario that can be run.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nexus_types::limits;

use super::plan::Prepared;
use super::run::host_error;
use super::scenario::Scenario;
use crate::cli::{CliError, Kind};
use crate::driver::SLICE_FUEL;
use crate::runtime::cache::CodeCache;
use crate::runtime::engine::{EngineOptions, HostEngine, Slices};
use crate::runtime::load::read_text;
use crate::runtime::shown;

/// Reads a scenario; `until` goes before what it says.
pub(in crate::cli) fn parse(path: &Path, until: Option<Duration>) -> Result<Scenario, CliError> {
    let config = |error: &dyn std::fmt::Display| CliError::new(Kind::Config, error);
    let text = read_text(path, limits::POLICY_BYTES).map_err(|error| config(&error))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    Scenario::parse(&text, &shown::path(path), folder, until).map_err(|error| config(&error))
}

/// Makes it ready to be run, so many times at once.
pub(in crate::cli) fn open(
    scenario: Scenario,
    jobs: usize,
    cache: &mut CodeCache,
) -> Result<Arc<Prepared>, CliError> {
    let apps = scenario.guests();
    let engine = HostEngine::new(EngineOptions {
        instances: u32::try_from(apps.saturating_mul(jobs)).unwrap_or(u32::MAX),
        slices: Slices::Fuel(SLICE_FUEL),
        ..EngineOptions::default()
    })
    .map_err(host_error)?;
    Prepared::new(scenario, engine, cache)
}
