//! `http-burst URL [--seconds N] [--requests N]`: asks for one URL again and again, one request after another, reads
//! every body to its end, and says how it went in one line of JSON.
//!
//! Over `wasi:http` 0.2 as every host has it, so that hosts can be compared.

mod options;
mod tally;

use std::process::ExitCode;

use options::{Options, USAGE};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let options = match Options::parse(&arguments) {
        Ok(options) => options,
        Err(why) => {
            eprintln!("{why}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let tally = run(&options);
    println!("{}", tally.line());
    if tally.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

#[cfg(not(target_family = "wasm"))]
fn run(_: &Options) -> tally::Tally {
    let mut tally = tally::Tally::default();
    tally.fail("there is no wasi:http outside of a host".into());
    tally
}

#[cfg(target_family = "wasm")]
mod send;
#[cfg(target_family = "wasm")]
use send::run;
