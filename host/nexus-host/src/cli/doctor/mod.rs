//! `nexus-host doctor`: what would get in the way on this machine. It looks, shows, and changes
//! nothing; with `--fix` it mends permissions of the user's own files, and nothing else, after
//! asking where there is somebody to ask.

mod clock;
mod finding;
mod fix;
mod folder;
mod machine;
mod network;
mod policy;

use std::io::{IsTerminal, Write};

use clap::Args;
use clap::builder::BoolishValueParser;
use serde_json::json;

use super::{CliError, Common, Kind, Output, StateArgs, say};
use finding::{Finding, Level};
use fix::Fix;

const EXAMPLES: &str = "Examples:
  nexus-host doctor
  nexus-host doctor --fix                                      mend permissions, after a question
  nexus-host doctor --output json | jq '.data.findings[] | select(.level != \"ok\")'

Exit codes: 0 all is well, or only notes; 1 something is wrong.";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DoctorArgs {
    /// Take from others what they may do to files of yours that must be yours alone; on a terminal it asks first
    #[arg(long, env = "NEXUS_FIX", value_parser = BoolishValueParser::new())]
    fix: bool,
    #[command(flatten)]
    state: StateArgs,
    #[command(flatten)]
    pub(super) common: Common,
}

pub(super) fn doctor(args: &DoctorArgs) -> Result<u8, CliError> {
    let mut findings = diagnose(args);
    let mut fixed = Vec::new();
    let fixes: Vec<Fix> = findings.iter().filter_map(|f| f.fix.clone()).collect();
    if args.fix && !fixes.is_empty() && agreed(&findings, &fixes) {
        for fix in fixes {
            match fix.apply() {
                Ok(()) => fixed.push(fix.to_string()),
                Err(error) => {
                    CliError::new(Kind::Host, format!("{fix}: {error}")).say(Output::Text);
                }
            }
        }
        findings = diagnose(args);
    }
    report(args.common.output, &findings, &fixed)
}

fn diagnose(args: &DoctorArgs) -> Vec<Finding> {
    let mut findings = Vec::new();
    network::look(&mut findings);
    clock::look(&mut findings);
    folder::look(
        args.state.dir().as_deref(),
        args.state.no_cache,
        &mut findings,
    );
    policy::look(&mut findings);
    machine::look(&mut findings);
    findings
}

/// Whoever typed `--fix` where nobody can be asked has said yes by it.
fn agreed(findings: &[Finding], fixes: &[Fix]) -> bool {
    let mut stderr = std::io::stderr();
    if !(std::io::stdin().is_terminal() && stderr.is_terminal()) {
        return true;
    }
    let mut text = String::new();
    for finding in findings.iter().filter(|finding| finding.fix.is_some()) {
        text += &finding.text();
    }
    text += "\nThis would be done:\n";
    for fix in fixes {
        text += &format!("  {fix}\n");
    }
    let asked = write!(stderr, "{text}Do it? [y/N] ").and_then(|()| stderr.flush());
    let mut answer = String::new();
    asked.is_ok()
        && std::io::stdin().read_line(&mut answer).is_ok()
        && matches!(answer.trim(), "y" | "Y" | "yes")
}

fn report(output: Output, findings: &[Finding], fixed: &[String]) -> Result<u8, CliError> {
    let wrong = findings
        .iter()
        .filter(|f| f.level >= Level::Warning)
        .count();
    let error = (wrong > 0).then(|| {
        let things = if wrong == 1 {
            "1 thing is"
        } else {
            "things are"
        };
        let count = if wrong == 1 {
            String::new()
        } else {
            format!("{wrong} ")
        };
        let error = CliError::new(Kind::Host, format!("{count}{things} wrong"));
        match findings.iter().any(|finding| finding.fix.is_some()) {
            true => error.hint("nexus-host doctor --fix mends the permissions"),
            false => error,
        }
    });
    match output {
        Output::Json => {
            let data = json!({"findings": findings, "fixed": fixed});
            say::envelope(data, error.as_ref())?;
        }
        Output::Text => {
            let mut text: String = findings.iter().map(Finding::text).collect();
            for fix in fixed {
                text += &format!("done     {fix}\n");
            }
            say::answer(Output::Text, &text, json!(null))?;
            if let Some(error) = &error {
                error.say(Output::Text);
            }
        }
    }
    Ok(error.map_or(0, |error| error.kind.exit_code()))
}
