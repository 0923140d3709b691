//! What can be wrong with a log, where, and how a person is told.

use std::fmt;
use std::path::PathBuf;

use nexus_policy::explain::escape;

use super::SEGMENT_BYTES_MAX;
use super::key::KeyId;
use super::place::shown;
use super::record::Problem;

/// What is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A line longer than any record or head.
    TooLong,
    /// A line that is no record.
    NoRecord(Problem),
    /// The line is not what the next one was written after.
    Changed,
    /// This line or the next was; which, no line after them shows.
    ChangedOrNext,
    /// The first line does not name the last one of the segment before.
    NotAfterSegment,
    /// Records are missing before the line.
    Missing {
        /// The first.
        from: u64,
        /// The last.
        to: u64,
    },
    /// A record stands where another belongs.
    OutOfOrder {
        /// The one that belongs there.
        expected: u64,
        /// The one that stands there.
        found: u64,
    },
    /// The first record does not say that this segment begins.
    NotItsBeginning,
    /// The record is not the one that was signed.
    NotAsSigned {
        /// Its number.
        seq: u64,
        /// The last record before it that is as signed; 0: none.
        good: u64,
    },
    /// The segment ends before a record that was signed.
    CutTail {
        /// The last record there is.
        last: u64,
        /// The last one signed.
        signed: u64,
    },
    /// A record after the one that was signed as the last.
    AfterEnd {
        /// That one.
        end: u64,
    },
    /// Records after the last head, more or later than a host leaves.
    Unsigned {
        /// The record that head speaks for.
        signed: u64,
    },
    /// A segment after the first, and no head says that the host began it.
    NotOpened,
    /// Longer than any segment.
    SegmentTooLong {
        /// By how much.
        bytes: u64,
    },
    /// A signed statement says that it was given up, and it is there without heads.
    PutBack,
    /// What was given up was not as it was signed when that was done.
    GivenUpBroken {
        /// Up to which segment.
        segment: u32,
    },
    /// A line is cut off, and more was written after it.
    CutOffWithin,
    /// There is no such segment, and no signed statement that it was given up.
    NoSegment,
    /// No signed head says that this chain exists.
    NoHeads,
    /// A line of a heads file that is no head; with why.
    NoHead(String),
    /// A head whose signature does not fit.
    BadSignature,
    /// A head signed with another key.
    WrongKey {
        /// By which.
        found: KeyId,
        /// The one to check with.
        expected: KeyId,
    },
    /// A head of another segment.
    HeadElsewhere {
        /// Of which.
        of: String,
    },
    /// More heads than a writer makes.
    TooManyHeads,
    /// The file cannot be read.
    Unreadable(String),
}

/// What is wrong, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// The file.
    pub file: PathBuf,
    /// The line, from 1; none: the file as a whole.
    pub line: Option<u64>,
    /// What.
    pub fault: Fault,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => f.write_str("is longer than any line of this file can be"),
            Self::NoRecord(problem) => fmt::Display::fmt(problem, f),
            Self::Changed => f.write_str("was changed: the line after it was written after another one"),
            Self::ChangedOrNext => f.write_str(
                "was changed, or the line after it was: that one does not name it, and no line comes after them",
            ),
            Self::NotAfterSegment => f.write_str(
                "does not follow the end of what comes before it: that was changed, or this line was",
            ),
            Self::Missing { from, to } if from == to => write!(f, "record {from} is missing before it"),
            Self::Missing { from, to } => write!(f, "records {from} to {to} are missing before it"),
            Self::OutOfOrder { expected, found } => write!(
                f,
                "is record {found} where record {expected} belongs: lines were moved, or put in"
            ),
            Self::NotItsBeginning => f.write_str(
                "does not say that this segment begins: lines were taken out or put in, or the file was renamed",
            ),
            Self::NotAsSigned { seq, good: 0 } => write!(
                f,
                "record {seq} is not the one that was signed: it, or what came before it, was written anew"
            ),
            Self::NotAsSigned { seq, good } => write!(
                f,
                "record {seq} is not the one that was signed: it, or one after record {good}, was written anew"
            ),
            Self::CutTail { last, signed } => write!(
                f,
                "is the last one, record {last}; a head was signed for record {signed}: the end was cut off \
                 (a machine that lost power can have lost it, too)"
            ),
            Self::AfterEnd { end } => write!(
                f,
                "comes after record {end}, which was signed as the last: it was put in"
            ),
            Self::Unsigned { signed } => write!(
                f,
                "is one of more records, or of later ones, than a host writes without a head; the last head speaks \
                 for record {signed}: they were put in, or heads were taken out"
            ),
            Self::NotOpened => f.write_str(
                "no signed head says that this segment was begun: it was put in, or its heads were taken out",
            ),
            Self::SegmentTooLong { bytes } => write!(
                f,
                "has {bytes} bytes, more than any segment: only the first {SEGMENT_BYTES_MAX} were looked at"
            ),
            Self::PutBack => f.write_str(
                "is there though a signed head says that it was given up to make room: it was put back, or made",
            ),
            Self::GivenUpBroken { segment } => write!(
                f,
                "something up to segment {segment} was not as it was signed when it was given up to make room"
            ),
            Self::CutOffWithin => f.write_str("is cut off, and the chain goes on in the next segment"),
            Self::NoSegment => f.write_str(
                "is missing: the chain goes on after it, or a head speaks for it, and no signed head says that it was given up",
            ),
            Self::NoHeads => f.write_str("no signed head speaks for this chain: it, or its heads, were not left as a host left them"),
            Self::NoHead(why) => write!(f, "is no head: {why}"),
            Self::BadSignature => f.write_str("the signature of this head does not fit: the head was changed"),
            Self::WrongKey { found, expected } => write!(
                f,
                "this head was signed with key {found}, not with {expected}: give the key it was signed with (--public-key), \
                 or somebody else signed it"
            ),
            Self::HeadElsewhere { of } => write!(f, "this head is of {}: it was moved here", escape(of)),
            Self::TooManyHeads => f.write_str("more heads than a host writes for one segment; the rest was not read"),
            Self::Unreadable(error) => write!(f, "cannot be read: {error}"),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(&self.file))?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}", self.fault)
    }
}
