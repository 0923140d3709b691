//! Connections of a scope that no handle holds: those that wait to be accepted, and those that linger.
//!
//! Who owns a scope counts its handles, and cannot count these: they come by packets and go by packets.
//! So the stack counts them, and keeps each kind within what the scope's owner sets. Without that an app that
//! connects, writes and drops in a loop has every connection of the node lingering.

use std::collections::VecDeque;

use nexus_types::Instant;

use super::Stack;
use crate::flow::Owner;
use crate::id::{Key, Scope};

/// How many connections a scope may have that no handle holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ScopeLimits {
    /// Complete connections that wait to be accepted, of all its listeners together. A SYN past it is
    /// dropped, so the peer tries again.
    pub waiting: u32,
    /// Closed connections that are still being delivered. One more resets the oldest.
    pub lingering: u32,
    /// Whether a connection that waits may be accepted now. If not it goes on waiting, and whoever accepts
    /// is woken when it may.
    pub accepting: bool,
}

impl ScopeLimits {
    /// Only the stack's own limits.
    pub const NONE: Self = Self {
        waiting: u32::MAX,
        lingering: u32::MAX,
        accepting: true,
    };
}

/// What a scope has without handles.
#[derive(Debug)]
pub(super) struct Unheld {
    limits: ScopeLimits,
    waiting: u32,
    lingering: u32,
    /// Lingering connections, oldest first; some are gone by now.
    oldest: VecDeque<Key>,
    /// Nobody will set limits or open anything any more.
    ended: bool,
}

impl Unheld {
    const NONE: Self = Self {
        limits: ScopeLimits::NONE,
        waiting: 0,
        lingering: 0,
        oldest: VecDeque::new(),
        ended: false,
    };

    fn is_idle(&self) -> bool {
        let forgettable = self.ended || self.limits == ScopeLimits::NONE;
        forgettable && self.waiting == 0 && self.lingering == 0
    }
}

impl Stack {
    /// Bounds what a scope has without handles, from now until its end and after it.
    pub fn limit_scope(&mut self, scope: Scope, limits: ScopeLimits) {
        let unheld = self.unheld.entry(scope).or_insert(Unheld::NONE);
        let reopened = limits.accepting && !unheld.limits.accepting;
        unheld.limits = limits;
        if reopened {
            self.wake_accepting(scope);
        }
        self.keep_lingering_within(self.now, scope);
    }

    /// Complete connections of the scope's listeners that wait to be accepted.
    pub fn waiting(&self, scope: Scope) -> u32 {
        self.unheld.get(&scope).map_or(0, |unheld| unheld.waiting)
    }

    /// Connections of the scope that were closed and are still being delivered.
    pub fn lingering(&self, scope: Scope) -> u32 {
        self.unheld.get(&scope).map_or(0, |unheld| unheld.lingering)
    }

    /// Whether one more connection may wait to be accepted.
    pub(super) fn may_wait(&self, scope: Scope) -> bool {
        self.unheld
            .get(&scope)
            .is_none_or(|unheld| unheld.waiting < unheld.limits.waiting)
    }

    /// Whether a connection that waits may be accepted.
    pub(super) fn may_accept(&self, scope: Scope) -> bool {
        self.unheld
            .get(&scope)
            .is_none_or(|unheld| unheld.limits.accepting)
    }

    pub(super) fn begin_waiting(&mut self, scope: Scope) {
        self.unheld.entry(scope).or_insert(Unheld::NONE).waiting += 1;
    }

    pub(super) fn end_waiting(&mut self, scope: Scope) {
        self.settle_unheld(scope, |unheld| {
            debug_assert!(unheld.waiting > 0, "counted when it began to wait");
            unheld.waiting = unheld.waiting.saturating_sub(1);
        });
    }

    /// The handle of a connection is gone, or its place in a queue: from here on it only lingers.
    pub(super) fn begin_lingering(&mut self, key: Key, until: Instant) {
        let Some(flow) = self.flows.get_mut(key) else {
            return;
        };
        let (scope, before) = (flow.scope, flow.owner);
        flow.owner = Owner::Lingering(until);
        flow.readers.wake();
        flow.writers.wake();
        let unheld = self.unheld.entry(scope).or_insert(Unheld::NONE);
        match before {
            Owner::Lingering(_) => return,
            Owner::Listener(_) => unheld.waiting = unheld.waiting.saturating_sub(1),
            Owner::App => {}
        }
        unheld.lingering += 1;
        // Those that are gone stay in the queue until they are half of it: each costs one more look, once.
        if unheld.oldest.len() > 2 * unheld.lingering as usize + 16 {
            let flows = &self.flows;
            unheld.oldest.retain(|key| flows.get(*key).is_some());
        }
        unheld.oldest.push_back(key);
    }

    /// A connection that lingered is gone.
    pub(super) fn end_lingering(&mut self, scope: Scope) {
        self.settle_unheld(scope, |unheld| {
            debug_assert!(unheld.lingering > 0, "counted when it began to linger");
            unheld.lingering = unheld.lingering.saturating_sub(1);
        });
    }

    /// Resets the oldest lingering connections beyond the scope's limit.
    pub(super) fn keep_lingering_within(&mut self, now: Instant, scope: Scope) {
        while let Some(unheld) = self.unheld.get_mut(&scope)
            && unheld.lingering > unheld.limits.lingering
            && let Some(oldest) = unheld.oldest.pop_front()
        {
            if self.flows.get(oldest).is_some() {
                self.stats.linger_evicted += 1;
                self.abort_flow(now, oldest);
            }
        }
    }

    /// The owner of a scope is gone: what is left of it is forgotten with its last connection.
    pub(super) fn end_unheld(&mut self, scope: Scope) {
        self.settle_unheld(scope, |unheld| unheld.ended = true);
    }

    fn settle_unheld(&mut self, scope: Scope, change: impl FnOnce(&mut Unheld)) {
        if let Some(unheld) = self.unheld.get_mut(&scope) {
            change(unheld);
            if unheld.is_idle() {
                self.unheld.remove(&scope);
            }
        }
    }
}
