//! When a head is signed, and that no record comes long after the last one without.

use std::io;

use nexus_policy::Unrecorded;
use nexus_types::Instant;

use super::HEAD_BYTES_MAX;
use super::head::{Head, Kind};
use super::heads::HEADS_MAX;
use super::out::Out;
use super::writer::{RETRY_AFTER, Writer};

/// Bytes of the disk kept ahead for heads.
const HEADS_AHEAD: u64 = 2048;

impl Writer {
    /// Writes the buffer and signs a head for it, unless one speaks for all of it already.
    pub(super) fn sign(&mut self, now: Instant) {
        self.head_at = None;
        // A segment that cannot end has more of them, up to what a reader takes.
        let wanted = self.signed < self.seq && self.heads_written < HEADS_MAX as u32 - 2;
        if self.write_out(now).is_err() || (wanted && self.head(Kind::Reached).is_err()) {
            self.head_not_before = now + RETRY_AFTER;
            self.head_at = Some(self.head_not_before);
        }
    }

    /// Signs a head for the last record; all of them are in the file.
    pub(super) fn head(&mut self, kind: Kind) -> io::Result<()> {
        let millis = self.now();
        let head = Head {
            kind,
            segment: self.segment.clone(),
            seq: self.seq,
            hash: self.hash,
            millis,
        };
        if self.heads.is_none() {
            let path = self.place.heads_file(&self.segment);
            self.heads = Some(Out::create(
                &path,
                #[cfg(test)]
                &self.disk,
            )?);
        }
        if let Some(heads) = &mut self.heads {
            if let (Some(_), false) = (self.options.ahead_bytes, kind.ends()) {
                // Itself, and the one that ends the segment.
                heads.reserve(heads.len + 2 * HEAD_BYTES_MAX as u64, HEADS_AHEAD)?;
            }
            heads.write_whole(head.line(&self.key).as_bytes())?;
        }
        self.heads_written += 1;
        (self.signed, self.head_millis) = (self.seq, millis);
        Ok(())
    }

    /// Signs before a record where the last head is long ago; an error where that cannot be done.
    pub(super) fn sign_first(&mut self, now: Instant, millis: u64) -> Result<(), Unrecorded> {
        if self.signed < self.seq {
            // No record comes long after the last head without one before it, by the clock of the records: what
            // stands there without was put in.
            if self.heads_ago(millis) >= 1 && now >= self.head_not_before {
                self.sign(now);
            }
            let unsigned = self.seq - self.signed;
            let too_many = unsigned >= self.options.head_records.saturating_mul(2);
            if too_many || (unsigned > 0 && self.heads_ago(millis) >= 2) {
                return Err(Unrecorded);
            }
        }
        Ok(())
    }

    /// How many times the longest between heads have gone since the last one.
    pub(super) fn heads_ago(&self, millis: u64) -> u64 {
        let often = self.options.head_after.as_millis().max(1) as u64;
        millis.abs_diff(self.head_millis) / often
    }
}
