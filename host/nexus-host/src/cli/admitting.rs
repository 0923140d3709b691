//! Whether an app may start, looked at before anything of it has run: first before any port is opened, and again when
//! the host hears of changed files.

use nexus_policy::switch::Site;
use nexus_policy::{Admission, Consent, Gate};
use nexus_types::Instant;

use super::app::Candidate;
use super::recording::Recording;

/// What the gate says; a refusal is recorded.
pub(super) fn look(
    now: Instant,
    gate: &mut Gate,
    recording: &Recording,
    candidate: &Candidate,
    consent: &Consent,
) -> Result<Admission, Box<Admission>> {
    let admission = candidate.examine(gate, consent);
    if admission.admitted || Site::AdmitRun.is_off() {
        return Ok(admission);
    }
    recording.refused(now, gate, &candidate.identity, &admission);
    Err(Box::new(admission))
}
