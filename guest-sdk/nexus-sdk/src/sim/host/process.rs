//! `wasi:cli`: the arguments, the output and the exit of an app that is a part of the test's process.

use std::io::{self, Write as _};
use std::panic::resume_unwind;

use super::super::caller::Caller;
use crate::host::Output;

/// What unwinds an app that has called `exit`, up to its machine. No panic: no hook hears of it.
pub(in crate::sim) struct Exit(pub(in crate::sim) u8);

pub(crate) fn arguments() -> Vec<String> {
    Caller::current("args").arguments.clone()
}

pub(crate) fn exit(code: u8) -> ! {
    // Outside of an app it would end the test's process, and the tests that had not run would count as passed.
    let _ = Caller::current("exit");
    resume_unwind(Box::new(Exit(code)))
}

pub(crate) fn flush() {
    let _ = io::stdout().flush();
}

/// Kept for the test; outside of an app, printed as the test's own output.
pub(crate) async fn write(output: Output, bytes: &[u8]) -> io::Result<()> {
    match (Caller::current_if_any(), output) {
        (Some(caller), _) => caller.write(output, bytes),
        (None, Output::Stdout) => print!("{}", String::from_utf8_lossy(bytes)),
        (None, Output::Stderr) => eprint!("{}", String::from_utf8_lossy(bytes)),
    }
    Ok(())
}

/// That who spawns is an app: else its task would become the next one's.
#[track_caller]
pub(crate) fn check_spawn() {
    let _ = Caller::current("spawn");
}
