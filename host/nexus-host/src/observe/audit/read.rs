//! Reads a segment line by line in bounded memory, and follows its chain.

use std::io::{self, BufRead, BufReader, Read};

use sha2::{Digest, Sha256};

use super::fault::Fault;
use super::names::SegmentName;
use super::record::Record;
use super::{Hash, RECORD_BYTES_MAX};

/// Faults told of one segment: after an edit everything may be wrong, and the first ones say where.
const FAULTS_MAX: usize = 16;

/// The reason of the first record of a chain, of a segment after the first, of a chain's last record,
/// and of one that says how many could not be kept.
pub(super) const CHAIN_OPENED: &str = "chain-opened";
pub(super) const SEGMENT_OPENED: &str = "segment-opened";
pub(super) const CHAIN_CLOSED: &str = "chain-closed";
pub(super) const RECORDS_DROPPED: &str = "records-dropped";

/// Lines of a file, none kept that is longer than a bound.
pub struct Lines<R> {
    reader: BufReader<R>,
    line: Vec<u8>,
    bytes_max: usize,
    number: u64,
    whole: u64,
}

/// One line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Line<'a> {
    /// Whole, without its newline.
    Whole(&'a [u8]),
    /// The file ends before the line does.
    CutOff(&'a [u8]),
    /// Longer than the bound; passed over, not kept.
    TooLong,
}

impl<R: Read> Lines<R> {
    /// Those of a segment.
    pub fn records(reader: R) -> Self {
        Self::new(reader, RECORD_BYTES_MAX)
    }

    pub(super) fn new(reader: R, bytes_max: usize) -> Self {
        Self {
            reader: BufReader::with_capacity(64 << 10, reader),
            line: Vec::new(),
            bytes_max,
            number: 0,
            whole: 0,
        }
    }

    /// Bytes of the lines so far that were whole, newlines included.
    pub fn whole_bytes(&self) -> u64 {
        self.whole
    }

    /// The next line and its number, from 1; none: the file ends.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn next_line(&mut self) -> io::Result<Option<(u64, Line<'_>)>> {
        self.line.clear();
        let (mut too_long, mut length) = (false, 0);
        loop {
            let chunk = match self.reader.fill_buf() {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                chunk => chunk?,
            };
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let piece = &chunk[..end.unwrap_or(chunk.len())];
            if piece.len() > self.bytes_max - self.line.len() {
                too_long = true;
            }
            if !too_long {
                self.line.extend_from_slice(piece);
            }
            let (taken, over) = (piece.len() + usize::from(end.is_some()), chunk.is_empty());
            self.reader.consume(taken);
            length += taken as u64;
            if over && self.line.is_empty() && !too_long {
                return Ok(None);
            }
            if over || end.is_some() {
                self.number += 1;
                if !over {
                    self.whole += length;
                }
                let line = match (too_long, over) {
                    (true, _) => Line::TooLong,
                    (false, true) => Line::CutOff(&self.line),
                    (false, false) => Line::Whole(&self.line),
                };
                return Ok(Some((self.number, line)));
            }
        }
    }
}

/// A record's place in its chain, and its line in the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reached {
    /// Its number in the chain.
    pub seq: u64,
    /// The SHA-256 of its line.
    pub hash: Hash,
    /// Its line in the file, from 1.
    pub line: u64,
    /// When, in milliseconds since 1970.
    pub millis: u64,
}

/// What a segment's own lines show.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Segment {
    /// What is wrong, with the line.
    pub faults: Vec<(u64, Fault)>,
    /// Faults past the bound of that list.
    pub faults_more: u64,
    /// What its first record names as the one before it: number and hash.
    pub follows: Option<(u64, Hash)>,
    /// Its last record.
    pub last: Option<Reached>,
    /// The last line is not whole.
    pub cut_off: bool,
    /// Its records.
    pub records: u64,
    /// Records that it says could not be kept.
    pub dropped: u64,
    /// Its last record says that the chain ends.
    pub closed: bool,
}

