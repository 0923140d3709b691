//! One record as a line of JSON, bounded, with nothing in it that a terminal or a reader would obey.
//!
//! The longest line, by its parts: seven texts as long as their bounds below (2,560 bytes and three for
//! each mark of a cut), 64 hexadecimal digits of `prev`, 71 of `digest`, 56 of
//! `publisher`, 24 of `t`, three numbers of 20,
//! names and punctuation: under 3,200 bytes, so under [`RECORD_BYTES_MAX`](super::RECORD_BYTES_MAX).

use std::fmt::{self, Write};

use nexus_policy::Entry;
use nexus_policy::explain::escape;

use super::{Hash, VERSION, push_hex, time};

/// Bounds of texts as they stand in the line, so that a guest cannot make records of any size.
const APP_BYTES: usize = 256;
/// A key of 42 bytes, in digits of base 64.
const PUBLISHER_BYTES: usize = 56;
/// A name of 253 bytes, and the address it leads to.
const TARGET_BYTES: usize = 768;
const REASON_BYTES: usize = 128;
const RULE_BYTES: usize = 256;
/// A path of the operator's, and a line.
const SOURCE_BYTES: usize = 1024;

/// Where in its chain a record stands.
pub(super) struct Link {
    pub(super) seq: u64,
    pub(super) prev: Hash,
    pub(super) millis: u64,
}

/// Writes the line, without a newline, over what was in `out`. Allocates nothing once `out` is large
/// enough, unless a text has characters other than those of printable ASCII.
pub(super) fn write(out: &mut String, link: &Link, entry: &Entry<'_>) {
    out.clear();
    // Writing to a String cannot fail.
    let _ = write!(out, "{{\"v\":{VERSION},\"seq\":{},\"prev\":\"", link.seq);
    push_hex(out, &link.prev);
    out.push_str("\",\"t\":\"");
    time::push(out, link.millis);
    out.push('"');
    text(out, "app", APP_BYTES, entry.app.map(|app| &app.id));
    match entry.app {
        Some(app) => {
            out.push_str(",\"digest\":\"sha256:");
            push_hex(out, &app.digest.0);
            out.push('"');
        }
        None => out.push_str(",\"digest\":null"),
    }
    if let Some(publisher) = entry.app.and_then(|app| app.publisher.as_ref()) {
        text(out, "publisher", PUBLISHER_BYTES, Some(publisher));
    }
    match entry.instance {
        Some(instance) => {
            let _ = write!(out, ",\"instance\":{}", instance.0);
        }
        None => out.push_str(",\"instance\":null"),
    }
    text(out, "cap", APP_BYTES, entry.capability);
    text(out, "target", TARGET_BYTES, entry.target);
    text(out, "verdict", APP_BYTES, Some(entry.verdict.as_str()));
    text(out, "reason", REASON_BYTES, Some(entry.reason));
    text(out, "rule", RULE_BYTES, entry.rule);
    text(out, "source", SOURCE_BYTES, Some(entry.source));
    out.push('}');
}

/// `,"name":"value"` or `,"name":null`.
fn text(out: &mut String, name: &str, room: usize, value: Option<impl fmt::Display>) {
    out.push_str(",\"");
    out.push_str(name);
    let Some(value) = value else {
        out.push_str("\":null");
        return;
    };
    out.push_str("\":\"");
    let mut field = Field {
        out,
        room,
        cut: false,
    };
    // An error says that it was cut, or that the value would not be written; what there is of it stays.
    let _ = write!(field, "{value}");
    if field.cut {
        out.push('…');
    }
    out.push('"');
}

/// The inside of a JSON string, as long as there is room.
struct Field<'a> {
    out: &'a mut String,
    room: usize,
    cut: bool,
}

impl Field<'_> {
    fn put(&mut self, piece: &str) -> fmt::Result {
        if self.cut || piece.len() > self.room {
            self.cut = true;
            return Err(fmt::Error);
        }
        self.room -= piece.len();
        self.out.push_str(piece);
        Ok(())
    }
}

impl Write for Field<'_> {
    fn write_str(&mut self, mut text: &str) -> fmt::Result {
        loop {
            let plain = text.bytes().take_while(|b| is_plain(*b)).count();
            let (run, rest) = text.split_at(plain);
            if run.len() > self.room {
                // ASCII alone: it can be cut anywhere.
                self.put(&run[..self.room])?;
            }
            self.put(run)?;
            let Some(c) = rest.chars().next() else {
                return Ok(());
            };
            text = &rest[c.len_utf8()..];
            match c {
                '"' => self.put("\\\"")?,
                '\\' => self.put("\\\\")?,
                // `escape` is the one place that knows what is invisible. What it writes for such a
                // character begins with a backslash, which JSON wants twice: so the text a reader gets
                // has the escape, not the character.
                _ => {
                    let shown = escape(c.encode_utf8(&mut [0; 4]));
                    match shown.strip_prefix('\\') {
                        Some(rest) => self.put(&format!("\\\\{rest}"))?,
                        None => self.put(&shown)?,
                    }
                }
            }
        }
    }
}

