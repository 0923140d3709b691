//! Writes one chain: lines into a buffer, the buffer into a segment, heads beside it.
//!
//! Invariants:
//! 1. what is in the file and then in the buffer is always a whole chain; a line that the disk took in
//!    part is finished by the next write or cut off again, never left behind with another after it;
//! 2. a record counts (`seq`, `prev`) exactly if `record` said that it is kept;
//! 3. a head speaks only for records the kernel has.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use nexus_policy::{Auditor, Capability, Entry, Recorded, Unrecorded};
use nexus_types::{Duration, Instant};
use sha2::{Digest, Sha256};

use super::head::Kind;
use super::key::HostKey;
use super::line::{self, Link};
use super::names::{self, SegmentName};
use super::options::{OpenError, Options};
use super::out::{Out, locked};
use super::place::{Place, shown};
use super::read::{CHAIN_OPENED, RECORDS_DROPPED};
use super::room;
use super::{Hash, RECORD_BYTES_MAX, SEGMENT_BYTES_MAX, time};

/// A line, its newline, and the same for the record that says how many were dropped before it.
pub(super) const ROOM_BYTES: u64 = 2 * (RECORD_BYTES_MAX as u64 + 1);

/// How long a record may wait in the buffer. What a host that is killed has not written is lost, so not
/// for long; a write each would cost more than the decision.
const FLUSH_AFTER: Duration = Duration::from_millis(250);

/// How long until a disk that took nothing, or a folder without room, is tried again: it is listed each time.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How long a host that starts waits for others that make room.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where the chain stands, to go back to.
#[derive(Clone, Copy)]
pub(super) struct Mark {
    pub(super) seq: u64,
    pub(super) hash: Hash,
    /// Of the file and the buffer together.
    len: u64,
    untold: u64,
}

/// Writes the chain of this process.
pub struct Writer {
    pub(super) place: Place,
    pub(super) key: HostKey,
    pub(super) options: Options,
    pub(super) clock: Box<dyn FnMut() -> SystemTime + Send>,
    pub(super) segment: SegmentName,
    pub(super) log: Out,
    pub(super) heads: Option<Out>,
    pub(super) heads_written: u32,
    /// Of the last record.
    pub(super) seq: u64,
    pub(super) hash: Hash,
    /// What is to be written after what is in the file.
    pub(super) pending: Vec<u8>,
    /// The line being made; kept for its room.
    line: String,
    /// Records not kept and not told of in the chain yet; and all.
    pub(super) untold: u64,
    dropped: u64,
    /// The last record a head speaks for, and when the last head was signed.
    pub(super) signed: u64,
    pub(super) head_millis: u64,
    pub(super) flush_at: Option<Instant>,
    pub(super) head_at: Option<Instant>,
    /// A head that could not be written is not signed again for each record.
    pub(super) head_not_before: Instant,
    /// No new segment before.
    pub(super) rotate_not_before: Instant,
    closed: bool,
    /// What a person should know, and was not told yet.
    pub(super) told: room::Warnings,
    #[cfg(test)]
    pub(super) disk: super::test_support::Disk,
}

impl Writer {
    /// Begins a chain in a state folder. `clock`: the time of day, for `t` and for nothing else.
    ///
    /// # Errors
    /// The folder cannot be used.
    pub fn open(
        state: &Path,
        clock: impl FnMut() -> SystemTime + Send + 'static,
    ) -> Result<Self, OpenError> {
        Self::open_with(state, clock, Options::default())
    }

    /// The same with other bounds.
    ///
    /// # Errors
    /// The folder cannot be used.
    pub fn open_with(
        state: &Path,
        clock: impl FnMut() -> SystemTime + Send + 'static,
        options: Options,
    ) -> Result<Self, OpenError> {
        Self::begin(
            state,
            Box::new(clock),
            options,
            #[cfg(test)]
            super::test_support::Disk::default(),
        )
    }

