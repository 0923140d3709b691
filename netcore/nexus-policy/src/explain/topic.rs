//! Every word a report, a file or a refusal of ours can hold, and what it means: `nexus-host explain`.
//!
//! The texts are next to each other, by kind, each found by an exhaustive `match`: a new reason,
//! code, class or capability does not compile without its text.

use core::fmt::Write as _;

use nexus_types::{ErrorCode, Reason};
use serde::Serialize;

use super::{capabilities, classes, codes, reasons, words};
use crate::address::AddressClass;
use crate::admission::LoadReason;
use crate::capability::Capability;
use crate::suggest;

/// What a word is of. One word can be of several kinds: `deadline` is a reason and an error code.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum TopicKind {
    /// Something an app can be allowed to do.
    Capability,
    /// Why an act was refused.
    Reason,
    /// Why an app could not start, where that is no reason of an act.
    LoadReason,
    /// What an operator's rule says.
    Verdict,
    /// A word of a `check`, a report or the audit log.
    Report,
    /// A kind of addresses.
    AddressClass,
    /// What an app sees of an error.
    ErrorCode,
    /// What the host's process ends with.
    ExitCode,
}

impl TopicKind {
    /// What the list calls the group.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Capability => "capabilities",
            Self::Reason => "reasons of a refusal",
            Self::LoadReason => "reasons an app cannot start, beside those",
            Self::Verdict => "verdicts of an operator's rule",
            Self::Report => "words of `check`, reports and the audit log",
            Self::AddressClass => "classes of addresses",
            Self::ErrorCode => "error codes an app sees",
            Self::ExitCode => "exit codes",
        }
    }

    /// What one of them is called.
    pub const fn singular(self) -> &'static str {
        match self {
            Self::Capability => "capability",
            Self::Reason => "reason",
            Self::LoadReason => "reason at load",
            Self::Verdict => "verdict",
            Self::Report => "word of a report",
            Self::AddressClass => "class of addresses",
            Self::ErrorCode => "error code",
            Self::ExitCode => "exit code",
        }
    }
}

/// The texts on one word, as they are written.
#[derive(Clone, Copy, Debug)]
pub struct Text {
    /// What it says, in one line without a full stop.
    pub summary: &'static str,
    /// More, for who wants to know why.
    pub more: &'static str,
    /// What to do about it; empty: nothing.
    pub todo: &'static str,
    /// What to read next.
    pub see: &'static [&'static str],
}

/// One word and all there is to say of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Topic {
    /// The word.
    pub word: &'static str,
    /// What it is of.
    pub kind: TopicKind,
    /// What it says, in one line.
    pub summary: String,
    /// More.
    pub more: String,
    /// What to do about it; empty: nothing.
    pub todo: String,
    /// Of a capability: its facts and examples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capability: Option<capabilities::Facts>,
    /// What to read next.
    pub see: Vec<&'static str>,
}

impl Topic {
    /// A topic of these texts.
    pub fn new(word: &'static str, kind: TopicKind, text: Text) -> Self {
        Self {
            word,
            kind,
            summary: text.summary.to_owned(),
            more: text.more.to_owned(),
            todo: text.todo.to_owned(),
            capability: None,
            see: text.see.to_vec(),
        }
    }

    /// For a terminal. No newline at the end.
    pub fn text(&self) -> String {
        let mut out = format!("{}  ({})\n", self.word, self.kind.singular());
        // Writing to a String cannot fail.
        let _ = write!(out, "  {}.", self.summary);
        if !self.more.is_empty() {
            out.push_str("\n\n");
            out.push_str(&wrap(&self.more, "  ", WIDTH));
        }
        if let Some(facts) = &self.capability {
            out.push_str("\n\n");
            out.push_str(&facts.text());
        }
        if !self.todo.is_empty() {
            out.push_str("\n\n");
            let todo = wrap(&self.todo, "         ", WIDTH);
            let _ = write!(out, "  to do  {}", todo.trim_start());
        }
        if !self.see.is_empty() {
            let _ = write!(
                out,
                "\n\n  see    nexus-host explain {}",
                self.see.join(" ")
            );
        }
        out
    }
}

/// Columns of what `explain` prints: a terminal of 80 has room.
const WIDTH: usize = 78;