/// Follows a chain through a segment.
pub(super) struct Walk<'a> {
    /// What the segment calls itself in its first record; none: whatever it does.
    name: Option<&'a SegmentName>,
    /// The record the next line must follow; none: not known.
    before: Option<(u64, Hash)>,
    /// A line that did not name the line before it: which of the two was changed, the next line shows.
    suspect: Option<u64>,
    segment: Segment,
}

impl<'a> Walk<'a> {
    pub(super) fn new(name: Option<&'a SegmentName>, before: Option<(u64, Hash)>) -> Self {
        Self {
            name,
            before,
            suspect: None,
            segment: Segment::default(),
        }
    }

    fn fault(&mut self, line: u64, fault: Fault) {
        if self.segment.faults.len() < FAULTS_MAX {
            self.segment.faults.push((line, fault));
        } else {
            self.segment.faults_more += 1;
        }
    }

    /// Takes a line; the record it is, if it is one.
    pub(super) fn take(&mut self, number: u64, line: Line<'_>) -> Option<Reached> {
        let bytes = match line {
            Line::Whole(bytes) => bytes,
            Line::CutOff(_) => {
                self.segment.cut_off = true;
                return None;
            }
            Line::TooLong => {
                self.fault(number, Fault::TooLong);
                (self.before, self.suspect) = (None, None);
                return None;
            }
        };
        let hash: Hash = Sha256::digest(bytes).into();
        let record = match Record::parse(bytes) {
            Ok(record) => record,
            Err(problem) => {
                self.fault(number, Fault::NoRecord(problem));
                // What comes next names this line as it was; that it was changed is said already.
                (self.before, self.suspect) = (None, None);
                return None;
            }
        };
        // `parse` looked at it.
        let prev = record.prev_hash().unwrap_or_default();
        self.follow(number, record.seq, prev);
        if number == 1 {
            self.segment.follows = Some((record.seq.wrapping_sub(1), prev));
            self.first(&record);
        }
        self.segment.records += 1;
        self.segment.closed = record.verdict == "event" && record.reason == CHAIN_CLOSED;
        if record.verdict == "event" && record.reason == RECORDS_DROPPED {
            let told = record
                .target
                .as_deref()
                .and_then(|target| target.split(' ').next());
            let told = told.and_then(|count| count.parse::<u64>().ok());
            self.segment.dropped = self.segment.dropped.saturating_add(told.unwrap_or(0));
        }
        let reached = Reached {
            seq: record.seq,
            hash,
            line: number,
            millis: record.millis().unwrap_or_default(),
        };
        self.before = Some((record.seq, hash));
        self.segment.last = Some(reached);
        Some(reached)
    }

    /// Whether a record names the one before it.
    fn follow(&mut self, number: u64, seq: u64, prev: Hash) {
        let Some((before, hash)) = self.before else {
            return;
        };
        let suspect = self.suspect.take();
        let expected = before.wrapping_add(1);
        let same = prev == hash;
        if let Some(suspect) = suspect {
            // The line under suspicion is as the next line knew it: so the one before it was changed.
            let changed = if same { suspect - 1 } else { suspect };
            self.changed(changed);
        }
        if seq > expected {
            let fault = Fault::Missing {
                from: expected,
                to: seq - 1,
            };
            self.fault(number, fault);
        } else if seq < expected {
            self.fault(
                number,
                Fault::OutOfOrder {
                    expected,
                    found: seq,
                },
            );
        } else if !same && suspect.is_none() {
            self.suspect = Some(number);
        }
    }

    /// Line 0 is the last one of the segment before.
    fn changed(&mut self, line: u64) {
        if line == 0 {
            self.fault(1, Fault::NotAfterSegment);
        } else {
            self.fault(line, Fault::Changed);
        }
    }