    pub(super) fn begin(
        state: &Path,
        mut clock: Box<dyn FnMut() -> SystemTime + Send>,
        mut options: Options,
        #[cfg(test)] disk: super::test_support::Disk,
    ) -> Result<Self, OpenError> {
        // Less would hold no record.
        options.segment_bytes = options
            .segment_bytes
            .clamp(2 * ROOM_BYTES, SEGMENT_BYTES_MAX);
        options.buffer_bytes = options.buffer_bytes.max(2 * ROOM_BYTES as usize);
        let place = Place::make(state).map_err(|(path, error)| OpenError::Folder(path, error))?;
        let key =
            HostKey::open(&place).map_err(|error| OpenError::Key(place.keys.clone(), error))?;
        let millis = time::millis(clock());
        let segment = SegmentName {
            chain: names::new_chain(millis).map_err(|_| OpenError::Random)?,
            number: 1,
        };
        let wanted = room::Wanted {
            bounds: options.bounds(),
            bytes: options.segment_bytes,
            chain: &segment.chain,
            millis,
            patience: PATIENCE,
        };
        let mut told = room::Warnings::default();
        let room = room::make(&place, &key, &wanted, &mut told)
            .map_err(|error| OpenError::Folder(place.log.clone(), error))?;
        if !room {
            return Err(OpenError::NoRoom(place.log));
        }
        let path = place.log_file(&segment);
        let log = Out::create(
            &path,
            #[cfg(test)]
            &disk,
        )
        .and_then(|out| locked(out, &path))
        .map_err(|error| OpenError::File(path, error))?;
        let mut writer = Self {
            place,
            key,
            options,
            clock,
            segment,
            log,
            heads: None,
            heads_written: 0,
            seq: 0,
            hash: Hash::default(),
            pending: Vec::with_capacity(options.buffer_bytes),
            line: String::with_capacity(RECORD_BYTES_MAX),
            untold: 0,
            dropped: 0,
            signed: 0,
            head_millis: 0,
            flush_at: None,
            head_at: None,
            head_not_before: Instant::ZERO,
            rotate_not_before: Instant::ZERO,
            closed: false,
            told,
            #[cfg(test)]
            disk,
        };
        let begun = writer
            .first_line(CHAIN_OPENED)
            .and_then(|()| writer.head(Kind::Opened));
        if let Err(error) = begun {
            // Nothing is left of a chain that did not begin.
            let _ = fs::remove_file(writer.place.heads_file(&writer.segment));
            let path = writer.place.log_file(&writer.segment);
            let _ = fs::remove_file(&path);
            writer.closed = true;
            return Err(OpenError::File(path, error));
        }
        Ok(writer)
    }

    /// The chain's name.
    pub fn chain(&self) -> &str {
        &self.segment.chain
    }

