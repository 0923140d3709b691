//! What two policies say apps may use at most.

use nexus_types::Duration;
use nexus_types::limits as bounds;
use serde::Serialize;

use super::Effect;
use crate::limits::{self, LimitsAsked};

/// One limit that differs.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct LimitChange {
    /// The key of `[limits]`.
    pub key: &'static str,
    /// The most an app may ask for under the first policy.
    pub old: String,
    /// Under the second.
    pub new: String,
    /// Which way that goes.
    pub effect: Effect,
}

/// All that differ. A policy that says nothing leaves the host's own bound.
pub(super) fn changes(old: &LimitsAsked, new: &LimitsAsked) -> Vec<LimitChange> {
    type Key = (&'static str, fn(&LimitsAsked) -> u64);
    const KEYS: [Key; 5] = [
        ("memory", |l| l.memory.unwrap_or(bounds::MEMORY_BYTES_CAP)),
        ("sockets", |l| l.sockets.unwrap_or(bounds::SOCKETS).into()),
        ("handles", |l| l.handles.unwrap_or(bounds::HANDLES).into()),
        ("bytes-in-flight", |l| {
            l.bytes_in_flight.unwrap_or(bounds::BYTES_IN_FLIGHT)
        }),
        ("timeout", |l| l.timeout.map_or(u64::MAX, millis)),
    ];
    let differing = KEYS.into_iter().filter_map(|(key, of)| {
        let (before, after) = (of(old), of(new));
        let effect = match after.cmp(&before) {
            core::cmp::Ordering::Equal => return None,
            core::cmp::Ordering::Greater => Effect::Wider,
            core::cmp::Ordering::Less => Effect::Narrower,
        };
        Some(LimitChange {
            key,
            old: show(key, before),
            new: show(key, after),
            effect,
        })
    });
    differing.collect()
}

fn millis(timeout: Duration) -> u64 {
    u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX)
}

fn show(key: &'static str, value: u64) -> String {
    match (key, value) {
        ("timeout", u64::MAX) => "no deadline".to_owned(),
        _ => limits::show(key, value),
    }
}
