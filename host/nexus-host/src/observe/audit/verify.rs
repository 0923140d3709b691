//! Checks whole chains: segment after segment, and against the signed heads.
//!
//! How long each segment is is asked before the heads are read, these before the log, and statements of what
//! was given up after it: a host that writes meanwhile can only have more than its heads say, which no length
//! counts, and never looks broken.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::Hash;
use super::fault::{Fault, Finding};
use super::follow::{Tail, Written, follow};
use super::head::{Head, Kind};
use super::heads::{ChainHeads, of_chain, read_dropped, read_heads};
use super::key::PublicKey;
use super::names::SegmentName;
use super::place::{Place, open_plain};
use super::read::Segment;

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

/// Checks every chain of a state folder; `copies`: a folder with copies of its heads that were kept elsewhere.
///
/// # Errors
/// A folder of it cannot be read.
pub fn verify_state(
    place: &Place,
    key: &PublicKey,
    copies: Option<&Path>,
) -> io::Result<Vec<Chain>> {
    let lengths = lengths(&place.segments()?);
    let copies = copies.map(Place::of_heads);
    let mut places = vec![place];
    places.extend(&copies);
    let mut heads = BTreeMap::new();
    for place in &places {
        let files = place.head_files()?;
        let mut names: BTreeSet<_> = files.keys().map(|name| name.chain.clone()).collect();
        names.extend(place.dropped_files()?.into_keys());
        for name in names {
            let read = read_heads(&files, place, key, &name);
            heads
                .entry(name)
                .or_insert_with(ChainHeads::default)
                .add(read);
        }
    }
    let segments = place.segments()?;
    let mut names: BTreeSet<_> = heads.keys().cloned().collect();
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
            Ok(check_chain(check, &name, heads, &lengths))
        })
        .collect()
}

/// Checks the chains that these segments are of.
///
/// # Errors
/// A folder with heads cannot be read.
pub fn verify_files(check: Check<'_>) -> io::Result<Vec<Chain>> {
    let lengths = lengths(check.segments);
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
            Ok(check_chain(check, name, heads, &lengths))
        })
        .collect()
}

type Lengths = BTreeMap<SegmentName, u64>;

/// How long each segment is now.
fn lengths(segments: &BTreeMap<SegmentName, PathBuf>) -> Lengths {
    let length = |path: &PathBuf| std::fs::symlink_metadata(path).map_or(0, |there| there.len());
    let all = segments.iter();
    all.map(|(name, path)| (name.clone(), length(path)))
        .collect()
}

fn check_chain(check: Check<'_>, name: &str, mut heads: ChainHeads, lengths: &Lengths) -> Chain {
    let mut chain = Chain {
        name: name.to_owned(),
        findings: std::mem::take(&mut heads.findings),
        ..Chain::default()
    };
    let own: BTreeMap<u32, &PathBuf> = of_chain(check.segments, name)
        .map(|(segment, path)| (segment.number, path))
        .collect();
    let mut tail = Tail::new(check.heads.is_some());
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
                let last = own.keys().next_back() == Some(number);
                let live = last && is_written(&file);
                let after = before.or(first);
                let written = Written {
                    name: &segment,
                    before: after,
                    heads: of,
                    known: lengths.get(&segment).copied().unwrap_or(0),
                };
                let checked = chain.follow(path, file, &written, &mut tail);
                let given_up = heads
                    .dropped
                    .as_ref()
                    .is_some_and(|dropped| *number <= dropped.segment.number);
                if given_up && of.is_empty() {
                    // A host that ends while it gives one up leaves the heads, or both.
                    chain.find(path, None, Fault::PutBack);
                }
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
        let segment = dropped.segment.number;
        chain.notes.push(format!(
            "segments up to {segment} were given up to make room, as a signed head says"
        ));
        if let (Kind::Broken, Some((place, _))) = (dropped.kind, check.heads) {
            let statement = place.dropped_file(name);
            chain.find(&statement, None, Fault::GivenUpBroken { segment });
        }
    }
    chain
        .findings
        .sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    chain
}

/// Whether a host writes it. One that is empty may be about to be locked: we would be in the way.
fn is_written(file: &File) -> bool {
    if file.metadata().is_ok_and(|metadata| metadata.len() == 0) {
        return false;
    }
    let lock = file.try_lock_shared();
    let _ = file.unlock();
    matches!(lock, Err(std::fs::TryLockError::WouldBlock))
}

impl Chain {
    fn find(&mut self, file: &Path, line: Option<u64>, fault: Fault) {
        self.findings.push(Finding {
            file: file.to_owned(),
            line,
            fault,
        });
    }

    /// Follows one segment and holds it against its heads.
    fn follow(
        &mut self,
        path: &Path,
        file: File,
        written: &Written<'_>,
        tail: &mut Tail,
    ) -> Segment {
        let followed = follow(file, written, tail);
        for (line, fault) in followed.faults {
            self.find(path, line, fault);
        }
        let segment = followed.segment;
        if segment.faults_more > 0 {
            self.notes.push(format!(
                "{}: {} more faults are not listed",
                written.name, segment.faults_more
            ));
        }
        self.segments += 1;
        self.signed = self.signed.max(tail.signed);
        self.records += segment.records;
        self.dropped = self.dropped.saturating_add(segment.dropped);
        segment
    }
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
        heads.state(read_dropped(place, key, &chain.name, &mut Vec::new()));
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
