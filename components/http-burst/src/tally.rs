//! What came of the requests.

use std::time::Duration;

/// Buckets of one microsecond; what takes longer is in the last.
const BUCKETS: usize = 100_000;

/// Requests, and how long they took.
pub(crate) struct Tally {
    done: u64,
    failed: u64,
    bytes: u64,
    time: Duration,
    buckets: Vec<u32>,
    /// Why the last of those failed that did.
    why: Option<String>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            done: 0,
            failed: 0,
            bytes: 0,
            time: Duration::ZERO,
            buckets: vec![0; BUCKETS],
            why: None,
        }
    }
}

impl Tally {
    /// A response of so many bytes was read to its end.
    #[cfg_attr(
        not(target_family = "wasm"),
        allow(dead_code, reason = "only a host sends")
    )]
    pub(crate) fn add(&mut self, bytes: u64, took: Duration) {
        let bucket = usize::try_from(took.as_micros()).unwrap_or(usize::MAX);
        self.buckets[bucket.min(BUCKETS - 1)] += 1;
        self.done += 1;
        self.bytes += bytes;
    }

    pub(crate) fn fail(&mut self, why: String) {
        self.failed += 1;
        self.why = Some(why);
    }

    /// How long it all took.
    #[cfg_attr(
        not(target_family = "wasm"),
        allow(dead_code, reason = "only a host sends")
    )]
    pub(crate) fn end(&mut self, time: Duration) {
        self.time = time;
    }

    /// Every request was answered.
    pub(crate) fn is_good(&self) -> bool {
        self.failed == 0
    }

    /// The microseconds within which this part of all were answered.
    fn quantile(&self, part: f64) -> usize {
        let wanted = (self.done as f64 * part).ceil() as u64;
        let mut seen = 0;
        let within = self.buckets.iter().position(|count| {
            seen += u64::from(*count);
            seen >= wanted
        });
        within.unwrap_or(0)
    }

    /// As one line of JSON.
    pub(crate) fn line(&self) -> String {
        let seconds = self.time.as_secs_f64().max(1e-9);
        format!(
            "{{\"requests\": {}, \"failed\": {}, \"bytes\": {}, \"seconds\": {seconds:.3}, \"per_s\": {:.1}, \
             \"gbit_per_s\": {:.3}, \"p50_us\": {}, \"p99_us\": {}, \"why\": {:?}}}",
            self.done,
            self.failed,
            self.bytes,
            self.done as f64 / seconds,
            self.bytes as f64 * 8.0 / seconds / 1e9,
            self.quantile(0.5),
            self.quantile(0.99),
            self.why.as_deref().unwrap_or_default(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_and_the_slowest_are_told() {
        let mut tally = Tally::default();
        for micros in 1..=100 {
            tally.add(10, Duration::from_micros(micros));
        }
        tally.end(Duration::from_secs(1));
        assert_eq!(tally.quantile(0.5), 50);
        assert_eq!(tally.quantile(0.99), 99);
        assert!(tally.is_good());
        tally.add(0, Duration::from_secs(5));
        assert_eq!(tally.quantile(1.0), BUCKETS - 1);
        tally.fail("gone".into());
        assert!(!tally.is_good());
        let line = tally.line();
        assert!(line.contains("\"requests\": 101, \"failed\": 1, \"bytes\": 1000"));
        assert!(line.contains("\"why\": \"gone\""));
    }
}
