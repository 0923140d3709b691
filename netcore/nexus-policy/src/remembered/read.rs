//! Reading the file: every problem at once, as of a policy. One that has any answers nothing.

use std::collections::BTreeMap;

use nexus_types::AppDigest;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{ANSWERS_MAX, Entry, REMEMBERED_BYTES, Remembered, Whose};
use crate::capability::Capability;
use crate::config::{ConfigError, Reader, get, join};
use crate::consent::{Answer, AnsweredBy, Lifetime};
use crate::explain::escape;
use crate::keys::{self, Table, Value, may, must};
use crate::publisher::{KeyError, PublisherKey};
use crate::rule::Rule;
use crate::wall::WallTime;

/// The whole file.
static FILE: Table = Table {
    about: "consent.toml: what persons have answered.",
    keys: &[may(
        "answer",
        Value::Tables {
            table: &ANSWER,
            most: ANSWERS_MAX,
        },
        "The answers.",
    )],
};

/// `[[answer]]`
static ANSWER: Table = Table {
    about: "One answer to one question.",
    keys: &[
        must("id", Value::AnyText, "What it is called."),
        must("app", Value::Table(&APP), "Whose it is."),
        must("capability", Value::Capability, "What it is about."),
        must("rule", Value::AnyText, "The rule of the manifest."),
        must(
            "answer",
            Value::Word(&[("yes", "It may."), ("no", "It may not.")]),
            "What was said.",
        ),
        must(
            "lifetime",
            Value::Word(&[
                ("always", "Until it is revoked."),
                ("session", "Until the machine starts anew."),
            ]),
            "How long it holds.",
        ),
        may(
            "boot",
            Value::AnyText,
            "In which start of the machine it was given.",
        ),
        must("given", Value::Moment, "When it was given."),
        must(
            "by",
            Value::Word(&[("terminal", "A person."), ("script", "No person.")]),
            "Who gave it.",
        ),
        may("expires", Value::Moment, "When it ends in any case."),
    ],
};

/// `app = { … }`
static APP: Table = Table {
    about: "Whose an answer is.",
    keys: &[
        must("id", Value::AnyText, "What the app calls itself."),
        may("digest", Value::AnyText, "Which version of it."),
        may("publisher", Value::AnyText, "Who signs it."),
    ],
};

/// The longest id.
const ID_BYTES: usize = 64;

impl Remembered {
    /// Reads the file. `source` is what to call it in texts: its path.
    ///
    /// # Errors
    /// Any of it cannot be understood: what is wrong may have been a no.
    pub fn parse(text: &str, source: &str) -> Result<Self, ConfigError> {
        let (mut reader, root) = Reader::open(text, source, REMEMBERED_BYTES)?;
        reader.only(&root, "", &FILE);
        let entries = read_all(&mut reader, &root, text);
        reader.finish(Some(Self {
            text: text.to_owned(),
            entries,
        }))
    }
}

fn read_all(reader: &mut Reader<'_>, root: &DeTable<'_>, text: &str) -> Vec<Entry> {
    let Some(value) = get(root, "answer") else {
        return Vec::new();
    };
    let DeValue::Array(items) = value.get_ref() else {
        let message = "each answer begins with [[answer]], in two brackets";
        reader.problem(value.span(), "answer", message, None);
        return Vec::new();
    };
    if items.len() > ANSWERS_MAX {
        let message = format!(
            "there are {} answers; the most is {ANSWERS_MAX}",
            items.len()
        );
        reader.problem(value.span(), "answer", message, None);
        return Vec::new();
    }
    let mut entries: Vec<Entry> = Vec::with_capacity(items.len());
    let mut ids = BTreeMap::new();
    for (index, item) in items.iter().enumerate() {
        let path = format!("answer[{index}]");
        let DeValue::Table(table) = item.get_ref() else {
            reader.wrong_type(item, &path, "a table", item.get_ref());
            continue;
        };
        let Some(mut entry) = read_entry(reader, item, table, &path) else {
            continue;
        };
        let (line, _) = reader.position(item.span().start);
        if let Some(line) = ids.insert(entry.answer.id.clone(), line) {
            let message = format!(
                "the id `{}` is used by the answer in line {line} already",
                entry.answer.id
            );
            reader.problem(item.span(), &join(&path, "id"), message, None);
        }
        entry.lines = lines(text, item, table);
        entries.push(entry);
    }
    entries
}

/// The lines from `[[answer]]` to its last key, and the empty ones before; none: it does not stand so.
fn lines(
    text: &str,
    item: &Spanned<DeValue<'_>>,
    table: &DeTable<'_>,
) -> Option<core::ops::Range<usize>> {
    let last = table.iter().map(|(_, value)| value.span().end).max()?;
    let start = text
        .get(..=item.span().start)?
        .rfind('\n')
        .map_or(0, |at| at + 1);
    if !text[start..].trim_start().starts_with("[[") {
        return None;
    }
    let end = text[last..]
        .find('\n')
        .map_or(text.len(), |at| last + at + 1);
    let before = text[..start].trim_end_matches(['\n', '\r']);
    // The line break that ends what stands before stays.
    let kept = text[before.len()..]
        .find('\n')
        .map_or(start, |at| before.len() + at + 1);
    let start = if before.is_empty() {
        0
    } else {
        kept.min(start)
    };
    Some(start..end)
}

