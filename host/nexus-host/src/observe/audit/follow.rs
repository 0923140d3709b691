//! Follows one segment and holds it against its heads: for a check, and before one is given up.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;

use super::fault::Fault;
use super::head::{Head, Kind};
use super::names::SegmentName;
use super::place::too_long;
use super::read::{Lines, Reached, Segment, Walk};
use super::{HEAD_AFTER, HEAD_RECORDS, Hash, SEGMENT_BYTES_MAX};

/// Twice what the writer keeps to: records without a head, and by how much they can be later than it.
const UNSIGNED_MAX: u64 = 2 * HEAD_RECORDS;
const LATE_MILLIS: u64 = 2 * HEAD_AFTER.as_millis() as u64;

/// The records of a chain after the last head that is good, over all its segments.
pub(super) struct Tail {
    /// Heads are looked at; else what has none says nothing.
    heads: bool,
    /// The record that head speaks for; 0: none.
    pub(super) signed: u64,
    /// When that head was signed.
    at: Option<u64>,
    count: u64,
    /// That there are more than a host leaves was said.
    told: bool,
}

impl Tail {
    pub(super) fn new(heads: bool) -> Self {
        Self {
            heads,
            signed: 0,
            at: None,
            count: 0,
            told: false,
        }
    }

    fn sign(&mut self, head: &Head) {
        (self.signed, self.at, self.count) = (head.seq, Some(head.millis), 0);
        self.told = false;
    }

    /// Takes a record that no head of its own speaks for; what is wrong with it.
    ///
    /// The host writes no record much later than its last head without one, but the first: what it waits for
    /// may take any time.
    fn add(&mut self, reached: &Reached) -> Option<Fault> {
        self.count += 1;
        let late = self
            .at
            .is_some_and(|at| reached.millis.abs_diff(at) > LATE_MILLIS);
        let too_many = self.count > UNSIGNED_MAX || (late && self.count > 1);
        if !self.heads || !too_many || std::mem::replace(&mut self.told, true) {
            return None;
        }
        let signed = self.signed;
        Some(Fault::Unsigned { signed })
    }
}

/// What one segment shows.
#[derive(Default)]
pub(super) struct Followed {
    pub(super) segment: Segment,
    /// What is wrong, with the line; none: the file as a whole.
    pub(super) faults: Vec<(Option<u64>, Fault)>,
}

/// A segment to follow.
pub(super) struct Written<'a> {
    pub(super) name: &'a SegmentName,
    /// The record that its first one must name.
    pub(super) before: Option<(u64, Hash)>,
    pub(super) heads: &'a [(u64, Head)],
    /// Its length before the heads were read: what was written since may have heads that were not.
    pub(super) known: u64,
}

/// Follows a segment and holds it against its heads.
pub(super) fn follow(file: File, of: &Written<'_>, tail: &mut Tail) -> Followed {
    let mut followed = Followed::default();
    match file.metadata() {
        Ok(metadata) if too_long(metadata.len()) => {
            let bytes = metadata.len();
            followed
                .faults
                .push((None, Fault::SegmentTooLong { bytes }));
        }
        Ok(_) => {}
        Err(error) => followed
            .faults
            .push((None, Fault::Unreadable(error.to_string()))),
    }
    let heads = Heads::new(of.heads);
    let mut walk = Walk::new(Some(of.name), of.before);
    // What is longer is said above; a hole has no end that is worth waiting for.
    let mut lines = Lines::records(file.take(SEGMENT_BYTES_MAX));
    let (mut good, mut told) = (0, false);
    let mut after_end: Option<u64> = None;
    let mut unsigned: Option<(u64, Fault)> = None;
    let mut known = 0u64;
    loop {
        let is_known = lines.whole_bytes() < of.known;
        let (number, line) = match lines.next_line() {
            Ok(None) => break,
            Err(error) => {
                followed
                    .faults
                    .push((None, Fault::Unreadable(error.to_string())));
                break;
            }
            Ok(Some(numbered)) => numbered,
        };
        let Some(reached) = walk.take(number, line) else {
            continue;
        };
        known += u64::from(is_known);
        if let Some(heads) = heads.signed.get(&reached.seq) {
            if heads.iter().all(|head| head.hash == reached.hash) {
                good = reached.seq;
                // What came before it without a head has one now.
                unsigned = None;
            } else if !std::mem::replace(&mut told, true) {
                let seq = reached.seq;
                followed
                    .faults
                    .push((Some(number), Fault::NotAsSigned { seq, good }));
            }
        }
        match heads.latest(reached.seq).filter(|_| good == reached.seq) {
            Some(head) => tail.sign(head),
            None if is_known => {
                if let Some(fault) = tail.add(&reached) {
                    unsigned = Some((number, fault));
                }
            }
            None => {}
        }
        if heads.end.is_some_and(|end| reached.seq > end.seq) {
            after_end.get_or_insert(number);
        }
    }
    let segment = walk.finish();
    let faults = segment.faults.iter();
    followed
        .faults
        .extend(faults.map(|(line, fault)| (Some(*line), fault.clone())));
    let last = segment.last.map_or(0, |last| last.seq);
    let line = segment.last.map(|last| last.line);
    if let Some((line, fault)) = unsigned {
        followed.faults.push((Some(line), fault));
    }
    // Nothing is written after the end, not even half a line.
    let ended = heads.end.is_some_and(|end| end.seq == last) || segment.closed;
    if segment.cut_off && ended && after_end.is_none() {
        after_end = line.map(|line| line + 1);
    }
    if let Some(line) = after_end {
        let end = heads.end.map_or(last, |end| end.seq);
        followed.faults.push((Some(line), Fault::AfterEnd { end }));
    }
    // Heads were read before the log, so this is no host that writes meanwhile.
    if let Some(signed) = heads
        .signed
        .keys()
        .next_back()
        .filter(|signed| **signed > last)
    {
        let signed = *signed;
        followed
            .faults
            .push((line, Fault::CutTail { last, signed }));
    }
    // The first of a segment's heads is with the kernel before its second record is made.
    let opened = of.heads.iter().any(|(_, head)| head.kind == Kind::Opened);
    if of.name.number > 1 && !opened && known > 1 && tail.heads {
        followed.faults.push((None, Fault::NotOpened));
    }
    followed.segment = segment;
    followed
}

/// The heads of one segment, by the record they speak for.
struct Heads<'a> {
    signed: BTreeMap<u64, Vec<&'a Head>>,
    /// That of its end.
    end: Option<&'a Head>,
}

impl<'a> Heads<'a> {
    fn new(heads: &'a [(u64, Head)]) -> Self {
        let mut signed: BTreeMap<u64, Vec<&Head>> = BTreeMap::new();
        for (_, head) in heads {
            signed.entry(head.seq).or_default().push(head);
        }
        let mut all = heads.iter().map(|(_, head)| head);
        Self {
            signed,
            end: all.find(|head| head.kind.ends()),
        }
    }

    /// The last one signed for a record.
    fn latest(&self, seq: u64) -> Option<&'a Head> {
        let heads = self.signed.get(&seq)?;
        heads.iter().copied().max_by_key(|head| head.millis)
    }
}
