//! What there is below the SDK: the imports of a component, or natively what stands in for them.
//!
//! All of the SDK calls the host through this module and nothing else, so that what a native test runs is the
//! code an app ships: the two are told apart here and not above.

/// A component: the generated imports.
#[cfg(target_family = "wasm")]
mod guest;
#[cfg(target_family = "wasm")]
pub(crate) use guest::*;

/// Natively, in tests of an app: `crate::sim`.
#[cfg(all(feature = "sim", not(target_family = "wasm")))]
pub(crate) use crate::sim::host::*;

/// Natively, without that: compiled, and of no use.
#[cfg(all(not(feature = "sim"), not(target_family = "wasm")))]
mod none;
#[cfg(all(not(feature = "sim"), not(target_family = "wasm")))]
pub(crate) use none::*;

/// Arguments, output and the exit where they are those of a process.
#[cfg(any(not(feature = "sim"), target_family = "wasm"))]
pub(crate) mod process;

/// Where text goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Output {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}
