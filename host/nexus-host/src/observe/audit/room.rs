//! Keeps the log within its share of the disk: the oldest segments that nobody writes go first.
//!
//! That a segment was given up is signed before it goes, so that a check can tell it from one that was
//! taken away: `CHAIN.dropped` says up to which segment, and what its last record was.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::SystemTime;

use sha2::{Digest, Sha256};

use super::head::{Head, Kind};
use super::key::{HostKey, replace};
use super::names::SegmentName;
use super::place::{Place, open_plain};
use super::record::Record;
use super::{Hash, RECORD_BYTES_MAX};

/// A file takes at least a block, so that many short chains count for what they take.
const BLOCK_BYTES: u64 = 4096;

/// Statements kept of chains of which nothing is left. Bounds what remains of short runs for ever.
const STATEMENTS_MAX: usize = 1024;

/// What the log may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) disk_bytes: u64,
    pub(super) files_max: usize,
}

/// A segment that might go.
struct Old {
    number: u32,
    path: PathBuf,
    /// With its heads.
    bytes: u64,
    modified: SystemTime,
}

/// Makes room for `need` more bytes in one more segment. Whether there is.
pub(super) fn make(
    place: &Place,
    key: &HostKey,
    bounds: Bounds,
    need: u64,
    millis: u64,
) -> io::Result<bool> {
    let (mut chains, mut bytes, mut files) = look(place)?;
    while bytes.saturating_add(need) > bounds.disk_bytes || files >= bounds.files_max {
        // A chain goes from its beginning: one with a hole in it could not be followed.
        let oldest = chains
            .iter()
            .filter_map(|(chain, segments)| Some((segments.front()?.modified, chain.clone())))
            .min();
        let Some((_, chain)) = oldest else {
            return Ok(false);
        };
        let Some(old) = chains.get_mut(&chain).and_then(VecDeque::pop_front) else {
            return Ok(false);
        };
        let name = SegmentName {
            chain: chain.clone(),
            number: old.number,
        };
        if give_up(place, key, &name, &old, millis)? {
            bytes = bytes.saturating_sub(old.bytes);
            files -= 1;
        } else {
            // Somebody writes it, and it is the first of its chain: what comes after it stays, too.
            chains.remove(&chain);
        }
    }
    forget(place)?;
    Ok(true)
}

type Chains = BTreeMap<String, VecDeque<Old>>;

/// Every segment, by chain in its order; the bytes and the files of all.
fn look(place: &Place) -> io::Result<(Chains, u64, usize)> {
    let mut chains = Chains::new();
    let (mut all, mut files) = (0u64, 0);
    for (name, path) in place.segments()? {
        let Some(metadata) = metadata(&path)? else {
            continue;
        };
        let heads = metadata_len(&place.heads_file(&name))?;
        let bytes = metadata.len().max(BLOCK_BYTES) + heads;
        all = all.saturating_add(bytes);
        files += 1;
        chains.entry(name.chain).or_default().push_back(Old {
            number: name.number,
            path,
            bytes,
            modified: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
        });
    }
    Ok((chains, all, files))
}

fn metadata(path: &std::path::Path) -> io::Result<Option<fs::Metadata>> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        metadata => metadata.map(Some),
    }
}

fn metadata_len(path: &std::path::Path) -> io::Result<u64> {
    Ok(metadata(path)?.map_or(0, |metadata| metadata.len().max(BLOCK_BYTES)))
}

/// Gives one segment up, unless somebody writes it. Whether it is gone.
fn give_up(
    place: &Place,
    key: &HostKey,
    name: &SegmentName,
    old: &Old,
    millis: u64,
) -> io::Result<bool> {
    let mut file = match open_plain(&old.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
        // A link or a pipe, made by nobody of ours: it stays, and counts.
        Err(_) => return Ok(false),
        Ok(file) => file,
    };
    if file.try_lock().is_err() {
        return Ok(false);
    }
    let metadata = file.metadata()?;
    if metadata.nlink() == 0 {
        // Another host gave it up meanwhile, and may have said more since than we would.
        return Ok(true);
    }
    if metadata.len() == 0 {
        // Just made: whoever made it is about to lock it.
        return Ok(false);
    }
    let (seq, hash) = last_record(&mut file, metadata.len())?.unwrap_or_default();
    let statement = Head {
        kind: Kind::Dropped,
        segment: name.clone(),
        seq,
        hash,
        millis,
    };
    replace(
        &place.dropped_file(&name.chain),
        statement.line(key).as_bytes(),
    )?;
    for path in [place.heads_file(name), old.path.clone()] {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(true)
}

/// The last whole line of a segment, if it is a record.
fn last_record(file: &mut File, length: u64) -> io::Result<Option<(u64, Hash)>> {
    // The last line, and one that was cut off after it.
    let window = 2 * RECORD_BYTES_MAX as u64 + 2;
    file.seek(SeekFrom::Start(length.saturating_sub(window)))?;
    let mut bytes = Vec::new();
    file.take(window).read_to_end(&mut bytes)?;
    let Some(end) = bytes.iter().rposition(|byte| *byte == b'\n') else {
        return Ok(None);
    };
    let start = bytes[..end]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at + 1);
    let line = &bytes[start..end];
    Ok(Record::parse(line)
        .ok()
        .map(|record| (record.seq, Sha256::digest(line).into())))
}

/// Forgets the oldest statements of chains of which nothing else is left.
fn forget(place: &Place) -> io::Result<()> {
    let statements = place.dropped_files()?;
    if statements.len() <= STATEMENTS_MAX {
        return Ok(());
    }
    let chains: BTreeSet<String> = place
        .segments()?
        .into_keys()
        .map(|name| name.chain)
        .collect();
    let gone = statements
        .iter()
        .filter(|(chain, _)| !chains.contains(*chain));
    for (_, path) in gone.take(statements.len() - STATEMENTS_MAX) {
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}
