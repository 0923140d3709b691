//! Where the numbers are: written by who counts, read by who tells. Nobody holds it longer than a copy takes.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::metrics::{Metric, Metrics};

/// The numbers of a process.
#[derive(Default)]
pub(super) struct Board(Mutex<Metrics>);

impl Board {
    fn lock(&self) -> MutexGuard<'_, Metrics> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, metric: Metric, labels: &[&str], more: u64) {
        self.lock().add(metric, labels, more);
    }

    pub(super) fn set(&self, metric: Metric, labels: &[&str], value: u64) {
        self.lock().set(metric, labels, value);
    }

    /// A copy. What only the log knows is in it.
    pub(super) fn read(&self) -> Metrics {
        let mut metrics = self.lock().clone();
        metrics.set(
            Metric::LogLinesDropped,
            &[],
            crate::observe::log::lines_dropped(),
        );
        metrics
    }

    #[cfg(test)]
    pub(super) fn get(&self, metric: Metric, labels: &[&str]) -> u64 {
        let labels: Vec<_> = labels.iter().map(|label| (*label).to_owned()).collect();
        let metrics = self.lock();
        let mut all = metrics.all();
        all.find(|(found, _)| *found == metric)
            .and_then(|(_, series)| series.get(&labels).copied())
            .unwrap_or(0)
    }
}
