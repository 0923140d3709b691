//! The audit log: every decision, in a chain of hashes, with signed heads kept apart from it.
//!
//! ```text
//! STATE/audit/CHAIN.000001.jsonl         one record a line; one chain a host process, in segments
//! STATE/audit-heads/CHAIN.000001.heads   signed: how far that segment reached, and with what hash
//! STATE/audit-heads/CHAIN.dropped        signed: up to which segment the chain was given up for room
//! STATE/keys/audit.key, audit.pub        the Ed25519 key the heads are signed with, and its public half
//! ```
//!
//! `prev` of a record is the SHA-256 of the whole line before it, without its newline. A line does not
//! carry its own hash: it would say nothing that whoever edits the line cannot also edit, and this way
//! there is no canonical form to disagree about; `sha256sum` on a line is proof.
//!
//! A chain shows an edit, a deletion, a swap, a splice. It cannot show that its end was cut off, or that
//! all of it was written anew: the heads do. They lie in a folder of their own so that they can be
//! copied elsewhere, or put on another disk, and are small.
//!
//! Nothing here reads a clock: the one who opens a [`Writer`] gives it one.

mod evict;
pub mod fault;
mod follow;
mod head;
mod heads;
mod key;
mod line;
mod log;
mod names;
mod options;
mod out;
mod place;
pub mod read;
mod record;
mod room;
mod rotate;
mod sign;
pub mod time;
pub mod verify;
mod writer;

#[cfg(test)]
mod loss_tests;
#[cfg(test)]
mod room_tests;
#[cfg(test)]
mod tail_tests;
#[cfg(test)]
mod tamper_tests;
#[cfg(test)]
mod test_support;
#[cfg(test)]
mod writer_tests;

pub use fault::{Fault, Finding};
pub use key::{KeyId, PublicKey};
pub use log::{AuditLog, Broken};
pub use names::SegmentName;
pub use options::{OpenError, Options};
pub use place::{Place, open_plain, open_segment};
pub use record::{Problem, Record};
pub use writer::Writer;

/// A SHA-256.
pub type Hash = [u8; 32];

/// One line, its newline not counted. What the writer makes is shorter by construction ([`line`]); a
/// reader that met a longer one would fill memory with what an attacker wrote.
pub const RECORD_BYTES_MAX: usize = 4096;

/// One line of a heads file: about 500 bytes with the longest chain name.
pub const HEAD_BYTES_MAX: usize = 1024;

/// One segment. A file of the log that is longer was written by somebody else: it is not read to its end, and a
/// sparse one has none that is worth waiting for.
pub const SEGMENT_BYTES_MAX: u64 = 8 << 20;

/// A head is signed after so many records, and when the last one is so long ago. What more there is without one,
/// with some slack, no host wrote.
const HEAD_RECORDS: u64 = 1024;
const HEAD_AFTER: std::time::Duration = std::time::Duration::from_secs(10);

/// The layout of a record and of a head.
pub const VERSION: u32 = 1;

/// Lower-case hexadecimal digits of `bytes`, after what is in `out`. Two hashes a record: not digit by digit.
fn push_hex(out: &mut String, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for bytes in bytes.chunks(32) {
        let mut text = [0; 64];
        for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        push_ascii(out, &text[..bytes.len() * 2]);
    }
}

/// Text that is ASCII by construction.
fn push_ascii(out: &mut String, text: &[u8]) {
    out.push_str(std::str::from_utf8(text).unwrap_or_default());
}

fn hex(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len() * 2);
    push_hex(&mut out, bytes);
    out
}

/// Reads exactly `N` bytes of lower-case hexadecimal digits: there is one way to write a hash.
fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let text = text.as_bytes();
    if text.len() != N * 2 {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}
