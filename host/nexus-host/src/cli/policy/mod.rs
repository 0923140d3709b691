//! `nexus-host policy`: questions to the operator's files.

mod check;
mod diff;
mod question;
mod reload;
mod schema;

use clap::{Args, Subcommand};

use super::{CliError, Output};

#[derive(Args)]
#[command(disable_help_subcommand = true)]
pub(super) struct PolicyArgs {
    #[command(subcommand)]
    verb: PolicyVerb,
}

#[derive(Subcommand)]
enum PolicyVerb {
    /// Say whether an app may do something, and who says so, without running anything
    Check(Box<check::PolicyCheckArgs>),
    /// Say what a second policy allows that the first does not, and the reverse
    Diff(diff::PolicyDiffArgs),
    /// Have running hosts read the operator's files anew
    Reload(reload::PolicyReloadArgs),
    /// Print the JSON schema of policy.toml or nexus.toml, for editors and scripts
    Schema(schema::SchemaArgs),
}

pub(super) fn policy(args: &PolicyArgs) -> (Output, Result<u8, CliError>) {
    match &args.verb {
        PolicyVerb::Check(args) => (args.common.output, check::check(args)),
        PolicyVerb::Diff(args) => (args.common.output, diff::diff(args)),
        PolicyVerb::Reload(args) => (args.common.output, reload::reload(args)),
        PolicyVerb::Schema(args) => (args.common.output, schema::schema(args)),
    }
}
