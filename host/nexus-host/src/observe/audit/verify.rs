//! Checks whole chains: segment after segment, and against the signed heads.
//!
//! Heads are read before the log and statements of what was given up after it: a host that writes
//! meanwhile can only have more than its heads say, and never looks broken.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::Hash;
use super::fault::{Fault, Finding};
use super::head::{Head, Kind};
use super::heads::{ChainHeads, of_chain, read_dropped, read_heads};
use super::key::PublicKey;
use super::names::SegmentName;
use super::place::{Place, open_plain};
use super::read::{Lines, Reached, Segment, Walk};

/// Missing segments told of one chain: a name of one is all it takes to make 999,999 missing.
const MISSING_MAX: usize = 16;

/// One chain, checked.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// Segments that are there.
    pub segments: usize,
    /// Records in them.
    pub records: u64,
    /// Records that it says could not be kept.
    pub dropped: u64,
    /// The last record that a good head speaks for; 0: none.
    pub signed: u64,
    /// What a person should know and is no fault.
    pub notes: Vec<String>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// What of a log to check, and with what.
#[derive(Clone, Copy)]
pub struct Check<'a> {
    /// Segments, by name.
    pub segments: &'a BTreeMap<SegmentName, PathBuf>,
    /// Where their heads are and the key they are signed with; none: the chains alone are followed.
    pub heads: Option<(&'a Place, &'a PublicKey)>,
    /// These are all there are: one that heads know and that is not there is missing.
    pub all: bool,
}

/// Checks every chain of a state folder.
///
/// # Errors
/// A folder of it cannot be read.
pub fn verify_state(place: &Place, key: &PublicKey) -> io::Result<Vec<Chain>> {
    let (files, dropped) = (place.head_files()?, place.dropped_files()?);
    let mut names: BTreeSet<_> = files.keys().map(|name| name.chain.clone()).collect();
    names.extend(dropped.into_keys());
    let mut heads: BTreeMap<_, _> = names
        .iter()
        .map(|name| (name.clone(), read_heads(&files, place, key, name)))
        .collect();
    let segments = place.segments()?;
    names.extend(segments.keys().map(|name| name.chain.clone()));
    let check = Check {
        segments: &segments,
        heads: Some((place, key)),
        all: true,
    };
    // A chain that has begun since the heads were read has heads by now.
    names
        .into_iter()
        .map(|name| {
            let heads = match heads.remove(&name) {
                Some(heads) => heads,
                None => read_heads(&place.head_files()?, place, key, &name),
            };
            Ok(check_chain(check, &name, heads))
        })
        .collect()
}

/// Checks the chains that these segments are of.
///
/// # Errors
/// A folder with heads cannot be read.
pub fn verify_files(check: Check<'_>) -> io::Result<Vec<Chain>> {
    let names: BTreeSet<_> = check.segments.keys().map(|name| &name.chain).collect();
    let files = match check.heads {
        Some((place, _)) => place.head_files()?,
        None => BTreeMap::new(),
    };
    names
        .into_iter()
        .map(|name| {
            let heads = match check.heads {
                Some((place, key)) => read_heads(&files, place, key, name),
                None => ChainHeads::default(),
            };
            Ok(check_chain(check, name, heads))
        })
        .collect()
}

