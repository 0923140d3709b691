//! The sockets by which the operator speaks with running hosts: `STATE/control/PID-RANDOM.sock`.
//!
//! Who may write the socket may ask: it lies in a folder of the user's own (0700), is itself 0600, and the kernel's
//! word on who is at the other end is looked at as well, by both. One line of JSON in, one out, each client within one
//! deadline. A thread of its own takes requests; the shard's thread does what is asked.
//!
//! A process id names a process within one pid namespace, and several may share a state folder: hence the random part.

mod ask;
mod folder;
mod listen;
mod wire;

use serde::{Deserialize, Serialize};

pub use ask::{Asker, Heard};
pub use listen::{Asked, Control};

/// What can be asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "do")]
pub enum Request {
    /// Read the policy and the answers of persons anew.
    ReloadPolicy,
}

/// What is answered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Answer {
    /// Whether it was done.
    pub ok: bool,
    /// What became of it, for people.
    pub text: String,
    /// How many open handles ended.
    #[serde(default)]
    pub ended: u64,
}

#[cfg(test)]
mod tests;
