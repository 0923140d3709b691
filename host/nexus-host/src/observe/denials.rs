//! Refusals as they happen: each told once, repeated ones counted.

use std::collections::BTreeMap;

use nexus_caps::Shard;
use nexus_node::Event;
use nexus_policy::{AppIdentity, Denial, render};
use nexus_types::{Duration, InstanceId, Instant};
use serde_json::{Value, json};

use crate::runtime::stdio::say;

/// A refusal of the same app, capability and target is told again only after this long.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Refusals told apart. Stops an app that tries every address there is from filling the host's
/// memory and the operator's terminal; the rest is counted together.
const TOLD_APART: usize = 1_024;

/// What was refused.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Key {
    instance: InstanceId,
    capability: &'static str,
    target: String,
    reason: &'static str,
}

#[derive(Debug)]
struct Seen {
    count: u64,
    told: Instant,
    /// Not told since.
    silent: u64,
}

/// Every refusal of a run.
#[derive(Debug, Default)]
pub struct Denials {
    apps: BTreeMap<InstanceId, AppIdentity>,
    seen: BTreeMap<Key, Seen>,
    others: u64,
    /// Nothing is written, only counted.
    quiet: bool,
}

impl Denials {
    /// None yet. `quiet` counts without telling.
    pub fn new(quiet: bool) -> Self {
        Self {
            quiet,
            ..Self::default()
        }
    }

    /// From now on refusals of this instance are told with this name.
    pub fn name(&mut self, instance: InstanceId, app: AppIdentity) {
        self.apps.insert(instance, app);
    }

    /// Takes what the nodes have to tell.
    pub fn collect(&mut self, shard: &Shard) {
        while let Some(event) = shard.enter(|mesh, _| mesh.poll_event()) {
            let (_, Event::Denied { denial, .. }) = event;
            let text = self.record(shard.now(), &denial);
            if let Some(text) = text
                && !self.quiet
            {
                say(&format!("{text}\n"));
            }
        }
    }

    /// Counts one; what is to be told of it, if anything.
    fn record(&mut self, now: Instant, denial: &Denial) -> Option<String> {
        let key = Key {
            instance: denial.instance,
            capability: denial.capability.as_str(),
            target: denial.target.full(),
            reason: denial.reason.as_str(),
        };
        let full = self.seen.len() >= TOLD_APART;
        let before = match self.seen.get_mut(&key) {
            None if full => {
                self.others += 1;
                return None;
            }
            None => {
                let seen = Seen {
                    count: 1,
                    told: now,
                    silent: 0,
                };
                self.seen.insert(key, seen);
                0
            }
            Some(seen) => {
                seen.count += 1;
                if now - seen.told < AGAIN_AFTER {
                    seen.silent += 1;
                    return None;
                }
                seen.told = now;
                std::mem::take(&mut seen.silent)
            }
        };
        let app = self.apps.get(&denial.instance)?;
        let mut text = render(denial, app);
        if before > 0 {
            text.push_str(&format!("\n  and    {before} more since it was last told"));
        }
        Some(text)
    }

    /// What was counted and not told, for the end of a run.
    pub fn tell_rest(&self) {
        if self.quiet {
            return;
        }
        for (key, seen) in &self.seen {
            if seen.silent > 0 {
                say(&format!(
                    "denied  {}  {}  {} more\n",
                    key.capability, key.target, seen.silent
                ));
            }
        }
        if self.others > 0 {
            say(&format!("denied  {} more to other targets\n", self.others));
        }
    }

    /// The refusals of one instance, for its report.
    pub fn of(&self, instance: InstanceId) -> Value {
        self.seen
            .iter()
            .filter(|(key, _)| key.instance == instance)
            .map(|(key, seen)| {
                json!({
                    "capability": key.capability,
                    "target": key.target,
                    "reason": key.reason,
                    "count": seen.count,
                })
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nexus_policy::denial::DeniedTarget;
    use nexus_policy::{Capability, RefusedBy};
    use nexus_types::{AppDigest, Reason};

    const INSTANCE: InstanceId = InstanceId(1);

    fn denials() -> Denials {
        let mut denials = Denials::default();
        let app = AppIdentity {
            id: "app".into(),
            digest: AppDigest([1; 32]),
        };
        denials.name(INSTANCE, app);
        denials
    }

    fn denial(port: u16) -> Denial {
        Denial {
            instance: INSTANCE,
            capability: Capability::NetworkTcpConnect,
            reason: Reason::NotPermitted,
            target: DeniedTarget::Remote {
                remote: ([192, 0, 2, 1], port).into(),
                name: None,
            },
            class: None,
            refused_by: RefusedBy::Default,
            fixes: Vec::new(),
        }
    }

    #[test]
    fn the_same_refusal_is_told_once_in_ten_seconds() {
        let mut denials = denials();
        let at = Instant::from_secs;
        assert!(denials.record(at(0), &denial(80)).is_some());
        assert_eq!(denials.record(at(9), &denial(80)), None);
        assert!(denials.record(at(9), &denial(81)).is_some());
        let again = denials.record(at(10), &denial(80)).expect("told again");
        assert!(again.contains("1 more"), "{again}");
        assert_eq!(denials.of(INSTANCE)[0]["count"], 3);
    }

    #[test]
    fn refusals_past_the_bound_are_counted_together() {
        let mut denials = denials();
        for port in 0..TOLD_APART {
            let port = u16::try_from(port).expect("small");
            assert!(denials.record(Instant::ZERO, &denial(port)).is_some());
        }
        assert_eq!(denials.record(Instant::ZERO, &denial(60_000)), None);
        assert_eq!(denials.others, 1);
        assert_eq!(denials.seen.len(), TOLD_APART);
    }
}