fn check_chain(check: Check<'_>, name: &str, mut heads: ChainHeads) -> Chain {
    let mut chain = Chain {
        name: name.to_owned(),
        findings: std::mem::take(&mut heads.findings),
        ..Chain::default()
    };
    let own: BTreeMap<u32, &PathBuf> = of_chain(check.segments, name)
        .map(|(segment, path)| (segment.number, path))
        .collect();
    let mut before = None;
    let mut expected = None;
    for (number, path) in &own {
        let segment = SegmentName {
            chain: name.to_owned(),
            number: *number,
        };
        if expected.is_some_and(|expected| expected < *number) {
            before = None;
        }
        // Nothing comes before a chain's first record; what was given up ended as its statement says.
        let first = match &heads.dropped {
            _ if *number == 1 => Some((0, Hash::default())),
            Some(dropped) if dropped.segment.number == *number - 1 && dropped.seq > 0 => {
                Some((dropped.seq, dropped.hash))
            }
            _ => None,
        };
        let of = heads.of.get(number).map_or(&[][..], Vec::as_slice);
        before = match open_plain(path) {
            Ok(file) => {
                let live = matches!(
                    file.try_lock_shared(),
                    Err(std::fs::TryLockError::WouldBlock)
                );
                let _ = file.unlock();
                let last = own.keys().next_back() == Some(number);
                let after = before.or(first);
                let checked = walk(&mut chain, path, file, &segment, after, of);
                chain.segments += 1;
                let empty = checked.records == 0 && checked.faults.is_empty() && !checked.cut_off;
                // Each has its first record before the one before it is signed as ended, and before the
                // next is made.
                let rotated = |heads: &Vec<(u64, Head)>| {
                    heads.iter().any(|(_, head)| head.kind == Kind::Rotated)
                };
                if empty && (!last || heads.of.get(&(number - 1)).is_some_and(rotated)) {
                    chain.find(path, Some(1), Fault::NotItsBeginning);
                }
                if last {
                    end_of_chain(&mut chain, path, &checked, live, check.heads.is_some());
                } else if checked.cut_off {
                    chain.find(path, Some(checked.records + 1), Fault::CutOffWithin);
                }
                let reached = checked.last.map(|last| (last.seq, last.hash));
                // What follows an emptied one tells which records it had.
                reached.or(after.filter(|_| empty))
            }
            // Given up meanwhile, or taken away: which, the statement tells below.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                chain.find(path, None, Fault::Unreadable(error.to_string()));
                None
            }
        };
        expected = Some(number + 1);
    }
    missing(check, &mut chain, &own, &mut heads);
    if let Some(dropped) = &heads.dropped {
        chain.notes.push(format!(
            "segments up to {} were given up to make room, as a signed head says",
            dropped.segment.number
        ));
    }
    chain
        .findings
        .sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    chain
}

impl Chain {
    fn find(&mut self, file: &Path, line: Option<u64>, fault: Fault) {
        self.findings.push(Finding {
            file: file.to_owned(),
            line,
            fault,
        });
    }
}

/// Follows one segment and holds it against its heads.
fn walk(
    chain: &mut Chain,
    path: &Path,
    file: std::fs::File,
    name: &SegmentName,
    before: Option<(u64, Hash)>,
    heads: &[(u64, Head)],
) -> Segment {
    let mut walk = Walk::new(Some(name), before);
    let mut lines = Lines::records(file);
    let mut signed: BTreeMap<u64, Vec<&Head>> = BTreeMap::new();
    for (_, head) in heads {
        signed.entry(head.seq).or_default().push(head);
    }
    let end = heads
        .iter()
        .map(|(_, head)| head)
        .find(|head| head.kind.ends());
    let (mut good, mut told) = (0, false);
    let mut after_end: Option<Reached> = None;
    loop {
        match lines.next_line() {
            Ok(None) => break,
            Err(error) => {
                chain.find(path, None, Fault::Unreadable(error.to_string()));
                break;
            }
            Ok(Some((number, line))) => {
                let Some(reached) = walk.take(number, line) else {
                    continue;
                };
                if let Some(heads) = signed.get(&reached.seq) {
                    if heads.iter().all(|head| head.hash == reached.hash) {
                        good = reached.seq;
                    } else if !std::mem::replace(&mut told, true) {
                        let fault = Fault::NotAsSigned {
                            seq: reached.seq,
                            good,
                        };
                        chain.find(path, Some(number), fault);
                    }
                }
                if after_end.is_none() && end.is_some_and(|end| reached.seq > end.seq) {
                    after_end = Some(reached);
                }
            }
        }
    }
    let segment = walk.finish();
    for (line, fault) in &segment.faults {
        chain.find(path, Some(*line), fault.clone());
    }
    if segment.faults_more > 0 {
        chain.notes.push(format!(
            "{name}: {} more faults are not listed",
            segment.faults_more
        ));
    }
    if let (Some(after), Some(end)) = (after_end, end) {
        chain.find(path, Some(after.line), Fault::AfterEnd { end: end.seq });
    }
    let last = segment.last.map_or(0, |last| last.seq);
    if let Some(head) = heads
        .iter()
        .map(|(_, head)| head)
        .max_by_key(|head| head.seq)
        && head.seq > last
    {
        // Heads were read before the log, so this is no host that writes meanwhile.
        let line = segment.last.map(|last| last.line);
        chain.find(
            path,
            line,
            Fault::CutTail {
                last,
                signed: head.seq,
            },
        );
    }
    chain.signed = chain.signed.max(good);
    chain.records += segment.records;
    chain.dropped = chain.dropped.saturating_add(segment.dropped);
    segment
}

