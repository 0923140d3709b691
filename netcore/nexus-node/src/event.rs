//! What a node has to tell its owner: for the terminal, the report and the audit.

use std::collections::{BTreeMap, VecDeque};

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

impl Event {
    const fn instance(&self) -> InstanceId {
        match self {
            Self::Denied { instance, .. } | Self::Observed { instance, .. } => *instance,
        }
    }
}

/// Events nobody has taken yet; beyond, one is dropped and counted. An app that is refused for ever
/// must not fill the host's memory.
const EVENTS_MAX: usize = 1_024;

/// Events in the order they happened.
///
/// Who has most of them loses its oldest when there is no room: an app that is refused for ever
/// pushes out nobody's but its own.
#[derive(Default)]
pub(crate) struct Events {
    waiting: VecDeque<Event>,
    /// How many of them are whose.
    of: BTreeMap<InstanceId, usize>,
    dropped: u64,
}

impl Events {
    pub(crate) fn push(&mut self, event: Event) {
        if self.waiting.len() == EVENTS_MAX {
            self.drop_one();
        }
        *self.of.entry(event.instance()).or_default() += 1;
        self.waiting.push_back(event);
    }

    fn drop_one(&mut self) {
        let most = self.of.iter().max_by_key(|(_, count)| **count);
        let Some(most) = most.map(|(instance, _)| *instance) else {
            return;
        };
        let mut waiting = self.waiting.iter();
        let oldest = waiting.position(|event| event.instance() == most);
        if oldest.and_then(|at| self.waiting.remove(at)).is_some() {
            self.forget(most);
            self.dropped += 1;
        }
    }

    fn forget(&mut self, instance: InstanceId) {
        if let Some(count) = self.of.get_mut(&instance) {
            *count -= 1;
            if *count == 0 {
                self.of.remove(&instance);
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The oldest.
    pub(crate) fn pop(&mut self) -> Option<Event> {
        let event = self.waiting.pop_front()?;
        self.forget(event.instance());
        Some(event)
    }

    pub(crate) const fn dropped(&self) -> u64 {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use nexus_policy::denial::DeniedTarget;
    use nexus_policy::{Capability, RefusedBy};
    use nexus_types::Reason;

    use super::*;

    fn event(instance: u64, port: usize) -> Event {
        let instance = InstanceId(instance);
        let port = u16::try_from(port).expect("small");
        let denial = Denial {
            instance,
            capability: Capability::NetworkTcpConnect,
            reason: Reason::NotPermitted,
            target: DeniedTarget::Remote {
                remote: ([192, 0, 2, 1], port).into(),
                name: None,
            },
            class: None,
            refused_by: RefusedBy::Default,
            fixes: Vec::new(),
        };
        Event::Denied { instance, denial }
    }

    fn port(event: &Event) -> u16 {
        let (Event::Denied { denial, .. } | Event::Observed { denial, .. }) = event;
        match denial.target {
            DeniedTarget::Remote { remote, .. } => remote.port(),
            _ => 0,
        }
    }

    /// Goal: an app that is refused without end pushes out no other's events, old or new, and what it loses is
    /// counted; the order stays. Method: one event of another first, far too many of the noisy one, another again.
    #[test]
    fn reject_more_of_a_noisy_app_and_keep_the_others() {
        let mut events = Events::default();
        events.push(event(1, 1));
        for number in 0..3 * EVENTS_MAX {
            events.push(event(2, number));
        }
        events.push(event(1, 2));
        assert_eq!(events.dropped(), (2 * EVENTS_MAX + 2) as u64);
        let first = events.pop().expect("the oldest");
        assert_eq!((first.instance(), port(&first)), (InstanceId(1), 1));
        let mut next = 2 * EVENTS_MAX + 2;
        while next < 3 * EVENTS_MAX {
            let event = events.pop().expect("the newest of the noisy one");
            assert_eq!(usize::from(port(&event)), next);
            next += 1;
        }
        let last = events.pop().expect("the newest");
        assert_eq!((last.instance(), port(&last)), (InstanceId(1), 2));
        assert!(events.is_empty() && events.of.is_empty() && events.pop().is_none());
    }
}
