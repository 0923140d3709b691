//! `[node.expect] counters`: what a node's stack counts, and bounds for it.

use std::collections::BTreeMap;
use std::fmt;

use nexus_policy::explain::escape;
use nexus_stack::Stats;
use toml::Spanned;

use super::file;
use crate::cli::world::Checker;

/// A counter of a node's stack, since the node's last boot.
#[derive(Clone, Copy)]
pub(in crate::cli::sim) struct Counter {
    pub(in crate::cli::sim) name: &'static str,
    pub(in crate::cli::sim) read: fn(&Stats) -> u64,
}

impl fmt::Debug for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

macro_rules! counters {
    ($($name:literal $field:ident)*) => {
        /// In the words of [`Stats`].
        const COUNTERS: &[Counter] = &[$(Counter { name: $name, read: |stats| stats.$field.into() }),*];
    };
}

counters! {
    "frames-in" frames_in
    "frames-out" frames_out
    "bytes-in" bytes_in
    "bytes-out" bytes_out
    "loopback" loopback
    "segments-in" segments_in
    "datagrams-in" datagrams_in
    "dropped-malformed" dropped_malformed
    "dropped-checksum" dropped_checksum
    "dropped-address" dropped_address
    "dropped-protocol" dropped_protocol
    "dropped-backlog" dropped_backlog
    "dropped-udp-filter" dropped_udp_filter
    "dropped-udp-queue" dropped_udp_queue
    "dropped-queue" dropped_queue
    "dropped-icmp" dropped_icmp
    "half-open-evicted" half_open_evicted
    "linger-evicted" linger_evicted
    "replies-suppressed" replies_suppressed
    "resets-sent" resets_sent
}

/// What a counter is to be.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::cli::sim) struct Expected {
    least: u64,
    most: u64,
}

impl Expected {
    pub(in crate::cli::sim) fn holds(self, value: u64) -> bool {
        (self.least..=self.most).contains(&value)
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.least, self.most) {
            (least, most) if least == most => write!(f, "{least}"),
            (0, most) => write!(f, "at most {most}"),
            (least, u64::MAX) => write!(f, "at least {least}"),
            (least, most) => write!(f, "{least} to {most}"),
        }
    }
}

impl Checker<'_> {
    pub(super) fn counters(
        &mut self,
        said: &BTreeMap<Spanned<String>, Spanned<file::Bounds>>,
    ) -> Vec<(Counter, Expected)> {
        let mut counters = Vec::new();
        for (name, bounds) in said {
            let counter = COUNTERS.iter().find(|one| one.name == name.get_ref());
            if counter.is_none() {
                let names: Vec<_> = COUNTERS.iter().map(|one| one.name).collect();
                let message = format!(
                    "`{}` is no counter; there are: {}",
                    escape(name.get_ref()),
                    names.join(", ")
                );
                self.problem(name.span(), message);
            }
            let expected = match bounds.get_ref() {
                file::Bounds::Exactly(value) => Expected {
                    least: *value,
                    most: *value,
                },
                file::Bounds::Between(between) => Expected {
                    least: between.at_least.unwrap_or(0),
                    most: between.at_most.unwrap_or(u64::MAX),
                },
            };
            if expected.least > expected.most {
                self.problem(bounds.span(), "no number is that".into());
            }
            counters.extend(counter.map(|counter| (*counter, expected)));
        }
        counters
    }
}