/// What there is to say of where a chain ends.
fn end_of_chain(chain: &mut Chain, path: &Path, segment: &Segment, live: bool, heads: bool) {
    let last = segment.last.map_or(0, |last| last.seq);
    if !heads {
        chain.notes.push("no heads were looked at: whether its end was cut off, or all of it written anew, does not show".into());
    } else if chain.signed == 0 && chain.records > 1 && chain.findings.is_empty() {
        // A host writes the first head before its second record.
        chain.find(path, None, Fault::NoHeads);
    } else if last > chain.signed && chain.findings.is_empty() {
        let count = last - chain.signed;
        chain.notes.push(format!(
            "its last {} no head speaks for: {}",
            if count == 1 {
                "record".to_owned()
            } else {
                format!("{count} records")
            },
            if live {
                "the host that writes it is running"
            } else {
                "the host that wrote it did not end by itself"
            }
        ));
    }
    if segment.cut_off {
        let line = segment.last.map_or(1, |last| last.line + 1);
        chain.notes.push(format!(
            "line {line} is cut off: the host ended, or the disk was full, while it was written"
        ));
    }
    if live {
        chain.notes.push("it is being written".into());
    }
    let empty = segment.records == 0 && !segment.cut_off && segment.faults.is_empty();
    if empty && chain.findings.is_empty() {
        chain
            .notes
            .push("the last segment is empty: the host ended when it had made it".into());
    }
}

/// Segments that should be there.
fn missing(
    check: Check<'_>,
    chain: &mut Chain,
    own: &BTreeMap<u32, &PathBuf>,
    heads: &mut ChainHeads,
) {
    let last = heads
        .of
        .iter()
        .filter(|(_, heads)| check.all && !heads.is_empty())
        .map(|(number, heads)| {
            // The next segment begins before this one is signed as ended.
            number + u32::from(heads.iter().any(|(_, head)| head.kind == Kind::Rotated))
        })
        .max()
        .max(own.keys().next_back().copied());
    let first = if check.all {
        Some(1)
    } else {
        own.keys().next().copied()
    };
    let (Some(first), Some(last)) = (first, last) else {
        return;
    };
    // Looked at anew: a segment may have begun since the folder was listed, or been given up.
    let path = |number: &u32| match check.heads {
        Some((place, _)) if check.all => Some(place.log_file(&SegmentName {
            chain: chain.name.clone(),
            number: *number,
        })),
        _ => own.get(number).map(|path| (*path).clone()),
    };
    let is_there = |number: &u32| path(number).is_some_and(|path| path.exists());
    let gone = |dropped: Option<&Head>| -> Vec<u32> {
        let first = first.max(
            dropped
                .map_or(0, |head| head.segment.number)
                .saturating_add(1),
        );
        (first..=last)
            .filter(|number| !is_there(number))
            .take(MISSING_MAX)
            .collect()
    };
    let mut missing = gone(heads.dropped.as_ref());
    if let (false, Some((place, key))) = (missing.is_empty(), check.heads) {
        // Room may have been made since the heads were read.
        heads.dropped = read_dropped(place, key, &chain.name, &mut Vec::new());
        missing = gone(heads.dropped.as_ref());
    }
    for number in missing {
        let name = SegmentName {
            chain: chain.name.clone(),
            number,
        };
        let folder = check.heads.map(|(place, _)| place.log.clone());
        let folder = folder.or_else(|| own.values().next()?.parent().map(Path::to_owned));
        let file = folder.unwrap_or_default().join(name.log_file());
        chain.find(&file, None, Fault::NoSegment);
    }
}
