//! Prints what the library says.

use std::io::Write as _;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    // `print!` would panic on a closed stdout; a pipe that nobody reads is no fault of ours.
    match std::io::stdout().write_all(hello::greeting(&args).as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