    /// The first record says which segment of which chain it begins.
    fn first(&mut self, record: &Record) {
        let target = record.target.as_deref().unwrap_or_default();
        let begins = record.verdict == "event"
            && [CHAIN_OPENED, SEGMENT_OPENED].contains(&record.reason.as_str())
            && self.name.is_none_or(|name| {
                let reason = if name.number == 1 {
                    CHAIN_OPENED
                } else {
                    SEGMENT_OPENED
                };
                record.reason == reason && target == name.to_string()
            });
        if !begins {
            self.fault(1, Fault::NotItsBeginning);
        }
    }

    pub(super) fn finish(mut self) -> Segment {
        if let Some(suspect) = self.suspect.take() {
            // No line after it speaks for it.
            if suspect == 1 {
                self.fault(1, Fault::NotAfterSegment);
            } else {
                self.fault(suspect - 1, Fault::ChangedOrNext);
            }
        }
        self.segment
    }
}

/// Checks a segment by itself, without heads and whatever its name is: what anybody may hand in.
/// Never panics, and takes memory for one line.
pub fn verify_segment(bytes: &[u8]) -> Segment {
    let mut lines = Lines::records(bytes);
    let mut walk = Walk::new(None, None);
    // Memory does not fail to be read.
    while let Ok(Some((number, line))) = lines.next_line() {
        walk.take(number, line);
    }
    walk.finish()
}

/// Reads heads the way a file with heads would be; for a fuzzer.
pub fn read_head(line: &[u8], key: &super::PublicKey) -> Result<(), Fault> {
    let any = SegmentName {
        chain: "a".into(),
        number: 1,
    };
    super::head::Head::parse(line, key, &any).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(bytes: &[u8], bytes_max: usize) -> Vec<String> {
        let mut lines = Lines::new(bytes, bytes_max);
        let mut all = Vec::new();
        while let Some((number, line)) = lines.next_line().expect("memory") {
            all.push(match line {
                Line::Whole(line) => format!("{number} {}", String::from_utf8_lossy(line)),
                Line::CutOff(line) => format!("{number} {}…", String::from_utf8_lossy(line)),
                Line::TooLong => format!("{number} too long"),
            });
        }
        all
    }

    #[test]
    fn lines_have_numbers_and_ends() {
        assert_eq!(lines(b"", 9), [""; 0]);
        assert_eq!(lines(b"a\n\nb", 9), ["1 a", "2 ", "3 b…"]);
    }

    /// At the limit a line is kept, past it it is passed over, however long, and the next one is read.
    #[test]
    fn reject_lines_past_the_bound() {
        assert_eq!(
            lines(b"1234\n12345\n1\n", 4),
            ["1 1234", "2 too long", "3 1"]
        );
        let long = [vec![b'x'; 300 << 10], b"\nnext\n".to_vec()].concat();
        let mut reader = Lines::new(long.as_slice(), 4);
        assert_eq!(
            reader.next_line().expect("memory"),
            Some((1, Line::TooLong))
        );
        assert!(reader.line.capacity() < 1024);
        assert_eq!(
            reader.next_line().expect("memory"),
            Some((2, Line::Whole(b"next")))
        );
    }

    #[test]
    fn reject_what_is_no_segment() {
        for bytes in [
            &b"\n"[..],
            b"{}\n",
            b"null\n",
            b"\xff\xfe\n",
            br#"{"v":2,"seq":1}
"#,
        ] {
            let segment = verify_segment(bytes);
            assert!(
                matches!(segment.faults[..], [(1, Fault::NoRecord(_))]),
                "{segment:?}"
            );
        }
        let deep = ["[".repeat(4000).as_bytes(), b"\n"].concat();
        assert_eq!(verify_segment(&deep).faults.len(), 1);
        let many = verify_segment(&b"x\n".repeat(100));
        assert_eq!(
            (many.faults.len(), many.faults_more),
            (FAULTS_MAX, 100 - FAULTS_MAX as u64)
        );
    }
}
