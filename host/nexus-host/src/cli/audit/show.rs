//! Records on standard output, for people or for programs.

use std::io;

use nexus_policy::explain::escape;
use serde_json::json;

use super::scan::Problems;
use crate::cli::{CliError, Kind, Output};
use crate::observe::audit::Record;
use crate::runtime::stdio::{Sink, say};

/// How much is put together before it is written.
const CHUNK_BYTES: usize = 64 << 10;

/// One record on a line. The file may be anybody's, so everything is escaped again.
pub(super) fn line(record: &Record) -> String {
    let mut line = format!("{}  {:<6}", escape(&record.t), escape(&record.verdict));
    let mut add = |text: &str| {
        line.push_str("  ");
        line.push_str(text);
    };
    match (&record.app, record.instance) {
        (Some(app), Some(instance)) => add(&format!("{}#{instance}", escape(app))),
        (Some(app), None) => add(&escape(app)),
        (None, _) => add("host"),
    }
    for text in [&record.cap, &record.target].into_iter().flatten() {
        add(&long(text));
    }
    if !record.reason.is_empty() {
        add(&format!("[{}]", escape(&record.reason)));
    }
    if let Some(rule) = &record.rule {
        add(&format!("rule={}", escape(rule)));
    }
    add(&format!("source={}", long(&record.source)));
    line.push('\n');
    line
}

/// A text as long as its line let it be.
fn long(text: &str) -> String {
    text.chars()
        .map(|c| escape(c.encode_utf8(&mut [0; 4])))
        .collect()
}

/// Writes records as they come.
pub(super) struct Shown {
    output: Output,
    buffer: String,
    records: u64,
    /// Each a line of its own and nothing around them: it has no end.
    endless: bool,
    /// Nobody reads any more, or it cannot be written.
    over: Option<io::Error>,
}

impl Shown {
    pub(super) fn new(output: Output, endless: bool) -> Self {
        let mut buffer = String::new();
        if output == Output::Json && !endless {
            // `ok` comes last: only then it is known.
            buffer.push_str("{\"data\":{\"records\":[");
        }
        Self {
            output,
            buffer,
            records: 0,
            endless,
            over: None,
        }
    }

    /// Whether more is wanted.
    pub(super) fn record(&mut self, record: &Record) -> bool {
        match self.output {
            Output::Text => self.buffer.push_str(&line(record)),
            Output::Json => {
                if !self.endless {
                    self.buffer
                        .push_str(if self.records > 0 { ",\n" } else { "\n" });
                }
                // A record is strings and numbers: it always has a form.
                let text = serde_json::to_string(record).unwrap_or_default();
                self.buffer.push_str(&text);
                if self.endless {
                    self.buffer.push('\n');
                }
            }
        }
        self.records += 1;
        self.buffer.len() < CHUNK_BYTES || self.flush()
    }

    /// Writes what there is. Whether more is wanted.
    pub(super) fn flush(&mut self) -> bool {
        if self.over.is_none() {
            self.over = Sink::Stdout.write_all(self.buffer.as_bytes()).err();
        }
        self.buffer.clear();
        self.over.is_none()
    }

    /// Ends the answer; what is wrong with the log is an error, after all that could be shown.
    pub(super) fn finish(mut self, problems: &Problems) -> Result<u8, CliError> {
        let error = (problems.count() > 0).then(|| damaged(problems.count()));
        if self.output == Output::Json && !self.endless {
            let told = json!(problems.told);
            let (error, ok) = (json!(error.as_ref().map(CliError::json)), error.is_none());
            self.buffer.push_str(&format!(
                "],\"problems\":{told}}},\"error\":{error},\"ok\":{ok}}}\n"
            ));
        }
        self.flush();
        match self.over {
            // A reader that has gone away (`| head`) is no error.
            Some(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                return Err(CliError::new(
                    Kind::Host,
                    format!("standard output: {error}"),
                ));
            }
            _ => {}
        }
        tell(problems);
        match (error, self.output) {
            (None, _) => Ok(0),
            (Some(_), Output::Json) => Ok(1),
            (Some(error), Output::Text) => Err(error),
        }
    }
}

fn damaged(lines: u64) -> CliError {
    let what = match lines {
        1 => "1 line is no record".to_owned(),
        _ => format!("{lines} lines are no records"),
    };
    CliError::new(Kind::Host, format!("{what}: the log is damaged"))
        .hint("run: nexus-host audit verify")
}

/// Says what is wrong, on standard error.
pub(super) fn tell(problems: &Problems) {
    for problem in &problems.told {
        say(&format!("warning: {problem}\n"));
    }
    if problems.more > 0 {
        say(&format!("warning: and {} more\n", problems.more));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        Record {
            v: 1,
            seq: 7,
            prev: "00".repeat(32),
            t: "2026-11-27T11:38:56.123Z".into(),
            app: Some("com.example.weather".into()),
            digest: None,
            publisher: None,
            instance: Some(2),
            cap: Some("network.tcp.connect".into()),
            target: Some("api.example.com -> 93.184.216.34:443".into()),
            verdict: "deny".into(),
            reason: "not-permitted".into(),
            rule: Some("lan".into()),
            source: "policy.toml:3".into(),
        }
    }

    #[test]
    fn a_record_is_one_line() {
        assert_eq!(
            line(&record()),
            "2026-11-27T11:38:56.123Z  deny    com.example.weather#2  network.tcp.connect  \
             api.example.com -> 93.184.216.34:443  [not-permitted]  rule=lan  source=policy.toml:3\n"
        );
    }

    /// A log that somebody else wrote does not reach the terminal with what it holds.
    #[test]
    fn reject_what_a_terminal_would_obey() {
        let evil = "a\n\x1b[2J\u{202e}".to_owned();
        let line = line(&Record {
            app: Some(evil.clone()),
            cap: Some(evil.clone()),
            target: Some(evil.clone()),
            reason: evil.clone(),
            rule: Some(evil.clone()),
            source: evil,
            ..record()
        });
        assert_eq!(line.matches(char::is_control).count(), 1, "{line}");
        assert!(!line.contains('\u{202e}'));
    }
}
