//! Reading TOML for people: every problem of a file at once, each with its line, its key and
//! what to write instead. Unknown keys are problems.

use core::fmt;
use core::ops::Range;

use serde::Serialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::explain::escape;
use crate::keys::{self, Table};
use crate::rule::RuleError;
use crate::suggest;

/// A file that cannot be used, with everything that is wrong with it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct ConfigError {
    /// The file, as the caller called it.
    pub source: String,
    /// At least one, in the order of the file, at most [`PROBLEMS_MAX`].
    pub problems: Vec<Problem>,
}

/// More are not listed: a wrong file (a log, a binary) would give one a line.
pub const PROBLEMS_MAX: usize = 20;

/// One thing that is wrong.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Problem {
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// The path of the key, `capabilities."network.tcp.connect".allow[0]`.
    pub key: String,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{}:{}:{}: ", self.source, problem.line, problem.column)?;
            if !problem.key.is_empty() {
                write!(f, "{}: ", problem.key)?;
            }
            f.write_str(&problem.message)?;
            if let Some(help) = &problem.help {
                write!(f, "\n  help: {help}")?;
            }
        }
        Ok(())
    }
}

impl core::error::Error for ConfigError {}

/// A file being read.
pub(crate) struct Reader<'t> {
    text: &'t str,
    source: String,
    /// Where each line begins: a policy asks for the line of every rule.
    lines: Vec<usize>,
    problems: Vec<(usize, Problem)>,
}

impl<'t> Reader<'t> {
    /// Refuses what is too long or no TOML at all.
    pub(crate) fn open(
        text: &'t str,
        source: &str,
        bytes_max: u64,
    ) -> Result<(Self, DeTable<'t>), ConfigError> {
        let mut reader = Self {
            text,
            source: escape(source),
            lines: vec![0],
            problems: Vec::new(),
        };
        if text.len() as u64 > bytes_max {
            reader.problem(
                0..0,
                "",
                format!("the file has {} bytes; the most is {bytes_max}", text.len()),
                None,
            );
            return Err(reader.error());
        }
        reader.lines.extend(
            text.bytes()
                .enumerate()
                .filter(|(_, b)| *b == b'\n')
                .map(|(at, _)| at + 1),
        );
        match DeTable::parse(text) {
            Ok(table) => Ok((reader, table.into_inner())),
            Err(error) => {
                reader.problem(
                    error.span().unwrap_or(0..0),
                    "",
                    one_line(error.message()),
                    None,
                );
                Err(reader.error())
            }
        }
    }

    /// The value, if there was no problem.
    pub(crate) fn finish<T>(self, value: Option<T>) -> Result<T, ConfigError> {
        match value {
            Some(value) if self.problems.is_empty() => Ok(value),
            _ => Err(self.error()),
        }
    }

    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    fn error(mut self) -> ConfigError {
        self.problems.sort_by_key(|(at, _)| *at);
        let mut problems: Vec<_> = self
            .problems
            .into_iter()
            .map(|(_, problem)| problem)
            .collect();
        if problems.len() > PROBLEMS_MAX {
            problems.truncate(PROBLEMS_MAX);
        }
        ConfigError {
            source: self.source,
            problems,
        }
    }

    pub(crate) fn problem(
        &mut self,
        at: Range<usize>,
        key: &str,
        message: impl Into<String>,
        help: Option<String>,
    ) {
        // Kept to twice the bound before sorting, so that a file of nothing but problems stays cheap.
        if self.problems.len() >= 2 * PROBLEMS_MAX {
            return;
        }
        let (line, column) = self.position(at.start);
        self.problems.push((
            at.start,
            Problem {
                line,
                column,
                key: key.to_owned(),
                message: message.into(),
                help,
            },
        ));
    }

    pub(crate) fn rule_problem(&mut self, at: Range<usize>, key: &str, error: RuleError) {
        let help = error.meant.map(|meant| format!("write `{meant}`"));
        self.problem(at, key, error.message, help);
    }

    /// Line and column of a byte, from 1.
    pub(crate) fn position(&self, at: usize) -> (u32, u32) {
        let mut at = at.min(self.text.len());
        while !self.text.is_char_boundary(at) {
            at -= 1;
        }
        let line = self.lines.partition_point(|start| *start <= at);
        let start = self.lines[line - 1];
        let column = self.text[start..at].chars().count() + 1;
        (line as u32, column as u32)
    }