    /// How many records could not be kept.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// What a person should know of the log since this was asked last.
    pub fn warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.told.new)
    }

    /// When [`Self::poll`] has something to do.
    pub fn deadline(&self) -> Option<Instant> {
        [self.flush_at, self.head_at].into_iter().flatten().min()
    }

    /// Does what is due.
    pub fn poll(&mut self, now: Instant) {
        if self.flush_at.is_some_and(|at| at <= now) {
            let _ = self.write_out(now);
        }
        if self.head_at.is_some_and(|at| at <= now) {
            self.sign(now);
        }
    }

    /// Hands every buffered record to the kernel and signs a head for them, if there is none yet.
    pub fn flush(&mut self, now: Instant) {
        if !self.closed {
            self.sign(now);
        }
    }

    /// Ends the chain. What comes after it is not recorded.
    pub fn close(&mut self, now: Instant) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        self.last_line(now);
        self.end_files();
        (self.flush_at, self.head_at) = (None, None);
    }

    pub(super) fn mark(&self) -> Mark {
        Mark {
            seq: self.seq,
            hash: self.hash,
            len: self.log.len + self.pending.len() as u64,
            untold: self.untold,
        }
    }

    /// Takes back what was added since. Where the disk has part of it and will not give it back, it stays,
    /// and is finished later: the chain is whole either way.
    pub(super) fn back_to(&mut self, mark: Mark) {
        if self.log.len > mark.len {
            if self.log.cut(mark.len).is_err() {
                return;
            }
            self.pending.clear();
        } else {
            let kept = usize::try_from(mark.len - self.log.len).unwrap_or(usize::MAX);
            self.pending.truncate(kept);
        }
        (self.seq, self.hash, self.untold) = (mark.seq, mark.hash, mark.untold);
    }

    /// The time of day.
    pub(super) fn now(&mut self) -> u64 {
        time::millis((self.clock)())
    }

    /// Adds a line to the buffer.
    pub(super) fn add(&mut self, entry: &Entry<'_>, millis: u64) {
        self.make_line(entry, millis);
        self.seq += 1;
        self.hash = Sha256::digest(self.line.as_bytes()).into();
        self.pending.extend_from_slice(self.line.as_bytes());
        self.pending.push(b'\n');
    }

    fn make_line(&mut self, entry: &Entry<'_>, millis: u64) {
        let link = Link {
            seq: self.seq + 1,
            prev: self.hash,
            millis,
        };
        line::write(&mut self.line, &link, entry);
    }

    pub(super) fn tell_dropped(&mut self, millis: u64) {
        if self.untold > 0 {
            let told = format!("{} records", self.untold);
            self.untold = 0;
            self.add(&own(RECORDS_DROPPED, &told), millis);
        }
    }

    /// The first line of a segment goes to the file before anything else does.
    pub(super) fn first_line(&mut self, reason: &str) -> io::Result<()> {
        let target = self.segment.to_string();
        let millis = self.now();
        self.make_line(&own(reason, &target), millis);
        let hash: Hash = Sha256::digest(self.line.as_bytes()).into();
        self.line.push('\n');
        self.log.write_whole(self.line.as_bytes())?;
        self.seq += 1;
        self.hash = hash;
        Ok(())
    }

    /// Writes the buffer to the file.
    pub(super) fn write_out(&mut self, now: Instant) -> io::Result<()> {
        let (done, written) = self.log.write(&self.pending);
        self.pending.drain(..done);
        self.flush_at = if self.pending.is_empty() {
            None
        } else {
            Some(now + RETRY_AFTER)
        };
        written
    }

    fn keep(&mut self, now: Instant, entry: &Entry<'_>) -> Result<(), Unrecorded> {
        self.make_room(now)?;
        let millis = self.now();
        self.sign_first(now, millis)?;
        let late = self.heads_ago(millis) >= 1;
        let mark = self.mark();
        self.tell_dropped(millis);
        self.add(entry, millis);
        if through(entry) && self.write_out(now).is_err() {
            self.back_to(mark);
            return Err(Unrecorded);
        }
        if !self.pending.is_empty() && self.flush_at.is_none() {
            self.flush_at = Some(now + FLUSH_AFTER);
        }
        if self.head_at.is_none() {
            self.head_at = Some(now + self.options.head_after);
        }
        let due = late || self.seq - self.signed >= self.options.head_records;
        if due && now >= self.head_not_before {
            self.sign(now);
        }
        Ok(())
    }
}

impl Auditor for Writer {
    fn record(&mut self, now: Instant, entry: &Entry<'_>) -> Result<(), Unrecorded> {
        let kept = if self.closed {
            Err(Unrecorded)
        } else {
            self.keep(now, entry)
        };
        if kept.is_err() {
            if self.dropped == 0 {
                self.told.new.push(format!(
                    "{}: records of the audit log cannot be kept; sensitive capabilities are refused meanwhile",
                    shown(&self.place.log)
                ));
            }
            self.dropped += 1;
            self.untold += 1;
        }
        kept
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // No time is read here, and none is needed: it only says when to try again.
        self.close(Instant::FAR_FUTURE);
    }
}

/// Whether a record is with the kernel before its act goes on.
fn through(entry: &Entry<'_>) -> bool {
    match entry.verdict {
        Recorded::Event | Recorded::Revoke => true,
        // One without a capability is none that we know: the safe side.
        Recorded::Allow | Recorded::Deny => entry.capability.is_none_or(Capability::is_sensitive),
    }
}

/// A record of the host's own.
pub(super) fn own<'a>(reason: &'a str, target: &'a dyn fmt::Display) -> Entry<'a> {
    Entry {
        app: None,
        instance: None,
        capability: None,
        target: Some(target),
        verdict: Recorded::Event,
        reason,
        rule: None,
        source: &"host",
    }
}
