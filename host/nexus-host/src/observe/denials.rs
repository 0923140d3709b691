//! Refusals as they happen: each told once, repeated ones counted.

use std::collections::BTreeMap;

use nexus_caps::Shard;
use nexus_node::Event;
use nexus_policy::{AppIdentity, Denial, render, render_observed};
use nexus_types::{Duration, InstanceId, Instant};
use serde_json::{Value, json};

use crate::runtime::stdio::Output;

/// A refusal of the same app, capability and target is told again only after this long.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Refusals of one instance that are told apart. Stops an app that tries every address there is from
/// filling the host's memory (a few hundred bytes each, less than what the app itself may have) and
/// the operator's terminal; the rest is counted together. Of each instance, so that none can use up
/// what the others are told by.
const TOLD_APART: usize = 1_024;

/// The longest refusal there is, and room to spare. One that might not fit what waits to be
/// written is counted instead. Stops an app whose refusals nobody reads (a terminal that is held,
/// a full pipe) from stopping the thread that tells them, and with it every app.
const LINE_BYTES: usize = 8 << 10;

/// What was refused.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Key {
    capability: &'static str,
    target: String,
    reason: &'static str,
    /// Whether `--mode` let it pass.
    passed: bool,
}

#[derive(Debug)]
struct Seen {
    count: u64,
    /// When it was told last, if it was.
    told: Option<Instant>,
    /// Not told since.
    silent: u64,
}

/// The refusals of one instance.
#[derive(Default)]
struct OfInstance {
    /// As whose they are told; none: they are only counted.
    app: Option<AppIdentity>,
    seen: BTreeMap<Key, Seen>,
    /// Those past [`TOLD_APART`].
    denied_others: u64,
    /// The same, that `--mode` let pass.
    passed_others: u64,
}

/// Every refusal of a run.
#[derive(Default)]
pub struct Denials {
    instances: BTreeMap<InstanceId, OfInstance>,
    /// Where they are told; none: they are only counted.
    told: Option<Output>,
}

impl Denials {
    /// None yet; where they are told. Without, they are only counted.
    pub fn new(told: Option<Output>) -> Self {
        Self {
            instances: BTreeMap::new(),
            told,
        }
    }

    /// From now on refusals of this instance are told with this name.
    pub fn name(&mut self, instance: InstanceId, app: AppIdentity) {
        self.instances.entry(instance).or_default().app = Some(app);
    }

    /// Takes what the nodes have to tell.
    pub fn collect(&mut self, shard: &Shard) {
        while let Some((_, event)) = shard.enter(|mesh, _| mesh.poll_event()) {
            self.take(shard.now(), event);
        }
    }

    /// Takes one thing a node has to tell.
    pub fn take(&mut self, now: Instant, event: Event) {
        let (denial, passed) = match event {
            Event::Denied { denial, .. } => (denial, false),
            Event::Observed { denial, .. } => (denial, true),
        };
        let room = self
            .told
            .as_ref()
            .is_some_and(|told| told.has_room(LINE_BYTES));
        let text = self.record(now, &denial, passed, room);
        if let (Some(text), Some(told)) = (text, &self.told) {
            told.say(&format!("{text}\n"));
        }
    }

    /// Counts one; what is to be told of it, if anything is and there is room to tell it.
    fn record(
        &mut self,
        now: Instant,
        denial: &Denial,
        passed: bool,
        room: bool,
    ) -> Option<String> {
        let of = self.instances.entry(denial.instance).or_default();
        let key = Key {
            capability: denial.capability.as_str(),
            target: denial.target.full(),
            reason: denial.reason.as_str(),
            passed,
        };
        let full = of.seen.len() >= TOLD_APART;
        let before = match of.seen.get_mut(&key) {
            None if full => {
                if passed {
                    of.passed_others += 1;
                } else {
                    of.denied_others += 1;
                }
                return None;
            }
            None => {
                let seen = Seen {
                    count: 1,
                    told: room.then_some(now),
                    silent: u64::from(!room),
                };
                of.seen.insert(key, seen);
                if !room {
                    return None;
                }
                0
            }
            Some(seen) => {
                seen.count += 1;
                if !room || seen.told.is_some_and(|told| now - told < AGAIN_AFTER) {
                    seen.silent += 1;
                    return None;
                }
                seen.told = Some(now);
                std::mem::take(&mut seen.silent)
            }
        };
        let app = of.app.as_ref()?;
        let mut text = if passed {
            render_observed(denial, app)
        } else {
            render(denial, app)
        };
        if before > 0 {
            text.push_str(&format!("\n  and    {before} more since it was last told"));
        }
        Some(text)
    }

