//! Where a segment ends and the next one begins.

use std::fs;
use std::io;

use nexus_policy::Unrecorded;
use nexus_types::{Duration, Instant};

use super::head::Kind;
use super::names::{SEGMENT_MAX, SegmentName};
use super::out::{Out, locked};
use super::read::SEGMENT_OPENED;
use super::writer::{RETRY_AFTER, ROOM_BYTES, Writer};
use super::{room, time};

/// How long other hosts that make room are waited for; records wait meanwhile.
const PATIENCE: Duration = Duration::from_millis(200);

impl Writer {
    /// Makes sure that a record and what goes with it fit the segment and the buffer.
    pub(super) fn make_room(&mut self, now: Instant) -> Result<(), Unrecorded> {
        let len = self.log.len + self.pending.len() as u64;
        // As much again is kept for the record that ends the chain.
        if len + 2 * ROOM_BYTES > self.options.segment_bytes {
            self.rotate(now)?;
        } else if self.heads_written >= self.options.heads_max {
            // Where that cannot be there is room for records still, and no more heads until it can.
            let _ = self.rotate(now);
        }
        if self.pending.len() + ROOM_BYTES as usize > self.options.buffer_bytes {
            self.write_out(now).map_err(|_| Unrecorded)?;
        }
        Ok(())
    }

    /// Begins the next segment: it is there, with its first record, before the one before it is signed as ended.
    fn rotate(&mut self, now: Instant) -> Result<(), Unrecorded> {
        if now < self.rotate_not_before || self.segment.number >= SEGMENT_MAX {
            return Err(Unrecorded);
        }
        let rotated = self.write_out(now).and_then(|()| self.next_segment());
        if rotated.is_err() {
            self.rotate_not_before = now + RETRY_AFTER;
        }
        rotated.map_err(|_| Unrecorded)
    }

    fn next_segment(&mut self) -> io::Result<()> {
        let millis = time::millis((self.clock)());
        let wanted = room::Wanted {
            bounds: self.options.bounds(),
            bytes: self.options.segment_bytes,
            chain: &self.segment.chain,
            millis,
            patience: PATIENCE,
        };
        if !room::make(&self.place, &self.key, &wanted, &mut self.told)? {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let next = SegmentName {
            chain: self.segment.chain.clone(),
            number: self.segment.number + 1,
        };
        let path = self.place.log_file(&next);
        let log = Out::create(
            &path,
            #[cfg(test)]
            &self.disk,
        )?;
        let log = locked(log, &path)?;
        let (before, ended) = (self.mark(), std::mem::replace(&mut self.log, log));
        let name = std::mem::replace(&mut self.segment, next);
        if let Err(error) = self.first_line(SEGMENT_OPENED) {
            let _ = fs::remove_file(&path);
            (self.log, self.segment) = (ended, name);
            return Err(error);
        }
        // Heads: of what has ended, then of what has begun. One that cannot be written is no loss that
        // shows later: the next one speaks for everything before it.
        let next = std::mem::replace(&mut self.segment, name);
        let reached = (
            std::mem::replace(&mut self.seq, before.seq),
            std::mem::replace(&mut self.hash, before.hash),
        );
        let _ = self.head(Kind::Rotated);
        (self.seq, self.hash) = reached;
        (self.segment, self.heads, self.heads_written) = (next, None, 0);
        let _ = self.head(Kind::Opened);
        drop(ended);
        Ok(())
    }
}
