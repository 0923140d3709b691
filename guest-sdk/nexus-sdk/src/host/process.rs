//! Arguments, output and the exit of a process: `std`'s, where that knows them.
//!
//! On `wasm32-unknown-unknown` it knows none of them: there they are imports.

use std::io;

use super::Output;

/// Whether `std` has no arguments, output and exit.
macro_rules! bare {
    ($($item:item)*) => { $(#[cfg(all(target_family = "wasm", not(target_os = "wasi")))] $item)* };
}

/// The opposite.
macro_rules! with_std {
    ($($item:item)*) => { $(#[cfg(not(all(target_family = "wasm", not(target_os = "wasi"))))] $item)* };
}

bare! {
    pub(crate) fn arguments() -> Vec<String> {
        let all = crate::bindings::wasi::cli::environment::get_arguments();
        all.into_iter().skip(1).collect()
    }

    pub(crate) fn flush() {}

    pub(crate) async fn write(output: Output, bytes: &[u8]) -> io::Result<()> {
        use crate::bindings::wasi::cli::{stderr, stdout};
        match output {
            Output::Stdout => copy(bytes, stdout::write_via_stream).await,
            Output::Stderr => copy(bytes, stderr::write_via_stream).await,
        }
    }

    async fn copy<E: 'static>(
        bytes: &[u8],
        open: impl FnOnce(wit_bindgen::StreamReader<u8>) -> wit_bindgen::FutureReader<Result<(), E>>,
    ) -> io::Result<()> {
        let (mut writer, reader) = crate::bindings::wit_stream::new();
        let end = open(reader);
        writer.write_all(bytes.to_vec()).await;
        drop(writer);
        // Waited for, so that two writes come out in their order.
        end.await.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

with_std! {
    pub(crate) fn arguments() -> Vec<String> {
        std::env::args().skip(1).collect()
    }

    pub(crate) fn flush() {
        let _ = io::Write::flush(&mut io::stdout());
    }

    pub(crate) async fn write(output: Output, bytes: &[u8]) -> io::Result<()> {
        use io::Write as _;
        match output {
            Output::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes)?;
                stdout.flush()
            }
            Output::Stderr => io::stderr().lock().write_all(bytes),
        }
    }
}

pub(crate) fn exit(code: u8) -> ! {
    #[cfg(target_family = "wasm")]
    {
        crate::bindings::wasi::cli::exit::exit_with_code(code);
        unreachable!("exit does not return")
    }
    #[cfg(not(target_family = "wasm"))]
    std::process::exit(code.into())
}

/// Whether somebody may spawn: whoever can call it is the app.
pub(crate) fn check_spawn() {}