/// Printable ASCII that stands in a JSON string as it is.
fn is_plain(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')
}

#[cfg(test)]
mod tests {
    use nexus_policy::{AppIdentity, Capability, PublisherKey, Recorded};
    use nexus_types::{AppDigest, InstanceId};

    use super::super::{RECORD_BYTES_MAX, Record};
    use super::*;

    const LINK: Link = Link {
        seq: u64::MAX,
        prev: [0xab; 32],
        millis: u64::MAX,
    };

    fn app(id: &str) -> AppIdentity {
        AppIdentity {
            id: id.to_owned(),
            digest: AppDigest([7; 32]),
            publisher: None,
        }
    }

    fn line(app: &AppIdentity, target: &str, source: &str) -> String {
        let mut out = "what was there".to_owned();
        let entry = Entry {
            app: Some(app),
            instance: Some(InstanceId(u64::MAX)),
            capability: Some(Capability::NetworkTcpConnect),
            target: Some(&target),
            verdict: Recorded::Deny,
            reason: "not-permitted",
            rule: Some(target),
            source: &source,
        };
        write(&mut out, &LINK, &entry);
        out
    }

    #[test]
    fn a_line_has_the_fields_in_their_order() {
        let line = line(
            &app("com.example.a"),
            "a.example -> 1.2.3.4:443",
            "policy.toml:3",
        );
        let prev = "ab".repeat(32);
        let digest = "07".repeat(32);
        assert_eq!(
            line,
            format!(
                "{{\"v\":1,\"seq\":18446744073709551615,\"prev\":\"{prev}\",\"t\":\"9999-12-31T23:59:59.999Z\",\
                 \"app\":\"com.example.a\",\"digest\":\"sha256:{digest}\",\"instance\":18446744073709551615,\
                 \"cap\":\"network.tcp.connect\",\"target\":\"a.example -> 1.2.3.4:443\",\"verdict\":\"deny\",\
                 \"reason\":\"not-permitted\",\"rule\":\"a.example -> 1.2.3.4:443\",\"source\":\"policy.toml:3\"}}"
            )
        );
    }

    /// Goal: nothing a guest or a manifest writes gets out of its field, or reaches a terminal.
    /// Method: texts with newlines, quotes, controls, bidirectional and invisible characters, and ones
    /// that look like the rest of a record; the line is one line, reads back as one record, and each
    /// field holds what `escape` makes of the text.
    #[test]
    fn reject_text_that_would_leave_its_field() {
        for evil in [
            "a\nb\r\n{\"v\":1}",
            "\",\"verdict\":\"allow\",\"x\":\"",
            "\\\",\"verdict\":\"allow\"",
            "\u{202e}evil\u{2066}\u{200b}\u{feff}\u{e0041}",
            "\x1b[2J\x1b]0;title\x07\x7f\u{9b}31m",
            "\0\u{2028}\u{2029}",
            "büro 東京 🦀",
        ] {
            let line = line(&app(evil), evil, evil);
            assert!(!line.contains(char::is_control), "{line}");
            assert!(!line.contains(['\u{202e}', '\u{2066}', '\u{2028}', '\u{feff}']));
            let record = Record::parse(line.as_bytes()).expect("one record");
            for field in [
                record.app.as_deref(),
                record.target.as_deref(),
                record.rule.as_deref(),
            ] {
                assert_eq!(field, Some(escape(evil).as_str()));
            }
            assert_eq!(record.source, escape(evil));
            assert_eq!(record.verdict, "deny");
        }
    }

    /// Who signed the app, where that was verified.
    #[test]
    fn a_line_names_the_publisher_there_is() {
        let mut signed = app("com.example.a");
        signed.publisher = Some(PublisherKey([0xab; 42]));
        let line = line(&signed, "t", "s");
        let key = "q6ur".repeat(14);
        assert!(
            line.contains(&format!("\",\"publisher\":\"{key}\",\"instance\":")),
            "{line}"
        );
        let record = Record::parse(line.as_bytes()).expect("one record");
        assert_eq!(record.publisher, Some(key));
    }

    /// At the limit a text stays whole, past it it is cut and marked; the longest record of all keeps
    /// the bound of a line. Each kind of character, as one that grows takes the most.
    #[test]
    fn every_field_is_bounded() {
        let whole = line(&app(&"a".repeat(APP_BYTES)), "t", "s");
        assert!(!whole.contains('…'));
        let cut = line(&app(&"a".repeat(APP_BYTES + 1)), "t", "s");
        assert_eq!(cut.replace('…', ""), whole);
        for c in ["a", "\"", "\n", "\u{e0fff}", "東", "🦀"] {
            let long = c.repeat(100_000);
            let mut longest = app(&long);
            longest.publisher = Some(PublisherKey([0xff; 42]));
            let line = line(&longest, &long, &long);
            assert!(line.len() <= RECORD_BYTES_MAX, "{}", line.len());
            assert!(line.len() < 3_200);
            Record::parse(line.as_bytes()).expect("one record");
        }
    }
}
