//! `nexus-host completions`: what a shell needs to complete our command line.

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use serde_json::Value;

use super::{Cli, CliError, Output, say};

const EXAMPLES: &str = "Examples:
  nexus-host completions bash > ~/.local/share/bash-completion/completions/nexus-host
  nexus-host completions zsh > \"${fpath[1]}/_nexus-host\"
  nexus-host completions fish > ~/.config/fish/completions/nexus-host.fish";

#[derive(Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(super) fn completions(args: &CompletionsArgs) -> Result<u8, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "nexus-host", &mut script);
    let script = String::from_utf8_lossy(&script);
    say::answer(Output::Text, &script, Value::Null)?;
    Ok(0)
}
