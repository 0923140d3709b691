//! `nexus-host man`: the manual pages, made from the same definition as `--help`.

use std::fs;
use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_mangen::Man;
use serde_json::Value;

use super::{ABOUT, Cli, CliError, Kind, Output, say};
use crate::runtime::shown;

const EXAMPLES: &str = "Examples:
  nexus-host man | man -l -                       read the page of nexus-host
  nexus-host man --out ~/.local/share/man/man1    install all pages, one for each verb";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct ManArgs {
    /// Write the page of nexus-host and of each verb to this folder, made if it is not there
    /// [default: the page of nexus-host to standard output]
    #[arg(long, value_name = "DIR", env = "NEXUS_OUT")]
    out: Option<PathBuf>,
}

/// The definition, with a line for the page's NAME as well: `apropos` shows that one alone.
fn command() -> clap::Command {
    let first = ABOUT.lines().next().unwrap_or(ABOUT).trim_end_matches('.');
    Cli::command().about(first.to_owned()).long_about(ABOUT)
}

pub(super) fn man(args: &ManArgs) -> Result<u8, CliError> {
    let Some(folder) = &args.out else {
        let mut page = Vec::new();
        Man::new(command())
            .render(&mut page)
            .map_err(|error| CliError::new(Kind::Host, error))?;
        say::answer(Output::Text, &String::from_utf8_lossy(&page), Value::Null)?;
        return Ok(0);
    };
    fs::create_dir_all(folder)
        .and_then(|()| clap_mangen::generate_to(command(), folder))
        .map_err(|error| CliError::new(Kind::Host, format!("{}: {error}", shown::path(folder))))?;
    Ok(0)
}
