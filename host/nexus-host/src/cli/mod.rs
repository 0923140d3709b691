//! The command line: what is asked for, read once, checked, and handed on as values.

mod admitting;
mod app;
mod audit;
mod check;
mod completions;
mod consent;
mod doctor;
mod error;
mod explain;
mod folders;
mod inspect;
mod learn;
mod listen;
mod man;
mod mode;
mod net;
mod new;
mod obey;
mod observing;
mod opening;
mod pack;
mod passphrase;
mod policies;
mod policy;
mod publishers;
mod recording;
mod run;
mod say;
mod serve;
mod serving;
mod sign;
mod sim;
mod start;
mod test;
mod trust;
mod up;
mod values;
mod verify;
mod whole;
mod world;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::builder::{BoolishValueParser, Resettable};
use clap::{Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};

use crate::runtime::shown;
use crate::runtime::stdio::say_last;

pub use error::{CliError, Kind};
pub use values::{Net, parse_duration, parse_size};

const ABOUT: &str = "Runs apps compiled to WebAssembly components, each with exactly the imports it was granted.

The host owns the TCP/IP stack: an app reaches the network only through capabilities that its
manifest (nexus.toml) asks for and the operator's policy allows. What was not granted is not linked.";

const EXAMPLES: &str = "Examples:
  nexus-host app.wasm                        run an app that asks for nothing
  nexus-host run app.wasm --allow-manifest -- --flag-of-the-app
                                             say yes to everything its manifest asks for, this once
  nexus-host run app.wasm --allow network.tcp.connect=api.example.com:443
                                             grant one thing, this once
  nexus-host serve api.wasm --listen 127.0.0.1:8080
                                             answer HTTP requests with an app
  nexus-host check app.wasm                  would it start, and with what
  nexus-host policy check app.wasm --tcp api.example.com:443
                                             may it go there, and who says so
  nexus-host explain not-granted             what a word of a refusal means
  nexus-host inspect app.wasm                what it imports, and the capability each import needs

Exit codes of `run`: the app's own; 1 host error, 2 usage, 77 refused before it started,
78 bad manifest or policy, 124 deadline, 130 interrupted, 134 trap, 143 ended by SIGTERM. An app
may return the same numbers: --report FILE is authoritative.";

#[derive(Parser)]
#[command(
    name = "nexus-host",
    version,
    about = ABOUT,
    after_help = EXAMPLES,
    disable_help_subcommand = true,
    max_term_width = 110
)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Run one app (the verb may be left out: nexus-host app.wasm)
    Run(Box<run::RunArgs>),
    /// Serve HTTP with an app that answers requests
    Serve(Box<serve::ServeArgs>),
    /// Run several apps, on one or more nodes, as a world file says
    Up(up::UpArgs),
    /// Run a scenario in a simulated world: real apps, virtual time, one seed
    Sim(sim::SimArgs),
    /// Make a new app to begin with: a crate that builds offline and has tests
    New(new::NewArgs),
    /// Run an app's own scenarios, each a test
    Test(test::TestArgs),
    /// Say whether an app would start, and with what, without running it
    Check(check::CheckArgs),
    /// Say what a reason, capability, class of addresses or code means
    Explain(explain::ExplainArgs),
    /// Ask an operator's policy, and compare two
    Policy(policy::PolicyArgs),
    /// Show what a component imports, and the capability each import needs
    Inspect(inspect::InspectArgs),
    /// Embed a manifest in a component, so that the app's digest covers it
    Pack(pack::PackArgs),
    /// Show what you have answered when an app asked, and take it back
    Consent(consent::ConsentArgs),
    /// Read and check the audit log: tail, query, verify
    Audit(audit::AuditArgs),
    /// Look for what would get in the way on this machine, and mend permissions if asked
    Doctor(doctor::DoctorArgs),
    /// Print what a shell needs to complete this command line
    Completions(completions::CompletionsArgs),
    /// Print the manual page, or write all pages to a folder
    Man(man::ManArgs),
    /// Sign a component as its publisher, or make the key to sign with
    Sign(sign::SignArgs),
    /// Say whether a publisher signed a component
    Verify(verify::VerifyArgs),
}

/// How what we say is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
enum Output {
    /// For people
    #[default]
    Text,
    /// One JSON object: {"ok", "data", "error": {"code", "message", "hint"}}
    Json,
}

/// Flags every verb has.
#[derive(Args)]
struct Common {
    /// Write for people, or for programs
    #[arg(long, value_enum, default_value = "text", env = "NEXUS_OUTPUT")]
    output: Output,
}

/// Where the host keeps what it remembers.
#[derive(Args)]
struct StateArgs {
    /// The folder for keys, answers and compiled code [default: nexus-host in the user's state folder]
    #[arg(long, value_name = "DIR", env = "NEXUS_STATE")]
    state: Option<PathBuf>,
    /// Neither use nor keep compiled code
    #[arg(long, env = "NEXUS_NO_CACHE", value_parser = BoolishValueParser::new())]
    no_cache: bool,
}

