//! Who answers questions for a person: somebody at a terminal, a script, or nobody.

use std::collections::VecDeque;
use std::path::Path;
use std::time::{Duration, Instant};

use nexus_policy::admission::Question;
use nexus_policy::{AnsweredBy, Capability, Lifetime, Rule};
use nexus_types::{AppDigest, limits};

use crate::cli::CliError;

/// The questions of one app, put together, with what the host knows of it.
pub(in crate::cli) struct Ask<'a> {
    /// The file it was read from.
    pub(in crate::cli) file: &'a Path,
    pub(in crate::cli) digest: AppDigest,
    /// Who signed it, in words of the host's.
    pub(in crate::cli) signed: &'a str,
    /// What it calls itself, and which version: its own words.
    pub(in crate::cli) claims: Option<(&'a str, Option<&'a str>)>,
    pub(in crate::cli) questions: &'a [Question],
    /// Which lifetimes there are beside [`Lifetime::Once`].
    pub(in crate::cli) offers: Offers,
    /// Why there are no others, where an answer cannot be kept.
    pub(in crate::cli) unkept: Option<&'a str>,
}

/// How long an answer can be remembered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::cli) struct Offers {
    /// Until the machine starts anew: it is known which start this is.
    pub(in crate::cli) session: bool,
    /// There is a file for them.
    pub(in crate::cli) always: bool,
}

/// What was said to one question.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::cli) enum Said {
    Yes(Lifetime),
    No(Lifetime),
    /// No, and to all that this process would ask after it.
    NoToAll,
    /// No answer: it stays a question, and is not allowed.
    Nothing,
}

/// Who is asked.
///
/// `run` and `up` ask before the first app starts, so nothing else writes to the terminal. An act that is
/// asked about when it is done (a pairing, the offer of a share) is asked while apps run: whoever asks then
/// keeps what apps write from the terminal until `ask` returns, and does not call it on a shard's thread,
/// which it would hold up.
pub(in crate::cli) trait ConsentAgent {
    /// Who that is, for the record.
    fn by(&self) -> AnsweredBy;

    /// Asks: one answer a question, in their order. What is missing is no answer.
    ///
    /// # Errors
    /// It cannot be asked; nothing is allowed.
    fn ask(&mut self, ask: &Ask<'_>) -> Result<Vec<Said>, CliError>;

    /// Tells who was asked what came of it.
    fn tell(&mut self, text: &str);
}

/// Most times one app is asked about in [`PERIOD`], by one process. Stops whoever can start apps from wearing
/// a person down.
pub(in crate::cli) const ASKED_MAX: usize = limits::CONSENT_ASKED;
const PERIOD: Duration = Duration::from_secs(60);

/// Apps kept in mind for that; of more, the oldest is forgotten.
const APPS_MAX: usize = 1_024;

/// When each app was asked about.
#[derive(Default)]
pub(in crate::cli) struct Rate(VecDeque<(AppDigest, Instant)>);

impl Rate {
    /// Whether this app may be asked about now; if so it counts.
    pub(in crate::cli) fn admits(&mut self, digest: AppDigest, now: Instant) -> bool {
        self.0
            .retain(|(_, at)| now.saturating_duration_since(*at) < PERIOD);
        if self.0.iter().filter(|(of, _)| *of == digest).count() >= ASKED_MAX {
            return false;
        }
        if self.0.len() >= ASKED_MAX * APPS_MAX {
            self.0.pop_front();
        }
        self.0.push_back((digest, now));
        true
    }
}

/// What a scenario says a person would answer; it says that it is no person.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::cli) struct Script {
    /// To what the list does not name.
    pub(in crate::cli) rest: Option<bool>,
    pub(in crate::cli) answers: Vec<(Capability, Rule, bool)>,
    /// What it said, in words.
    pub(in crate::cli) notes: Vec<String>,
}

impl ConsentAgent for Script {
    fn by(&self) -> AnsweredBy {
        AnsweredBy::Script
    }

    fn ask(&mut self, ask: &Ask<'_>) -> Result<Vec<Said>, CliError> {
        let answer = |question: &Question| {
            let of = |(capability, rule, _): &&(Capability, Rule, bool)| {
                *capability == question.capability && *rule == question.rule
            };
            let known = self.answers.iter().find(of).map(|(.., yes)| *yes);
            match known.or(self.rest) {
                Some(true) => Said::Yes(Lifetime::Once),
                Some(false) => Said::No(Lifetime::Once),
                None => Said::Nothing,
            }
        };
        let said: Vec<_> = ask.questions.iter().map(answer).collect();
        for (question, said) in ask.questions.iter().zip(&said) {
            let word = match said {
                Said::Yes(_) => "yes",
                Said::No(_) | Said::NoToAll => "no",
                Said::Nothing => continue,
            };
            let (capability, rule) = (question.capability, &question.rule);
            self.notes
                .push(format!("script says {word} to {capability} {rule}"));
        }
        Ok(said)
    }

    fn tell(&mut self, _text: &str) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a person is asked about one app so often and not more. Method: at the bound, one more, another
    /// app, and when the time is over.
    #[test]
    fn as_often_as_may_be_and_reject_once_more() {
        let mut rate = Rate::default();
        let (one, other) = (AppDigest([1; 32]), AppDigest([2; 32]));
        let begin = Instant::now();
        for _ in 0..ASKED_MAX {
            assert!(rate.admits(one, begin));
        }
        assert!(!rate.admits(one, begin));
        assert!(rate.admits(other, begin));
        assert!(!rate.admits(one, begin + PERIOD - Duration::from_millis(1)));
        assert!(rate.admits(one, begin + PERIOD));
        for number in 0..=ASKED_MAX * APPS_MAX {
            let mut bytes = [9; 32];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            rate.admits(AppDigest(bytes), begin + PERIOD);
        }
        assert_eq!(rate.0.len(), ASKED_MAX * APPS_MAX);
    }
}
