//! One record, read back.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Hash, VERSION, time, unhex};

/// A line of the log. The texts are as the writer escaped them, if the writer wrote them: whoever shows
/// one escapes it again.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The layout, see [`VERSION`].
    pub v: u32,
    /// Counts the records of a chain from 1, over all its segments.
    pub seq: u64,
    /// The SHA-256 of the line before it, in hexadecimal digits; of a chain's first record: zeros.
    pub prev: String,
    /// When, RFC 3339 in UTC with milliseconds.
    pub t: String,
    /// Whose act, by the id of its manifest; none: the host's own.
    pub app: Option<String>,
    /// The SHA-256 of the app's component.
    pub digest: Option<String>,
    /// Whose signature over that was verified; not there: nobody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub publisher: Option<String>,
    /// Which run of it within this host process.
    pub instance: Option<u64>,
    /// By which capability.
    pub cap: Option<String>,
    /// At what.
    pub target: Option<String>,
    /// `allow`, `deny`, `revoke`, `event`.
    pub verdict: String,
    /// The stable reason of a refusal, also of one that `--mode` let pass; the word of an event; else empty.
    pub reason: String,
    /// The operator's rule that decided.
    pub rule: Option<String>,
    /// Whose word it was.
    pub source: String,
}

/// Why a line is no record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Problem {
    /// No JSON, or not of this shape; with serde's words, which quote at most a field's name.
    Shape(String),
    /// Of a layout that this host does not know.
    Version(u32),
    /// `prev` is no SHA-256.
    Prev,
    /// `t` is no moment.
    Time,
    /// `verdict` is no word of ours.
    Verdict,
}

impl Record {
    /// Reads a line without its newline.
    ///
    /// # Errors
    /// It is no record.
    pub fn parse(line: &[u8]) -> Result<Self, Problem> {
        // The version first: another layout is not to be called broken.
        #[derive(Deserialize)]
        struct Version {
            v: u32,
        }
        let record = match serde_json::from_slice::<Self>(line) {
            Ok(record) => record,
            Err(error) => {
                return Err(match serde_json::from_slice::<Version>(line) {
                    Ok(Version { v }) if v != VERSION => Problem::Version(v),
                    _ => Problem::Shape(error.to_string()),
                });
            }
        };
        if record.v != VERSION {
            return Err(Problem::Version(record.v));
        }
        if record.prev_hash().is_none() {
            return Err(Problem::Prev);
        }
        if time::parse(&record.t).is_none() {
            return Err(Problem::Time);
        }
        if !["allow", "deny", "revoke", "event"].contains(&record.verdict.as_str()) {
            return Err(Problem::Verdict);
        }
        Ok(record)
    }

    /// What [`Self::prev`] says.
    pub fn prev_hash(&self) -> Option<Hash> {
        unhex(&self.prev)
    }

    /// What [`Self::t`] says, in milliseconds since 1970.
    pub fn millis(&self) -> Option<u64> {
        time::parse(&self.t)
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // serde quotes names of fields that the line made up.
            Self::Shape(error) => {
                write!(f, "is no record: {}", nexus_policy::explain::escape(error))
            }
            Self::Version(v) => write!(
                f,
                "is of layout {v}; this nexus-host reads layout {VERSION}: use the one that wrote it"
            ),
            Self::Prev => {
                f.write_str("is no record: `prev` is not 64 lower-case hexadecimal digits")
            }
            Self::Time => {
                f.write_str("is no record: `t` is no time such as 2026-11-27T11:38:56.123Z")
            }
            Self::Verdict => {
                f.write_str("is no record: `verdict` is not allow, deny, revoke or event")
            }
        }
    }
}
