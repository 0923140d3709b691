//! What an app is: an async function, arguments in, text and an exit code out.

use core::fmt::Display;
use core::future::Future;

use crate::host::{Output, process};

/// Makes an async function the app's entry: `nexus_sdk::main!(run);`
///
/// The function takes nothing and returns `()` or `Result<(), E>` where `E` can be displayed. An error is
/// printed to stderr and the app exits with code 1; for another code see [`exit`]. Tasks that are still
/// running when the function returns end with the app.
///
/// The crate that uses it is a `cdylib` (`[lib] crate-type = ["cdylib"]`, or an example with that type).
///
/// ```no_run
/// use nexus_sdk::svc::net::TcpStream;
///
/// async fn run() -> Result<(), nexus_sdk::Error> {
///     let mut stream = TcpStream::connect("host.internal:7").await?;
///     stream.write_all("hello").await?;
///     stream.finish()?;
///     let answer = stream.read_to_end(64 * 1024).await?;
///     println!("{}", String::from_utf8_lossy(&answer));
///     Ok(())
/// }
///
/// nexus_sdk::main!(run);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! main {
    ($run:path) => {
        #[cfg(target_family = "wasm")]
        #[allow(unsafe_code, reason = "the generated export is an extern function")]
        const _: () = {
            struct App;
            impl $crate::__private::run::exports::wasi::cli::run::Guest for App {
                async fn run() -> ::core::result::Result<(), ()> {
                    $crate::__private::app($run()).await
                }
            }
    $crate::__private::run::export_run!(App with_types_in $crate::__private::run);
        };
        // Natively there is nobody to call it: only checked, so that `cargo check` and `cargo test` work.
        #[cfg(not(target_family = "wasm"))]
        const _: () = {
            #[allow(dead_code, reason = "type-checked only")]
            async fn check() -> ::core::result::Result<(), ()> {
                $crate::__private::app($run()).await
            }
        };
    };
}

/// What an app's entry may return.
pub trait Outcome {
    /// The text of a failure, none for success.
    fn failure(self) -> Option<String>;
}

impl Outcome for () {
    fn failure(self) -> Option<String> {
        None
    }
}

impl<E: Display> Outcome for Result<(), E> {
    fn failure(self) -> Option<String> {
        self.err().map(|error| error.to_string())
    }
}

/// The whole of an app: what it runs, beside what that spawns.
#[doc(hidden)]
pub async fn app<O: Outcome>(run: impl Future<Output = O>) -> Result<(), ()> {
    crate::task::with_spawned(async { finish(run.await).await }).await
}

async fn finish(outcome: impl Outcome) -> Result<(), ()> {
    process::flush();
    match outcome.failure() {
        None => Ok(()),
        Some(text) => {
            eprint(&format!("error: {text}\n")).await;
            Err(())
        }
    }
}

/// The arguments from the command line, without the app's own name.
///
/// The same on both targets; where there is a `std` for it (`wasm32-wasip2`), `std::env::args` works too.
pub fn args() -> Vec<String> {
    process::arguments()
}

/// Ends the app at once with this exit code. What was written and not yet delivered is delivered in the
/// background, as after dropping a connection.
pub fn exit(code: u8) -> ! {
    // An unfinished line, too: a `cdylib` has no `main` whose end would write it out.
    process::flush();
    process::exit(code)
}

/// Prints `text` to stdout. For `wasm32-unknown-unknown`, where `println!` prints nowhere; elsewhere the same
/// as `print!`. A closed stdout is not an error.
pub async fn print(text: &str) {
    let _ = print_bytes(text.as_bytes()).await;
}

/// Writes `bytes` to stdout as they are, and tells if that is closed or full: for what need not be text.
pub async fn print_bytes(bytes: &[u8]) -> std::io::Result<()> {
    process::write(Output::Stdout, bytes).await
}

/// Prints `text` to stderr; see [`print()`].
pub async fn eprint(text: &str) {
    let _ = process::write(Output::Stderr, text.as_bytes()).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outcome_is_nothing_or_a_displayed_error() {
        assert_eq!(().failure(), None);
        assert_eq!(Ok::<(), String>(()).failure(), None);
        assert_eq!(
            Err::<(), _>("no page").failure().as_deref(),
            Some("no page")
        );
    }
}
