//! What tests on real interfaces stand on: network namespaces, cables between them, frames by hand.
//!
//! ```text
//!   Network::tap    near: nx0 (TAP), the kernel at it with KERNEL_V4 and KERNEL_V6; the test attaches
//!   Network::veth   near: nx0 without an address ---- far: nx1, the kernel there with both addresses
//!   Network::tap_cut, veth_cut   the same with nx2 as the kernel's end; a test joins the two ends
//! ```
//!
//! What holds: a test has the machine to itself ([`alone`]); nothing of this machine's own network is
//! touched; all of it is gone when the test ends, fails or is killed, since a namespace lives only as
//! long as a child that ends with us. Every wait has a deadline.
//!
//! It knows none of our crates, so that what they do is judged from outside. Nothing of it is part of
//! the product; it needs root, iproute2, procps and util-linux: `cargo xtask test --real`.

mod dice;
pub mod frames;
mod namespace;
mod network;

use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use dice::Dice;
pub use namespace::Namespace;
pub use network::{GUEST_V4, GUEST_V6, KERNEL_MAC, KERNEL_V4, KERNEL_V6, Network};

/// How long anything may take before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Lets one test run at a time: two cores are few and figures of time are asserted. And a program
/// that another test starts holds all files of this process for the moment between fork and exec, so
/// a TAP interface that was let go of would stay taken.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    // A test that failed has not broken anything for the next.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Until when something may be waited for.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// One that is that far ahead.
    pub fn after(time: Duration) -> Self {
        Self(Instant::now() + time)
    }

    /// What is left of it; the test fails when nothing is.
    ///
    /// # Panics
    /// When it has passed, saying what was waited for.
    #[track_caller]
    pub fn left(self, what: &str) -> Duration {
        let left = self.0.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "waited too long for {what}");
        left
    }
}

/// What a command prints, run where the calling thread is.
///
/// # Panics
/// When it cannot be run or fails, saying what it said.
#[track_caller]
pub fn output(words: &[&str]) -> String {
    let output = Command::new(words[0])
        .args(&words[1..])
        .output()
        .unwrap_or_else(|error| panic!("{words:?}: {error}"));
    assert!(
        output.status.success(),
        "{words:?} (needs root): {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