/// `text` in lines of at most `width` columns, each after `indent`. Paragraphs are kept.
fn wrap(text: &str, indent: &str, width: usize) -> String {
    let mut lines = Vec::new();
    for paragraph in text.split('\n') {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            let columns = indent.len() + line.chars().count() + 1 + word.chars().count();
            if !line.is_empty() && columns > width {
                lines.push(format!("{indent}{line}"));
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(format!("{indent}{line}").trim_end().to_owned());
    }
    lines.join("\n")
}

/// Every word there is in this crate, in the order of the list. Exit codes are the host's to add.
pub fn topics() -> Vec<Topic> {
    let capabilities = Capability::ALL
        .into_iter()
        .chain(Capability::WASI)
        .map(capabilities::topic);
    let reasons = Reason::ALL
        .into_iter()
        .map(|reason| Topic::new(reason.as_str(), TopicKind::Reason, reasons::text(reason)));
    let load = LoadReason::ALL.into_iter().map(|reason| {
        Topic::new(
            reason.as_str(),
            TopicKind::LoadReason,
            reasons::at_load(reason),
        )
    });
    let classes = AddressClass::ALL.into_iter().map(|class| {
        Topic::new(
            class.as_str(),
            TopicKind::AddressClass,
            classes::text(class),
        )
    });
    let codes = ErrorCode::ALL
        .into_iter()
        .map(|code| Topic::new(code.as_str(), TopicKind::ErrorCode, codes::text(code)));
    capabilities
        .chain(reasons)
        .chain(load)
        .chain(words::verdicts())
        .chain(words::of_reports())
        .chain(classes)
        .chain(codes)
        .collect()
}

/// What is said of `word`, of each kind it is of; if there is nothing, the word probably meant.
///
/// # Errors
/// No topic has that word.
pub fn find<'t>(all: &'t [Topic], word: &str) -> Result<Vec<&'t Topic>, Option<&'t str>> {
    let found: Vec<_> = all
        .iter()
        .filter(|topic| topic.word.eq_ignore_ascii_case(word))
        .collect();
    if found.is_empty() {
        // What was written with underscores, or in the plural, is still meant.
        let word = word.replace('_', "-");
        return Err(suggest::closest(&word, all.iter().map(|topic| topic.word)));
    }
    Ok(found)
}

/// The list of all of them, by kind.
pub fn list(all: &[Topic]) -> String {
    let mut kinds: Vec<_> = all.iter().map(|topic| topic.kind).collect();
    kinds.sort_unstable();
    kinds.dedup();
    let mut out = String::new();
    for kind in kinds {
        let _ = writeln!(out, "{}", kind.title());
        for topic in all.iter().filter(|topic| topic.kind == kind) {
            let _ = writeln!(out, "  {:<26} {}", topic.word, topic.summary);
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Every reason, code, class and capability has a text that says something, in one line and
    /// then some, and every `see` leads somewhere. Goes through all there are.
    #[test]
    fn every_word_is_explained_and_leads_on() {
        let all = topics();
        let words: BTreeSet<_> = all.iter().map(|topic| topic.word).collect();
        for topic in &all {
            assert!(!topic.summary.is_empty(), "{}", topic.word);
            assert!(!topic.summary.ends_with('.'), "{}", topic.word);
            assert!(
                topic.summary.len() <= 84,
                "{}: {}",
                topic.word,
                topic.summary.len()
            );
            assert!(!topic.more.is_empty(), "{}", topic.word);
            for see in &topic.see {
                assert!(words.contains(see), "{} leads to `{see}`", topic.word);
            }
            let wide = topic.text().lines().map(|line| line.chars().count()).max();
            assert!(
                wide <= Some(110),
                "{}: {wide:?}\n{}",
                topic.word,
                topic.text()
            );
        }
        for (kind, count) in [
            (
                TopicKind::Capability,
                Capability::ALL.len() + Capability::WASI.len(),
            ),
            (TopicKind::Reason, Reason::ALL.len()),
            (TopicKind::LoadReason, LoadReason::ALL.len()),
            (TopicKind::AddressClass, AddressClass::ALL.len()),
            (TopicKind::ErrorCode, ErrorCode::ALL.len()),
        ] {
            let of_kind: BTreeSet<_> = all
                .iter()
                .filter(|topic| topic.kind == kind)
                .map(|topic| topic.word)
                .collect();
            assert_eq!(of_kind.len(), count, "{kind:?}");
        }
    }

    /// A word that is of two kinds is explained as both; case does not matter.
    #[test]
    fn a_word_of_two_kinds_is_explained_as_both() {
        let all = topics();
        let found = find(&all, "Deadline").unwrap();
        let kinds: Vec<_> = found.iter().map(|topic| topic.kind).collect();
        assert_eq!(kinds, [TopicKind::Reason, TopicKind::ErrorCode]);
    }

    /// Slips are met with the word that was meant, nonsense with nothing.
    #[test]
    fn reject_words_that_are_none_with_a_suggestion() {
        let all = topics();
        for (typo, meant) in [
            ("not-grnted", Some("not-granted")),
            ("not_permitted", Some("not-permitted")),
            ("network.tcp.conect", Some("network.tcp.connect")),
            ("loopbak", Some("loopback")),
            ("quantum-teleport", None),
            ("", None),
        ] {
            assert_eq!(find(&all, typo).unwrap_err(), meant, "{typo}");
        }
        assert!(find(&all, &"x".repeat(100_000)).is_err());
    }

    #[test]
    fn lines_are_cut_between_words_at_the_width_and_not_before() {
        assert_eq!(wrap("aa bb cc", "", 5), "aa bb\ncc");
        assert_eq!(wrap("aa bb", " ", 5), " aa\n bb");
        assert_eq!(wrap("a-long-word b", "", 3), "a-long-word\nb");
    }
}