    /// What was counted and not told, for the end of a run.
    pub fn rest(&self) -> String {
        let mut rest = String::new();
        if self.told.is_none() {
            return rest;
        }
        let (mut denied_others, mut passed_others) = (0, 0);
        for of in self.instances.values() {
            for (key, seen) in &of.seen {
                if seen.silent > 0 {
                    let word = if key.passed { "passed" } else { "denied" };
                    rest.push_str(&format!(
                        "{word}  {}  {}  {} more\n",
                        key.capability, key.target, seen.silent
                    ));
                }
            }
            denied_others += of.denied_others;
            passed_others += of.passed_others;
        }
        for (word, others) in [("denied", denied_others), ("passed", passed_others)] {
            if others > 0 {
                rest.push_str(&format!("{word}  {others} more to other targets\n"));
            }
        }
        rest
    }

    /// Refusals of one instance that [`Denials::of`] does not list, because there were too many.
    pub fn others(&self, instance: InstanceId) -> u64 {
        self.instances
            .get(&instance)
            .map_or(0, |of| of.denied_others)
    }

    /// What `--mode` let pass of one instance that [`Denials::passed`] does not list.
    pub fn passed_others(&self, instance: InstanceId) -> u64 {
        self.instances
            .get(&instance)
            .map_or(0, |of| of.passed_others)
    }

    /// The refusals of one instance, for its report.
    pub fn of(&self, instance: InstanceId) -> Value {
        self.listed(instance, false)
    }

    /// What `--mode` let pass of one instance, for its report.
    pub fn passed(&self, instance: InstanceId) -> Value {
        self.listed(instance, true)
    }

    fn listed(&self, instance: InstanceId, passed: bool) -> Value {
        let of = self.instances.get(&instance);
        of.into_iter()
            .flat_map(|of| &of.seen)
            .filter(|(key, _)| key.passed == passed)
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
            publisher: None,
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
        assert!(denials.record(at(0), &denial(80), false, true).is_some());
        assert_eq!(denials.record(at(9), &denial(80), false, true), None);
        assert!(denials.record(at(9), &denial(81), false, true).is_some());
        let again = denials
            .record(at(10), &denial(80), false, true)
            .expect("told again");
        assert!(again.contains("1 more"), "{again}");
        assert_eq!(denials.of(INSTANCE)[0]["count"], 3);
    }

    #[test]
    fn what_has_no_room_is_counted_and_told_when_there_is_some() {
        let mut denials = denials();
        let at = Instant::from_secs;
        for _ in 0..3 {
            assert_eq!(denials.record(at(0), &denial(80), false, false), None);
        }
        let told = denials
            .record(at(1), &denial(80), false, true)
            .expect("told");
        assert!(told.contains("3 more"), "{told}");
        assert_eq!(denials.record(at(2), &denial(80), false, true), None);
        assert_eq!(denials.of(INSTANCE)[0]["count"], 5);
    }

    #[test]
    fn refusals_past_the_bound_are_counted_together() {
        let mut denials = denials();
        for port in 0..TOLD_APART {
            let port = u16::try_from(port).expect("small");
            assert!(
                denials
                    .record(Instant::ZERO, &denial(port), false, true)
                    .is_some()
            );
        }
        assert_eq!(
            denials.record(Instant::ZERO, &denial(60_000), false, true),
            None
        );
        assert_eq!(denials.others(INSTANCE), 1);
        assert_eq!(
            denials.record(Instant::ZERO, &denial(60_000), true, true),
            None
        );
        assert_eq!(denials.passed_others(INSTANCE), 1);
        assert_eq!(denials.others(INSTANCE), 1);
        assert_eq!(denials.instances[&INSTANCE].seen.len(), TOLD_APART);
    }

    /// Goal: an app that is refused without end does not silence another. Method: one has used up what
    /// is told apart of it before the other is refused for the first time, and again much later.
    #[test]
    fn a_noisy_app_silences_no_other() {
        const VICTIM: InstanceId = InstanceId(2);
        let mut denials = denials();
        let app = AppIdentity {
            id: "victim".into(),
            digest: AppDigest([2; 32]),
            publisher: None,
        };
        denials.name(VICTIM, app);
        for port in 0..=TOLD_APART {
            let port = u16::try_from(port).expect("small");
            let _ = denials.record(Instant::ZERO, &denial(port), false, true);
        }
        let of_victim = Denial {
            instance: VICTIM,
            ..denial(60_000)
        };
        for second in [0, 3_600] {
            let now = Instant::from_secs(second);
            let told = denials.record(now, &of_victim, false, true).expect("told");
            assert!(told.contains("victim"), "{told}");
        }
        assert_eq!(denials.of(VICTIM)[0]["count"], 2);
        assert_eq!(denials.others(VICTIM), 0);
        assert_eq!(denials.others(INSTANCE), 1);
    }
}