    /// Every key of `table` that is not in `known` is a problem.
    pub(crate) fn only(&mut self, table: &DeTable<'_>, path: &str, known: &Table) {
        for (key, _) in table.iter() {
            let name: &str = key.get_ref();
            let known = keys::names(known.keys);
            if !known.contains(&name) {
                let help = match suggest::closest(name, known.iter().copied()) {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => format!("the keys here are {}", list(&known)),
                };
                self.problem(key.span(), &join(path, name), "unknown key", Some(help));
            }
        }
    }

    /// A table under `key`.
    pub(crate) fn table<'a, 'i>(
        &mut self,
        table: &'a DeTable<'i>,
        path: &str,
        key: &str,
    ) -> Option<&'a DeTable<'i>> {
        let value = get(table, key)?;
        match value.get_ref() {
            DeValue::Table(inner) => Some(inner),
            other => {
                self.wrong_type(value, &join(path, key), "a table", other);
                None
            }
        }
    }

    pub(crate) fn wrong_type(
        &mut self,
        at: &Spanned<DeValue<'_>>,
        key: &str,
        want: &str,
        have: &DeValue<'_>,
    ) {
        self.problem(
            at.span(),
            key,
            format!("this must be {want}, not {}", article(have.type_str())),
            None,
        );
    }

    /// A string under `key`.
    pub(crate) fn string<'a>(
        &mut self,
        table: &'a DeTable<'_>,
        path: &str,
        key: &str,
    ) -> Option<(&'a str, Range<usize>)> {
        let value = get(table, key)?;
        match value.get_ref() {
            DeValue::String(text) => Some((text, value.span())),
            other => {
                self.wrong_type(value, &join(path, key), "a string", other);
                None
            }
        }
    }

    /// `true` or `false` under `key`.
    pub(crate) fn boolean(&mut self, table: &DeTable<'_>, path: &str, key: &str) -> Option<bool> {
        let value = get(table, key)?;
        match value.get_ref() {
            DeValue::Boolean(yes) => Some(*yes),
            other => {
                self.wrong_type(value, &join(path, key), "true or false", other);
                None
            }
        }
    }

    /// A list of strings under `key`, with the place of each.
    pub(crate) fn strings<'a>(
        &mut self,
        table: &'a DeTable<'_>,
        path: &str,
        key: &str,
    ) -> Option<Vec<(&'a str, Range<usize>)>> {
        let value = get(table, key)?;
        let path = join(path, key);
        let DeValue::Array(items) = value.get_ref() else {
            let help = match value.get_ref() {
                DeValue::String(text) => Some(format!("write [\"{}\"]", escape(text))),
                _ => None,
            };
            let have = article(value.get_ref().type_str());
            self.problem(
                value.span(),
                &path,
                format!("this must be a list of strings, not {have}"),
                help,
            );
            return None;
        };
        let mut strings = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            match item.get_ref() {
                DeValue::String(text) => strings.push((&**text, item.span())),
                other => self.wrong_type(item, &format!("{path}[{index}]"), "a string", other),
            }
        }
        Some(strings)
    }
}

/// The value under `key`.
pub(crate) fn get<'a, 'i>(table: &'a DeTable<'i>, key: &str) -> Option<&'a Spanned<DeValue<'i>>> {
    table.get(key)
}

/// `path.key`, the key quoted where TOML needs it.
pub(crate) fn join(path: &str, key: &str) -> String {
    let bare = !key.is_empty()
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    let dot = if path.is_empty() { "" } else { "." };
    if bare {
        format!("{path}{dot}{key}")
    } else {
        format!("{path}{dot}\"{}\"", escape(key))
    }
}

/// `a`, `b` and `c`.
pub(crate) fn list(words: &[&str]) -> String {
    let quoted: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
    }
}

fn article(noun: &str) -> String {
    let an = noun.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {noun}", if an { "an" } else { "a" })
}

fn one_line(text: &str) -> String {
    escape(&text.lines().map(str::trim).collect::<Vec<_>>().join("; "))
}