impl StateArgs {
    /// The folder named, or the one the XDG base directory specification names.
    fn dir(&self) -> Option<PathBuf> {
        if let Some(dir) = &self.state {
            return Some(dir.clone());
        }
        let absolute = |name: &str| {
            std::env::var_os(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };
        absolute("XDG_STATE_HOME")
            .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
            .map(|dir| dir.join("nexus-host"))
    }

    fn cache(&self) -> crate::runtime::cache::CodeCache {
        use crate::runtime::cache::CodeCache;
        match self.dir() {
            Some(dir) if !self.no_cache => CodeCache::open(&dir),
            _ => CodeCache::off(),
        }
    }
}

/// Reads the command line of this process and does what it says.
pub fn main() -> ExitCode {
    ExitCode::from(answer(std::env::args_os().collect()))
}

/// Does what a command line says, the name of the program first; the exit code.
pub fn answer(arguments: Vec<OsString>) -> u8 {
    // An error of clap's quotes what was typed, as it was.
    let odd = arguments.iter().any(|word| {
        let word = word.to_string_lossy();
        shown::line(&word, usize::MAX) != word
    });
    let arguments = mode::with_learn_joined(with_default_verb(arguments));
    let parsed = without_empty_variables(Cli::command())
        .try_get_matches_from(arguments)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => {
            if odd && error.use_stderr() {
                let text = error.render().to_string();
                let lines = text
                    .lines()
                    .map(|line| shown::line(line, usize::MAX) + "\n");
                say_last(&lines.collect::<String>());
            } else {
                // Help asked for goes to standard output and is no error; clap knows which.
                let _ = error.print();
            }
            return u8::try_from(error.exit_code()).unwrap_or(2);
        }
    };
    let (output, result) = match cli.verb {
        Verb::Run(args) => (args.common.output, run::run(&args)),
        Verb::Serve(args) => (args.common.output, serve::serve(&args)),
        Verb::Up(args) => (args.common.output, up::up(&args)),
        Verb::Sim(args) => (args.common.output, sim::sim(&args)),
        Verb::New(args) => (args.common.output, new::new(&args)),
        Verb::Test(args) => (args.common.output, test::test(&args)),
        Verb::Check(args) => (args.common.output, check::check(&args)),
        Verb::Explain(args) => (args.common.output, explain::explain(&args)),
        Verb::Policy(args) => policy::policy(&args),
        Verb::Inspect(args) => (args.common.output, inspect::inspect(&args)),
        Verb::Pack(args) => (args.common.output, pack::pack(&args)),
        Verb::Consent(args) => (args.output(), consent::consent(&args)),
        Verb::Audit(args) => (args.output(), audit::audit(&args)),
        Verb::Doctor(args) => (args.common.output, doctor::doctor(&args)),
        Verb::Completions(args) => (Output::Text, completions::completions(&args)),
        Verb::Man(args) => (Output::Text, man::man(&args)),
        Verb::Sign(args) => (args.common.output, sign::sign(&args)),
        Verb::Verify(args) => (args.common.output, verify::verify(&args)),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            error.say(output);
            error.kind.exit_code()
        }
    }
}

/// A variable that is set to nothing (`NEXUS_REPORT=`, as unit files and CI write it) is not set.
fn without_empty_variables(command: Command) -> Command {
    command
        .mut_args(|flag| {
            let value = flag.get_env().and_then(std::env::var_os);
            if value.is_some_and(|value| value.is_empty()) {
                flag.env(Resettable::Reset)
            } else {
                flag
            }
        })
        .mut_subcommands(without_empty_variables)
}

/// `nexus-host app.wasm` is `nexus-host run app.wasm`.
fn with_default_verb(mut arguments: Vec<OsString>) -> Vec<OsString> {
    let app = arguments
        .get(1)
        .is_some_and(|first| first.to_string_lossy().ends_with(".wasm"));
    if app {
        arguments.insert(1, "run".into());
    }
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_holds() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_verb_may_be_left_out_before_an_app() {
        let parsed = |line: &[&str]| {
            with_default_verb(line.iter().map(OsString::from).collect())
                .into_iter()
                .map(|s| s.to_string_lossy().into_owned())
                .collect::<Vec<_>>()
        };
        assert_eq!(
            parsed(&["n", "a.wasm", "--", "x"]),
            ["n", "run", "a.wasm", "--", "x"]
        );
        assert_eq!(
            parsed(&["n", "inspect", "a.wasm"]),
            ["n", "inspect", "a.wasm"]
        );
        assert_eq!(parsed(&["n"]), ["n"]);
    }

    /// Questions.
    const ASKED_ABOUT: [&str; 9] = [
        "tcp", "udp", "listen", "bind", "resolve", "dir", "env", "address", "app",
    ];

    /// The verbs below `command`, and theirs.
    fn verbs(command: &Command) -> Vec<&Command> {
        command
            .get_subcommands()
            .flat_map(|verb| [vec![verb], verbs(verb)].concat())
            .collect()
    }

    #[test]
    fn what_widens_a_grant_has_no_variable() {
        for verb in verbs(&Cli::command()) {
            for flag in verb.get_arguments() {
                let name = flag.get_id().as_str();
                let widens = name.starts_with("allow")
                    || ["policy", "manifest", "publish", "ca", "mode"].contains(&name);
                if widens {
                    assert_eq!(flag.get_env(), None, "--{name}");
                } else if flag.get_long().is_some() && !["help", "version"].contains(&name) {
                    // What `policy check` and `policy diff` are asked about is said on their line alone: with a
                    // variable, a forgotten one would change the answer to another question.
                    if ["check", "diff"].contains(&verb.get_name()) && ASKED_ABOUT.contains(&name) {
                        assert_eq!(flag.get_env(), None, "--{name}");
                        continue;
                    }
                    let variable = match (verb.get_name(), name) {
                        // NEXUS_UNTIL is when a scenario ends.
                        ("query", "until") => "NEXUS_AUDIT_UNTIL".to_owned(),
                        // Of one variable for both, what `pack` wrote would be written over by its signature.
                        ("pack", "to") => "NEXUS_PACK_TO".to_owned(),
                        ("sign", "to") => "NEXUS_SIGN_TO".to_owned(),
                        _ => format!("NEXUS_{}", name.to_uppercase()),
                    };
                    assert_eq!(flag.get_env(), Some(variable.as_ref()), "--{name}");
                }
            }
        }
    }
}
