//! `nexus-host audit`: reads and checks the log of decisions.

mod query;
mod scan;
mod show;
mod tail;
mod verify;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use nexus_policy::explain::escape;

use super::{CliError, Kind, Output, StateArgs};
use crate::observe::audit::Place;

const EXAMPLES: &str = "Examples:
  nexus-host audit tail -n 50 --follow           the newest records, and those to come
  nexus-host audit query --verdict deny --since 1h
                                                 what was refused in the last hour
  nexus-host audit query --app com.example.weather --output json
  nexus-host audit verify                        was any of it changed, taken out, put in or cut off

What is recorded, and what verify can and cannot show: docs/guide/audit.md.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct AuditArgs {
    #[command(subcommand)]
    verb: AuditVerb,
}

#[derive(Subcommand)]
enum AuditVerb {
    /// Show the newest records
    Tail(tail::TailArgs),
    /// Show the records that fit
    Query(query::QueryArgs),
    /// Check that the log is as its hosts left it: exits with 0 if it is and lacks nothing, with 1 if not
    Verify(verify::VerifyArgs),
}

impl AuditArgs {
    pub(super) fn output(&self) -> Output {
        match &self.verb {
            AuditVerb::Tail(args) => args.common.output,
            AuditVerb::Query(args) => args.common.output,
            AuditVerb::Verify(args) => args.common.output,
        }
    }
}

pub(super) fn audit(args: &AuditArgs) -> Result<u8, CliError> {
    match &args.verb {
        AuditVerb::Tail(args) => tail::tail(args),
        AuditVerb::Query(args) => query::query(args),
        AuditVerb::Verify(args) => verify::verify(args),
    }
}

/// Whose log.
#[derive(Args)]
struct LogArgs {
    /// The state folder [default: nexus-host in the user's state folder]
    #[arg(long, value_name = "DIR", env = "NEXUS_STATE")]
    state: Option<PathBuf>,
}

impl LogArgs {
    /// Where the log lies, there or not.
    fn place_named(&self) -> Result<Place, CliError> {
        let state = StateArgs {
            state: self.state.clone(),
            no_cache: true,
        };
        let state = state.dir().ok_or_else(|| {
            CliError::new(Kind::Usage, "no state folder: HOME is not set").hint("give --state DIR")
        })?;
        Ok(Place::of(&state))
    }

    /// Where the log lies; an error if there is none.
    fn place(&self) -> Result<Place, CliError> {
        let place = self.place_named()?;
        if place.log.is_dir() {
            return Ok(place);
        }
        let log = shown(&place.log);
        if !place.has_heads() {
            let message = format!("no audit log in {log}: no host has run with this state folder");
            return Err(CliError::new(Kind::Host, message)
                .hint("give the folder that hosts run with: --state DIR"));
        }
        let message = format!("{log} is missing, and signed heads say that there was one");
        Err(CliError::new(Kind::Host, message)
            .hint("see with `nexus-host audit verify` what was taken away"))
    }
}

/// A path with nothing in it that a terminal obeys.
fn shown(path: &Path) -> String {
    let text = path.display().to_string();
    // `escape` cuts a long text; a path's end matters most.
    text.chars()
        .map(|c| escape(c.encode_utf8(&mut [0; 4])))
        .collect()
}

fn unreadable(path: &Path, error: &std::io::Error) -> CliError {
    CliError::new(Kind::Host, format!("{}: {error}", shown(path)))
}
