//! What a node has to tell its owner: for the terminal, the report and the audit.

use nexus_policy::Denial;
use nexus_types::InstanceId;

/// Something the operator may want to know.
#[derive(Debug)]
pub enum Event {
    /// An app was refused an act.
    Denied {
        /// Whose act.
        instance: InstanceId,
        /// What, and why.
        denial: Denial,
    },
    /// An act happened that would have been refused, were it not for `--mode`.
    Observed {
        /// Whose act.
        instance: InstanceId,
        /// What it would have been refused for.
        denial: Denial,
    },
}
