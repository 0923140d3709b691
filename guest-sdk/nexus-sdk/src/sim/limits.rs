//! What a world may grow to, and what it keeps. Nothing here stops a stranger: it stops a test from taking the
//! machine it runs on. What the apps may hold is limited as in production, by their manifests and the stack.

use core::time::Duration;

/// Bytes kept of each of an app's two outputs. Stops an app that writes without end from filling memory; it is not
/// told, and [`App::unkept`](super::App::unkept) counts what it wrote beyond.
pub const OUTPUT_BYTES_MAX: usize = 256 << 10;

/// Refusals kept of one app; the first say what is wrong.
pub const DENIALS_MAX: usize = 64;

/// Nodes of a world: each knows all others by name.
pub const NODES_MAX: usize = 1_024;

/// Apps of one node.
pub const APPS_MAX: usize = 1_024;

/// Turns of a node's apps at one instant; then a [`SLICE`] of time passes all the same. Stops two apps that wake
/// each other without end from stopping the world.
pub const TURNS_MAX: u32 = 10_000;

/// What a turn takes of its node's time in which an app gave way although it could go on. Time passes for an app that
/// yields in a loop until its clock has moved.
pub const SLICE: Duration = Duration::from_micros(100);
