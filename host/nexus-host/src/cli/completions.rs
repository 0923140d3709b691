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
    let mut script = String::from_utf8_lossy(&script).into_owned();
    if args.shell == Shell::Bash {
        // clap_complete 4.6 takes the `-` of our own name for the seam between a verb and its own where it writes
        // labels, and not where it looks for them: behind the first word nothing would be completed.
        script = script.replace("nexus__subcmd__host", "nexus__host");
    }
    say::answer(Output::Text, &script, Value::Null)?;
    Ok(0)
}
