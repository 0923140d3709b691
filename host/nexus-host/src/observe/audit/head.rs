//! A head: a signed line that says how far a segment reached.
//!
//! The signature is over the bytes of the line before `,"sig"`, so what was signed is what stands there
//! and no canonical form is needed.

use std::fmt::Write as _;

use nexus_policy::explain::escape;
use serde::Deserialize;

use super::fault::Fault;
use super::key::{HostKey, KeyId, PublicKey};
use super::names::SegmentName;
use super::{Hash, VERSION, push_hex, time, unhex};

/// `,"sig":"`, 128 digits, `"}`.
const TAIL_BYTES: usize = 8 + 128 + 2;

/// What a head says.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    /// The segment has begun, with this record.
    Opened,
    /// It had reached this record.
    Reached,
    /// It ends with this record, and the next one has begun.
    Rotated,
    /// It ends with this record, and so does the chain.
    Closed,
    /// The chain was given up to the end of this segment to make room; this was its last record.
    Dropped,
    /// The same, and something that was given up was not as it was signed.
    Broken,
}

impl Kind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Reached => "reached",
            Self::Rotated => "rotated",
            Self::Closed => "closed",
            Self::Dropped => "dropped",
            Self::Broken => "broken",
        }
    }

    /// Says what was given up, of a whole chain.
    pub(super) const fn is_statement(self) -> bool {
        matches!(self, Self::Dropped | Self::Broken)
    }

    /// Nothing comes after it in its segment.
    pub(super) const fn ends(self) -> bool {
        matches!(self, Self::Rotated | Self::Closed)
    }
}

/// One head.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub(super) kind: Kind,
    pub(super) segment: SegmentName,
    /// Of the record; 0: none could be read of what was given up.
    pub(super) seq: u64,
    /// The SHA-256 of its line.
    pub(super) hash: Hash,
    pub(super) millis: u64,
}

impl Head {
    /// The line, with its newline.
    pub(super) fn line(&self, key: &HostKey) -> String {
        let mut line = String::with_capacity(super::HEAD_BYTES_MAX);
        // Writing to a String cannot fail. Nothing here needs escaping: a chain's name has letters,
        // digits and hyphens.
        let _ = write!(
            line,
            "{{\"v\":{VERSION},\"kind\":\"{}\",\"chain\":\"{}\",\"segment\":{},\"seq\":{},\"hash\":\"",
            self.kind.as_str(),
            self.segment.chain,
            self.segment.number,
            self.seq
        );
        push_hex(&mut line, &self.hash);
        line.push_str("\",\"t\":\"");
        time::push(&mut line, self.millis);
        let _ = write!(line, "\",\"key\":\"{}\"", key.id());
        let signature = key.sign(line.as_bytes());
        line.push_str(",\"sig\":\"");
        push_hex(&mut line, &signature);
        line.push_str("\"}\n");
        line
    }

    /// Reads a line without its newline, and checks its signature; `expected`: the file it stands in.
    pub(super) fn parse(
        line: &[u8],
        key: &PublicKey,
        expected: &SegmentName,
    ) -> Result<Self, Fault> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Body {
            v: u32,
            kind: Kind,
            chain: String,
            segment: u32,
            seq: u64,
            hash: String,
            t: String,
            key: String,
            sig: String,
        }
        let shape = |error: &dyn std::fmt::Display| Fault::NoHead(escape(&error.to_string()));
        let body: Body = serde_json::from_slice(line).map_err(|error| shape(&error))?;
        if body.v != VERSION {
            return Err(shape(&format!("it is of layout {}", body.v)));
        }
        let id = unhex(&body.key)
            .map(KeyId)
            .ok_or_else(|| shape(&"`key` is no key's name"))?;
        if id != key.id() {
            return Err(Fault::WrongKey {
                found: id,
                expected: key.id(),
            });
        }
        let signature = unhex(&body.sig).ok_or_else(|| shape(&"`sig` is no signature"))?;
        let signed = line
            .len()
            .checked_sub(TAIL_BYTES)
            .map(|end| line.split_at(end));
        // The tail as we write it: else something that is not signed could stand behind the signature.
        let (signed, tail) = signed.ok_or(Fault::BadSignature)?;
        if tail != format!(",\"sig\":\"{}\"}}", body.sig).as_bytes()
            || !key.verifies(signed, &signature)
        {
            return Err(Fault::BadSignature);
        }
        let head = Self {
            kind: body.kind,
            segment: SegmentName {
                chain: body.chain,
                number: body.segment,
            },
            seq: body.seq,
            hash: unhex(&body.hash).ok_or_else(|| shape(&"`hash` is no SHA-256"))?,
            millis: time::parse(&body.t).ok_or_else(|| shape(&"`t` is no time"))?,
        };
        let dropped = head.kind.is_statement();
        // A statement of what was given up stands in a file of the whole chain.
        let same = head.segment.chain == expected.chain
            && (head.segment.number == expected.number || (dropped && expected.number == 0));
        if !same || dropped != (expected.number == 0) {
            return Err(Fault::HeadElsewhere {
                of: head.segment.to_string(),
            });
        }
        Ok(head)
    }
}
