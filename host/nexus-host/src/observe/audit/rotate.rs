//! Where a segment ends and the next one begins, and where a chain ends.

use std::fs;
use std::io;

use nexus_policy::Unrecorded;
use nexus_types::{Duration, Instant};

use super::head::Kind;
use super::names::{self, SEGMENT_MAX, SegmentName};
use super::out::{Out, locked};
use super::place::shown;
use super::read::{CHAIN_CLOSED, CHAIN_OPENED, SEGMENT_OPENED};
use super::writer::{RETRY_AFTER, ROOM_BYTES, Writer, own};
use super::{Hash, room, time};

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
        if let Some(ahead) = self.options.ahead_bytes {
            // A record, and those that end the chain, after what waits.
            let end = self.log.len + self.pending.len() as u64 + 2 * ROOM_BYTES;
            self.log.reserve(end, ahead).map_err(|_| Unrecorded)?;
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
        let rotated = self.write_out(now).and_then(|()| self.next_segment(now));
        if rotated.is_err() {
            self.rotate_not_before = now + RETRY_AFTER;
        }
        rotated.map_err(|_| Unrecorded)
    }

    fn next_segment(&mut self, now: Instant) -> io::Result<()> {
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
        match self.go_on(next, now) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // Else whoever can tell its name could end the log for the rest of the run.
                self.told.new.push(format!(
                    "{}: somebody else made it, or its heads; the log goes on in another chain",
                    shown(&path)
                ));
                let chain = names::new_chain(millis).map_err(io::Error::other)?;
                self.go_on(SegmentName { chain, number: 1 }, now)
            }
            done => done,
        }
    }

    /// Goes on in the next segment, or in another chain.
    fn go_on(&mut self, next: SegmentName, now: Instant) -> io::Result<()> {
        let paths = [self.place.log_file(&next), self.place.heads_file(&next)];
        let same = next.chain == self.segment.chain;
        let log = Out::create(
            &paths[0],
            #[cfg(test)]
            &self.disk,
        )?;
        let log = locked(log, &paths[0])?;
        let mut other = Open {
            segment: next,
            log,
            heads: None,
            heads_written: 0,
            seq: if same { self.seq } else { 0 },
            hash: if same { self.hash } else { Hash::default() },
            signed: if same { self.signed } else { 0 },
        };
        // What it had is put aside, and comes back if the next one cannot begin.
        self.swap(&mut other);
        let begun = self
            .first_line(if same { SEGMENT_OPENED } else { CHAIN_OPENED })
            .and_then(|()| self.head(Kind::Opened));
        if let Err(error) = begun {
            let [log, heads] = &paths;
            let _ = fs::remove_file(log);
            // Heads that somebody else made stay.
            if self.heads.is_some() {
                let _ = fs::remove_file(heads);
            }
            self.swap(&mut other);
            return Err(error);
        }
        self.swap(&mut other);
        if same {
            // One that cannot be written is no loss: that which begins the next segment speaks for all before it.
            let _ = self.head(Kind::Rotated);
        } else {
            self.last_line(now);
        }
        self.end_files();
        self.swap(&mut other);
        Ok(())
    }

    /// Ends the chain: what could not be kept, the last line, a head that says so.
    pub(super) fn last_line(&mut self, now: Instant) {
        let target = self.segment.to_string();
        // Room for it is kept in every segment. A chain that did not end by itself says so by its lack.
        let mark = self.mark();
        let millis = self.now();
        self.tell_dropped(millis);
        self.add(&own(CHAIN_CLOSED, &target), millis);
        if self.write_out(now).is_ok() {
            let _ = self.head(Kind::Closed);
        } else {
            self.back_to(mark);
            self.pending.clear();
        }
    }

    /// Gives back what the disk keeps for files that are over.
    pub(super) fn end_files(&mut self) {
        self.log.end();
        if let Some(heads) = &mut self.heads {
            heads.end();
        }
    }

    fn swap(&mut self, other: &mut Open) {
        std::mem::swap(&mut self.segment, &mut other.segment);
        std::mem::swap(&mut self.log, &mut other.log);
        std::mem::swap(&mut self.heads, &mut other.heads);
        std::mem::swap(&mut self.heads_written, &mut other.heads_written);
        std::mem::swap(&mut self.seq, &mut other.seq);
        std::mem::swap(&mut self.hash, &mut other.hash);
        std::mem::swap(&mut self.signed, &mut other.signed);
    }
}

/// A segment that is not the one that is written.
struct Open {
    segment: SegmentName,
    log: Out,
    heads: Option<Out>,
    heads_written: u32,
    seq: u64,
    hash: Hash,
    signed: u64,
}
