//! What is recorded of a decision, and who records it.
//!
//! The gate hands every decision, allowed or not, to its [`Auditor`] before it answers. An act by a
//! sensitive capability ([`Capability::is_sensitive`]) that cannot be recorded is refused.

use core::fmt;

use nexus_types::{InstanceId, Instant};

use crate::capability::Capability;
use crate::gate::AppIdentity;

/// What was decided, or what happened.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Recorded {
    /// An act was allowed.
    Allow,
    /// An act was refused.
    Deny,
    /// What was open has ended because it is no longer allowed.
    Revoke,
    /// Something that decisions depend on has changed: an app was admitted or has ended, a policy was
    /// read, a person has answered. The reason says which.
    Event,
}

impl Recorded {
    /// The word of the audit log's `verdict`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
            Self::Revoke => "revoke",
            Self::Event => "event",
        }
    }
}

/// One record, as long as it is being written. Every text is built from parsed parts; those that come
/// from an app are the writer's to escape.
#[derive(Clone, Copy)]
pub struct Entry<'a> {
    /// Whose act; none: the host's own.
    pub app: Option<&'a AppIdentity>,
    /// Which run of it.
    pub instance: Option<InstanceId>,
    /// By which capability.
    pub capability: Option<Capability>,
    /// At what: `api.example.com -> 93.184.216.34:443`, `any:8080`, a folder.
    pub target: Option<&'a dyn fmt::Display>,
    /// What was decided.
    pub verdict: Recorded,
    /// The stable reason of a refusal, the word of an event; of an act that `--mode` let pass the reason that would
    /// have refused it; empty where an act was allowed else.
    pub reason: &'a str,
    /// The operator's rule that decided, by its id; none: no rule of the operator did.
    pub rule: Option<&'a str>,
    /// Whose word it was: `policy.toml:3`, `manifest`, `consent`, `--allow`, `--allow-manifest`,
    /// `--mode`, `binding`, `default`, `admission`, `host`, `operator`; of an answer who gave it.
    pub source: &'a dyn fmt::Display,
}

/// A record could not be written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unrecorded;

/// Who keeps records.
pub trait Auditor: Send {
    /// Keeps one. That of a sensitive capability is on its way to the disk when this returns.
    ///
    /// # Errors
    /// It could not be kept; who keeps them counts it.
    fn record(&mut self, now: Instant, entry: &Entry<'_>) -> Result<(), Unrecorded>;
}
