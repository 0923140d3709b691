//! What there is below the SDK: the imports of a component, or natively what stands in for them.
//!
//! All of the SDK calls the host through this module and nothing else: what is below is told apart here.

/// A component: the generated imports.
#[cfg(target_family = "wasm")]
mod guest;
#[cfg(target_family = "wasm")]
pub(crate) use guest::*;

/// Natively: compiled, and of no use.
#[cfg(not(target_family = "wasm"))]
mod none;
#[cfg(not(target_family = "wasm"))]
pub(crate) use none::*;

/// Arguments, output and the exit where they are those of a process.
pub(crate) mod process;

/// Where text goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Output {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}
