//! The heads of a chain, read and checked one by one.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::HEAD_BYTES_MAX;
use super::fault::{Fault, Finding};
use super::head::{Head, Kind};
use super::key::PublicKey;
use super::names::SegmentName;
use super::place::{Place, open_plain};
use super::read::{Line, Lines};

/// Heads of one segment; the writer begins a new segment long before, if it can. Bounds memory.
pub(super) const HEADS_MAX: usize = 4096;

/// Heads of one chain.
#[derive(Default)]
pub(super) struct ChainHeads {
    /// By segment, each with its line.
    pub(super) of: BTreeMap<u32, Vec<(u64, Head)>>,
    pub(super) dropped: Option<Head>,
    pub(super) findings: Vec<Finding>,
}

impl ChainHeads {
    /// Adds what copies say.
    pub(super) fn add(&mut self, others: Self) {
        for (number, heads) in others.of {
            self.of.entry(number).or_default().extend(heads);
        }
        self.state(others.dropped);
        self.findings.extend(others.findings);
    }

    /// Keeps the statement that says more.
    pub(super) fn state(&mut self, dropped: Option<Head>) {
        let says = |head: &Option<Head>| {
            let head = head.as_ref();
            head.map(|head| (head.segment.number, head.kind == Kind::Broken))
        };
        if says(&dropped) > says(&self.dropped) {
            self.dropped = dropped;
        }
    }
}

/// Reads every head of a chain; those that are none are findings.
pub(super) fn read_heads(
    files: &BTreeMap<SegmentName, PathBuf>,
    place: &Place,
    key: &PublicKey,
    chain: &str,
) -> ChainHeads {
    let mut heads = ChainHeads::default();
    for (name, path) in of_chain(files, chain) {
        let read = read_heads_file(path, key, name, &mut heads.findings);
        heads.of.insert(name.number, read);
    }
    heads.dropped = read_dropped(place, key, chain, &mut heads.findings);
    heads
}

/// Those of one chain, of many.
pub(super) fn of_chain<'a>(
    files: &'a BTreeMap<SegmentName, PathBuf>,
    chain: &str,
) -> impl Iterator<Item = (&'a SegmentName, &'a PathBuf)> {
    let first = SegmentName {
        chain: chain.to_owned(),
        number: 0,
    };
    let chain = first.chain.clone();
    files
        .range(first..)
        .take_while(move |(name, _)| name.chain == chain)
}

pub(super) fn read_heads_file(
    path: &Path,
    key: &PublicKey,
    name: &SegmentName,
    findings: &mut Vec<Finding>,
) -> Vec<(u64, Head)> {
    let mut heads = Vec::new();
    let mut find = |line, fault| {
        findings.push(Finding {
            file: path.to_owned(),
            line,
            fault,
        });
    };
    let mut lines = match open_plain(path) {
        Ok(file) => Lines::new(file, HEAD_BYTES_MAX),
        // Given up meanwhile; if not, the segment without heads says so.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return heads,
        Err(error) => {
            find(None, Fault::Unreadable(error.to_string()));
            return heads;
        }
    };
    loop {
        match lines.next_line() {
            Ok(None) => return heads,
            Err(error) => {
                find(None, Fault::Unreadable(error.to_string()));
                return heads;
            }
            Ok(Some((number, _))) if heads.len() == HEADS_MAX => {
                find(Some(number), Fault::TooManyHeads);
                return heads;
            }
            // A host that ended while it wrote a head: what it would have said, nobody knows.
            Ok(Some((_, Line::CutOff(_)))) => {}
            Ok(Some((number, Line::TooLong))) => find(Some(number), Fault::TooLong),
            Ok(Some((number, Line::Whole(line)))) => match Head::parse(line, key, name) {
                Ok(head) => heads.push((number, head)),
                Err(fault) => {
                    find(Some(number), fault);
                    // One wrong key is enough to know.
                    if heads.is_empty() {
                        return heads;
                    }
                }
            },
        }
    }
}

/// Reads how much of a chain was given up.
pub(super) fn read_dropped(
    place: &Place,
    key: &PublicKey,
    chain: &str,
    findings: &mut Vec<Finding>,
) -> Option<Head> {
    let path = place.dropped_file(chain);
    if !path.try_exists().unwrap_or(true) {
        return None;
    }
    let whole = SegmentName {
        chain: chain.to_owned(),
        number: 0,
    };
    let heads = read_heads_file(&path, key, &whole, findings);
    heads.into_iter().next_back().map(|(_, head)| head)
}