fn read_entry(
    reader: &mut Reader<'_>,
    item: &Spanned<DeValue<'_>>,
    table: &DeTable<'_>,
    path: &str,
) -> Option<Entry> {
    reader.only(table, path, &ANSWER);
    for key in keys::required(ANSWER.keys) {
        if get(table, key).is_none() {
            reader.problem(item.span(), &join(path, key), "the key is missing", None);
        }
    }
    let id = reader.string(table, path, "id").and_then(|(id, at)| {
        let good = (1..=ID_BYTES).contains(&id.len())
            && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !good {
            let message = format!("an id is 1 to {ID_BYTES} letters, digits and hyphens");
            reader.problem(at, &join(path, "id"), message, None);
        }
        good.then(|| id.to_owned())
    });
    let app = read_app(reader, table, path);
    let capability = reader
        .string(table, path, "capability")
        .and_then(|(name, at)| {
            Capability::parse(name)
                .map_err(|unknown| {
                    let help = unknown
                        .suggestion
                        .map(|meant| format!("did you mean `{meant}`?"));
                    let message = format!("no capability is called `{}`", escape(name));
                    reader.problem(at, &join(path, "capability"), message, help);
                })
                .ok()
        });
    let rule = match (capability, reader.string(table, path, "rule")) {
        (Some(capability), Some((text, at))) => Rule::parse(capability, text)
            .map_err(|error| reader.rule_problem(at, &join(path, "rule"), error))
            .ok(),
        _ => None,
    };
    let yes = word(
        reader,
        table,
        path,
        "answer",
        &[("yes", true), ("no", false)],
    );
    let lifetimes = [("always", Lifetime::Always), ("session", Lifetime::Session)];
    let lifetime = word(reader, table, path, "lifetime", &lifetimes);
    let by = AnsweredBy::ALL.map(|by| (by.as_str(), by));
    let by = word(reader, table, path, "by", &by);
    let boot = reader
        .string(table, path, "boot")
        .map(|(boot, _)| boot.to_owned());
    if lifetime == Some(Lifetime::Session) && get(table, "boot").is_none() {
        let message = "an answer for a session says of which: boot is missing";
        reader.problem(item.span(), &join(path, "lifetime"), message, None);
    }
    let given = moment(reader, table, path, "given");
    let expires = moment(reader, table, path, "expires");
    // One that cannot be read is a problem, and no answer without an end.
    let (app, whose) = app?;
    Some(Entry {
        app,
        whose,
        answer: Answer {
            id: id?,
            capability: capability?,
            rule: rule?,
            yes: yes?,
            lifetime: lifetime?,
            expires,
            by: by?,
        },
        boot,
        given: given?,
        lines: None,
    })
}

fn read_app(reader: &mut Reader<'_>, table: &DeTable<'_>, path: &str) -> Option<(String, Whose)> {
    let app = reader.table(table, path, "app")?;
    let path = join(path, "app");
    reader.only(app, &path, &APP);
    let id = reader.string(app, &path, "id").map(|(id, _)| id.to_owned());
    if get(app, "id").is_none()
        && let Some(value) = get(table, "app")
    {
        reader.problem(value.span(), &join(&path, "id"), "the key is missing", None);
    }
    let digest = reader.string(app, &path, "digest");
    let publisher = reader.string(app, &path, "publisher");
    let whose = match (digest, publisher) {
        (Some((text, at)), None) => {
            let digest = AppDigest::parse(text);
            if digest.is_none() {
                let message = format!(
                    "`{}` is no digest; it is `sha256:` and 64 hexadecimal digits",
                    escape(text)
                );
                reader.problem(at, &join(&path, "digest"), message, None);
            }
            digest.map(Whose::Version)
        }
        (None, Some((text, at))) => PublisherKey::parse(text)
            .map_err(|error| {
                let help = Some(KeyError::HELP.to_owned());
                reader.problem(at, &join(&path, "publisher"), error.to_string(), help);
            })
            .ok()
            .map(Whose::Publisher),
        _ => {
            if let Some(value) = get(table, "app") {
                let message = "an answer is for a digest or for a publisher: one of the two";
                reader.problem(value.span(), &path, message, None);
            }
            None
        }
    };
    Some((id?, whose?))
}

fn word<T: Copy>(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    path: &str,
    key: &str,
    words: &[(&str, T)],
) -> Option<T> {
    let (text, at) = reader.string(table, path, key)?;
    let known = words.iter().find(|(word, _)| *word == text);
    if known.is_none() {
        let words: Vec<_> = words.iter().map(|(word, _)| *word).collect();
        let message = format!(
            "`{}` is none of {}",
            escape(text),
            crate::config::list(&words)
        );
        reader.problem(at, &join(path, key), message, None);
    }
    known.map(|(_, value)| *value)
}

fn moment(reader: &mut Reader<'_>, table: &DeTable<'_>, path: &str, key: &str) -> Option<WallTime> {
    let value = get(table, key)?;
    let moment = match value.get_ref() {
        DeValue::String(text) => WallTime::parse(text),
        DeValue::Datetime(moment) => WallTime::parse(&moment.to_string()),
        _ => None,
    };
    if moment.is_none() {
        let message = "this is no moment; write \"2027-01-01T00:00:00Z\"";
        reader.problem(value.span(), &join(path, key), message, None);
    }
    moment
}
