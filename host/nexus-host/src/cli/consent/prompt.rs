//! The words of the prompt. What the host knows comes first; what the app chose is escaped, and said to be
//! its own word.

use std::fmt::Write as _;
use std::time::Duration;

use nexus_policy::Lifetime;
use nexus_policy::admission::Question;
use nexus_policy::explain::{escape, topics};

use super::agent::{Ask, Offers, Said};

/// All that is asked of one app, and how to answer.
pub(super) fn heading(ask: &Ask<'_>, timeout: Duration) -> String {
    let mut out = format!(
        "consent  an app asks for what only a person can allow\n\n  file       {}\n  digest     {}\n  publisher  {}\n",
        escape(&ask.file.display().to_string()),
        ask.digest,
        ask.signed
    );
    // Writing to a String cannot fail.
    if let Some((id, version)) = ask.claims {
        let version = version.map_or_else(String::new, |version| {
            format!(", version {}", escape(version))
        });
        let _ = writeln!(
            out,
            "  calls itself {}{version} (its own word: any app could)",
            escape(id)
        );
    }
    let topics = topics();
    let mut last = None;
    for (number, question) in (1..).zip(ask.questions) {
        if last != Some(question.capability) {
            last = Some(question.capability);
            let word = question.capability.as_str();
            let about = topics.iter().find(|topic| topic.word == word);
            let about = about.map_or("", |topic| &topic.summary);
            let _ = writeln!(out, "\n  {word}: {about}");
        }
        let by = match &question.asked_by {
            Some(by) => format!("   (to be asked, says {})", escape(by)),
            None => String::new(),
        };
        let _ = writeln!(out, "  {number:>3}  {}{by}", question.rule);
    }
    out.push_str("\n  y      yes, for this run\n");
    if ask.offers.session {
        out.push_str("  s      yes, until this machine starts anew\n");
    }
    if ask.offers.always {
        out.push_str("  a      yes, always\n");
    }
    out.push_str("  n      no, for this run\n  N      no, to this and to all that follow\n");
    if ask.offers.always {
        out.push_str("  never  no, always\n");
    }
    let _ = writeln!(
        out,
        "  Anything else is a no, and so is no answer within {} s.\n",
        timeout.as_secs_f64()
    );
    out
}

/// The line that waits for an answer.
pub(super) fn line(number: usize, of: usize, question: &Question, offers: Offers) -> String {
    let words = match (offers.session, offers.always) {
        (true, true) => "y s a n N never",
        (false, true) => "y a n N never",
        _ => "y n N",
    };
    format!(
        "{number} of {of}  {} {}  [{words}] ",
        question.capability, question.rule
    )
}

/// What a line of an answer means, and whether it is for all that follow; none: it is no answer.
pub(super) fn meaning(line: &str, offers: Offers) -> Option<(Said, bool)> {
    Some(match line.trim() {
        "y" | "Y" | "yes" => (Said::Yes(Lifetime::Once), false),
        "s" | "session" if offers.session => (Said::Yes(Lifetime::Session), false),
        "a" | "always" if offers.always => (Said::Yes(Lifetime::Always), false),
        "n" | "no" => (Said::No(Lifetime::Once), false),
        "N" => (Said::No(Lifetime::Once), true),
        "never" if offers.always => (Said::No(Lifetime::Always), false),
        _ => return None,
    })
}

/// What was written, and where.
pub(super) fn written(path: &str, blocks: &[(String, String)]) -> String {
    let mut out = format!("written to {}:\n", escape(path));
    for (_, lines) in blocks {
        for line in lines.lines() {
            let _ = writeln!(out, "  + {line}");
        }
    }
    let ids: Vec<_> = blocks.iter().map(|(id, _)| id.as_str()).collect();
    let _ = writeln!(
        out,
        "to take it back: nexus-host consent revoke {}",
        ids.join(" ")
    );
    out
}
