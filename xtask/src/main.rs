//! `cargo xtask`: everything that is not plain cargo.
//!
//! One file per verb. Every verb does the set-up it needs, says what it is doing and how long that
//! usually takes (on 2 cores), and fails with what to do about it.

mod bench;
mod build;
mod componentize;
mod demo;
mod deny;
mod instructions;
mod peers;
mod polyglot;
mod real;
mod servers;
mod setup;
mod step;
mod test;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::setup::Source;
use crate::workspace::Workspace;

/// Everything in this repository that is not plain cargo.
///
/// On a fresh machine start with `cargo xtask demo` (shows it working) or `cargo xtask test` (checks
/// everything); each does all the set-up it needs.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Make sure this machine can compile guests (the Rust standard library for two wasm targets).
    ///
    /// Tries in this order and stops at the first that works: it is already there; `rustup target
    /// add`; build it from the distribution's packages `rust-src` and `wasi-libc` (Debian and
    /// relatives; nothing is installed, the result goes to target/guest-sysroot). With
    /// NEXUS_GUEST_STD=FILE a ready-made archive (wasm32-*/lib/...) is unpacked instead of the last
    /// two. Does nothing when nothing is missing.
    Setup {
        /// Print the shell lines that let ordinary cargo build guests, for `eval "$(...)"`.
        #[arg(long)]
        print: bool,
        /// Use this way only, and use it even if the library is already there.
        #[arg(long, value_enum, value_name = "WAY")]
        from: Option<Source>,
    },
    /// Build the host (release) and every component, to `target/components/NAME.wasm`.
    Build {
        /// Only the components.
        #[arg(long, conflicts_with = "host")]
        guests: bool,
        /// Only the host.
        #[arg(long)]
        host: bool,
        /// Instead, the components in C, JavaScript and Python (`fetch-c`, `fetch-js`, `fetch-py`), which use
        /// nothing of ours. Their tools are installed into target/tools from PyPI, npm and crates.io, at
        /// the versions pinned beside the sources; that takes 1 GiB there, python3, node and npm.
        #[arg(long, conflicts_with_all = ["guests", "host"])]
        polyglot: bool,
    },
    /// Show it working: four lines, each a real run of the host with real apps.
    Demo,
    /// Check everything: format, lints, docs, all tests, purity of netcore.
    Test {
        /// Only the steps whose name contains this (see the list it prints).
        #[arg(long, value_name = "TEXT")]
        only: Option<String>,
        /// Instead, the tests against real interfaces of the kernel. Needs root: they make network
        /// namespaces of their own and remove them. Programs they need and this machine lacks are
        /// installed from the distribution.
        #[arg(long)]
        real: bool,
    },
    /// Run the benches and write the medians to bench/RESULTS.md.
    Bench {
        /// Instead, whole programs beside what people would otherwise use: `wasmtime run` (installed
        /// into target/tools on first use), and bare smoltcp on a TAP (needs root).
        #[arg(long)]
        peers: bool,
        /// Instead, count the instructions of the packet path and compare them with
        /// bench/instructions.toml (by valgrind, installed from the distribution if it is missing).
        #[arg(long, conflicts_with_all = ["peers", "collect", "filter"])]
        instructions: bool,
        /// Write the counts of --instructions instead of comparing them.
        #[arg(long, requires = "instructions")]
        bless: bool,
        /// Do not run anything; write the table from the measurements that are there.
        #[arg(long)]
        collect: bool,
        /// Only benches whose name contains this (criterion's filter; with --peers: tcp, start or
        /// tap); the rest keep their last measurement.
        filter: Option<String>,
    },
    /// Check licenses, bans, duplicate versions and advisories with cargo-deny.
    ///
    /// Installs cargo-deny into target/tools on first use.
    Deny,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli.verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(verb: Verb) -> anyhow::Result<()> {
    let workspace = Workspace::find()?;
    match verb {
        Verb::Setup { print, from } => {
            let guest_std = setup::ensure(&workspace, from)?;
            if print {
                print!("{}", guest_std.shell_lines()?);
            }
            Ok(())
        }
        Verb::Build { polyglot: true, .. } => polyglot::build(&workspace),
        Verb::Build { guests, host, .. } => {
            if !host {
                build::guests(&workspace)?;
            }
            if !guests {
                build::host(&workspace)?;
            }
            Ok(())
        }
        Verb::Demo => demo::run(&workspace),
        Verb::Test { real: true, only } => real::run_all(&workspace, only.as_deref()),
        Verb::Test { only, .. } => test::run_all(&workspace, only.as_deref()),
        Verb::Bench {
            instructions: true,
            bless,
            ..
        } => instructions::run(&workspace, bless),
        Verb::Bench {
            peers,
            collect,
            filter,
            ..
        } => {
            let request = bench::Request {
                peers,
                collect,
                filter: filter.as_deref(),
            };
            bench::run(&workspace, request)
        }
        Verb::Deny => deny::run_checks(&workspace),
    }
}
