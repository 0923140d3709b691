//! What two policies say apps may use at most.

use serde::Serialize;

use super::Effect;
use crate::limits::{KEYS, LimitsAsked};

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
    let differing = KEYS.into_iter().filter_map(|key| {
        let of = |policy| (key.asked)(policy).or(key.most).unwrap_or(u64::MAX);
        let (before, after) = (of(old), of(new));
        let effect = match after.cmp(&before) {
            core::cmp::Ordering::Equal => return None,
            core::cmp::Ordering::Greater => Effect::Wider,
            core::cmp::Ordering::Less => Effect::Narrower,
        };
        let show = |value: u64| match (key.most, value) {
            (None, u64::MAX) => "no deadline".to_owned(),
            _ => key.show(value),
        };
        Some(LimitChange {
            key: key.name,
            old: show(before),
            new: show(after),
            effect,
        })
    });
    differing.collect()
}
