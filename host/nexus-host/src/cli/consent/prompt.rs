//! The words of the prompt. What the host knows comes first; what the app chose is escaped, and said to be
//! its own word.

use std::fmt::Write as _;
use std::time::Duration;

use nexus_policy::Lifetime;
use nexus_policy::admission::Question;
use nexus_policy::explain::{escape, topics};

use super::agent::{Ask, Offers, Said};

/// Characters of a file's name that each question repeats.
const NAME_CHARS: usize = 40;

/// Sets a terminal to draw as it does when it is turned on (DECSTR, and SGR 0 for those that do not know it): what an
/// app wrote before may have hidden what is written after it, or kept it to a few lines.
pub(super) const RESET: &str = "\x1b[!p\x1b[0m";

/// What somebody else chose: nothing hidden in it, and no blanks with which it could go on as a line of the host's own.
fn shown(text: &str) -> String {
    let mut out = String::new();
    for c in escape(text).chars() {
        match c {
            ' ' if out.ends_with(' ') || out.ends_with("\\u{20}") => out.push_str("\\u{20}"),
            c => out.push(c),
        }
    }
    out
}

/// All that is asked of one app, and how to answer.
pub(super) fn heading(ask: &Ask<'_>, timeout: Duration) -> String {
    let mut out = format!(
        "consent  an app asks for what only a person can allow\n\n  file       {}\n  digest     {}\n  publisher  {}\n",
        shown(&ask.file.display().to_string()),
        ask.digest,
        ask.signed
    );
    // Writing to a String cannot fail.
    if let Some((id, version)) = ask.claims {
        let version = version.map_or_else(String::new, |version| {
            format!(", version {}", shown(version))
        });
        let _ = writeln!(
            out,
            "  calls itself {}{version} (its own word: any app could)",
            shown(id)
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
        "  Anything else is a no, and so is no answer within {} s.",
        timeout.as_secs_f64()
    );
    if let Some(why) = ask.unkept {
        let _ = writeln!(out, "  No answer can be kept for another run: {why}");
    }
    out.push('\n');
    out
}

/// The question that waits for an answer: of which app as well, for the heading may be out of sight.
pub(super) fn line(number: usize, ask: &Ask<'_>, question: &Question) -> String {
    let words = match (ask.offers.session, ask.offers.always) {
        (true, true) => "y s a n N never",
        (false, true) => "y a n N never",
        _ => "y n N",
    };
    let name = ask.file.file_name().unwrap_or_default().to_string_lossy();
    let mut name = shown(&name);
    if let Some((end, _)) = name.char_indices().nth(NAME_CHARS) {
        name.truncate(end);
        name.push('…');
    }
    format!(
        "{number} of {}  {} {}\n        for {name} (sha256:{}…)  [{words}] ",
        ask.questions.len(),
        question.capability,
        question.rule,
        ask.digest.short()
    )
}

/// What a line of an answer means; none: it is no answer.
pub(super) fn meaning(line: &str, offers: Offers) -> Option<Said> {
    Some(match line.trim() {
        "y" | "Y" | "yes" => Said::Yes(Lifetime::Once),
        "s" | "session" if offers.session => Said::Yes(Lifetime::Session),
        "a" | "always" if offers.always => Said::Yes(Lifetime::Always),
        "n" | "no" => Said::No(Lifetime::Once),
        "N" => Said::NoToAll,
        "never" if offers.always => Said::No(Lifetime::Always),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: a name cannot go on as a line of the host's own. Method: blanks that would fill a line, single ones.
    #[test]
    fn reject_blanks_that_fill_a_line() {
        assert_eq!(shown("a file.wasm"), "a file.wasm");
        assert_eq!(
            shown("a   publisher  acme"),
            "a \\u{20}\\u{20}publisher \\u{20}acme"
        );
        assert_eq!(shown("a\u{3000}\u{a0}b"), "a\\u{3000}\\u{a0}b");
    }
}
