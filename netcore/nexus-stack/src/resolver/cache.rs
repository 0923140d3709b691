//! Answers kept for their time, per scope.
//!
//! A scope's answers are found, counted and pushed out by that scope alone: what one app asked
//! cannot be told by another from a hit, and not from an eviction either. When the node is full
//! of other scopes' answers, an answer is used and not kept.

use std::collections::BTreeMap;

use nexus_types::{HostName, Instant, IpAddr, limits};

use crate::id::Scope;

/// A name's addresses; none means that it has none.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) until: Instant,
}

#[derive(Debug, Default)]
pub(super) struct Cache {
    entries: BTreeMap<Scope, BTreeMap<HostName, Entry>>,
    names: usize,
}

impl Cache {
    pub(super) fn find(&self, now: Instant, scope: Scope, name: &HostName) -> Option<&Entry> {
        let entry = self.entries.get(&scope)?.get(name)?;
        (entry.until > now).then_some(entry)
    }

    pub(super) fn insert(&mut self, now: Instant, scope: Scope, name: HostName, entry: Entry) {
        self.remove(scope, &name);
        if self.is_full_for(scope) {
            self.drop_expired(now);
        }
        if self.is_full_for(scope) {
            let soonest = self.entries.get(&scope).and_then(|names| {
                names
                    .iter()
                    .min_by_key(|(_, entry)| entry.until)
                    .map(|(name, _)| name.clone())
            });
            let Some(soonest) = soonest else {
                return;
            };
            self.remove(scope, &soonest);
        }
        self.entries.entry(scope).or_default().insert(name, entry);
        self.names += 1;
    }

    pub(super) fn end_scope(&mut self, scope: Scope) {
        if let Some(names) = self.entries.remove(&scope) {
            self.names -= names.len();
        }
    }

    #[cfg(test)]
    pub(super) fn names(&self) -> usize {
        self.names
    }

    fn is_full_for(&self, scope: Scope) -> bool {
        self.names >= limits::DNS_CACHE_NAMES as usize
            || self.entries.get(&scope).map_or(0, BTreeMap::len)
                >= limits::DNS_CACHE_NAMES_SCOPE as usize
    }

    fn remove(&mut self, scope: Scope, name: &HostName) {
        let Some(names) = self.entries.get_mut(&scope) else {
            return;
        };
        if names.remove(name).is_some() {
            self.names -= 1;
        }
        if names.is_empty() {
            self.entries.remove(&scope);
        }
    }

    fn drop_expired(&mut self, now: Instant) {
        self.entries.retain(|_, names| {
            names.retain(|_, entry| entry.until > now);
            !names.is_empty()
        });
        self.names = self.entries.values().map(BTreeMap::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCOPE: u32 = limits::DNS_CACHE_NAMES_SCOPE;
    const NODE: u32 = limits::DNS_CACHE_NAMES;

    fn name(number: u32) -> HostName {
        HostName::parse(&format!("n{number}.example")).unwrap()
    }

    fn until(secs: u64) -> Entry {
        Entry {
            addresses: vec![],
            until: Instant::from_secs(secs),
        }
    }

    fn fill(cache: &mut Cache, scope: Scope, count: u32) {
        for number in 0..count {
            cache.insert(
                Instant::ZERO,
                scope,
                name(number),
                until(100 + u64::from(number)),
            );
        }
    }

    #[test]
    fn an_answer_ends_with_its_time_and_is_its_scopes_alone() {
        let mut cache = Cache::default();
        cache.insert(Instant::ZERO, Scope(1), name(0), until(5));
        assert!(
            cache
                .find(Instant::from_millis(4_999), Scope(1), &name(0))
                .is_some()
        );
        assert!(
            cache
                .find(Instant::from_secs(5), Scope(1), &name(0))
                .is_none()
        );
        assert!(cache.find(Instant::ZERO, Scope(2), &name(0)).is_none());
        cache.insert(Instant::ZERO, Scope(1), name(0), until(9));
        assert_eq!(cache.names(), 1);
        cache.end_scope(Scope(1));
        assert_eq!(cache.names(), 0);
    }

    #[test]
    fn a_scope_at_and_over_its_limit() {
        let mut cache = Cache::default();
        fill(&mut cache, Scope(1), SCOPE);
        assert_eq!(cache.names(), SCOPE as usize);
        cache.insert(Instant::ZERO, Scope(1), name(SCOPE), until(50));
        assert_eq!(cache.names(), SCOPE as usize);
        assert!(
            cache.find(Instant::ZERO, Scope(1), &name(0)).is_none(),
            "ended soonest"
        );
        assert!(cache.find(Instant::ZERO, Scope(1), &name(1)).is_some());
        assert!(cache.find(Instant::ZERO, Scope(1), &name(SCOPE)).is_some());
    }

    #[test]
    fn a_full_node_keeps_every_other_scopes_answers() {
        let mut cache = Cache::default();
        for scope in 0..NODE / SCOPE {
            fill(&mut cache, Scope(scope), SCOPE);
        }
        assert_eq!(cache.names(), NODE as usize);
        let late = Scope(NODE);
        cache.insert(Instant::ZERO, late, name(0), until(500));
        assert_eq!(cache.names(), NODE as usize);
        assert!(cache.find(Instant::ZERO, late, &name(0)).is_none());
        for scope in 0..NODE / SCOPE {
            for number in 0..SCOPE {
                assert!(
                    cache
                        .find(Instant::ZERO, Scope(scope), &name(number))
                        .is_some()
                );
            }
        }
        // What has ended is nobody's.
        let now = Instant::from_secs(100);
        cache.insert(now, late, name(0), until(500));
        assert!(cache.find(now, late, &name(0)).is_some());
        assert_eq!(cache.names(), (NODE - NODE / SCOPE + 1) as usize);
    }
}
