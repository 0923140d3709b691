//! Adding answers, taking them out, and the lines of one.

use core::fmt::Write as _;

use super::{ANSWERS_MAX, Entry, Moment, NotRemembered, Remembered, Whose};
use crate::consent::Lifetime;

/// What a new file begins with.
const HEAD: &str = "\
# What you have answered when nexus-host asked whether an app may have something. Written by nexus-host.
#
# Each answer is about one rule of one app's manifest. It answers a question and nothing else: what the
# operator's policy forbids stays forbidden. To take one back: nexus-host consent revoke ID
# Lifetime \"session\" ends when the machine starts anew (boot = \"...\"), \"always\" when you revoke it.
";

impl Remembered {
    /// Puts an answer at the end, in place of what this app was answered of the same rule before; what does not
    /// hold any more goes. The lines that were put there.
    ///
    /// # Errors
    /// It cannot be remembered; nothing was changed.
    pub fn add(&mut self, entry: Entry, moment: &Moment<'_>) -> Result<String, NotRemembered> {
        if !entry.holds(moment) || entry.answer.lifetime == Lifetime::Once {
            return Err(NotRemembered::Passing);
        }
        let mut next = self.clone();
        next.remove(|old| {
            let same = old.whose == entry.whose
                && (old.app == entry.app || matches!(old.whose, Whose::Version(_)))
                && old.answer.capability == entry.answer.capability
                && old.answer.rule == entry.answer.rule;
            same || !old.holds(moment)
        });
        if next.entries.len() >= ANSWERS_MAX {
            return Err(NotRemembered::Full);
        }
        let lines = entry.lines();
        let mut want = next.entries.clone();
        want.push(entry);
        let mut text = next.text;
        if text.trim().is_empty() {
            text = HEAD.to_owned();
        }
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text.push('\n');
        text.push_str(&lines);
        *self = Self::of_entries(text, &want).ok_or(NotRemembered::Unwritable)?;
        Ok(lines)
    }

    /// Takes out the answers that `goes` says. What they were.
    pub fn remove(&mut self, goes: impl Fn(&Entry) -> bool) -> Vec<Entry> {
        let (gone, want): (Vec<_>, Vec<_>) = self.entries.iter().cloned().partition(&goes);
        if gone.is_empty() {
            return gone;
        }
        let mut text = self.text.clone();
        for entry in gone.iter().rev() {
            if let Some(lines) = entry.lines.clone()
                && text.get(lines.clone()).is_some()
            {
                text.replace_range(lines, "");
            }
        }
        // Every entry was read or written by us once: without the others it is so still.
        *self = Self::of_entries(text, &want).unwrap_or(Self {
            text: whole(&want),
            entries: want,
        });
        gone
    }

    /// A file with these, and this text if it says just that; else a text of our own.
    fn of_entries(text: String, want: &[Entry]) -> Option<Self> {
        let same = |read: &Self| {
            read.entries.len() == want.len()
                && read
                    .entries
                    .iter()
                    .zip(want)
                    .all(|(a, b)| a.says_the_same(b))
        };
        [text, whole(want)].into_iter().find_map(|text| {
            let read = Self::parse(&text, "consent.toml").ok()?;
            same(&read).then_some(read)
        })
    }
}

/// All of a file.
fn whole(entries: &[Entry]) -> String {
    let mut text = HEAD.to_owned();
    for entry in entries {
        text.push('\n');
        text.push_str(&entry.lines());
    }
    text
}

impl Entry {
    /// Its lines in the file.
    pub fn lines(&self) -> String {
        let answer = &self.answer;
        let whose = match &self.whose {
            Whose::Version(digest) => format!("digest = \"{digest}\""),
            Whose::Publisher(key) => format!("publisher = \"{key}\""),
        };
        let mut lines = format!(
            "[[answer]]\nid = {}\napp = {{ id = {}, {whose} }}\ncapability = \"{}\"\nrule = {}\nanswer = \"{}\"\nlifetime = \"{}\"\n",
            quoted(&answer.id),
            quoted(&self.app),
            answer.capability,
            quoted(&answer.rule.to_string()),
            if answer.yes { "yes" } else { "no" },
            answer.lifetime,
        );
        // Writing to a String cannot fail.
        if let Some(boot) = &self.boot {
            let _ = writeln!(lines, "boot = {}", quoted(boot));
        }
        let _ = write!(
            lines,
            "given = \"{}\"\nby = \"{}\"\n",
            self.given.utc(),
            answer.by
        );
        if let Some(expires) = answer.expires {
            let _ = writeln!(lines, "expires = \"{}\"", expires.utc());
        }
        lines
    }
}

/// A basic string of TOML. What could change how a reader sees the rest of the line is written out.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            _ if crate::explain::is_hidden(c) => {
                let _ = write!(out, "\\U{:08X}", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out.push('"');
    out
}
