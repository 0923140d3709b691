//! What went against a peer's script: kept for whoever runs the world, and noted in the trace.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::limits;
use crate::machine::Note;
use crate::station::Turn;

#[derive(Debug, Default)]
struct Kept {
    failures: Vec<String>,
    count: u64,
    /// What is waited for now, by who waits; connections are bounded, and so is this.
    expected: BTreeMap<u64, String>,
    waits: u64,
    ended: bool,
}

/// Something is waited for as long as this is held.
#[derive(Debug)]
pub(super) struct Expecting {
    report: Report,
    number: u64,
}

impl Drop for Expecting {
    fn drop(&mut self) {
        self.report.kept().expected.remove(&self.number);
    }
}

/// A handle; clones are the same report. It outlives the machine, so a crash does not take away what was found.
#[derive(Clone, Debug, Default)]
pub struct Report(Arc<Mutex<Kept>>);

impl Report {
    /// Nothing has failed.
    pub fn new() -> Self {
        Self::default()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The first failures, at most [`limits::PEER_FAILURES`], in the order they came.
    pub fn failures(&self) -> Vec<String> {
        self.kept().failures.clone()
    }

    /// How many there were, those that were not kept counted.
    pub fn failure_count(&self) -> u64 {
        self.kept().count
    }

    /// What connections that are open wait for: at the end of a run, what never came.
    pub fn expected(&self) -> Vec<String> {
        self.kept().expected.values().cloned().collect()
    }

    /// Whether a peer that calls has done so, well or not: it has no more to do.
    pub fn has_ended(&self) -> bool {
        self.kept().ended
    }

    pub(super) fn end(&self) {
        self.kept().ended = true;
    }

    /// Something is waited for.
    pub(super) fn expect(&self, text: &str) -> Expecting {
        let mut kept = self.kept();
        kept.waits += 1;
        let number = kept.waits;
        kept.expected.insert(number, clip(text).to_owned());
        Expecting {
            report: self.clone(),
            number,
        }
    }

    /// Something is not as the script has it.
    pub(super) fn fail(&self, turn: &mut Turn<'_>, text: &str) {
        let text = clip(text);
        turn.note(Note::Text(&format!("failure: {text}")));
        self.keep(text);
    }

    fn keep(&self, text: &str) {
        let mut kept = self.kept();
        kept.count += 1;
        if kept.failures.len() < limits::PEER_FAILURES {
            kept.failures.push(text.to_owned());
        }
    }
}

/// As much of a text as is kept.
pub(super) fn clip(text: &str) -> &str {
    &text[..text.floor_char_boundary(limits::PEER_TEXT_BYTES)]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a peer that fails for ever fills no memory, and the count is right. Method: as many failures as are
    /// kept, and one more.
    #[test]
    fn failures_at_and_over_the_limit() {
        let report = Report::new();
        for number in 0..limits::PEER_FAILURES {
            report.keep(&number.to_string());
        }
        assert_eq!(report.failures().len(), limits::PEER_FAILURES);
        report.clone().keep("one more");
        let failures = report.failures();
        assert_eq!(failures.len(), limits::PEER_FAILURES);
        assert_eq!(failures.first().map(String::as_str), Some("0"));
        assert_eq!(report.failure_count(), limits::PEER_FAILURES as u64 + 1);
    }

    /// Goal: a text is cut at the limit and never inside a character. Method: texts of the limit, of one byte more,
    /// and with a character of two bytes across it.
    #[test]
    fn texts_at_and_over_the_limit() {
        let most = "a".repeat(limits::PEER_TEXT_BYTES);
        assert_eq!(clip(&most), most);
        assert_eq!(clip(&format!("{most}b")), most);
        let across = format!("{}\u{e4}", &most[1..]);
        assert_eq!(clip(&across), &most[1..]);
    }
}
